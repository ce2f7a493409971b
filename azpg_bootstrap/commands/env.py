"""`azpg env`: the variables with their meaning and state, or libpq's for a shell."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Final

from azpg_bootstrap import environment
from azpg_bootstrap.commands.exits import Exit
from azpg_bootstrap.commands.run import connection_environ
from azpg_bootstrap.variables import VARIABLES, Variable, intended, prefix, select

PG_VARIABLES: Final = frozenset(environment.VARIABLES.values())

STARS: Final = "******"

SHOWN: Final = frozenset(
    """HOST HOSTADDR PORT DATABASE USER CLIENTID TENANTID AUTH SSL SSLMODE SSLROOTCERT SCOPE
    TOKEN_TIMEOUT CONNECT_TIMEOUT APPLICATION_NAME""".split()
)
"""The parts whose values are no secret; whatever else is set is shown as stars."""

LONGEST: Final = 100
"""Characters; a token or a connection string in the wrong variable is longer, a name is not."""

LIBPQ: Final = "libpq's connection keyword of that name"


@dataclass(frozen=True)
class State:
    """A variable as it is found: `value` is None where it is not set."""

    name: str
    value: str | None
    meaning: str


def run(options: argparse.Namespace) -> int:
    """Print the listing, as text or JSON, or lines for a shell."""
    if options.export:
        ours = connection_environ(options.connection)
        lines = list(export(ours, PG_VARIABLES & os.environ.keys() - ours.keys()))
    else:
        states = list(listing(options.connection, os.environ))
        lines = [_json(states)] if options.json else list(_table(states))
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return Exit.DONE


def export(environ: Mapping[str, str], leftovers: Iterable[str] = ()) -> Iterator[str]:
    """Return lines that a POSIX shell reads; leftovers would lead it to another server."""
    yield from (f"unset {name}" for name in sorted(leftovers))
    for name, value in sorted(environ.items()):
        yield f"export {name}={shlex.quote(value)}"


def listing(connection: str | None, environ: Mapping[str, str]) -> Iterator[State]:
    """Return the state of every variable there is for a connection, without any secret."""
    found = select(connection, environ, optional=True)
    start = prefix(connection)
    ending = {variable: _ending(variable, start) for variable in found}
    for known, meaning in VARIABLES.items():
        matching = [variable for variable in found if ending[variable] == known]
        yield from (State(each.name, shown(each), meaning) for each in matching)
        if not matching:
            yield State(start + known, None, meaning)
    yield from _others(variable for variable in found if ending[variable] not in VARIABLES)


def shown(variable: Variable) -> str:
    """Return a variable's value, or stars if it is a secret or might be one."""
    value = variable.value
    plain = variable.part in SHOWN and len(value) <= LONGEST and value.isprintable()
    return value if plain and "=" not in value and not value.startswith("eyJ") else STARS


def _ending(variable: Variable, start: str) -> str:
    """Return a variable's name as the table has it; Spring's have none and go by their part."""
    _, found, ending = variable.name.upper().rpartition(start)
    return ending if found else variable.part


def _others(variables: Iterable[Variable]) -> Iterator[State]:
    for variable in variables:
        meant = intended(variable.part)
        meaning = f"misspelt: {meant} is how it ends" if meant else LIBPQ
        yield State(variable.name, shown(variable), meaning)


def _table(states: Iterable[State]) -> Iterator[str]:
    lines = [(each.name, "not set" if each.value is None else each.value, each.meaning)
             for each in states]  # fmt: skip
    widths = [max(len(line[column]) for line in lines) for column in (0, 1)]
    for name, state, meaning in lines:
        yield f"{name:<{widths[0]}}  {state:<{widths[1]}}  {meaning}"


def _json(states: Iterable[State]) -> str:
    return json.dumps([asdict(each) for each in states], indent=2)
