"""The one noun passed around: a database, and how to prove to it who we are."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from azpg_bootstrap.attempts import Attempt
from azpg_bootstrap.auth import load, token_provider
from azpg_bootstrap.claims import user_name
from azpg_bootstrap.errors import ConfigError
from azpg_bootstrap.methods import AuthMethod, choose
from azpg_bootstrap.parameters import IDENTIFYING, complete, given, is_pgbouncer, refuse_exposure
from azpg_bootstrap.profile import Profile
from azpg_bootstrap.reading import NOTHING, read
from azpg_bootstrap.variables import prefix

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from psycopg2.extensions import connection as Psycopg2Connection  # noqa: N812

    from azpg_bootstrap.settings import Settings

    Own = TypeVar("Own", bound=Psycopg2Connection)

logger = logging.getLogger(__name__)


class Database:
    """A database as its settings describe it, with the token of its identity.

    It is cheap to make and to keep: databases of the same identity share one token. Threads,
    coroutines and forked processes may share one too.
    """

    def __init__(
        self, settings: Settings | Profile, *, credential: TokenCredential | None = None
    ) -> None:
        self.profile: Final = settings if isinstance(settings, Profile) else settings.profile
        """The settings in plain values; the password is among them, though not in its repr."""
        self.auth_method: Final = choose(settings)
        """How the identity is proven; with `credential` it only tells how it would have been."""
        logger.debug("%r", self)
        self._tokens = (
            None
            if self.auth_method is AuthMethod.SECRET
            else token_provider(self.profile, credential)
        )
        if credential is not None and not self._tokens:
            raise ConfigError(
                f"credential= was given, but {prefix(self.profile.connection)}PASSWORD is set: "
                "remove one of the two"
            )

    @classmethod
    def from_env(
        cls,
        connection: str | None = None,
        *,
        environ: Mapping[str, str] = os.environ,
        given: Mapping[str, Any] = NOTHING,
        credential: TokenCredential | None = None,
    ) -> Database:
        """Return the database of `load_settings(connection, environ=environ, given=given)`.

        `credential`, any azure-core token credential, takes the place of the identity that the
        variables name. Raises ConfigError.
        """
        return cls(read(connection, environ, given), credential=credential)

    @cached_property
    def settings(self) -> Settings:
        """What this database was made of; takes pydantic-settings' import, `profile` does not."""
        from azpg_bootstrap.settings import Settings  # noqa: PLC0415 - connecting does without

        return Settings.of(self.profile)

    def __repr__(self) -> str:
        profile = self.profile
        user = f"{profile.user}@" if profile.user else ""
        where = f"{user}{profile.host}:{profile.port}/{profile.database}"
        return f"<Database {where} {self.auth_method} sslmode={profile.sslmode}>"

    @property
    def behind_pgbouncer(self) -> bool:
        """Whether the port is PgBouncer's: each transaction may run on another connection."""
        return is_pgbouncer(self.profile.port)

    def params(self, **libpq: Any) -> dict[str, Any]:
        """Return all libpq keywords but the password; those given here win.

        Where no user is configured, the token is needed to tell it. Raises ConfigError for an
        sslmode that could show the token, and TokenError.
        """
        params = complete(self.profile, libpq)
        if "user" not in params:
            params["user"] = self.profile.user or self._user_of(self.password())
        if self._tokens and "password" not in params:
            refuse_exposure(params)
        return params

    async def aparams(self, **libpq: Any) -> dict[str, Any]:
        """Do as `params` does, without blocking the event loop."""
        if not (self.profile.user or libpq.get("user")):
            libpq["user"] = self._user_of(await self.apassword())
        return self.params(**libpq)

    def password(self) -> str:
        """Return what to log in with: the password, or a good token. Raises TokenError."""
        return self._tokens.get().value if self._tokens else self._secret()

    async def apassword(self) -> str:
        """Do as `password` does, without blocking the event loop."""
        return (await self._tokens.aget()).value if self._tokens else self._secret()

    def token_expires_on(self) -> float | None:
        """Return when the token that `password` returns expires, in seconds since the epoch.

        None for a password. Raises TokenError.
        """
        return self._tokens.get().expires_on if self._tokens else None

    def prefetch(self) -> None:
        """Begin to fetch the token in the background, if it takes one. Never raises.

        The first call takes a tenth of a second for imports, so that the request leaves at once
        and need not wait its turn among those of the program.
        """
        if self._tokens:
            load(self.auth_method)
            self._tokens.prefetch()

    def attempts(self, password: str | None = None) -> Iterator[Attempt]:
        """Return the tries of one login, with `password` or else a good one of our own.

        There is a second one where the server refuses a token that a new one may do better than.

            for attempt in database.attempts():
                with attempt:
                    return driver.connect(..., password=attempt.password())
        """
        if self._tokens and password is None:
            yield Attempt(self, password, is_last=False)
        yield Attempt(self, password, is_last=True)

    def refused(self, password: str) -> bool:
        """Forget a token that the server refused; return whether there may be a better one."""
        if self._tokens is None:
            return False
        may_help = self._tokens.drop(password)
        logger.debug("the server refused a token, %s", "dropped" if may_help else "a new one")
        return may_help

    @overload
    def connect(self, *, connection_factory: Callable[..., Own], **libpq: Any) -> Own: ...

    @overload
    def connect(self, *, connection_factory: None = None, **libpq: Any) -> Psycopg2Connection: ...

    def connect(self, **libpq: Any) -> Psycopg2Connection:
        """Open a psycopg2 connection; libpq keywords and psycopg2's own arguments win.

        Raises psycopg2.OperationalError with a note on what to do, ConfigError and TokenError.
        """
        from azpg_bootstrap import drivers  # noqa: PLC0415 - imports the drivers

        connection: Psycopg2Connection = drivers.psycopg2_connect(self, **libpq)
        return connection

    def _secret(self) -> str:
        return self.profile.password or ""

    def _user_of(self, token: str) -> str:
        name = user_name(token)
        if name is None:
            raise ConfigError(
                f"{prefix(self.profile.connection)}USER is missing, and the token of this "
                "identity names no role: set it to the role that was created for the identity"
            )
        return name


