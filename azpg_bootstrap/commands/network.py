"""The steps of `azpg check` from the server's name to its certificate.

They look, and the connection proper does not depend on them: libpq makes its own. Where a server
lies behind a Unix socket there is nothing to look at.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from cryptography import x509
from cryptography.x509.oid import NameOID

from azpg_bootstrap.commands.exits import Exit, Failure
from azpg_bootstrap.commands.finding import Finding, State
from azpg_bootstrap.commands.sql import patience
from azpg_bootstrap.commands.walk import Address, Walk
from azpg_bootstrap.drivers import tls as drivers_tls

SSL_REQUEST: Final = (8).to_bytes(4) + (80877103).to_bytes(4)
"""The protocol's request to speak TLS: its length, and the code that stands for a version."""

OPTIONAL: Final = ("allow", "prefer")
"""The sslmodes that do without TLS where the server has none."""

NO_TLS: Final = "there is no TLS on a Unix socket"


class Certificate(NamedTuple):
    """Whom a server says it is, and who says so."""

    tls: str
    subject: str
    issuer: str
    error: str = ""
    """Why it does not hold, if it was verified and does not."""


def dns(walk: Walk) -> Finding:
    """Resolve the server's names."""
    params = walk.params
    if any(name.startswith(("/", "@")) for name in str(params["host"]).split(",")):
        return Finding("a Unix socket, which has no address")
    error: Exception | None = None
    for host, target in _targets(params):
        try:
            found = socket.getaddrinfo(target, int(params["port"]), type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as failed:  # UnicodeError: a label that IDNA cannot encode
            error = failed
        else:
            walk.addresses += [Address(host, *each[4][:2]) for each in found]
    if not walk.addresses:
        raise Failure(
            f'could not translate host name "{params["host"]}" to address: {error}',
            code=Exit.SERVER,
        )
    found_at = {address.ip: reach(address.ip) for address in walk.addresses}
    described = ", ".join(f"{ip} ({where})" for ip, where in found_at.items())
    how = "given by hostaddr" if "hostaddr" in params else params["host"]
    return Finding(f"{how}: {described}", data=found_at)


def _targets(params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Return each host with what is to be resolved for it; libpq takes lists, with commas."""
    hosts = str(params["host"]).split(",")
    return zip(hosts, str(params.get("hostaddr", params["host"])).split(","), strict=False)


def reach(address: str) -> str:
    """Say from where an address can be reached."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if parsed.is_loopback:
        return "this machine"
    return "private" if parsed.is_private else "public"


def tcp(walk: Walk) -> Finding:
    """Open a TCP connection to the first address that takes one."""
    if not walk.addresses:
        return Finding("not used on a Unix socket")
    error: OSError | None = None
    for address in walk.addresses:
        began = time.perf_counter()
        try:
            _dial(address, walk).close()
        except OSError as failed:
            error = failed
            continue
        took = time.perf_counter() - began
        walk.addresses = [address]
        return Finding(
            f"{address.ip} port {address.port} in {1000 * took:.0f} ms",
            data={"address": address.ip, "port": address.port, "seconds": round(took, 4)},
        )
    first = walk.addresses[0]
    raise Failure(f"{first.ip} port {first.port}: {error}", code=Exit.SERVER) from error


class NoTls(Failure):
    """The server speaks no TLS."""


def tls(walk: Walk) -> Finding:
    """Shake hands, and read the server's certificate whether it holds or not."""
    mode = walk.params["sslmode"]
    if not walk.addresses:
        return Finding(NO_TLS)
    if mode == "disable":
        return Finding("switched off by sslmode=disable", State.NOTE)
    is_verified = drivers_tls.is_verified(walk.params)
    try:
        found = inspect(walk, is_verified=is_verified)
    except NoTls:
        if mode not in OPTIONAL:
            raise
        return Finding(f"the server has none, and sslmode={mode} does without", State.NOTE)
    text = f"{found.tls}, certificate of {found.subject}, issued by {found.issuer}, "
    if found.error:
        raise Failure(f"{text}not valid here: {found.error}", code=Exit.SERVER)
    text += "verified" if is_verified else f"not verified: sslmode={mode}"
    state = State.OK if is_verified else State.NOTE
    return Finding(text, state, found._asdict() | {"verified": is_verified})


def inspect(walk: Walk, *, is_verified: bool) -> Certificate:
    """Return the server's certificate; an error in it is why it does not hold."""
    unverified = ssl._create_unverified_context()  # noqa: S323 - to see whose it is
    if not is_verified:
        return _handshake(walk, unverified)
    try:
        return _handshake(walk, drivers_tls.context(walk.params))
    except ssl.SSLCertVerificationError as error:
        shown = _handshake(walk, unverified)
        return shown._replace(error=f"certificate verify failed: {error.verify_message}")


def _handshake(walk: Walk, context: ssl.SSLContext) -> Certificate:
    address = walk.addresses[0]
    try:
        with _dial(address, walk) as plain:
            plain.sendall(SSL_REQUEST)
            answer = plain.recv(1)
            if answer == b"N":
                raise NoTls("the server does not support SSL", code=Exit.SERVER)
            if answer != b"S":
                raise Failure("what answers there is no PostgreSQL server", code=Exit.SERVER)
            with context.wrap_socket(plain, server_hostname=address.host) as secure:
                return _described(secure)
    except ssl.SSLCertVerificationError:
        raise
    except OSError as error:
        raise Failure(f"the TLS handshake failed: {error}", code=Exit.SERVER) from error


def _described(secure: ssl.SSLSocket) -> Certificate:
    der = secure.getpeercert(binary_form=True) or b""
    certificate = x509.load_der_x509_certificate(der)
    return Certificate(
        secure.version() or "", _name(certificate.subject), _name(certificate.issuer)
    )


def _name(name: x509.Name) -> str:
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(common[0].value) if common else name.rfc4514_string() or "nobody"


def _dial(address: Address, walk: Walk) -> socket.socket:
    seconds = patience(walk.params)
    connection = socket.create_connection((address.ip, address.port), seconds)
    connection.settimeout(seconds)
    return connection
