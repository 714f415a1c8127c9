"""What a forked child must not keep: locks that another thread of its parent held, and files that are its parent's.

And what its parent must have done before it forks.
"""

from __future__ import annotations

import os
import weakref
from typing import Any, Protocol


class ForkAware(Protocol):
    """Holds something that a forked child has to let go of."""

    def _let_go_after_fork(self) -> None:
        """Called in the child, right after the fork."""


class ForkPreparing(Protocol):
    """Has something to do before this process forks."""

    def _before_fork(self) -> None:
        """Called in the parent, in the thread that forks. Must not raise."""


_fork_aware: weakref.WeakSet[Any] = weakref.WeakSet()
_preparing: weakref.WeakSet[Any] = weakref.WeakSet()


def tell_of_forks(holder: ForkAware) -> None:
    """Call ``holder._let_go_after_fork()`` in every child that this process forks."""
    _fork_aware.add(holder)


def prepare_forks(holder: ForkPreparing) -> None:
    """Call ``holder._before_fork()`` whenever this process is about to fork."""
    _preparing.add(holder)


def _before_fork() -> None:
    for holder in list(_preparing):
        holder._before_fork()


def _after_fork_in_child() -> None:
    for holder in list(_fork_aware):
        holder._let_go_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)


__all__ = ["ForkAware", "ForkPreparing", "prepare_forks", "tell_of_forks"]
