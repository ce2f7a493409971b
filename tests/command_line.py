"""azpg run as its users run it: as a program of its own."""

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence

AZPG = [sys.executable, "-m", "azpg_bootstrap"]


def azpg(*arguments: str, code: int = 0, **environ: str) -> subprocess.CompletedProcess[str]:
    return run([*AZPG, *arguments], code, environ)


def in_a_shell(line: str, code: int, **environ: str) -> subprocess.CompletedProcess[str]:
    return run(["sh", "-c", f"{shlex.join(AZPG)} {line}"], code, environ)


def run(
    command: Sequence[str], code: int, environ: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done
