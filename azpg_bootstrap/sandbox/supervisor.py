"""The process that is the sandbox: it holds everything, and takes everything with it."""

import asyncio
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import NoReturn

from .binaries import find_binaries, within_reach
from .errors import SandboxError
from .home import Account, make_home, server_account
from .line import Options, say
from .server import Server

# Exit status of a process ended by SIGTERM, as a shell counts it.
_TERMINATED = 128 + signal.SIGTERM


def main(options: Options) -> None:
    """Be a sandbox until standard input ends, which it does however the owner may end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the owner's to act upon
    signal.signal(signal.SIGTERM, _exit)
    os.umask(0o077)  # whatever is written here is nobody else's business
    try:
        account = server_account()
        home = make_home(account)
        try:
            _run(home, account, options)
        finally:
            shutil.rmtree(home, ignore_errors=True)
    except (SandboxError, OSError) as error:
        say({"error": str(error)})


def _run(home: Path, account: Account, options: Options) -> None:
    bindir = within_reach(find_binaries(options["bindir"]), account, home / "postgresql")
    with Server(home / "server", bindir, account) as server:
        server.begin()
        # Imported late and made early, as both take time in which initdb is busy anyway.
        from .services import Services  # noqa: PLC0415

        services = Services(home, server, options)
        server.start()
        asyncio.run(services.live())


def _exit(*_: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # or a second one would interrupt the cleaning
    sys.exit(_TERMINATED)
