"""SIGTERM ends a session as Ctrl-C does: tests stop, the report is written, exit status 143.

Only where nobody else handles the signal, and only in the main thread, the only one in which
Python lets a program handle signals.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

EXIT_STATUS = 128 + 15  # what a shell reports of a process that SIGTERM ended


def install(end_session: Callable[[], object]) -> Callable[[], None]:
    """Call ``end_session``, which may raise, on SIGTERM; returns what undoes that."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        return lambda: None

    pid = os.getpid()

    def terminate(number: int, frame: FrameType | None) -> None:
        # The next one ends the process at once: somebody is in a hurry.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if os.getpid() != pid:
            # A child that a test forked dies of the signal, as it would without us: its parent looks at the status.
            os.kill(os.getpid(), signal.SIGTERM)
        end_session()

    def restore() -> None:
        if signal.getsignal(signal.SIGTERM) is terminate:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    signal.signal(signal.SIGTERM, terminate)
    return restore


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
