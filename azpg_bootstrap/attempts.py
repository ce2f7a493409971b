"""One login may take two tries: a token that the server refuses may have a better successor."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from azpg_bootstrap import hints
from azpg_bootstrap.errors import AzpgError
from azpg_bootstrap.variables import prefix

if TYPE_CHECKING:
    from azpg_bootstrap.database import Database


class Attempt:
    """One try to log in; its context notes on a driver's error what to do about it.

    It swallows the error if the token was refused and a new one is worth a second try.
    """

    def __init__(self, database: Database, given: str | None, *, is_last: bool) -> None:
        self._database = database
        self._given = given
        self._is_last = is_last
        self._sent = ""

    def password(self) -> str:
        """Return the password given, else `Database.password`."""
        self._sent = self._database.password() if self._given is None else self._given
        return self._sent

    async def apassword(self) -> str:
        """Return the password given, else `Database.apassword`."""
        self._sent = await self._database.apassword() if self._given is None else self._given
        return self._sent

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> bool:
        if error is None or isinstance(error, AzpgError):
            return False
        hint = hints.add_note(error, prefix(self._database.profile.connection))
        may_help = hint is not None and hint.new_token_may_help
        return may_help and not self._is_last and self._database.refused(self._sent)
