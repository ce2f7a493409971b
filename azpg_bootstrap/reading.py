"""From AZURE_POSTGRESQL_* to one checked Profile; nothing else reads these variables."""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from azpg_bootstrap import checks, clouds
from azpg_bootstrap.errors import ConfigError
from azpg_bootstrap.methods import AuthMethod, choose
from azpg_bootstrap.parts import Part, gather
from azpg_bootstrap.profile import Profile
from azpg_bootstrap.variables import Variable, app_name, part_of, prefix, select

CACHED_CONNECTIONS: Final = 64
"""Connections that are kept read: a program has one or two, and perhaps a few databases or roles
that it names itself."""

NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})

Check = Callable[[str], Any]

FIELDS: Final[Mapping[str, tuple[str, Check]]] = {
    "HOST": ("host", checks.host),
    "PORT": ("port", checks.port),
    "DATABASE": ("database", str),
    "USER": ("user", str),
    "PASSWORD": ("password", str),
    "CLIENTID": ("client_id", checks.uuid),
    "CLIENTSECRET": ("client_secret", str),
    "TENANTID": ("tenant_id", str),
    "AUTH": ("auth", checks.method),
    "SSLMODE": ("named_sslmode", checks.sslmode),
    "SCOPE": ("named_scope", checks.scope),
    "TOKEN_TIMEOUT": ("token_timeout", checks.seconds),
}
"""The field of a profile that each part of a connection fills, and how it is checked; other parts
are libpq keywords."""


def read(
    connection: str | None, environ: Mapping[str, str], given: Mapping[str, Any] = NOTHING
) -> Profile:
    """Return the profile of a connection; raise ConfigError with every problem that it has.

    `given` has values that win over the environment's, by libpq's keywords.
    """
    from_code = tuple(
        Variable(f"{keyword}=", part_of(keyword), str(value)) for keyword, value in given.items()
    )
    variables = select(connection, environ, optional=bool(from_code))
    found = _read(connection, variables, from_code, app_name(environ))
    if isinstance(found, Profile):
        return found
    raise ConfigError(*found)  # from here, as the frames below hold the values


@lru_cache(maxsize=CACHED_CONNECTIONS)
def _read(
    connection: str | None,
    variables: tuple[Variable, ...],
    from_code: tuple[Variable, ...],
    app: str | None,
) -> Profile | list[str]:
    """Return the profile, or else every problem."""
    parts, problems = gather(variables, from_code, prefix(connection))
    values: dict[str, Any] = {"connection": connection, "app_name": app}
    problems += _check(parts, values)
    if problems:
        return problems
    profile = Profile(**values)
    return [*_exposed(parts, profile)] or profile


def _check(parts: Mapping[str, Part], values: dict[str, Any]) -> Iterator[str]:
    """Put the parts among the values, and say which are not what they should be."""
    values["keywords"] = tuple(
        (part.lower(), value) for part, (_, value) in parts.items() if part not in FIELDS
    )
    for part, (field, check) in FIELDS.items():
        if part not in parts:
            continue
        source, value = parts[part]
        try:
            values[field] = check(value)
        except ValueError as error:
            if not checks.fault(value):  # that has been said
                yield f"{source} {error}"


def _exposed(parts: Mapping[str, Part], profile: Profile) -> Iterator[str]:
    """Say which part would show a token to others."""
    if choose(profile) is AuthMethod.SECRET:
        return
    exposures = {
        "HOST": clouds.exposing_host(profile.host),
        "SSLMODE": clouds.exposing_sslmode(profile.sslmode),
    }
    for part, exposure in exposures.items():
        if part in parts and exposure:
            yield f"{parts[part].source} {exposure}"
