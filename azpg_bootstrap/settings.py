"""One connection as users see it: typed, frozen, with its secrets hidden."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Annotated, Any, Final, Self

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from azpg_bootstrap import checks, clouds
from azpg_bootstrap.methods import AuthMethod
from azpg_bootstrap.profile import DEFAULT_PORT, DEFAULT_TOKEN_TIMEOUT, Profile
from azpg_bootstrap.reading import NOTHING, read

FIELDS: Final = dataclasses.fields(Profile)


class Settings(BaseSettings):
    """One connection, as its variables describe it; `load_settings` makes it.

    Made by hand it takes its arguments alone: it never looks at the environment by itself.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    connection: str | None = None
    """Name of a further Service Connector connection; None for the first, unnamed one."""
    host: Annotated[str, BeforeValidator(checks.host)]
    port: Annotated[int, BeforeValidator(checks.port)] = DEFAULT_PORT
    database: str
    user: str | None = None
    """None under token auth alone: then the token's own name is the user."""
    password: SecretStr | None = None
    client_id: Annotated[str, BeforeValidator(checks.uuid)] | None = None
    client_secret: SecretStr | None = None
    tenant_id: str | None = None
    auth: Annotated[AuthMethod, BeforeValidator(checks.method)] | None = None
    """The auth method, if it was named; else `choose` finds it."""
    named_sslmode: Annotated[clouds.SslMode, BeforeValidator(checks.sslmode)] | None = None
    """The sslmode, if one was asked for by name."""
    named_scope: Annotated[str, BeforeValidator(checks.scope)] | None = None
    """The token scope, if one was given."""
    token_timeout: Annotated[float, BeforeValidator(checks.seconds)] = DEFAULT_TOKEN_TIMEOUT
    """Seconds that a caller waits for a token in all."""
    keywords: tuple[tuple[str, str], ...] = Field(default=(), repr=False, exclude=True)
    """Further libpq keywords with their values; some are secret, so that no dump has them."""
    app_name: str | None = None
    """What the compute service calls this app."""

    @property
    def sslmode(self) -> clouds.SslMode:
        """The sslmode in force: the one named, else the strictest that suits the host."""
        return self.profile.sslmode

    @property
    def scope(self) -> str:
        """The token scope in force: the one given, else the host's."""
        return self.profile.scope

    @property
    def profile(self) -> Profile:
        """The same in plain values, secrets revealed."""
        return Profile(**{field.name: _plain(getattr(self, field.name)) for field in FIELDS})

    @classmethod
    def of(cls, profile: Profile) -> Self:
        """Return the settings of a profile."""
        return cls(**{field.name: getattr(profile, field.name) for field in FIELDS})

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic-settings'
        init_settings: PydanticBaseSettingsSource,
        *_others: Any,
        **_named: Any,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Leave the arguments as the only source: `load_settings` has read the environment."""
        return (init_settings,)


def load_settings(
    connection: str | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    given: Mapping[str, Any] = NOTHING,
) -> Settings:
    """Read one connection from the environment.

    `connection` names a further Service Connector connection, in any case: "reporting" reads
    AZURE_POSTGRESQL_REPORTING_*. `given` has values that win over the environment's, by libpq's
    keywords. Raises ConfigError with every problem found; none of them repeats a value.
    """
    return Settings.of(read(connection, environ, given))


def _plain(value: Any) -> Any:
    return value.get_secret_value() if isinstance(value, SecretStr) else value
