"""`azpg check` in front of whatever can be wrong, each made real in the sandbox."""

import json
import re
import select
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import situations
from situations import World, runs

from azpg_bootstrap.cli import main
from azpg_bootstrap.commands.exits import Exit
from azpg_bootstrap.sandbox import Sandbox

TOKEN = re.compile(r"eyJ[\w-]{10}")


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


# How to bring it about, the step that fails, what that says, and what it advises.
Situation = tuple[Callable[[World], None], str, str, str]

SITUATIONS: list[Situation] = [
    (situations.no_variables, "variables", "no AZURE_POSTGRESQL_* variable is set", ""),
    (situations.no_host, "variables", "AZURE_POSTGRESQL_HOST is missing: the server's name", ""),
    (
        situations.unresolved_reference,
        "variables",
        "is a Key Vault reference that was not resolved",
        "",
    ),
    (
        situations.no_connection_string,
        "variables",
        "AZURE_POSTGRESQL_CONNECTIONSTRING is no conn",
        "",
    ),
    (situations.half_a_service_principal, "variables", "AZURE_POSTGRESQL_TENANTID is missing", ""),
    (
        situations.contradiction,
        "variables",
        "a password and AZURE_POSTGRESQL_CLIENTID contradict",
        "",
    ),
    (situations.misspelt, "variables", "AZURE_POSTGRESQL_CLIENT_ID is misspelt: CLIENTID", ""),
    (
        situations.weak_tls,
        "variables",
        "AZURE_POSTGRESQL_SSLMODE may send the token without TLS",
        "",
    ),
    (situations.verify_all, "variables", "AZURE_POSTGRESQL_SSLMODE is verify-all", ""),
    (situations.no_port, "variables", "AZURE_POSTGRESQL_PORT is no port number", ""),
    (situations.line_break, "variables", "holds a control character, perhaps a line break", ""),
    (
        situations.hidden_endpoint,
        "compute",
        "this session hides the identity endpoint",
        "Run the pro",
    ),
    (
        situations.dead_endpoint,
        "token",
        "no token from the identity endpoint http://127.0.0.1:",
        "Nothing ans",
    ),
    (
        situations.silent_endpoint,
        "token",
        "no token from the identity endpoint http://127.0.0.1:",
        "Nothing an",
    ),
    (
        situations.failing_endpoint,
        "token",
        "no token from the identity endpoint http://127.0.0.1:",
        "trouble, which passes",
    ),
    (
        situations.foreign_client_id,
        "token",
        "no token",
        "az webapp identity assign --resource-group <group> --name azpg-demo --identities <",
    ),
    (situations.foreign_client_id_on_a_machine, "token", "no token", "az vm identity assign"),
    (
        situations.wrong_client_secret,
        "token",
        "no token from Entra",
        "az ad app credential reset --id a99cc11e",
    ),
    (
        situations.unknown_application,
        "token",
        "no token from Entra",
        f"az ad sp show --id {situations.NOBODY}",
    ),
    (situations.unknown_tenant, "token", "no token from Entra", "Check AZURE_POSTGRESQL_TENANTID."),
    (
        situations.broken_federation,
        "token",
        "no token from Entra",
        "az identity federated-credential list",
    ),
    (
        situations.missing_federation,
        "token",
        "no token from Entra",
        "AZURE_FEDERATED_TOKEN_FILE names a file",
    ),
    (situations.no_azure_cli, "token", "no token from Azure CLI", "neither is installed"),
    (situations.not_logged_in, "token", "no token from Azure CLI", "  az login"),
    (
        situations.wrong_tenant,
        "token",
        "no token from Azure CLI",
        "az login --tenant <tenant of the server>",
    ),
    (
        situations.login_expired,
        "token",
        "no token from Azure CLI",
        "az login --scope https://ossrdbms-aad.database.windows.net/.default",
    ),
    (
        situations.unknown_name,
        "dns",
        'could not translate host name "no-such-server.invalid"',
        "az postgres flexible-server list",
    ),
    (
        situations.closed,
        "tcp",
        "Connection refused",
        "az postgres flexible-server show --resource-group <group>",
    ),
    (situations.no_postgresql, "tls", "what answers there is no PostgreSQL server", ""),
    (situations.no_tls, "tls", "the server does not support SSL", "The server wants TLS"),
    (
        situations.silent_server,
        "tls",
        "the TLS handshake failed: timed out",
        "Nothing answers there",
    ),
    (
        situations.unknown_root,
        "tls",
        "issued by azpg sandbox CA, not valid here: certificate verify failed: ",
        "AZURE_POSTGRESQL_SSLROOTCERT",
    ),
    (
        situations.other_name,
        "tls",
        "certificate of azpg sandbox, issued by azpg sandbox CA, not valid here: "
        "certificate verify failed: Hostname mismatch",
        "Use the name in the certificate",
    ),
    (
        situations.no_role,
        "login",
        'role "nobody" does not exist',
        "SELECT * FROM "
        "pgaadauth_create_principal_with_oid('nobody', '5e1f01d0-0000-4000-8000-000000000001', "
        "'service', false, false);",
    ),
    (
        situations.anothers_role,
        "login",
        "oid mismatch",
        "'aadauth,oid=5e1f01d0-0000-4000-8000-000000000001,type=service'); END $$;",
    ),
    (
        situations.a_persons_role,
        "login",
        "is neither an AAD_AUTH_TOKENTYPE_APP_USER",
        "The role is a person's",
    ),
    (
        situations.an_apps_role,
        "login",
        "cannot generate AAD_AUTH_TOKENTYPE_APP_USER",
        "Log in as your own",
    ),
    (
        situations.no_role_for_a_person,
        "login",
        'role "somebody@contoso.example" does not exist',
        "('somebody@contoso.example', 'face01d0-0000-4000-8000-000000000004', 'user', false, ",
    ),
    (
        situations.foreign_tenant,
        "login",
        "error occurred while validating the access token",
        "another tenant than the server",
    ),
    (
        situations.server_ahead,
        "login",
        "The access token has expired",
        "compare this machine's clock",
    ),
    (situations.wrong_scope, "login", "does not have a valid audience", "AZURE_POSTGRESQL_SCOPE"),
    (
        situations.no_database,
        "login",
        'database "nowhere" does not exist',
        "az postgres flexible-server db create --resource-group <group> --server-name <server> "
        "--name nowhere",
    ),
    (situations.wrong_password, "login", "password authentication failed", "The password is wrong"),
    (
        situations.password_for_an_entra_role,
        "login",
        "error occurred while validating",
        "a plain password",
    ),
    (
        situations.token_cut_off,
        "login",
        "access token has invalid format",
        "Is a token in AZURE_POSTGRESQL_P",
    ),
    (
        situations.firewall,
        "login",
        "no pg_hba.conf entry",
        "firewall-rule create --resource-group <group> "
        "--server-name <server> --name <rule> --start-ip-address 127.0.0.1",
    ),
    (situations.role_without_login, "login", "is not permitted to log in", "ALTER ROLE ... LOGIN"),
    (situations.crowded, "login", "too many connections for role", "Use fewer workers"),
    (situations.closed_database, "login", "permission denied for database", "GRANT CONNECT"),
]

