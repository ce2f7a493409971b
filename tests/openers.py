"""Every function that opens connections, in one shape: open one more, ask it something, close it.

Synchronous drivers run in threads, so that a test can let all of them work at the same time.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any, Literal

import pytest

import azpg_bootstrap as azpg

PID = "SELECT pg_backend_pid()"

MOST = 50
"""Connections that a pool may have here: more than any test opens."""


@dataclass(frozen=True)
class Held:
    """An open connection."""

    raw: Any
    ask: Callable[[str], Awaitable[Any]]
    close: Callable[[], Awaitable[None]]


Open = Callable[[], Awaitable[Held]]
Opener = Callable[..., AbstractAsyncContextManager[Open]]


def held(raw: Any, ask: Callable[[str], Any], *closing: Callable[[], Any]) -> Held:
    async def close() -> None:
        for step in closing:
            await asyncio.to_thread(step)

    return Held(raw, partial(asyncio.to_thread, ask), close)


def ask_cursor(connection: Any, query: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchone()[0]


def connecting(function: Callable[..., Any]) -> Opener:
    @asynccontextmanager
    async def opener(database: azpg.Database | None = None, **given: Any) -> AsyncIterator[Open]:
        async def open_one() -> Held:
            raw = await asyncio.to_thread(function, database, **given)
            return held(raw, partial(ask_cursor, raw), raw.close)

        yield open_one

    return opener


@asynccontextmanager
async def psycopg_pool(
    database: azpg.Database | None = None, *, timeout: float = 30, **given: Any
) -> AsyncIterator[Open]:
    pool = azpg.psycopg_pool(
        database, min_size=0, max_size=MOST, open=True, timeout=timeout, kwargs=given
    )

    async def open_one() -> Held:
        raw = await asyncio.to_thread(pool.getconn)
        return held(raw, partial(ask_cursor, raw), raw.close, partial(pool.putconn, raw))

    try:
        yield open_one
    finally:
        await asyncio.to_thread(pool.close)


@asynccontextmanager
async def psycopg_apool(
    database: azpg.Database | None = None, *, timeout: float = 30, **given: Any
) -> AsyncIterator[Open]:
    async with azpg.psycopg_apool(
        database, min_size=0, max_size=MOST, open=False, timeout=timeout, kwargs=given
    ) as pool:

        async def open_one() -> Held:
            raw = await pool.getconn()

            async def close() -> None:
                await raw.close()
                await pool.putconn(raw)

            return Held(raw, partial(ask_async_cursor, raw), close)

        yield open_one


async def ask_async_cursor(connection: Any, query: str) -> Any:
    cursor = await connection.execute(query)
    return (await cursor.fetchone())[0]


@asynccontextmanager
async def psycopg_aconnect(
    database: azpg.Database | None = None, **given: Any
) -> AsyncIterator[Open]:
    async def open_one() -> Held:
        raw = await azpg.psycopg_aconnect(database, **given)
        return Held(raw, partial(ask_async_cursor, raw), raw.close)

    yield open_one


def in_asyncpgs_words(libpq: dict[str, Any]) -> dict[str, Any]:
    words = {"dbname": "database", "sslmode": "ssl"}
    return {words.get(key, key): value for key, value in libpq.items()}


@asynccontextmanager
async def asyncpg_connect(
    database: azpg.Database | None = None, **given: Any
) -> AsyncIterator[Open]:
    async def open_one() -> Held:
        raw = await azpg.asyncpg_connect(database, **in_asyncpgs_words(given))
        return Held(raw, raw.fetchval, raw.close)

    yield open_one


@asynccontextmanager
async def asyncpg_pool(database: azpg.Database | None = None, **given: Any) -> AsyncIterator[Open]:
    async with azpg.asyncpg_pool(
        database, min_size=0, max_size=MOST, **in_asyncpgs_words(given)
    ) as pool:

        async def open_one() -> Held:
            raw = await pool.acquire()

            async def close() -> None:
                await raw.close()
                await pool.release(raw)

            return Held(raw, raw.fetchval, close)

        yield open_one


def with_engine(make: Callable[..., Any]) -> Opener:
    @asynccontextmanager
    async def opener(database: azpg.Database | None = None, **given: Any) -> AsyncIterator[Open]:
        engine = make(database, max_overflow=MOST, connect_args=given)

        async def open_one() -> Held:
            raw = await asyncio.to_thread(engine.connect)
            return held(
                raw, lambda query: raw.exec_driver_sql(query).scalar(), raw.invalidate, raw.close
            )

        try:
            yield open_one
        finally:
            await asyncio.to_thread(engine.dispose)

    return opener


def with_async_engine(
    driver: Literal["asyncpg", "psycopg"], make: Callable[..., Any] | None = None
) -> Opener:
    make = make or partial(azpg.sqlalchemy_async_engine, driver=driver)

    @asynccontextmanager
    async def opener(database: azpg.Database | None = None, **given: Any) -> AsyncIterator[Open]:
        given = in_asyncpgs_words(given) if driver == "asyncpg" else given
        engine = make(database, max_overflow=MOST, connect_args=given)

        async def open_one() -> Held:
            raw = await engine.connect()

            async def ask(query: str) -> Any:
                return (await raw.exec_driver_sql(query)).scalar()

            async def close() -> None:
                await raw.invalidate()
                await raw.close()

            return Held(raw, ask, close)

        try:
            yield open_one
        finally:
            await engine.dispose()

    return opener


def attached(url: str) -> Callable[..., Any]:
    """Return what makes an engine the user's way, and attaches the database to it."""

    def make(database: azpg.Database | None, **keywords: Any) -> Any:
        import sqlalchemy

        return azpg.attach(sqlalchemy.create_engine(url, **keywords), database)

    return make


