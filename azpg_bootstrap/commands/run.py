"""`azpg exec` and `azpg psql`: a program that finds the connection in PG*, it alone."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import NoReturn

from azpg_bootstrap.commands.exits import Exit, Failure, not_started
from azpg_bootstrap.database import Database
from azpg_bootstrap.environment import pg_environ


def psql(options: argparse.Namespace) -> int:
    """Become psql."""
    return _become(["psql", *options.arguments], child_environ(options.connection))


def run(options: argparse.Namespace) -> int:
    """Become the program."""
    return _become(options.arguments, child_environ(options.connection))


def child_environ(connection: str | None) -> dict[str, str]:
    """Return our environment with libpq's variables for this connection, and no other of libpq's.

    A PGSERVICE or PGHOSTADDR left over would lead the token to another server.
    """
    own = {name: value for name, value in os.environ.items() if not name.upper().startswith("PG")}
    return own | connection_environ(connection)


def connection_environ(connection: str | None) -> dict[str, str]:
    """Return libpq's variables for this connection, the password or a fresh token among them."""
    database = Database.from_env(connection)
    return pg_environ({**database.params(), "password": database.password()})


def _become(command: Sequence[str], environ: dict[str, str]) -> int:
    if not command[0]:
        raise Failure("the program to run has no name", code=Exit.NOT_FOUND)
    sys.stdout.flush()
    try:
        if os.name == "nt":  # exec on Windows would give the prompt back at once
            return subprocess.run(command, env=environ, check=False).returncode
        _exec(command, environ)
    except OSError as error:
        raise not_started(command, error) from error


def _exec(command: Sequence[str], environ: dict[str, str]) -> NoReturn:
    # Python ignores these, and a shell could not undo it: pipes in it would end in complaints.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    os.execvpe(command[0], list(command), environ)  # noqa: S606 - to have no shell is the point
