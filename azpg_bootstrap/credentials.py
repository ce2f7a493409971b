"""Fetching one token for one identity: which credential to ask, how often, and what went wrong.

Imported by the thread that fetches, when it does: what is imported here takes longer than all the
rest of the library.
"""

from __future__ import annotations

# requests and Python import these three with the first request, which is not made under the lock.
import encodings.idna
import encodings.utf_8_sig  # noqa: F401
import netrc  # noqa: F401
import os
import random
import re
import socket
import time
from contextlib import suppress
from importlib import import_module
from textwrap import shorten
from typing import TYPE_CHECKING, Any, Final

from azpg_bootstrap import clouds, forking, hints, token_hints
from azpg_bootstrap.claims import claims
from azpg_bootstrap.errors import TokenError
from azpg_bootstrap.lifetime import Token
from azpg_bootstrap.methods import AuthMethod
from azpg_bootstrap.session import Session

if TYPE_CHECKING:
    from azpg_bootstrap.auth import Identity

CONNECT_TIMEOUT: Final = 5.0
"""Seconds; endpoints are on the machine itself, or Entra's, which is near every region."""

READ_TIMEOUT: Final = 10.0
"""Seconds; the slowest answers take a few. One that never comes leaves time for another try."""

SHORTEST: Final = 0.01
"""Seconds; requests refuses to wait for none."""

PATIENCE: Final = 0.9
"""Share of the caller's patience that all tries may take: the reason is to be known before it
ends."""

PAUSES: Final = (0.5, 1.0, 2.0)
"""Seconds between tries, each made longer or shorter by up to half at random. Four tries outlast a
restart of the endpoint; the next connection tries again anyway."""

TRANSIENT: Final = frozenset({404, 408, 410, 429, 500, 502, 503, 504})
"""HTTP statuses worth another try; 404 and 410 are the metadata service's while it is updated
(Microsoft's documentation on managed identities for virtual machines, "Error handling")."""

IMDS: Final = ("169.254.169.254", 80)
"""The metadata service of virtual machines, at the same address on every one of them."""

IMDS_TIMEOUT: Final = 1.0
"""Seconds; it answers in milliseconds. azure-identity's own probe waits as long."""

PRODUCTION: Final = frozenset(
    {"prod", "environmentcredential", "managedidentitycredential", "workloadidentitycredential"}
)
"""Values of AZURE_TOKEN_CREDENTIALS that do not say this is a developer's machine."""

LATE_IMPORTS: Final = (
    "azure.core.rest._http_response_impl",
    "azure.core.rest._requests_basic",
    "msal_extensions",
)
"""Modules that azure-identity imports with the first request."""

WORKLOAD_VARIABLES: Final = (
    "AZURE_AUTHORITY_HOST",
    "AZURE_TENANT_ID",
    "AZURE_FEDERATED_TOKEN_FILE",
)
"""What the webhook of AKS sets; all three mean workload identity."""

JWT: Final = re.compile(r"eyJ[\w-]{5,}(\.[\w-]*)*")
"""The beginning of every token; an endpoint's broken answer may have one in it."""

WRAPPING: Final = re.compile(r".*Attempted credentials:\s*|\s*To mitigate this issue.*", re.DOTALL)
"""What a chain puts around the errors of its credentials, which are what matters."""

MAX_REASON: Final = 300
"""Characters of a credential's own error that are shown: its first sentence or two."""


def fetch(identity: Identity, source: str) -> Token:
    """Fetch a new token; raise TokenError, with the credential's own error as its cause.

    The session ends with it: no socket outlives the question, to be shared with a forked child.
    """
    deadline = time.monotonic() + PATIENCE * identity.timeout
    failures: list[Exception] = []
    with Session() as session:
        for pause in (*PAUSES, None):
            try:
                # A new one each time: msal answers for 5 seconds with the failure it has seen.
                left = deadline - time.monotonic()
                return ask(credential_for(identity, session, left), identity.scope)
            except Exception as error:  # every credential has its own classes
                failures.append(error)
            wait = _wait(session, pause)
            if wait is None or time.monotonic() + wait > deadline:
                break
            time.sleep(wait)
    times = f", {len(failures)} times" if len(failures) > 1 else ""
    reason = "" if session.is_unanswered else str(failures[-1])  # a second telling, with the URL
    raise _token_error(source, session.outcome + times, reason, failures[-1])


def fetch_by(credential: Any, scope: str, source: str) -> Token:
    """Fetch a token from a caller's own credential, which has a patience of its own."""
    try:
        return ask(credential, scope)
    except Exception as error:
        failure = error
    raise _token_error(source, "", str(failure), failure)


