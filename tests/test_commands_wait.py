"""`azpg wait`: patience with what passes, none with what lasts."""

import socket
import threading

import pytest

from azpg_bootstrap.cli import main
from azpg_bootstrap.commands.exits import Exit, Failure
from azpg_bootstrap.commands.wait import MAX_DELAY, wait
from azpg_bootstrap.errors import TokenError
from azpg_bootstrap.sandbox import Sandbox

DOWN = "connection to server failed: Connection refused"


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Query:
    """Fails as often as it is told, each time for the reason that is next."""

    def __init__(self, *reasons: Exception) -> None:
        self.reasons = list(reasons)
        self.left: list[float] = []

    def __call__(self, left: float) -> None:
        self.left.append(left)
        if self.reasons:
            raise self.reasons.pop(0)


def down() -> Failure:
    return Failure(DOWN, code=Exit.SERVER)


def test_it_comes_back_when_a_query_runs(capsys: pytest.CaptureFixture[str]) -> None:
    time = Time()
    tokens = TokenError("no token from the endpoint: Connection refused")
    wait(Query(down(), down(), tokens), 60, clock=time.clock, sleep=time.sleep)
    assert len(time.slept) == 3
    said = capsys.readouterr().err.splitlines()
    assert said == [f"azpg: waiting: {DOWN}", f"azpg: waiting: {tokens}"]


def test_delays_grow_to_a_limit_and_differ() -> None:
    time = Time()
    with pytest.raises(Failure, match="no query ran within 60 s: connection to server") as failed:
        wait(Query(*(down() for _ in range(1000))), 60, clock=time.clock, sleep=time.sleep)
    assert failed.value.code == Exit.TIMEOUT
    assert time.slept[0] < time.slept[3] < MAX_DELAY
    assert max(time.slept) <= MAX_DELAY
    assert len(set(time.slept)) == len(time.slept)
    assert time.now == pytest.approx(60)  # of the last try


def test_each_try_is_told_how_long_it_may_take() -> None:
    time = Time()
    query = Query(down(), down())
    wait(query, 60, clock=time.clock, sleep=time.sleep)
    assert query.left == [60, 60 - time.slept[0], 60 - sum(time.slept)]


@pytest.mark.parametrize(
    "lasting",
    [
        Failure('FATAL:  role "x" does not exist', code=Exit.SERVER),
        Failure('FATAL:  password authentication failed for user "x"', code=Exit.SERVER),
        TokenError("no token from Entra: AADSTS7000215: Invalid client secret provided."),
    ],
)
def test_it_gives_up_at_once_on_what_lasts(lasting: Exception) -> None:
    time = Time()
    with pytest.raises(type(lasting)) as raised:
        wait(Query(lasting), 60, clock=time.clock, sleep=time.sleep)
    assert raised.value is lasting
    assert time.slept == []


def enter(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)


def test_quiet_where_there_is_nothing_to_wait_for(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    enter(monkeypatch, sandbox.environ())
    assert main(["wait"]) == 0
    assert capsys.readouterr() == ("", "")


def test_a_dead_server_takes_the_time_it_is_given(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    enter(monkeypatch, sandbox.environ("secret", "django"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("AZURE_POSTGRESQL_PORT", str(server.getsockname()[1]))
    assert main(["wait", "--timeout", "0.3"]) == Exit.TIMEOUT
    assert "azpg: no query ran within 0.3 s: " in capsys.readouterr().err


def test_a_silent_server_takes_no_more(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever waits for longer is hung up on, which is another error than being out of time."""
    enter(monkeypatch, sandbox.environ("secret", "django"))
    monkeypatch.setenv("AZURE_POSTGRESQL_CONNECT_TIMEOUT", "60")
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("AZURE_POSTGRESQL_PORT", str(server.getsockname()[1]))
        hang_up = threading.Timer(10, server.close)
        hang_up.start()
        assert main(["wait", "--timeout", "1"]) == Exit.TIMEOUT
        hang_up.cancel()
    said = capsys.readouterr().err
    assert "no query ran within 1 s: " in said
    assert "timeout expired" in said


def test_a_wrong_role_and_wrong_variables_take_none(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    enter(monkeypatch, sandbox.environ("system-assigned", "django"))
    monkeypatch.setenv("AZURE_POSTGRESQL_USER", "nobody")
    assert main(["wait", "--timeout", "3600"]) == Exit.SERVER
    assert 'role "nobody" does not exist' in capsys.readouterr().err
    monkeypatch.delenv("AZURE_POSTGRESQL_HOST")
    assert main(["wait", "--timeout", "3600"]) == Exit.CONFIG
    assert "AZURE_POSTGRESQL_HOST is missing" in capsys.readouterr().err
