"""What a test may ask to go wrong, and what it may count; pure."""

from typing import TypedDict


class Faults(TypedDict, total=False):
    """What a test may ask for; what is left out stays as it is."""

    latency: float  # seconds before a token endpoint answers
    status: int  # HTTP status of a token endpoint's answer
    retry_after: int  # seconds, the Retry-After header sent along with `status`
    junk: bool  # answer 200 and what is no JSON
    hang: bool  # take the request and never answer
    count: int  # requests the three above are meant for; all until reset() without it
    token_lifetime: float  # seconds
    clock_skew: float  # seconds the server's clock is ahead of the true time
    firewall: bool  # refuse every address, as a server without a firewall rule for it does
    # what `az` knows: "not-logged-in", "login-expired", "wrong-tenant" (it gets no token there),
    # "foreign-tenant" (it gets tokens of a tenant that is not the server's)
    login: str


class TokenRequest(TypedDict):
    """One request at a token endpoint, whatever was answered."""

    endpoint: str  # "app-service", "imds", "entra" or "az"
    client_id: str | None  # None where the host's own identity was asked
