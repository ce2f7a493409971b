"""A managed identity's tokens, straight from msal.

azure-identity's ManagedIdentityCredential is a thin face of the same client, but a program that
needs nothing else of azure-identity would wait for its import, which takes longer than the token.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msal

if TYPE_CHECKING:
    import requests

Timeouts = tuple[float, float]
"""Seconds to connect and seconds to wait for an answer, as requests takes them."""

SUFFIX: Final = "/.default"
"""What makes a scope of a resource; managed identities are asked for the resource."""

NO_WORDS: Final = "no reason given"

MSALS_NO_WORDS: Final = "None, None"
"""What msal says for an answer that has neither a code nor a message."""


class TokenInfo(NamedTuple):
    """What azure-core's AccessTokenInfo tells, as far as it is used here."""

    token: str
    expires_on: int
    refresh_on: int | None

    def __repr__(self) -> str:
        return f"<TokenInfo until {self.expires_on}>"


class ManagedIdentity:
    """The system-assigned identity, or the user-assigned one of a client id, as a credential."""

    def __init__(self, client_id: str, session: requests.Session, timeouts: Timeouts) -> None:
        identity = (
            msal.UserAssignedManagedIdentity(client_id=client_id)
            if client_id
            else msal.SystemAssignedManagedIdentity()
        )
        self._client = msal.ManagedIdentityClient(identity, http_client=_Http(session, timeouts))

    def get_token_info(self, scope: str) -> TokenInfo:
        """Ask the endpoint that msal finds in the environment; raises what `_refused` returns."""
        answer = self._client.acquire_token_for_client(resource=scope.removesuffix(SUFFIX))
        if "access_token" not in answer:
            raise _refused(answer)
        expires_on = int(time.time()) + int(answer["expires_in"])
        return TokenInfo(answer["access_token"], expires_on, answer.get("refresh_on"))


class _Http:
    """What msal wants of an HTTP client; requests' own would wait for ever."""

    def __init__(self, session: requests.Session, timeouts: Timeouts) -> None:
        self._session = session
        self._timeouts = timeouts

    def get(self, url: str, **arguments: Any) -> requests.Response:
        response = self._session.get(url, timeout=self._timeouts, **arguments)
        response.json()  # raises what is no JSON here, before msal logs it whole
        return response

    def close(self) -> None:
        """Leave it to the session's owner."""


def _refused(answer: dict[str, Any]) -> Exception:
    """Return the error that azure-identity would have raised, with the endpoint's own words."""
    from azure.core.exceptions import ClientAuthenticationError  # noqa: PLC0415 - slow to import

    # msal's own `error` is a guess.
    words = str(answer.get("error_description", ""))
    return ClientAuthenticationError(message=NO_WORDS if words == MSALS_NO_WORDS else words)
