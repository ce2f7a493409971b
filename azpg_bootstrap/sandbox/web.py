"""As much of an HTTP server as the token endpoints need: one request, one answer, goodbye."""

import asyncio
import http
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

# Bytes of a request's body; a federated token and a form around it take about two thousand.
_BODY_LIMIT = 65_536

# Seconds a client may take to send its request.
_REQUEST_WITHIN = 30.0


@dataclass(frozen=True)
class Request:
    """What was asked; header names are in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    form: Mapping[str, str]


@dataclass(frozen=True)
class Response:
    """What is answered; the body is sent as JSON unless it is text already."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def encode(self) -> bytes:
        """Return the bytes to send."""
        body = (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()
        fields = {
            "Content-Type": "application/json; charset=utf-8",
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "Connection": "close",
            **self.headers,
        }
        lines = [f"HTTP/1.1 {self.status} {_phrase(self.status)}"]
        lines += [f"{name}: {value}" for name, value in fields.items()]
        return "\r\n".join([*lines, "", ""]).encode() + body


class Denial(Exception):  # noqa: N818, it is an answer to the client before it is an error of ours
    """An answer other than the one asked for; None is no answer ever, until the client gives up."""

    def __init__(self, response: Response | None) -> None:
        super().__init__()
        self.response = response


Handler = Callable[[Request], Awaitable[Response]]


class Web:
    """Serves one handler to whoever connects."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one connection."""
        try:
            async with asyncio.timeout(_REQUEST_WITHIN):
                request = await _read(reader)
            response = await self._answer(request)
            if response is None:
                await reader.read()  # until the client hangs up
            else:
                writer.write(response.encode())
                await writer.drain()
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError):
            pass  # no HTTP, or nobody there any more
        finally:
            writer.close()

    async def _answer(self, request: Request) -> Response | None:
        try:
            return await self._handler(request)
        except Denial as denial:
            return denial.response


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *fields = head.rstrip().split("\r\n")
    method, target, _ = line.split(" ")
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (each.partition(":") for each in fields)
    }
    length = int(headers.get("content-length", 0))
    if not 0 <= length <= _BODY_LIMIT:
        raise ValueError
    body = (await reader.readexactly(length)).decode()
    url = urlsplit(target)
    return Request(method, url.path, dict(parse_qsl(url.query)), headers, dict(parse_qsl(body)))


def _phrase(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
