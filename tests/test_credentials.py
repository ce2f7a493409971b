"""Fetching against endpoints that misbehave: how long it takes, how often, and what is said."""

import os
import socket
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import pytest

import azpg_bootstrap as azpg
from azpg_bootstrap import credentials
from azpg_bootstrap.claims import claims
from azpg_bootstrap.sandbox import Sandbox

SCENES = {
    "App Service": ("user-assigned", "app-service"),
    "virtual machine": ("system-assigned", "vm"),
    "AKS": ("workload-identity", "aks"),
    "service principal": ("service-principal", None),
}


DESCRIPTORS = Path("/proc/self/fd")


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try as often as ever, but without the pauses."""
    monkeypatch.setattr(credentials, "PAUSES", (0.01, 0.01, 0.01))


@pytest.fixture(params=SCENES.values(), ids=SCENES.keys())
def database(
    request: pytest.FixtureRequest, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> azpg.Database:
    auth, compute = request.param
    for name, value in sandbox.environ(auth, compute=compute).items():
        monkeypatch.setenv(name, value)
    return azpg.Database.from_env()


def failure(database: azpg.Database) -> azpg.TokenError:
    """Return the error of a token that cannot be had, having looked at all it shows."""
    with pytest.raises(azpg.TokenError) as caught:
        database.password()
    shown = "".join(traceback.format_exception(caught.value))
    assert "eyJ" not in shown
    for name in ("AZURE_POSTGRESQL_CLIENTSECRET", "IDENTITY_HEADER"):
        assert os.environ.get(name, "-no-such-text-") not in shown
    return caught.value


@pytest.mark.parametrize("status", [429, 500, 503, 410])
def test_what_passes_by_itself_is_waited_for(
    sandbox: Sandbox, database: azpg.Database, status: int
) -> None:
    sandbox.faults(status=status, count=2)
    database.connect().close()
    assert sandbox.token_requests >= 3


@pytest.mark.parametrize(
    ("status", "advice"), [(429, "Too many requests"), (503, "has trouble, which passes by itself")]
)
def test_what_does_not_pass_is_told_with_its_status(
    sandbox: Sandbox, database: azpg.Database, status: int, advice: str
) -> None:
    sandbox.faults(status=status)
    error = failure(database)
    assert f": HTTP {status}, 4 times" in str(error)
    assert advice in str(error)
    assert str(error).startswith(f"no token from {database._tokens.source}: ")  # type: ignore[union-attr]
    assert type(error.__cause__).__module__.startswith("azure.")


def test_what_no_waiting_mends_is_told_at_once(sandbox: Sandbox, database: azpg.Database) -> None:
    sandbox.faults(status=400)
    error = failure(database)
    assert ": HTTP 400" in str(error)
    assert " times" not in str(error)


def test_junk_is_no_token(sandbox: Sandbox, database: azpg.Database) -> None:
    sandbox.faults(junk=True)
    assert ": HTTP 200" in str(failure(database))


def test_a_token_ends_when_it_says_itself(sandbox: Sandbox, database: azpg.Database) -> None:
    sandbox.faults(token_lifetime=100)
    assert database._tokens
    token = database._tokens.get()
    exp = claims(token.value)["exp"]
    assert exp - 1 <= token.expires_on <= exp  # some count whole seconds from another moment
    assert 90 < token.life < 102


def test_retry_after_is_honoured(sandbox: Sandbox, database: azpg.Database) -> None:
    sandbox.faults(status=429, retry_after=1, count=1)
    begun = time.monotonic()
    database.password()
    assert time.monotonic() - begun >= 1


def test_retry_after_beyond_the_deadline_is_not_waited_for(
    sandbox: Sandbox, database: azpg.Database
) -> None:
    sandbox.faults(status=429, retry_after=600)
    begun = time.monotonic()
    assert "HTTP 429" in str(failure(database))
    assert time.monotonic() - begun < 20


def test_a_socket_that_never_answers_is_given_up(
    sandbox: Sandbox, database: azpg.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_POSTGRESQL_TOKEN_TIMEOUT", "0.5")
    sandbox.faults(hang=True)
    begun = time.monotonic()
    error = failure(azpg.Database.from_env())
    assert 0.4 < time.monotonic() - begun < 5
    assert "no answer in time" in str(error) or "within 0.5 s: it does not answer" in str(error)


def test_an_answer_that_is_lost_is_asked_for_again(
    sandbox: Sandbox, database: azpg.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "READ_TIMEOUT", 0.3)
    sandbox.faults(hang=True, count=1)
    database.password()
    assert sandbox.token_requests >= 2


def test_silence_has_a_cause(
    sandbox: Sandbox, database: azpg.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "READ_TIMEOUT", 0.1)
    sandbox.faults(hang=True)
    error = failure(database)
    assert ": no answer in time, 4 times" in str(error)
    assert error.__cause__


@pytest.mark.parametrize(
    ("wanted", "asked"),
    [("", True), ("prod", True), ("ManagedIdentityCredential", True), ("dev", False)],
)
def test_only_a_developers_machine_is_spared_the_question_where_it_is(
    monkeypatch: pytest.MonkeyPatch, wanted: str, asked: bool
) -> None:
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", wanted)
    with socket.create_server(("127.0.0.1", 0)) as metadata_service:
        monkeypatch.setattr(credentials, "IMDS", metadata_service.getsockname())
        assert credentials._has_metadata_service() is asked


def test_a_host_without_an_identity_of_its_own(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in sandbox.environ(compute="app-service").items():
        monkeypatch.setenv(name, value)
    sandbox.faults(status=400)
    said = str(failure(azpg.Database.from_env()))
    assert "HTTP 400: no reason given. This host has no system-assigned identity." in said


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:1/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "hunter2")
    environ = {"AZURE_POSTGRESQL_CONNECTIONSTRING": "host=h dbname=d user=u"}
    error = failure(azpg.Database.from_env(environ=environ))
    assert "the identity endpoint http://127.0.0.1:1/msi/token for system-assigned" in str(error)
    assert "Connection refused, 4 times" in str(error)
    assert "Nothing answers at the endpoint" in str(error)


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("AZURE_POSTGRESQL_CLIENTSECRET", "hunter2", "The client secret is wrong or has expired"),
        (
            "AZURE_POSTGRESQL_TENANTID",
            "99999999-0000-4000-8000-000000000000",
            "The tenant does not",
        ),
    ],
)
def test_a_service_principal_refused(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, name: str, value: str, advice: str
) -> None:
    for key, found in sandbox.environ("service-principal").items():
        monkeypatch.setenv(key, found)
    monkeypatch.setenv(name, value)
    assert advice in str(failure(azpg.Database.from_env()))


def test_a_broken_answer_with_a_token_in_it_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint that is cut off in the middle of its answer."""
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class CutOff(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"access_token": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2ln')

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), CutOff) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{server.server_port}/x")
        monkeypatch.setenv("IDENTITY_HEADER", "hunter2")
        environ = {"AZURE_POSTGRESQL_CONNECTIONSTRING": "host=h dbname=d user=u"}
        assert "HTTP 200" in str(failure(azpg.Database.from_env(environ=environ)))
        server.shutdown()


