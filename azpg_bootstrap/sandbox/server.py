"""A throw-away PostgreSQL that dies with this process."""

import ctypes
import locale
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812, the class is named so

from .errors import SandboxError
from .home import Account

SUPERUSER = "azuresu"

# The server listens on a socket in a folder of its own, so the number is free to be the usual one.
PORT = 5432

# Seconds. A loaded machine may be slow; a server that is silent longer has a problem.
_READY_WITHIN = 60.0
_STOPPED_WITHIN = 10.0

# Seconds between two attempts to connect while the server starts.
_POLL = 0.01

# Bytes of the server's log worth showing when it fails.
_LOG_TAIL = 4000

_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    # Nothing here outlives the sandbox, so nothing has to reach the disk.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    # In the folder that is removed with us, not in the system's shared memory.
    "dynamic_shared_memory_type": "mmap",
    # A failing CREATE ROLE would put its password into the log.
    "log_min_error_statement": "panic",
    "timezone": "UTC",
}

# The gateway has checked the token of whoever comes as a member of azure_ad_user.
_HBA = f"""\
local all {SUPERUSER} trust
local all +azure_ad_user trust
local all all scram-sha-256
"""


class Server:
    """PostgreSQL in a folder, reachable through a Unix socket in that folder only."""

    def __init__(self, folder: Path, bindir: Path, account: Account) -> None:
        self.folder = folder
        self._bindir = bindir
        self._account = account
        self._data = folder / "data"
        self._log = folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(mode=0o700)
        account.receive(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def begin(self) -> None:
        """Start to make the database cluster; `start` waits for it."""
        options = ["--no-sync", "--no-instructions", "--auth=trust", "--encoding=UTF8"]
        options += [f"--username={SUPERUSER}", f"--locale={_locale()}", f"--pgdata={self._data}"]
        self._process = self._run("initdb", *options)

    def start(self) -> None:
        """Start the server and return when it takes connections."""
        if self._process is None or self._process.wait(_READY_WITHIN):
            raise SandboxError(self.explain("initdb failed."))
        (self._data / "pg_hba.conf").write_text(_HBA)
        settings = _SETTINGS | {"unix_socket_directories": str(self.folder)}
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        self._process = self._run("postgres", "-D", str(self._data), *options)
        self._wait_until_ready(self._process)

    def stop(self) -> None:
        """Stop whatever runs, without the care that data worth keeping would need."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGQUIT)
        try:
            self._process.wait(_STOPPED_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def socket(self) -> Path:
        """The file that programs of this machine connect to."""
        return self.folder / f".s.PGSQL.{PORT}"

    def dsn(self, database: str) -> dict[str, Any]:
        """Return the libpq parameters of the superuser, who needs no password on this socket."""
        return {"host": str(self.folder), "port": PORT, "user": SUPERUSER, "dbname": database}

    def connect(self, database: str) -> Connection:
        """Connect as the superuser, each statement in a transaction of its own."""
        connection: Connection = psycopg2.connect(**self.dsn(database))
        connection.autocommit = True
        return connection

    def explain(self, sentence: str) -> str:
        """Add the end of the server's log to a sentence."""
        log = self._log.read_bytes()[-_LOG_TAIL:] if self._log.exists() else b""
        return f"{sentence}\n{log.decode(errors='replace')}".strip()

    def _run(self, program: str, *options: str) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [self._bindir / program, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                # A time zone spares initdb the search for the machine's.
                env={"PATH": os.defpath, "TZ": "UTC"},
                preexec_fn=_die_with_parent,  # noqa: PLW1509, no thread runs yet
                **self._account.as_user,
            )

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _READY_WITHIN
        while process.poll() is None and time.monotonic() < deadline:
            try:
                self.connect("postgres").close()
            except psycopg2.OperationalError:
                time.sleep(_POLL)
            else:
                return
        raise SandboxError(self.explain("The PostgreSQL server did not start."))


_LIBC = ctypes.CDLL(None)  # opened here, as between fork and exec nothing may be loaded

# <sys/prctl.h>: the signal to get when the parent dies.
_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


def _locale() -> str:
    """Return a locale that knows all letters and sorts alike everywhere, if the system has it."""
    try:
        locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
    except locale.Error:
        return "C"
    return "C.UTF-8"
