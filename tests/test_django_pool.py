"""Django's native pool, forks and async views, with each driver that Django may take."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from azpg_bootstrap.sandbox import Sandbox
from tests.django_project import (
    PSYCOPG2,
    as_program,
    configure,
    finish,
    make_project,
    shell,
    start,
)

ENGINE = {"ENGINE": "django_backend"}
POOL = {**ENGINE, "OPTIONS": {"pool": True}}

with_pool = pytest.mark.skipif(not find_spec("psycopg_pool"), reason="an extra is missing")
with_psycopg = pytest.mark.skipif(not find_spec("psycopg"), reason="an extra is missing")

KINDS = [
    pytest.param(ENGINE | {"CONN_MAX_AGE": None}, PSYCOPG2, id="psycopg2"),
    pytest.param(ENGINE | {"CONN_MAX_AGE": None}, {}, id="psycopg", marks=with_psycopg),
    pytest.param(POOL, {}, id="pool", marks=with_pool),
]

QUIET = "import logging; logging.getLogger('psycopg.pool').setLevel('CRITICAL')\n"

# What a pre-forking server does that has loaded the application: the parent asks the database,
# then every child serves requests of its own, and at last the parent asks again.
PREFORK = """
import os
from django.test import Client

CHILDREN, REQUESTS = 4, 30
from django.db import close_old_connections

def ask():
    pid = Client().get("/pid").json()["pid"]
    close_old_connections()  # as at the end of a request, which the test client leaves out
    return pid

ask()
connection.pool.wait() if connection.pool else None
parents = {ask() for _ in range(8)}

def serve(write):
    right, pids = 0, set()
    for _ in range(REQUESTS):
        try:
            pids.add(ask())
            right += 1
        except Exception as error:
            print(type(error).__name__, error)
    os.write(write, json.dumps([right, sorted(pids)]).encode())

children = []
for _ in range(CHILDREN):
    read, write = os.pipe()
    if not (child := os.fork()):
        try:
            serve(write)
            import sys; sys.exit()  # with all that the interpreter does at its end
        except SystemExit:
            raise
    os.close(write)
    children.append((child, read))
told = []
for child, read in children:
    with open(read) as answer:
        told.append(json.load(answer))
    assert os.waitpid(child, 0)[1] == 0
right = sum(count for count, _ in told)
others = {pid for _, pids in told for pid in pids}
usable = {ask() for _ in range(8)} <= parents
found = [right, len(others) >= CHILDREN, bool(parents & others), usable]
connections.close_all()
connection.close_pool() if connection.pool else None
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path)


def with_database(project: Path, database: dict[str, Any]) -> None:
    configure(project, {"default": database})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
@pytest.mark.parametrize(("database", "driver"), KINDS)
def test_a_fork_never_uses_its_parents_connections(
    sandbox: Sandbox, project: Path, database: dict[str, Any], driver: dict[str, str]
) -> None:
    with_database(project, database)
    found = shell(project, sandbox.environ(client="django") | driver, PREFORK)
    all_right, own_connections, parents_used, parents_usable = 120, True, False, True
    assert found == [all_right, own_connections, parents_used, parents_usable]


IN_A_TRANSACTION = (
    QUIET
    + """
import gc, os
from django.db import transaction
from shop.models import Item

def rolled_back():
    try:
        with transaction.atomic(durable=True):
            Item.objects.create(name="rolled back")
            transaction.on_commit(lambda: print("never"))
            raise LookupError
    except LookupError:
        return Item.objects.filter(name="rolled back").count() == 0

def committed():
    done = []
    transaction.on_commit(lambda: done.append(1))
    return done == [1]

with connection.schema_editor() as editor:
    editor.create_model(Item)
Item.objects.bulk_create(Item(name=str(number)) for number in range(50))
with transaction.atomic():
    items = Item.objects.iterator(chunk_size=5)
    next(items)
    if not (child := os.fork()):
        del items; gc.collect()  # which would have the parent's cursor closed
        right = rolled_back() and committed()
        connection.close()
        os._exit(0 if right else 1)
    found = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), len(list(items))]
with connection.schema_editor() as editor:
    editor.delete_model(Item)
connection.close(); connection.close_pool()
"""
)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
@pytest.mark.parametrize(("database", "driver"), KINDS)
def test_a_fork_in_a_transaction_is_not_in_it(
    sandbox: Sandbox, project: Path, database: dict[str, Any], driver: dict[str, str]
) -> None:
    with_database(project, database)
    assert shell(project, sandbox.environ(client="django") | driver, IN_A_TRANSACTION) == [0, 49]


