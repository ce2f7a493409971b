"""The engine: Django's own for PostgreSQL, with a good token at each new connection."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.db.backends.postgresql import base
from django.db.utils import OperationalError

import azpg_bootstrap as azpg
from django_backend.client import DatabaseClient

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


class DatabaseWrapper(base.DatabaseWrapper):
    """A PostgreSQL connection as the environment and, where they say more, the settings have it."""

    client_class = DatabaseClient

    def __init__(self, settings_dict: dict[str, Any], alias: str = "default") -> None:
        super().__init__(settings_dict, alias)
        # Only a connection needs a good environment: `check` and `collectstatic` run without.
        with suppress(azpg.ConfigError):
            database = self._azure_database()
            # Django gets here with the first model: the token comes while it imports the others.
            database.prefetch()
            self._complete_settings(database)

    def get_connection_params(self) -> dict[str, Any]:
        """Return the keywords for one new connection, its password or token among them."""
        try:
            database = self._azure_database()
            self._complete_settings(database)
            given = super().get_connection_params()
            given.pop(AZURE_CONNECTION, None)
            params = database.params(**given)
            if "password" not in params:
                params["password"] = database.password()
            return params
        except azpg.ConfigError as error:
            raise ImproperlyConfigured(f"database {self.alias!r}: {error}") from error
        except azpg.TokenError as error:
            raise OperationalError(str(error)) from error

    def _azure_database(self) -> azpg.Database:
        given = {
            keyword: self.settings_dict[key]
            for key, keyword in KEYWORDS.items()
            if self.settings_dict[key]
        }
        if self.settings_dict["NAME"] is None:  # what Django makes and drops databases from
            given["dbname"] = "postgres"
        connection = self.settings_dict["OPTIONS"].get(AZURE_CONNECTION)
        return azpg.Database.from_env(connection, given=given)

    def _complete_settings(self, database: azpg.Database) -> None:
        """Fill in what is not secret: Django names its test databases after NAME, for one."""
        profile = database.profile
        found = {"NAME": profile.database, "HOST": profile.host, "PORT": str(profile.port)}
        for key, value in {**found, "USER": profile.user or ""}.items():
            if self.settings_dict[key] == "":
                self.settings_dict[key] = value
