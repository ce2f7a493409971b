"""What the supervisor hears from its owner at the start, and how it answers."""

import json
from typing import Any, TypedDict


class Options(TypedDict):
    """What the owner may choose."""

    token_lifetime: float
    token_latency: float
    bindir: str | None


def say(message: dict[str, Any]) -> None:
    """Send one line to the owner."""
    print(json.dumps(message), flush=True)  # noqa: T201, standard output is our way to the owner
