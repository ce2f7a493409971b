"""asyncpg, which does without libpq: its keywords are translated both ways."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from azpg_bootstrap.database import Database
from azpg_bootstrap.drivers import tls
from azpg_bootstrap.drivers.login import alogin, extra
from azpg_bootstrap.dsn import is_keyword
from azpg_bootstrap.errors import ConfigError
from azpg_bootstrap.parameters import is_pgbouncer

if TYPE_CHECKING:
    from asyncpg import Connection, Pool, Record

    OwnConnection = TypeVar("OwnConnection", bound=Connection[Any])
    OwnRecord = TypeVar("OwnRecord", bound=Record)

SAME: Final = frozenset(
    """host port user password passfile service target_session_attrs krbsrvname gsslib""".split()
)
"""Keywords that asyncpg has under the same name."""

SERVER_SETTINGS: Final = ("application_name", "options")
"""libpq's keywords that the server reads, not the client."""

LEFT_OUT: Final = frozenset(
    """keepalives keepalives_idle keepalives_interval keepalives_count tcp_user_timeout
    gssencmode client_encoding fallback_application_name sslcompression sslsni
    load_balance_hosts""".split()
)
"""Keywords that mean nothing to asyncpg: it leaves sockets to the operating system's settings, has
no GSS encryption, speaks UTF-8 and tries hosts in their order."""

TRANSLATED: Final = frozenset(
    {*tls.KEYWORDS, *SERVER_SETTINGS, "dbname", "hostaddr", "connect_timeout", "sslnegotiation"}
)


@overload
async def asyncpg_connect(
    database: Database | None = None, /, *, connection_class: type[OwnConnection], **keywords: Any
) -> OwnConnection: ...


@overload
async def asyncpg_connect(
    database: Database | None = None, /, *, record_class: type[OwnRecord], **keywords: Any
) -> Connection[OwnRecord]: ...


@overload
async def asyncpg_connect(
    database: Database | None = None, /, **keywords: Any
) -> Connection[Record]: ...


async def asyncpg_connect(database: Database | None = None, /, **keywords: Any) -> Connection[Any]:
    """Open an asyncpg connection; keywords are asyncpg's own, but for `dsn`.

    Raises asyncpg's errors with a note on what to do, ConfigError, TokenError and
    MissingExtraError.
    """
    with extra("asyncpg"):
        import asyncpg  # noqa: PLC0415 - an extra

    connection: Connection[Record] = await _login(
        database or Database.from_env(), asyncpg.connect, keywords
    )
    return connection


@overload
def asyncpg_pool(
    database: Database | None = None, /, *, record_class: type[OwnRecord], **keywords: Any
) -> Pool[OwnRecord]: ...


@overload
def asyncpg_pool(database: Database | None = None, /, **keywords: Any) -> Pool[Record]: ...


def asyncpg_pool(database: Database | None = None, /, **keywords: Any) -> Pool[Any]:
    """Make an asyncpg pool that asks for a token at each connection it opens.

    Keywords are those of asyncpg.create_pool, but for `dsn`. Raises as `asyncpg_connect` does,
    once the pool is awaited or entered.
    """
    with extra("asyncpg"):
        import asyncpg  # noqa: PLC0415 - an extra

    database = database or Database.from_env()
    connect = keywords.pop("connect", asyncpg.connect)

    async def connect_anew(dsn: str | None, **given: Any) -> Any:
        return await _login(database, connect, {**given, "dsn": dsn})

    create_pool: Any = asyncpg.create_pool
    pool: Pool[Record] = create_pool(**keywords, connect=connect_anew)
    return pool


async def _login(
    database: Database, connect: Callable[..., Awaitable[Any]], keywords: Mapping[str, Any]
) -> Any:
    async def connect_by_libpq(**params: Any) -> Any:
        return await connect(**await from_libpq(params))

    return await alogin(database, connect_by_libpq, to_libpq(keywords))


def to_libpq(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Return asyncpg's keywords with libpq's where libpq has them; the others as they are."""
    given = dict(keywords)
    for key in ("host", "port"):
        if isinstance(given.get(key), list | tuple):
            given[key] = ",".join(map(str, given[key]))
    return given | _sslmode(given.get("ssl"))


def _sslmode(wish: Any) -> dict[str, Any]:
    """Return what asyncpg's `ssl` asks for; a context is taken at its word."""
    if wish is None:
        return {}
    if isinstance(wish, ssl.SSLContext):
        return {"sslmode": "require"}
    if isinstance(wish, bool):
        return {"sslmode": "verify-full" if wish else "disable"}
    # asyncpg's own enumeration of modes has underscores in its names.
    return {"sslmode": str(getattr(wish, "name", wish)).replace("_", "-")}


async def from_libpq(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return libpq's keywords as asyncpg's, with those that are asyncpg's own."""
    _refuse_what_asyncpg_lacks(params)
    ours = {key: value for key, value in params.items() if key not in TRANSLATED | LEFT_OUT}
    hosts = str(params["host"]).split(",")
    settings = {key: str(params[key]) for key in SERVER_SETTINGS if key in params}
    return {
        "timeout": _timeout(params, len(hosts)),
        "statement_cache_size": 0 if is_pgbouncer(params["port"]) else 100,  # asyncpg's default
        **ours,
        "host": str(params["hostaddr"]).split(",") if "hostaddr" in params else hosts,
        "port": _ports(params, len(hosts)),
        "database": params["dbname"],
        "ssl": await _ssl(params),
        "direct_tls": ours.get("direct_tls") or params.get("sslnegotiation") == "direct",
        "server_settings": settings | (ours.get("server_settings") or {}),
    }


def _refuse_what_asyncpg_lacks(params: Mapping[str, Any]) -> None:
    """Leave nothing out in silence that a connection might depend on."""
    known = SAME | TRANSLATED | LEFT_OUT
    lacking = [f"{key}=" for key in params if key not in known and is_keyword(key)]
    if lacking:
        raise ConfigError(
            *(f"{key} means something to libpq that asyncpg lacks" for key in lacking)
        )
    if "hostaddr" in params and "," in str(params["host"]):
        raise ConfigError("hostaddr= and more than one host cannot be had together with asyncpg")


def _ports(params: Mapping[str, Any], count: int) -> list[int]:
    ports = [int(_number("port", port)) for port in str(params["port"]).split(",")]
    return ports * count if len(ports) == 1 else ports


def _timeout(params: Mapping[str, Any], hosts: int) -> float | None:
    """Return seconds for all hosts together, as asyncpg has none for each; 0 is for ever.

    A host that hangs takes them all, where libpq goes on to the next.
    """
    seconds = _number("connect_timeout", params.get("connect_timeout", 0))
    return seconds * hosts if seconds > 0 else None


async def _ssl(params: Mapping[str, Any]) -> Any:
    if isinstance(params.get("ssl"), ssl.SSLContext):
        return params["ssl"]
    mode = params["sslmode"]
    if mode in {"allow", "prefer"}:
        return mode
    if mode == "disable":
        return False
    context = await asyncio.to_thread(tls.context, params)  # reads files
    if "hostaddr" in params:
        context.server_name = params["host"]
    return context


def _number(keyword: str, value: Any) -> float:
    try:
        return float(value)
    except ValueError:
        raise ConfigError(f"{keyword}= is no number") from None
