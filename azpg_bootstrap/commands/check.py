"""`azpg check`: walk the way a connection goes, and say at each step what is found."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import TextIOWrapper
from typing import Final

from azpg_bootstrap.commands import approach, arrival, network
from azpg_bootstrap.commands.exits import Exit, Failure, code_of
from azpg_bootstrap.commands.finding import Finding, State, as_json, lines
from azpg_bootstrap.commands.walk import Walk
from azpg_bootstrap.errors import AzpgError, ConfigError

STEPS: Final[dict[str, Callable[[Walk], Finding]]] = {
    "variables": approach.variables,
    "method": approach.method,
    "compute": approach.compute,
    "token": approach.token,
    "dns": network.dns,
    "tcp": network.tcp,
    "tls": network.tls,
    "login": arrival.login,
    "role": arrival.role,
    "tables": arrival.tables,
    "pooler": arrival.pooler,
    "clock": arrival.clock,
}
"""The way, by the names the report has for its steps."""


def run(options: argparse.Namespace) -> int:
    """Print what is found; return 0 only if a query ran."""
    if isinstance(sys.stdout, TextIOWrapper):
        # A name that this terminal cannot show is no reason to end without a diagnosis.
        sys.stdout.reconfigure(errors="backslashreplace")
    walk = Walk(options.connection, os.environ)
    is_plain = "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
    colour = sys.stdout.isatty() and not is_plain
    findings = []
    code = Exit.DONE
    try:
        for finding, code in follow(walk):  # noqa: B007 - the last code counts
            findings.append(finding)
            if not options.json:
                sys.stdout.writelines(f"{line}\n" for line in lines(finding, colour=colour))
                sys.stdout.flush()
    finally:
        walk.close()
    if options.json:
        sys.stdout.write(as_json(findings, code) + "\n")
    return code


def follow(walk: Walk) -> Iterator[tuple[Finding, Exit]]:
    """Take the steps up to the first that fails; with each comes the exit code so far."""
    for name, step in STEPS.items():
        try:
            yield replace(step(walk), step=name), Exit.DONE
        except (Failure, AzpgError) as error:
            code = error.code if isinstance(error, Failure) else code_of(error)
            yield replace(_failed(walk, error), step=name), code
            return


def _failed(walk: Walk, error: Failure | AzpgError) -> Finding:
    if isinstance(error, ConfigError):
        return Finding("\n".join(error.problems), State.FAILED)
    text, advice = walk.explain(error)
    return Finding(text, State.FAILED, advice=advice)
