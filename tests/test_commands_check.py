"""`azpg check` in front of whatever can be wrong, each made real in the sandbox."""

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import certifi
import psycopg2
import pytest

from azpg_bootstrap.cli import main
from azpg_bootstrap.commands.exits import Exit
from azpg_bootstrap.sandbox import Sandbox

PREFIX = "AZURE_POSTGRESQL_"
HIDDEN = "[Managed identity has been configured. This value is not viewable in this session]"
NOBODY = "00000000-0000-4000-8000-000000000000"
TOKEN = re.compile(r"eyJ[\w-]{10}")

runs = count()


class World:
    """The environment of one test, which starts as Service Connector would leave it."""

    def __init__(self, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.sandbox = sandbox
        self.folder = tmp_path
        self._monkeypatch = monkeypatch
        self.secrets: set[str] = set()

    def enter(self, auth: Any = "system-assigned", client: Any = "django", **scene: Any) -> None:
        # Its own time-out makes an identity another, so that no test finds another's token.
        self.put(TOKEN_TIMEOUT=f"20.{next(runs):04}")
        for name, value in self.sandbox.environ(auth, client, **scene).items():
            self._set(name, value)

    def put(self, **parts: str) -> None:
        for part, value in parts.items():
            self._set(PREFIX + part, value)

    def platform(self, **variables: str) -> None:
        for name, value in variables.items():
            self._set(name, value)

    def remove(self, *names: str) -> None:
        for name in names:
            self._monkeypatch.delenv(name)

    def _set(self, name: str, value: str) -> None:
        if name.endswith(("PASSWORD", "SECRET")):
            self.secrets.add(value)
        self._monkeypatch.setenv(name, value)

    def superuser(self, statement: str) -> None:
        connection = psycopg2.connect(**self.sandbox.superuser_dsn)
        connection.autocommit = True
        connection.cursor().execute(statement)
        connection.close()

    def role(self, name: str, *, identity: str = "system-assigned") -> None:
        """Make a role that no other test has, and log in as it."""
        name = f"{name}_{next(runs)}"
        self.sandbox.create_role(name, identity=identity)
        self.put(USER=name)
        self.name = name

    def listen(self, answer: bytes) -> None:
        """Be a server that answers one thing to whoever connects, and then keeps silent."""
        server = socket.create_server(("127.0.0.1", 0))
        self.put(PORT=str(server.getsockname()[1]), CONNECT_TIMEOUT="1")

        def serve() -> None:
            kept = []  # an answer is read before its connection goes
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                kept.append(connection)
                connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()


@pytest.fixture
def world(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    return World(sandbox, monkeypatch, tmp_path)


class Report(NamedTuple):
    code: int
    steps: list[dict[str, Any]]

    @property
    def last(self) -> dict[str, Any]:
        return self.steps[-1]

    def step(self, name: str) -> dict[str, Any]:
        return next(step for step in self.steps if step["step"] == name)


@pytest.fixture
def check(world: World, capsys: pytest.CaptureFixture[str]) -> Callable[..., Report]:
    """Return a function that runs `azpg check`, and sees to it that no secret comes out."""

    def run(*arguments: str) -> Report:
        code = main(["check", "--json", "--debug", *arguments])
        out, err = capsys.readouterr()
        assert not TOKEN.search(out + err)
        assert not any(secret in out + err for secret in world.secrets)
        report = json.loads(out)
        assert report["exit_code"] == code
        assert report["ok"] == (code == 0)
        return Report(code, report["steps"])

    return run


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


# What is wrong, by name: how to bring it about.


def no_variables(world: World) -> None:
    pass


def no_host(world: World) -> None:
    world.enter()
    world.remove("AZURE_POSTGRESQL_HOST")


def unresolved_reference(world: World) -> None:
    world.enter("secret")
    world.put(PASSWORD="@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/p)")


def no_connection_string(world: World) -> None:
    world.put(CONNECTIONSTRING="host=h dbname=d user=u password=two words")


def half_a_service_principal(world: World) -> None:
    world.enter("service-principal")
    world.remove("AZURE_POSTGRESQL_TENANTID")


def contradiction(world: World) -> None:
    world.enter("user-assigned")
    world.put(PASSWORD="pa55word")


def misspelt(world: World) -> None:
    world.enter()
    world.put(CLIENT_ID=NOBODY)


def weak_tls(world: World) -> None:
    world.enter()
    world.put(SSLMODE="prefer")


def verify_all(world: World) -> None:
    world.enter()
    world.put(SSLMODE="verify-all")


def no_port(world: World) -> None:
    world.enter()
    world.put(PORT="5432/tcp")


def line_break(world: World) -> None:
    world.enter("secret")
    world.put(PASSWORD="pa55word\n")


def hidden_endpoint(world: World) -> None:
    world.enter()
    world.platform(IDENTITY_ENDPOINT=HIDDEN, IDENTITY_HEADER=HIDDEN)


def dead_endpoint(world: World) -> None:
    world.enter()
    world.put(TOKEN_TIMEOUT=f"0.5{next(runs):04}")
    world.platform(IDENTITY_ENDPOINT=f"http://127.0.0.1:{closed_port()}/msi/token")


def silent_endpoint(world: World) -> None:
    world.enter()
    world.put(TOKEN_TIMEOUT=f"0.5{next(runs):04}")
    world.sandbox.faults(hang=True)


def failing_endpoint(world: World) -> None:
    world.enter()
    world.put(TOKEN_TIMEOUT=f"0.5{next(runs):04}")
    world.sandbox.faults(status=500)


def foreign_client_id(world: World) -> None:
    world.enter("user-assigned")
    world.put(CLIENTID=NOBODY)


def foreign_client_id_on_a_machine(world: World) -> None:
    world.enter("user-assigned", compute="vm")
    world.put(CLIENTID=NOBODY)


def wrong_client_secret(world: World) -> None:
    world.enter("service-principal")
    world.put(CLIENTSECRET="no-longer-the-secret")


def unknown_application(world: World) -> None:
    world.enter("service-principal")
    world.put(CLIENTID=NOBODY)


def unknown_tenant(world: World) -> None:
    world.enter("service-principal")
    world.put(TENANTID=NOBODY)


def broken_federation(world: World) -> None:
    world.enter("workload-identity")
    assertion = world.folder / "token"
    assertion.write_text("no assertion")
    world.platform(AZURE_FEDERATED_TOKEN_FILE=str(assertion))


def missing_federation(world: World) -> None:
    world.enter("workload-identity")
    world.platform(AZURE_FEDERATED_TOKEN_FILE=str(world.folder / "absent"))


def no_azure_cli(world: World) -> None:
    world.enter("developer")
    world.platform(PATH=str(world.folder))


def not_logged_in(world: World) -> None:
    world.enter("developer")
    world.sandbox.faults(login="not-logged-in")


def wrong_tenant(world: World) -> None:
    world.enter("developer")
    world.sandbox.faults(login="wrong-tenant")


def login_expired(world: World) -> None:
    world.enter("developer")
    world.sandbox.faults(login="login-expired")


def unknown_name(world: World) -> None:
    world.enter()
    world.put(HOST="no-such-server.invalid")


def closed(world: World) -> None:
    world.enter()
    world.put(PORT=closed_port())


def no_postgresql(world: World) -> None:
    world.enter()
    world.listen(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def no_tls(world: World) -> None:
    world.enter()
    world.listen(b"N")


def silent_server(world: World) -> None:
    world.enter()
    world.listen(b"")


def unknown_root(world: World) -> None:
    world.enter()
    world.put(SSLROOTCERT=certifi.where())


def other_name(world: World) -> None:
    world.enter()
    world.put(HOST="server.example", HOSTADDR="127.0.0.1")


def no_root_file(world: World) -> None:
    world.enter()
    world.put(SSLROOTCERT=str(world.folder / "absent.pem"))


def no_role(world: World) -> None:
    world.enter()
    world.put(USER="nobody")


def anothers_role(world: World) -> None:
    world.enter()
    world.role("anothers", identity="user-assigned")


def a_persons_role(world: World) -> None:
    world.enter()
    world.put(USER="user@contoso.example")


def an_apps_role(world: World) -> None:
    world.enter("developer")
    world.put(USER="aad_system")


def no_role_for_a_person(world: World) -> None:
    world.enter("developer")
    world.put(USER="somebody@contoso.example")


def foreign_tenant(world: World) -> None:
    world.enter("developer")
    world.sandbox.faults(login="foreign-tenant")


def server_ahead(world: World) -> None:
    world.enter()
    world.sandbox.faults(clock_skew=2 * 86_400.0)


def wrong_scope(world: World) -> None:
    world.enter()
    world.put(SCOPE="https://management.azure.com/.default")


def no_database(world: World) -> None:
    world.enter()
    world.put(NAME="nowhere")


def wrong_password(world: World) -> None:
    world.enter("secret")
    world.put(PASSWORD="not-the-password")


def password_for_an_entra_role(world: World) -> None:
    world.enter("secret")
    world.put(USER="aad_system")


def token_cut_off(world: World) -> None:
    world.enter("secret")
    token = world.sandbox.issue_token()[:-40]
    world.put(USER="aad_system", PASSWORD=token)


def firewall(world: World) -> None:
    world.enter()
    world.sandbox.faults(firewall=True)


def role_without_login(world: World) -> None:
    world.enter()
    world.role("locked")
    world.superuser(f"ALTER ROLE {world.name} NOLOGIN")


def crowded(world: World) -> None:
    world.enter()
    world.role("crowded")
    world.superuser(f"ALTER ROLE {world.name} CONNECTION LIMIT 0")


def closed_database(world: World) -> None:
    world.enter()
    name = f"closed_{next(runs)}"
    world.superuser(f"CREATE DATABASE {name}")
    world.superuser(f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")
    world.put(NAME=name)


Wrong = Callable[[World], None]

SITUATIONS: list[tuple[Wrong, str, str, str]] = [
    (no_variables, "variables", "no AZURE_POSTGRESQL_* variable is set", ""),
    (no_host, "variables", "AZURE_POSTGRESQL_HOST is missing: the server's name", ""),
    (unresolved_reference, "variables", "is a Key Vault reference that was not resolved", ""),
    (no_connection_string, "variables", "AZURE_POSTGRESQL_CONNECTIONSTRING is no conn", ""),
    (half_a_service_principal, "variables", "AZURE_POSTGRESQL_TENANTID is missing", ""),
    (contradiction, "variables", "a password and AZURE_POSTGRESQL_CLIENTID contradict", ""),
    (misspelt, "variables", "AZURE_POSTGRESQL_CLIENT_ID is misspelt: CLIENTID", ""),
    (weak_tls, "variables", "AZURE_POSTGRESQL_SSLMODE may send the token without TLS", ""),
    (verify_all, "variables", "AZURE_POSTGRESQL_SSLMODE is verify-all", ""),
    (no_port, "variables", "AZURE_POSTGRESQL_PORT is no port number", ""),
    (line_break, "variables", "holds a control character, perhaps a line break", ""),
    (hidden_endpoint, "compute", "this session hides the identity endpoint", "Run the program where"),
    (dead_endpoint, "token", "no token from the identity endpoint http://127.0.0.1:", "Nothing ans"),
    (silent_endpoint, "token", "no token from the identity endpoint http://127.0.0.1:", "Nothing an"),
    (failing_endpoint, "token", "no token from the identity endpoint http://127.0.0.1:", "endpoint"),
    (foreign_client_id, "token", "no token", "az webapp identity assign --resource-group <group> "
     "--name azpg-demo"),
    (foreign_client_id_on_a_machine, "token", "no token", "az vm identity assign"),
    (wrong_client_secret, "token", "no token from Entra", "az ad app credential reset --id a99cc11e"),
    (unknown_application, "token", "no token from Entra", f"az ad sp show --id {NOBODY}"),
    (unknown_tenant, "token", "no token from Entra", "Check AZURE_POSTGRESQL_TENANTID."),
    (broken_federation, "token", "no token from Entra", "az identity federated-credential list"),
    (missing_federation, "token", "no token from Entra", "AZURE_FEDERATED_TOKEN_FILE names a file"),
    (no_azure_cli, "token", "no token from Azure CLI", "neither is installed"),
    (not_logged_in, "token", "no token from Azure CLI", "  az login"),
    (wrong_tenant, "token", "no token from Azure CLI", "az login --tenant <tenant of the server>"),
    (login_expired, "token", "no token from Azure CLI",
     "az login --scope https://ossrdbms-aad.database.windows.net/.default"),
    (unknown_name, "dns", 'could not translate host name "no-such-server.invalid"',
     "az postgres flexible-server list"),
    (closed, "tcp", "Connection refused", "az postgres flexible-server show --resource-group <group>"),
    (no_postgresql, "tls", "what answers there is no PostgreSQL server", ""),
    (no_tls, "tls", "the server does not support SSL", "The server wants TLS"),
    (silent_server, "tls", "the TLS handshake failed: timed out", "Nothing answers there"),
    (unknown_root, "tls", "issued by azpg sandbox CA, not valid here: certificate verify failed: ",
     "AZURE_POSTGRESQL_SSLROOTCERT"),
    (other_name, "tls", "certificate of azpg sandbox, issued by azpg sandbox CA, not valid here: "
     "it does not match host name", "Use the name in the certificate"),
    (no_root_file, "tls", "the root certificate file of sslrootcert cannot be read", ""),
    (no_role, "login", 'role "nobody" does not exist', "SELECT * FROM "
     "pgaadauth_create_principal_with_oid('nobody', '5e1f01d0-0000-4000-8000-000000000001', "
     "'service', false, false);"),
    (anothers_role, "login", "oid mismatch", "'aadauth,oid=5e1f01d0-0000-4000-8000-000000000001,"
     "type=service'); END $$;"),
    (a_persons_role, "login", "is neither an AAD_AUTH_TOKENTYPE_APP_USER", "The role is a person's"),
    (an_apps_role, "login", "cannot generate AAD_AUTH_TOKENTYPE_APP_USER", "Log in as your own"),
    (no_role_for_a_person, "login", 'role "somebody@contoso.example" does not exist',
     "('somebody@contoso.example', 'face01d0-0000-4000-8000-000000000004', 'user', false, false);"),
    (foreign_tenant, "login", "error occurred while validating the access token",
     "another tenant than the server"),
    (server_ahead, "login", "The access token has expired", "compare this machine's clock"),
    (wrong_scope, "login", "does not have a valid audience", "AZURE_POSTGRESQL_SCOPE"),
    (no_database, "login", 'database "nowhere" does not exist',
     "az postgres flexible-server db create --resource-group <group> --server-name localhost "
     "--name nowhere"),
    (wrong_password, "login", "password authentication failed", "The password is wrong"),
    (password_for_an_entra_role, "login", "error occurred while validating", "a plain password"),
    (token_cut_off, "login", "access token has invalid format", "Is a token in AZURE_POSTGRESQL_P"),
    (firewall, "login", "no pg_hba.conf entry", "firewall-rule create --resource-group <group> "
     "--server-name localhost --name <rule> --start-ip-address 127.0.0.1"),
    (role_without_login, "login", "is not permitted to log in", "ALTER ROLE ... LOGIN"),
    (crowded, "login", "too many connections for role", "Use fewer workers"),
    (closed_database, "login", "permission denied for database", "GRANT CONNECT"),
]  # fmt: skip

CODES = {"variables": Exit.CONFIG, "compute": Exit.TOKEN, "token": Exit.TOKEN}


@pytest.mark.parametrize(
    ("wrong", "step", "sentence", "advice"),
    SITUATIONS,
    ids=[wrong.__name__ for wrong, *_ in SITUATIONS],
)
def test_what_is_wrong_explains_itself(
    world: World,
    check: Callable[..., Report],
    wrong: Wrong,
    step: str,
    sentence: str,
    advice: str,
) -> None:
    wrong(world)
    report = check()
    assert report.last["step"] == step
    assert report.last["state"] == "failed"
    assert sentence in report.last["text"]
    assert advice in "\n".join(report.last["advice"])
    assert report.code == CODES.get(step, Exit.SERVER)
    assert all(each["state"] != "failed" for each in report.steps[:-1])


def test_there_are_many_situations() -> None:
    assert len(SITUATIONS) >= 25


def test_an_unknown_connection(world: World, check: Callable[..., Report]) -> None:
    world.enter(connection="reporting")
    report = check("--connection", "archive")
    assert report.code == Exit.CONFIG
    assert "no AZURE_POSTGRESQL_ARCHIVE_* variable" in report.last["text"]
    assert "connections found: reporting" in report.last["text"]
    assert check("--connection", "reporting").code == 0


def test_all_is_well(world: World, check: Callable[..., Report]) -> None:
    world.enter("user-assigned", "dotnet")
    report = check()
    assert report.code == 0
    assert [step["state"] for step in report.steps] == ["ok"] * len(report.steps)
    assert report.step("variables")["data"]["client_type"] == ".NET"
    assert report.step("method")["data"]["method"] == "user-assigned"
    assert report.step("compute")["data"]["service"] == "App Service"
    assert report.step("token")["data"]["oid"] == "c0de01d0-0000-4000-8000-000000000002"
    assert report.step("dns")["data"] == {"127.0.0.1": "this machine"}
    assert report.step("tls")["data"]["verified"]
    assert report.step("tls")["data"]["tls"].startswith("TLSv1.")
    role = report.step("role")["data"]
    assert role["role"] == "aad_user"
    assert role["is_entra"]
    assert not role["is_superuser"]
    assert not report.step("pooler")["data"]["is_pooled"]
    assert abs(report.step("clock")["data"]["skew"]) < 5


@pytest.mark.parametrize("client", ["python", "django", "nodejs", "none", "dotnet", "java"])
def test_client_types(world: World, check: Callable[..., Report], client: str) -> None:
    world.enter("secret", client)
    looks = {"python": "Python, Go, PHP, Ruby", "django": "Django", "nodejs": "Node.js",
             "dotnet": ".NET", "java": "Java"}  # fmt: skip
    assert check().step("variables")["data"]["client_type"] == looks.get(client, client)


def test_a_wrong_clock_is_noted(world: World, check: Callable[..., Report]) -> None:
    world.enter()
    world.sandbox.faults(clock_skew=600.0)
    report = check()
    assert report.code == 0
    assert report.last["state"] == "note"
    assert report.last["text"] == "the server's is 10 min 00 s ahead of ours"


def test_tables_out_of_reach_are_noted(world: World, check: Callable[..., Report]) -> None:
    world.enter()
    table = f"ledger_{next(runs)}"
    world.sandbox.create_table(table, owner="bookkeeping")
    try:
        step = check().step("tables")
    finally:
        world.superuser(f"DROP TABLE {table}")
    assert step["state"] == "note"
    assert step["data"]["tables"] > step["data"]["readable"]
    assert step["advice"][-1] == "  azpg grants"


def test_what_is_not_verified_is_noted(world: World, check: Callable[..., Report]) -> None:
    world.enter("secret")
    world.put(SSLMODE="require")
    step = check().step("tls")
    assert step["state"] == "note"
    assert "not verified: sslmode=require" in step["text"]


def test_a_superuser_is_noted_and_a_socket_is_no_obstacle(
    world: World, check: Callable[..., Report]
) -> None:
    dsn = world.sandbox.superuser_dsn
    world.put(HOST=dsn["host"], NAME=dsn["dbname"], USER=dsn["user"], PASSWORD="unasked")
    report = check()
    assert report.code == 0
    assert "SUPERUSER" in report.step("role")["text"]
    assert "Unix socket" in report.step("tls")["text"]


@pytest.fixture
def plain(world: World, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    def run() -> str:
        main(["check"])
        return capsys.readouterr().out

    return run


def test_it_is_plain_in_a_pipe_and_coloured_on_a_terminal(
    world: World, plain: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.enter()
    world.put(USER="nobody")
    lines = plain().splitlines()
    assert lines[-1].strip().startswith("SELECT * FROM pgaadauth_create_principal_with_oid(")
    assert any(line.startswith("failed  login ") for line in lines)
    assert "\x1b" not in "".join(lines)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert "\x1b[31mfailed\x1b[0m  login" in plain()
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in plain()