CODES = {"variables": Exit.CONFIG, "compute": Exit.TOKEN, "token": Exit.TOKEN}


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation[0].__name__)
def test_what_is_wrong_explains_itself(
    world: World, check: Callable[..., Report], situation: Situation
) -> None:
    arrange, step, sentence, advice = situation
    arrange(world)
    report = check()
    assert report.last["step"] == step
    assert report.last["state"] == "failed"
    assert sentence in report.last["text"]
    assert advice in "\n".join(report.last["advice"])
    assert report.code == CODES.get(step, Exit.SERVER)
    assert all(each["state"] != "failed" for each in report.steps[:-1])


def test_there_are_many_situations() -> None:
    assert len(SITUATIONS) >= 25


def test_what_only_shows_later_is_configuration_too(
    world: World, check: Callable[..., Report]
) -> None:
    situations.no_root_file(world)
    report = check()
    assert (report.code, report.last["step"]) == (Exit.CONFIG, "tls")
    assert "sslrootcert= names a file that cannot be used" in report.last["text"]
    world.enter()
    world.put(CONNECT_TIMEOUT="soon")
    report = check()
    assert (report.code, report.last["step"]) == (Exit.CONFIG, "tcp")
    assert report.last["text"] == "connect_timeout is no number of seconds"
    world.remove("AZURE_POSTGRESQL_USER")
    report = check()
    assert (report.code, report.last["step"]) == (Exit.CONFIG, "token")
    assert "AZURE_POSTGRESQL_USER is missing, and the token of" in report.last["text"]


def test_commands_have_what_is_known_and_are_left_out_without_it(
    world: World, check: Callable[..., Report]
) -> None:
    world.enter(host="shop.postgres.database.azure.com")
    world.put(NAME="nowhere")
    assert "--server-name shop --name nowhere" in check().last["advice"][-1]
    world.put(USER="back\\slash")  # which cannot be quoted without a connection
    report = check()
    assert (report.code, report.last["step"]) == (Exit.SERVER, "login")
    assert not any("pgaadauth_create_principal_with_oid(" in line for line in report.last["advice"])


