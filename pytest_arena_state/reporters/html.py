"""The results as one HTML file that opens from disk, offline, for one run or for 20,000.

The file holds a page, a style sheet and a script, which stand in ``html/`` as files of their own, and the
data as blocks of compressed JSON: one with a small row for each run, which the page reads at once, and
one for every few hundred conversations, which it reads when somebody looks at one of them. Writing
keeps the rows and one block in memory, whatever the number of runs.

What models said is hostile. Base64 cannot leave its block; the page makes text nodes only and has
a content security policy that runs the one script whose hash it names, and lets nothing out.
The same results give the same bytes (with the same zlib).
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import IO, TYPE_CHECKING, Any, BinaryIO

from .. import __version__
from .._wire import dumps
from ..compare import Case, Comparison, compare
from ..trials import cells_of

if TYPE_CHECKING:
    from .source import Reported, Source

_CHUNK_RUNS = 200
_CHUNK_BYTES = 512 * 1024  # of JSON; decoding one takes some milliseconds
_SPOOL_BYTES = 8 * 1024 * 1024  # compressed conversations in memory; more go to a temporary file
_MEDIA_LIMIT = 512 * 1024  # characters of base64; larger images are named, not shown
_MEDIA_TOTAL = 12 * 1024 * 1024  # characters of base64 in one report
# What a browser draws without running anything. SVG is a document with scripts, so it is not here.
_SAFE_IMAGES = frozenset(("image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp"))
_STATUSES = ("error", "failed", "skipped", "passed")


def write(source: Source, stream: BinaryIO, *, baseline: Source | None = None) -> None:
    """Write the report; the change against ``baseline`` is shown in it."""
    assets = files(__package__) / "html"
    style = (assets / "report.css").read_text(encoding="utf-8").strip()
    script = (assets / "report.js").read_text(encoding="utf-8").strip()
    template = (assets / "template.html").read_text(encoding="utf-8")
    title = f"Arena results: {source.name}" if source.name else "Arena results"
    values = {"policy": _policy(style, script), "title": html.escape(title), "style": style, "script": script}
    with tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES) as spool:
        packed = _pack(source, spool)
        overview = dumps(_overview(source, packed, baseline))
        before, between, after = template.split("{{data}}")
        stream.write(_filled(before, values))
        stream.write(_block("overview", _compressed(overview)))
        # The script stands between the overview and the conversations: the page shows while they are still read.
        stream.write(_filled(between, values))
        spool.seek(0)
        while piece := spool.read(1 << 20):
            stream.write(piece)
        stream.write(_filled(after, values))


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


def _compressed(content: bytes) -> bytes:
    # Without the time of day, which would make every report differ.
    return base64.b64encode(gzip.compress(content, compresslevel=6, mtime=0))


def _block(name: str, content: bytes) -> bytes:
    return b'<script type="text/plain" id="%b">%b</script>\n' % (name.encode(), content)


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

    rows: list[list[Any]] = field(default_factory=list)
    tables: dict[str, _Table] = field(
        default_factory=lambda: {name: _Table() for name in ("scenarios", "providers", "regions", "tools", "tags")}
    )
    chunks: int = 0


def _pack(source: Source, spool: IO[bytes]) -> _Packed:
    """Write the conversations into blocks and collect their rows."""
    packed = _Packed()
    lines: list[bytes] = []
    size = media = 0
    for each in source:
        document, media = _slim(each.run.to_dict(), media)
        line = dumps(document)
        if lines and (len(lines) == _CHUNK_RUNS or size + len(line) > _CHUNK_BYTES):
            _flush(packed, lines, spool)
            size = 0
        packed.rows.append(_row(each, packed, len(lines)))
        lines.append(line)
        size += len(line)
    if lines:
        _flush(packed, lines, spool)
    return packed


def _flush(packed: _Packed, lines: list[bytes], spool: IO[bytes]) -> None:
    spool.write(_block(f"chunk-{packed.chunks}", _compressed(b"\n".join(lines))))
    packed.chunks += 1
    lines.clear()


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
        # Rounded where nobody looks: the conversation has the exact numbers.
        float(f"{row.cost_usd:.6g}"),
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


def _slim(document: dict[str, Any], spent: int) -> tuple[dict[str, Any], int]:
    """The document without data that the page will not show, and how much media is in the report by now."""
    for message in document["Messages"]:
        parts = [*(message.get("parts") or ()), *((message.get("tool_result") or {}).get("parts") or ())]
        for part in parts:
            media = part.get("media")
            data = media.get("data") if isinstance(media, dict) else None
            if not data:
                continue
            safe = str(media.get("mime_type") or "").lower() in _SAFE_IMAGES
            if safe and len(data) <= _MEDIA_LIMIT and spent + len(data) <= _MEDIA_TOTAL:
                spent += len(data)
                continue
            media["data"] = None
            media["left_out"] = "too large for this report" if safe else "not an image that is safe to show"
    for output in document["MediaOutputs"]:
        output["Thumbnail"] = ""  # the same data as in its message
    return document, spent


# --- the overview ----------------------------------------------------------------------------


def _overview(source: Source, packed: _Packed, baseline: Source | None) -> dict[str, Any]:
    index = source.index.to_dict()
    named = ("timestamp", "total_runs", "successful", "errors", "skipped", "total_cost", "total_tokens", "completeness")
    return {
        "version": __version__,
        "name": source.name,
        **{key: index[key] for key in named},
        "statuses": _STATUSES,
        **{name: list(table.texts) for name, table in packed.tables.items()},
        "chunks": packed.chunks,
        "rows": packed.rows,
        "flaky": _flaky(source),
        "baseline": None
        if baseline is None
        else _change(compare(baseline.trials(), source.trials()), baseline.name, packed),
    }


def _flaky(source: Source) -> list[int]:
    """The rows of tests whose trials disagree."""
    stems = {trial.stem for cell in cells_of(source.trials()) for case in cell.flaky for trial in cell.cases[case]}
    return [place for place, (stem, _) in enumerate(source.rows) if stem in stems]


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
                _milliseconds(cell.base.latency_ns(0.5)),
            ]
            for cell in comparison.cells
        ],
    }


def _milliseconds(nanoseconds: float | None) -> float | None:
    return None if nanoseconds is None else round(nanoseconds / 1e6, 3)


__all__ = ["write"]