def prefetch(connection: str | None = None, *, environ: Mapping[str, str] = os.environ) -> None:
    """Begin to fetch the token that `connect()` will need; see `Database.prefetch`.

    Meant for the first line of a program. Never raises: what is wrong, `connect()` will say.
    """
    with suppress(ConfigError):
        Database.from_env(connection, environ=environ).prefetch()


@overload
def connect(
    connection: str | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    credential: TokenCredential | None = None,
    connection_factory: Callable[..., Own],
    **libpq: Any,
) -> Own: ...


@overload
def connect(
    connection: str | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    credential: TokenCredential | None = None,
    connection_factory: None = None,
    **libpq: Any,
) -> Psycopg2Connection: ...


def connect(
    connection: str | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    credential: TokenCredential | None = None,
    **libpq: Any,
) -> Psycopg2Connection:
    """Open a psycopg2 connection to the database that AZURE_POSTGRESQL_* describe.

    `connection` names a further Service Connector connection: "reporting" reads
    AZURE_POSTGRESQL_REPORTING_*. `credential`, any azure-core token credential, takes the place of
    the identity that the variables name. libpq keywords, and psycopg2's own arguments, win over
    the environment. Raises psycopg2.OperationalError with a note on what to do, ConfigError and
    TokenError.
    """
    libpq = given(libpq)
    known = {key: value for key, value in libpq.items() if key in IDENTIFYING}
    database = Database.from_env(connection, environ=environ, given=known, credential=credential)
    opened: Psycopg2Connection = database.connect(**libpq)
    return opened