def attached_async(url: str) -> Callable[..., Any]:
    def make(database: azpg.Database | None, **keywords: Any) -> Any:
        from sqlalchemy.ext.asyncio import create_async_engine

        return azpg.attach(create_async_engine(url, **keywords), database)

    return make


OPENERS: dict[str, tuple[tuple[str, ...], Opener]] = {
    "psycopg2_connect": ((), connecting(azpg.psycopg2_connect)),
    "psycopg_connect": (("psycopg",), connecting(azpg.psycopg_connect)),
    "psycopg_aconnect": (("psycopg",), psycopg_aconnect),
    "psycopg_pool": (("psycopg_pool",), psycopg_pool),
    "psycopg_apool": (("psycopg_pool",), psycopg_apool),
    "asyncpg_connect": (("asyncpg",), asyncpg_connect),
    "asyncpg_pool": (("asyncpg",), asyncpg_pool),
    "engine_psycopg2": (
        ("sqlalchemy",),
        with_engine(partial(azpg.sqlalchemy_engine, driver="psycopg2")),
    ),
    "engine_psycopg": (
        ("sqlalchemy", "psycopg"),
        with_engine(partial(azpg.sqlalchemy_engine, driver="psycopg")),
    ),
    "engine_attached": (("sqlalchemy",), with_engine(attached("postgresql+psycopg2://"))),
    "async_engine_asyncpg": (
        ("sqlalchemy", "greenlet", "asyncpg"),
        with_async_engine("asyncpg"),
    ),
    "async_engine_psycopg": (
        ("sqlalchemy", "greenlet", "psycopg"),
        with_async_engine("psycopg"),
    ),
    "async_engine_attached": (
        ("sqlalchemy", "greenlet", "psycopg"),
        with_async_engine("psycopg", attached_async("postgresql+psycopg://")),
    ),
}
"""By name: the packages it takes and how it opens connections; its keywords are libpq's."""

ASYNC = [name for name in OPENERS if "async" in name] + ["psycopg_aconnect", "psycopg_apool"]

POOLS = ("psycopg_pool", "psycopg_apool")
"""Pools that connect in the background: errors are logged, and a PoolTimeout is raised."""

RAISING = [name for name in OPENERS if name not in POOLS]


def installed(*packages: str) -> bool:
    return all(find_spec(package) for package in packages)


def openers(*names: str) -> list[Any]:
    """Return parameters for a test: openers, each skipped where its packages are missing."""
    return [
        pytest.param(
            opener,
            id=name,
            marks=pytest.mark.skipif(not installed(*packages), reason="an extra is missing"),
        )
        for name, (packages, opener) in OPENERS.items()
        if name in (names or OPENERS)
    ]
