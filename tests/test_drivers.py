"""What holds for every driver, pool and engine alike; the table of them is in `openers`."""

import asyncio
import logging
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import psycopg2
import pytest
from programs import answer_all

import azpg_bootstrap as azpg
from azpg_bootstrap import tokens
from azpg_bootstrap.sandbox import Sandbox
from tests.openers import ASYNC, OPENERS, PID, POOLS, RAISING, Opener, installed, openers

POOL_GIVES_UP = 2.0
"""Seconds; less than the pool waits before its second try after a failure."""

DATABASE = azpg.Database(azpg.Settings(host="h.example", database="d", user="u"))

DRIVERS = {"psycopg2", "psycopg", "asyncpg", "sqlalchemy"}


@pytest.fixture
def environ(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    found = sandbox.environ()
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.fixture
def database(environ: dict[str, str]) -> azpg.Database:
    return azpg.Database.from_env()


def pids(
    opener: Opener, database: azpg.Database | None = None, count: int = 1, **given
) -> set[int]:
    """Open connections at the same time, through the opener; return their servers' process ids."""

    async def main() -> set[int]:
        try:
            async with opener(database, **given) as open_one:
                held = [await open_one() for _ in range(count)]
                found = {await each.ask(PID) for each in held}
                for each in held:
                    await each.close()
            return found
        finally:
            await sockets_closed()

    return asyncio.run(main())


async def sockets_closed() -> None:
    """Wait for what asyncpg leaves behind of a refused login: TLS that is about to end."""
    transports = getattr(asyncio.get_running_loop(), "_transports", {})
    while any(not transport.is_closing() or transport._sock for transport in transports.values()):
        await asyncio.sleep(0.01)


def refusal(opener: Opener, database: azpg.Database, **given: object) -> Exception:
    patience = {"timeout": POOL_GIVES_UP} if opener in [OPENERS[name][1] for name in POOLS] else {}
    with pytest.raises(Exception) as caught:  # noqa: PT011 - each driver has its own
        pids(opener, database, **given, **patience)
    return caught.value


def notes(error: BaseException) -> str:
    """Return what was noted on an error and on those it wraps."""
    own = "\n".join(getattr(error, "__notes__", ()))
    return own + (notes(error.__cause__) if error.__cause__ else "")


@pytest.mark.parametrize("opener", openers())
def test_the_environment_alone_will_do(environ: dict[str, str], opener: Opener) -> None:
    assert len(pids(opener, count=2)) == 2


@pytest.mark.parametrize("opener", openers())
def test_a_refused_token_is_replaced_once(
    sandbox: Sandbox, database: azpg.Database, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after keys were rotated: the cached token is refused, the next one is not."""
    monkeypatch.setattr(tokens, "JUST_ISSUED", 0.0)
    database.password()
    sandbox.revoke_tokens()
    assert pids(opener, database)
    assert (sandbox.token_requests, sandbox.refused_logins) == (2, 1)


@pytest.mark.parametrize("opener", openers(*RAISING))
def test_a_fresh_token_that_is_refused_is_not_retried(
    sandbox: Sandbox, database: azpg.Database, opener: Opener
) -> None:
    sandbox.faults(clock_skew=200_000)  # to the server every token is long dead
    error = refusal(opener, database)
    assert type(error).__module__.partition(".")[0] in DRIVERS
    assert "The access token has expired" in str(error)
    assert (sandbox.token_requests, sandbox.refused_logins) == (1, 1)
    assert "compare this machine's clock" in notes(error)


@pytest.mark.parametrize("opener", openers(*POOLS))
def test_a_pool_logs_what_to_do(
    sandbox: Sandbox, database: azpg.Database, opener: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.faults(clock_skew=200_000)
    error = refusal(opener, database)
    assert type(error).__name__ == "PoolTimeout"
    assert "The access token has expired" in caplog.text  # says the pool
    assert "a pool cannot connect: The token died before the login" in caplog.text


@pytest.mark.parametrize("opener", openers(*RAISING))
def test_a_refusal_that_no_token_mends_is_not_retried(
    sandbox: Sandbox, database: azpg.Database, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "JUST_ISSUED", 0.0)
    error = refusal(opener, database, user="user@contoso.example")
    assert "AAD_AUTH_TOKENTYPE_APP_USER" in str(error)
    assert "set AZURE_POSTGRESQL_USER" in notes(error)
    assert sandbox.refused_logins == 1


@pytest.mark.parametrize("opener", openers(*RAISING))
@pytest.mark.parametrize(
    ("given", "advice"),
    [
        ({"port": 1}, "Nothing answers there."),
        ({"port": "silent", "connect_timeout": 1}, "Nothing answers there."),
        ({"host": "no-such-host.invalid"}, "The server's name cannot be resolved"),
        ({"port": "plain"}, "The server wants TLS"),
        ({"host": "db.example.com", "hostaddr": "127.0.0.1"}, "is for another name"),
    ],
    ids=["refused", "silent", "unknown host", "no TLS", "certificate for another name"],
)
def test_what_the_network_does_is_explained_as_well(
    database: azpg.Database, opener: Opener, given: dict[str, Any], advice: str
) -> None:
    answers = {"silent": b"", "plain": b"N"}
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = given.get("port")
        if port in answers:
            threading.Thread(target=answer_all, args=(server, answers[port]), daemon=True).start()
            given = given | {"port": server.getsockname()[1]}
        error = refusal(opener, database, sslmode="verify-full", **given)
    assert advice in notes(error)


@pytest.mark.parametrize("opener", openers(*RAISING))
def test_a_password_given_is_tried_once(
    sandbox: Sandbox, database: azpg.Database, opener: Opener
) -> None:
    error = refusal(opener, database, password="hunter2")
    assert "a plain password was sent to a role that logs in" in notes(error)
    assert (sandbox.token_requests, sandbox.refused_logins) == (0, 1)


def test_a_password_given_is_the_right_one(sandbox: Sandbox, database: azpg.Database) -> None:
    password = sandbox.environ("secret", "django")["AZURE_POSTGRESQL_PASSWORD"]
    for packages, opener in OPENERS.values():
        if installed(*packages):
            assert pids(opener, database, user="app_password", password=password)
    assert sandbox.token_requests == 0


@pytest.mark.parametrize("opener", openers())
def test_a_token_goes_nowhere_in_clear(database: azpg.Database, opener: Opener) -> None:
    with pytest.raises(azpg.ConfigError, match="may send the token without TLS"):
        pids(opener, database, sslmode="prefer")


@pytest.mark.parametrize("opener", openers(*ASYNC))
def test_the_loop_goes_on_while_a_token_is_fetched_that_tells_the_user(
    sandbox: Sandbox, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in sandbox.environ("user-assigned", "django").items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AZURE_POSTGRESQL_USER")
    sandbox.faults(latency=1.0)

    async def user() -> str:
        async with opener() as open_one:
            held = await open_one()
            name: str = await held.ask("SELECT current_user::text")
            await held.close()
        return name

    async def main() -> None:
        longest, last = 0.0, time.monotonic()
        opening = asyncio.create_task(user())
        while not opening.done():
            await asyncio.sleep(0.01)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
        assert await opening == "azpg-identity"
        assert longest < 0.8  # of 1 s of latency

    asyncio.run(main())


@pytest.mark.parametrize("opener", openers())
def test_nothing_that_gets_out_has_a_secret(
    database: azpg.Database, opener: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    """Opened and refused, with all loggers wide open and asyncio's debug mode on."""

    async def main() -> str:
        async with opener(database) as open_one:
            held = await open_one()
            text = f"{held.raw!r} {getattr(held.raw, 'engine', None)!r}"
            await held.close()
        return text

    with caplog.at_level(logging.DEBUG):
        text = asyncio.run(main(), debug=True)
        error = refusal(opener, database, dbname="missing")
    text += "".join(traceback.format_exception(error)) + caplog.text
    assert 'database "missing" does not exist' in text
    assert database.password()[-40:] not in text


@pytest.mark.parametrize(
    ("missing", "call"),
    [
        ("psycopg", lambda: azpg.psycopg_connect(DATABASE)),
        ("psycopg", lambda: asyncio.run(azpg.psycopg_aconnect(DATABASE))),
        ("psycopg", lambda: azpg.psycopg_pool(DATABASE)),
        ("psycopg_pool", lambda: azpg.psycopg_pool(DATABASE)),
        ("psycopg_pool", lambda: azpg.psycopg_apool(DATABASE)),
        ("asyncpg", lambda: asyncio.run(azpg.asyncpg_connect(DATABASE))),
        ("asyncpg", lambda: azpg.asyncpg_pool(DATABASE)),
        ("sqlalchemy", lambda: azpg.sqlalchemy_engine(DATABASE)),
        ("psycopg", lambda: azpg.sqlalchemy_engine(DATABASE, driver="psycopg")),
        ("asyncpg", lambda: azpg.sqlalchemy_async_engine(DATABASE)),
    ],
)
def test_a_missing_extra_is_named_with_the_command(
    missing: str, call: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(azpg.MissingExtraError, match="pip install") as caught:
        call()
    extra = missing.partition("_")[0]
    if f"azpg-bootstrap[{extra}]" not in str(caught.value):
        assert not installed("sqlalchemy")  # which is then what is missing first


@pytest.mark.skipif(not installed("psycopg_pool"), reason="an extra is missing")
def test_a_pools_own_arguments(database: azpg.Database) -> None:
    import psycopg

    class Own(psycopg.Connection[dict[str, object]]):
        pass

    with (
        azpg.psycopg_pool(
            database,
            connection_class=Own,
            conninfo="application_name=till options='-c statement_timeout=7s'",
            kwargs=lambda: {"row_factory": psycopg.rows.dict_row, "application_name": "safe"},
            min_size=1,
        ) as pool,
        pool.connection() as connection,
    ):
        assert type(connection) is Own
        query = "SELECT current_setting('application_name') AS name, current_setting"
        row = connection.execute(query + "('statement_timeout') AS timeout").fetchone()
    assert row == {"name": "safe", "timeout": "7s"}


@pytest.mark.skipif(not installed("sqlalchemy"), reason="an extra is missing")
def test_an_engines_own_arguments(database: azpg.Database) -> None:
    from sqlalchemy import create_engine, exc
    from sqlalchemy.pool import NullPool

    engine = azpg.sqlalchemy_engine(
        database, poolclass=NullPool, connect_args={"application_name": "till"}
    )
    with engine.connect() as connection:
        name = connection.exec_driver_sql("SELECT current_setting('application_name')").scalar()
        assert (name, type(engine.pool)) == ("till", NullPool)
        with pytest.raises(exc.ProgrammingError) as caught:
            connection.exec_driver_sql("CREATE TABLE pg_catalog.no (no int)")
        assert "permission denied for schema" in str(caught.value)
        assert "GRANT USAGE, CREATE ON SCHEMA" in notes(caught.value)
    assert str(engine.url).startswith("postgresql+psycopg2://aad_system@localhost:")
    for url in ("sqlite://", "postgresql+pg8000://"):
        with pytest.raises((azpg.ConfigError, ImportError)):
            azpg.attach(create_engine(url), database)


def test_types_and_arguments_are_the_drivers_own(database: azpg.Database) -> None:
    assert isinstance(azpg.psycopg2_connect(database), psycopg2.extensions.connection)
