"""`manage.py dbshell`: psql with a token, which no argument list and no file sees."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.backends.postgresql import client

from azpg_bootstrap import pg_environ


class DatabaseClient(client.DatabaseClient):
    """Runs psql with everything it needs in its environment."""

    def settings_to_cmd_args_env(  # type: ignore[override]
        self,
        settings_dict: dict[str, Any],  # noqa: ARG002 - the settings alone have no token
        parameters: Iterable[str],
    ) -> tuple[list[str], dict[str, str]]:
        """Return psql's command line and environment for a new connection."""
        environ = pg_environ(self.connection.get_connection_params())
        return [self.executable_name, *parameters], environ
