"""libpq's TLS keywords as Python's SSLContext, for drivers without libpq."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from azpg_bootstrap.errors import ConfigError
from azpg_bootstrap.parameters import VERIFYING

KEYWORDS: Final = frozenset(
    """sslmode sslrootcert sslcert sslkey sslpassword sslcrl
    ssl_min_protocol_version ssl_max_protocol_version""".split()
)

BOUNDS: Final = {
    "ssl_min_protocol_version": "minimum_version",
    "ssl_max_protocol_version": "maximum_version",
}
"""What an SSLContext calls libpq's bounds of the version."""

VERSIONS: Final = {
    "tlsv1": ssl.TLSVersion.TLSv1,
    "tlsv1.1": ssl.TLSVersion.TLSv1_1,
    "tlsv1.2": ssl.TLSVersion.TLSv1_2,
    "tlsv1.3": ssl.TLSVersion.TLSv1_3,
}
"""By libpq's names, whose case does not matter."""


class NamedContext(ssl.SSLContext):
    """Checks a certificate for the server's name, also where its address was connected to."""

    server_name: str | None = None

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Begin TLS over buffers, as asyncio does."""
        name = self.server_name or server_hostname
        return super().wrap_bio(incoming, outgoing, server_side, name, session)


def context(params: Mapping[str, Any]) -> NamedContext:
    """Return what the keywords mean, for an sslmode of require or stricter.

    Raises ConfigError for a file that cannot be used, and for what libpq refuses too.
    """
    if params.get("sslrootcert") == "system" and params["sslmode"] != "verify-full":
        raise ConfigError("sslrootcert=system can only be had with sslmode=verify-full")
    made = NamedContext(ssl.PROTOCOL_TLS_CLIENT)
    made.set_alpn_protocols(["postgresql"])  # a server that is to speak TLS at once insists on it
    made.check_hostname = False  # or else the next line is refused
    made.verify_mode = ssl.CERT_REQUIRED if is_verified(params) else ssl.CERT_NONE
    made.check_hostname = params["sslmode"] == "verify-full"
    if made.verify_mode is ssl.CERT_REQUIRED:
        _trust(made, params["sslrootcert"])
    if "sslcrl" in params:
        _load("sslcrl", made.load_verify_locations, params["sslcrl"])
        made.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    if "sslcert" in params:
        password = params.get("sslpassword", "")  # none at all would ask the terminal
        _load("sslcert", made.load_cert_chain, params["sslcert"], params.get("sslkey"), password)
    for keyword, bound in BOUNDS.items():
        if keyword in params:
            setattr(made, bound, _version(keyword, params[keyword]))
    return made


def is_verified(params: Mapping[str, Any]) -> bool:
    """Follow libpq, to which require is verify-ca if there is a file of roots."""
    if params["sslmode"] in VERIFYING:
        return True
    roots = params.get("sslrootcert")
    return roots is not None and Path(roots).exists()


def _trust(made: ssl.SSLContext, roots: str) -> None:
    if roots == "system":
        made.set_default_verify_paths()
    else:
        _load("sslrootcert", made.load_verify_locations, roots)


def _load(keyword: str, load: Any, *arguments: Any) -> None:
    try:
        load(*arguments)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"{keyword}= names a file that cannot be used: {error}") from error


def _version(keyword: str, name: Any) -> ssl.TLSVersion:
    try:
        return VERSIONS[str(name).lower()]
    except KeyError:
        raise ConfigError(f"{keyword}= is none of {', '.join(VERSIONS)}") from None
