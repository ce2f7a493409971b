"""A certificate authority of the sandbox's own, and the one certificate it signs."""

import datetime
import ipaddress
import os
import ssl
from dataclasses import dataclass
from pathlib import Path

import certifi
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# Every name and address a program may reach the gateway or the Entra endpoint by.
_NAMES = (
    "localhost",
    "*.postgres.database.azure.com",
    "*.postgres.database.usgovcloudapi.net",
    "*.postgres.database.chinacloudapi.cn",
)
_ADDRESSES = ("127.0.0.1", "::1")

# Both ways around now: clocks differ a little, and no sandbox lives for a month.
_VALID_SINCE = datetime.timedelta(days=1)
_VALID_FOR = datetime.timedelta(days=30)


@dataclass(frozen=True)
class Certificates:
    """The files a client needs to trust the sandbox, and the context a server needs."""

    ca_file: Path
    bundle_file: Path
    context: ssl.SSLContext


def make_certificates(folder: Path) -> Certificates:
    """Write the authority, the bundle and the server's certificate into a private folder."""
    # Elliptic curves: a handshake costs a tenth of RSA's, and so does making the keys.
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = _authority(ca_key)
    ca_file = folder / "ca.pem"
    ca_file.write_bytes(_pem(ca))
    bundle_file = folder / "ca-bundle.pem"
    # REQUESTS_CA_BUNDLE replaces requests' own roots, and a program may call others beside Entra.
    bundle_file.write_bytes(Path(certifi.where()).read_bytes() + b"\n" + _pem(ca))
    return Certificates(ca_file, bundle_file, _server_context(folder, ca_key))


def _server_context(folder: Path, ca_key: ec.EllipticCurvePrivateKey) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file = folder / "server.pem"
    with open(file, "xb", opener=_private) as stream:
        stream.write(pem + _pem(_server_certificate(key, ca_key)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    file.unlink()
    return context


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    usage = _key_usage(signs_certificates=True)
    return (
        _builder("azpg sandbox CA", "azpg sandbox CA", key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )


def _server_certificate(
    key: ec.EllipticCurvePrivateKey, ca_key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in _NAMES]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in _ADDRESSES]
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    return (
        _builder("azpg sandbox", "azpg sandbox CA", key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(issuer, critical=False)
        .add_extension(purpose, critical=False)
        .sign(ca_key, hashes.SHA256())
    )


def _builder(subject: str, issuer: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _VALID_SINCE)
        .not_valid_after(now + _VALID_FOR)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
