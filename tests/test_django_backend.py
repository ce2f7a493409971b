"""The engine, with whichever driver Django takes."""

import shutil
from pathlib import Path
from typing import get_args

import pytest

from azpg_bootstrap.sandbox import Sandbox
from azpg_bootstrap.sandbox.variables import Auth
from tests.django_project import (
    PSYCOPG2,
    as_program,
    configure,
    make_project,
    manage,
    run,
    shell,
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path)


@pytest.mark.parametrize("auth", get_args(Auth))
def test_the_engine_alone_is_a_configuration(sandbox: Sandbox, project: Path, auth: Auth) -> None:
    environ = sandbox.environ(auth, "django")
    found = shell(
        project,
        environ,
        "with connection.cursor() as cursor:\n"
        "    cursor.execute('SELECT current_user, current_database()')\n"
        "    found = cursor.fetchone()",
    )
    assert found == [environ["AZURE_POSTGRESQL_USER"], environ["AZURE_POSTGRESQL_NAME"]]


@pytest.mark.parametrize("driver", [{}, PSYCOPG2], ids=["driver of choice", "psycopg2"])
def test_migrate_and_test(sandbox: Sandbox, project: Path, driver: dict[str, str]) -> None:
    environ = sandbox.environ("user-assigned", "django") | driver
    manage(project, environ, "makemigrations", "shop")
    assert "No changes detected" in manage(project, environ, "makemigrations", "--check")
    assert "Applying shop.0001_initial... OK" in manage(project, environ, "migrate")
    assert "Ran 2 tests" in manage(project, environ, "test")
    assert "Ran 2 tests" in manage(project, environ, "test", "--parallel", "2", "--keepdb")
    manage(project, environ, "test", "--parallel", "2", "--noinput")
    assert "Unapplying shop.0001_initial... OK" in manage(
        project, environ, "migrate", "shop", "zero"
    )


@pytest.mark.skipif(shutil.which("psql") is None, reason="psql is not installed")
def test_dbshell(sandbox: Sandbox, project: Path) -> None:
    """psql is given its password where neither arguments nor files show it."""
    command = "SELECT current_user; \\! tr '\\\\0' ' ' </proc/$PPID/cmdline"
    said = manage(
        project, sandbox.environ(client="django"), "dbshell", "--", "-c", "SELECT current_user"
    )
    assert "aad_system" in said
    said = manage(project, sandbox.environ(client="django"), "dbshell", "--", "-c", command, code=1)
    assert "eyJ" not in said


def test_a_token_check_at_every_new_connection(sandbox: Sandbox, project: Path) -> None:
    """Tokens that live two seconds; each connection after them is opened with the next one."""
    sandbox.faults(token_lifetime=2)
    found = shell(
        project,
        sandbox.environ(client="django"),
        "import time\n"
        "found = []\n"
        "for _ in range(4):\n"
        "    connection.ensure_connection()\n"
        "    found.append(connection.connection.info.backend_pid)\n"
        "    connection.close()\n"
        "    time.sleep(1.1)",
    )
    assert len(set(found)) == 4
    assert 2 <= sandbox.token_requests <= 4


def test_persistent_connections_outlive_their_token(sandbox: Sandbox, project: Path) -> None:
    kept = '"CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True'
    configure(project, f'{{"default": {{"ENGINE": "django_backend", {kept}}}}}')
    sandbox.faults(token_lifetime=3)  # a busy machine takes a second to connect
    found = shell(
        project,
        sandbox.environ(client="django"),
        "import time\n"
        "from django.core.signals import request_finished, request_started\n"
        "found = []\n"
        "for _ in range(3):\n"
        "    request_started.send(None)\n"
        "    with connection.cursor() as cursor:\n"
        "        cursor.execute('SELECT pg_backend_pid()')\n"
        "        found += cursor.fetchone()\n"
        "    request_finished.send(None)\n"
        "    time.sleep(1.8)",
    )
    assert len(found) == 3
    assert len(set(found)) == 1
    assert sandbox.token_requests == 1


def test_settings_win_over_the_environment(sandbox: Sandbox, project: Path) -> None:
    configure(
        project,
        '{"default": {"ENGINE": "django_backend", "USER": "azpg-identity", '
        '"OPTIONS": {"application_name": "till", "sslmode": "require"}}}',
    )
    found = shell(
        project,
        sandbox.environ("user-assigned", "django"),
        "with connection.cursor() as cursor:\n"
        "    cursor.execute(\"SELECT current_user, current_setting('application_name')\")\n"
        "    found = [*cursor.fetchone(), connection.get_connection_params()['sslmode']]",
    )
    assert found == ["azpg-identity", "till", "require"]


def test_options_win_over_the_environment_too(sandbox: Sandbox, project: Path) -> None:
    options = {"user": "azpg-identity", "host": "replica.invalid", "port": 6432}
    configure(project, str({"default": {"ENGINE": "django_backend", "OPTIONS": options}}))
    found = shell(
        project,
        sandbox.environ("user-assigned", "django") | {"AZURE_POSTGRESQL_HOSTADDR": "127.0.0.1"},
        "params = connection.get_connection_params()\n"
        "found = [params['user'], params['host'], params['port'], 'hostaddr' in params,\n"
        "         connection.settings_dict['DISABLE_SERVER_SIDE_CURSORS']]",
    )
    assert found == ["azpg-identity", "replica.invalid", "6432", False, True]


