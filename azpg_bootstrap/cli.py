"""azpg: PostgreSQL connections from the variables that Azure Service Connector sets."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Final, get_args

from azpg_bootstrap.errors import AzpgError
from azpg_bootstrap.sandbox.errors import SandboxError
from azpg_bootstrap.sandbox.variables import Auth, Client, Compute

EXIT_FAILED: Final = 1
"""What was asked for did not work."""

EXIT_PIPE: Final = 141
"""Whoever read the output has gone, as shells have it."""

EXIT_INTERRUPTED: Final = 130
"""Ended by Ctrl-C, as shells have it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; errors are a sentence on standard error."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except (AzpgError, SandboxError) as error:
        sys.stderr.write(f"azpg: {error}\n")
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Python flushes once more at exit, and would complain then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PIPE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="azpg", description=__doc__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_demo(commands)
    _add_sandbox(commands)
    return parser


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    summary = "show each auth method open connections, in a sandbox"
    commands.add_parser("demo", help=summary, description=summary).set_defaults(run=_demo)


def _demo(_options: argparse.Namespace) -> int:
    from azpg_bootstrap.demo import run  # noqa: PLC0415 - no command pays for another's imports

    return run()


def _add_sandbox(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    summary = "run a program in a sandbox that looks like Azure to it"
    parser = commands.add_parser(
        "sandbox",
        help=summary,
        description=f"{summary}: a throw-away PostgreSQL, identity endpoints, and the variables "
        "that Service Connector would set",
        usage="azpg sandbox [--auth METHOD] [--client TYPE] [--compute KIND] [--token-lifetime S] "
        "[--token-latency S] -- COMMAND ...",
    )
    for name, words, default in (
        ("--auth", get_args(Auth), "system-assigned"),
        ("--client", get_args(Client), "python"),
        ("--compute", get_args(Compute), None),
    ):
        parser.add_argument(name, choices=words, default=default, help=", ".join(words))
    parser.add_argument("--token-lifetime", default=86_400.0, type=float, metavar="S")
    parser.add_argument("--token-latency", default=0.0, type=float, metavar="S")
    parser.add_argument("command", nargs="+", metavar="COMMAND")
    parser.set_defaults(run=_sandbox)


def _sandbox(options: argparse.Namespace) -> int:
    from azpg_bootstrap.rehearsal import run  # noqa: PLC0415

    return run(options)
