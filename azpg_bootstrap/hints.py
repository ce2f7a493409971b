"""What an error's text means and what to do about it: drivers give no SQLSTATE for a failed login.

The texts are Azure's own, in the two wordings that are around, PostgreSQL's and libpq's; each is
matched by a piece of it, in any case. Sources: Microsoft's documentation on Entra authentication
for flexible servers, and the reports of users in public issue threads.
"""

import re
from typing import Final, NamedTuple


class Hint(NamedTuple):
    """What an error text means: a name for the situation, and advice in words."""

    situation: str
    pieces: tuple[str, ...]
    """Regular expressions, one of which is in the text."""
    advice: str
    new_token_may_help: bool = False


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
    ),
    Hint(
        "token-damaged",
        ("access token has invalid format",),
        "What was sent as a token is not one: cut off, quoted, or with a line break in it. Is a "
        "token in AZURE_POSTGRESQL_PASSWORD? Remove it; tokens are fetched when needed.",
    ),
    Hint(
        "role-of-another-identity",
        ("oid mismatch",),
        "The role was made for another identity, or for one that has been deleted and made again. "
        "Bind it to this one: drop the role and create it again with pgaadauth_create_principal"
        "_with_oid, using the identity's object id, not its client id.",
        new_token_may_help=True,
    ),
    Hint(
        "app-token-for-a-persons-role",
        ("neither an AAD_AUTH_TOKENTYPE_APP_USER",),
        "The role is a person's, the token an application's. Log in as the role that was made for "
        "the application's identity: set AZURE_POSTGRESQL_USER.",
    ),
    Hint(
        "persons-token-for-an-apps-role",
        ("cannot generate AAD_AUTH_TOKENTYPE_APP_USER",),
        "The role is an application's, the token a person's. Log in as your own role: set "
        "AZURE_POSTGRESQL_USER to your user principal name.",
    ),
    Hint(
        "token-not-valid",
        ("error occurred while validating the access token",),
        "The server could not check the token: a plain password was sent to a role that logs in "
        "with Entra, or the token was revoked or signed with a key that is no longer in use.",
        new_token_may_help=True,
    ),
    Hint(
        "certificate",
        ("certificate verify failed", "root certificate file"),
        "The server's certificate does not lead to a trusted root. Is something between this "
        "machine and the server, such as a proxy? A server with a root of its own needs "
        "AZURE_POSTGRESQL_SSLROOTCERT.",
    ),
    Hint(
        "certificate-name",
        ("does not match host name",),
        "The server's certificate is for another name. Use the name in the certificate as "
        "AZURE_POSTGRESQL_HOST; AZURE_POSTGRESQL_HOSTADDR may tell its private address.",
    ),
    Hint(
        "no-tls",
        ("no encryption", "SSL off", "server does not support SSL"),
        "The server wants TLS, and this connection had none, or the other way round. Set "
        "AZURE_POSTGRESQL_SSLMODE to verify-full or require.",
    ),
    Hint(
        "firewall",
        ("no pg_hba.conf entry",),
        "The server lets nobody in from this address with this role and database. Add the address "
        "to the server's firewall rules, or connect through its private endpoint.",
    ),
    Hint(
        "role-missing",
        ('role ".*" does not exist',),
        "The server has no such role; names are case-sensitive. Create one for this identity with "
        "pgaadauth_create_principal_with_oid, as an Entra administrator in database postgres.",
    ),
    Hint(
        "database-missing",
        ('database ".*" does not exist',),
        "The server has no such database; names are case-sensitive.",
    ),
    Hint(
        "password-refused",
        ("password authentication failed",),
        "The password is wrong; or, if a token was sent, the role is not one that logs in with "
        "Entra, or the server has Entra authentication switched off.",
    ),
    Hint(
        "permission-on-schema",
        ("permission denied for schema",),
        "The role may not create in that schema, as on PostgreSQL 15 and newer nobody may in "
        "public. Its owner can run GRANT USAGE, CREATE ON SCHEMA public TO the role.",
    ),
    Hint(
        "token-too-long-for-pgbouncer",
        ("client sent partial pkt",),
        "The token is longer than this PgBouncer accepts. Update it, or connect past it.",
    ),
    Hint(
        "name-unknown",
        ("could not translate host name",),
        "The server's name cannot be resolved here. Check AZURE_POSTGRESQL_HOST; a server with a "
        "private endpoint is only known inside its virtual network.",
    ),
    Hint(
        "unreachable",
        ("timeout expired", "connection timed out", "connection refused", "no route to host"),
        "Nothing answers there. Check the server's firewall rules and that it is not stopped; port "
        "6432 answers only where PgBouncer is enabled.",
    ),
    Hint(
        "too-many-connections",
        ("too many connections", "remaining connection slots"),
        "The server has no connection left. Use fewer workers or a pool, or enable PgBouncer.",
    ),
)

ENDPOINT_HINTS: Final = (
    Hint(
        "no-such-identity",
        ("Identity not found", "No User Assigned", "identity endpoint .* HTTP 400"),
        "This identity is not assigned to this host. Assign it (az webapp identity assign, or the "
        "like for your service), and compare AZURE_POSTGRESQL_CLIENTID with its client id.",
    ),
    Hint(
        "secret-refused",
        ("AADSTS7000215", "AADSTS7000222"),
        "The client secret is wrong or has expired. Make a new one and update the connection.",
    ),
    Hint(
        "application-unknown",
        ("AADSTS700016", "AADSTS90002", "authority configuration"),
        "The tenant does not know this application, or there is no such tenant. Compare "
        "AZURE_POSTGRESQL_CLIENTID and AZURE_POSTGRESQL_TENANTID with the service principal's.",
    ),
    Hint(
        "federation",
        ("AADSTS70021", "AADSTS700213", "AADSTS700212"),
        "The identity does not trust this pod's service account. Compare the federated "
        "credential's issuer, subject and audience with the service account's.",
    ),
    Hint(
        "not-logged-in",
        ("az login", "azd auth login"),
        "Log in with az login; az account show tells the tenant you are in.",
    ),
    Hint(
        "refused",
        ("HTTP 40[13]",),
        "The endpoint refuses this process. In a shell of App Service the identity's variables are "
        "masked: run it in the app itself.",
    ),
    Hint(
        "throttled",
        ("HTTP 429",),
        "Too many requests from this host: keep one process's token for all its connections, and "
        "start fewer processes at a time.",
    ),
    Hint(
        "endpoint-fails",
        ("HTTP 5[0-9][0-9]", "HTTP 404", "HTTP 410"),
        "The service that issues tokens has trouble, which passes by itself. If it stays, look at "
        "Azure's status page, and restart the app.",
    ),
    Hint(
        "endpoint-unreachable",
        ("refused", "unreachable", "not known", "resolution", "timed out", "no answer in time"),
        "Nothing answers at the endpoint. Is an identity switched on for this host, and does a "
        "proxy stand between? NO_PROXY should list the endpoint's address.",
    ),
)
"""What the errors of token endpoints mean, with the HTTP status that they came with."""


def find(text: str, hints: tuple[Hint, ...] = HINTS) -> Hint | None:
    """Return the hint for a text; libpq may put a second, misleading line after the true one."""
    for line in text.splitlines():
        for hint in hints:
            if any(re.search(piece, line, re.IGNORECASE) for piece in hint.pieces):
                return hint
    return None


def add_note(error: BaseException) -> Hint | None:
    """Note on a driver's error what to do about it; return the hint that says so."""
    hint = find(str(error))
    if hint and hint.advice not in getattr(error, "__notes__", ()):
        error.add_note(hint.advice)
    return hint
