"""`make django-suite`: Django's own tests of what touches a database, by either engine.

The source distribution of the installed Django comes from the package index. Both engines run on
one sandbox, with each driver and with the native pool; it prints counts and every difference. The
server needs ICU, which Debian's has. Its roles become superusers, as Django's tests expect.
"""

import os
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import django
import psycopg2

from azpg_bootstrap.sandbox import Sandbox

DATABASE_BOUND = """
    aggregation annotations async backends basic bulk_create constraints custom_columns
    custom_lookups datatypes dates db_functions db_utils dbshell delete expressions fixtures
    get_or_create indexes inspectdb introspection lookup migrations multiple_database
    postgres_tests prefetch_related queries schema select_for_update test_runner
    transaction_hooks transactions
"""

LABELS = os.environ.get("DJANGO_SUITE_LABELS", DATABASE_BOUND).split()
"""Parts of Django's tests; an empty DJANGO_SUITE_LABELS means all of them."""

SETTINGS = """
import sys
if {psycopg2}:
    sys.modules["psycopg"] = None
DATABASES = {databases}
SECRET_KEY = "of no use to anybody"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = False
"""

DRIVERS = ("psycopg2", "psycopg", "pool")

Outcomes = dict[str, str]
"""What became of each test, by its name."""


def main() -> int:
    """Print a table; return 1 if the engines differ."""
    drivers = sys.argv[1:] or DRIVERS
    differences = 0
    with tempfile.TemporaryDirectory() as folder, Sandbox() as sandbox:
        tests = unpacked(Path(folder)) / "tests"
        make_superusers(sandbox)
        for driver in drivers:
            theirs = outcomes(tests, stock(sandbox, driver), {}, driver)
            ours = outcomes(tests, azure(driver), sandbox.environ(client="django"), driver)
            differences += report(driver, theirs, ours)
    return 1 if differences else 0


def unpacked(folder: Path) -> Path:
    """Return the folder of Django's source distribution."""
    version = django.get_version()
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--no-binary=django", f"django=={version}"], cwd=folder, check=True)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    (source,) = (path for path in folder.iterdir() if path.is_dir())
    return source


def make_superusers(sandbox: Sandbox) -> None:
    connection = psycopg2.connect(**sandbox.superuser_dsn)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("ALTER ROLE aad_system SUPERUSER; ALTER ROLE app_password SUPERUSER")
    connection.close()


def stock(sandbox: Sandbox, driver: str) -> str:
    """Return settings of Django's own engine, which is given a password."""
    environ = sandbox.environ("secret", "django")
    keys = ("NAME", "HOST", "PORT", "USER", "PASSWORD")
    parts = {key: environ[f"AZURE_POSTGRESQL_{key}"] for key in keys}
    return settings("django.db.backends.postgresql", driver, parts, {"sslmode": "require"})


def azure(driver: str) -> str:
    return settings("django_backend", driver, {}, {})


def settings(engine: str, driver: str, parts: dict[str, str], options: dict[str, object]) -> str:
    if driver == "pool":
        options = {**options, "pool": True}
    one = {"ENGINE": engine, **parts, "OPTIONS": options}
    databases = {"default": one, "other": {**one, "TEST": {"NAME": "test_other"}}}
    return SETTINGS.format(psycopg2=driver == "psycopg2", databases=databases)


def outcomes(tests: Path, settings: str, environ: dict[str, str], driver: str) -> Outcomes:
    """Run the labels; the native pool needs one process."""
    (tests / "suite_settings.py").write_text(settings)
    processes = "1" if driver == "pool" else str(min(os.cpu_count() or 1, 4))
    command = [sys.executable, "runtests.py", "--settings=suite_settings", "--noinput", "-v", "2"]
    path = os.pathsep.join([str(Path(__file__).parent.parent), *sys.path])
    done = subprocess.run(
        [*command, f"--parallel={processes}", *LABELS],
        cwd=tests,
        env={**os.environ, **environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    found = dict(parsed(done.stdout))
    if not found:
        raise SystemExit(done.stdout[-4000:])
    if log := os.environ.get("DJANGO_SUITE_LOG"):
        with Path(log).open("a") as file:
            file.write(done.stdout)
    return found


def parsed(output: str) -> Iterator[tuple[str, str]]:
    """Yield each test's name and outcome; a test with a docstring has it on a line of its own."""
    name = ""
    for line in output.splitlines():
        if start := re.match(r"\w+ \([\w.]+\)", line):
            name = start[0]
        if end := re.search(r" \.\.\. (ok|skipped|FAIL|ERROR|expected failure)", line):
            yield name, end[1]


def report(driver: str, theirs: Outcomes, ours: Outcomes) -> int:
    for engine, found in (("stock", theirs), ("django_backend", ours)):
        counts = {word: list(found.values()).count(word) for word in sorted(set(found.values()))}
        print(f"{driver:<9} {engine:<15} {len(found)} tests: {counts}", flush=True)
    different = [name for name in {**theirs, **ours} if theirs.get(name) != ours.get(name)]
    for name in different:
        print(f"  {name}: {theirs.get(name)} with stock, {ours.get(name)} here", flush=True)
    return len(different)


if __name__ == "__main__":
    sys.exit(main())
