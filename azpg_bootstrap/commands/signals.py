"""Signals handled otherwise for a while."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Handler = Callable[[int, object], None] | signal.Handlers


@contextmanager
def handling(number: signal.Signals, handler: Handler) -> Iterator[None]:
    """Handle a signal this way, and as before afterwards."""
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)
