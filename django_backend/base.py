"""The engine: Django's own for PostgreSQL, with a good token at each new connection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.core.exceptions import ImproperlyConfigured
from django.db.backends.postgresql import base
from django.db.utils import OperationalError
from django.utils.functional import cached_property

import azpg_bootstrap as azpg
from django_backend import forks
from django_backend.client import DatabaseClient
from django_backend.errors import ExplainedErrors
from django_backend.pool import Connector, login

AZURE_CONNECTION: Final = "azure_connection"
"""The OPTIONS key that names a further Service Connector connection."""

KEYWORDS: Final = {
    "NAME": "dbname",
    "HOST": "host",
    "PORT": "port",
    "USER": "user",
    "PASSWORD": "password",
}
"""libpq's keywords for Django's settings of a database."""

if TYPE_CHECKING:
    Wrapper = base.DatabaseWrapper
else:
    Wrapper = object  # PostGIS has a wrapper of its own


class AzureConnection(Wrapper):
    """A PostgreSQL connection as the environment and, where they say more, the settings have it.

    A mixin for Django's wrappers.
    """

    client_class = DatabaseClient
    _connection_pools: ClassVar[dict[str, Any]] = forks.pools
    _found: tuple[object, azpg.Database] | None = None
    _is_taking_from_pool = False

    def __init__(self, settings_dict: dict[str, Any], alias: str = "default") -> None:
        super().__init__(settings_dict, alias=alias)
        forks.wrappers.add(self)
        # Only a connection needs a good environment: `check` and `collectstatic` run without.
        with suppress(azpg.ConfigError):
            database = self._azure_database()
            # Django gets here with the first model: the token comes while it imports the others.
            database.prefetch()
            self._complete_settings(database)

    def connect(self) -> None:
        """Connect, or take a connection from the pool: at each request, so that it is cheap."""
        # A copy without a pool may have the alias of a wrapper that has one.
        has_pool = bool(self.settings_dict["OPTIONS"].get("pool"))
        self._is_taking_from_pool = has_pool and self.alias in self._connection_pools
        try:
            super().connect()
        finally:
            self._is_taking_from_pool = False

    def get_connection_params(self) -> dict[str, Any]:
        """Return the keywords for one new connection, its password or token among them."""
        if self._is_taking_from_pool:
            return {}  # nobody reads them
        with self._in_djangos_words():
            database = self._azure_database()
            self._complete_settings(database)
            given = super().get_connection_params()
            given.pop(AZURE_CONNECTION, None)
            params = database.params(**given)
            if "password" not in params:
                params["password"] = database.password()
            return params

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Open a connection, or take one from the pool."""
        if pool := self.pool:
            with pool.connection_class.explaining():
                return super().get_new_connection(conn_params)
        connect = super().get_new_connection
        given = self.settings_dict["OPTIONS"].get("password")
        with self._in_djangos_words():
            return login(
                self._azure_database(), given, lambda **params: connect(params), conn_params
            )

    @property
    def pool(self) -> Any:
        """Django's native pool, which here asks for a token at each connection it opens."""
        pool = super().pool
        if pool is not None and not isinstance(pool.connection_class, Connector):
            # It is new and not yet open. Its keywords stay those of this moment, as in Django's
            # own engine, but for the password.
            pool.kwargs = {key: value for key, value in pool.kwargs.items() if key != "password"}
            given = self.settings_dict["OPTIONS"].get("password")
            pool.connection_class = Connector(self._azure_database(), given, pool.connection_class)
        return pool

    def close_pool(self) -> None:
        """Close the native pool, if there is one: Django would open it first."""
        if self.alias in self._connection_pools:
            super().close_pool()

    @cached_property
    def wrap_database_errors(self) -> ExplainedErrors:
        """Django's context for a driver's errors, with a note on what to do about them."""
        return ExplainedErrors(self)

    def _azure_database(self) -> azpg.Database:
        """Return the database; with a pool Django asks for its parameters at each request."""
        options = self.settings_dict["OPTIONS"]
        if options.get("service"):
            raise azpg.ConfigError(
                "OPTIONS has a service, whose file is not read here: give HOST, NAME and so on"
            )
        given = {
            keyword: value
            for key, keyword in KEYWORDS.items()
            if (value := self.settings_dict[key] or options.get(keyword))
        }
        if self.settings_dict["NAME"] is None:  # what Django makes and drops databases from
            given["dbname"] = "postgres"
        connection = options.get(AZURE_CONNECTION)
        if self._found is None or self._found[0] != (connection, given):
            self._found = (connection, given), azpg.Database.from_env(connection, given=given)
        return self._found[1]

    def _complete_settings(self, database: azpg.Database) -> None:
        """Fill in what is not secret: Django names its test databases after NAME, for one."""
        profile = database.profile
        found = {"NAME": profile.database, "HOST": profile.host, "PORT": str(profile.port)}
        for key, value in {**found, "USER": profile.user or ""}.items():
            if self.settings_dict[key] == "":
                self.settings_dict[key] = value
        if database.behind_pgbouncer:
            # A cursor between transactions would be another server connection's.
            self.settings_dict.setdefault("DISABLE_SERVER_SIDE_CURSORS", True)

    @contextmanager
    def _in_djangos_words(self) -> Iterator[None]:
        try:
            yield
        except azpg.ConfigError as error:
            raise ImproperlyConfigured(f"database {self.alias!r}: {error}") from error
        except azpg.TokenError as error:
            raise OperationalError(str(error)) from error


class DatabaseWrapper(AzureConnection, base.DatabaseWrapper):
    """Django's wrapper for PostgreSQL, connected by AZURE_POSTGRESQL_*."""