@pytest.mark.parametrize("role", ["user@contoso.example", "aad_system"])
def test_no_role_is_made_for_a_name_that_is_taken(
    world: World, check: Callable[..., Report], role: str
) -> None:
    world.enter("system-assigned" if "@" in role else "developer")
    world.put(USER=role)
    (advice,) = check().last["advice"]
    assert "set AZURE_POSTGRESQL_USER" in advice


def test_advice_names_the_connections_own_variables(
    world: World, check: Callable[..., Report]
) -> None:
    world.enter(connection="reporting")
    world.put(REPORTING_SCOPE="https://vault.azure.net/.default")
    report = check("--connection", "reporting")
    assert report.last["step"] == "login"
    assert "Set AZURE_POSTGRESQL_REPORTING_SCOPE" in report.last["advice"][0]


def test_no_tls_where_none_is_asked_for(world: World, check: Callable[..., Report]) -> None:
    world.enter("secret")
    world.listen(b"N")
    world.put(SSLMODE="prefer")
    step = check().step("tls")
    assert step["state"] == "note"
    assert "sslmode=prefer does without" in step["text"]


def test_what_nobody_reads_is_noted(world: World, check: Callable[..., Report]) -> None:
    world.enter()
    world.put(PASSWROD="hunter2", REPORTING_APPLICATION_NAME="x", REPORTING_EU_HOST="h")
    world.secrets.add("hunter2")
    step = check().step("variables")
    assert step["state"] == "note"
    assert step["text"].endswith("\nnot read, misspelt perhaps: AZURE_POSTGRESQL_PASSWROD")


def test_for_ever_is_no_obstacle(world: World, check: Callable[..., Report]) -> None:
    world.enter()
    world.put(CONNECT_TIMEOUT="-1")
    assert check().code == Exit.DONE


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
    # Other tests may have left tables that are not this role's.
    assert {step["state"] for step in report.steps if step["step"] != "tables"} == {"ok"}
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


@pytest.mark.parametrize("connection", [None, "reporting"])
def test_tables_out_of_reach_are_noted(
    world: World, check: Callable[..., Report], connection: str | None
) -> None:
    world.enter(connection=connection)
    table = f"ledger_{next(runs)}"
    world.sandbox.create_table(table, owner="bookkeeping")
    named = ["--connection", connection] if connection else []
    step = check(*named).step("tables")
    assert step["state"] == "note"
    assert step["data"]["tables"] > step["data"]["readable"]
    azpg, *command = step["advice"][-1].split()
    assert (azpg, command) == ("azpg", ["grants", *named])
    assert main(command) == 0


def test_what_is_not_verified_is_noted(world: World, check: Callable[..., Report]) -> None:
    world.enter("secret", "django")
    world.put(SSLMODE="require")
    assert check().step("tls")["data"]["verified"]  # as libpq does where there is a file of roots
    world.remove("AZURE_POSTGRESQL_SSLROOTCERT")
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
    assert not report.step("role")["data"]["is_entra"]
    assert "Unix socket" in report.step("tls")["text"]


def test_a_pooler_is_told_by_the_process_id(world: World, check: Callable[..., Report]) -> None:
    dsn = world.sandbox.superuser_dsn
    with Pooler(f"{dsn['host']}/.s.PGSQL.{dsn['port']}") as port:
        world.put(HOST="127.0.0.1", PORT=port, NAME=dsn["dbname"], USER=dsn["user"])
        world.put(PASSWORD="unasked", SSLMODE="disable")
        report = check()
    assert report.code == 0
    assert report.step("pooler")["data"]["is_pooled"]
    assert "PgBouncer presumably" in report.step("pooler")["text"]


HEAD = b"K" + (12).to_bytes(4)
INVENTED = (1).to_bytes(4)


class Pooler:
    """Does to a login what PgBouncer does: the process id in BackendKeyData is its own."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.threads: list[threading.Thread] = []

    def __enter__(self) -> str:
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.serve, daemon=True).start()
        return str(self.listener.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        self.listener.close()
        for thread in self.threads:
            thread.join()

    def serve(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.threads.append(threading.Thread(target=self.carry, args=(client,)))
            self.threads[-1].start()

    def carry(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server:
            server.connect(self.path)
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    data = ready.recv(65_536)
                    if not data:
                        return
                    before, found, key = data.partition(HEAD)
                    sink = server if ready is client else client
                    sink.sendall(before + found + (INVENTED + key[4:] if found else b""))


@pytest.fixture
def plain(world: World, capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
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
