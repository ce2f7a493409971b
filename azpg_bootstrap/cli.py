"""azpg: PostgreSQL connections from the variables that Azure Service Connector sets."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from importlib import import_module
from pathlib import Path
from typing import Final, NamedTuple, get_args

from azpg_bootstrap.commands.exits import Exit, Failure, code_of
from azpg_bootstrap.errors import AzpgError

LOG_FORMAT: Final = "%(asctime)s %(name)s %(levelname)s %(message)s"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; errors are a sentence on standard error."""
    _replace_closed_streams()
    words = sys.argv[1:] if arguments is None else arguments
    options = _parser(words).parse_args(words)
    try:
        with _log_on_stderr() if options.debug else nullcontext():
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
        _quiet_other_libraries()
        return int(getattr(command, options.function)(options))
    except (KeyboardInterrupt, OSError):
        raise
    except Exception as error:
        if options.debug:
            import traceback  # noqa: PLC0415

            traceback.print_exception(error)
        _say(_sentence(error))
        return _code(error)


def _sentence(error: Exception) -> str:
    if isinstance(error, (AzpgError, Failure)):
        return str(error)
    if isinstance(error, UnicodeEncodeError):
        return f"cannot write this in {error.encoding}: set PYTHONIOENCODING=utf-8"
    # There may be a secret in the text of what nobody thought of.
    return f"unexpected {type(error).__name__}; the same with --debug tells more"


def _code(error: Exception) -> int:
    if isinstance(error, Failure):
        return error.code
    return code_of(error) if isinstance(error, AzpgError) else Exit.FAILED


def _say(sentence: str) -> None:
    with suppress(OSError):  # where nobody can be told, the exit code still tells
        sys.stderr.write(f"azpg: {sentence}\n")


def _replace_closed_streams() -> None:
    """Have output go nowhere where the shell has closed it, as by >&-."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - to stay


def _quiet_other_libraries() -> None:
    """Keep what other libraries log off standard error, where an error is one sentence."""
    import logging  # noqa: PLC0415 - the command has imported it anyway

    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(logging.NullHandler())


@contextmanager
def _log_on_stderr() -> Iterator[None]:
    """Show this library's own log; other libraries' may hold tokens."""
    import logging  # noqa: PLC0415 - seldom wanted, and not for nothing

    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(LOG_FORMAT))
    logger = logging.getLogger("azpg_bootstrap")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)


def _silence_stdout() -> None:
    """Let Python's own last flush go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser, with the options of the commands that are named at all."""
    parser = argparse.ArgumentParser(prog="azpg", description=__doc__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        usage = command.usage and f"azpg {name} {command.usage}"
        summary = f"{command.summary[0].upper()}{command.summary[1:]}."
        each = commands.add_parser(name, help=command.summary, description=summary, usage=usage)
        if name in arguments:
            _add_common(each, connected=command.connected)
            command.add(each)
        each.set_defaults(module=command.module or name, function=command.function)
    return parser


class Command(NamedTuple):
    """A command as the command line knows it."""

    summary: str
    add: Callable[[argparse.ArgumentParser], object]
    """Adds its own options."""
    usage: str | None = None
    module: str = ""
    """Where it lives, if not in a module of its name."""
    function: str = "run"
    connected: bool = True
    """Whether it is about one connection."""


def _add_common(parser: argparse.ArgumentParser, *, connected: bool) -> None:
    parser.add_argument(
        "--debug", action="store_true", help="log what happens, and show tracebacks; no secrets"
    )
    if connected:
        parser.add_argument(
            "--connection",
            metavar="NAME",
            help="a further Service Connector connection: its variables begin "
            "AZURE_POSTGRESQL_NAME_",
        )


def _json(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def _wait(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--timeout", type=_seconds, default=60.0, metavar="S", help="seconds to try; 60 if not set"
    )


def _token(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--info", action="store_true", help="show its claims and expiry on standard error"
    )


def _psql(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("arguments", nargs="*", metavar="ARGUMENT", help="an argument of psql's")


def _exec(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("arguments", nargs="+", metavar="COMMAND", help="the program to run")


def _env(parser: argparse.ArgumentParser) -> None:
    form = parser.add_mutually_exclusive_group()
    _json(form)
    form.add_argument(
        "--export",
        action="store_true",
        help="print PGHOST, PGPASSWORD and so on for a shell's eval, the token among them",
    )


def _grants(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--schema", default="public", metavar="NAME", help="public if not set")
    parser.add_argument(
        "--role", metavar="NAME", help="the role to grant to; if not set, the connection's own"
    )
    needs = parser.add_mutually_exclusive_group()
    needs.add_argument("--read-only", action="store_true", help="only to read")
    needs.add_argument(
        "--migrations", action="store_true", help="to create tables as well, as migrations do"
    )
    parser.add_argument("--check", action="store_true", help="list what is missing instead")
    _json(parser)


def _role(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--single-server", action="store_true", help="for a single server, which Azure has retired"
    )


def _nothing(_parser: argparse.ArgumentParser) -> None:
    pass


def _sandbox(parser: argparse.ArgumentParser) -> None:
    from azpg_bootstrap.sandbox.variables import Auth, Client, Compute  # noqa: PLC0415 - slow

    for name, words, default in (
        ("--auth", (*get_args(Auth), "developer"), "system-assigned"),
        ("--client", get_args(Client), "python"),
        ("--compute", get_args(Compute), None),
    ):
        parser.add_argument(name, choices=words, default=default, help=", ".join(words))
    parser.add_argument("--token-lifetime", default=86_400.0, type=float, metavar="S")
    parser.add_argument("--token-latency", default=0.0, type=float, metavar="S")
    parser.add_argument("command", nargs="+", metavar="COMMAND")


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise ValueError
    return seconds


COMMANDS: Final = {
    "check": Command("find out why it does not connect, step by step", _json),
    "wait": Command("wait until a query runs, for start-up scripts", _wait),
    "token": Command("print a token, for whatever asks for a password", _token),
    "psql": Command(
        "open psql on the connection",
        _psql,
        "[--connection NAME] [-- ARGUMENT ...]",
        module="run",
        function="psql",
    ),
    "exec": Command(
        "run a program that finds the connection in PGHOST, PGUSER, PGPASSWORD and so on",
        _exec,
        "[--connection NAME] -- COMMAND ...",
        module="run",
    ),
    "env": Command("list the variables, their state and their meaning", _env),
    "grants": Command(
        "print the SQL that gives the role its rights, for the owner to run", _grants
    ),
    "role": Command("print the SQL that creates the role, for an Entra administrator", _role),
    "sandbox": Command(
        "run a program in a sandbox that looks like Azure to it",
        _sandbox,
        "[--auth METHOD] [--client TYPE] [--compute KIND] [--token-lifetime S] "
        "[--token-latency S] -- COMMAND ...",
        module="rehearsal",
        connected=False,
    ),
    "demo": Command(
        "show each auth method open connections, in a sandbox", _nothing, connected=False
    ),
}
