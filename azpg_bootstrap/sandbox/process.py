"""The supervisor as its owner sees it: a child process and two pipes."""

import json
import os
import subprocess
import sys
import tempfile
import weakref
from typing import IO, Any, cast

from .errors import SandboxError

# Seconds the supervisor may take to clean up; it needs a tenth of one.
_ENDED_WITHIN = 20.0

# Bytes read at a time, and bytes of the supervisor's last words that are worth showing.
_CHUNK = 65_536
_LAST_WORDS = 4000


class SupervisorProcess:
    """The process that holds the sandbox, one command and one answer at a time.

    Pipes are read and written without buffers: those would have locks, and a fork may come at any
    time. The supervisor takes the end of its input for the end of us, so no child may keep it open:
    one that executes another program does not, and one that is only forked calls `abandon`.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self._errors = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115, it lives as long as we do
        self._process = subprocess.Popen(
            # -P: it searches our module path, and no file of the working folder before.
            [sys.executable, "-P", "-m", __package__, json.dumps(options)],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=_environment(),
            # A Ctrl-C at the terminal is for the owner, who may still have questions.
            start_new_session=True,
        )
        self._commands = cast(IO[bytes], self._process.stdin)
        self._answers = cast(IO[bytes], self._process.stdout)
        # subprocess keeps a child that still runs, with its pipes, when nobody else does.
        self._let_go = weakref.finalize(self, _close, self._commands, self._answers, self._errors)

    def exchange(self, command: dict[str, object] | None) -> dict[str, Any]:
        """Write a command, if any, and read one answer."""
        data = b"" if command is None else json.dumps(command).encode() + b"\n"
        line = b""
        try:
            while data:
                data = data[self._commands.write(data) :]
            line = self._read_line()
        except BrokenPipeError:
            pass
        if not line:
            raise SandboxError(f"The sandbox has ended unexpectedly.\n{self._last_words()}".strip())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def end(self) -> None:
        """Let the supervisor clean up, and wait until it has."""
        self._commands.close()
        try:
            self._process.wait(_ENDED_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._let_go()

    def abandon(self) -> None:
        """Let go of everything without disturbing the process, which is not our child."""
        self._let_go()
        self._process.returncode = 0  # or Popen would warn of a child still running

    def _read_line(self) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            chunk = self._answers.read(_CHUNK)
            if not chunk:
                return b""
            line += chunk
        return line

    def _last_words(self) -> str:
        self._process.wait(_ENDED_WITHIN)
        self._errors.seek(0)
        return self._errors.read()[-_LAST_WORDS:].decode(errors="replace")


def _close(*files: IO[bytes]) -> None:
    for file in files:
        file.close()


def _environment() -> dict[str, str]:
    """Return our environment and module path, without what would lead libpq elsewhere."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return own | {"PYTHONPATH": os.pathsep.join(sys.path)}
