"""Whose token is meant: the identity of some settings, and the one provider of its tokens."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from functools import lru_cache, partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from azpg_bootstrap import clouds, forking
from azpg_bootstrap.lifetime import Token
from azpg_bootstrap.methods import AuthMethod, choose
from azpg_bootstrap.tokens import TokenProvider

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

    from azpg_bootstrap.settings import Settings

__all__ = ["AuthMethod", "Identity", "choose", "identify", "prefetch", "token_provider"]

logger = logging.getLogger(__name__)

KEPT_PROVIDERS: Final = 64
"""Identities whose tokens are kept: more than a program has, so that none asks twice; limited for
the program that makes a new credential for every connection."""

ENDPOINT_VARIABLES: Final = (
    "IDENTITY_ENDPOINT",
    "MSI_ENDPOINT",
    "AZURE_POD_IDENTITY_AUTHORITY_HOST",
)
"""Where msal and azure-identity find an endpoint's address."""

IDENTITY_VARIABLES: Final = (
    *ENDPOINT_VARIABLES,
    "IDENTITY_HEADER",
    "IMDS_ENDPOINT",
    "MSI_SECRET",
    "AZURE_AUTHORITY_HOST",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_TENANT_ID",
    "AZURE_TOKEN_CREDENTIALS",
)
"""What else they read: another value is another identity."""


class Identity(NamedTuple):
    """All that decides which token is fetched; equal identities share one provider."""

    method: AuthMethod
    scope: str
    authority: str
    timeout: float
    environment: tuple[str | None, ...]
    client_id: str = ""
    client_secret: str = ""
    tenant_id: str = ""

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


def prefetch(values: Mapping[str, Any]) -> None:
    """Begin to fetch the token of a managed identity, known by the values of settings to come.

    Settings themselves take longer to import than the identity endpoint takes to answer.
    """
    draft = cast("Settings", SimpleNamespace(**values))  # as far as an identity needs them
    if choose(draft) in {AuthMethod.SYSTEM_ASSIGNED, AuthMethod.USER_ASSIGNED}:
        with _lock:
            provider = _provider(identify(draft))
        provider.prefetch()


def identify(settings: Settings) -> Identity:
    """Return the identity that the settings mean in the environment as it is now."""
    method = choose(settings)
    cloud = clouds.cloud(settings.host)
    identity = Identity(
        method=method,
        scope=settings.named_scope or cloud.scope,
        authority=os.environ.get("AZURE_AUTHORITY_HOST") or cloud.authority,
        timeout=settings.token_timeout,
        environment=tuple(os.environ.get(name) for name in IDENTITY_VARIABLES),
    )
    if method is AuthMethod.USER_ASSIGNED:
        return identity._replace(client_id=settings.client_id or "")
    if method is AuthMethod.SERVICE_PRINCIPAL and settings.client_secret:
        return identity._replace(
            client_id=settings.client_id or "",
            client_secret=settings.client_secret.get_secret_value(),
            tenant_id=settings.tenant_id or "",
        )
    return identity


@lru_cache(maxsize=KEPT_PROVIDERS)
def _provider(identity: Identity) -> TokenProvider:
    source = f"{_issuer(identity)} for {identity}"
    logger.info("tokens come from %s", source)
    return TokenProvider(partial(_fetch, identity, source), source=source, timeout=identity.timeout)


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
    if os.environ.get("AZURE_FEDERATED_TOKEN_FILE"):
        return f"Entra at {identity.authority}"
    return "the metadata service or a developer's login"


def _fetch(identity: Identity, source: str) -> Token:
    with forking.importing:
        from azpg_bootstrap import credentials  # noqa: PLC0415 - slow to import

    return credentials.fetch(identity, source)


def _ask(credential: TokenCredential, scope: str) -> Token:
    with forking.importing:
        from azpg_bootstrap import credentials  # noqa: PLC0415

    return credentials.ask(credential, scope)


def _after_fork_in_child() -> None:
    global _lock  # noqa: PLW0603 - another thread of the parent may have held it
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
    os.register_at_fork(after_in_child=_after_fork_in_child)
