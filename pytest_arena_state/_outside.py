"""Exceptions that come into our code from outside: a time limit's, a signal's, somebody's who wants a thread to stop.

They are meant for the code that runs, and it must get them: only failures of our own are ours to keep from it.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import CodeType

#: Where the exceptions are from that this package and what it calls may raise.
_OURS = frozenset(("builtins", "execnet", "json", "pydantic", "pydantic_core", "zlib", __name__.partition(".")[0]))


#: Handlers that take themselves away before they raise.
_GONE: set[CodeType | None] = set()


def note_handler(handler: Callable[..., object]) -> None:
    """Know a handler of signals again, though it may not be one any more when its exception is looked at."""
    _GONE.add(_code_of(handler))


def is_from_outside(error: BaseException) -> bool:
    """Whether an exception that came up in this package was not raised by it, or by what it called."""
    if not isinstance(error, Exception) or str(type(error).__module__).partition(".")[0] not in _OURS:
        return True
    return is_from_signal(error)


def is_from_signal(error: BaseException) -> bool:
    """Whether the handler of a signal raised it."""
    handlers = {_code_of(signal.getsignal(number)) for number in signal.valid_signals()} - {None} | _GONE
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code in handlers:
            return True
        trace = trace.tb_next
    return False


def _code_of(handler: object) -> CodeType | None:
    try:
        handler = getattr(handler, "func", handler)  # of a partial
        handler = getattr(handler, "__func__", handler)  # of a method
        code = getattr(handler, "__code__", None)
        if code is None and callable(handler):
            code = getattr(type(handler).__call__, "__code__", None)
    except Exception:  # noqa: BLE001 - anything may handle signals, and raise when it is looked at
        return None
    return code if isinstance(code, CodeType) else None


__all__ = ["is_from_outside", "is_from_signal", "note_handler"]
