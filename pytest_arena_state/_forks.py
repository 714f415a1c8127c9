"""What a forked child must not keep: locks that another thread of its parent held, and files that are its parent's.

And what its parent must have done before it forks.
"""

from __future__ import annotations

import mmap
import os
import weakref
from collections import Counter
from os import getpid  # by name: a test may replace what the module has
from typing import Any, Protocol


class ForkAware(Protocol):
    """Holds something that a forked child has to let go of."""

    def _let_go_after_fork(self) -> None:
        """Called in the child, right after the fork."""


class ForkPreparing(Protocol):
    """Has something to do before this process forks."""

    def _before_fork(self) -> None:
        """Called in the parent, in the thread that forks. Must not raise."""


class LossesOfChildren:
    """What forked children cannot keep, in memory that they share with their parent.

    One that may open no file, or not write into it, has no other way to say so, and most end without a word.
    """

    def __init__(self) -> None:
        self._reasons = mmap.mmap(-1, mmap.PAGESIZE)

    def note(self, error_number: int) -> None:
        """Note why this process cannot keep all that it saved; 0 where it can, again."""
        self._reasons[getpid() % len(self._reasons)] = min(error_number, 255)

    def reasons(self) -> Counter[str]:
        """Why, and of how many."""
        return Counter(os.strerror(number) for number in self._reasons[:] if number)


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


__all__ = ["ForkAware", "ForkPreparing", "LossesOfChildren", "prepare_forks", "tell_of_forks"]
