"""What a flexible server has beside its logins: labels, other people's tables, a clock, a wall."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg2
import pytest

from azpg_bootstrap.sandbox import Sandbox

Ask = Callable[..., Any]


@pytest.fixture
def ask(sandbox: Sandbox) -> Iterator[Ask]:
    """Return a function that asks the server one thing as its superuser."""

    def run(query: str, database: str = sandbox.database) -> Any:
        connection = psycopg2.connect(**{**sandbox.superuser_dsn, "dbname": database})
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(query)
                return cursor.fetchone()[0] if cursor.description else None
        finally:
            connection.close()

    return run


def enter(sandbox: Sandbox, role: str, **claims: Any) -> None:
    psycopg2.connect(
        host=sandbox.host, port=sandbox.port, dbname=sandbox.database, user=role,
        password=sandbox.issue_token(**claims), sslmode="verify-full", sslrootcert=sandbox.ca_file,
    ).close()  # fmt: skip


def test_a_role_goes_by_its_label_from_login_to_login(sandbox: Sandbox, ask: Ask) -> None:
    create = "SELECT pgaadauth_create_principal_with_oid('bound', '{}', 'service', false, false)"
    user = "c0de01d0-0000-4000-8000-000000000002"
    system = "5e1f01d0-0000-4000-8000-000000000001"
    assert ask(create.format(user), "postgres") == 'Created role for "bound"'
    enter(sandbox, "bound", identity="user-assigned")
    with pytest.raises(psycopg2.OperationalError, match=r"label \[c0de01d0"):
        enter(sandbox, "bound")
    ask("DROP ROLE bound")
    ask(create.format(system), "postgres")
    enter(sandbox, "bound")
    ask("DROP ROLE bound")
    with pytest.raises(psycopg2.OperationalError, match='role "bound" does not exist'):
        enter(sandbox, "bound")


def test_the_functions_are_in_database_postgres_alone(ask: Ask) -> None:
    query = "SELECT count(*) FROM pg_proc WHERE proname LIKE 'pgaadauth%'"
    assert (ask(query, "postgres"), ask(query)) == (3, 0)
    with pytest.raises(psycopg2.Error, match="Invalid object type"):
        ask("SELECT pgaadauth_create_principal_with_oid('x', 'x', 'x', false, false)", "postgres")


def test_tables_of_another_owner(sandbox: Sandbox, ask: Ask) -> None:
    for name in ("first", "second"):  # the owner is there the second time
        sandbox.create_table(name, owner="landlord")
    try:
        assert ask("SELECT tableowner FROM pg_tables WHERE tablename = 'second'") == "landlord"
        assert not ask("SELECT has_table_privilege('aad_system', 'second', 'SELECT')")
        assert ask("SELECT pg_has_role('admin@contoso.example', 'landlord', 'MEMBER')")
    finally:
        ask("DROP OWNED BY landlord")


def test_a_clock_that_is_off(sandbox: Sandbox, ask: Ask) -> None:
    query = "SELECT extract(epoch FROM {}())::float8"
    for skew in (3600.0, -90.0):
        sandbox.faults(clock_skew=skew)
        for function in ("now", "clock_timestamp"):
            assert ask(query.format(function)) - time.time() == pytest.approx(skew, abs=20)
    sandbox.reset()
    assert ask(query.format("clock_timestamp")) - time.time() == pytest.approx(0, abs=20)
    assert ask("SELECT to_regnamespace('sandbox_clock') IS NULL")


def test_a_wall(sandbox: Sandbox) -> None:
    sandbox.faults(firewall=True)
    text = 'no pg_hba.conf entry for host "127.0.0.1", user "aad_system", database "appdb", SSL enc'
    with pytest.raises(psycopg2.OperationalError, match=text):
        enter(sandbox, "aad_system")
    sandbox.reset()
    enter(sandbox, "aad_system")
