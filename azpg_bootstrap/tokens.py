"""A token kept for as long as it is good, and one request at a time for the next.

Knows nothing of Azure: a provider is given a function that fetches a token.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from typing import Final
from weakref import WeakSet

from azpg_bootstrap.errors import TokenError
from azpg_bootstrap.lifetime import State, Token

logger = logging.getLogger(__name__)

FIRST_BACKOFF: Final = 5.0
"""Seconds until a failed renewal is tried again; doubled each time."""

MAX_BACKOFF: Final = 60.0
"""Seconds; with the random part one to two tries a minute, an endpoint's outage notwithstanding."""

JUST_ISSUED: Final = 5.0
"""Seconds for which a token counts as new: refused in that time, another would be no better. It
bounds the requests that a server makes necessary which refuses every token."""


class Flight(Future[Token]):
    """One request for a token, which any number of callers may wait for."""

    def __init__(self) -> None:
        super().__init__()
        self.began = time.monotonic()


class TokenProvider:
    """Hands out one identity's token for one scope; threads, coroutines and forks may share it.

    `fetch` returns a new token or raises; it runs in a thread of its own, one at a time.
    `source` says in words where tokens come from. `timeout` is how many seconds a caller without
    a good token waits at the most. `clock` tells seconds since the epoch.
    """

    def __init__(
        self,
        fetch: Callable[[], Token],
        *,
        source: str = "the token source",
        timeout: float = 30.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.source = source
        self._fetch = fetch
        self._timeout = timeout
        self._clock = clock
        self._token: Token | None = None
        self._backoff = 0.0
        self._retry_on = 0.0
        self._lock = threading.Lock()
        self._flight: Flight | None = None
        _providers.add(self)

    def get(self) -> Token:
        """Return a good token, at once if there is one. Raises TokenError."""
        return self._good_token() or self._landed(self._join(), self._timeout)

    async def aget(self) -> Token:
        """Do as `get` does, without blocking the event loop."""
        token = self._good_token()
        if token:
            return token
        flight = self._join()
        await _landing(flight, self._timeout)
        return self._landed(flight, 0)

    def prefetch(self) -> None:
        """Begin to fetch, unless there is a good token or it failed just now.

        Never raises: `get` will.
        """
        if not self._good_token() and self._clock() >= self._retry_on:
            self._join()

    def drop(self, value: str) -> bool:
        """Forget a token that a server refused; return whether `get` may bring a better one.

        It will not if the refused one has only just been issued.
        """
        with self._lock:
            token = self._token
            if token is None or token.value != value:
                return True  # another caller has dropped or replaced it already
            if 0 <= self._clock() - token.received_on < JUST_ISSUED:
                return False
            self._token = None
            return True

    def _good_token(self) -> Token | None:
        token = self._token
        if token is None:
            return None
        now = self._clock()
        state = token.state(now)
        if state is State.EXPIRED:
            return None
        if state is State.STALE and now >= self._retry_on:
            self._join()
        return token

    def _join(self) -> Flight:
        """Return the request under way, or begin one; one that hangs is left to itself."""
        with self._lock:
            flight = self._flight
            if flight and time.monotonic() - flight.began < self._timeout:
                return flight
            flight = self._flight = Flight()
        try:
            threading.Thread(
                target=self._fly, args=(flight,), name="azpg-token", daemon=True
            ).start()
        except RuntimeError:  # the interpreter is shutting down, or has no more threads
            self._fly(flight)
        return flight

    def _fly(self, flight: Flight) -> None:
        try:
            token = self._fetch()
        except BaseException as error:  # whatever it is, it is the callers'
            self._note_failure(flight, error)
            flight.set_exception(error)
        else:
            self._note_success(flight, token)
            flight.set_result(token)

    def _note_success(self, flight: Flight, token: Token) -> None:
        with self._lock:
            self._token = token
            self._backoff = 0.0
            self._retry_on = 0.0
            if self._flight is flight:
                self._flight = None
        took = time.monotonic() - flight.began
        logger.debug("token from %s after %.3f s, for %.0f s", self.source, took, token.life)

    def _note_failure(self, flight: Flight, error: BaseException) -> None:
        now = self._clock()
        with self._lock:
            self._backoff = min(2 * self._backoff, MAX_BACKOFF) or FIRST_BACKOFF
            self._retry_on = now + self._backoff * random.uniform(0.5, 1)  # noqa: S311 - no secret
            if self._flight is flight:
                self._flight = None
            token = self._token
        if token and token.state(now) is not State.EXPIRED:
            left = token.good_until - now
            logger.warning("token not renewed, the old one is good for %.0f s: %s", left, error)

    def _landed(self, flight: Flight, timeout: float) -> Token:
        """Return what a request brought; each caller gets an exception of its own."""
        try:
            return flight.result(timeout)
        except TokenError as error:
            raise TokenError(*error.args) from error.__cause__
        except FutureTimeoutError as error:
            if flight.done():  # the request's own error
                raise TokenError(f"no token from {self.source}: {error}") from error
        except Exception as error:
            raise TokenError(f"no token from {self.source}: {error}") from error
        raise TokenError(
            f"no token from {self.source} within {self._timeout:g} s: it does not answer; "
            "AZURE_POSTGRESQL_TOKEN_TIMEOUT sets how long to wait"
        )

    def _after_fork_in_child(self) -> None:
        """Forget the parent's request: its thread is not here, and the lock may be held by it."""
        self._lock = threading.Lock()
        self._flight = None


async def _landing(flight: Flight, timeout: float) -> None:
    """Wait for a request without a thread, and without a say in it: others wait too."""
    import asyncio  # noqa: PLC0415 - costs more than all else here, and only coroutines need it

    loop = asyncio.get_running_loop()
    landed = asyncio.Event()

    def wake(_: Future[Token]) -> None:
        with suppress(RuntimeError):  # the loop may have been closed by then
            loop.call_soon_threadsafe(landed.set)

    flight.add_done_callback(wake)
    with suppress(TimeoutError):
        await asyncio.wait_for(landed.wait(), timeout)


_providers: WeakSet[TokenProvider] = WeakSet()


def _after_fork_in_child() -> None:
    for provider in _providers:
        provider._after_fork_in_child()


if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
    os.register_at_fork(after_in_child=_after_fork_in_child)
