"""Which of the ways to prove one's identity a connection's variables mean."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from azpg_bootstrap.profile import Profile
    from azpg_bootstrap.settings import Settings


class AuthMethod(StrEnum):
    """The ways to prove who it is that connects."""

    SYSTEM_ASSIGNED = "system-assigned"
    USER_ASSIGNED = "user-assigned"
    SERVICE_PRINCIPAL = "service-principal"
    SECRET = "secret"  # noqa: S105 - the method's name
    DEVELOPER = "developer"


# The parts that each method proves itself with; Service Connector sets exactly these.
PROOFS: Final = {
    AuthMethod.SYSTEM_ASSIGNED: frozenset[str](),
    AuthMethod.USER_ASSIGNED: frozenset({"CLIENTID"}),
    AuthMethod.SERVICE_PRINCIPAL: frozenset({"CLIENTID", "CLIENTSECRET", "TENANTID"}),
    AuthMethod.SECRET: frozenset({"PASSWORD"}),
    AuthMethod.DEVELOPER: frozenset[str](),
}


def choose(settings: Settings | Profile) -> AuthMethod:
    """Return the auth method that settings mean: the one named, else by what is there."""
    if settings.auth:
        return settings.auth
    if settings.client_secret:
        return AuthMethod.SERVICE_PRINCIPAL
    if settings.client_id:
        return AuthMethod.USER_ASSIGNED
    return AuthMethod.SECRET if settings.password else AuthMethod.SYSTEM_ASSIGNED


def contradictions(present: Collection[str], named: str | None, prefix: str) -> Iterator[str]:
    """Say where the parts present are more or less than one auth method's proof."""
    proof = {part for parts in PROOFS.values() for part in parts} & set(present)
    if named in set(AuthMethod):
        for part in sorted(PROOFS[AuthMethod(named)] - proof):
            yield f"{prefix}{part} is missing: {prefix}AUTH={named} needs it"
    elif "PASSWORD" in proof and len(proof) > 1:
        others = ", ".join(prefix + part for part in sorted(proof - {"PASSWORD"}))
        yield f"a password and {others} contradict each other: keep one, or name {prefix}AUTH"
    elif proof not in PROOFS.values():
        whole = PROOFS[AuthMethod.SERVICE_PRINCIPAL]
        for part in sorted(whole - proof):
            rest = " and ".join(prefix + part for part in sorted(proof))
            yield f"{prefix}{part} is missing: with {rest} it makes a service principal"