def ask(credential: Any, scope: str) -> Token:
    """Return a token from any azure-core credential, of the newer kind or the older."""
    now = time.time()
    newer = hasattr(credential, "get_token_info")
    info = credential.get_token_info(scope) if newer else credential.get_token(scope)
    # Credentials count in whole seconds from different moments; the token itself is exact.
    expires_on = min(info.expires_on, claims(info.token).get("exp", info.expires_on))
    return Token(info.token, now, expires_on, getattr(info, "refresh_on", None))


def credential_for(identity: Identity, session: Session, left: float) -> Any:
    """Return the credential for exactly this identity; imports all that asking it takes.

    It has the seconds that are left for an answer.
    """
    left = max(left, SHORTEST)
    timeouts = min(CONNECT_TIMEOUT, left), min(READ_TIMEOUT, left)
    with forking.importing:
        if identity.method is AuthMethod.SERVICE_PRINCIPAL:
            return _service_principal(identity, _options(session, timeouts))
        if identity.method is AuthMethod.DEVELOPER:
            return _developer()
        return _managed(identity, session, timeouts)


def _managed(identity: Identity, session: Session, timeouts: tuple[float, float]) -> Any:
    """Tell a host of Azure, where one identity is meant, from a person's own machine."""
    environ = os.environ
    has_endpoint = environ.get("IDENTITY_ENDPOINT") or environ.get("MSI_SECRET")
    has_workload = all(environ.get(name) for name in WORKLOAD_VARIABLES)
    if not has_endpoint and (has_workload or environ.get("MSI_ENDPOINT")):
        from azure.identity import ManagedIdentityCredential  # noqa: PLC0415

        options = _options(session, timeouts)
        return ManagedIdentityCredential(client_id=identity.client_id or None, **options)
    if has_endpoint or _has_metadata_service():
        from azpg_bootstrap.managed_identity import ManagedIdentity  # noqa: PLC0415

        return ManagedIdentity(identity.client_id, session, timeouts)
    from azure.identity import DefaultAzureCredential  # noqa: PLC0415

    return DefaultAzureCredential(
        managed_identity_client_id=identity.client_id or None, authority=identity.authority
    )


def _has_metadata_service() -> bool:
    if os.environ.get("AZURE_POD_IDENTITY_AUTHORITY_HOST"):
        return True  # moved elsewhere, as in AKS's older pod identity and in the sandbox
    wanted = os.environ.get("AZURE_TOKEN_CREDENTIALS", "").lower()
    if wanted and wanted not in PRODUCTION:
        return False  # whoever set it knows that this is a developer's machine
    with suppress(OSError), socket.create_connection(IMDS, timeout=IMDS_TIMEOUT):
        return True
    return False


def _service_principal(identity: Identity, options: dict[str, Any]) -> Any:
    from azure.identity import ClientSecretCredential  # noqa: PLC0415

    host = identity.authority.removeprefix("https://").partition("/")[0]
    known = {cloud.authority.removeprefix("https://") for cloud in clouds.CLOUDS.values()}
    return ClientSecretCredential(
        identity.tenant_id,
        identity.client_id,
        identity.client_secret,
        authority=identity.authority,
        disable_instance_discovery=host not in known,
        **options,
    )


def _developer() -> Any:
    from azure.identity import (  # noqa: PLC0415
        AzureCliCredential,
        AzureDeveloperCliCredential,
        ChainedTokenCredential,
    )

    return ChainedTokenCredential(AzureCliCredential(), AzureDeveloperCliCredential())


def _options(session: Session, timeouts: tuple[float, float]) -> dict[str, Any]:
    """Let azure-identity ask through our session, once: we know how long there is to try."""
    from azure.core.pipeline.transport import RequestsTransport  # noqa: PLC0415

    for name in LATE_IMPORTS:  # now, under the lock
        with suppress(ImportError):  # another version may do without
            import_module(name)
    connect, read = timeouts
    transport = RequestsTransport(
        session=session, session_owner=False, connection_timeout=connect, read_timeout=read
    )
    return {"transport": transport, "retry_total": 0}


def _wait(session: Session, pause: float | None) -> float | None:
    """Return the seconds until another try, or None if there is no use in one."""
    if pause is None or not (session.is_unanswered or session.status in TRANSIENT):
        return None
    return max(session.retry_after, pause * random.uniform(0.5, 1.5))  # noqa: S311 - no secret


def _token_error(source: str, outcome: str, reason: str, failure: Exception) -> TokenError:
    is_clean = not JWT.search(str(failure))
    reason = WRAPPING.sub("", reason).replace("\n\t", "; ") if is_clean else ""
    reason = shorten(reason, MAX_REASON, placeholder=" ...")
    facts = ": ".join(part for part in (f"no token from {source}", outcome, reason) if part)
    hint = hints.find(facts, token_hints.HINTS)
    stop = "" if facts.endswith(".") else "."
    error = TokenError(f"{facts}{stop} {hint.advice}" if hint else facts)
    error.__cause__ = failure if is_clean else None
    return error
