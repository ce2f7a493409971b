"""An HTTP session that remembers how its last request ended."""

import re
from typing import Any

import requests


class Session(requests.Session):
    """Tells what credentials report in too many ways, or not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.outcome = ""
        """HTTP status or network error, in words; empty if there was no request."""
        self.status = 0
        self.retry_after = 0.0
        self.is_unanswered = False
        """Whether the network failed, or there was no answer in time."""

    def send(self, request: requests.PreparedRequest, **arguments: Any) -> requests.Response:
        """Send a request as ever."""
        self.outcome, self.status, self.retry_after = "no answer in time", 0, 0.0
        self.is_unanswered = False
        try:
            response = super().send(request, **arguments)
        except requests.Timeout:
            self.is_unanswered = True
            raise
        except requests.RequestException as error:
            self.outcome = _network_error(error)
            self.is_unanswered = isinstance(error, requests.ConnectionError)
            raise
        self.status = response.status_code
        self.outcome = f"HTTP {self.status}"
        self.retry_after = _seconds(response.headers.get("Retry-After", ""))
        return response


def _network_error(error: requests.RequestException) -> str:
    """Return the operating system's words, without the library's wrapping and the whole URL."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError) and inner.strerror:
            return inner.strerror
        reason = getattr(inner, "reason", None) or (inner.args[0] if inner.args else None)
        inner = reason if isinstance(reason, BaseException) else inner.__context__
    return type(error).__name__


def _seconds(retry_after: str) -> float:
    return float(retry_after) if re.fullmatch(r"[0-9]{1,6}", retry_after) else 0.0
