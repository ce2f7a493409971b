"""SQLAlchemy 2: engines whose event for a new connection logs in by a database."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from azpg_bootstrap.database import Database
from azpg_bootstrap.drivers.asyncpg import asyncpg_connect
from azpg_bootstrap.drivers.login import extra, login
from azpg_bootstrap.drivers.psycopg import psycopg_aconnect, unprepared
from azpg_bootstrap.errors import ConfigError
from azpg_bootstrap.hints import explain
from azpg_bootstrap.parameters import is_pgbouncer

if TYPE_CHECKING:
    from sqlalchemy import URL, Dialect, Engine, ExceptionContext
    from sqlalchemy.ext.asyncio import AsyncEngine

    AnyEngine = TypeVar("AnyEngine", Engine, AsyncEngine)

SyncDriver = Literal["psycopg2", "psycopg"]
AsyncDriver = Literal["asyncpg", "psycopg"]

EXTRAS: Final = {"psycopg": "psycopg", "asyncpg": "asyncpg", "psycopg2": "sqlalchemy"}
"""What brings each driver; psycopg2 is always there."""


def sqlalchemy_engine(
    database: Database | None = None, /, *, driver: SyncDriver = "psycopg2", **keywords: Any
) -> Engine:
    """Make an Engine that asks for a token at each connection it opens.

    Keywords are those of create_engine; its `connect_args` win over the environment. Raises
    ConfigError and MissingExtraError.
    """
    with extra("sqlalchemy"):
        from sqlalchemy import create_engine  # noqa: PLC0415 - an extra

    database = database or Database.from_env()
    with extra(EXTRAS[driver]):
        engine = create_engine(_url(database, driver), **keywords)
    return attach(engine, database)


def sqlalchemy_async_engine(
    database: Database | None = None, /, *, driver: AsyncDriver = "asyncpg", **keywords: Any
) -> AsyncEngine:
    """Make an AsyncEngine; see `sqlalchemy_engine`."""
    with extra("sqlalchemy"):
        from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415 - an extra

    database = database or Database.from_env()
    with extra(EXTRAS[driver]):
        engine = create_async_engine(_url(database, driver), **keywords)
    return attach(engine, database)


def attach(engine: AnyEngine, database: Database | None = None, /) -> AnyEngine:
    """Let an engine open its connections by a database from now on; return the engine.

    What the engine's URL and `connect_args` say wins over the environment. An engine for another
    driver than psycopg2, psycopg and asyncpg is a ConfigError.
    """
    from sqlalchemy import event  # noqa: PLC0415 - there is an engine already

    database = database or Database.from_env()
    inner = getattr(engine, "sync_engine", engine)
    if inner.dialect.name != "postgresql" or inner.dialect.driver not in EXTRAS:
        raise ConfigError("the engine must be for postgresql+psycopg2, +psycopg or +asyncpg")
    event.listen(inner, "do_connect", partial(_connect, database))
    event.listen(inner, "handle_error", _explain)
    return engine


def _connect(
    database: Database, dialect: Dialect, _record: Any, arguments: Any, keywords: dict[str, Any]
) -> Any:
    """Answer the event `do_connect`: within it a driver's own error is still bare."""
    if not dialect.is_async:
        connect = partial(dialect.connect, *arguments)
        return login(
            database, unprepared(connect) if dialect.driver == "psycopg" else connect, keywords
        )
    if dialect.driver == "asyncpg" and is_pgbouncer(keywords.get("port", database.profile.port)):
        # Unnamed, as a name would stay behind on a connection that others get next.
        keywords.setdefault("prepared_statement_cache_size", 0)
        keywords.setdefault("prepared_statement_name_func", str)
    aconnect: Any = asyncpg_connect if dialect.driver == "asyncpg" else psycopg_aconnect
    # Its first argument is the URL's own string, which has nothing that the keywords have not.
    keywords.setdefault("async_creator_fn", lambda *_, **given: aconnect(database, **given))
    return None  # SQLAlchemy goes on with the keywords as they are now


def _explain(context: ExceptionContext) -> None:
    driver_error = context.original_exception
    explain(context.sqlalchemy_exception or driver_error, driver_error)


def _url(database: Database, driver: str) -> URL:
    """Return the engine's URL, for people to read: it tells nothing that is secret."""
    from sqlalchemy import URL  # noqa: PLC0415 - an extra

    profile = database.profile
    return URL.create(
        f"postgresql+{driver}",
        username=profile.user,
        host=profile.host,
        port=profile.port,
        database=profile.database,
    )
