"""The libpq keywords of one connection: what is configured, what is given, what suits a cloud."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import certifi

from azpg_bootstrap import clouds
from azpg_bootstrap.dsn import is_keyword
from azpg_bootstrap.errors import ConfigError

if TYPE_CHECKING:
    from azpg_bootstrap.profile import Profile

PACKAGE: Final = "azpg-bootstrap"

DEFAULTS: Final = {
    # Seconds per address: a cold flexible server answers within two, a firewall never.
    "connect_timeout": "10",
    # Azure's load balancers forget a silent connection after 4 minutes; seconds, well below.
    "keepalives_idle": "60",
    # A peer that misses three in a row is gone: noticed 90 seconds after its last word.
    "keepalives_interval": "10",
    "keepalives_count": "3",
    # The same 90 seconds, in milliseconds, for a peer that goes while it is being sent to.
    "tcp_user_timeout": "90000",
    # Azure has no Kerberos; libpq would ask for a ticket where a machine has one, before TLS.
    "gssencmode": "disable",
}
"""libpq keywords that suit a cloud better than libpq's own defaults."""

VERIFYING: Final = ("verify-ca", "verify-full")
"""The sslmodes that need a root certificate; the wheels' own folder of them does not exist."""

IDENTIFYING: Final = frozenset({"host", "port", "dbname", "user", "password", "sslmode"})
"""libpq keywords that settings are made of; the others only pass through."""

WHOLES: Final = ("dsn", "conninfo")
"""What psycopg2 and psycopg 3 call a whole connection string."""

ALIASES: Final = {"database": "dbname"}
"""psycopg2's other name for a libpq keyword."""

PGBOUNCER_PORTS: Final = frozenset({"6432", "8432"})
"""Where Azure's built-in PgBouncer listens; the second is an elastic cluster's, for its workers."""


def complete(profile: Profile, libpq: Mapping[str, Any]) -> dict[str, Any]:
    """Return all keywords of a connection but those that prove who it is; `libpq` wins."""
    wanted = given(libpq)
    keywords = dict(profile.keywords)
    if wanted.get("host", profile.host) != profile.host:
        keywords.pop("hostaddr", None)  # the address of the host that is not meant
    params: dict[str, Any] = {
        **DEFAULTS,
        "application_name": profile.app_name or PACKAGE,
        **keywords,
        "host": profile.host,
        "port": profile.port,
        "dbname": profile.database,
        **wanted,
    }
    if "sslmode" not in params:
        params["sslmode"] = profile.named_sslmode or clouds.default_sslmode(params["host"])
    if params["sslmode"] in VERIFYING:
        params.setdefault("sslrootcert", certifi.where())
    return params


def is_pgbouncer(port: object) -> bool:
    """Tell whether PgBouncer answers at a port, by its number; there may be a list of them."""
    return not PGBOUNCER_PORTS.isdisjoint(re.findall(r"\d+", str(port)))


def given(libpq: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is given, by libpq's own keywords.

    None is not given, unless to a driver's own argument: there it may mean something.
    """
    if any(libpq.get(whole) for whole in WHOLES):
        raise ConfigError("dsn= and conninfo= are not read here: give their parts as keywords")
    named = {ALIASES.get(key, key): value for key, value in libpq.items() if key not in WHOLES}
    return {key: value for key, value in named.items() if value is not None or not is_keyword(key)}


def refuse_exposure(params: Mapping[str, Any]) -> None:
    """Raise ConfigError where keywords would have a token sent in clear."""
    host, sslmode = params["host"], params["sslmode"]
    if sslmode not in clouds.SSLMODES:
        raise ConfigError(f"sslmode= is none of {', '.join(clouds.SSLMODES)}")
    if exposure := clouds.exposing_sslmode(sslmode) or clouds.exposing_host(host):
        raise ConfigError(f"this connection {exposure}")
