"""Results as they lie on disk: one run at a time, in every form, ours and Arena's.

A directory with an index or without, a ``.jsonl``, a ``.json`` of many runs or of one, and the journals of
sessions that have not published. Whatever the form, runs and the rows of their index come one at a time, so
memory does not grow with their number. What tells two runs of one file apart, where it has no index, is eight bytes
of each.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from pydantic import ValidationError

from ._text import plural
from ._wire import loads, shortened
from .errors import ResultsError
from .index import Index
from .index_reading import IndexScan, scan_index
from .models import RunResult
from .naming import digest, is_file_name, safe_stem
from .packing import read_lines
from .pieces import Where, pieces
from .target import Target, form_of, is_url
from .unfinished import Unfinished, has_journals

if TYPE_CHECKING:
    from .index import IndexRow
    from .target import Form

Texts: TypeAlias = Callable[[], Iterator[tuple[str, bytes]]]
_NAMED = 3  # things that an error names
# One of these makes a map a run. Every writer has the first; a file that lost it is known by the second.
_RUN_KEYS = frozenset(("RunID", "Messages"))


def index_file(path: Path) -> Path:
    """Where the index of results is: beside a ``.jsonl``, in a directory, or in the file itself."""
    if path.is_dir():
        return path / "index.json"
    return Target(path, str(path)).index_path if form_of(path) == "jsonl" else path


def parse_run(text: bytes, where: str) -> RunResult:
    """Read the JSON of a run.

    Args:
        text: As in a file of its own, or compact.
        where: What to call it in errors.

    Raises:
        ResultsError: It is not a RunResult; the first problem is named.
    """
    try:
        return RunResult.from_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = f"{'.'.join(map(str, first['loc']))}: " if first["loc"] else ""
        count = plural(error.error_count(), "problem")
        raise ResultsError(where, f"not a RunResult: {place}{first['msg']} ({count})") from None


# --- all forms, one run at a time -------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run that can be read."""

    stem: str
    """Unique in its results."""
    where: str
    """Its place, for messages."""
    row: IndexRow | None
    """As the index has it; None where it has no rows."""
    read: Callable[[], bytes]
    """Its JSON."""

    def load(self) -> RunResult:
        """The run.

        Raises:
            OSError: It cannot be read.
            ResultsError: It is not a RunResult.
        """
        return parse_run(self.read(), self.where)


@dataclass(frozen=True, slots=True)
class StoredResults:
    """Results in any form; iterating gives one run at a time, and can be repeated."""

    name: str
    form: Form | Literal["run", "journals"]
    header: Index
    """The index without its rows; empty where there is none."""
    runs: Callable[[], Iterator[StoredRun]]
    scan: IndexScan = field(default_factory=IndexScan)
    texts: Texts | None = None
    """Of results in one file: the JSON of each run with its place, whatever the index says."""
    file: Path | None = None
    """That one file, where it stays where it is."""

    def __iter__(self) -> Iterator[StoredRun]:
        """The runs, in the order of the index.

        Raises:
            OSError: Something cannot be read.
            ResultsError: A file is not what it should be; it is named.
        """
        return self.runs()


def open_results(path: str | Path) -> StoredResults:
    """Results in any form, journals included; of those with a URL there is a copy for as long as this is held.

    Raises:
        OSError: They cannot be read.
        ConfigurationError: The URL is none, or a library is missing.
        ResultsError: There are none; what is there is named, and what could be done.
    """
    if is_url(path):
        return _open_copy(str(path))
    file, name = Path(path), str(path)
    if has_journals(file):
        unfinished = Unfinished.of(file)
        return StoredResults(name, "journals", unfinished.header, partial(_of_journals, unfinished, file))
    if file.is_dir():
        return _open_directory(file, name)
    if not file.exists():
        raise ResultsError(name, nothing_there(file))
    if form_of(file) == "jsonl":
        scan = scan_index(index_file(file)) if index_file(file).exists() else IndexScan()
        lines = partial(_of_lines, file)
        return StoredResults(name, "jsonl", scan.header, partial(_named, lines, scan), scan, lines, file)
    return _open_document(file, name)


def _open_copy(url: str) -> StoredResults:
    from .cloud import Fetched

    copy = Fetched(url)
    try:
        stored = open_results(copy.path)
    except ResultsError as error:
        raise ResultsError(copy.url, error.problem) from None
    texts = stored.texts

    def copied_runs() -> Iterator[StoredRun]:
        for run in stored:  # as long as somebody iterates, the copy is held
            yield replace(run, where=copy.shown(run.where))

    def copied_texts() -> Iterator[tuple[str, bytes]]:
        for where, text in texts() if texts is not None else ():
            yield copy.shown(where), text

    copied = copied_texts if texts is not None else None
    return replace(stored, name=copy.url, runs=copied_runs, texts=copied, file=None)


def nothing_there(path: Path) -> str:
    """What to say of a path at which there is nothing: results may be on their way there."""
    if path.name.endswith(".journals") and path.with_name(path.name.removesuffix(".journals")).exists():
        return f"nothing is there: its sessions have published, see {path.name.removesuffix('.journals')!r} beside it"
    journals = Target(path.absolute(), str(path)).journals
    if journals.is_dir():
        return (
            f"nothing is there yet; {journals.name!r} beside it has journals of a session: "
            "read these, or make its report with `arena-state recover`"
        )
    return "nothing is there: a results directory, a .jsonl, a .json or a folder of journals was wanted"


