"""Through a real PgBouncer in transaction mode, at the port that says so.

Every transaction may run on another of its three connections to the server, so whatever leans on
the one before fails here soon.
"""

import asyncio
import inspect
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
from tests.openers import PID, Held, Opener, installed, openers
from tests.pgbouncer import PORT, pgbouncer

pytestmark = [
    pytest.mark.skipif(shutil.which("pgbouncer") is None, reason="PgBouncer is not installed"),
    pytest.mark.skipif(sys.platform != "linux", reason="takes loopback addresses of its own"),
]

REPEATED = 12
"""Times a query is repeated: more than the 5 after which psycopg prepares it."""

LONGEST = 2047
"""Characters of a password: what Debian 12's PgBouncer, 1.18, compares."""

TOO_LONG = 4200
"""Characters: Debian 12's PgBouncer, 1.18, takes no packet over 4096 bytes."""


@pytest.fixture
def environ(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
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
    """What a client prepared is not on the connection where it goes next."""

    async def main() -> set[int]:
        async with opener() as open_one:
            clients = [await open_one() for _ in range(3)]
            # At the same time, so that PgBouncer opens a connection for each.
            await asyncio.gather(*(client.ask("SELECT 1 FROM pg_sleep(0.1)") for client in clients))
            for client in clients:
                await commit(client)
            pids = set()
            for client in clients[:2] * REPEATED:  # two clients in turn, on three connections
                pids.add(await client.ask(PID))
                await commit(client)
            for client in clients:
                await client.close()
        return pids

    assert len(asyncio.run(main())) == 3


async def commit(client: Held) -> None:
    """End the client's transaction, so that the next may run elsewhere; asyncpg began none."""
    end = getattr(client.raw, "commit", None)
    if inspect.iscoroutinefunction(end):
        await end()
    elif end:
        await asyncio.to_thread(end)


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


def test_a_long_token_is_refused(sandbox: Sandbox, environ: dict[str, str]) -> None:
    """As long as a person's with many groups; newer versions take more."""
    version = subprocess.run(["pgbouncer", "--version"], capture_output=True, check=True).stdout
    if not version.startswith(b"PgBouncer 1.18"):
        pytest.skip("another version, another limit")
    with pytest.raises(psycopg2.OperationalError) as caught:
        azpg.psycopg2_connect(password="x" * TOO_LONG)
    assert "longer than this PgBouncer accepts" in "".join(caught.value.__notes__)
    for length, reaches_the_server in ((LONGEST, True), (LONGEST + 1, False)):
        token = "x" * length
        with pgbouncer(sandbox, environ["AZURE_POSTGRESQL_USER"], token) as address:
            with pytest.raises(psycopg2.OperationalError) as caught:
                azpg.psycopg2_connect(host=address, password=token)
            said_by_the_server = "error occurred while validating the access token"
            assert (said_by_the_server in str(caught.value)) is reaches_the_server
