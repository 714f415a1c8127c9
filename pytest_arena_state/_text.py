"""Words, amounts and values as people read them; what stands on a terminal cannot steer it, and any file holds it."""

from __future__ import annotations

import re
import reprlib
from typing import Any

MAX_REPR = 200  # characters of a repr that stands for an object
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def printable(text: str, limit: int = 300) -> str:
    """Text that cannot move the cursor or change a colour, on one line."""
    flat = _CONTROL.sub(_REPLACEMENT, text)
    return flat if len(flat) <= limit else f"{flat[: limit - 3]}..."


def plural(count: int, noun: str) -> str:
    """A count with its noun."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def usd(amount: float) -> str:
    """Dollars with two digits, or with as many as a small amount needs to be told from nothing."""
    if not amount or abs(amount) >= 1:
        return f"${amount:,.2f}" if abs(amount) < 1e15 else f"${amount:.3g}"
    if abs(amount) < 0.0001:
        return f"${amount:.2g}"
    whole, _, digits = f"{amount:.4f}".partition(".")
    return f"${whole}.{digits.rstrip('0').ljust(2, '0')}"


class _Shortener(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxother = self.maxstring = self.maxlong = MAX_REPR
        self.maxlevel = 3

    def repr_instance(self, x: Any, level: int) -> str:
        try:
            text = repr(x)
        except Exception as error:  # noqa: BLE001 - somebody's __repr__ may raise anything
            return f"<{type(x).__name__}, whose repr raised {type(error).__name__}>"
        return text if len(text) <= MAX_REPR else f"{text[: MAX_REPR - 3]}..."


_shortener = _Shortener()


def shortened(value: object) -> str:
    """A repr of bounded length that cannot raise."""
    try:
        text = _shortener.repr(value)
    except Exception as error:  # noqa: BLE001 - containers ask their items, and these may raise anything
        text = f"<{type(value).__name__}, whose repr raised {type(error).__name__}>"
    return scrub_text(text if len(text) <= MAX_REPR else f"{text[: MAX_REPR - 3]}...")


def scrub_text(text: str) -> str:
    """Replace lone surrogates, which no UTF-8 file can hold."""
    return _SURROGATE.sub(_REPLACEMENT, text)
