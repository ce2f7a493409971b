"""`azpg token`: a token for whatever asks for a password."""

from __future__ import annotations

import argparse
import sys
import time

from azpg_bootstrap.claims import claims
from azpg_bootstrap.commands.exits import Exit, Failure
from azpg_bootstrap.database import Database
from azpg_bootstrap.methods import AuthMethod
from azpg_bootstrap.variables import prefix


def run(options: argparse.Namespace) -> int:
    """Print a token alone; with --info its claims on standard error."""
    database = Database.from_env(options.connection)
    if database.auth_method is AuthMethod.SECRET:
        raise Failure(
            f"auth method {database.auth_method}: this connection logs in with the password in "
            f"{prefix(options.connection)}*, and has no token",
            code=Exit.CONFIG,
        )
    token = database.password()
    sys.stdout.write(f"{token}\n")
    if options.info:
        sys.stderr.writelines(f"{line}\n" for line in describe(token, time.time()))
    return Exit.DONE


def describe(token: str, now: float) -> list[str]:
    """Return a token's claims, one a line, and how long it is still good."""
    found = claims(token)
    left = f"{found['exp'] - now:.0f} s" if "exp" in found else "unknown: it is no JWT"
    return [*(f"{name}: {value}" for name, value in sorted(found.items())), f"expires in: {left}"]
