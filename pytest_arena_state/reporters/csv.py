"""A row per run, for a spreadsheet: UTF-8, comma, RFC 4180.

A spreadsheet takes a cell that begins with ``=``, ``+``, ``-`` or ``@`` for a formula and runs it. Texts here come from
models, so such a text gets an apostrophe before it, which spreadsheets show as the text itself.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, BinaryIO

from .columns import COLUMNS, Value, row_of

if TYPE_CHECKING:
    from .source import Source

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
        # NUL ends a cell for some readers and an error for others.
        plain = value.replace("\0", "\N{REPLACEMENT CHARACTER}")
        return f"'{plain}" if plain.startswith(_FORMULA) else plain
    return value
