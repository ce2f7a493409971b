"""PostgreSQL connections from the variables that Azure Service Connector sets.

Nothing is read or imported beyond this file until it is asked for: a Functions worker gets its
environment after it has been started, and start-up time is paid by every user.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from azpg_bootstrap.database import Database, connect, prefetch
    from azpg_bootstrap.drivers import (
        asyncpg_connect,
        asyncpg_pool,
        attach,
        psycopg2_connect,
        psycopg_aconnect,
        psycopg_apool,
        psycopg_connect,
        psycopg_pool,
        sqlalchemy_async_engine,
        sqlalchemy_engine,
    )
    from azpg_bootstrap.environment import pg_environ
    from azpg_bootstrap.errors import AzpgError, ConfigError, MissingExtraError, TokenError
    from azpg_bootstrap.hints import explain
    from azpg_bootstrap.methods import AuthMethod, choose
    from azpg_bootstrap.settings import Settings, load_settings

__all__ = [
    "AuthMethod",
    "AzpgError",
    "ConfigError",
    "Database",
    "MissingExtraError",
    "Settings",
    "TokenError",
    "asyncpg_connect",
    "asyncpg_pool",
    "attach",
    "choose",
    "connect",
    "explain",
    "load_settings",
    "pg_environ",
    "prefetch",
    "psycopg2_connect",
    "psycopg_aconnect",
    "psycopg_apool",
    "psycopg_connect",
    "psycopg_pool",
    "sqlalchemy_async_engine",
    "sqlalchemy_engine",
]

_HOMES = {
    "AuthMethod": "methods",
    "AzpgError": "errors",
    "ConfigError": "errors",
    "Database": "database",
    "MissingExtraError": "errors",
    "Settings": "settings",
    "TokenError": "errors",
    "asyncpg_connect": "drivers",
    "asyncpg_pool": "drivers",
    "attach": "drivers",
    "choose": "methods",
    "connect": "database",
    "explain": "hints",
    "load_settings": "settings",
    "pg_environ": "environment",
    "prefetch": "database",
    "psycopg2_connect": "drivers",
    "psycopg_aconnect": "drivers",
    "psycopg_apool": "drivers",
    "psycopg_connect": "drivers",
    "psycopg_pool": "drivers",
    "sqlalchemy_async_engine": "drivers",
    "sqlalchemy_engine": "drivers",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
