"""What a server's name says about its cloud: the token's scope, and how far TLS can be checked.

Scopes are those of the Azure CLI's cloud table (azure-cli, `cloud.py`) and, for Cosmos DB for
PostgreSQL, of that product's documentation on Entra authentication.
"""

from typing import Final, Literal, NamedTuple, get_args

SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]

SSLMODES: Final[tuple[str, ...]] = get_args(SslMode)
"""libpq's values of sslmode, weakest first."""


class Cloud(NamedTuple):
    """Where tokens for a cloud's servers come from, and what for."""

    scope: str
    authority: str


PUBLIC: Final = Cloud(
    "https://ossrdbms-aad.database.windows.net/.default", "https://login.microsoftonline.com"
)
CHINA: Final = Cloud(
    "https://ossrdbms-aad.database.chinacloudapi.cn/.default", "https://login.chinacloudapi.cn"
)
US_GOVERNMENT: Final = Cloud(
    "https://ossrdbms-aad.database.usgovcloudapi.net/.default", "https://login.microsoftonline.us"
)
COSMOS_SCOPE: Final = "https://token.postgres.cosmos.azure.com/.default"

CLOUDS: Final = {
    ".postgres.database.azure.com": PUBLIC,
    ".postgres.database.chinacloudapi.cn": CHINA,
    ".postgres.database.usgovcloudapi.net": US_GOVERNMENT,
    ".postgres.cosmos.azure.com": PUBLIC._replace(scope=COSMOS_SCOPE),
    # The documentation names no other scope for this product in China.
    ".postgres.cosmos.chinacloudapi.cn": CHINA._replace(scope=COSMOS_SCOPE),
}
"""What each suffix of a server's name tells."""

# Where a server's certificate names exactly one label under the suffix and certifi holds its
# roots (DigiCert Global Root G2 and Microsoft RSA Root 2017). China's servers may still chain to
# DigiCert Global Root CA, which certifi has dropped.
VERIFIABLE: Final = (".postgres.database.azure.com", ".postgres.database.usgovcloudapi.net")


def cloud(host: str) -> Cloud:
    """Return the cloud that a server is in; a name of none, a private one, counts as public."""
    name = _canonical(host)
    return next((cloud for suffix, cloud in CLOUDS.items() if name.endswith(suffix)), PUBLIC)


def server_name(host: str) -> str | None:
    """Return what Azure's commands call a server, where its host name tells."""
    name = _canonical(host)
    is_azures = name.endswith(tuple(CLOUDS)) and "," not in name
    return name.partition(".")[0] if is_azures else None


def default_sslmode(host: str) -> SslMode:
    """Return the strictest sslmode that works for every server of the host's kind.

    `host` may list several names, as libpq allows, with commas between them.
    """
    verifiable = all(_is_verifiable(name) for name in host.split(","))
    return "verify-full" if verifiable else "require"


def exposing_sslmode(sslmode: str) -> str | None:
    """Say why a token must not be sent by an sslmode: it goes over as a clear-text password."""
    if SSLMODES.index(sslmode) < SSLMODES.index("require"):
        return "may send the token without TLS: use require or stricter"
    return None


def exposing_host(host: str) -> str | None:
    """Say why a token must not be sent to a host; to libpq one without a name is a socket too."""
    if any(not name or name.startswith(("/", "@")) for name in host.split(",")):
        return "is a Unix socket, which has no TLS to send a token in"
    return None


def _is_verifiable(host: str) -> bool:
    label, dot, suffix = _canonical(host).partition(".")
    return bool(label) and dot + suffix in VERIFIABLE


def _canonical(host: str) -> str:
    return host.strip().lower().rstrip(".")
