import pytest

from azpg_bootstrap import token_hints
from azpg_bootstrap.hints import HINTS, Hint, add_note, explain, find

# Texts as servers and libpq print them, in both wordings where there are two.
TEXTS = [
    ("The access token has expired. Please acquire a new token and retry", "token-expired"),
    ("The access token has expired. Acquire a new token and try again.", "token-expired"),
    (
        "The access token does not have a valid audience claim. Please acquire a new token for the "
        'resource "https://ossrdbms-aad.database.windows.net".',
        "wrong-audience",
    ),
    (
        "The access token has invalid format. Please ensure the token is passed exactly as "
        "returned by the authentication endpoint and retry.",
        "token-damaged",
    ),
    (
        "An error occurred while validating the access token. Please acquire a new token and retry",
        "token-not-valid",
    ),
    (
        "Azure AD user token for role[x] is neither an AAD_AUTH_TOKENTYPE_APP_USER or an "
        "AAD_AUTH_TOKENTYPE_APP_OBO token.",
        "app-token-for-a-persons-role",
    ),
    (
        'Microsoft Entra user token for role "x" is neither an AAD_AUTH_TOKENTYPE_APP_USER or an '
        "AAD_AUTH_TOKENTYPE_APP_OBO token.",
        "app-token-for-a-persons-role",
    ),
    (
        "Service Principals cannot generate AAD_AUTH_TOKENTYPE_APP_USER tokens for role[x]",
        "persons-token-for-an-apps-role",
    ),
    ("Service Principal oid mismatch for role[x]", "role-of-another-identity"),
    (
        'Service principal oid mismatch for role "x". The oid in the security label [a] does not '
        "match the appid [b] or oid [c] in the token.",
        "role-of-another-identity",
    ),
    ('FATAL:  role "x" does not exist', "role-missing"),
    ('FATAL:  database "x" does not exist', "database-missing"),
    ('FATAL:  password authentication failed for user "x"', "password-refused"),
    (
        'no pg_hba.conf entry for host "1.2.3.4", user "u", database "d", SSL off',
        "no-tls",
    ),
    (
        'no pg_hba.conf entry for host "1.2.3.4", user "u", database "d", no encryption',
        "no-tls",
    ),
    (
        'no pg_hba.conf entry for host "1.2.3.4", user "u", database "d", SSL encryption',
        "firewall",
    ),
    (
        "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: Hostname mismatch",
        "certificate-name",
    ),
    ("failed to resolve host 'h': [Errno -2] Name or service not known", "name-unknown"),
    ("[Errno 111] Connect call failed ('127.0.0.1', 1)", "unreachable"),
    ("PostgreSQL server at h rejected SSL upgrade", "no-tls"),
    ("permission denied for schema public", "permission-on-schema"),
    ("ERROR:  client sent partial pkt in startup phase", "token-too-long-for-pgbouncer"),
    ("SSL error: certificate verify failed", "certificate"),
    ('server certificate for "a" does not match host name "b"', "certificate-name"),
    ('could not translate host name "h" to address: Name or service not known', "name-unknown"),
    ('connection to server at "h", port 5432 failed: Connection refused', "unreachable"),
    ('connection to server at "h" failed: timeout expired', "unreachable"),
    ("FATAL:  sorry, too many clients already, too many connections", "too-many-connections"),
    ('FATAL:  role "x" is not permitted to log in', "login-not-allowed"),
    ('FATAL:  permission denied for database "d"', "database-closed"),
]

