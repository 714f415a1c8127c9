"""Words and amounts as people read them; what stands on a terminal cannot steer it."""

from __future__ import annotations

import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def printable(text: str, limit: int = 300) -> str:
    """Text that cannot move the cursor or change a colour, on one line."""
    flat = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
    return flat if len(flat) <= limit else f"{flat[: limit - 3]}..."


def plural(count: int, noun: str) -> str:
    """A count with its noun."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def usd(amount: float) -> str:
    """Dollars with two digits, or with as many as a small amount needs to be told from nothing."""
    if not amount or abs(amount) >= 1:
        return f"${amount:,.2f}"
    if abs(amount) < 0.0001:
        return f"${amount:.2g}"
    whole, _, digits = f"{amount:.4f}".partition(".")
    return f"${whole}.{digits.rstrip('0').ljust(2, '0')}"
