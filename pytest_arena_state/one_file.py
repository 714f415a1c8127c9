"""The runs in one file: what kind of file it is, the runs as text, and their names, with an index or without.

What tells two runs apart, where there is no index, is eight bytes of each.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from ._text import plural, shortened
from ._wire import loads
from .errors import ResultsError
from .naming import digest, safe_stem
from .packing import first_line, read_lines
from .pieces import Where, pieces
from .stored_run import StoredRun, Texts

if TYPE_CHECKING:
    from .index_reading import IndexScan

_NAMED = 3  # things that an error names
_LOOKED_AT = 1 << 20  # bytes of a first line
# One of these makes a map a run. Every writer has the first; a file that lost it is known by the second.
_RUN_KEYS = frozenset(("RunID", "Messages"))


Kind: TypeAlias = Literal["list", "results", "runs", "index", "run"]


def kind_of(file: Path) -> Kind:
    """What a ``.json`` holds: runs in a list, with an index, or without one; an index alone; or one run.

    Raises:
        OSError: It cannot be read.
        ResultsError: It holds none of these.
    """
    kind, there = _look_into(file)
    if kind is None:
        raise ResultsError(str(file), f"no results: {there}")
    return kind


def is_no_run(file: Path) -> bool:
    """Whether a ``.json`` is something else than a run; what cannot be read may be one, and is not passed over."""
    try:
        return _look_into(file)[0] != "run"
    except (OSError, ResultsError):
        return False


def may_be_lines(file: Path) -> bool:
    """Whether a ``.jsonl`` begins with a run, or with nothing, or with too much to tell.

    Raises:
        OSError: It cannot be read.
    """
    try:
        line = first_line(file, _LOOKED_AT)
        return not line or len(line) >= _LOOKED_AT or not _RUN_KEYS.isdisjoint(loads(line))
    except PermissionError:
        raise
    except Exception:  # noqa: BLE001 - not JSON, or a number, or not packed: each way of unpacking has its own errors
        return False


def _look_into(file: Path) -> tuple[Kind | None, str]:
    """What it holds, as far as it must be read to tell, and else what is there."""
    keys: list[str] = []
    try:
        with file.open("rb") as stream:
            for piece in pieces(stream, enter=lambda where: where in ((), ("index",), ("runs",))):
                if not piece.where:
                    if piece.is_list:
                        return "list", ""
                    if piece.text is not None:
                        return None, f"a map or a list was wanted, {shortened(loads(piece.text))} was there"
                    continue
                key = str(piece.where[0])
                if len(piece.where) > 1:
                    if piece.where == ("index", "run_ids"):
                        return "results", ""
                elif key in _RUN_KEYS:
                    return "run", ""
                elif key == "run_ids":
                    return "index", ""
                else:
                    keys.append(key)
    except ValueError as error:
        wanted = "" if file.suffix == ".json" else "no results: a directory, a .jsonl or a .json was wanted, and it is "
        raise ResultsError(str(file), f"{wanted}not JSON: {error}") from None
    if "runs" in keys:
        return "runs", ""
    there = ", ".join(map(repr, keys[:_NAMED])) or "an empty map"
    return None, f"'RunID', or 'index' and 'runs' were wanted, {there} was there"


def of_lines(file: Path) -> Iterator[tuple[str, bytes]]:
    """The runs of a ``.jsonl``, each after its place."""
    for number, line in enumerate(read_lines(file), 1):
        if line.strip():
            yield f"{file}:{number}", line


def of_array(file: Path, array: Where) -> Iterator[tuple[str, bytes]]:
    """The runs of a list in a ``.json``, each after its place."""
    number = 0
    with file.open("rb") as stream:
        try:
            # Into the index, too, which is passed over: it may be as large as a large suite.
            for piece in pieces(stream, enter=lambda where: where in ((), array) or where[:1] == ("index",)):
                if piece.where[:-1] == array and piece.text is not None and len(piece.where) == len(array) + 1:
                    yield f"{file}: run {number}", piece.text
                    number += 1
        except ValueError as error:
            raise ResultsError(str(file), f"not JSON: {error}") from None


def named(texts: Texts, scan: IndexScan) -> Iterator[StoredRun]:
    """The runs of one file, with their names and rows."""
    if scan.file is None:
        yield from _unnamed(texts)
        return
    entries = scan.entries()
    found = 0
    for where, text in texts():
        found += 1
        entry = next(entries, None)
        if entry is None:
            raise ResultsError(str(scan.file), f"it names {plural(scan.stems, 'run')}, and there are more: {where}")
        yield StoredRun(entry[0], where, entry[1], partial(bytes, text))
    if found != scan.stems:
        there = "is" if found == 1 else "are"
        raise ResultsError(str(scan.file), f"it names {plural(scan.stems, 'run')}, and there {there} {found:,}")


def _unnamed(texts: Texts) -> Iterator[StoredRun]:
    # Two passes, where somebody wrote the file without an index: names must tell its runs apart.
    seen = set[int]()
    doubled = set[str]()
    for where, text in texts():
        run_id = _run_id(text, where)
        mark = hash(run_id)
        if mark in seen:
            doubled.add(run_id)
        seen.add(mark)
    del seen
    for place, (where, text) in enumerate(texts()):
        run_id = _run_id(text, where)
        stem = safe_stem(run_id)
        yield StoredRun(f"{stem}~{digest(place)}" if run_id in doubled else stem, where, None, partial(bytes, text))


def _run_id(text: bytes, where: str) -> str:
    try:
        data = loads(text)
    except ValueError as error:
        raise ResultsError(where, f"not JSON: {error}") from None
    if not isinstance(data, dict):
        raise ResultsError(where, f"not a RunResult: a map was wanted, {shortened(data)} was there")
    return str(data.get("RunID") or "")


__all__ = ["is_no_run", "kind_of", "may_be_lines", "named", "of_array", "of_lines"]