# What is in the text of a TokenError: azure-identity's words, Entra's, those of the endpoints.
TOKEN_TEXTS = [
    ("No connection adapters were found for '[Managed identity has been", "endpoint-hidden"),
    ("for system-assigned: HTTP 400: Identity not found", "no-system-identity"),
    ("HTTP 400: No User Assigned or Delegated Managed Identity found for", "identity-unknown"),
    ("HTTP 400: invalid_request: Identity not found", "identity-unknown"),
    ("HTTP 401: AADSTS7000215: Invalid client secret provided.", "secret-refused"),
    ("HTTP 401: AADSTS7000222: The provided client secret keys are expired.", "secret-expired"),
    ("HTTP 400: AADSTS700016: Application with identifier 'x' was not found", "app-unknown"),
    ("HTTP 400: AADSTS90002: Tenant 'x' not found.", "tenant-unknown"),
    ("HTTP 400: AADSTS700213: No matching federated identity record found", "federation"),
    ("HTTP 400: AADSTS500011: The resource principal named x was not found", "scope-unknown"),
    ("ERROR: AADSTS50020: User account 'x' does not exist in tenant", "login-in-another-tenant"),
    ("ERROR: AADSTS700082: The refresh token has expired", "login-out-of-date"),
    ("AADSTS50076: you must use multi-factor authentication", "login-out-of-date"),
    ("DefaultAzureCredential failed to retrieve a token", "no-identity-here"),
    ("AzureCliCredential: Please run 'az login' to set up an account", "not-logged-in"),
    ("AzureCliCredential: Azure CLI not found on path", "no-azure-cli"),
    ("[Errno 2] No such file or directory: '/var/run/token'", "federated-token-missing"),
    ("HTTP 403", "endpoint-refuses"),
    ("HTTP 429, 4 times", "throttled"),
    ("HTTP 503, 4 times", "endpoint-fails"),
    ("Connection refused, 4 times", "endpoint-unreachable"),
    ("within 30 s: it does not answer", "endpoint-unreachable"),
]


@pytest.mark.parametrize(("text", "situation"), TEXTS)
def test_what_a_text_means(text: str, situation: str) -> None:
    found = find(f'connection to server at "h" failed: FATAL:  {text}\n')
    assert found
    assert found.situation == situation


@pytest.mark.parametrize(("text", "situation"), TOKEN_TEXTS)
def test_why_there_is_no_token(text: str, situation: str) -> None:
    found = find(f"no token from the source: {text}", token_hints.HINTS)
    assert found
    assert found.situation == situation


@pytest.mark.parametrize(("hints", "texts"), [(HINTS, TEXTS), (token_hints.HINTS, TOKEN_TEXTS)])
def test_every_hint_has_a_text(hints: tuple[Hint, ...], texts: list[tuple[str, str]]) -> None:
    assert {hint.situation for hint in hints} == {situation for _, situation in texts}
    assert len({hint.situation for hint in hints}) == len(hints)


def test_the_first_line_is_the_true_one() -> None:
    found = find(
        "FATAL:  The access token has expired. Acquire a new token and try again.\n"
        'FATAL:  no pg_hba.conf entry for host "h", user "u", database "d", no encryption'
    )
    assert found
    assert found.situation == "token-expired"


def test_notes_are_added_once_and_only_where_something_is_known() -> None:
    known, unknown = OSError("timeout expired"), OSError("who knows")
    for _ in range(2):
        assert add_note(known)
        assert add_note(unknown) is None
    assert len(known.__notes__) == 1
    assert not hasattr(unknown, "__notes__")


def test_a_time_out_says_nothing_itself() -> None:
    assert add_note(TimeoutError())


def test_notes_name_the_connections_own_variables() -> None:
    error = OSError("The access token does not have a valid audience claim.")
    assert add_note(error, "AZURE_POSTGRESQL_REPORTING_")
    assert "Set AZURE_POSTGRESQL_REPORTING_SCOPE" in error.__notes__[0]


def test_what_was_noted_at_the_login_is_passed_on() -> None:
    login, between, outer = OSError("timeout expired"), OSError(), OSError()
    between.__cause__ = login
    add_note(login)
    explain(outer, between)
    assert outer.__notes__ == login.__notes__


def test_in_a_query_a_text_may_be_anybodys() -> None:
    outer = OSError()
    explain(outer, OSError("Key (title)=(Payment refused: request timed out) already exists."))
    assert not hasattr(outer, "__notes__")
    explain(outer, OSError("permission denied for schema public"))
    assert "GRANT USAGE, CREATE ON SCHEMA" in outer.__notes__[0]
