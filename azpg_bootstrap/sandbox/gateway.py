"""What stands before the server on Azure: TLS for everyone, tokens in place of passwords."""

import asyncio
import contextlib
import ssl
import time
from pathlib import Path

from . import refusals, wire
from .conditions import Conditions
from .refusals import Refusal
from .roles import EntraRole, Roles
from .tokens import Issuer, looks_like_token

# Seconds a client may take to log in, PostgreSQL's own authentication_timeout.
_LOGIN_WITHIN = 60.0

# Seconds a refused client has to read why, before its connection goes.
_LINGER = 1.0

# Bytes; one turn of the pipe. Larger gains nothing, as TLS cuts it into records of 16 kB.
_CHUNK = 65_536

# Bytes of one message of the server's while it authenticates.
_ANSWER_LIMIT = 65_536


class Stream:
    """Both directions of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @property
    def encrypted(self) -> bool:
        """Whether TLS is up."""
        return self.writer.get_extra_info("ssl_object") is not None

    async def send(self, data: bytes) -> None:
        """Write and wait until the other side keeps up."""
        self.writer.write(data)
        await self.writer.drain()


class Gateway:
    """Checks who comes and then only carries bytes."""

    def __init__(
        self,
        socket: Path,
        context: ssl.SSLContext,
        issuer: Issuer,
        roles: Roles,
        conditions: Conditions,
    ) -> None:
        self._socket = socket
        self._context = context
        self._issuer = issuer
        self._roles = roles
        self._conditions = conditions

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one client from its first byte to its last."""
        client = Stream(reader, writer)
        try:
            async with asyncio.timeout(_LOGIN_WITHIN):
                server = await self._admit(client)
            if server is not None:
                await _join(client, server)
        except Refusal as refusal:
            self._conditions.refused_logins += 1
            await _refuse(client, refusal)
        except (OSError, EOFError, TimeoutError, wire.ProtocolError):
            pass  # It left, or spoke nonsense: PostgreSQL hangs up without a word as well.
        finally:
            writer.close()

    async def _admit(self, client: Stream) -> Stream | None:
        """Return the server's side of an accepted login, None if there is nothing to carry."""
        packet = await self._opening(client)
        if wire.request_code(packet) == wire.CANCEL_REQUEST:
            await self._forward(packet)
            return None
        startup = wire.parse_startup(packet)
        if not client.encrypted:
            raise refusals.no_encryption(startup.user, startup.database)
        if self._conditions.firewall:
            raise refusals.no_entry(startup.user, startup.database)
        role = await self._check(client, startup.user)
        return await self._log_in(client, packet, startup, role)

    async def _opening(self, client: Stream) -> bytes:
        """Answer requests for encryption until the client states its business."""
        while True:
            packet = await wire.read_packet(client.reader)
            code = wire.request_code(packet)
            if code == wire.SSL_REQUEST and not client.encrypted:
                await client.send(b"S")
                await client.writer.start_tls(self._context)
            elif code == wire.GSSENC_REQUEST and not client.encrypted:
                await client.send(b"N")
            else:
                return packet

    async def _check(self, client: Stream, user: str) -> EntraRole | None:
        """Return the role whose token the client has shown, None for a role with a password."""
        role = await asyncio.to_thread(self._roles.entra, user)
        if role is None and await asyncio.to_thread(self._roles.exists, user):
            return None
        await client.send(wire.ASK_PASSWORD)
        password = await wire.read_password(client.reader)
        if role is None and not looks_like_token(password):
            raise refusals.password_failed(user)
        claims = self._issuer.judge(password, time.time() + self._conditions.clock_skew)
        if role is None:
            raise refusals.role_missing(user)
        role.admit(claims)
        return role

    async def _log_in(
        self, client: Stream, packet: bytes, startup: wire.Startup, role: EntraRole | None
    ) -> Stream:
        """Replay the client's opening to the server and hand back the server's first answer."""
        server = await self._connect()
        try:
            await server.send(packet)
            answer = await _first_answer(server.reader)
            # The server trusts the roles whose token was checked here, and the superuser: whoever
            # it lets in unasked without a checked token must not pass.
            if answer.endswith(wire.AUTHENTICATED) and role is None:
                raise refusals.reserved_role(startup.user, startup.database)
            # The registry may know a role that was dropped: the server asks that for a password.
            if answer.startswith(b"R") and not answer.endswith(wire.AUTHENTICATED) and role:
                raise refusals.role_missing(startup.user)
            await client.send(answer)
        except BaseException:
            server.writer.close()
            raise
        return server

    async def _forward(self, packet: bytes) -> None:
        """Pass a cancel request on; nobody answers those."""
        server = await self._connect()
        try:
            await server.send(packet)
            await server.reader.read()  # the server closes when it has acted on it
        finally:
            server.writer.close()

    async def _connect(self) -> Stream:
        return Stream(*await asyncio.open_unix_connection(self._socket))


async def _first_answer(reader: asyncio.StreamReader) -> bytes:
    """Read up to the server's first word on authentication, past a talk about versions."""
    answer = message = await wire.read_message(reader, _ANSWER_LIMIT)
    while message.startswith(b"v"):
        message = await wire.read_message(reader, _ANSWER_LIMIT)
        answer += message
    return answer


async def _join(client: Stream, server: Stream) -> None:
    """Carry bytes both ways until the server has no more to say.

    The server decides, as it may have said why it ends before the client says something more.
    """
    upstream = asyncio.create_task(_pump(client, server))
    try:
        await _pump(server, client)
    finally:
        upstream.cancel()
        server.writer.close()


async def _pump(source: Stream, sink: Stream) -> None:
    with contextlib.suppress(OSError):
        while data := await source.reader.read(_CHUNK):
            await sink.send(data)
        if sink.writer.can_write_eof():  # the client left; the server ends as soon as it notices
            sink.writer.write_eof()


async def _refuse(client: Stream, refusal: Refusal) -> None:
    """Tell the client why, and let it hang up first so that its system keeps the message."""
    with contextlib.suppress(OSError, TimeoutError):
        await client.send(wire.fatal(refusal))
        async with asyncio.timeout(_LINGER):
            while await client.reader.read(_CHUNK):
                pass
