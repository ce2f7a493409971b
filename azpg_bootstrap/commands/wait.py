"""`azpg wait`: come back when a query runs, or when it never will."""

from __future__ import annotations

import argparse
import dataclasses
import random
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from math import ceil
from typing import Final

from azpg_bootstrap import hints, token_hints
from azpg_bootstrap.commands.exits import Exit, Failure
from azpg_bootstrap.commands.sql import patience, rows, session
from azpg_bootstrap.database import Database
from azpg_bootstrap.errors import TokenError
from azpg_bootstrap.parameters import DEFAULTS

FIRST_DELAY: Final = 0.25
"""Seconds until the second try; doubled each time."""

MAX_DELAY: Final = 5.0
"""Seconds: soon enough for a start-up script, and no load on a server that comes up."""


def run(options: argparse.Namespace) -> int:
    """Try until a query runs; progress goes to standard error."""
    profile = Database.from_env(options.connection).profile
    timeout = min(profile.token_timeout, options.timeout)
    database = Database(dataclasses.replace(profile, token_timeout=timeout))
    wait(partial(_query, database), options.timeout)
    return Exit.DONE


def wait(
    query: Callable[[float], None],
    timeout: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Call `query`, with the seconds left, until it does not raise; raises Failure after `timeout`.

    Raises what `query` did if time cannot mend that.
    """
    deadline = clock() + timeout
    said = ""
    for delay in _delays():
        try:
            return query(deadline - clock())
        except (Failure, TokenError) as error:
            sentence = _sentence(error)
            if _lasts(error):
                raise
            left = deadline - clock()
            if left <= 0:
                raise Failure(
                    f"no query ran within {timeout:g} s: {sentence}", code=Exit.TIMEOUT
                ) from error
        if sentence != said:
            sys.stderr.write(f"azpg: waiting: {sentence}\n")
            said = sentence
        sleep(min(delay, left))  # a last try is at the very end
    raise AssertionError("there is always a next delay")


def _query(database: Database, left: float) -> None:
    """Try once, in the usual time for each host, or in what is left for all of them."""
    share = left / len(database.profile.host.split(","))
    usual = patience(DEFAULTS | dict(database.profile.keywords)) or share
    # In whole seconds, and not 0, which is for ever.
    with session(database, connect_timeout=max(1, ceil(min(usual, share)))) as connection:
        rows(connection, "SELECT 1")


def _delays() -> Iterator[float]:
    delay = FIRST_DELAY
    while True:
        yield delay * random.uniform(0.5, 1)  # noqa: S311 - no secret; replicas come back apart
        delay = min(2 * delay, MAX_DELAY)


def _lasts(error: Failure | TokenError) -> bool:
    table = token_hints.HINTS if isinstance(error, TokenError) else hints.HINTS
    hint = hints.find(str(error), table)
    return hint is not None and hint.lasts


def _sentence(error: Failure | TokenError) -> str:
    return error.sentence if isinstance(error, Failure) else str(error).partition("\n")[0]
