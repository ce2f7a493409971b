"""A forked process forgets the connections and pools of its parent, and opens its own.

Both ends of a fork hold the same sockets: whichever spoke would garble what the other says. A
server that loads the app and then forks has such connections wherever loading asked the database.
"""

from __future__ import annotations

import ctypes
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

wrappers: Final[WeakSet[BaseDatabaseWrapper]] = WeakSet()
"""All wrappers of this process that may hold a connection."""

pools: Final[dict[str, Any]] = {}
"""The native pools by alias."""


def _forget() -> None:
    for wrapper in list(wrappers):
        if wrapper.connection is not None:
            _never_free(wrapper.connection)
            _hang_up(wrapper.connection)
            wrapper.connection = None
            # Nor is it in the parent's transaction.
            wrapper.in_atomic_block = wrapper.needs_rollback = False
            wrapper.savepoint_ids, wrapper.atomic_blocks, wrapper.run_on_commit = [], [], []
    for pool in pools.values():
        _never_free(pool)
    pools.clear()


def _hang_up(connection: Any) -> None:
    """Let nothing that still knows the connection, such as an open cursor, speak to the parent's.

    Its descriptor becomes a socket that leads nowhere; here alone, as descriptors are copied.
    """
    here, there = socket.socketpair()
    with here, there, suppress(Exception):  # a closed connection has none, and says so
        os.dup2(here.fileno(), connection.fileno(), inheritable=False)


def _never_free(inherited: object) -> None:
    """Keep something for ever: closing it would end the parent's session on the shared socket.

    Nor may it be freed when this process ends, as a pool would then wait for its threads.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(inherited))


if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
    os.register_at_fork(after_in_child=_forget)