@with_pool
def test_a_copy_without_a_pool_connects_by_itself(sandbox: Sandbox, project: Path) -> None:
    with_database(project, POOL)
    found = shell(
        project,
        sandbox.environ(client="django"),
        "connection.ensure_connection()\n"
        "copied = connection.copy()\n"
        "copied.settings_dict['OPTIONS']['pool'] = False\n"
        "copied.connect()\n"
        "found = [copied.connection.info.user, copied.pool]\n"
        "copied.close(); connection.close(); connection.close_pool()",
    )
    assert found == ["aad_system", None]


def test_closing_a_pool_that_is_not_there_takes_no_token(sandbox: Sandbox, project: Path) -> None:
    with_database(project, POOL)
    sandbox.faults(status=400)
    program = "connection.close_pool(); found = ['closed']"
    assert shell(project, sandbox.environ(client="django"), program) == ["closed"]


@with_pool
def test_a_pool_closes_reopens_checks_and_changes_its_time_zone(
    sandbox: Sandbox, project: Path
) -> None:
    pool = {"min_size": 1, "max_size": 1, "timeout": 20}
    with_database(project, ENGINE | {"CONN_HEALTH_CHECKS": True, "OPTIONS": {"pool": pool}})
    found = shell(
        project,
        sandbox.environ(client="django"),
        QUIET + "from django.test import Client\n"
        "from django.test.utils import override_settings\n"
        "ask = lambda: (Client().get('/pid').json()['pid'], connection.close())[0]\n"
        "first = ask()\n"
        "found = [connection.pool.max_size, ask() == first]\n"
        "connection.close_pool()\n"
        "second = ask()\n"
        "found.append(second != first)\n"
        # The server ends a session that lies in the pool: the check finds out.
        "import psycopg\n"
        "with psycopg.connect(**connection.get_connection_params()) as other:\n"
        "    other.execute('SELECT pg_terminate_backend(%s, 5000)', [second])\n"
        "found.append(ask() != second)\n"
        "zone = lambda: connection.cursor().execute('SHOW TimeZone').fetchone()[0]\n"
        "with override_settings(USE_TZ=False, TIME_ZONE='Asia/Tokyo'):\n"
        "    connection.close()\n"
        "    found.append(zone())\n"
        "connection.close()\n"
        "found.append(zone())\n"
        # As in Django's own engine, a pool keeps to the database that it was made for.
        "connection.close(); connection.settings_dict['NAME'] = 'missing'\n"
        "connection.pool.drain()\n"
        "found.append(connection.cursor().execute('SELECT current_database()').fetchone()[0])\n"
        "connection.close(); connection.close_pool()",
    )
    assert found == [1, True, True, True, "Asia/Tokyo", "UTC", "appdb"]


@with_pool
def test_a_pool_holds_no_token_and_says_why_it_cannot_connect(
    sandbox: Sandbox, project: Path
) -> None:
    with_database(project, ENGINE | {"OPTIONS": {"pool": {"min_size": 1, "timeout": 2}}})
    sandbox.faults(clock_skew=200_000)
    found = shell(
        project,
        sandbox.environ(client="django"),
        QUIET + "from django.db import OperationalError\n"
        "found = ['password' in connection.pool.kwargs, str(connection.settings_dict['OPTIONS'])]\n"
        "try:\n"
        "    connection.ensure_connection()\n"
        "except OperationalError as error:\n"
        "    found += [str(error), *error.__cause__.__notes__]\n"
        "connection.close_pool()",
    )
    assert found[:2] == [False, "{'pool': {'min_size': 1, 'timeout': 2}}"]
    assert "couldn't get a connection" in str(found[2])
    assert "The access token has expired" in str(found[3])
    assert "compare this machine's clock" in str(found[4])


@pytest.mark.parametrize(("database", "driver"), KINDS)
def test_a_refused_token_is_replaced_once(
    sandbox: Sandbox, project: Path, database: dict[str, Any], driver: dict[str, str]
) -> None:
    with_database(project, database)
    program = (
        "from azpg_bootstrap import tokens\n"
        "tokens.JUST_ISSUED = 0\n"
        "connection.get_connection_params()\n"  # has the token
        "print('ready', flush=True); input()\n"
        "connection.ensure_connection()\n"
        "connection.close(); connection.close_pool() if connection.pool else None\n"
        "found = connection.vendor"
    )
    if "OPTIONS" in database:
        with_database(project, ENGINE | {"OPTIONS": {"pool": {"min_size": 1}}})
    process = start(project, sandbox.environ(client="django") | driver, "-c", as_program(program))
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    sandbox.revoke_tokens()
    process.stdin.write("go\n")  # type: ignore[union-attr]
    assert "postgresql" in finish(process)
    assert (sandbox.token_requests, sandbox.refused_logins) == (2, 1)


