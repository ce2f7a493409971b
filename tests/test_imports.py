"""Which module may import which: the rooms and the doors between them."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import azpg_bootstrap

PACKAGE = Path(azpg_bootstrap.__file__).parent
MODULES = sorted([*PACKAGE.glob("*.py"), *PACKAGE.glob("drivers/*.py")])
DRIVERS = {"psycopg2", "psycopg", "psycopg_pool", "sqlalchemy", "asyncpg"}


def imported(path: Path) -> set[str]:
    """Return the full names of what a module imports anywhere outside TYPE_CHECKING."""
    found = set()
    for node in ast.walk(Skip().visit(ast.parse(path.read_text()))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


class Skip(ast.NodeTransformer):
    def visit_If(self, node: ast.If) -> ast.AST | None:
        is_typing = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return None if is_typing else self.generic_visit(node)


def tops(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported(path)}


def test_only_credentials_import_azure() -> None:
    azure = {path.stem for path in MODULES if tops(path) & {"azure", "msal", "requests"}}
    assert azure == {"credentials", "managed_identity", "session"}


def test_commands_import_neither_azure_nor_drivers_but_for_sql() -> None:
    for path in (PACKAGE / "commands").glob("*.py"):
        assert not tops(path) & {"azure", "msal", "requests"}
        if path.stem not in {"sql", "quoting"}:
            assert not tops(path) & DRIVERS


def test_commands_do_not_load_each_other() -> None:
    heavy = {"pydantic", "azure", "msal", "requests", "psycopg2", "asyncio", "cryptography"}
    loaded = loaded_after("import azpg_bootstrap.cli")
    assert not heavy & loaded
    assert {name for name in loaded if name.startswith("azpg_bootstrap.commands.")} == {
        "azpg_bootstrap.commands.exits"
    }
    assert not any(name.startswith("azpg_bootstrap.sandbox") for name in loaded)


def test_only_drivers_and_the_parser_import_drivers() -> None:
    found = {path for path in MODULES if tops(path) & DRIVERS}
    assert {path.stem for path in found if path.parent.name != "drivers"} == {"dsn"}


def test_importing_the_drivers_functions_imports_no_driver_but_the_parsers() -> None:
    extras = {"psycopg", "psycopg_pool", "sqlalchemy", "asyncpg"}
    assert not extras & loaded_after("from azpg_bootstrap import asyncpg_connect, attach")


@pytest.mark.parametrize(
    "leaf", ["tokens", "lifetime", "claims", "clouds", "environment", "errors", "hints"]
)
def test_leaves_need_only_the_standard_library_and_each_other(leaf: str) -> None:
    allowed = {"azpg_bootstrap.errors", "azpg_bootstrap.lifetime"}
    path = PACKAGE / f"{leaf}.py"
    ours = {name for name in imported(path) if name.startswith("azpg_bootstrap.")}
    assert {name for name in ours if name.count(".") == 1} <= allowed
    assert tops(path) <= set(sys.stdlib_module_names) | {"azpg_bootstrap", "__future__"}


def test_the_sandbox_knows_nothing_of_the_library() -> None:
    for path in (PACKAGE / "sandbox").glob("*.py"):
        assert not any(
            name.startswith("azpg_bootstrap") and not name.startswith("azpg_bootstrap.sandbox")
            for name in imported(path)
        )


def test_django_uses_the_public_names_alone() -> None:
    public = {f"azpg_bootstrap.{name}" for name in azpg_bootstrap.__all__} | {"azpg_bootstrap"}
    for path in (PACKAGE.parent / "django_backend").rglob("*.py"):
        ours = {name for name in imported(path) if name.startswith("azpg_bootstrap")}
        assert ours <= public


def loaded_after(code: str) -> set[str]:
    program = f"{code}\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    return set(done.stdout.decode().split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = {
        "pydantic",
        "azure",
        "msal",
        "requests",
        "psycopg2",
        "asyncio",
        "azpg_bootstrap.settings",
    }
    assert not heavy & loaded_after("import azpg_bootstrap")


def test_secret_auth_never_loads_azure() -> None:
    program = (
        "import azpg_bootstrap as azpg\n"
        "environ = {'AZURE_POSTGRESQL_CONNECTIONSTRING': 'host=h dbname=d user=u password=p'}\n"
        "azpg.Database.from_env(environ=environ).params()"
    )
    assert not {"azure", "msal", "requests", "pydantic"} & loaded_after(program)


def test_public_names_are_there_and_sorted() -> None:
    assert azpg_bootstrap.__all__ == sorted(azpg_bootstrap.__all__)
    for name in azpg_bootstrap.__all__:
        assert getattr(azpg_bootstrap, name).__module__.startswith("azpg_bootstrap.")
    assert set(dir(azpg_bootstrap)) == set(azpg_bootstrap.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        azpg_bootstrap.nothing  # noqa: B018
