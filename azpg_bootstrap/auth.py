"""From an auth method to tokens that prove it. Nothing else imports azure, and only when used."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from contextlib import suppress
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from azpg_bootstrap import clouds
from azpg_bootstrap.lifetime import Token
from azpg_bootstrap.methods import AuthMethod, choose
from azpg_bootstrap.tokens import TokenProvider

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

    from azpg_bootstrap.settings import Settings

__all__ = ["AuthMethod", "choose", "token_provider"]

logger = logging.getLogger(__name__)

KEPT_PROVIDERS: Final = 64
"""Identities whose tokens are kept: more than a program has, so that none asks twice; limited for
the program that makes a new credential for every connection."""

IMDS: Final = ("169.254.169.254", 80)
"""The metadata service of virtual machines, at the same address on every one of them."""

IMDS_TIMEOUT: Final = 1.0
"""Seconds; it is on the machine's own host and answers in milliseconds. azure-identity's own
probe waits as long."""

# What azure-identity finds an identity endpoint by (its ManagedIdentityCredential), and one more
# that moves the metadata service elsewhere.
ENDPOINT_VARIABLES: Final = (
    "IDENTITY_ENDPOINT",
    "MSI_ENDPOINT",
    "AZURE_POD_IDENTITY_AUTHORITY_HOST",
)
WORKLOAD_VARIABLES: Final = (
    "AZURE_AUTHORITY_HOST",
    "AZURE_TENANT_ID",
    "AZURE_FEDERATED_TOKEN_FILE",
)
# What else azure-identity reads: another value is another identity.
IDENTITY_VARIABLES: Final = (
    *ENDPOINT_VARIABLES,
    *WORKLOAD_VARIABLES,
    "IDENTITY_HEADER",
    "IMDS_ENDPOINT",
    "MSI_SECRET",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_TOKEN_CREDENTIALS",
)


class Identity(NamedTuple):
    """All that decides which token is fetched; equal identities share one provider."""

    method: AuthMethod
    client_id: str
    client_secret: str
    tenant_id: str
    scope: str
    authority: str
    timeout: float
    environment: tuple[str | None, ...]

    def __repr__(self) -> str:
        return f"<Identity {self}>"

    def __str__(self) -> str:
        return f"{self.method} {self.client_id}" if self.client_id else str(self.method)


_lock = threading.Lock()


def token_provider(settings: Settings, credential: TokenCredential | None = None) -> TokenProvider:
    """Return the one provider that this process has for the identity that the settings mean.

    `credential`, any azure-core token credential, takes that identity's place.
    """
    with _lock:  # two threads must not make two
        if credential is not None:
            return _provider_of(Caller(credential), settings.scope, settings.token_timeout)
        return _provider(identify(settings))


def identify(settings: Settings) -> Identity:
    """Return the identity that the settings mean in the environment as it is now."""
    method = choose(settings)
    has_client = method in {AuthMethod.USER_ASSIGNED, AuthMethod.SERVICE_PRINCIPAL}
    has_secret = method is AuthMethod.SERVICE_PRINCIPAL
    secret = settings.client_secret.get_secret_value() if settings.client_secret else ""
    return Identity(
        method=method,
        client_id=(settings.client_id or "") if has_client else "",
        client_secret=secret if has_secret else "",
        tenant_id=(settings.tenant_id or "") if has_secret else "",
        scope=settings.scope,
        authority=os.environ.get("AZURE_AUTHORITY_HOST") or clouds.cloud(settings.host).authority,
        timeout=settings.token_timeout,
        environment=tuple(os.environ.get(name) for name in IDENTITY_VARIABLES),
    )


@lru_cache(maxsize=KEPT_PROVIDERS)
def _provider(identity: Identity) -> TokenProvider:
    source = f"{_issuer(identity)} for {identity}"
    logger.info("tokens come from %s", source)
    return TokenProvider(partial(_fetch, identity), source=source, timeout=identity.timeout)


class Caller:
    """A caller's credential, equal to itself alone: its class may compare or hash otherwise."""

    def __init__(self, credential: TokenCredential) -> None:
        self.credential = credential

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Caller) and other.credential is self.credential

    def __hash__(self) -> int:
        return id(self.credential)


@lru_cache(maxsize=KEPT_PROVIDERS)
def _provider_of(caller: Caller, scope: str, timeout: float) -> TokenProvider:
    source = type(caller.credential).__name__
    logger.info("tokens come from %s", source)
    return TokenProvider(partial(_ask, caller.credential, scope), source=source, timeout=timeout)


def _issuer(identity: Identity) -> str:
    """Say in words who is going to be asked."""
    if identity.method is AuthMethod.DEVELOPER:
        return "Azure CLI or Azure Developer CLI"
    if identity.method is AuthMethod.SERVICE_PRINCIPAL:
        return f"Entra at {identity.authority}"
    for name in ENDPOINT_VARIABLES:
        if os.environ.get(name):
            return f"the identity endpoint {os.environ[name]}"
    if _has_workload_identity():
        return f"Entra at {identity.authority}"
    return "the metadata service or a developer's login"


def _fetch(identity: Identity) -> Token:
    """Ask anew: kept tokens are the provider's business, and no socket outlives the question."""
    with _credential(identity) as credential:
        return _ask(credential, identity.scope)


def _ask(credential: TokenCredential, scope: str) -> Token:
    now = time.time()
    if hasattr(credential, "get_token_info"):
        info = credential.get_token_info(scope)
        return Token(info.token, now, info.expires_on, info.refresh_on)
    plain = credential.get_token(scope)
    return Token(plain.token, now, plain.expires_on)


def _credential(identity: Identity) -> Any:
    """Return azure-identity's credential for exactly this identity."""
    from azure import identity as entra  # noqa: PLC0415 - takes longer than all else here

    wait: Any = {"read_timeout": identity.timeout, "connection_timeout": identity.timeout}
    if identity.method is AuthMethod.SERVICE_PRINCIPAL:
        return entra.ClientSecretCredential(
            identity.tenant_id,
            identity.client_id,
            identity.client_secret,
            authority=identity.authority,
            disable_instance_discovery=not _is_well_known(identity.authority),
            **wait,
        )
    if identity.method is AuthMethod.DEVELOPER:
        return entra.ChainedTokenCredential(
            entra.AzureCliCredential(), entra.AzureDeveloperCliCredential()
        )
    if _has_identity_endpoint():
        return entra.ManagedIdentityCredential(client_id=identity.client_id or None, **wait)
    return entra.DefaultAzureCredential(
        managed_identity_client_id=identity.client_id or None, authority=identity.authority, **wait
    )


def _is_well_known(authority: str) -> bool:
    host = authority.removeprefix("https://").partition("/")[0]
    return host in {cloud.authority.removeprefix("https://") for cloud in clouds.CLOUDS.values()}


def _has_workload_identity() -> bool:
    return all(os.environ.get(name) for name in WORKLOAD_VARIABLES)


def _has_identity_endpoint() -> bool:
    """Tell a host of Azure, where one identity is meant, from a person's own machine."""
    if any(os.environ.get(name) for name in ENDPOINT_VARIABLES) or _has_workload_identity():
        return True
    if os.environ.get("AZURE_TOKEN_CREDENTIALS"):
        return False  # whoever set it has decided
    with suppress(OSError), socket.create_connection(IMDS, timeout=IMDS_TIMEOUT):
        return True
    return False
