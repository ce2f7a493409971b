"""From the start of a process to its first row."""

import os
import sys
from collections.abc import Iterator

from azpg_bootstrap.sandbox import Sandbox

from .measure import Row, in_turn, program

ROUNDS = 15

OURS = """
import azpg_bootstrap as azpg
connection = azpg.connect()
cursor = connection.cursor()
cursor.execute("SELECT 1")
cursor.fetchone()
"""

RECIPE = """
import os
from azure.identity import ManagedIdentityCredential
import psycopg2
credential = ManagedIdentityCredential(client_id=os.getenv("AZURE_POSTGRESQL_CLIENTID"))
token = credential.get_token("https://ossrdbms-aad.database.windows.net/.default")
string = os.getenv("AZURE_POSTGRESQL_CONNECTIONSTRING")
connection = psycopg2.connect(string + " password=" + token.token)
cursor = connection.cursor()
cursor.execute("SELECT 1")
cursor.fetchone()
"""

PLAIN = """
import os, psycopg2
connection = psycopg2.connect(os.environ["AZURE_POSTGRESQL_CONNECTIONSTRING"])
cursor = connection.cursor()
cursor.execute("SELECT 1")
cursor.fetchone()
"""

# A management command that every project has, and the settings of a small one.
DJANGO = """
import os, django
from django.conf import settings
settings.configure(
    DATABASES={"default": %s},
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.admin",
                    "django.contrib.sessions", "django.contrib.messages"],
)
django.setup()
from django.core.management import call_command
from django.db import connection
call_command("inspectdb", "no_such_table", stdout=open(os.devnull, "w"))
with connection.cursor() as cursor:
    cursor.execute("SELECT 1")
    cursor.fetchone()
"""

DJANGO_OURS = DJANGO % '{"ENGINE": "django_backend"}'

DJANGO_PREFETCHED = f"import azpg_bootstrap as azpg\nazpg.prefetch()\n{DJANGO_OURS}"

DJANGO_STOCK = (
    DJANGO
    % """{
    "ENGINE": "django.db.backends.postgresql",
    "HOST": "localhost",
    **{key: os.environ["STOCK_" + key] for key in ("NAME", "PORT", "USER", "PASSWORD")},
    "OPTIONS": {"sslmode": "verify-full", "sslrootcert": os.environ["STOCK_ROOT"]},
}"""
)


def rows() -> Iterator[Row]:
    """Measure scripts and Django, with an endpoint that answers at once and one that does not."""
    kept = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
    with Sandbox() as sandbox:
        managed = kept | sandbox.environ("user-assigned")
        for latency, aim in ((0.0, "1.1"), (0.2, "0.9")):
            sandbox.faults(latency=latency)
            yield in_turn(
                f"script, token after {latency * 1000:.0f} ms, by the documentation",
                program(OURS, managed),
                program(RECIPE, managed),
                rounds=ROUNDS,
                aim=aim,
            )
        secret = kept | sandbox.environ("secret")
        yield in_turn(
            "script, secret, by psycopg2 alone",
            program(OURS, secret),
            program(PLAIN, secret),
            rounds=ROUNDS,
            aim="",
        )
        stock = kept | {"STOCK_ROOT": sandbox.ca_file} | _stock(sandbox)
        django = kept | sandbox.environ("user-assigned", "django")
        for latency, aim in ((0.0, "1.5"), (0.3, "1.6")):
            sandbox.faults(latency=latency)
            yield in_turn(
                f"Django, token after {latency * 1000:.0f} ms, by the stock engine",
                program(DJANGO_OURS, django),
                program(DJANGO_STOCK, stock),
                rounds=ROUNDS,
                aim=aim,
            )
        yield in_turn(
            "the same, azpg.prefetch() in settings.py",
            program(DJANGO_PREFETCHED, django),
            program(DJANGO_STOCK, stock),
            rounds=ROUNDS,
            aim="1.6",
        )


def _stock(sandbox: Sandbox) -> dict[str, str]:
    environ = sandbox.environ("secret", "django")
    return {
        f"STOCK_{key}": environ[f"AZURE_POSTGRESQL_{key}"]
        for key in ("NAME", "PORT", "USER", "PASSWORD")
    }
