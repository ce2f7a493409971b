"""From AZURE_POSTGRESQL_* to one frozen Settings; nothing else reads these variables."""

import os
from collections.abc import Iterator, Mapping
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from azpg_bootstrap import checks, clouds
from azpg_bootstrap.errors import ConfigError
from azpg_bootstrap.methods import AuthMethod, choose
from azpg_bootstrap.parts import Part, gather
from azpg_bootstrap.variables import Variable, app_name, part_of, prefix, select

CACHED_CONNECTIONS: Final = 64
"""Connections whose settings are kept parsed: a program has one or two, and perhaps a few databases
or roles that it names itself."""

NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})

is_method: Final = partial(checks.one_of, list(AuthMethod))


class Settings(BaseSettings):
    """One connection, as its variables describe it; `load_settings` makes it.

    Made by hand it takes its arguments alone: it never looks at the environment by itself.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    connection: str | None = None
    """Name of a further Service Connector connection; None for the first, unnamed one."""
    host: Annotated[str, BeforeValidator(checks.host)]
    port: Annotated[int, BeforeValidator(checks.port)] = 5432
    database: str
    user: str | None = None
    """None under token auth alone: then the token's own name is the user."""
    password: SecretStr | None = None
    client_id: Annotated[str, BeforeValidator(checks.uuid)] | None = None
    client_secret: SecretStr | None = None
    tenant_id: str | None = None
    auth: Annotated[AuthMethod, BeforeValidator(is_method)] | None = None
    """The auth method, if it was named; else `choose` tells it."""
    named_sslmode: Annotated[clouds.SslMode, BeforeValidator(checks.sslmode)] | None = None
    """The sslmode, if one was asked for by name."""
    named_scope: Annotated[str, BeforeValidator(checks.scope)] | None = None
    """The token scope, if one was given."""
    token_timeout: Annotated[float, BeforeValidator(checks.seconds)] = 30.0
    """Seconds that a caller waits for a token in all."""
    keywords: tuple[tuple[str, str], ...] = Field(default=(), repr=False)
    """Further libpq keywords with their values."""
    app_name: str | None = None
    """What the compute service calls this app."""

    @property
    def sslmode(self) -> clouds.SslMode:
        """The sslmode in force: the one named, else the strictest that suits the host."""
        return self.named_sslmode or clouds.default_sslmode(self.host)

    @property
    def scope(self) -> str:
        """The token scope in force: the one given, else the host's."""
        return self.named_scope or clouds.cloud(self.host).scope

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


# Which part of a connection each field holds; other parts are libpq keywords.
FIELDS: Final = {
    "HOST": "host",
    "PORT": "port",
    "DATABASE": "database",
    "USER": "user",
    "PASSWORD": "password",
    "CLIENTID": "client_id",
    "CLIENTSECRET": "client_secret",
    "TENANTID": "tenant_id",
    "AUTH": "auth",
    "SSLMODE": "named_sslmode",
    "SCOPE": "named_scope",
    "TOKEN_TIMEOUT": "token_timeout",
}


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
    from_code = tuple(
        Variable(f"{keyword}=", part_of(keyword), str(value)) for keyword, value in given.items()
    )
    variables = select(connection, environ, optional=bool(from_code))
    return _load(connection, variables, from_code, app_name(environ))


@lru_cache(maxsize=CACHED_CONNECTIONS)
def _load(
    connection: str | None,
    variables: tuple[Variable, ...],
    from_code: tuple[Variable, ...],
    app: str | None,
) -> Settings:
    parts, problems = gather(variables, from_code, prefix(connection))
    values: dict[str, Any] = {
        FIELDS[part]: value for part, (_, value) in parts.items() if part in FIELDS
    }
    keywords = [(part.lower(), value) for part, (_, value) in parts.items() if part not in FIELDS]
    try:
        settings = Settings(connection=connection, keywords=tuple(keywords), app_name=app, **values)
    except ValidationError as error:
        problems += _in_words(error, parts)
    else:
        problems += _exposed(settings, parts)
    if problems:
        # Raised outside of the handler: pydantic's error must not come along as the context.
        raise ConfigError(*dict.fromkeys(problems))
    return settings


def _in_words(error: ValidationError, parts: dict[str, Part]) -> Iterator[str]:
    """Name the variable instead of the field; what is missing or empty has been said."""
    part_of = {field: part for part, field in FIELDS.items()}
    for fault in error.errors(include_input=False, include_context=False, include_url=False):
        part = parts.get(part_of.get(str(fault["loc"][0]), ""))
        if part and not checks.fault(part.value):
            yield f"{part.source} {fault['msg']}"


def _exposed(settings: Settings, parts: dict[str, Part]) -> Iterator[str]:
    if choose(settings) is not AuthMethod.SECRET:
        for part, (source, _) in parts.items():
            mode = settings.sslmode if part == "SSLMODE" else "require"
            host = settings.host if part == "HOST" else ""
            if exposure := clouds.exposure(host, mode):
                yield f"{source} {exposure}"
