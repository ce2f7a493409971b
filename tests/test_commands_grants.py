"""`azpg role` and `azpg grants`: the SQL works where it is meant to, then nothing is missing."""

import json
from collections.abc import Iterator
from itertools import count
from typing import Any

import psycopg2
import pytest

from azpg_bootstrap.cli import main
from azpg_bootstrap.commands.exits import Exit
from azpg_bootstrap.sandbox import Sandbox

OWNER = 'own"er'

EXTENSION = "pg_stat_statements"
"""One with a view; it belongs to the superuser, whom Azure lets nobody be."""

runs = count()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """Have a server of one's own: other tests leave tables that no administrator may give away."""
    with Sandbox() as running:
        yield running


class Stage:
    """An environment, and the people who run SQL on the server."""

    def __init__(
        self,
        sandbox: Sandbox,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self.sandbox = sandbox
        self._capsys = capsys
        self._set = monkeypatch.setenv
        self.role = f'aad_o\'brien "{next(runs)}"'
        for name, value in sandbox.environ("user-assigned", "django").items():
            self._set(name, value)
        self._set("AZURE_POSTGRESQL_USER", self.role)

    def azpg(self, *arguments: str, code: int = 0) -> str:
        assert main(arguments) == code
        return self._capsys.readouterr().out

    def administrator(self, database: str, script: str) -> None:
        """Run SQL as an Entra administrator does: through the gateway, with a token."""
        connection = psycopg2.connect(
            host="localhost", port=self.sandbox.port, dbname=database, sslmode="verify-full",
            sslrootcert=self.sandbox.ca_file, user="admin@contoso.example",
            password=self.sandbox.issue_token("administrator"),
        )  # fmt: skip
        connection.autocommit = True
        connection.cursor().execute(script)
        connection.close()

    def superuser(self, query: str) -> list[tuple[Any, ...]]:
        connection = psycopg2.connect(**self.sandbox.superuser_dsn)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(query)
            found = cursor.fetchall() if cursor.description else []
        connection.close()
        return found


@pytest.fixture
def stage(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Stage:
    return Stage(sandbox, monkeypatch, capsys)


@pytest.fixture
def table(stage: Stage) -> Iterator[str]:
    """Have a table of another owner in schema public."""
    name = f'led"ger_{next(runs)}'
    stage.sandbox.create_table(name, owner=OWNER)
    yield name
    stage.superuser('DROP OWNED BY "own""er"')


def test_a_role_that_lets_the_identity_in(stage: Stage) -> None:
    assert stage.azpg("grants", code=Exit.SERVER) == ""  # nobody to log in as
    stage.administrator("postgres", stage.azpg("role"))
    assert stage.azpg("grants").startswith("-- ")
    (label,) = stage.superuser("SELECT label FROM pg_shseclabel WHERE label LIKE '%c0de01d0%' "
                               "AND objoid = (SELECT max(oid) FROM pg_authid)")  # fmt: skip
    assert label == ("aadauth,oid=c0de01d0-0000-4000-8000-000000000002,type=service",)


def test_the_rights_of_an_application(stage: Stage, table: str) -> None:
    stage.administrator("postgres", stage.azpg("role"))
    lacking = json.loads(stage.azpg("grants", "--check", "--json", code=Exit.FAILED))
    assert {"what": "table", "name": table,
            "privileges": ["DELETE", "INSERT", "SELECT", "UPDATE"]} in lacking  # fmt: skip
    assert {each["what"] for each in lacking} == {
        "table", "sequence", "tables to come of", "sequences to come of",
    }  # fmt: skip

    script = stage.azpg("grants")
    assert 'ALTER DEFAULT PRIVILEGES FOR ROLE "own""er" IN SCHEMA "public"' in script
    assert "CREATE" not in script
    stage.administrator(stage.sandbox.database, script)
    assert stage.azpg("grants", "--check") == ""

    stage.sandbox.create_table(f"later_{next(runs)}", owner=OWNER)  # made by another, then given
    said = stage.azpg("grants", "--check", code=Exit.FAILED)
    assert said.startswith("missing on sequence later_")


def test_the_owner_can_ask_for_another_role(
    stage: Stage, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As somebody must before the application has been deployed."""
    stage.administrator("postgres", stage.azpg("role"))
    expected = stage.azpg("grants", "--migrations")
    for name, value in stage.sandbox.environ("secret", "django").items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AZURE_POSTGRESQL_CLIENTID")
    role = ("--role", stage.role)
    assert stage.azpg("grants", "--migrations", *role) == expected
    assert "missing on schema public: CREATE" in (
        stage.azpg("grants", "--migrations", "--check", *role, code=Exit.FAILED)
    )
    stage.administrator(stage.sandbox.database, expected)
    assert stage.azpg("grants", "--migrations", "--check", *role) == ""
    assert stage.azpg("grants", "--role", "nobody", code=Exit.FAILED) == ""


def test_tables_to_come_are_granted(stage: Stage, table: str) -> None:
    stage.administrator("postgres", stage.azpg("role"))
    stage.administrator(stage.sandbox.database, stage.azpg("grants"))
    stage.superuser('GRANT CREATE ON SCHEMA public TO "own""er"')
    stage.superuser('SET ROLE "own""er"; CREATE TABLE offspring (id serial)')
    assert stage.azpg("grants", "--check") == ""


def test_what_belongs_to_an_extension_is_its_own_affair(stage: Stage, table: str) -> None:
    stage.administrator("postgres", stage.azpg("role"))
    stage.superuser(f"CREATE EXTENSION {EXTENSION} SCHEMA public")
    try:
        script = stage.azpg("grants")
        assert "azuresu" not in script
        stage.administrator(stage.sandbox.database, script)
        assert stage.azpg("grants", "--check") == ""
    finally:
        stage.superuser(f"DROP EXTENSION {EXTENSION}")


def test_to_read_only(stage: Stage, table: str) -> None:
    stage.administrator("postgres", stage.azpg("role"))
    script = stage.azpg("grants", "--read-only")
    assert "INSERT" not in script
    stage.administrator(stage.sandbox.database, script)
    assert stage.azpg("grants", "--read-only", "--check") == ""
    assert "INSERT" in stage.azpg("grants", "--check", code=Exit.FAILED)


def test_migrations_create(stage: Stage, table: str) -> None:
    stage.administrator("postgres", stage.azpg("role"))
    said = stage.azpg("grants", "--migrations", "--check", code=Exit.FAILED)
    assert "missing on schema public: CREATE\n" in said
    stage.administrator(stage.sandbox.database, stage.azpg("grants", "--migrations"))
    assert stage.azpg("grants", "--migrations", "--check") == ""


def test_another_schema(stage: Stage) -> None:
    stage.administrator("postgres", stage.azpg("role"))
    schema = f'depart"ment {next(runs)}'
    quoted = '"' + schema.replace('"', '""') + '"'
    stage.superuser(f"CREATE SCHEMA {quoted} AUTHORIZATION azure_pg_admin")
    assert "USAGE" in stage.azpg("grants", "--schema", schema, "--check", code=Exit.FAILED)
    script = stage.azpg("grants", "--schema", schema)
    assert f"ALTER DEFAULT PRIVILEGES IN SCHEMA {quoted} GRANT" in script  # nobody owns tables yet
    stage.administrator(stage.sandbox.database, script)
    assert stage.azpg("grants", "--schema", schema, "--check") == ""
    assert stage.azpg("grants", "--schema", "nowhere", code=Exit.FAILED) == ""


def test_a_person_gets_a_persons_role(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox
) -> None:
    for name, value in sandbox.environ("developer", "django").items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AZURE_POSTGRESQL_USER")
    monkeypatch.delenv("AZURE_POSTGRESQL_CLIENTID")
    assert "('user@contoso.example', 'face01d0-0000-4000-8000-000000000004', 'user'," in (
        stage.azpg("role")
    )


def test_a_single_server_is_marked_as_retired(stage: Stage) -> None:
    script = stage.azpg("role", "--single-server")
    assert "retired" in script.splitlines()[0]
    body = script.partition("off;\n")[2]  # the setting before is that product's own
    stage.superuser(body)
    quoted = stage.role.replace("'", "''")
    assert stage.superuser(f"SELECT 1 FROM pg_roles WHERE rolname = '{quoted}'")


@pytest.mark.parametrize("role", ["back\\slash", "dollar$$dollar"])
def test_what_cannot_be_quoted_is_refused(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    monkeypatch.setenv("AZURE_POSTGRESQL_USER", role)
    assert stage.azpg("role", code=Exit.FAILED) == ""


def test_no_role_where_there_is_a_password(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in sandbox.environ("secret").items():
        monkeypatch.setenv(name, value)
    assert main(["role"]) == Exit.CONFIG


def test_only_administrators_make_roles(sandbox: Sandbox) -> None:
    connection = psycopg2.connect(
        host="localhost", port=sandbox.port, dbname="postgres", user="aad_system",
        password=sandbox.issue_token(), sslmode="verify-full", sslrootcert=sandbox.ca_file,
    )  # fmt: skip
    with connection.cursor() as cursor, pytest.raises(psycopg2.Error, match="permission denied"):
        cursor.execute("SELECT pgaadauth_create_principal('azpg-demo', false, false)")
    connection.close()


def test_principals_by_name_and_listed(stage: Stage) -> None:
    with pytest.raises(psycopg2.Error, match="its name is not found in the tenant"):
        stage.administrator("postgres", "SELECT pgaadauth_create_principal('no', false, false)")
    stage.administrator("postgres", "SELECT pgaadauth_create_principal('azpg-demo', false, false)")
    connection = psycopg2.connect(**{**stage.sandbox.superuser_dsn, "dbname": "postgres"})
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM pgaadauth_list_principals(false)")
        rows = {row[0]: row[1:] for row in cursor.fetchall()}
        cursor.execute("SELECT rolename FROM pgaadauth_list_principals(true)")
        assert cursor.fetchall() == [("admin@contoso.example",)]
        cursor.execute('DROP ROLE "azpg-demo"')
    connection.commit()
    connection.close()
    tenant = "7e4a4700-0000-4000-8000-000000000000"
    assert rows["azpg-demo"] == (
        "service", "5e1f01d0-0000-4000-8000-000000000001", tenant, 0, 0,
    )  # fmt: skip
