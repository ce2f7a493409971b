"""A real PgBouncer in transaction mode, in front of a sandbox's gateway."""

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from azpg_bootstrap.sandbox import Sandbox
from azpg_bootstrap.sandbox.home import make_home, server_account

PORT = 6432
"""The port that says PgBouncer; tests that run at the same time take different addresses."""

READY_WITHIN = 10.0
"""Seconds."""

CONFIGURATION = """
[databases]
{database} = host=localhost port={port} dbname={database}
[pgbouncer]
listen_addr = {address}
listen_port = {listen}
unix_socket_dir =
auth_type = plain
auth_file = {home}/users.txt
pool_mode = transaction
default_pool_size = 3
server_tls_sslmode = verify-full
server_tls_ca_file = {home}/ca.pem
client_tls_sslmode = require
client_tls_key_file = {home}/key.pem
client_tls_cert_file = {home}/cert.pem
ignore_startup_parameters = extra_float_digits
server_round_robin = 1
logfile =
syslog = 0
"""


@contextmanager
def pgbouncer(sandbox: Sandbox, user: str, token: str) -> Iterator[str]:
    """Run one that knows a user's token, as a sidecar would keep it up to date; yield its address.

    `server_round_robin` lets each transaction have another connection than the one before.
    """
    account = server_account()
    home = make_home(account)
    address = f"127.{secrets.randbelow(254) + 1}.{secrets.randbelow(254) + 1}.1"
    try:
        write_files(home, sandbox, address, f'"{user}" "{token}"\n')
        account.receive(home)
        process = subprocess.Popen(
            [shutil.which("pgbouncer") or "", "-q", home / "pgbouncer.ini"],
            env={"PATH": os.defpath},
            stderr=subprocess.DEVNULL,
            **account.as_user,
        )
        try:
            wait_for(address)
            yield address
        finally:
            process.kill()
            process.wait()
    finally:
        shutil.rmtree(home)


def write_files(home: Path, sandbox: Sandbox, address: str, users: str) -> None:
    make_certificate(home)
    shutil.copy(sandbox.ca_file, home / "ca.pem")
    (home / "users.txt").write_text(users)
    (home / "pgbouncer.ini").write_text(
        CONFIGURATION.format(
            database=sandbox.database, port=sandbox.port, address=address, listen=PORT, home=home
        )
    )


def make_certificate(home: Path) -> None:
    """Make a self-signed certificate; clients come with sslmode=require, which trusts any."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "pgbouncer")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (home / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (home / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def wait_for(address: str) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while True:
        try:
            socket.create_connection((address, PORT)).close()
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        else:
            return
