"""What `azpg check` found at one step, as data and as text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from textwrap import wrap
from typing import Any, Final


class State(StrEnum):
    """How a step ended."""

    OK = "ok"
    NOTE = "note"  # the connection works, but somebody should know
    FAILED = "failed"


COLOURS: Final = {State.OK: "32", State.NOTE: "33", State.FAILED: "31"}
"""ANSI's green, yellow and red."""


MARGIN: Final = 19
"""Columns in front of the text: the state, the step, and the gaps between."""

WIDTH: Final = 100 - MARGIN


@dataclass(frozen=True)
class Finding:
    """One step: what was found in words and as data, and what to do next if something is wrong."""

    text: str
    state: State = State.OK
    data: Mapping[str, Any] = field(default_factory=dict)
    advice: Sequence[str] = ()
    step: str = ""


def lines(finding: Finding, *, colour: bool) -> Iterator[str]:
    """Return a finding as the lines of a report."""
    mark = f"{finding.state:<6}"
    if colour:
        mark = f"\x1b[{COLOURS[finding.state]}m{mark}\x1b[0m"
    first, *more = _wrapped((*finding.text.splitlines(), *finding.advice))
    yield f"{mark}  {finding.step:<9}  {first}"
    yield from (f"{'':{MARGIN}}{line}" for line in more)


def _wrapped(texts: Iterable[str]) -> Iterator[str]:
    """Break long sentences; a command, which is indented, stays on a line to be copied."""
    for text in texts:
        if text.startswith(" "):
            yield text
        else:
            yield from wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def as_json(findings: Sequence[Finding], code: int) -> str:
    """Return all findings for a machine."""
    steps = [asdict(finding) for finding in findings]
    return json.dumps({"ok": code == 0, "exit_code": code, "steps": steps}, indent=2)
