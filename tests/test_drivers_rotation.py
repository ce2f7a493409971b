"""Half a minute of tokens that live three seconds: every function goes on opening connections."""

import asyncio
import time
from pathlib import Path

import pytest

import azpg_bootstrap as azpg
from azpg_bootstrap.sandbox import Sandbox
from tests.django_project import PSYCOPG2, as_program, configure, make_project, start
from tests.openers import OPENERS, PID, Held, Opener, installed

LIFETIME = 3.0
"""Seconds."""

DURATION = 30.0
"""Seconds: ten lives."""

INTERVAL = 1.5
"""Seconds between two connections of one function; two fall into every token's life."""

COUNT = int(DURATION / INTERVAL)

KEPT = 3
"""Connections of the first token that each function keeps to the end, still to be usable then."""

# Django's connections of a thread last until they are closed; its pool's until they are returned.
DJANGO = """
import time
from threading import Thread
deadline = time.monotonic() + {duration}
pids, kept = [], []

def ask():
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return cursor.fetchone()[0]

def open_one():
    wrapper = connections.create_connection("default")
    wrapper.inc_thread_sharing()
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pids.append(cursor.fetchone()[0])
    if len(kept) < {kept}:
        kept.append(wrapper)
    else:
        wrapper.connection.close()  # or else a pool would hand it out again
        wrapper.close()

while time.monotonic() < deadline:
    open_one()
    time.sleep({interval})
for wrapper in kept:
    wrapper.cursor().execute("SELECT 1")
    wrapper.close()
connection.close_pool() if connection.pool else None
found = [len(pids), len(set(pids))]
"""


async def keep_opening(opener: Opener, database: azpg.Database) -> int:
    """Open a connection now and then; return how many different ones there were."""
    pids: set[int] = set()
    kept: list[Held] = []
    begin = time.monotonic()
    async with opener(database) as open_one:
        for number in range(COUNT):
            await asyncio.sleep(begin + number * INTERVAL - time.monotonic())
            held = await open_one()
            pids.add(await held.ask(PID))
            if number < KEPT:
                kept.append(held)
            else:
                await held.close()
        for held in kept:
            assert await held.ask(PID) in pids
            await held.close()
    return len(pids)


async def all_at_once(openers: dict[str, Opener], database: azpg.Database) -> dict[str, int]:
    found = await asyncio.gather(*(keep_opening(opener, database) for opener in openers.values()))
    return dict(zip(openers, found, strict=True))


def djangos() -> dict[str, tuple[dict[str, object], dict[str, str]]]:
    """Return Django's ways to connect, with settings and environment, as far as installed."""
    ways: dict[str, tuple[dict[str, object], dict[str, str]]] = {}
    if installed("django"):
        ways["psycopg2"] = ({}, PSYCOPG2)
    if installed("django", "psycopg"):
        ways["psycopg"] = ({}, {})
    if installed("django", "psycopg_pool"):
        ways["pool"] = ({"OPTIONS": {"pool": {"min_size": 1, "max_size": 9}}}, {})
    return ways


@pytest.mark.slow
def test_connections_are_opened_through_ten_lives_of_a_token(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sandbox.faults(token_lifetime=LIFETIME)
    environ = sandbox.environ(client="django")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    program = as_program(DJANGO.format(duration=DURATION, interval=INTERVAL, kept=KEPT))
    processes = {}
    for name, (database, driver) in djangos().items():
        (tmp_path / name).mkdir()
        project = make_project(tmp_path / name)
        configure(project, {"default": {"ENGINE": "django_backend", **database}})
        processes[name] = start(project, environ | driver, "-c", program)
    openers = {name: opener for name, (packages, opener) in OPENERS.items() if installed(*packages)}
    found = asyncio.run(all_at_once(openers, azpg.Database.from_env()))
    assert found == dict.fromkeys(openers, COUNT)
    for name, process in processes.items():
        said, _ = process.communicate(timeout=60)
        opened, different = map(int, said.splitlines()[-1].strip("[]").split(","))
        assert (name, opened) == (name, different)
        assert opened > COUNT / 2
    assert sandbox.refused_logins == 0
    assert sandbox.token_requests >= DURATION / LIFETIME
