"""Measuring in turn, so that whatever else the machine does hits both sides alike."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

MILLISECONDS = 1000.0

Run = Callable[[], object]


class Row(NamedTuple):
    """A line of the table: medians in milliseconds, and the ratio that was aimed at."""

    what: str
    ours: float
    theirs: float
    aim: str

    def __str__(self) -> str:
        ratio = self.ours / self.theirs
        return f"{self.what:<58} {self.ours:>9.2f} {self.theirs:>9.2f} {ratio:>7.2f}  {self.aim}"


HEADING = f"{'what':<58} {'ours':>9} {'theirs':>9} {'ratio':>7}  aim"


def in_turn(what: str, ours: Run, theirs: Run, *, rounds: int, aim: str) -> Row:
    """Run both sides alternately, the first of a round changing, and compare the medians."""
    times: dict[Run, list[float]] = {ours: [], theirs: []}
    for run in times:
        run()  # files into the page cache, connections into the pools
    for number in range(rounds):
        for run in (ours, theirs) if number % 2 else (theirs, ours):
            times[run].append(seconds(run))
    return Row(what, *(statistics.median(times[run]) * MILLISECONDS for run in times), aim)


def seconds(run: Run) -> float:
    """Return how long one run takes."""
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


def program(code: str, environ: Mapping[str, str]) -> Run:
    """Return a run of a Python program of its own, from process start to end."""

    def run() -> None:
        subprocess.run([sys.executable, "-c", code], env=dict(environ), check=True)

    return run
