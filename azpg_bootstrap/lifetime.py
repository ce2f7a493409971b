"""How long a token is good, and from when on a new one is wanted.

All times are seconds since the epoch by the wall clock, which goes on while a process is frozen.
"""

import random
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

LONG_LIFE: Final = 7_200.0
"""Seconds; a token that lives this long is renewed at half of its life, as msal does: managed
identities' tokens live 24 hours, so an outage of nearly 12 hours goes unnoticed."""

LATE: Final = 0.8
"""Share of a shorter life after which a token is renewed."""

MAX_MARGIN: Final = 300.0
"""Seconds before its end from which on a token counts as expired, as in azure-identity: a login
takes time, and the server's clock may be ahead of ours."""

MARGIN: Final = 0.1
"""The same as a share of the life, for tokens too short-lived for MAX_MARGIN."""

SPREAD: Final = 0.2
"""Share of the stale time by which a renewal is put off at random, so that replicas that started
together do not ask together."""


class State(Enum):
    """What a token is good for."""

    FRESH = "fresh"
    STALE = "stale"  # still good, to be renewed
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Token:
    """An access token and its times."""

    value: str = field(repr=False)
    received_on: float
    expires_on: float
    refresh_on: float | None = None
    """When whoever issued it wants it renewed, if they said so."""
    put_off: float = field(default_factory=random.random, repr=False)
    """Where in the SPREAD this token's renewal falls, from 0 to 1."""

    def state(self, now: float) -> State:
        """Judge the token at a time."""
        if now >= self.good_until:
            return State.EXPIRED
        return State.FRESH if now < self.stale_from else State.STALE

    @property
    def life(self) -> float:
        """Seconds it had left when it was received."""
        return self.expires_on - self.received_on

    @property
    def good_until(self) -> float:
        """When it counts as expired."""
        return self.expires_on - min(MAX_MARGIN, MARGIN * self.life)

    @property
    def stale_from(self) -> float:
        """When its renewal begins."""
        due = self.received_on + self.life * (0.5 if self.life >= LONG_LIFE else LATE)
        due = min(self.refresh_on or due, self.good_until)
        return due + SPREAD * self.put_off * (self.good_until - due)
