"""The private folder a sandbox lives in, and the account that may run PostgreSQL there."""

import os
import pwd
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from .errors import SandboxError

# PostgreSQL refuses to run as root, so root hands it to the first of these that exists.
_UNPRIVILEGED = ("postgres", "nobody")

# Bytes a Unix socket's path may have on macOS; Linux allows four more.
_SOCKET_PATH_LIMIT = 103

# The longest path below the temporary folder, with what mkdtemp makes of "azpg-".
_LONGEST_PATH = "/azpg-12345678/server/.s.PGSQL.5432"


class AsUser(TypedDict, total=False):
    """The arguments of subprocess that change the user."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True)
class Account:
    """Somebody to run PostgreSQL as."""

    uid: int
    gid: int

    @property
    def as_user(self) -> AsUser:
        """What subprocess needs to become this account; nothing when we are it already."""
        if self.uid == os.getuid():
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def reaches(self, path: Path) -> bool:
        """Whether the account may enter every folder on the way to a file, going by the modes."""
        return all(self._enters(folder.stat()) for folder in path.resolve().parents)

    def receive(self, path: Path) -> None:
        """Give a file or a folder, with all in it, to the account."""
        if self.as_user:
            for each in (path, *path.rglob("*")):
                os.chown(each, self.uid, self.gid)

    def _enters(self, folder: os.stat_result) -> bool:
        if folder.st_uid == self.uid:
            return bool(folder.st_mode & stat.S_IXUSR)
        if folder.st_gid == self.gid:
            return bool(folder.st_mode & stat.S_IXGRP)
        return bool(folder.st_mode & stat.S_IXOTH)


def server_account() -> Account:
    """Return who runs the server: ourselves, or an unprivileged account when we are root."""
    if os.getuid() != 0:
        return Account(os.getuid(), os.getgid())
    for name in _UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise SandboxError(
        "PostgreSQL does not run as root and there is no account "
        f"{' or '.join(_UNPRIVILEGED)} to run it as; start the sandbox as an ordinary user."
    )


def make_home(account: Account) -> Path:
    """Make a folder that only we may look into and the account may pass through."""
    home = Path(tempfile.mkdtemp(prefix="azpg-", dir=_parent(account)))
    if account.as_user:
        os.chown(home, 0, account.gid)
        home.chmod(0o710)
    return home


def _parent(account: Account) -> Path:
    for parent in (Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108, mkdtemp is used in it
        short = len(os.fsencode(parent)) + len(_LONGEST_PATH) <= _SOCKET_PATH_LIMIT
        if short and account.reaches(parent / "any"):
            return parent
    raise SandboxError("No temporary folder is short enough and open to the server's account.")
