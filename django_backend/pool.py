"""How a connection is opened, by Django's native pool among others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from azpg_bootstrap import Database


def login(
    database: Database, given: str | None, connect: Callable[..., Any], params: Mapping[str, Any]
) -> Any:
    """Connect; a token that the server refuses is replaced and tried once more.

    `given` is a password that the settings have besides PASSWORD.
    """
    for attempt in database.attempts(given):
        with attempt:
            return connect(**{**params, "password": attempt.password()})
    raise AssertionError("the last attempt returns or raises")


class Connector:
    """Stands for the pool's class of connections, which it asks for a new one and no more.

    The pool calls it in threads of its own, so that an error ends in its log. The last one is kept
    for those who waited in vain.
    """

    def __init__(self, database: Database, given: str | None, connection_class: type[Any]) -> None:
        self._database = database
        self._given = given
        # Two threads may come here at once, and the second finds what the first has put there.
        is_wrapped = isinstance(connection_class, Connector)
        self._class = connection_class._class if is_wrapped else connection_class
        self._last_error: Exception | None = None

    def connect(self, conninfo: str, **params: Any) -> Any:
        """Open a connection by the pool's keywords and the token of this moment."""
        connect = partial(self._class.connect, conninfo)
        try:
            connection = login(self._database, self._given, connect, params)
        except Exception as error:
            self._last_error = error
            raise
        self._last_error = None
        return connection

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """Note on an error in here why the pool could not connect."""
        try:
            yield
        except Exception as error:
            if cause := self._last_error:
                error.add_note(f"The pool could not connect: {cause}")
                for note in getattr(cause, "__notes__", ()):
                    error.add_note(note)
            raise
