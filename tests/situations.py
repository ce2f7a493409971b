"""What can be wrong between a program and its database: how to bring each about in the sandbox."""

import socket
import threading
from itertools import count
from pathlib import Path
from typing import Any

import certifi
import psycopg2
import pytest
from programs import answer_all

from azpg_bootstrap.sandbox import Sandbox

PREFIX = "AZURE_POSTGRESQL_"
HIDDEN = "[Managed identity has been configured. This value is not viewable in this session]"
NOBODY = "00000000-0000-4000-8000-000000000000"

runs = count()


class World:
    """The environment of one test, which starts as Service Connector would leave it."""

    def __init__(self, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.sandbox = sandbox
        self.folder = tmp_path
        self._monkeypatch = monkeypatch
        self.secrets: set[str] = set()

    def enter(self, auth: Any = "system-assigned", client: Any = "django", **scene: Any) -> None:
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
        threading.Thread(target=answer_all, args=(server, answer), daemon=True).start()


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


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
    world.put(TOKEN_TIMEOUT="0.5")
    world.platform(IDENTITY_ENDPOINT=f"http://127.0.0.1:{closed_port()}/msi/token")


def silent_endpoint(world: World) -> None:
    world.enter()
    world.put(TOKEN_TIMEOUT="0.5")
    world.sandbox.faults(hang=True)


def failing_endpoint(world: World) -> None:
    world.enter()
    world.put(TOKEN_TIMEOUT="0.5")
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
