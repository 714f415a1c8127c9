"""One RunResult per line, nothing else: for `jq`, for a data frame, and for reading back."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from .._wire import dumps

if TYPE_CHECKING:
    from .source import Source


def write(source: Source, stream: BinaryIO, *, baseline: Source | None = None) -> None:
    """Write every run as a line of JSON."""
    for each in source:
        stream.write(dumps(each.run.to_dict()) + b"\n")
