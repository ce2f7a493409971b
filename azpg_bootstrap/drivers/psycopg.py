"""psycopg2, psycopg 3 and psycopg_pool."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar, overload

from azpg_bootstrap.database import Database
from azpg_bootstrap.drivers.login import alogin, extra, logged, login
from azpg_bootstrap.parameters import is_pgbouncer

if TYPE_CHECKING:
    from psycopg import AsyncConnection, Connection
    from psycopg.rows import AsyncRowFactory, Row, RowFactory, TupleRow
    from psycopg2.extensions import connection as Psycopg2Connection  # noqa: N812
    from psycopg_pool import AsyncConnectionPool, ConnectionPool

    Own = TypeVar("Own", bound=Psycopg2Connection)
    SyncC = TypeVar("SyncC", bound=Connection[Any])
    AsyncC = TypeVar("AsyncC", bound=AsyncConnection[Any])

Opened = TypeVar("Opened")


@overload
def psycopg2_connect(
    database: Database | None = None, /, *, connection_factory: Callable[..., Own], **keywords: Any
) -> Own: ...


@overload
def psycopg2_connect(
    database: Database | None = None, /, *, connection_factory: None = None, **keywords: Any
) -> Psycopg2Connection: ...


def psycopg2_connect(database: Database | None = None, /, **keywords: Any) -> Psycopg2Connection:
    """Open a psycopg2 connection.

    Raises psycopg2.OperationalError with a note on what to do, ConfigError and TokenError.
    """
    import psycopg2  # noqa: PLC0415 - not everybody's driver

    connection: Psycopg2Connection = login(
        database or Database.from_env(), psycopg2.connect, keywords
    )
    return connection


@overload
def psycopg_connect(
    database: Database | None = None, /, *, row_factory: RowFactory[Row], **keywords: Any
) -> Connection[Row]: ...


@overload
def psycopg_connect(
    database: Database | None = None, /, *, row_factory: None = None, **keywords: Any
) -> Connection[TupleRow]: ...


def psycopg_connect(database: Database | None = None, /, **keywords: Any) -> Connection[Any]:
    """Open a psycopg 3 connection.

    Raises psycopg.OperationalError with a note on what to do, ConfigError, TokenError and
    MissingExtraError.
    """
    with extra("psycopg"):
        from psycopg import Connection  # noqa: PLC0415 - an extra

    return login(database or Database.from_env(), unprepared(Connection.connect), keywords)


@overload
async def psycopg_aconnect(
    database: Database | None = None, /, *, row_factory: AsyncRowFactory[Row], **keywords: Any
) -> AsyncConnection[Row]: ...


@overload
async def psycopg_aconnect(
    database: Database | None = None, /, *, row_factory: None = None, **keywords: Any
) -> AsyncConnection[TupleRow]: ...


async def psycopg_aconnect(
    database: Database | None = None, /, **keywords: Any
) -> AsyncConnection[Any]:
    """Open an asynchronous psycopg 3 connection; see `psycopg_connect`."""
    with extra("psycopg"):
        from psycopg import AsyncConnection  # noqa: PLC0415 - an extra

    connect = unprepared(AsyncConnection.connect)
    return await alogin(database or Database.from_env(), connect, keywords)


@overload
def psycopg_pool(
    database: Database | None = None, /, *, connection_class: type[SyncC], **keywords: Any
) -> ConnectionPool[SyncC]: ...


@overload
def psycopg_pool(
    database: Database | None = None, /, **keywords: Any
) -> ConnectionPool[Connection[TupleRow]]: ...


def psycopg_pool(database: Database | None = None, /, **keywords: Any) -> ConnectionPool[Any]:
    """Make a psycopg_pool.ConnectionPool that asks for a token at each connection it opens.

    Keywords are the pool's own; its `kwargs` and `conninfo` win over the environment. Raises
    ConfigError and MissingExtraError. The pool logs why it cannot connect, and we what to do.
    """
    with extra("psycopg"):
        from psycopg import Connection  # noqa: PLC0415 - an extra
        from psycopg_pool import ConnectionPool  # noqa: PLC0415 - an extra

    database = _checked(database or Database.from_env(), keywords)
    connect = unprepared(keywords.pop("connection_class", Connection).connect)

    def connect_anew(conninfo: str, **given: Any) -> Any:
        with logged():
            return login(database, connect, _parsed(conninfo) | given)

    return ConnectionPool(**keywords, connection_class=_asked_for(connect_anew))


@overload
def psycopg_apool(
    database: Database | None = None, /, *, connection_class: type[AsyncC], **keywords: Any
) -> AsyncConnectionPool[AsyncC]: ...


@overload
def psycopg_apool(
    database: Database | None = None, /, **keywords: Any
) -> AsyncConnectionPool[AsyncConnection[TupleRow]]: ...


def psycopg_apool(database: Database | None = None, /, **keywords: Any) -> AsyncConnectionPool[Any]:
    """Make a psycopg_pool.AsyncConnectionPool; see `psycopg_pool`."""
    with extra("psycopg"):
        from psycopg import AsyncConnection  # noqa: PLC0415 - an extra
        from psycopg_pool import AsyncConnectionPool  # noqa: PLC0415 - an extra

    database = _checked(database or Database.from_env(), keywords)
    connect = unprepared(keywords.pop("connection_class", AsyncConnection).connect)

    async def connect_anew(conninfo: str, **given: Any) -> Any:
        with logged():
            return await alogin(database, connect, _parsed(conninfo) | given)

    return AsyncConnectionPool(**keywords, connection_class=_asked_for(connect_anew))


def unprepared(connect: Callable[..., Opened]) -> Callable[..., Opened]:
    """Let psycopg 3 prepare no statements where PgBouncer may run each on another connection."""

    def connect_with_default(**params: Any) -> Opened:
        if is_pgbouncer(params["port"]):
            params.setdefault("prepare_threshold", None)
        return connect(**params)

    return connect_with_default


def _asked_for(connect: Callable[..., Any]) -> Any:
    """Return what stands for a class of connections: a pool asks it for a new one, no more.

    A pool's callable for `kwargs` could give a fresh token too, but not a second try.
    """
    return SimpleNamespace(connect=connect)


def _checked(database: Database, keywords: Mapping[str, Any]) -> Database:
    """Raise now what a thread of the pool would run into again and again."""
    conninfo, given = keywords.get("conninfo") or "", keywords.get("kwargs") or {}
    if not callable(conninfo) and not callable(given):
        # Any user will do: to ask for the token's own could take a while.
        database.params(**{"user": "", **_parsed(conninfo), **given})
    return database


def _parsed(conninfo: str) -> dict[str, Any]:
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415 - an extra

    return conninfo_to_dict(conninfo)
