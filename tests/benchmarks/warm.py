"""What a running program pays for each connection."""

import os
import time
from collections.abc import Iterator

import psycopg2

import azpg_bootstrap as azpg
from azpg_bootstrap.sandbox import Sandbox

from .measure import Row, in_turn

ROUNDS = 300
CALLS = 10_000


def rows() -> Iterator[Row]:
    """Compare connect() with psycopg2.connect() and a ready password, and time password()."""
    with Sandbox() as sandbox:
        os.environ.update(sandbox.environ())
        database = azpg.Database.from_env()
        params = {**database.params(), "password": database.password()}
        yield in_turn(
            "connect(), by psycopg2.connect() with a ready password",
            lambda: azpg.connect().close(),
            lambda: psycopg2.connect(**params).close(),
            rounds=ROUNDS,
            aim="1.02",
        )
        yield in_turn(
            f"password() {CALLS} times, by 5 microseconds each",
            lambda: [database.password() for _ in range(CALLS)],
            lambda: time.sleep(CALLS * 5e-6),
            rounds=5,
            aim="1",
        )
