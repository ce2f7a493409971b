"""Through a real PgBouncer in transaction mode, at the port that says so.

Every transaction may run on another of its three connections to the server, so whatever leans on
the one before fails here soon.
"""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

import azpg_bootstrap as azpg
from azpg_bootstrap.sandbox import Sandbox
from tests.django_project import PSYCOPG2, configure, make_project, shell
from tests.openers import PID, Opener, installed, openers
from tests.pgbouncer import PORT, pgbouncer

pytestmark = [
    pytest.mark.skipif(shutil.which("pgbouncer") is None, reason="PgBouncer is not installed"),
    pytest.mark.skipif(sys.platform != "linux", reason="takes loopback addresses of its own"),
]

REPEATED = 12
"""Times a query is repeated: more than the 5 after which psycopg prepares it."""

LONGEST_PASSWORD = 2040
"""Characters that Debian 12's PgBouncer, 1.18, accepts."""


@pytest.fixture
def environ(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, own_identity: None
) -> Iterator[dict[str, str]]:
    """Run a PgBouncer that knows the token of the identity; set the variables that lead to it."""
    found = sandbox.environ(client="django") | {"AZURE_POSTGRESQL_SSLMODE": "require"}
    del found["AZURE_POSTGRESQL_SSLROOTCERT"]
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    token = azpg.Database.from_env().password()
    with pgbouncer(sandbox, found["AZURE_POSTGRESQL_USER"], token) as address:
        where = {"AZURE_POSTGRESQL_HOST": address, "AZURE_POSTGRESQL_PORT": str(PORT)}
        for name, value in where.items():
            monkeypatch.setenv(name, value)
        yield found | where


@pytest.mark.parametrize("opener", openers())
def test_statements_are_repeated_on_whatever_connection(
    environ: dict[str, str], opener: Opener
) -> None:
    """Two clients, the same queries: a statement that one prepared is not where the other goes."""

    async def main() -> list[int]:
        async with opener() as open_one:
            clients = [await open_one() for _ in range(2)]
            pids = [await client.ask(PID) for _ in range(REPEATED) for client in clients]
            for client in clients:
                await client.close()
        return pids

    pids = asyncio.run(main())
    assert len(pids) == 2 * REPEATED


def test_it_is_in_transaction_mode(environ: dict[str, str]) -> None:
    with azpg.psycopg2_connect() as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            pids = set()
            for _ in range(REPEATED):
                cursor.execute(PID)
                pids |= set(cursor.fetchone() or ())
            assert len(pids) >= 1
            cursor.execute("PREPARE here AS SELECT 1")
    connection.close()


@pytest.mark.skipif(not installed("django"), reason="an extra is missing")
@pytest.mark.parametrize("driver", [{}, PSYCOPG2], ids=["driver of choice", "psycopg2"])
def test_django_iterates_without_server_side_cursors(
    environ: dict[str, str], tmp_path: Path, driver: dict[str, str]
) -> None:
    """Its process would have a token of its own, so it is given the one that PgBouncer knows."""
    project = make_project(tmp_path)
    password = azpg.Database.from_env().password()
    configure(project, {"default": {"ENGINE": "django_backend", "PASSWORD": password}})
    program = (
        "from shop.models import Item\n"
        "with connection.schema_editor() as editor:\n"
        "    editor.create_model(Item)\n"
        "Item.objects.bulk_create(Item(name=str(n)) for n in range(50))\n"
        "found = []\n"
        "for item in Item.objects.order_by('id').iterator(chunk_size=10):\n"
        "    found.append(Item.objects.get(name=item.name).id)\n"
        "with connection.schema_editor() as editor:\n"
        "    editor.delete_model(Item)\n"
        "connection.close()"
    )
    assert len(shell(project, environ | driver, program)) == 50


@pytest.mark.skipif(not installed("psycopg"), reason="an extra is missing")
def test_a_long_token_is_refused_with_a_note(environ: dict[str, str]) -> None:
    """As long as a person's with many groups; newer versions take more."""
    version = subprocess.run(["pgbouncer", "--version"], capture_output=True, check=True).stdout
    if not version.startswith(b"PgBouncer 1.18"):
        pytest.skip("another version, another limit")
    with pytest.raises(psycopg2.OperationalError) as caught:
        azpg.psycopg2_connect(password="x" * (LONGEST_PASSWORD + 1))
    assert "longer than this PgBouncer accepts" in "".join(caught.value.__notes__)
