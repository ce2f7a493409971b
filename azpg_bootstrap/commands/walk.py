"""What the steps of `azpg check` know of the connection so far."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from azpg_bootstrap import clouds, hints, token_hints
from azpg_bootstrap.commands.compute import Compute
from azpg_bootstrap.commands.exits import Failure
from azpg_bootstrap.commands.role import Principal, principal_of
from azpg_bootstrap.errors import AzpgError, TokenError
from azpg_bootstrap.methods import AuthMethod
from azpg_bootstrap.variables import prefix

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Psycopg2Connection  # noqa: N812

    from azpg_bootstrap.database import Database
    from azpg_bootstrap.profile import Profile

# The client's address as the server saw it, in PostgreSQL's own message.
ADDRESS: Final = re.compile(r'pg_hba\.conf \w+ (?:connection )?for host "([^"]+)"')

WORD: Final = re.compile(r"\{(\w+)\}")
"""A word in a hint's command, to be filled in."""

SQL: Final[dict[str, Callable[[Principal], str]]] = {
    "{create_role}": Principal.create,
    "{bind_role}": Principal.bind,
}
"""The commands that are for the server, and not for a shell."""


class Address(NamedTuple):
    """Where a server may be, and by which name it was looked up."""

    host: str
    ip: str
    port: int


class Walk:
    """One run of `azpg check`; each step adds what the next ones need."""

    settings: Profile
    database: Database
    token: str = ""
    params: Mapping[str, Any]
    connection: Psycopg2Connection | None = None

    def __init__(
        self,
        name: str | None,
        environ: Mapping[str, str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self.environ = environ
        self.compute = Compute.of(environ)
        self.clock = clock
        """Tells seconds since the epoch."""
        self.addresses: list[Address] = []
        """Where the server may be, in the order in which they are tried."""

    def close(self) -> None:
        """End the connection, if it came to one."""
        if self.connection:
            self.connection.close()

    def principal(self) -> Principal | None:
        """Return whom the token is about."""
        return principal_of(self.token, self.settings.user)

    def explain(self, error: Failure | AzpgError) -> tuple[str, tuple[str, ...]]:
        """Return an error's sentence, and what to do about it, the exact commands last."""
        text = str(error)
        hint = hints.find(text, token_hints.HINTS if isinstance(error, TokenError) else hints.HINTS)
        sentence = error.sentence if isinstance(error, Failure) else text
        if hint is None:
            return sentence, error.advice if isinstance(error, Failure) else ()
        commands = (self._command(template, text) for template in hint.commands)
        advice = hint.advise(prefix(self.name))
        sentence = sentence.removesuffix(hint.advice).strip()
        return sentence, (advice, *(f"  {command}" for command in commands if command))

    def _command(self, template: str, text: str) -> str | None:
        """Return a command for the shell or for SQL; None if nothing is known of it."""
        if template in SQL:
            principal = self.principal() if self.token else None
            with suppress(Failure):  # a name that cannot be quoted
                return SQL[template](principal) if principal else None
            return None
        words = self._words(text)
        return WORD.sub(lambda word: words.get(word[1], f"<{word[1]}>"), template)

    def _words(self, text: str) -> dict[str, str]:
        """Return what is known of the words in a command, quoted for the shell."""
        settings = self.settings
        address = ADDRESS.search(text)
        known = {
            "server": clouds.server_name(settings.host),
            "database": settings.database,
            "client_id": settings.client_id,
            "scope": settings.scope,
            "address": address[1] if address else None,
        }
        words = {name: shlex.quote(value) for name, value in known.items() if value}
        is_system = self.database.auth_method is AuthMethod.SYSTEM_ASSIGNED
        return words | {"assign_identity": self.compute.assign_identity(is_system=is_system)}
