"""A stand-in for Azure CLI: it prints what the real one prints where a person is logged in.

Texts: azure-identity's AzureCliCredential, which reads them, Azure CLI's own, and Microsoft's list
of Entra error codes.
"""

import datetime
import json
import shlex
import sys
import time
from pathlib import Path
from typing import Any

from .conditions import Conditions
from .identities import AZURE_CLI_CLIENT_ID, PERSON, TENANT_ID
from .tokens import Issuer
from .web import Denial, Request, Response

PATH = "/az"

FOREIGN_TENANT = "0e4e1600-0000-4000-8000-000000000000"

# Seconds; the most that Entra gives a person.
_LIFETIME_LIMIT = 3600

_NOT_LOGGED_IN = "ERROR: Please run 'az login' to setup account.\n"

_WRONG_TENANT = (
    f"ERROR: AADSTS50020: User account '{PERSON.upn}' from identity provider "
    f"'https://sts.windows.net/{FOREIGN_TENANT}/' does not exist in tenant 'Contoso' and cannot "
    f"access the application '{AZURE_CLI_CLIENT_ID}'(Microsoft Azure CLI) in that tenant. The "
    "account needs to be added as an external user in the tenant first. Sign out and sign in again "
    "with a different Azure Active Directory user account.\n"
)

_LOGIN_EXPIRED = (
    "ERROR: AADSTS700082: The refresh token has expired due to inactivity. The token was issued on "
    "2026-01-01T00:00:00.0000000Z and was inactive for 90.00:00:00.\n"
    "Interactive authentication is needed. Please run:\n"
    "az logout\naz login\n"
)

_FAILURES = {
    "not-logged-in": _NOT_LOGGED_IN,
    "wrong-tenant": _WRONG_TENANT,
    "login-expired": _LOGIN_EXPIRED,
}

_PROGRAM = """\
import http.client, json, sys
connection = http.client.HTTPConnection("127.0.0.1", {port}, timeout=60)
connection.request("GET", "{path}?arguments=" + "%20".join(sys.argv[1:]).replace("&", "%26"))
answer = json.load(connection.getresponse())
sys.stdout.write(answer["out"])
sys.stderr.write(answer["err"])
sys.exit(answer["code"])
"""


def install(folder: Path, port: int) -> None:
    """Write the executable, which asks our endpoint what to print."""
    folder.mkdir()
    program = folder / "az.py"
    program.write_text(_PROGRAM.format(port=port, path=PATH))
    words = [sys.executable, "-I", "-S", str(program)]
    script = folder / "az"
    script.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    script.chmod(0o700)


class AzureCli:
    """Answers for the executable."""

    def __init__(self, issuer: Issuer, conditions: Conditions) -> None:
        self._issuer = issuer
        self._conditions = conditions

    async def answer(self, request: Request) -> Response:
        """Say what `az` prints for its arguments, and its exit code."""
        words = request.query.get("arguments", "").split()
        if words[:2] != ["account", "get-access-token"]:
            return _printed(err=f"ERROR: '{' '.join(words)}' is misspelled or not recognized.\n")
        await self._conditions.befall("az", None)
        login = self._conditions.login
        if login in _FAILURES:
            return _printed(err=_FAILURES[login])
        if "--resource" not in words:
            raise Denial(Response({"error": "not_found"}, 404))
        return _printed(json.dumps(self._token(words[words.index("--resource") + 1]), indent=2))

    def _token(self, resource: str) -> dict[str, Any]:
        lifetime = min(self._conditions.token_lifetime, _LIFETIME_LIMIT)
        tenant = FOREIGN_TENANT if self._conditions.login == "foreign-tenant" else TENANT_ID
        claims = {"tid": tenant, "iss": f"https://sts.windows.net/{tenant}/"}
        expires = int(time.time() + lifetime)
        local = datetime.datetime.fromtimestamp(expires)
        return {
            "accessToken": self._issuer.issue(PERSON, resource, lifetime, claims),
            "expiresOn": f"{local:%Y-%m-%d %H:%M:%S.%f}",
            "expires_on": expires,
            "subscription": "5ab5c000-0000-4000-8000-000000000000",
            "tenant": tenant,
            "tokenType": "Bearer",
        }


def _printed(out: str = "", err: str = "") -> Response:
    return Response({"out": out, "err": err, "code": 1 if err else 0})
