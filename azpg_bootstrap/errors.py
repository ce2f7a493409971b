"""Every error this library raises itself.

    AzpgError
    ├── ConfigError (also ValueError)         the variables or arguments are wrong
    ├── TokenError (also RuntimeError)        no token could be had
    └── MissingExtraError (also ImportError)  an optional package is not installed

An error of a driver stays the driver's own class and keeps its text.
"""


class AzpgError(Exception):
    """Root of the errors above."""


class ConfigError(AzpgError, ValueError):
    """What was configured cannot work; `problems` says why, one sentence a problem.

    No sentence holds a configured value: any of them might be a misplaced secret.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return self.problems[0]
        lines = [f"{len(self.problems)} problems:", *self.problems]
        return "\n  - ".join(lines)


class TokenError(AzpgError, RuntimeError):
    """No token could be had; the cause is the identity library's own error."""


class MissingExtraError(AzpgError, ImportError):
    """A package that only some users need is missing; the message has the pip command."""
