"""The environment variables of one connection, whatever client type they were written for.

Names and formats are those of the Service Connector documentation ("Integrate Azure Database
for PostgreSQL"), of App Service's prefixes for connection strings, and of Spring Boot.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from azpg_bootstrap.dsn import is_keyword
from azpg_bootstrap.errors import ConfigError

PREFIX: Final = "AZURE_POSTGRESQL_"

CONNECTION_STRING: Final = "CONNECTIONSTRING"

VARIABLES: Final = {
    CONNECTION_STRING: "connection string: libpq, postgresql:// URI, JDBC or .NET",
    "HOST": "server name",
    "PORT": "server port; 5432 if not set",
    "NAME": "database, as client type Django calls it",
    "DATABASE": "database",
    "USER": "role to log in as; under token auth the token's own name if not set",
    "USERNAME": "the same, as client type none calls it",
    "PASSWORD": "password of the role",
    "CLIENTID": "client id of a user-assigned identity or of a service principal",
    "CLIENTSECRET": "client secret of a service principal",
    "TENANTID": "tenant of a service principal",
    "AUTH": "auth method by name, instead of by the variables present",
    "SSL": "true or Require: what sslmode=require means in a connection string",
    "SSLMODE": "libpq's sslmode, taken at its word",
    "SCOPE": "token scope, for a server whose name does not tell its cloud",
    "TOKEN_TIMEOUT": "seconds to wait for a token in all; 30 if not set",
}
"""What each variable means, by its name without the prefix."""

# Names that more than one client type has for the same part.
ALIASES: Final = {"NAME": "DATABASE", "DBNAME": "DATABASE", "USERNAME": "USER"}

# App Service puts the kind of a "connection string" before its name.
APP_SERVICE_PREFIXES: Final = ("POSTGRESQLCONNSTR_", "CUSTOMCONNSTR_")

NAMING: Final = frozenset({CONNECTION_STRING, "HOST", "DATABASE"})
"""Parts that name a server or a database; where there is none of them, Spring's are read."""

# Where the platform tells the app's name: App Service and Functions, Container Apps.
APP_NAMES: Final = ("WEBSITE_SITE_NAME", "CONTAINER_APP_NAME")

# Spring Boot's properties without the marks its relaxed binding leaves out.
SPRING: Final = {
    "springdatasourceurl": CONNECTION_STRING,
    "springdatasourceusername": "USER",
    "springdatasourcepassword": "PASSWORD",
    "springcloudazurecredentialclientid": "CLIENTID",
    "springcloudazurecredentialclientsecret": "CLIENTSECRET",
    "springcloudazurecredentialtenantid": "TENANTID",
    "springcloudazureprofiletenantid": "TENANTID",
}


class Variable(NamedTuple):
    """A variable as it was found: its full name, the part of a connection it sets, its value."""

    name: str
    part: str
    value: str

    def __repr__(self) -> str:
        return f"<Variable {self.name}>"  # debug pages show the variables of a frame


def prefix(connection: str | None) -> str:
    """Return what the names of a connection's variables begin with; None is the unnamed one."""
    return PREFIX if connection is None else f"{PREFIX}{_upper(connection)}_"


def part_of(name: str) -> str:
    """Return the part of a connection that a variable's ending or a libpq keyword sets."""
    return ALIASES.get(name.upper(), name.upper())


def select(
    connection: str | None, environ: Mapping[str, str], *, optional: bool = False
) -> tuple[Variable, ...]:
    """Return the variables of one connection, misspelt ones included.

    Raises ConfigError where there are none, unless they are optional.
    """
    start = prefix(connection)
    found = [
        Variable(name, part_of(upper.removeprefix(start)), value)
        for upper, name in _names(environ)
        if upper.startswith(start) and _is_ours(upper.removeprefix(start))
        # Another thread may be changing the environment, as a Functions worker does once.
        if (value := environ.get(name)) is not None
    ]
    if connection is None and NAMING.isdisjoint(variable.part for variable in found):
        found += _spring(environ)
    if not found and not optional:
        raise ConfigError(_nothing_found(connection, environ))
    return tuple(sorted(found))


def intended(part: str) -> str | None:
    """Return the known name that an unknown one misses by its underscores alone."""
    if part in VARIABLES or is_keyword(part.lower()):
        return None
    squeezed = part.replace("_", "")
    return next((known for known in VARIABLES if known.replace("_", "") == squeezed), None)


def unread(environ: Mapping[str, str]) -> list[str]:
    """Return the names that look like ours and are no connection's: somebody may rely on them."""
    return sorted(
        name
        for upper, name in _names(environ)
        if upper.startswith(PREFIX) and not any(map(_is_ours, _endings(upper)))
    )


def _endings(upper: str) -> Iterator[str]:
    """Return what follows each underscore of a name: a connection's own may have several."""
    words = upper.removeprefix(PREFIX).split("_")
    return ("_".join(words[start:]) for start in range(len(words)))


def connections(environ: Mapping[str, str]) -> list[str]:
    """Return the names of the further connections that the environment holds variables of."""
    endings = "|".join(VARIABLES)
    pattern = re.compile(rf"{PREFIX}(?P<connection>\w+?)_(?:{endings})")
    matches = (pattern.fullmatch(upper) for upper, _ in _names(environ))
    return sorted({match["connection"].lower() for match in matches if match})


def app_name(environ: Mapping[str, str]) -> str | None:
    """Return what the compute service calls this app, where it says."""
    return next((environ[name] for name in APP_NAMES if environ.get(name)), None)


def _names(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name in environ:
        upper = name.upper()
        if PREFIX in upper:  # the others are many, and this runs at each connection
            for decoration in APP_SERVICE_PREFIXES:
                upper = upper.removeprefix(decoration)
            yield upper, name


def _is_ours(part: str) -> bool:
    return part in VARIABLES or is_keyword(part.lower()) or intended(part) is not None


def _spring(environ: Mapping[str, str]) -> Iterator[Variable]:
    for name, value in environ.items():
        part = SPRING.get(re.sub(r"[._-]", "", name).lower())
        if part:
            yield Variable(name, part, value)


def _upper(connection: str) -> str:
    return connection.replace("-", "_").upper()


def _nothing_found(connection: str | None, environ: Mapping[str, str]) -> str:
    others = connections(environ)
    known = f"; connections found: {', '.join(others)}" if others else ""
    if connection is None:
        return (
            f"no {PREFIX}* variable is set{known}; create a connection with Service Connector, "
            f"or set {PREFIX}HOST, {PREFIX}DATABASE and {PREFIX}USER"
        )
    # The name may come from anywhere, so only its own form is repeated.
    asked = prefix(connection) if connection.replace("-", "_").isidentifier() else PREFIX + "...?_"
    return f"no {asked}* variable is set for the connection asked for{known}"
