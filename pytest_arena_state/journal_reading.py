"""Journals read back: every intact record, wherever the damage is, and pieces of files."""

from __future__ import annotations

import operator
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ._wire import loads
from .journal import INFIX, JOURNAL_VERSION, PREFIX, START

if TYPE_CHECKING:
    from io import FileIO

    from .journal import Places


@dataclass(frozen=True, slots=True)
class Slice:
    """Where bytes are in a journal."""

    offset: int
    length: int


class PieceReader:
    """Reads pieces of files, each of which it opens once; a context manager."""

    def __init__(self) -> None:
        self._streams: dict[Path, FileIO] = {}
        self._last: tuple[Path | None, FileIO | None] = None, None  # mostly it is asked for again, and hashing is slow

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in self._streams.values():
            stream.close()

    def read(self, path: Path, offset: int, length: int) -> bytes:
        """The bytes of a piece.

        Raises:
            OSError: The file cannot be read, or has become shorter.
        """
        last, stream = self._last
        if last is not path or stream is None:
            stream = self._streams.get(path)
            if stream is None:
                # Pieces are as large as a buffer and in any order: a buffer would only copy them once more.
                stream = self._streams[path] = path.open("rb", buffering=0)
            self._last = path, stream
        stream.seek(offset)
        content = stream.read(length) or b""
        if len(content) != length:
            raise OSError(f"{path.name} has become shorter")
        return content

    def pieces(self, path: Path, places: Places) -> list[bytes]:
        """Several pieces; those of one record stand side by side, with a byte in between, and are read at once.

        Raises:
            OSError: The file cannot be read, or has become shorter.
        """
        offsets, lengths = places[::2], places[1::2]
        if not offsets:
            return []
        start, end = offsets[0], offsets[-1] + lengths[-1]
        inside = min(offsets) == start and max(map(operator.add, offsets, lengths)) == end
        if not inside or end - start != sum(lengths) + len(lengths) - 1:
            return [self.read(path, *place) for place in zip(offsets, lengths, strict=True)]
        text = self.read(path, start, end - start)
        return [text[at - start : at - start + length] for at, length in zip(offsets, lengths, strict=True)]


@dataclass(frozen=True, slots=True)
class Record:
    """A record that was read; ``values`` says where the values of its tail are."""

    fields: dict[str, Any]
    values: tuple[Slice, ...] = ()


@dataclass(slots=True)
class Damage:
    """What could not be used of a journal."""

    lines: int = 0
    """Lines in the middle that are not records."""
    torn: bool = False
    """The last line was cut off."""
    newer: bool = False
    """Written by a newer version: records of unknown kinds are passed over."""


def read_records(path: Path, damage: Damage) -> Iterator[Record]:
    """Every intact record of a journal, in order; what is not intact is counted in ``damage``.

    Memory is bounded by the longest line. A journal that is still written to is read up to
    its last whole line.

    Raises:
        OSError: The journal cannot be opened or read.
    """
    with path.open("rb") as stream:
        offset = 0
        cut_off = b""  # the line before, if it is no record
        for line in stream:
            start, offset = offset, offset + len(line)
            if not line.endswith(b"\n"):
                damage.torn = True
                return
            if line == b"\n":
                continue
            record = _decode(line, start)
            # A line that could only be written in part is written again, whole, on the next one.
            if cut_off and (line.startswith(cut_off) or cut_off.startswith(line[:-1])):
                damage.lines -= 1
            cut_off = b"" if record is not None else line[:-1]
            if record is None:
                damage.lines += 1
                continue
            if record.fields.get("k") == "journal":
                version = record.fields.get("version")
                damage.newer |= isinstance(version, int) and version > JOURNAL_VERSION
            yield record


def _decode(line: bytes, start: int) -> Record | None:
    if not line.startswith(PREFIX) or line[16:START] != INFIX or not line.endswith(b"}\n"):
        return None
    body = line[START:-2]
    try:
        checksum = int(line[8:16], 16)
    except ValueError:
        return None
    if zlib.crc32(body) != checksum:
        return None
    try:
        return _parse(body, start + START)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None  # its checksum is right, so another program made it


# Lengths stand right after the kind, where nothing that a user wrote can be mistaken for them.
_LENGTHS = re.compile(rb'\{"k":"[a-z]+","len":\[([0-9,]*)\],')


def _parse(body: bytes, offset: int) -> Record | None:
    found = _LENGTHS.match(body)
    if found is None:
        fields = loads(body)
        return Record(fields) if isinstance(fields, dict) else None
    lengths = [int(length) for length in found.group(1).split(b",") if length]
    end = len(body) - 2  # before the `]}` of the tail
    position = end - sum(lengths) - max(len(lengths) - 1, 0)
    if body[position - 8 : position] != b'"tail":[' or body[end:] != b"]}":
        return None
    fields = loads(body[: position - 8].rstrip(b",") + b"}")
    slices = []
    for length in lengths:
        slices.append(Slice(offset + position, length))
        position += length + 1
    return Record(fields, tuple(slices))


__all__ = ["Damage", "PieceReader", "Record", "Slice", "read_records"]
