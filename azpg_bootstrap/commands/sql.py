"""A connection and its answers, with the driver's errors as the end of a command."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import psycopg2
from psycopg2.sql import SQL, Composable, Identifier

from azpg_bootstrap.commands.exits import Exit, Failure
from azpg_bootstrap.commands.signals import handling

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Psycopg2Connection  # noqa: N812

    from azpg_bootstrap.database import Database


def log_in(database: Database, **libpq: Any) -> Psycopg2Connection:
    """Open a connection whose statements are each a transaction. Raises Failure."""
    with translated(), _interruptible():
        connection: Psycopg2Connection = database.connect(**libpq)
        connection.autocommit = True
        return connection


def _interruptible() -> AbstractContextManager[None]:
    """Let a Ctrl-C end the process as it stands: libpq waits where Python does not hear it."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return nullcontext()  # somebody wants it otherwise
    return handling(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def session(database: Database, **libpq: Any) -> Iterator[Psycopg2Connection]:
    """Open a connection and close it again. Raises Failure."""
    connection = log_in(database, **libpq)
    try:
        with translated():
            yield connection
    finally:
        connection.close()


def patience(params: Mapping[str, Any]) -> float | None:
    """Return the seconds that libpq waits for each address; None is for ever. Raises Failure."""
    try:
        return max(0.0, float(params["connect_timeout"])) or None
    except ValueError:
        raise Failure("connect_timeout is no number of seconds", code=Exit.CONFIG) from None


def rows(connection: Psycopg2Connection, query: str, **values: Any) -> list[tuple[Any, ...]]:
    """Return what a query answers; values go in where %(name)s stands. Raises Failure."""
    with translated(), connection.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchall()


def statement(connection: Psycopg2Connection, template: str, **parts: str | Composable) -> str:
    """Fill identifiers into an SQL statement, quoted by the driver for this server."""
    names = {
        name: Identifier(part) if isinstance(part, str) else part for name, part in parts.items()
    }
    return SQL(template).format(**names).as_string(connection)


def keywords(words: Iterable[str]) -> Composable:
    """Return SQL keywords of our own, with commas between them."""
    return SQL(", ").join(SQL(word) for word in words)


@contextmanager
def translated() -> Iterator[None]:
    """Let a driver's error end the command; its notes say what to do."""
    try:
        yield
    except psycopg2.Error as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        notes = getattr(error, "__notes__", [])
        raise Failure(lines[0], *lines[1:], *notes, code=Exit.SERVER) from error
