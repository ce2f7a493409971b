"""What a driver's error means, noted on Django's error for it."""

from __future__ import annotations

from types import TracebackType

from django.db.utils import DatabaseErrorWrapper, Error

from azpg_bootstrap import explain


class ExplainedErrors(DatabaseErrorWrapper):
    """Turns a driver's error into Django's; without an error it costs what Django's own costs."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Raise Django's error with a note on what to do about it."""
        if kind is None:
            return
        try:
            super().__exit__(kind, error, traceback)
        except Error as djangos:
            explain(djangos, djangos.__cause__)
            raise
