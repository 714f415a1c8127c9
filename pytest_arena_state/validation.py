"""Check results against the format: every file, with the reason where one does not fit."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from . import document
from ._text import plural, shortened
from ._wire import JSON, loads
from .errors import ResultsError
from .index_reading import IndexScan, scan_index
from .journal import journal_paths
from .large_media import folder_of, names_in, problem_of
from .merge import read_journal
from .models import RunResult
from .stored import StoredResults, StoredRun, Texts, kind_of, nothing_there, open_results
from .target import form_of, is_url
from .unfinished import has_journals, sessions_in

if TYPE_CHECKING:
    from .index import IndexRow

_LISTED = 3  # problems that are named for one file
_COUNTS = ("input_tokens", "output_tokens", "cached_tokens", "duration_ns")


@dataclass(frozen=True)
class Finding:
    """A file that was checked."""

    file: str
    problem: str = ""
    """Empty when the file is as it should be."""
    of_run: bool = False
    """It is not about a whole file, but about one of the runs in it."""


def validate(path: str | Path) -> Iterator[Finding]:
    """Check results in any form, an index alone, or journals.

    Raises:
        OSError: They cannot be read.
        ResultsError: There is nothing at the path.
    """
    if is_url(path):
        from .cloud import Fetched

        copy = Fetched(str(path))
        copy.fetch_media()
        for finding in validate(copy.path):
            yield replace(finding, file=copy.shown(finding.file))
        return
    file = Path(path)
    if has_journals(file):
        for session in sessions_in(file):
            for journal in journal_paths(session):
                yield _validate_journal(journal)
        return
    if not file.exists():
        raise ResultsError(str(path), nothing_there(file))
    try:
        if file.is_file() and form_of(file) != "jsonl" and kind_of(file) == "index":
            yield _finding(file, partial(_problem_of_index, file))
            return
        results = open_results(path)
    except ResultsError as error:
        yield Finding(error.path, error.problem)
        return
    media = set[str]()
    if results.form == "directory":
        yield from _validate_directory(file, results, media)
    elif results.texts is not None:
        yield from _validate_texts(file, results, results.texts, media)
    else:
        yield _finding(file, lambda: _strict_problem_of(file.read_bytes()))
    folder = folder_of(file)
    for name in sorted(media):
        yield _finding(folder / name, partial(problem_of, file, name))


def _finding(file: Path, problem: Callable[[], str]) -> Finding:
    try:
        return Finding(str(file), problem())
    except ResultsError as error:
        return Finding(error.path, error.problem)
    except OSError as error:
        return Finding(str(file), error.strerror or str(error))


def problem_of_run(text: bytes) -> str:
    """Why a text is not a RunResult as this package or Arena writes it; empty when it is one."""
    try:
        data = loads(text)
    except ValueError as error:
        return f"not JSON: {error}"
    if not isinstance(data, dict):
        return f"a RunResult is a map, not {shortened(data)}"
    missing = sorted(RunResult.always_written - data.keys() - {"MediaOutputs"})  # Arena's engine leaves these out
    if missing:
        more = f" and {len(missing) - _LISTED} more" if len(missing) > _LISTED else ""
        verb = "is" if len(missing) == 1 else "are"
        return f"not a RunResult: {', '.join(missing[:_LISTED])}{more} {verb} missing"
    try:
        RunResult.from_dict(data)
    except ValidationError as error:
        return _first_problems(error)
    return ""


def _strict_problem_of(text: bytes) -> str:
    """The same, with what this package reads and Arena does not."""
    problem = problem_of_run(text)
    if not problem and (b"NaN" in text or b"Infinity" in text):
        try:
            json.loads(text, parse_constant=_refuse)
        except ValueError as error:
            return f"not JSON: {error}"
    return problem


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number there")


def _first_problems(error: ValidationError) -> str:
    problems = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()[:_LISTED]]
    more = error.error_count() - len(problems)
    return "; ".join(problems) + (f"; and {more} more" if more > 0 else "")


def _validate_directory(directory: Path, results: StoredResults, media: set[str]) -> Iterator[Finding]:
    index_path = directory / "index.json"
    named = set[int]()
    if results.scan.file is not None:
        yield Finding(str(index_path), _counts_of(results.scan))
    else:
        yield Finding(str(index_path), "there is no index")
    try:
        for stored in results:
            named.add(hash(stored.stem))
            yield _finding(Path(stored.where), partial(_problem_of_stored, stored, media))
    except ResultsError as error:
        yield Finding(error.path, error.problem)
    for entry in os.scandir(directory):
        stem = entry.name.removesuffix(".json")
        if entry.name.endswith(".json") and stem != "index" and hash(stem) not in named:
            file = directory / entry.name
            yield _finding(file, lambda file=file: _strict_problem_of(file.read_bytes()))  # type: ignore[misc]


def _problem_of_stored(stored: StoredRun, media: set[str]) -> str:
    text = stored.read()
    media |= names_in((text,))
    return _strict_problem_of(text) or _problem_of_row(text, stored.row)


def _problem_of_row(text: bytes, row: IndexRow | None) -> str:
    if row is None:
        return ""
    said = row.to_dict()
    derived = row_of_anybody(loads(text))
    different = [key for key, value in derived.items() if key != "superseded" and said.get(key) != value]
    return f"the index says otherwise: {', '.join(different)}" if different else ""


def row_of_anybody(run: dict[str, JSON]) -> dict[str, JSON]:
    """The row in an index of a run in which `problem_of_run` finds nothing, whoever has written it."""
    # Others may write nulls, which stand for empty values, and numbers as texts; through the model all are read.
    with suppress(AttributeError, TypeError, KeyError):
        row = document.row_of(run)
        plain = type(row["cost_usd"]) in (int, float) and all(type(row[key]) is int for key in _COUNTS)
        if plain and None not in row["labels"].values():
            return row
    return document.row_of(RunResult.from_dict(run).to_dict())


def _problem_of_index(file: Path) -> str:
    return _counts_of(scan_index(file))


def _counts_of(scan: IndexScan) -> str:
    if scan.header.total_runs != scan.stems:
        return f"it counts {plural(scan.header.total_runs, 'run')} and names {scan.stems:,}"
    if scan.header.format_version and scan.rows != scan.stems:
        return f"it names {plural(scan.stems, 'run')} and has {plural(scan.rows, 'row')}"
    return ""


def _validate_texts(file: Path, results: StoredResults, texts: Texts, media: set[str]) -> Iterator[Finding]:
    """Runs in one file: each of them, then the file, then its index where that is another file."""
    scan = results.scan
    entries = scan.entries()
    count = 0
    try:
        for where, text in texts():
            count += 1
            media |= names_in((text,))
            _, row = next(entries, ("", None))
            if results.form == "jsonl" and not text.endswith(b"\n"):
                problem = "the last line is cut off"
            else:
                problem = _strict_problem_of(text) or _problem_of_row(text, row)
            yield Finding(where, problem, of_run=True)
    except ResultsError as error:
        yield Finding(error.path, error.problem)
        return
    if scan.file is not None:
        problem = _counts_of(scan)
        if not problem and scan.stems != count:
            problem = f"it names {plural(scan.stems, 'run')}, and {file.name} has {count:,}"
        yield Finding(str(scan.file), problem)
    if scan.file != file:
        yield Finding(str(file), "" if count or scan.file is not None else "no run is in it")


def _validate_journal(path: Path) -> Finding:
    try:
        contents = read_journal(path)
    except OSError as error:
        return Finding(str(path), error.strerror or str(error))
    damage = contents.damage
    if damage.lines:
        return Finding(str(path), plural(damage.lines, "damaged record"))
    if damage.torn:
        return Finding(str(path), "the last record is cut off")
    if not contents.worker:
        return Finding(str(path), "it has no first record")
    return Finding(str(path), "written by a newer version" if damage.newer else "")
