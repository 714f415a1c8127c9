"""Results as they lie on disk: one run at a time, in every form, ours and Arena's.

A directory with an index or without, a ``.jsonl``, a ``.json`` of many runs or of one, and the journals of
sessions that have not published. Whatever the form, runs and the rows of their index come one at a time, so
memory does not grow with their number.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ResultsError
from .index import Index
from .index_reading import IndexScan, scan_index
from .naming import is_file_name
from .one_file import is_no_run, kind_of, named, of_array, of_lines
from .stored_run import StoredResults, StoredRun, Texts, parse_run
from .target import Target, form_of, is_url
from .unfinished import Unfinished, has_journals

if TYPE_CHECKING:
    from .index import IndexRow
    from .pieces import Where

_NAMED = 3  # things that an error names
_LINES = (".jsonl", ".ndjson")  # a report of runs as lines may have these, too


def index_file(path: Path) -> Path:
    """Where the index of results is: beside a ``.jsonl``, in a directory, or in the file itself."""
    if path.is_dir():
        return path / "index.json"
    return Target(path, str(path)).index_path if form_of(path) == "jsonl" else path


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
    if not file.is_file():
        raise ResultsError(name, "a file or a directory was wanted, it is a pipe or a device: results are read twice")
    if form_of(file) == "jsonl" or file.suffix.lower() in _LINES:
        index = index_file(file)
        scan = scan_index(index) if index != file and index.exists() else IndexScan()
        lines = partial(of_lines, file)
        return StoredResults(name, "jsonl", scan.header, partial(named, lines, scan), scan, lines, file)
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
    if scan.file is None and next(_json_files(directory), None) is None:
        raise ResultsError(name, _empty_directory(directory))
    return StoredResults(name, "directory", scan.header, partial(_of_directory, directory, scan), scan, file=directory)


def _scan_directory(directory: Path) -> IndexScan:
    index = directory / "index.json"
    return scan_index(index) if index.exists() else IndexScan()


def _of_directory(directory: Path, scan: IndexScan) -> Iterator[StoredRun]:
    for stem, row in _stems(directory, scan):
        file = directory / f"{stem}.json"
        yield StoredRun(stem, str(file), row, partial(read_named, file) if scan.file is not None else file.read_bytes)


def read_named(file: Path) -> bytes:
    """The file of a run that an index names.

    Raises:
        OSError: It cannot be read; says so where it is missing.
    """
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


def _json_files(directory: Path) -> Iterator[str]:
    """The stems of the files of runs; between them may lie other things, such as the index of a ``.jsonl``."""
    for name in sorted(entry.name for entry in os.scandir(directory) if entry.name.endswith(".json")):
        if name != "index.json" and not is_no_run(directory / name):
            yield name.removesuffix(".json")


def _empty_directory(directory: Path) -> str:
    inside = sorted(entry.name for entry in os.scandir(directory) if _has_results(Path(entry)))
    hint = f"; there are results in {', '.join(map(repr, inside[:_NAMED]))}" if inside else ""
    return f"no results are in it: an index.json or files of runs were wanted{hint}"


def _has_results(path: Path) -> bool:
    if path.is_dir():
        return (path / "index.json").exists() or path.name.endswith(".journals")
    if path.suffix != ".json":
        return form_of(path) == "jsonl"
    try:
        return kind_of(path) in ("list", "results", "runs")
    except (OSError, ResultsError):
        return False


# --- one file, and journals ----------------------------------------------------------------------


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
    items = partial(of_array, file, array)
    return StoredResults(name, "json", scan.header, partial(named, items, scan), scan, items)


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
    "read_named",
    "run_files",
]
