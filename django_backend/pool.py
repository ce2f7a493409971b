"""How Django's native pool gets its connections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_backend.base import AzureConnection


class Connector:
    """Stands for the pool's class of connections, which it asks for a new one and no more.

    The pool calls it in threads of its own, so that an error ends in its log. The last one is kept
    for those who waited in vain.
    """

    def __init__(self, wrapper: AzureConnection, connection_class: type[Any]) -> None:
        self._wrapper = wrapper
        self._class = connection_class
        self._last_error: Exception | None = None

    def connect(self, conninfo: str, **keywords: Any) -> Any:
        """Open a connection by the settings and the token of this moment."""
        try:
            # In autocommit, as Django's pool has it: Django sets what it wants later on.
            params = {**self._wrapper.get_connection_params(), "autocommit": True, **keywords}
            connection = self._wrapper.login(
                lambda latest: self._class.connect(conninfo, **latest), params
            )
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
