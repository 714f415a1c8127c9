"""Words, amounts and values as people read them; what stands on a terminal cannot steer it, and any file holds it."""

from __future__ import annotations

import dataclasses
import math
import re
import reprlib
from enum import Enum
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
    if abs(amount) < 1e-12:
        return f"${amount:.2g}"
    if abs(amount) < 0.0001:  # an answer of a cheap model; nobody reads 1.3e-05 as dollars
        places = 1 - math.floor(math.log10(abs(amount)))
        return f"${amount:.{places}f}".rstrip("0")
    whole, _, digits = f"{amount:.4f}".partition(".")
    return f"${whole}.{digits.rstrip('0').ljust(2, '0')}"


class _Shortener(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxother = self.maxstring = self.maxlong = MAX_REPR
        self.maxlevel = 3

    def repr_instance(self, x: Any, level: int) -> str:
        try:
            names = _fields_of_repr(x)
            text = repr(x) if names is None else self._of_fields(x, names, level)
        except Exception as error:  # noqa: BLE001 - somebody's __repr__ may raise anything
            return f"<{type(x).__name__}, whose repr raised {type(error).__name__}>"
        return text if len(text) <= MAX_REPR else f"{text[: MAX_REPR - 3]}..."

    def _of_fields(self, x: Any, names: list[str], level: int) -> str:
        if level <= 0:
            return f"{type(x).__qualname__}(...)"
        fields = ", ".join(f"{name}={self.repr1(getattr(x, name), level - 1)}" for name in names)
        return f"{type(x).__qualname__}({fields})"


_PYDANTICS = ("__repr__", "__repr_args__")  # a model that hides something has one of its own


def _fields_of_repr(value: Any) -> list[str] | None:
    """What a repr shows that `dataclass` or pydantic made; None for any other one.

    Theirs write out everything that the fields lead to, in objects that know each other on as many ways as there are.
    """
    kind = type(value)
    made = getattr(kind.__repr__, "__wrapped__", None)  # as `pprint` tells it
    if dataclasses.is_dataclass(kind) and "__create_fn__" in getattr(made, "__qualname__", ""):
        return [field.name for field in dataclasses.fields(kind) if field.repr]
    if all(getattr(getattr(kind, name, None), "__module__", "") == "pydantic.main" for name in _PYDANTICS):
        return [name for name, field in kind.model_fields.items() if field.repr]
    return None


_shortener = _Shortener()


def shortened(value: object) -> str:
    """A repr of bounded length that cannot raise."""
    try:
        text = _shortener.repr(value)
    except Exception as error:  # noqa: BLE001 - containers ask their items, and these may raise anything
        text = f"<{type(value).__name__}, whose repr raised {type(error).__name__}>"
    return scrub_text(text if len(text) <= MAX_REPR else f"{text[: MAX_REPR - 3]}...")


def as_text(value: object) -> str:
    """A value that stands where there is text only; a member of an enum is its value, as everywhere in JSON."""
    if isinstance(value, Enum):
        value = value.value
    return str.__str__(value) if isinstance(value, str) else str(value)


def scrub_text(text: str) -> str:
    """Replace lone surrogates, which no UTF-8 file can hold."""
    return _SURROGATE.sub(_REPLACEMENT, text)
