"""What an error's text means and what to do about it: drivers give no SQLSTATE for a failed login.

The texts are Azure's own, in the two wordings that are around, PostgreSQL's and libpq's; each is
matched by a piece of it, in any case. Sources: Microsoft's documentation on Entra authentication
for flexible servers, and the reports of users in public issue threads. Commands are those of Azure
CLI 2.86 and newer, in which --name stopped to mean the server where --server-name does.
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

PREFIX: Final = "AZURE_POSTGRESQL_"
"""What the names of variables begin with in the advice; a further connection has its own."""


class Hint(NamedTuple):
    """What an error text means: a name for the situation, and advice in words."""

    situation: str
    pieces: tuple[str, ...]
    """Regular expressions, one of which is in the text."""
    advice: str
    new_token_may_help: bool = False
    lasts: bool = False
    """Time alone does not mend it."""
    in_queries: bool = False
    """A query may meet it too; in a query, the other texts are somebody else's or mere data."""
    commands: tuple[str, ...] = ()
    """What to run, for `azpg check` to fill in what it knows; the rest is left in <brackets>."""

    def advise(self, prefix: str) -> str:
        """Return the advice for a connection whose variables begin like this."""
        return self.advice.replace(PREFIX, prefix)


HINTS: Final = (
    Hint(
        "token-expired",
        ("the access token has expired",),
        "The token died before the login; a new one is fetched for every connection that needs it. "
        "If this comes back, compare this machine's clock with the server's.",
        new_token_may_help=True,
    ),
    Hint(
        "wrong-audience",
        ("does not have a valid audience",),
        "The token is for another service or cloud. Set AZURE_POSTGRESQL_SCOPE to the server's, "
        "such as https://ossrdbms-aad.database.windows.net/.default.",
        lasts=True,
    ),
    Hint(
        "token-damaged",
        ("access token has invalid format",),
        "What was sent as a token is not one: cut off, quoted, or with a line break in it. Is a "
        "token in AZURE_POSTGRESQL_PASSWORD? Remove it; tokens are fetched when needed.",
        lasts=True,
    ),
    Hint(
        "role-of-another-identity",
        ("oid mismatch",),
        "The role was made for another identity, or for one that has been deleted and made again. "
        "Bind it to this one by its object id, not its client id: as an Entra administrator label "
        "the role anew, or drop it and create it with pgaadauth_create_principal_with_oid.",
        new_token_may_help=True,
        lasts=True,
        commands=("{bind_role}",),
    ),
    Hint(
        "app-token-for-a-persons-role",
        ("neither an AAD_AUTH_TOKENTYPE_APP_USER",),
        "The role is a person's, the token an application's. Log in as the role that was made for "
        "the application's identity: set AZURE_POSTGRESQL_USER.",
        lasts=True,
    ),
    Hint(
        "persons-token-for-an-apps-role",
        ("cannot generate AAD_AUTH_TOKENTYPE_APP_USER",),
        "The role is an application's, the token a person's. Log in as your own role: set "
        "AZURE_POSTGRESQL_USER to your user principal name.",
        lasts=True,
    ),
    Hint(
        "token-not-valid",
        ("error occurred while validating the access token",),
        "The server could not check the token: a plain password was sent to a role that logs in "
        "with Entra, the token is of another tenant than the server, or it was revoked or signed "
        "with a key that is no longer in use.",
        new_token_may_help=True,
        commands=(
            "az postgres flexible-server show --resource-group <group> --name {server} "
            "--query authConfig.tenantId",
        ),
    ),
    Hint(
        "certificate-name",
        ("does not match host name", "(hostname|ip address) mismatch"),
        "The server's certificate is for another name. Use the name in the certificate as "
        "AZURE_POSTGRESQL_HOST; AZURE_POSTGRESQL_HOSTADDR may tell its private address.",
        lasts=True,
    ),
    Hint(
        "certificate",
        ("certificate verify failed", "root certificate file"),
        "The server's certificate does not lead to a trusted root. Is something between this "
        "machine and the server, such as a proxy? A server with a root of its own needs "
        "AZURE_POSTGRESQL_SSLROOTCERT.",
        lasts=True,
    ),
    Hint(
        "no-tls",
        ("no encryption", "SSL off", "server does not support SSL", "rejected SSL upgrade"),
        "The server wants TLS, and this connection had none, or the other way round. Set "
        "AZURE_POSTGRESQL_SSLMODE to verify-full or require.",
        lasts=True,
    ),
    Hint(
        "firewall",
        ("no pg_hba.conf entry",),
        "The server lets nobody in from this address with this role and database. Add the address "
        "to the server's firewall rules, or connect through its private endpoint.",
        commands=(
            "az postgres flexible-server firewall-rule create --resource-group <group> "
            "--server-name {server} --name <rule> --start-ip-address {address}",
        ),
    ),
    Hint(
        "role-missing",
        ('role ".*" does not exist',),
        "The server has no such role; names are case-sensitive. One for an identity is made by an "
        "Entra administrator in database postgres, with pgaadauth_create_principal_with_oid.",
        lasts=True,
        commands=("{create_role}",),
    ),
    Hint(
        "database-missing",
        ('database ".*" does not exist',),
        "The server has no such database; names are case-sensitive.",
        lasts=True,
        commands=(
            "az postgres flexible-server db create --resource-group <group> "
            "--server-name {server} --name {database}",
        ),
    ),
    Hint(
        "login-not-allowed",
        ("is not permitted to log in",),
        "The role is there but may not log in. Its owner can run ALTER ROLE ... LOGIN.",
        lasts=True,
    ),
    Hint(
        "database-closed",
        ("permission denied for database",),
        "The role may not connect to this database. Its owner can run GRANT CONNECT ON DATABASE.",
        lasts=True,
    ),
    Hint(
        "password-refused",
        ("password authentication failed",),
        "The password is wrong; or, if a token was sent, the role is not one that logs in with "
        "Entra, or the server has Entra authentication switched off.",
        lasts=True,
    ),
    Hint(
        "permission-on-schema",
        ("permission denied for schema",),
        "The role may not create in that schema, as on PostgreSQL 15 and newer nobody may in "
        "public. Its owner can run GRANT USAGE, CREATE ON SCHEMA public TO the role.",
        in_queries=True,
    ),
    Hint(
        "token-too-long-for-pgbouncer",
        ("client sent partial pkt",),
        "The token is longer than this PgBouncer accepts. Update it, or connect past it.",
        lasts=True,
    ),
    Hint(
        "name-unknown",
        (
            "could not translate host name",
            "failed to resolve host",
            "name or service not known",
            "nodename nor servname",
        ),
        "The server's name cannot be resolved here. Check AZURE_POSTGRESQL_HOST; a server with a "
        "private endpoint is only known inside its virtual network.",
        commands=("az postgres flexible-server list --query '[].fullyQualifiedDomainName'",),
    ),
    Hint(
        "unreachable",
        (
            "timeout expired",
            "timed out",
            "^TimeoutError$",
            "connection refused",
            "connect call failed",
            "no route to host",
        ),
        "Nothing answers there. Check the server's firewall rules and that it is not stopped; port "
        "6432 answers only where PgBouncer is enabled.",
        commands=(
            "az postgres flexible-server show --resource-group <group> --name {server} "
            "--query state",
            "az postgres flexible-server firewall-rule list --resource-group <group> "
            "--server-name {server}",
        ),
    ),
    Hint(
        "too-many-connections",
        ("too many connections", "remaining connection slots"),
        "The server has no connection left. Use fewer workers or a pool, or enable PgBouncer.",
    ),
)


def find(text: str, hints: Iterable[Hint] = HINTS) -> Hint | None:
    """Return the hint for a text; libpq may put a second, misleading line after the true one."""
    for line in text.splitlines():
        for hint in hints:
            if any(re.search(piece, line, re.IGNORECASE) for piece in hint.pieces):
                return hint
    return None


def add_note(error: BaseException, prefix: str = PREFIX) -> Hint | None:
    """Note on a driver's error at a login what to do about it; return the hint that says so."""
    hint = find(str(error) or type(error).__name__)
    if hint:
        _note(error, hint.advise(prefix))
    return hint


def explain(error: BaseException, driver_error: BaseException | None) -> None:
    """Note on a library's error what to do about the driver's error that it stands for.

    That is what was noted at the login or, for an error in a query, what its text means there.
    """
    cause = driver_error
    while cause and not getattr(cause, "__notes__", ()):
        cause = cause.__cause__
    if cause:
        for note in cause.__notes__:
            _note(error, note)
    elif hint := find(str(driver_error), (hint for hint in HINTS if hint.in_queries)):
        _note(error, hint.advice)


def _note(error: BaseException, note: str) -> None:
    if note not in getattr(error, "__notes__", ()):
        error.add_note(note)
