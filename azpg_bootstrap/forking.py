"""A fork while another thread imports would leave the child with import locks nobody opens."""

import os
import threading
from typing import Final

MAX_WAIT: Final = 15.0
"""Seconds that a fork waits for another thread's imports, which take a quarter of one, or several
where files come over a network. Not for ever: that thread may be waiting for a module which the
forking one is importing."""

importing = threading.RLock()
"""To be held while a thread of this library imports what it needs."""

_held = False


def _before() -> None:
    global _held  # noqa: PLW0603 - fork handlers have no arguments
    _held = importing.acquire(timeout=MAX_WAIT)


def _after_in_parent() -> None:
    if _held:
        importing.release()


def _after_in_child() -> None:
    global importing  # noqa: PLW0603
    importing = threading.RLock()  # the old one's holder may be a thread that is not here


if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
    os.register_at_fork(
        before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
    )
