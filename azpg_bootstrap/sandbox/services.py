"""The gateway and the endpoints in one event loop, and the owner's commands that change them."""

import asyncio
import json
import secrets
import ssl
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .az import install
from .certificates import make_certificates
from .clock import put_off
from .conditions import Conditions
from .entra import Entra
from .faults import Faults
from .gateway import Gateway
from .identities import Kind, identity_named
from .line import Options, say
from .managed import ManagedIdentities
from .roles import DATABASE, EntraRole, Roles
from .server import Server
from .site import Site
from .tokens import Claims, Issuer
from .web import Web

_Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Services:
    """The gateway, the endpoints, and the commands that change them."""

    def __init__(self, home: Path, server: Server, options: Options) -> None:
        self._home = home
        self._server = server
        self._certificates = make_certificates(home)
        self._issuer = Issuer()
        self._roles = Roles(server)
        self._conditions = Conditions(
            Faults(token_lifetime=options["token_lifetime"], latency=options["token_latency"])
        )
        self._commands: dict[str, Callable[..., Any]] = {
            "faults": self._change,
            "reset": self._reset,
            "counters": self._counters,
            "revoke_tokens": self._issuer.revoke,
            "issue_token": self._issue_token,
            "create_role": self._create_role,
            "create_table": self._roles.create_table,
        }

    async def live(self) -> None:
        """Open everything, say where it is, and obey."""
        site = await self._open()
        say({"ready": asdict(site)})
        await self._obey()

    async def _open(self) -> Site:
        header, client_secret = secrets.token_hex(16), secrets.token_urlsafe(30)
        managed = ManagedIdentities(self._issuer, self._conditions, header)
        entra = Entra(self._issuer, self._conditions, client_secret)
        context = self._certificates.context
        gateway = Gateway(self._server.socket, context, self._issuer, self._roles, self._conditions)
        federated_token = self._home / "federated-token"
        federated_token.write_text(self._issuer.issue_federated())
        identity_port = await _listen(Web(managed.answer).serve)
        azure_cli = self._home / "azure-cli"
        install(azure_cli, identity_port)
        return Site(
            port=await _listen(gateway.serve),
            identity_port=identity_port,
            authority_port=await _listen(Web(entra.answer).serve, context),
            database=DATABASE,
            superuser_dsn=self._server.dsn(DATABASE),
            ca_file=str(self._certificates.ca_file),
            ca_bundle=str(self._certificates.bundle_file),
            federated_token_file=str(federated_token),
            azure_cli_folder=str(azure_cli),
            identity_header=header,
            client_secret=client_secret,
            password=self._roles.create_defaults(),
        )

    async def _obey(self) -> None:
        """Answer the owner's commands, one a line."""
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
        while line := await reader.readline():
            command = json.loads(line)
            try:
                # In a thread, as the server may keep one waiting, and the gateway must go on.
                call = self._commands[command["call"]]
                answer = {"answer": await asyncio.to_thread(call, *command["arguments"])}
            except Exception as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            say(answer)

    def _change(self, changes: Faults) -> None:
        self._conditions.change(changes)
        if "clock_skew" in changes:
            put_off(self._server, DATABASE, changes["clock_skew"])

    def _reset(self) -> None:
        was_off = self._conditions.clock_skew
        self._conditions.reset()
        if was_off:
            put_off(self._server, DATABASE, 0)

    def _counters(self) -> dict[str, object]:
        return {
            "token_requests": self._conditions.token_requests,
            "refused_logins": self._conditions.refused_logins,
        }

    def _issue_token(
        self, identity: str, audience: str, lifetime: float | None, claims: Claims
    ) -> str:
        seconds = self._conditions.token_lifetime if lifetime is None else lifetime
        return self._issuer.issue(identity_named(identity), audience, seconds, claims)

    def _create_role(self, name: str, object_id: str, kind: Kind) -> None:
        self._roles.create(EntraRole(name, object_id, kind))


async def _listen(serve: _Serve, context: ssl.SSLContext | None = None) -> int:
    """Open a port of the system's choice, on loopback only, and return its number."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    port: int = server.sockets[0].getsockname()[1]
    await server.start_serving()
    return port
