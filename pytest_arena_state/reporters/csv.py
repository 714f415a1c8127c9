"""A row per run, for a spreadsheet: UTF-8, comma, RFC 4180.

A spreadsheet takes a cell that begins with ``=``, ``+``, ``-`` or ``@`` for a formula and runs it. Texts here come from
models, so such a text gets an apostrophe before it, which spreadsheets show as the text itself.
"""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING, BinaryIO

from .columns import COLUMNS, Value, row_of

if TYPE_CHECKING:
    from .source import Source

# NUL ends a cell for some readers and is an error for others; the rest acts on the terminal of whoever reads the file.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def write(source: Source, stream: BinaryIO, *, baseline: Source | None = None) -> None:
    """Write a header and a row for each run."""
    text = io.TextIOWrapper(stream, encoding="utf-8", errors="replace", newline="", write_through=True)
    try:
        rows = csv.writer(text)
        rows.writerow(COLUMNS)
        for each in source:
            rows.writerow([_cell(value) for value in row_of(each).values()])
    finally:
        text.detach()


def _cell(value: Value) -> str | int | float:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        plain = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", value)
        return f"'{plain}" if plain.startswith(_FORMULA) else plain
    return value
