"""One short function per driver and shape, each on the driver's own hook.

Each takes the database first, and reads it from the environment where it is left out. Keyword
arguments are the driver's own and win. Drivers are imported when a function is called.
"""

from azpg_bootstrap.drivers.asyncpg import asyncpg_connect, asyncpg_pool
from azpg_bootstrap.drivers.psycopg import (
    psycopg2_connect,
    psycopg_aconnect,
    psycopg_apool,
    psycopg_connect,
    psycopg_pool,
)
from azpg_bootstrap.drivers.sqlalchemy import attach, sqlalchemy_async_engine, sqlalchemy_engine

__all__ = [
    "asyncpg_connect",
    "asyncpg_pool",
    "attach",
    "psycopg2_connect",
    "psycopg_aconnect",
    "psycopg_apool",
    "psycopg_connect",
    "psycopg_pool",
    "sqlalchemy_async_engine",
    "sqlalchemy_engine",
]