FORKS_DURING_THE_IMPORTS = """
import os, sys, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)
import azpg_bootstrap as azpg
azpg.Database.from_env().prefetch()
time.sleep(float(sys.argv[1]))
child = os.fork()
azpg.connect().close()
if child:
    raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
@pytest.mark.parametrize("after", [0.0, 0.02, 0.05, 0.1, 0.2])
def test_a_fork_in_the_middle_of_the_imports(sandbox: Sandbox, after: float) -> None:
    """The child could wait for ever for a module that the parent's thread was importing."""
    environ = {**os.environ, **sandbox.environ(), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", FORKS_DURING_THE_IMPORTS, str(after)]
    subprocess.run(command, env=environ, timeout=30, check=True)


IMPORTED_TOO_LATE = """
import sys
from azpg_bootstrap import Database, credentials

def ask(credential, scope):
    known = set(sys.modules)
    token = asks(credential, scope)
    print(*set(sys.modules) - known)
    return token

asks, credentials.ask = credentials.ask, ask
Database.from_env().password()
"""


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES.keys())
def test_nothing_is_imported_without_the_lock(sandbox: Sandbox, scene: tuple[Any, Any]) -> None:
    """A fork in the middle of any import could leave the child without that module for good."""
    auth, compute = scene
    variables = sandbox.environ(auth, compute=compute) | {"PYTHONPATH": os.pathsep.join(sys.path)}
    program = [sys.executable, "-c", IMPORTED_TOO_LATE]
    done = subprocess.run(
        program, env={**os.environ, **variables}, capture_output=True, text=True, check=True
    )
    assert done.stdout == "\n"


PRE_FORKING_SERVER = """
import os
import azpg_bootstrap as azpg
azpg.connect().close()
children = []
for _ in range(8):
    child = os.fork()
    if child == 0:
        for _ in range(5):
            azpg.connect().close()
        os._exit(0)
    children.append(child)
assert [os.waitpid(child, 0)[1] for child in children] == [0] * 8
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
def test_eight_workers_make_one_request(sandbox: Sandbox) -> None:
    environ = {**os.environ, **sandbox.environ(), "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", PRE_FORKING_SERVER], env=environ, timeout=60, check=True)
    assert sandbox.token_requests == 1


@pytest.mark.skipif(not DESCRIPTORS.is_dir(), reason="this platform does not list descriptors")
def test_no_socket_outlives_the_question(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in sandbox.environ().items():
        monkeypatch.setenv(name, value)
    before = len([*DESCRIPTORS.iterdir()])
    azpg.Database.from_env().password()
    for thread in threading.enumerate():
        if thread.name == "azpg-token":
            thread.join()
    assert len([*DESCRIPTORS.iterdir()]) <= before  # an earlier test's may go meanwhile
