import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable

import pytest

from azpg_bootstrap import TokenError
from azpg_bootstrap.lifetime import Token
from azpg_bootstrap.tokens import MAX_BACKOFF, TokenProvider

HOUR = 3600.0
SOON = 10.0  # seconds within which a thread has certainly run


class Clock:
    """A wall clock that only moves when told to."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Issuer:
    """Issues tokens that live an hour, numbered; it may be held up, or told to fail."""

    def __init__(self, clock: Clock, life: float = HOUR) -> None:
        self.clock = clock
        self.life = life
        self.requests = 0
        self.fails: Exception | None = None
        self.open = threading.Event()
        self.open.set()

    def __call__(self) -> Token:
        self.requests += 1
        number = self.requests
        assert self.open.wait(SOON)
        if self.fails:
            raise self.fails
        now = self.clock()
        return Token(f"token {number}", now, now + self.life, put_off=0.0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def issuer(clock: Clock) -> Issuer:
    return Issuer(clock)


@pytest.fixture
def provider(clock: Clock, issuer: Issuer) -> TokenProvider:
    return TokenProvider(issuer, source="the issuer", timeout=SOON, clock=clock)


def until(condition: Callable[[], bool]) -> None:
    """Wait for another thread to have done something."""
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def no_thread_is_fetching() -> bool:
    return not any(thread.name == "azpg-token" for thread in threading.enumerate())


def in_threads(number: int, act: Callable[[], object]) -> list[object]:
    results: list[object] = []

    def run() -> None:
        try:
            results.append(act())
        except TokenError as error:
            results.append(error)

    threads = [threading.Thread(target=run) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * SOON)
    return results


def test_a_fresh_token_is_asked_for_once(provider: TokenProvider, issuer: Issuer) -> None:
    assert [provider.get().value for _ in range(3)] == ["token 1"] * 3
    assert issuer.requests == 1


def test_64_cold_threads_make_one_request(provider: TokenProvider, issuer: Issuer) -> None:
    issuer.open.clear()
    threading.Timer(0.05, issuer.open.set).start()
    tokens = in_threads(64, provider.get)
    assert {token.value for token in tokens} == {"token 1"}  # type: ignore[attr-defined]
    assert len(tokens) == 64
    assert issuer.requests == 1


def test_200_coroutines_make_one_request_and_leave_the_loop_alone(
    provider: TokenProvider, issuer: Issuer
) -> None:
    issuer.open.clear()

    async def main() -> list[Token]:
        waiting = [asyncio.create_task(provider.aget()) for _ in range(200)]
        await asyncio.sleep(0)  # the loop turns while all of them wait
        assert not any(task.done() for task in waiting)
        issuer.open.set()
        return await asyncio.gather(*waiting)

    assert {token.value for token in asyncio.run(main())} == {"token 1"}
    assert issuer.requests == 1


def test_a_cancelled_coroutine_cancels_nobody_else(provider: TokenProvider, issuer: Issuer) -> None:
    issuer.open.clear()

    async def main() -> Token:
        hasty, patient = (asyncio.create_task(provider.aget()) for _ in range(2))
        await asyncio.sleep(0)
        hasty.cancel()
        await asyncio.sleep(0)
        issuer.open.set()
        return await patient

    assert asyncio.run(main()).value == "token 1"


def test_a_loop_that_ends_early_is_no_trouble(
    provider: TokenProvider, issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    issuer.open.clear()

    async def main() -> None:
        task = asyncio.create_task(provider.aget())
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(main())
    issuer.open.set()
    assert provider.get().value == "token 1"
    until(no_thread_is_fetching)
    assert not caplog.records


def test_stale_is_served_at_once_and_renewed_behind(
    provider: TokenProvider, issuer: Issuer, clock: Clock
) -> None:
    provider.get()
    clock.now += 0.8 * HOUR
    issuer.open.clear()
    assert {provider.get().value for _ in range(9)} == {"token 1"}
    assert issuer.requests == 2
    issuer.open.set()
    until(lambda: provider.get().value == "token 2")
    assert issuer.requests == 2


def test_no_thread_lives_between_requests(provider: TokenProvider) -> None:
    provider.get()
    until(no_thread_is_fetching)


def test_expired_waits_for_the_next(provider: TokenProvider, clock: Clock) -> None:
    provider.get()
    clock.now += HOUR - 300
    assert provider.get().value == "token 2"


def test_a_thaw_after_an_hour_finds_the_token_expired(
    provider: TokenProvider, clock: Clock
) -> None:
    provider.get()
    clock.now += 2 * HOUR
    assert provider.get().value == "token 2"


def test_an_outage_is_not_felt_while_the_token_is_good(
    provider: TokenProvider, issuer: Issuer, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    issuer.life = 24 * HOUR
    provider.get()
    clock.now += 12 * HOUR
    issuer.fails = TokenError("down")
    with caplog.at_level(logging.WARNING):
        for _ in range(3600):  # an hour with a connection each second
            assert provider.get().value == "token 1"
            until(no_thread_is_fetching)
            clock.now += 1
    assert 60 <= issuer.requests - 1 <= 2 * 3600 / MAX_BACKOFF + 5
    assert len(caplog.records) == issuer.requests - 1
    assert "the old one is good for" in caplog.text
    issuer.fails = None
    clock.now += MAX_BACKOFF
    provider.get()
    until(lambda: provider.get().value != "token 1")


@pytest.mark.parametrize(
    "told", [ValueError("no identity"), TokenError("no token from the issuer: no identity")]
)
def test_without_a_good_token_each_caller_gets_its_own_error(
    provider: TokenProvider, issuer: Issuer, told: Exception
) -> None:
    cause = told if isinstance(told, ValueError) else OSError("down")
    told.__cause__ = None if told is cause else cause
    issuer.fails = told
    issuer.open.clear()
    threading.Timer(0.05, issuer.open.set).start()
    errors = in_threads(8, provider.get)
    assert issuer.requests == 1
    assert len({id(error) for error in errors}) == 8
    assert {str(error) for error in errors} == {"no token from the issuer: no identity"}
    assert all(error.__cause__ is cause for error in errors)  # type: ignore[attr-defined]


def test_what_failed_is_tried_again_when_needed(provider: TokenProvider, issuer: Issuer) -> None:
    issuer.fails = OSError("down")
    provider.prefetch()
    with pytest.raises(TokenError):
        provider.get()
    issuer.fails = None
    assert provider.get().value == f"token {issuer.requests}"


def test_a_hung_request_is_given_up_and_left_behind(clock: Clock, issuer: Issuer) -> None:
    provider = TokenProvider(issuer, source="the issuer", timeout=0.05, clock=clock)
    issuer.open.clear()
    with pytest.raises(TokenError, match=r"the issuer within 0\.05 s: it does not answer"):
        provider.get()
    with pytest.raises(TokenError, match="does not answer"):
        asyncio.run(provider.aget())
    time.sleep(0.06)  # the timeout itself, by the monotonic clock
    requests = issuer.requests
    with pytest.raises(TokenError):
        provider.get()
    assert issuer.requests == requests + 1
    issuer.open.set()
    until(lambda: provider._token is not None)


def test_a_refused_token_is_dropped_once(
    provider: TokenProvider, issuer: Issuer, clock: Clock
) -> None:
    first = provider.get()
    clock.now += 60
    assert provider.drop(first.value)
    second = provider.get()
    assert provider.drop(first.value)  # late, by another thread: the second may be better
    assert provider.get() is second
    assert not provider.drop(second.value)  # just issued: a third would be no better
    assert provider.get() is second
    assert issuer.requests == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_in_the_middle_of_a_request(provider: TokenProvider, issuer: Issuer) -> None:
    """The child has neither the thread nor a lock that it can open, and gets along without."""
    issuer.open.clear()
    provider.prefetch()
    provider._lock.acquire()
    child = os.fork()
    if child == 0:
        issuer.open.set()
        os._exit(0 if provider.get().value == "token 2" else 1)
    provider._lock.release()
    issuer.open.set()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert provider.get().value == "token 1"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_inherits_the_token(provider: TokenProvider, issuer: Issuer) -> None:
    provider.get()
    child = os.fork()
    if child == 0:
        os._exit(0 if (provider.get().value, issuer.requests) == ("token 1", 1) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_nothing_shows_the_token(provider: TokenProvider, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        token = provider.get()
    assert "token 1" not in f"{token!r} {provider!r} {caplog.text}"
    assert "token from the issuer after" in caplog.text


def test_a_long_outage_is_told_as_quickly_as_a_short_one(
    provider: TokenProvider, issuer: Issuer
) -> None:
    issuer.fails = TokenError("down")
    for _ in range(1100):  # doubled as often, a back-off is more than a float can hold
        with pytest.raises(TokenError, match="down"):
            provider.get()


def test_prefetch_leaves_an_endpoint_alone_that_has_just_failed(
    provider: TokenProvider, issuer: Issuer, clock: Clock
) -> None:
    issuer.fails = TokenError("down")
    with pytest.raises(TokenError):
        provider.get()
    provider.prefetch()
    assert issuer.requests == 1
    clock.now += MAX_BACKOFF
    provider.prefetch()
    until(no_thread_is_fetching)
    assert issuer.requests == 2


def test_a_refused_token_goes_though_the_clock_went_back(
    provider: TokenProvider, clock: Clock
) -> None:
    token = provider.get()
    clock.now -= HOUR
    assert provider.drop(token.value)
