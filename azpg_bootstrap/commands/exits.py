"""How a command ends: its exit code, and the sentence that goes with it."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from enum import IntEnum
from typing import Self

from azpg_bootstrap.errors import AzpgError, ConfigError, TokenError


class Exit(IntEnum):
    """The exit codes of every command, each with its meaning."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> Self:
        """Make a member that is its number."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    DONE = 0, "it did what was asked; after `check` and `wait`: a query ran"
    FAILED = 1, "it did not, for another reason than those below; a right is missing"
    USAGE = 2, "the command line is wrong"
    CONFIG = 3, "the variables cannot work"
    TOKEN = 4, "no token could be had"
    SERVER = 5, "the server cannot be reached, is not to be trusted, or refused"
    TIMEOUT = 124, "`wait` gave up: its time was over"
    NOT_RUNNABLE = 126, "the program to run is not executable"
    NOT_FOUND = 127, "the program to run does not exist"
    INTERRUPTED = 130, "ended by Ctrl-C"
    PIPE = 141, "whoever read the output has gone"


class Failure(Exception):  # noqa: N818, it ends a command and is no fault of the program's
    """The end of a command: a sentence for standard error, what to do next, and the exit code."""

    def __init__(self, sentence: str, *advice: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(sentence, *advice)
        self.sentence = sentence
        self.advice = advice
        self.code = code

    def __str__(self) -> str:
        return "\n".join((self.sentence, *self.advice))


def code_of(error: AzpgError) -> Exit:
    """Return the exit code that an error of the library's means."""
    if isinstance(error, ConfigError):
        return Exit.CONFIG
    return Exit.TOKEN if isinstance(error, TokenError) else Exit.FAILED


def not_started(command: Sequence[str], error: OSError) -> Failure:
    """Return what ends a command whose own program cannot be run, with the shells' exit codes."""
    code = Exit.NOT_FOUND if error.errno == errno.ENOENT else Exit.NOT_RUNNABLE
    return Failure(f"{command[0]}: {error.strerror}", code=code)
