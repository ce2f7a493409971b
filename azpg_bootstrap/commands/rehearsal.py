"""`azpg sandbox`: a program run where everything around it is the sandbox."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from azpg_bootstrap.commands.exits import Failure, not_started
from azpg_bootstrap.commands.signals import handling
from azpg_bootstrap.sandbox import Sandbox, SandboxError

EXIT_SIGNALLED: Final = 128
"""Added to the number of the signal that ended the program, as shells do."""

FOREIGN: Final = (
    "AZURE_", "IDENTITY_", "IMDS_", "MSI_", "PG", "POSTGRESQLCONNSTR_", "CUSTOMCONNSTR_",
    "SPRING_", "SPRING.", "WEBSITE_SITE_NAME", "CONTAINER_APP_NAME",
)  # fmt: skip
"""What names of variables begin with that could lead the program to a real server or identity."""


def run(options: argparse.Namespace) -> int:
    """Run the command of the options in a sandbox of its own; return the command's exit code."""
    with started(Sandbox(options.token_lifetime, options.token_latency)) as sandbox:
        found = sandbox.environ(options.auth, options.client, compute=options.compute)
        return _run(options.command, {**_own_environment(), **found})


@contextmanager
def started(sandbox: Sandbox) -> Iterator[Sandbox]:
    """Run a sandbox; what goes wrong with it ends the command."""
    try:
        with sandbox:
            yield sandbox
    except SandboxError as error:
        raise Failure(str(error)) from error


def _own_environment() -> dict[str, str]:
    return {
        name: value for name, value in os.environ.items() if not name.upper().startswith(FOREIGN)
    }


def _run(command: Sequence[str], environ: Mapping[str, str]) -> int:
    # At a Ctrl-C the terminal tells the program too, which ends when it likes. An exception here
    # could come between the program's end and the moment in which its exit code is noted.
    with handling(signal.SIGINT, lambda *_: None):
        try:
            process = subprocess.Popen(command, env=environ)
        except OSError as error:
            raise not_started(command, error) from error
        # What the program leaves behind is cleaned up after it has ended.
        with handling(signal.SIGTERM, lambda number, _: process.send_signal(number)):
            code = process.wait()
    return EXIT_SIGNALLED - code if code < 0 else code
