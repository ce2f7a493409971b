"""One call from the environment to a connection, with nothing imported that can wait."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from azpg_bootstrap import auth
from azpg_bootstrap.errors import ConfigError
from azpg_bootstrap.reading import NOTHING, read

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from psycopg2.extensions import connection as Psycopg2Connection  # noqa: N812

IDENTIFYING: Final = frozenset({"host", "port", "dbname", "user", "password", "sslmode"})
"""libpq keywords that settings are made of; the others only pass through."""


def connect(
    connection: str | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    credential: TokenCredential | None = None,
    **libpq: Any,
) -> Psycopg2Connection:
    """Open a psycopg2 connection to the database that AZURE_POSTGRESQL_* describe.

    `connection` names a further Service Connector connection: "reporting" reads
    AZURE_POSTGRESQL_REPORTING_*. `credential`, any azure-core token credential, takes the place of
    the identity that the variables name. libpq keywords, and psycopg2's own arguments, win over
    the environment. Raises psycopg2.OperationalError with a note on what to do, ConfigError and
    TokenError.
    """
    given = {key: value for key, value in libpq.items() if key in IDENTIFYING and value is not None}
    if credential is None:
        prefetch(connection, environ=environ, given=given)
    from azpg_bootstrap.database import Database  # noqa: PLC0415 - the token is on its way by now

    database = Database.from_env(connection, environ=environ, given=given, credential=credential)
    return database.connect(**libpq)


def prefetch(
    connection: str | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    given: Mapping[str, Any] = NOTHING,
) -> None:
    """Begin to fetch the token that a connection will need, if it is a managed identity's.

    Meant for the first line of a program: it takes a millisecond, and the token comes while the
    program imports the rest. Never raises: whatever is wrong, `connect` will say.
    """
    with suppress(ConfigError):
        auth.prefetch(read(connection, environ, given))
