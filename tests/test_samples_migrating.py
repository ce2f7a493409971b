"""docs/migrating.md: what it says breaks does break, and what it puts in its place does not."""

import os
import re
import subprocess
import sys
from contextlib import AbstractContextManager, closing
from pathlib import Path

import psycopg2
import pytest
from programs import Program, answer, running, surroundings

import azpg_bootstrap as azpg
from azpg_bootstrap.sandbox import Sandbox
from azpg_bootstrap.sandbox.variables import Client

GUIDE = Path(__file__).parent.parent / "docs" / "migrating.md"

BLOCKS = {
    (when, name): code
    for when, name, code in re.findall(
        r"```python\n# (before|after): (\S+)\n(.*?)```", GUIDE.read_text(), re.DOTALL
    )
}

TOKEN_LIFETIME = 2.0
"""Seconds: day one ends when they have passed."""

EXPIRED = "The access token has expired. Acquire a new token and try again."

DAYS = f"""
import time

def days(connect, close):
    first = connect()
    print("day one", flush=True)
    close()
    time.sleep({TOKEN_LIFETIME})
    connect()
    print("day two", flush=True)
"""

BY_DJANGO = """
import days, django
from django.db import connection
django.setup()
days.days(connection.ensure_connection, connection.close)
"""

BY_DB = """
import days, db
days.days(db.connect, lambda: None)
"""

BY_ENGINE = """
import days, engine
days.days(engine.connect, lambda: engine.engine.dispose(close=False))
"""

RECIPES: dict[str, tuple[Client, str]] = {
    "settings.py": ("django", BY_DJANGO),
    "db.py": ("python", BY_DB),
    "engine.py": ("django", BY_ENGINE),
}


def test_every_recipe_has_a_before_and_an_after() -> None:
    assert BLOCKS.keys() == {(when, name) for when in ("before", "after") for name in RECIPES}


@pytest.mark.parametrize("name", RECIPES)
def test_day_two(sandbox: Sandbox, tmp_path: Path, name: str) -> None:
    sandbox.faults(token_lifetime=TOKEN_LIFETIME)
    with started(sandbox, tmp_path, "before", name) as before:
        with started(sandbox, tmp_path, "after", name) as after:
            assert after.ended() == "day one\nday two\n"
        assert before.process.wait(60) == 1
    assert before.said().startswith("day one\n")
    assert "day two" not in before.said()
    assert EXPIRED in before.said()


def started(
    sandbox: Sandbox, folder: Path, when: str, name: str
) -> AbstractContextManager[Program]:
    client, program = RECIPES[name]
    code = folder / when
    code.mkdir()
    (code / name).write_text(BLOCKS[when, name])
    (code / "days.py").write_text(DAYS)
    variables = {
        "DJANGO_SETTINGS_MODULE": "settings",
        "PGPORT": str(sandbox.port),  # on Azure it is libpq's default
    }
    environ = sandbox.environ("system-assigned", client, compute="app-service")
    return running([sys.executable, "-c", program], code, surroundings(variables | environ))


def test_the_guide_quotes_the_server() -> None:
    assert EXPIRED in GUIDE.read_text()


def test_from_a_password_to_an_identity(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `azpg grants` prints, run by the owner, gives the identity's role the tables."""
    for name, value in sandbox.environ("system-assigned").items():
        monkeypatch.setenv(name, value)
    with closing(azpg.connect(environ=sandbox.environ("secret"))) as owner:
        owner.autocommit = True
        cursor = owner.cursor()
        cursor.execute("CREATE TABLE paid (amount int)")
        try:
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                count_paid()
            cursor.execute(printed("grants"))
            assert count_paid() == 0
        finally:
            cursor.execute(f"DROP TABLE paid; {printed('grants').replace(*UNDO).replace(*FROM)}")


UNDO, FROM = ("GRANT ", "REVOKE "), (' TO "', ' FROM "')


def printed(command: str) -> str:
    """Return what azpg prints, without its comments."""
    azpg = [sys.executable, "-m", "azpg_bootstrap", command]
    done = subprocess.run(azpg, env=os.environ, capture_output=True, text=True, check=True)
    return "".join(line for line in done.stdout.splitlines(True) if not line.startswith("--"))


def count_paid() -> object:
    with closing(azpg.connect()) as connection:
        return answer(connection.cursor(), "SELECT count(*) FROM paid")