# --- directories -------------------------------------------------------------------------------


def run_files(directory: Path) -> list[Path]:
    """The files of the runs in a directory: those that its index names, or all without one.

    Raises:
        ResultsError: The index cannot be read, or names something outside the directory.
    """
    return [directory / f"{stem}.json" for stem, _ in _stems(directory, _scan_directory(directory))]


def _open_directory(directory: Path, name: str) -> StoredResults:
    scan = _scan_directory(directory)
    if scan.file is None and not _json_files(directory):
        raise ResultsError(name, _empty_directory(directory))
    return StoredResults(name, "directory", scan.header, partial(_of_directory, directory, scan), scan)


def _scan_directory(directory: Path) -> IndexScan:
    index = directory / "index.json"
    return scan_index(index) if index.exists() else IndexScan()


def _of_directory(directory: Path, scan: IndexScan) -> Iterator[StoredRun]:
    for stem, row in _stems(directory, scan):
        file = directory / f"{stem}.json"
        yield StoredRun(stem, str(file), row, partial(_read_named, file) if scan.file is not None else file.read_bytes)


def _read_named(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError as error:
        raise FileNotFoundError(error.errno, "the index names it, and it is missing", str(file)) from None


def _stems(directory: Path, scan: IndexScan) -> Iterator[tuple[str, IndexRow | None]]:
    if scan.file is None:
        yield from zip(_json_files(directory), repeat(None))
        return
    for stem, row in scan.entries():
        if not is_file_name(stem):
            raise ResultsError(str(scan.file), f"{stem!r} cannot be the name of a run's file")
        yield stem, row


def _json_files(directory: Path) -> list[str]:
    return sorted(
        entry.name.removesuffix(".json")
        for entry in os.scandir(directory)
        if entry.name.endswith(".json") and entry.name != "index.json"
    )


def _empty_directory(directory: Path) -> str:
    inside = sorted(
        entry.name
        for entry in os.scandir(directory)
        if entry.is_dir() and (Path(entry, "index.json").exists() or entry.name.endswith(".journals"))
    )
    hint = f"; there are results in {', '.join(map(repr, inside[:_NAMED]))}" if inside else ""
    return f"no results are in it: an index.json or files of runs were wanted{hint}"


# --- one file, and journals ----------------------------------------------------------------------


def _of_lines(file: Path) -> Iterator[tuple[str, bytes]]:
    for number, line in enumerate(read_lines(file), 1):
        if line.strip():
            yield f"{file}:{number}", line


def _of_array(file: Path, array: Where) -> Iterator[tuple[str, bytes]]:
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


def _open_document(file: Path, name: str) -> StoredResults:
    kind = kind_of(file)
    if kind == "index":
        hint = f"give {str(file.parent)!r}" if file.name == "index.json" else "give the results beside it"
        raise ResultsError(name, f"it is an index, without the runs that it names: {hint}")
    if kind == "run":
        stored = StoredRun(file.stem, str(file), None, file.read_bytes)
        return StoredResults(name, "run", Index(), lambda: iter((stored,)))
    scan = scan_index(file, ("index",)) if kind == "results" else IndexScan()
    array: Where = () if kind == "list" else ("runs",)
    items = partial(_of_array, file, array)
    return StoredResults(name, "json", scan.header, partial(_named, items, scan), scan, items)


def kind_of(file: Path) -> Literal["list", "results", "runs", "index", "run"]:
    """What a ``.json`` holds: runs in a list, with an index, or without one; an index alone; or one run.

    Raises:
        OSError: It cannot be read.
        ResultsError: It holds none of these.
    """
    keys: list[str] = []
    try:
        with file.open("rb") as stream:
            for piece in pieces(stream, enter=lambda where: where in ((), ("index",), ("runs",))):
                if not piece.where:
                    if piece.is_list:
                        return "list"
                    if piece.text is not None:
                        there = shortened(loads(piece.text))
                        raise ResultsError(str(file), f"no results: a map or a list was wanted, {there} was there")
                    continue
                key = str(piece.where[0])
                if len(piece.where) > 1:
                    if piece.where == ("index", "run_ids"):
                        return "results"
                elif key in _RUN_KEYS:
                    return "run"
                elif key == "run_ids":
                    return "index"
                else:
                    keys.append(key)
    except ResultsError:
        raise
    except ValueError as error:
        raise ResultsError(str(file), f"not JSON: {error}") from None
    if "runs" in keys:
        return "runs"
    there = ", ".join(map(repr, keys[:_NAMED])) or "an empty map"
    raise ResultsError(str(file), f"no results: 'RunID', or 'index' and 'runs' were wanted, {there} was there")


def _named(texts: Texts, scan: IndexScan) -> Iterator[StoredRun]:
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
            raise ResultsError(str(scan.file), f"it names {scan.stems} runs, and there are more: {where}")
        yield StoredRun(entry[0], where, entry[1], partial(bytes, text))
    if found != scan.stems:
        raise ResultsError(str(scan.file), f"it names {scan.stems} runs, and there are {found}")


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


def _of_journals(unfinished: Unfinished, path: Path) -> Iterator[StoredRun]:
    for stem, row, text in unfinished:
        yield StoredRun(stem, f"{path}: {stem}", row, partial(bytes, text))


__all__ = [
    "StoredResults",
    "StoredRun",
    "Texts",
    "index_file",
    "is_file_name",
    "kind_of",
    "nothing_there",
    "open_results",
    "parse_run",
    "run_files",
]
