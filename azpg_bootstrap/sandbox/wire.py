"""The few messages of PostgreSQL's protocol that the gateway reads and writes itself."""

import asyncio
from dataclasses import dataclass

from .refusals import Refusal

# The codes that stand where a StartupMessage has its protocol version.
CANCEL_REQUEST = 80877102
SSL_REQUEST = 80877103
GSSENC_REQUEST = 80877104

PROTOCOL_3 = 3

ASK_PASSWORD = b"R" + (8).to_bytes(4) + (3).to_bytes(4)
AUTHENTICATED = b"R" + (8).to_bytes(4) + (0).to_bytes(4)

# Bytes; PostgreSQL's own bounds for a startup packet and for a password.
_STARTUP_LIMIT = 10_000
_PASSWORD_LIMIT = 65_535


class ProtocolError(Exception):
    """What arrived is not PostgreSQL's protocol."""


@dataclass(frozen=True)
class Startup:
    """Who wants to connect to what."""

    user: str
    database: str


async def read_packet(reader: asyncio.StreamReader) -> bytes:
    """Read one of the packets without a type byte, which open a connection."""
    head = await reader.readexactly(4)
    length = int.from_bytes(head)
    if not 8 <= length <= _STARTUP_LIMIT:  # noqa: PLR2004, the length itself and the code
        raise ProtocolError
    return head + await reader.readexactly(length - 4)


def request_code(packet: bytes) -> int:
    """Return what kind of opening packet this is."""
    return int.from_bytes(packet[4:8])


def parse_startup(packet: bytes) -> Startup:
    """Read the user and the database out of a StartupMessage."""
    if request_code(packet) >> 16 != PROTOCOL_3:
        raise ProtocolError
    words = iter(packet[8:].decode(errors="replace").split("\0"))
    parameters = dict(zip(words, words, strict=False))
    user = parameters.get("user", "")
    return Startup(user, parameters.get("database") or user)


async def read_message(reader: asyncio.StreamReader, limit: int) -> bytes:
    """Read one whole message, type byte and length included."""
    head = await reader.readexactly(5)
    length = int.from_bytes(head[1:])
    if not 4 <= length <= limit:  # noqa: PLR2004, the length counts itself
        raise ProtocolError
    return head + await reader.readexactly(length - 4)


async def read_password(reader: asyncio.StreamReader) -> str:
    """Read the answer to ASK_PASSWORD."""
    message = await read_message(reader, _PASSWORD_LIMIT + 5)
    if not message.startswith(b"p"):
        raise ProtocolError
    return message[5:].partition(b"\0")[0].decode(errors="replace")


def fatal(refusal: Refusal) -> bytes:
    """Build the ErrorResponse that ends a login."""
    fields = {"S": "FATAL", "V": "FATAL", "C": refusal.sqlstate, "M": refusal.message}
    body = "".join(f"{key}{value}\0" for key, value in fields.items()).encode() + b"\0"
    return b"E" + (len(body) + 4).to_bytes(4) + body
