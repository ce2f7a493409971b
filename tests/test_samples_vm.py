"""samples/vm_script, run as its systemd unit runs it, past the end of its token's life."""

import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from programs import (
    SAMPLES,
    administrator,
    answer,
    assert_logged,
    running,
    sample,
    surroundings,
    tables,
    until,
)

from azpg_bootstrap import load_settings
from azpg_bootstrap.sandbox import Sandbox

TOKEN_LIFETIME = 2.0
"""Seconds."""

SALES = 30_000
"""Rows, one of each amount from 1 on; more than the job reads at a time."""

FILL = f"""
    INSERT INTO sales SELECT '2026-01-01'::date + n % 3, n FROM generate_series(1, {SALES}) AS n
"""


@pytest.fixture
def short_lived(sandbox: Sandbox) -> Iterator[Sandbox]:
    sandbox.faults(token_lifetime=TOKEN_LIFETIME)
    with tables(sandbox, "vm_script/tables.sql", "aad_user") as cursor:
        cursor.execute(FILL)
        yield sandbox


def test_a_batch_that_outlives_its_token(short_lived: Sandbox, tmp_path: Path) -> None:
    """The sales are locked until the token that the job began with is dead."""
    code = sample("vm_script", tmp_path)
    environ = surroundings(short_lived.environ("user-assigned", "python", compute="vm"))
    with administrator(short_lived) as cursor:
        cursor.execute("BEGIN; LOCK TABLE sales")
        with running(["python", "nightly.py"], code, environ) as job:
            until(lambda: answer(cursor, "SELECT count(*) FROM pg_locks WHERE NOT granted") == 1)
            time.sleep(TOKEN_LIFETIME)  # the server's clock is the one that counts
            cursor.execute("COMMIT")
            assert_logged("vm_script", job.ended())
        assert answer(cursor, "SELECT sum(total) FROM report") == SALES * (SALES + 1) / 2
    assert short_lived.token_requests >= 2
    assert {request["endpoint"] for request in short_lived.token_log} == {"imds"}
    assert short_lived.refused_logins == 0


def test_the_units_commands_are_there() -> None:
    """What systemd is told to start is what the sample and the library bring."""
    unit = (SAMPLES / "vm_script" / "nightly.service").read_text()
    commands = [
        shlex.split(line.partition("=")[2])
        for line in unit.splitlines()
        if line.startswith("ExecStart")
    ]
    assert [Path(command[0]).name for command in commands] == ["azpg", "python"]
    assert commands[0][1:] == ["wait", "--timeout", "60"]
    assert (SAMPLES / "vm_script" / Path(commands[1][1]).name).exists()


def test_the_environment_file_is_understood() -> None:
    """By the library, once systemd has taken the quotes off."""
    lines = (SAMPLES / "vm_script" / "nightly.env").read_text().splitlines()
    pairs = [line.partition("=") for line in lines if not line.startswith("#")]
    environ = {name: shlex.split(value)[0] for name, _, value in pairs}
    assert load_settings(environ=environ).user == "nightly"
