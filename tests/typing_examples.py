"""What a user's type checker is told; checked by mypy, never run."""

from typing import Any, assert_type

from asyncpg import Connection as AsyncpgConnection
from asyncpg import Pool, Record
from psycopg import AsyncConnection, Connection
from psycopg.rows import DictRow, TupleRow, dict_row
from psycopg2.extensions import connection as Psycopg2Connection  # noqa: N812
from psycopg2.extras import LoggingConnection
from psycopg_pool import AsyncConnectionPool, ConnectionPool
from sqlalchemy import Engine, create_engine
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

import azpg_bootstrap as azpg


class OwnConnection(Connection[TupleRow]):
    """A connection of one's own."""


class OwnAsyncConnection(AsyncConnection[TupleRow]):
    """The same, asynchronous."""


class OwnAsyncpgConnection(AsyncpgConnection[Record]):
    """The same, asyncpg's."""


class OwnRecord(Record):
    """A record of one's own."""


def base() -> None:
    database = azpg.Database.from_env("reporting")
    assert_type(database.password(), str)
    assert_type(database.params(), dict[str, Any])
    assert_type(azpg.connect(), Psycopg2Connection)
    assert_type(azpg.psycopg2_connect(database, connect_timeout=5), Psycopg2Connection)
    assert_type(azpg.connect(connection_factory=LoggingConnection), LoggingConnection)
    assert_type(database.connect(connection_factory=LoggingConnection), LoggingConnection)
    own = azpg.psycopg2_connect(database, connection_factory=LoggingConnection)
    assert_type(own, LoggingConnection)


def psycopg() -> None:
    assert_type(azpg.psycopg_connect(), Connection[TupleRow])
    assert_type(azpg.psycopg_connect(row_factory=dict_row), Connection[DictRow])
    assert_type(azpg.psycopg_pool(min_size=1), ConnectionPool[Connection[TupleRow]])
    assert_type(azpg.psycopg_pool(connection_class=OwnConnection), ConnectionPool[OwnConnection])


async def psycopg_async() -> None:
    assert_type(await azpg.psycopg_aconnect(), AsyncConnection[TupleRow])
    assert_type(await azpg.psycopg_aconnect(row_factory=dict_row), AsyncConnection[DictRow])
    assert_type(azpg.psycopg_apool(), AsyncConnectionPool[AsyncConnection[TupleRow]])
    pool = azpg.psycopg_apool(connection_class=OwnAsyncConnection)
    assert_type(pool, AsyncConnectionPool[OwnAsyncConnection])


async def asyncpg() -> None:
    assert_type(await azpg.asyncpg_connect(timeout=5), AsyncpgConnection[Record])
    assert_type(azpg.asyncpg_pool(max_size=5), Pool[Record])
    own = await azpg.asyncpg_connect(connection_class=OwnAsyncpgConnection)
    assert_type(own, OwnAsyncpgConnection)
    records = await azpg.asyncpg_connect(record_class=OwnRecord)
    assert_type(records, AsyncpgConnection[OwnRecord])
    assert_type(azpg.asyncpg_pool(record_class=OwnRecord), Pool[OwnRecord])


def sqlalchemy() -> None:
    assert_type(azpg.sqlalchemy_engine(driver="psycopg", pool_size=5), Engine)
    assert_type(azpg.sqlalchemy_async_engine(driver="asyncpg"), AsyncEngine)
    assert_type(azpg.attach(create_engine("postgresql+psycopg2://")), Engine)
    assert_type(azpg.attach(create_async_engine("postgresql+asyncpg://")), AsyncEngine)
