"""Django's migrate, safe to be run by every instance at its start."""

from typing import Any

from django.core.management.commands import migrate
from django.db import connections

# An advisory lock is a number that all of a database's sessions agree on.
MIGRATE = 7238419


class Command(migrate.Command):
    """Lets one instance migrate while the others wait, who then find nothing left to do.

    The lock is the session's and goes with it, however the command ends. Through a PgBouncer in
    transaction mode (port 6432) there is no such session: migrate by port 5432.
    """

    def handle(self, *args: Any, **options: Any) -> None:
        with connections[options["database"]].cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [MIGRATE])
            try:
                super().handle(*args, **options)
            finally:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [MIGRATE])
