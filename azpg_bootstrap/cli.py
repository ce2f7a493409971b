"""azpg: PostgreSQL connections from the variables that Azure Service Connector sets."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final, get_args

from azpg_bootstrap.commands.exits import Exit, Failure, code_of
from azpg_bootstrap.errors import AzpgError
from azpg_bootstrap.sandbox.errors import SandboxError
from azpg_bootstrap.sandbox.variables import Auth, Client, Compute

LOG_FORMAT: Final = "%(asctime)s %(name)s %(levelname)s %(message)s"

Commands = Any  # argparse's class for a set of sub-commands, which has no public name


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; errors are a sentence on standard error."""
    options = _parser().parse_args(arguments)
    if options.debug:
        _log_to_stderr()
    try:
        code = _run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        _silence_stdout()
        return Exit.PIPE
    except OSError as error:  # a full disk, for one, which would complain again at exit
        _silence_stdout()
        _say(f"cannot write the output: {error.strerror}")
        return Exit.FAILED
    return code


def _run(options: argparse.Namespace) -> int:
    """Run the command; return its exit code, also where it ends in an error that we know."""
    try:
        command = import_module(f"azpg_bootstrap.commands.{options.module}")
        return int(getattr(command, options.function)(options))
    except (KeyboardInterrupt, OSError):
        raise
    except (AzpgError, SandboxError, Failure) as error:
        _say(str(error))
        code = error.code if isinstance(error, Failure) else Exit.FAILED
        code = code_of(error) if isinstance(error, AzpgError) else code
    except Exception as error:
        _say(f"unexpected {type(error).__name__}; the same with --debug tells more")
        code = Exit.FAILED
    if options.debug:
        traceback.print_exc()
    return code


def _say(sentence: str) -> None:
    sys.stderr.write(f"azpg: {sentence}\n")


def _log_to_stderr() -> None:
    """Show this library's own log; other libraries' may hold tokens."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(LOG_FORMAT))
    logger = logging.getLogger("azpg_bootstrap")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)


def _silence_stdout() -> None:
    """Let Python's own last flush go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="azpg", description=__doc__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in (
        _add_check,
        _add_wait,
        _add_token,
        _add_psql,
        _add_exec,
        _add_env,
        _add_grants,
        _add_role,
        _add_sandbox,
        _add_demo,
    ):
        add(commands)
    return parser


def _add(commands: Commands, name: str, summary: str, **more: Any) -> argparse.ArgumentParser:
    """Add a command, run by the function `run` of the module of its name."""
    more = {"description": f"{summary[0].upper()}{summary[1:]}.", **more}
    parser: argparse.ArgumentParser = commands.add_parser(name, help=summary, **more)
    parser.add_argument(
        "--debug", action="store_true", help="log what happens, and show tracebacks; no secrets"
    )
    parser.set_defaults(module=name, function="run")
    return parser


def _add_connected(
    commands: Commands, name: str, summary: str, **more: Any
) -> argparse.ArgumentParser:
    """Add a command about one connection."""
    parser = _add(commands, name, summary, **more)
    parser.add_argument(
        "--connection",
        metavar="NAME",
        help="a further Service Connector connection: its variables begin AZURE_POSTGRESQL_NAME_",
    )
    return parser


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_check(commands: Commands) -> None:
    parser = _add_connected(commands, "check", "find out why it does not connect, step by step")
    _add_json(parser)


def _add_wait(commands: Commands) -> None:
    parser = _add_connected(commands, "wait", "wait until a query runs, for start-up scripts")
    parser.add_argument(
        "--timeout", type=_seconds, default=60.0, metavar="S", help="seconds to try; 60 if not set"
    )


def _add_token(commands: Commands) -> None:
    parser = _add_connected(commands, "token", "print a token, for whatever asks for a password")
    parser.add_argument(
        "--info", action="store_true", help="show its claims and expiry on standard error"
    )


def _add_psql(commands: Commands) -> None:
    parser = _add_connected(
        commands,
        "psql",
        "open psql on the connection",
        usage="azpg psql [--connection NAME] [-- ARGUMENT ...]",
    )
    parser.add_argument("arguments", nargs="*", metavar="ARGUMENT", help="an argument of psql's")
    parser.set_defaults(module="run", function="psql")


def _add_exec(commands: Commands) -> None:
    parser = _add_connected(
        commands,
        "exec",
        "run a program that finds the connection in PGHOST, PGUSER, PGPASSWORD and so on",
        usage="azpg exec [--connection NAME] -- COMMAND ...",
    )
    parser.add_argument("arguments", nargs="+", metavar="COMMAND", help="the program to run")
    parser.set_defaults(module="run")


def _add_env(commands: Commands) -> None:
    parser = _add_connected(commands, "env", "list the variables, their state and their meaning")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument(
        "--export",
        action="store_true",
        help="print PGHOST, PGPASSWORD and so on for a shell's eval, the token among them",
    )


def _add_grants(commands: Commands) -> None:
    parser = _add_connected(
        commands, "grants", "print the SQL that gives the role its rights, for the owner to run"
    )
    parser.add_argument("--schema", default="public", metavar="NAME", help="public if not set")
    needs = parser.add_mutually_exclusive_group()
    needs.add_argument("--read-only", action="store_true", help="only to read")
    needs.add_argument(
        "--migrations", action="store_true", help="to create tables as well, as migrations do"
    )
    parser.add_argument("--check", action="store_true", help="list what is missing instead")
    _add_json(parser)


def _add_role(commands: Commands) -> None:
    parser = _add_connected(
        commands, "role", "print the SQL that creates the role, for an Entra administrator to run"
    )
    parser.add_argument(
        "--single-server", action="store_true", help="for a single server, which Azure has retired"
    )


def _add_demo(commands: Commands) -> None:
    _add(commands, "demo", "show each auth method open connections, in a sandbox")


def _add_sandbox(commands: Commands) -> None:
    summary = "run a program in a sandbox that looks like Azure to it"
    parser = _add(
        commands,
        "sandbox",
        summary,
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
    parser.set_defaults(module="rehearsal")


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise ValueError
    return seconds
