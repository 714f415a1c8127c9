"""Check results against the format: every file, with the reason where one does not fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from . import document
from ._wire import dumps, loads, shortened
from .errors import ResultsError
from .merge import journal_paths, read_journal
from .models import RunResult
from .packing import read_lines
from .results import Index, Target, read_index
from .target import form_of

_LISTED = 3  # problems that are named for one file


@dataclass(frozen=True)
class Finding:
    """A file that was checked."""

    file: str
    problem: str = ""
    """Empty when the file is as it should be."""


def validate(path: str | Path) -> Iterator[Finding]:
    """Check a results directory, a ``.jsonl``, a ``.json``, a run's file, or journals.

    Raises:
        ResultsError: There is nothing at the path.
    """
    file = Path(path)
    if file.is_dir():
        yield from _validate_directory(file)
    elif form_of(file) == "jsonl" and file.is_file():
        yield from _validate_lines(file)
    elif file.is_file():
        yield from _validate_document(file)
    else:
        raise ResultsError(str(path), "a results directory, a .jsonl or a .json was wanted; nothing is there")


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
        return f"not a RunResult: {', '.join(missing[:_LISTED])} {'is' if len(missing) == 1 else 'are'} missing"
    try:
        RunResult.from_dict(data)
    except ValidationError as error:
        return _first_problems(error)
    return ""


def _first_problems(error: ValidationError) -> str:
    problems = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()[:_LISTED]]
    more = error.error_count() - len(problems)
    return "; ".join(problems) + (f"; and {more} more" if more > 0 else "")


def _validate_directory(directory: Path) -> Iterator[Finding]:
    journals = journal_paths(directory)
    if journals:
        for journal in journals:
            yield _validate_journal(journal)
        return
    index_path = directory / "index.json"
    rows: dict[str, dict[str, Any]] = {}
    if index_path.exists():
        finding, index = _validate_index(index_path)
        yield finding
        if index is not None:
            rows = {row.file: row.to_dict() for row in index.runs}
            for stem in index.run_ids:
                if not (directory / f"{stem}.json").is_file():
                    yield Finding(str(directory / f"{stem}.json"), "the index names it, and it is missing")
    else:
        yield Finding(str(index_path), "there is no index")
    for file in sorted(directory.glob("*.json")):
        if file.name != "index.json":
            yield _validate_run_file(file, rows.get(file.name))


def _validate_index(path: Path) -> tuple[Finding, Index | None]:
    try:
        index = read_index(path)
    except ResultsError as error:
        return Finding(str(path), error.problem), None
    except OSError as error:
        return Finding(str(path), error.strerror or str(error)), None
    return Finding(str(path), _problem_of_index(index)), index


def _problem_of_index(index: Index) -> str:
    if index.total_runs != len(index.run_ids):
        return f"it counts {index.total_runs} runs and names {len(index.run_ids)}"
    if index.format_version and len(index.runs) != len(index.run_ids):
        return f"it names {len(index.run_ids)} runs and has {len(index.runs)} rows"
    return ""


def _validate_run_file(path: Path, row: dict[str, Any] | None) -> Finding:
    try:
        text = path.read_bytes()
    except OSError as error:
        return Finding(str(path), error.strerror or str(error))
    return Finding(str(path), problem_of_run(text) or _problem_of_row(text, row))


def _problem_of_row(text: bytes, row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    derived = document.row_of(loads(text))
    different = [key for key, value in derived.items() if key != "superseded" and row.get(key) != value]
    return f"the index says otherwise: {', '.join(different)}" if different else ""


def _validate_lines(path: Path) -> Iterator[Finding]:
    count = 0
    try:
        for number, line in enumerate(read_lines(path), 1):
            problem = problem_of_run(line) if line.endswith(b"\n") else "the last line is cut off"
            count += 1
            if problem:
                yield Finding(f"{path}:{number}", problem)
    except ResultsError as error:
        yield Finding(error.path, error.problem)
        return
    target = Target(path, str(path))
    if target.index_path.exists():
        finding, index = _validate_index(target.index_path)
        if index is not None and not finding.problem and index.total_runs != count:
            finding = Finding(finding.file, f"it counts {index.total_runs} runs; {path.name} has {count}")
        yield finding
    yield Finding(str(path))


def _validate_document(path: Path) -> Iterator[Finding]:
    text = path.read_bytes()
    try:
        data = loads(text)
    except ValueError as error:
        yield Finding(str(path), f"not JSON: {error}")
        return
    if not (isinstance(data, dict) and "index" in data and "runs" in data):
        if isinstance(data, dict) and "run_ids" in data:
            yield _validate_index(path)[0]
        else:
            yield Finding(str(path), problem_of_run(text))
        return
    runs = data["runs"] if isinstance(data["runs"], list) else []
    for number, run in enumerate(runs):
        problem = problem_of_run(dumps(run))
        if problem:
            yield Finding(f"{path}: run {number}", problem)
    finding, index = _validate_index(path)
    if index is not None and not finding.problem and index.total_runs != len(runs):
        finding = Finding(str(path), f"its index counts {index.total_runs} runs, and there are {len(runs)}")
    yield finding


def _validate_journal(path: Path) -> Finding:
    try:
        contents = read_journal(path)
    except OSError as error:
        return Finding(str(path), error.strerror or str(error))
    damage = contents.damage
    if damage.lines:
        return Finding(str(path), f"{damage.lines} damaged records")
    if damage.torn:
        return Finding(str(path), "the last record is cut off")
    if not contents.worker:
        return Finding(str(path), "it has no first record")
    return Finding(str(path), "written by a newer version" if damage.newer else "")