@pytest.mark.parametrize(("database", "driver"), KINDS)
def test_async_views(
    sandbox: Sandbox, project: Path, database: dict[str, Any], driver: dict[str, str]
) -> None:
    with_database(project, database)
    found = shell(
        project,
        sandbox.environ(client="django") | driver,
        "import asyncio\n"
        "from asgiref.sync import sync_to_async\n"
        "from django.test import AsyncClient\n"
        "from shop.models import Item\n"
        "with connection.schema_editor() as editor:\n"
        "    editor.create_model(Item)\n"
        "async def main():\n"
        "    gets = (AsyncClient().get(f'/count?name={n}') for n in range(8))\n"
        "    counts = sorted([(await get).json()['count'] for get in gets])\n"
        "    await sync_to_async(connections.close_all)()\n"  # those of the views' thread
        "    return counts\n"
        "found = asyncio.run(main())\n"
        "with connection.schema_editor() as editor:\n"
        "    editor.delete_model(Item)\n"
        "connection.close(); connection.close_pool() if connection.pool else None",
    )
    assert found == [1, 2, 3, 4, 5, 6, 7, 8]


def test_an_error_at_query_time_has_a_note(sandbox: Sandbox, project: Path) -> None:
    found = shell(
        project,
        sandbox.environ(client="django"),
        "from django.db import ProgrammingError\n"
        "try:\n"
        "    connection.cursor().execute('CREATE TABLE pg_catalog.no (no int)')\n"
        "except ProgrammingError as error:\n"
        "    found = [str(error), *error.__notes__]",
    )
    assert "permission denied for schema" in str(found[0])
    assert "GRANT USAGE, CREATE ON SCHEMA" in str(found[1])


@pytest.mark.parametrize("driver", [{}, PSYCOPG2], ids=["driver of choice", "psycopg2"])
def test_pgbouncers_port_switches_off_what_it_cannot_do(
    project: Path, driver: dict[str, str]
) -> None:
    parts = {"HOST": "h", "NAME": "d", "USER": "u", "PASSWORD": "p", "PORT": "6432"}
    environ = {f"AZURE_POSTGRESQL_{name}": value for name, value in parts.items()}
    found = shell(
        project,
        environ | driver,
        "params = connection.get_connection_params()\n"
        "found = [connection.settings_dict['DISABLE_SERVER_SIDE_CURSORS'],"
        " params.get('prepare_threshold')]",
    )
    assert found == [True, None]
    with_database(project, ENGINE | {"DISABLE_SERVER_SIDE_CURSORS": False})
    found = shell(
        project, environ, "found = connection.settings_dict['DISABLE_SERVER_SIDE_CURSORS']"
    )
    assert found is False


@pytest.fixture
def postgis(sandbox: Sandbox) -> Any:
    """Create the extension where the server has it, and only while it is needed."""
    import psycopg2

    pytest.importorskip("django")
    try:
        from django.contrib.gis.gdal import gdal_version

        gdal_version()
    except Exception as error:
        pytest.skip(f"GeoDjango's libraries are missing: {error}")
    superuser = psycopg2.connect(**{**sandbox.superuser_dsn, "dbname": sandbox.database})
    superuser.autocommit = True
    with superuser.cursor() as cursor:
        cursor.execute("SELECT FROM pg_available_extensions WHERE name = 'postgis'")
        if not cursor.rowcount:
            superuser.close()
            pytest.skip("the server has no PostGIS")
        cursor.execute("CREATE EXTENSION postgis")
        yield
        cursor.execute("DROP EXTENSION postgis CASCADE")
    superuser.close()


@pytest.mark.parametrize(("database", "driver"), KINDS)
def test_geodjango(
    sandbox: Sandbox, postgis: None, project: Path, database: dict[str, Any], driver: dict[str, str]
) -> None:
    with_database(project, database | {"ENGINE": "django_backend.postgis"})
    found = shell(
        project,
        sandbox.environ(client="django") | driver,
        "from django.contrib.gis.db import models\n"
        "from django.contrib.gis.geos import Point\n"
        "class Place(models.Model):\n"
        "    where = models.PointField()\n"
        "    class Meta:\n"
        "        app_label = 'shop'\n"
        "with connection.schema_editor() as editor:\n"
        "    editor.create_model(Place)\n"
        "Place.objects.create(where=Point(1, 2))\n"
        "found = list(Place.objects.get(where__dwithin=(Point(1, 1), 2)).where)\n"
        "with connection.schema_editor() as editor:\n"
        "    editor.delete_model(Place)\n"
        "connection.close(); connection.close_pool() if connection.pool else None",
    )
    assert found == [1.0, 2.0]
