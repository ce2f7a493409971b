"""What goes wrong at the moment, and what was counted since the last reset."""

import asyncio

from .faults import Faults, TokenRequest
from .web import Denial, Response

# What makes an answer a failure, in place of a token.
_FAILURES = ("status", "retry_after", "junk", "hang")

_JUNK = "<html><body>This is not the answer you are looking for.</body></html>"


class Conditions:
    """The present faults and the counters, shared by the endpoints and the gateway."""

    def __init__(self, usual: Faults) -> None:
        self._usual = usual
        self.reset()

    def reset(self) -> None:
        """Return to the usual conditions and count from zero."""
        self._now = self._usual.copy()
        self.token_requests: list[TokenRequest] = []
        self.refused_logins = 0

    def change(self, changes: Faults) -> None:
        """Add to what goes wrong."""
        if changes.keys() & _FAILURES:
            self._now.pop("count", None)  # an earlier fault's, perhaps used up
        self._now |= changes

    @property
    def token_lifetime(self) -> float:
        """Seconds a token issued now will be good for."""
        return self._now["token_lifetime"]

    @property
    def clock_skew(self) -> float:
        """Seconds by which the server's clock is ahead."""
        return self._now.get("clock_skew", 0.0)

    @property
    def firewall(self) -> bool:
        """Whether the server lets in nobody's address."""
        return self._now.get("firewall", False)

    @property
    def login(self) -> str:
        """What is the matter with a person's login; empty if nothing."""
        return self._now.get("login", "")

    async def befall(self, endpoint: str, client_id: str | None) -> None:
        """Count a request at a token endpoint, and make of it what shall become of it now."""
        self.token_requests.append(TokenRequest(endpoint=endpoint, client_id=client_id))
        failure = self._next_failure()
        await asyncio.sleep(self._now.get("latency", 0.0))
        if failure.get("hang"):
            raise Denial(None)
        if status := failure.get("status"):
            after = failure.get("retry_after")
            headers = {} if after is None else {"Retry-After": str(after)}
            raise Denial(Response({"error": "sandbox_fault"}, status, headers))
        if failure.get("junk"):
            raise Denial(Response(_JUNK))

    def _next_failure(self) -> Faults:
        """Return the present faults for one request, none of them once `count` is used up."""
        left = self._now.get("count")
        if left == 0:
            return {}
        if left is not None:
            self._now["count"] = left - 1
        return self._now
