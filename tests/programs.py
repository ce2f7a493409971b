"""Programs that tests start as their platform would, and watch by what they say."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

SAMPLES = Path(__file__).parent.parent / "samples"

PATIENCE = 60.0
"""Seconds a program may take to say something; a machine busy with other tests is slow."""

POLL = 0.02
"""Seconds between two looks at what it has said."""


class Program:
    """A running program, and the file that its output goes to."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    def said(self) -> str:
        return self._log.read_text()

    def wait_for(self, pattern: str, times: int = 1) -> re.Match[str]:
        """Return the match of a regular expression once it has been said so many times."""
        deadline = time.monotonic() + PATIENCE
        while True:
            ended = self.process.poll() is not None
            found = list(re.finditer(pattern, self.said()))
            if len(found) >= times:
                return found[times - 1]
            if ended or time.monotonic() > deadline:
                pytest.fail(f"{pattern!r} was not said {times} times:\n{self.said()}")
            time.sleep(POLL)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end, wait until it has, and return its exit code."""
        self.process.send_signal(how)
        return self.process.wait(PATIENCE)


@contextmanager
def running(
    command: Sequence[str], folder: Path, environ: Mapping[str, str]
) -> Iterator[Program]:
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
