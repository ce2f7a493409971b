"""One short function per driver, each on the driver's own hook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg2

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Psycopg2Connection  # noqa: N812

    from azpg_bootstrap.database import Database


def psycopg2_connect(database: Database, **libpq: Any) -> Psycopg2Connection:
    """Open a psycopg2 connection."""
    params = database.params(**libpq)
    for attempt in database.attempts(params.pop("password", None)):
        with attempt:
            connection: Psycopg2Connection = psycopg2.connect(**params, password=attempt.password())
            return connection
    raise AssertionError("the last attempt returns or raises")
