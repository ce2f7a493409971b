import asyncio
import logging
import traceback
from typing import get_args

import certifi
import psycopg2
import pytest

import azpg_bootstrap as azpg
from azpg_bootstrap import pg_environ
from azpg_bootstrap.claims import claims
from azpg_bootstrap.environment import VARIABLES
from azpg_bootstrap.sandbox import Sandbox
from azpg_bootstrap.sandbox.variables import Auth, Client

HOST = "srv.postgres.database.azure.com"
BASE = {
    "AZURE_POSTGRESQL_HOST": HOST,
    "AZURE_POSTGRESQL_DATABASE": "d",
    "AZURE_POSTGRESQL_USER": "u",
}


def database(**more: str) -> azpg.Database:
    parts = {f"AZURE_POSTGRESQL_{name}": value for name, value in more.items()}
    return azpg.Database.from_env(environ=BASE | parts)


def enter(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("auth", get_args(Auth))
@pytest.mark.parametrize("client", get_args(Client))
def test_every_client_type_by_every_method_connects(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, auth: Auth, client: Client
) -> None:
    enter(monkeypatch, sandbox.environ(auth, client))
    connection = azpg.connect()
    info = connection.info
    assert (info.host, info.port, info.dbname) == ("localhost", sandbox.port, sandbox.database)
    assert info.ssl_in_use
    assert info.dsn_parameters["sslmode"] == "verify-full"
    connection.close()


def test_azures_names_are_verified_in_full(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(monkeypatch, sandbox.environ(host=HOST))
    azpg.connect().close()
    with pytest.raises(psycopg2.OperationalError, match="certificate verify failed"):
        azpg.connect(sslrootcert=certifi.where())  # whose roots did not sign the sandbox's
    monkeypatch.delenv("AZURE_POSTGRESQL_SSLROOTCERT")
    with pytest.raises(psycopg2.OperationalError, match="certificate verify failed"):
        azpg.connect()
    azpg.connect(sslmode="require").close()
    monkeypatch.setenv("AZURE_POSTGRESQL_SSLMODE", "require")
    azpg.connect().close()


def test_further_connections(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    enter(monkeypatch, sandbox.environ("secret", connection="reporting"))
    enter(monkeypatch, sandbox.environ("system-assigned"))
    assert azpg.connect("Reporting").info.user == "app_password"
    assert azpg.connect().info.user == "aad_system"


def test_user_from_the_token(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    for auth, user in (("user-assigned", "azpg-identity"), ("system-assigned", None)):
        enter(monkeypatch, sandbox.environ(auth, "django"))  # type: ignore[arg-type]
        monkeypatch.delenv("AZURE_POSTGRESQL_USER")
        if user:
            assert azpg.connect().info.user == user
            assert azpg.Database.from_env().params(user="x")["user"] == "x"
            monkeypatch.delenv("AZURE_POSTGRESQL_CLIENTID")
        else:
            with pytest.raises(azpg.ConfigError, match="AZURE_POSTGRESQL_USER is missing"):
                azpg.connect()


def test_params() -> None:
    assert database(OPTIONS="-cx=y", WEBSITE_X="not ours").params() == {
        "host": HOST,
        "port": 5432,
        "dbname": "d",
        "user": "u",
        "sslmode": "verify-full",
        "sslrootcert": certifi.where(),
        "options": "-cx=y",
        "application_name": "azpg-bootstrap",
        "connect_timeout": "10",
        "keepalives_idle": "60",
        "keepalives_interval": "10",
        "keepalives_count": "3",
        "tcp_user_timeout": "90000",
        "gssencmode": "disable",
    }


@pytest.mark.parametrize("name", ["WEBSITE_SITE_NAME", "CONTAINER_APP_NAME"])
def test_application_name(name: str) -> None:
    environ = BASE | {name: "shop"}
    assert azpg.Database.from_env(environ=environ).params()["application_name"] == "shop"
    environ["AZURE_POSTGRESQL_APPLICATION_NAME"] = "till"
    found = azpg.Database.from_env(environ=environ)
    assert found.params()["application_name"] == "till"
    assert found.params(application_name="safe")["application_name"] == "safe"


def test_what_is_given_wins() -> None:
    found = database(CONNECT_TIMEOUT="3", SSLROOTCERT="/ca.pem").params(
        host="h", port=1, dbname="e", user="v", keepalives_idle=5
    )
    assert (found["host"], found["port"], found["dbname"], found["user"]) == ("h", 1, "e", "v")
    assert (found["connect_timeout"], found["keepalives_idle"]) == ("3", 5)
    assert (found["sslmode"], found.get("sslrootcert")) == ("require", "/ca.pem")


@pytest.mark.parametrize(
    "libpq",
    [{"sslmode": "prefer"}, {"sslmode": "hunter2"}, {"host": "/tmp"}, {"sslmode": 1}, {"host": ""}],
)
def test_a_token_goes_nowhere_in_clear(libpq: dict[str, str]) -> None:
    with pytest.raises(azpg.ConfigError) as caught:
        database().params(**libpq)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(azpg.ConfigError):
        azpg.connect(environ=BASE, **libpq)


def test_none_is_not_given() -> None:
    assert database().params(sslmode=None, host=None) == database().params()


def test_a_password_given_replaces_the_token(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = sandbox.environ("secret", "django")["AZURE_POSTGRESQL_PASSWORD"]
    enter(monkeypatch, sandbox.environ())
    sandbox.reset()
    connection = azpg.connect(user="app_password", password=password)
    assert connection.info.user == "app_password"
    assert sandbox.token_requests == 0
    assert database().params(sslmode="disable", password="x")["sslmode"] == "disable"


def test_psycopg2s_own_arguments_pass(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    from psycopg2.extras import DictCursor, LoggingConnection

    enter(monkeypatch, sandbox.environ())
    connection = azpg.connect(connection_factory=LoggingConnection, cursor_factory=DictCursor)
    assert isinstance(connection, LoggingConnection)


def test_passwords(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    for auth in ("secret", "user-assigned"):
        enter(monkeypatch, sandbox.environ(auth))  # type: ignore[arg-type]
        found = azpg.Database.from_env()
        assert found.password() == asyncio.run(found.apassword())


def test_when_the_token_expires(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    enter(monkeypatch, sandbox.environ())
    found = azpg.Database.from_env()
    expires, exact = found.token_expires_on(), claims(found.password())["exp"]
    assert expires
    assert 0 <= exact - expires <= 2  # seconds; credentials count in whole ones
    assert sandbox.token_requests == 1
    assert database(PASSWORD="x").token_expires_on() is None


def test_prefetch(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    enter(monkeypatch, sandbox.environ())
    azpg.Database.from_env().prefetch()
    azpg.Database.from_env().connect().close()
    assert sandbox.token_requests == 1
    database(PASSWORD="x").prefetch()


def test_prefetch_at_the_first_line(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    azpg.prefetch()  # there is nothing to connect to, and no error
    enter(monkeypatch, sandbox.environ())
    azpg.prefetch()
    azpg.connect().close()
    assert sandbox.token_requests == 1


def test_repr_fits_a_log() -> None:
    assert repr(database()) == (f"<Database u@{HOST}:5432/d system-assigned sslmode=verify-full>")
    assert "hunter2" not in repr(database(PASSWORD="hunter2", SSLPASSWORD="hunter2"))


def test_pg_environ() -> None:
    found = pg_environ(database().params(password="p"))
    assert found["PGHOST"] == HOST
    assert found["PGPASSWORD"] == "p"
    assert found["PGSSLMODE"] == "verify-full"
    assert "keepalives_idle" not in str(found)


def test_pg_environ_knows_every_variable_of_libpqs() -> None:
    pq = pytest.importorskip("psycopg.pq")
    options = pq.Conninfo.get_defaults()
    known = {each.keyword.decode(): each.envvar.decode() for each in options if each.envvar}
    assert known.items() <= VARIABLES.items()


def test_nothing_that_gets_out_has_a_secret(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Every auth method, opened and refused, with all loggers wide open."""
    shown = []
    with caplog.at_level(logging.DEBUG):
        for auth in ("system-assigned", "service-principal", "workload-identity", "secret"):
            environ = sandbox.environ(auth, "django")  # type: ignore[arg-type]
            enter(monkeypatch, environ)
            found = azpg.Database.from_env(environ=environ)
            shown += [found.password()[-40:], environ.get("AZURE_POSTGRESQL_CLIENTSECRET")]
            connection = found.connect()
            text = f"{found!r} {connection!r} {connection.dsn} {connection.get_dsn_parameters()}"
            connection.close()
            with pytest.raises(psycopg2.OperationalError) as caught:
                found.connect(dbname="missing")
            text += "".join(traceback.format_exception(caught.value))
            assert not any(secret in text for secret in shown if secret)
    assert not any(secret in caplog.text for secret in shown if secret)


def test_an_address_goes_with_its_host() -> None:
    found = database(HOSTADDR="192.0.2.1")
    assert found.params()["hostaddr"] == "192.0.2.1"
    assert found.params(host=HOST)["hostaddr"] == "192.0.2.1"
    assert "hostaddr" not in found.params(host="replica")
    assert found.params(host="replica", hostaddr="192.0.2.2")["hostaddr"] == "192.0.2.2"
    environ = BASE | {"AZURE_POSTGRESQL_HOSTADDR": "192.0.2.1"}
    assert "hostaddr" not in azpg.Database.from_env(environ=environ, given={"host": "r"}).params()


def test_choices_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "azpg_bootstrap"):
        database(PASSWORD="hunter2")
    (record,) = caplog.records
    assert "secret sslmode=verify-full" in record.getMessage()
    assert "hunter2" not in caplog.text


def test_psycopg2s_names_for_the_parts_and_the_whole() -> None:
    assert database().params(database="e")["dbname"] == "e"
    for whole in ("dsn", "conninfo"):
        with pytest.raises(azpg.ConfigError, match="give their parts as keywords"):
            database().params(**{whole: "dbname=e"})
    with pytest.raises(azpg.ConfigError, match="give their parts as keywords"):
        azpg.connect(environ=BASE, dsn="dbname=e")
