"""The results as one HTML file that opens from disk, offline, for one run or for 20,000.

The file holds a page, a style sheet and a script, which stand in ``html/`` as files of their own, and the
data as blocks of compressed JSON: one with a small row for each run, which the page reads at once, and
one for every few hundred conversations, which it reads when somebody looks at one of them. Writing
keeps one block in memory, whatever the number of runs.

What models said is hostile. Base64 cannot leave its block; the page makes text nodes only and has
a content security policy that runs the one script whose hash it names, and lets nothing out.
The same results give the same bytes (with the same zlib).
"""

from __future__ import annotations

import base64
import hashlib
import html
import tempfile
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.resources import files
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Self

from .. import __version__
from .._wire import dumps
from ..compare import Case, Comparison, compare_cells
from ..large_media import find, name_of

if TYPE_CHECKING:
    from pathlib import Path

    from .source import Reported, Source

_CHUNK_RUNS = 200
_CHUNK_BYTES = 512 * 1024  # of JSON; decoding one takes some milliseconds
_SPOOL_BYTES = 8 * 1024 * 1024  # compressed conversations in memory; more go to a temporary file
_MEDIA_LIMIT = 512 * 1024  # characters of base64; larger images are named, not shown
_MEDIA_TOTAL = 12 * 1024 * 1024  # characters of base64 in one report
_TEXT_LENGTH = 24  # characters; shorter texts stay where they are
TEXT_MARK = "\x7f"
"""Begins what stands for a text: ``\x7f3`` is the fourth. A text that begins so is always replaced."""
SCRIPTS = tuple(f"{name}.js" for name in ("elements", "data", "address", "overview", "list", "search", "run", "views"))
"""The pieces of the page's script, in their order."""
# What a browser draws without running anything. SVG is a document with scripts, so it is not here.
_SAFE_IMAGES = frozenset(("image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp"))
_STATUSES = ("error", "failed", "skipped", "passed")


def write(source: Source, stream: BinaryIO, *, baseline: Source | None = None) -> None:
    """Write the report; the change against ``baseline`` is shown in it."""
    assets = files(__package__) / "html"
    style = (assets / "report.css").read_text(encoding="utf-8").strip()
    pieces = [(assets / name).read_text(encoding="utf-8").strip() for name in SCRIPTS]
    script = "\n\n".join(('"use strict";\n(() => {', *pieces, "})();"))
    template = (assets / "template.html").read_text(encoding="utf-8")
    title = f"Arena results: {source.name}" if source.name else "Arena results"
    values = {"policy": _policy(style, script), "title": html.escape(title), "style": style, "script": script}
    before, between, after = template.split("{{data}}")
    with (
        tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES) as conversations,
        tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES) as rows,
    ):
        packed = _pack(source, conversations, rows)
        head = _overview(source, packed, baseline)
        stream.write(_filled(before, values))
        with _Block(stream, "overview") as block:
            block.write(dumps(head)[:-1] + b',"rows":[')
            _copy(rows, block.write)
            block.write(b"]}")
        # The script stands between the overview and the conversations: the page shows while they are still read.
        stream.write(_filled(between, values))
        _copy(conversations, stream.write)
        stream.write(_filled(after, values))


def _copy(spool: IO[bytes], write: Callable[[bytes], object]) -> None:
    spool.seek(0)
    while piece := spool.read(1 << 20):
        write(piece)


def _filled(template: str, values: Mapping[str, str]) -> bytes:
    # One pass: what is filled in is not looked at again.
    pieces = template.split("{{")
    out = [pieces[0]]
    for piece in pieces[1:]:
        name, _, rest = piece.partition("}}")
        out += [values[name], rest]
    return "".join(out).encode("utf-8", "replace")


