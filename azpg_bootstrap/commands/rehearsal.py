"""`azpg sandbox`: a program run where everything around it is the sandbox."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from azpg_bootstrap.sandbox import Sandbox

EXIT_NOT_FOUND: Final = 127
"""The program does not exist, as shells have it."""

EXIT_SIGNALLED: Final = 128
"""Added to the number of the signal that ended the program, as shells do."""

FOREIGN: Final = (
    "AZURE_", "IDENTITY_", "IMDS_", "MSI_", "PG", "POSTGRESQLCONNSTR_", "CUSTOMCONNSTR_",
    "SPRING_", "SPRING.", "WEBSITE_SITE_NAME", "CONTAINER_APP_NAME",
)  # fmt: skip
"""What names of variables begin with that could lead the program to a real server or identity."""


def run(options: argparse.Namespace) -> int:
    """Run the command of the options in a sandbox of its own; return the command's exit code."""
    with Sandbox(options.token_lifetime, options.token_latency) as sandbox:
        found = sandbox.environ(options.auth, options.client, compute=options.compute)
        return _run(options.command, {**_own_environment(), **found})


def _own_environment() -> dict[str, str]:
    return {
        name: value for name, value in os.environ.items() if not name.upper().startswith(FOREIGN)
    }


def _run(command: Sequence[str], environ: Mapping[str, str]) -> int:
    try:
        process = subprocess.Popen(command, env=environ)
    except OSError as error:
        sys.stderr.write(f"azpg sandbox: {command[0]}: {error.strerror}\n")
        return EXIT_NOT_FOUND
    with _passing_on(signal.SIGTERM, process):
        while True:
            try:
                code = process.wait()
            except KeyboardInterrupt:
                continue  # the terminal has told the program too, which ends when it likes
            return EXIT_SIGNALLED - code if code < 0 else code


@contextmanager
def _passing_on(number: signal.Signals, process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Pass a signal on to the program: what it leaves behind is cleaned up after it has ended."""
    before = signal.signal(number, lambda *_: process.send_signal(number))
    try:
        yield
    finally:
        signal.signal(number, before)
