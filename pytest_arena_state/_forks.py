"""What a forked child must not keep: locks that another thread of its parent held, and files that are its parent's."""

from __future__ import annotations

import os
import weakref
from typing import Any, Protocol


class ForkAware(Protocol):
    """Holds something that a forked child has to let go of."""

    def _let_go_after_fork(self) -> None:
        """Called in the child, right after the fork."""


_fork_aware: weakref.WeakSet[Any] = weakref.WeakSet()


def tell_of_forks(holder: ForkAware) -> None:
    """Call ``holder._let_go_after_fork()`` in every child that this process forks."""
    _fork_aware.add(holder)


def _after_fork_in_child() -> None:
    for holder in list(_fork_aware):
        holder._let_go_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


__all__ = ["ForkAware", "tell_of_forks"]
