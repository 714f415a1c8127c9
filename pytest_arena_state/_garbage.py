"""The garbage collector, kept from running where there is nothing to find for it."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ._forks import tell_of_forks


class _Pause:
    """One for the process: it lasts until the last of those who want it is done."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._collecting = False
        """Whether the collector ran before."""
        tell_of_forks(self)

    def begin(self) -> None:
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._collecting = gc.isenabled()
                gc.disable()

    def end(self) -> None:
        with self._lock:
            self._users = max(self._users - 1, 0)
            if not self._users and self._collecting:
                gc.enable()

    def _let_go_after_fork(self) -> None:
        """In the child there is no other thread that would end it."""
        self._lock = threading.Lock()
        if self._users and self._collecting:
            gc.enable()
        self._users = 0


_pause = _Pause()


@contextmanager
def without_collections() -> Iterator[None]:
    """Keep the garbage collector from running while very much is made at once.

    All of it is alive until it is done with, so looking for garbage in between finds none. Reading a long document
    would take half as long again.
    """
    try:
        _pause.begin()  # in here: a time limit of the test's may end it at any place
        yield
    finally:
        _pause.end()


__all__ = ["without_collections"]
