"""SIGTERM ends a session as Ctrl-C does: tests stop, the report is written, exit status 143.

Only where nobody else handles the signal, and only in the main thread, the only one in which
Python lets a program handle signals.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from types import FrameType

from ._forks import tell_of_forks
from ._outside import note_handler

EXIT_STATUS = 128 + 15  # what a shell reports of a process that SIGTERM ended


def install(end_session: Callable[[], object]) -> Callable[[], None]:
    """Call ``end_session``, which may raise, on SIGTERM; returns what undoes that."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        return lambda: None

    handling = _Handling(end_session)
    signal.signal(signal.SIGTERM, handling.terminate)
    tell_of_forks(handling)
    note_handler(handling.terminate)
    return handling.restore


class _Handling:
    """Of SIGTERM, in the process that asked for it."""

    def __init__(self, end_session: Callable[[], object]) -> None:
        self._end_session = end_session

    def terminate(self, number: int, frame: FrameType | None) -> None:
        # The next one ends the process at once: somebody is in a hurry.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._end_session()

    def restore(self) -> None:
        if signal.getsignal(signal.SIGTERM) == self.terminate:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _let_go_after_fork(self) -> None:
        # A child that a test forked dies of the signal, as it would without us, and at once: a handler in Python waits
        # for the end of whatever C code runs. Its parent looks at the status.
        with suppress(ValueError):
            self.restore()


@contextmanager
def held_back(on_signal: Callable[[], object]) -> Generator[None, None, None]:
    """Let SIGTERM and Ctrl-C wait for a publication, which takes moments and must be whole.

    What came meanwhile arrives when it is over, where it would have arrived without us.

    Args:
        on_signal: Called at once when one comes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGTERM, signal.SIGINT)
    handlers = {number: signal.getsignal(number) for number in numbers}
    held: list[int] = []

    def hold(number: int, frame: FrameType | None) -> None:
        held.append(number)
        on_signal()

    for number in numbers:
        if handlers[number] is not None:  # None: set by another program than Python, and not ours to touch
            signal.signal(number, hold)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if handler is not None:
                signal.signal(number, handler)
    for received in dict.fromkeys(held):
        signal.raise_signal(received)