def _policy(style: str, script: str) -> str:
    rules = {
        "default-src": "'none'",
        "script-src": _hash(script),
        "style-src": _hash(style),
        # Images are made from their data by the script; `data:` is for the empty icon.
        "img-src": "blob: data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


class _Block:
    """Data within the page: compressed, and in letters that mean nothing in HTML."""

    def __init__(self, stream: IO[bytes], name: str) -> None:
        self._stream = stream
        self._name = name
        # A gzip header without the time of day, which would make every report differ.
        self._gzip = zlib.compressobj(9, zlib.DEFLATED, 31)
        self._left = b""

    def __enter__(self) -> Self:
        self._stream.write(b'<script type="text/plain" id="%b">' % self._name.encode())
        return self

    def write(self, content: bytes) -> None:
        """Add to the data."""
        self._encode(self._gzip.compress(content), whole=False)

    def __exit__(self, *_: object) -> None:
        self._encode(self._gzip.flush(), whole=True)
        self._stream.write(b"</script>\n")

    def _encode(self, content: bytes, *, whole: bool) -> None:
        # Three bytes are four letters, so a piece ends where three end; only the last may end anywhere.
        content = self._left + content
        end = len(content) if whole else len(content) - len(content) % 3
        self._left = content[end:]
        self._stream.write(base64.b64encode(content[:end]))


# --- the rows and the conversations ----------------------------------------------------------


class _Table:
    """Texts that repeat, each by its number."""

    def __init__(self) -> None:
        self.texts: dict[str, int] = {}

    def number(self, text: str) -> int:
        return self.texts.setdefault(text, len(self.texts))


@dataclass
class _Packed:
    """What the overview says of the conversations."""

    tables: dict[str, _Table] = field(
        default_factory=lambda: {name: _Table() for name in ("scenarios", "providers", "regions", "tools", "tags")}
    )
    chunks: int = 0


def _pack(source: Source, conversations: IO[bytes], rows: IO[bytes]) -> _Packed:
    """Write the conversations into blocks, and a row for each."""
    packed = _Packed()
    chunk = _Chunk()
    media = 0
    for number, each in enumerate(source):
        document, media = _slim(each.run.to_dict(), media, source.results)
        if chunk.full:
            chunk.write(conversations, packed)
        rows.write((b",\n" if number else b"\n") + dumps(_row(each, packed, len(chunk.frames))))
        chunk.add(document)
    if chunk.frames:
        chunk.write(conversations, packed)
    return packed


class _Chunk:
    """Conversations that are compressed together: first what is alike in all of them, then what was said.

    Apart, both compress better: the frames are nearly the same, and the texts are words among words.
    """

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self._texts: list[bytes] = []
        self._size = 0

    @property
    def full(self) -> bool:
        return len(self.frames) == _CHUNK_RUNS or self._size > _CHUNK_BYTES

    def add(self, document: dict[str, Any]) -> None:
        """Add a conversation."""
        texts: dict[str, int] = {}
        self.frames.append(dumps(_frame(document, texts)))
        self._texts.append(dumps(list(texts)))
        self._size += len(self.frames[-1]) + len(self._texts[-1])

    def write(self, conversations: IO[bytes], packed: _Packed) -> None:
        """Write what was added, and begin anew."""
        with _Block(conversations, f"chunk-{packed.chunks}") as block:
            block.write(b"\n".join([*self.frames, *self._texts]))
        packed.chunks += 1
        self.frames, self._texts, self._size = [], [], 0


def _frame(value: Any, texts: dict[str, int]) -> Any:
    """The value with its texts replaced by their numbers; the page puts them back."""
    if isinstance(value, str):
        if len(value) < _TEXT_LENGTH and not value.startswith(TEXT_MARK):
            return value
        return f"{TEXT_MARK}{texts.setdefault(value, len(texts))}"
    if isinstance(value, dict):
        return {key: _frame(item, texts) for key, item in value.items()}
    return [_frame(item, texts) for item in value] if isinstance(value, list) else value


def _row(each: Reported, packed: _Packed, line: int) -> list[Any]:
    row, run, tables = each.row, each.run, packed.tables
    tools = run.tool_stats.by_tool if run.tool_stats is not None else {}
    return [
        each.stem,
        "" if row.run_id == each.stem else row.run_id,
        _STATUSES.index(row.status) if row.status in _STATUSES else 0,
        int(row.superseded),
        tables["scenarios"].number(row.scenario_id),
        tables["providers"].number(row.provider_id),
        tables["regions"].number(row.region),
        # Rounded where nobody looks, also in a sum: the conversation has the exact numbers.
        float(f"{row.cost_usd:.6g}") if abs(row.cost_usd) < 1 else round(row.cost_usd, 6),
        row.input_tokens,
        row.output_tokens,
        row.cached_tokens,
        round(row.duration_ns / 1e6, 3),
        sum(message.role == "user" for message in run.messages),
        [number for name, count in tools.items() for number in (tables["tools"].number(name), count)],
        [tables["tags"].number(tag) for tag in run.session_tags],
        each.reason,
        packed.chunks,
        line,
    ]


def _slim(document: dict[str, Any], spent: int, results: Path | None) -> tuple[dict[str, Any], int]:
    """The document without data that the page will not show, and how much media is in the report by now."""
    for message in document["Messages"]:
        parts = [*(message.get("parts") or ()), *((message.get("tool_result") or {}).get("parts") or ())]
        for part in parts:
            media = part.get("media")
            if not isinstance(media, dict):
                continue
            safe = str(media.get("mime_type") or "").lower() in _SAFE_IMAGES
            data = media.get("data") or (_beside(results, media) if safe and results is not None else "")
            if not data:
                continue
            media["data"] = data
            if safe and len(data) <= _MEDIA_LIMIT and spent + len(data) <= _MEDIA_TOTAL:
                spent += len(data)
                continue
            media["data"] = None
            media["left_out"] = "too large for this report" if safe else "not an image that is safe to show"
    for output in document["MediaOutputs"]:
        output["Thumbnail"] = ""  # the same data as in its message
    return document, spent


def _beside(results: Path, media: Mapping[str, Any]) -> str:
    """The data of an image that is in a file beside its run, as base64; empty where it is too large or not there."""
    name = name_of(str(media.get("file_path") or ""))
    with suppress(OSError):
        file = find(results, name) if name else None
        if file is not None and file.stat().st_size <= _MEDIA_LIMIT * 3 // 4:
            return base64.b64encode(file.read_bytes()).decode("ascii")
    return ""


# --- the overview ----------------------------------------------------------------------------


def _overview(source: Source, packed: _Packed, baseline: Source | None) -> dict[str, Any]:
    change = None
    if baseline is not None:
        change = _change(compare_cells(baseline.cells(), source.cells()), baseline.name, packed)
    return {
        "version": __version__,
        "name": source.name,
        "timestamp": source.notes.timestamp,
        "completeness": source.completeness.to_dict(),
        "statuses": _STATUSES,
        "chunks": packed.chunks,
        "flaky": [stem for cell in source.cells() for test in cell.flaky for stem in cell.cases[test].runs],
        "baseline": change,
        **{name: list(table.texts) for name, table in packed.tables.items()},
    }


def _change(comparison: Comparison, name: str, packed: _Packed) -> dict[str, Any]:
    def number(table: str, text: str) -> int:
        return packed.tables[table].number(text)

    def stems(cases: tuple[Case, ...]) -> list[str]:
        return [stem for case in cases for stem in case.runs]

    return {
        "name": name,
        "new_failures": stems(comparison.new_failures),
        "fixed": stems(comparison.fixed),
        "counts": [len(comparison.new_failures), len(comparison.fixed), len(comparison.flaky)],
        "missing": [[cell.scenario_id, cell.provider_id] for cell in comparison.missing],
        "pass_rate": comparison.pass_rate.base,
        "evidence": comparison.evidence,
        "cells": [
            [
                number("scenarios", cell.scenario_id),
                number("providers", cell.provider_id),
                cell.base.pass_rate,
                cell.evidence,
                cell.base.mean_cost_usd,
                _milliseconds(cell.base.median_ns),
            ]
            for cell in comparison.cells
        ],
    }


def _milliseconds(nanoseconds: float | None) -> float | None:
    return None if nanoseconds is None else round(nanoseconds / 1e6, 3)


__all__ = ["write"]
