import pytest

from azpg_bootstrap.lifetime import State, Token

HOUR = 3600.0


def token(life: float, refresh_on: float | None = None, put_off: float = 0.0) -> Token:
    return Token("t", received_on=0.0, expires_on=life, refresh_on=refresh_on, put_off=put_off)


@pytest.mark.parametrize(
    ("life", "stale_from", "good_until"),
    [
        (24 * HOUR, 12 * HOUR, 24 * HOUR - 300),
        (2 * HOUR, 1 * HOUR, 2 * HOUR - 300),
        (1 * HOUR, 2880, HOUR - 300),
        (200, 160, 180),
        (2, 1.6, 1.8),
    ],
)
def test_times(life: float, stale_from: float, good_until: float) -> None:
    found = token(life)
    assert (found.stale_from, found.good_until) == pytest.approx((stale_from, good_until))
    assert found.state(stale_from - 0.01) is State.FRESH
    assert found.state(stale_from) is State.STALE
    assert found.state(good_until - 0.01) is State.STALE
    assert found.state(good_until) is State.EXPIRED


def test_the_issuer_may_say_when() -> None:
    assert token(24 * HOUR, refresh_on=6 * HOUR).stale_from == 6 * HOUR


def test_the_issuer_may_not_say_too_late() -> None:
    assert token(HOUR, refresh_on=2 * HOUR).stale_from == HOUR - 300


def test_replicas_ask_at_different_times() -> None:
    times = {token(24 * HOUR, put_off=share / 10).stale_from for share in range(11)}
    assert len(times) == 11
    assert all(12 * HOUR <= time < 24 * HOUR - 300 for time in times)
    assert len({Token("t", 0.0, HOUR).put_off for _ in range(9)}) > 1


def test_a_clock_set_back_does_no_harm() -> None:
    assert token(HOUR).state(-HOUR) is State.FRESH


def test_a_token_received_dead_is_expired() -> None:
    assert token(-5).state(0) is State.EXPIRED


def test_repr_has_no_value() -> None:
    assert "hunter2" not in repr(Token("hunter2", 0.0, 1.0))
