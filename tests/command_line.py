"""azpg run as its users run it: as a program of its own."""

import os
import subprocess
import sys

AZPG = [sys.executable, "-m", "azpg_bootstrap"]


def azpg(*arguments: str, code: int = 0, **environ: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*AZPG, *arguments],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done
