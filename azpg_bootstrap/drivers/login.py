"""What every driver does for each physical connection: ask anew, try a refused token once more.

A driver comes here as its function that connects, which takes libpq's keywords.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from azpg_bootstrap.database import Database
from azpg_bootstrap.errors import MissingExtraError

logger = logging.getLogger(__name__)

UNREACHABLE: Final = "the last attempt returns or raises"

Connection = TypeVar("Connection")


def login(
    database: Database, connect: Callable[..., Connection], given: Mapping[str, Any]
) -> Connection:
    """Open a connection; what is given wins over what the database says of itself."""
    params = database.params(**given)
    for attempt in database.attempts(params.pop("password", None)):
        with attempt:
            return connect(**params, password=attempt.password())
    raise AssertionError(UNREACHABLE)


async def alogin(
    database: Database, connect: Callable[..., Awaitable[Connection]], given: Mapping[str, Any]
) -> Connection:
    """Do as `login` does, without blocking the event loop."""
    params = await database.aparams(**given)
    for attempt in database.attempts(params.pop("password", None)):
        with attempt:
            return await connect(**params, password=await attempt.apassword())
    raise AssertionError(UNREACHABLE)


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Import a driver inside: where it is missing, MissingExtraError has the pip command."""
    try:
        yield
    except ImportError as error:
        raise MissingExtraError(
            f'{error}; what is missing comes with: pip install "azpg-bootstrap[{name}]"'
        ) from error


@contextmanager
def logged() -> Iterator[None]:
    """Log the advice on an error: a pool logs the error, in a thread of its own, without notes."""
    try:
        yield
    except Exception as error:
        for note in getattr(error, "__notes__", ()):
            logger.warning("a pool cannot connect: %s", note)
        raise
