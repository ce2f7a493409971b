"""Programs that tests start as their platform would, and watch by what they say."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from azpg_bootstrap.sandbox import Sandbox

SAMPLES = Path(__file__).parent.parent / "samples"

PATIENCE = 60.0
"""Seconds a program may take for one step; a machine busy with other tests is slow."""

POLL = 0.02
"""Seconds between two looks at what it has come to."""


class Program:
    """A running program, and the file that its output goes to."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    def said(self) -> str:
        return self._log.read_text()

    def wait_for(self, pattern: str, times: int = 1) -> re.Match[str]:
        """Return the match of a regular expression once it has been said so many times."""
        found: list[re.Match[str]] = []

        def is_over() -> bool:
            ended = self.process.poll() is not None
            found[:] = re.finditer(pattern, self.said())
            return ended or len(found) >= times

        until(is_over)
        if len(found) < times:
            pytest.fail(f"{pattern!r} was not said {times} times:\n{self.said()}")
        return found[times - 1]

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end, wait until it has, and return its exit code."""
        self.process.send_signal(how)
        return self.process.wait(PATIENCE)

    def ended(self) -> str:
        """Wait until it has ended by itself, and well; return what it said."""
        assert self.process.wait(PATIENCE) == 0, self.said()
        return self.said()


@contextmanager
def running(command: Sequence[str], folder: Path, environ: Mapping[str, str]) -> Iterator[Program]:
    """Run a program in a folder with that environment; whatever it said, no token was in it."""
    log = folder.parent / f"{folder.name}-{Path(command[0]).name}-{time.monotonic_ns()}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={"HOME": str(folder.parent), **environ},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # to end its children with it
        )
    program = Program(process, log)
    try:
        yield program
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert "eyJ" not in program.said()


def surroundings(variables: Mapping[str, str], python: str = sys.executable) -> dict[str, str]:
    """Return an environment of what every machine has and these variables, nothing else."""
    path = os.pathsep.join([str(Path(python).parent), os.environ["PATH"]])
    return {
        "PATH": path,
        "PYTHONPATH": os.pathsep.join(name for name in sys.path if name),
        "PYTHONUNBUFFERED": "1",
        **variables,
    }


def sample(name: str, folder: Path) -> Path:
    """Copy a sample into a clean folder, as a deployment does."""
    ignored = shutil.ignore_patterns("__pycache__", "staticfiles")
    return Path(shutil.copytree(SAMPLES / name, folder / name, ignore=ignored))


def assert_logged(name: str, said: str) -> None:
    """Find each line of the log that ends a sample's README in what was said, but for numbers."""
    readme = (SAMPLES / name / "README.md").read_text()
    log = re.findall(r"```text\n(.*?)```\n$", readme, re.DOTALL)[0]
    missing = set(_masked(log)) - set(_masked(said))
    assert not missing, said


def _masked(text: str) -> list[str]:
    return [re.sub(r"\d+", "0", line) for line in text.splitlines()]


def until(true: Callable[[], bool]) -> None:
    """Wait until something is true of another process."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(POLL)


def answer_all(server: socket.socket, what: bytes) -> None:
    """Answer whoever connects with one thing, and then with silence, until the server is closed."""
    kept = []  # an answer is read before its connection goes
    with suppress(OSError):
        while True:
            kept.append(server.accept()[0])
            kept[-1].sendall(what)


@contextmanager
def administrator(sandbox: Sandbox) -> Iterator[Cursor]:
    """Open the application's database as the server's superuser; each statement is its own."""
    dsn = sandbox.superuser_dsn | {"dbname": sandbox.database}
    with closing(psycopg2.connect(**dsn)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor


@contextmanager
def tables(sandbox: Sandbox, script: str, role: str) -> Iterator[Cursor]:
    """Make a sample's tables by its SQL, for a role with the rights that `azpg grants` gives."""
    sql = (SAMPLES / script).read_text()
    names = ", ".join(re.findall(r"CREATE TABLE (\w+)", sql))
    with administrator(sandbox) as cursor:
        cursor.execute(f"{sql}; GRANT SELECT, INSERT, UPDATE, DELETE ON {names} TO {role}")
        try:
            yield cursor
        finally:
            cursor.execute(f"DROP TABLE {names}")


def answer(cursor: Cursor, query: str, *values: object) -> object:
    """Return the one value that a query asks for."""
    cursor.execute(query, values)
    row = cursor.fetchone()
    assert row
    return row[0]
