"""Whose token is meant: the identity of a profile, and the one provider of its tokens."""

from __future__ import annotations

import logging
import os
import threading
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Final, NamedTuple

from azpg_bootstrap import clouds, forking
from azpg_bootstrap.errors import ConfigError
from azpg_bootstrap.lifetime import Token
from azpg_bootstrap.methods import AuthMethod, choose
from azpg_bootstrap.tokens import TokenProvider

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

    from azpg_bootstrap.profile import Profile

__all__ = ["AuthMethod", "Identity", "choose", "identify", "token_provider"]

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


def token_provider(profile: Profile, credential: TokenCredential | None = None) -> TokenProvider:
    """Return the one provider that this process has for the identity of a profile.

    `credential`, any azure-core token credential, takes that identity's place.
    """
    with _lock:  # two threads must not make two
        if credential is not None:
            _refuse_asynchronous(credential)
            return _provider_of(Caller(credential), profile.scope, profile.token_timeout)
        return _provider(identify(profile))


def _refuse_asynchronous(credential: TokenCredential) -> None:
    from inspect import iscoroutinefunction  # noqa: PLC0415 - slow, and only needed here

    if iscoroutinefunction(getattr(credential, "get_token", None)):
        raise ConfigError(
            "credential= is an asynchronous one: give azure.identity's, not azure.identity.aio's; "
            "it is asked in a thread, so that no event loop waits for it"
        )


def load(method: AuthMethod) -> None:
    """Import what fetching takes, here and now: beside another thread's imports it takes longer."""
    with forking.importing:
        from azpg_bootstrap import credentials  # noqa: F401, PLC0415 - slow to import

        if method in {AuthMethod.SYSTEM_ASSIGNED, AuthMethod.USER_ASSIGNED}:
            from azpg_bootstrap import managed_identity  # noqa: F401, PLC0415


def identify(profile: Profile) -> Identity:
    """Return the identity that a profile means in the environment as it is now."""
    method = choose(profile)
    has_client = method in {AuthMethod.USER_ASSIGNED, AuthMethod.SERVICE_PRINCIPAL}
    has_secret = method is AuthMethod.SERVICE_PRINCIPAL
    authority = os.environ.get("AZURE_AUTHORITY_HOST") or clouds.cloud(profile.host).authority
    return Identity(
        method=method,
        client_id=(profile.client_id or "") if has_client else "",
        client_secret=(profile.client_secret or "") if has_secret else "",
        tenant_id=(profile.tenant_id or "") if has_secret else "",
        scope=profile.scope,
        authority=authority,
        timeout=profile.token_timeout,
        environment=tuple(os.environ.get(name) for name in IDENTITY_VARIABLES),
    )


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
    fetch = partial(_fetch_by, caller.credential, scope, source)
    return TokenProvider(fetch, source=source, timeout=timeout)


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


def _fetch_by(credential: TokenCredential, scope: str, source: str) -> Token:
    with forking.importing:
        from azpg_bootstrap import credentials  # noqa: PLC0415

    return credentials.fetch_by(credential, scope, source)


def _after_fork_in_child() -> None:
    global _lock  # noqa: PLW0603 - another thread of the parent may have held it
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
    os.register_at_fork(after_in_child=_after_fork_in_child)