def test_a_service_is_not_passed_over_in_silence(sandbox: Sandbox, project: Path) -> None:
    configure(project, str({"default": {"ENGINE": "django_backend", "OPTIONS": {"service": "x"}}}))
    said = manage(project, sandbox.environ(client="django"), "migrate", code=1)
    assert "ImproperlyConfigured: database 'default': OPTIONS has a service" in said


def test_a_pool_by_psycopg2_is_refused_in_djangos_words(sandbox: Sandbox, project: Path) -> None:
    configure(project, str({"default": {"ENGINE": "django_backend", "OPTIONS": {"pool": True}}}))
    environ = sandbox.environ(client="django") | PSYCOPG2
    said = run(project, environ, "-c", as_program("connection.connect()"), code=1)
    assert "ImproperlyConfigured: Database pooling requires psycopg >= 3" in said


def test_settings_can_do_without_the_environment(sandbox: Sandbox, project: Path) -> None:
    environ = sandbox.environ("secret", "django")
    parts = {
        key: environ[f"AZURE_POSTGRESQL_{key}"]
        for key in ("NAME", "HOST", "PORT", "USER", "PASSWORD")
    }
    options = {"sslrootcert": sandbox.ca_file, "sslmode": "verify-full"}
    configure(project, str({"default": {"ENGINE": "django_backend", **parts, "OPTIONS": options}}))
    found = shell(project, {}, "connection.ensure_connection(); found = [connection.alias]")
    assert found == ["default"]


def test_further_connections(sandbox: Sandbox, project: Path) -> None:
    configure(
        project,
        '{"default": {"ENGINE": "django_backend"}, "reports": {"ENGINE": "django_backend", '
        '"OPTIONS": {"azure_connection": "reporting"}}}',
    )
    found = shell(
        project,
        sandbox.environ(client="django")
        | sandbox.environ("secret", "django", connection="reporting"),
        "found = [c.get_connection_params()['user'] for c in connections.all()]",
    )
    assert found == ["aad_system", "app_password"]


def test_the_token_is_on_its_way_before_the_first_connection(
    sandbox: Sandbox, project: Path
) -> None:
    """Importing a model is enough; the thread that fetches is given the time to."""
    shell(
        project,
        sandbox.environ(client="django"),
        "import threading\n"
        "[t.join() for t in threading.enumerate() if t.name == 'azpg-token']\n"
        "assert connection.connection is None\n"
        "found = []",
    )
    assert sandbox.token_requests == 1


def test_no_token_in_settings_and_all_of_them_can_be_copied(
    sandbox: Sandbox, project: Path
) -> None:
    found = shell(
        project,
        sandbox.environ(client="django"),
        "import copy\n"
        "token = connection.get_connection_params()['password']\n"
        "connection.ensure_connection()\n"
        "copied = copy.deepcopy(connection.settings_dict)\n"
        "found = [token in str(copied), copied['NAME'], copied['PASSWORD'], copied['OPTIONS']]",
    )
    assert found == [False, "appdb", "", {}]


def test_no_name_is_the_database_that_others_are_made_from(sandbox: Sandbox, project: Path) -> None:
    found = shell(
        project,
        sandbox.environ(client="django"),
        "with connection._nodb_cursor() as cursor:\n"
        "    cursor.execute('SELECT current_database()')\n"
        "    found = [*cursor.fetchone(), connection.settings_dict['NAME']]",
    )
    assert found == ["postgres", "appdb"]


def test_commands_that_need_no_database_need_no_environment(project: Path) -> None:
    assert "no issues" in manage(project, {}, "check")
    bad = {"AZURE_POSTGRESQL_HOST": "h", "AZURE_POSTGRESQL_PORT": "hunter2"}
    assert "no issues" in manage(project, bad, "check")
    said = manage(project, bad, "migrate", code=1)
    assert "ImproperlyConfigured: database 'default': 2 problems" in said
    assert "AZURE_POSTGRESQL_PORT is no port number" in said
    assert "hunter2" not in said


def test_an_unsafe_sslmode_is_improper(sandbox: Sandbox, project: Path) -> None:
    configure(
        project, '{"default": {"ENGINE": "django_backend", "OPTIONS": {"sslmode": "prefer"}}}'
    )
    said = manage(project, sandbox.environ(client="django"), "migrate", code=1)
    assert "ImproperlyConfigured: database 'default': this connection may send the token" in said


def test_without_a_token_the_database_is_not_operational(sandbox: Sandbox, project: Path) -> None:
    sandbox.faults(status=400)
    found = shell(
        project,
        sandbox.environ(client="django"),
        "from django.db import OperationalError\n"
        "try:\n"
        "    connection.ensure_connection()\n"
        "except OperationalError as error:\n"
        "    found = [str(error), type(error.__cause__).__name__]",
    )
    assert str(found[0]).startswith("no token from the identity endpoint http://127.0.0.1:")
    assert found[1] == "TokenError"
