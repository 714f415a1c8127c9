"""Reading results back: everything that this package or Arena wrote, in all its forms."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import ValidationError

from ._wire import dumps, loads, shortened
from .errors import ResultsError
from .index import Index
from .models import RunResult

Form: TypeAlias = Literal["directory", "jsonl", "json"]


@dataclass(frozen=True)
class Target:
    """Where a session's results go."""

    path: Path
    """Absolute."""
    shown: str
    """As the user gave it, for messages."""

    @property
    def form(self) -> Form:
        """By the ending of the path."""
        suffix = self.path.suffix
        return "jsonl" if suffix == ".jsonl" else "json" if suffix == ".json" else "directory"

    @property
    def index_path(self) -> Path:
        """The file that holds the index."""
        if self.form == "directory":
            return self.path / "index.json"
        return self.path.with_suffix(".index.json") if self.form == "jsonl" else self.path

    @property
    def shown_index(self) -> str:
        """The index, as a user would write its path."""
        shown = self.shown.replace(os.sep, "/")
        if self.form == "directory":
            return f"{shown.rstrip('/')}/index.json"
        return f"{shown.removesuffix('.jsonl')}.index.json" if self.form == "jsonl" else shown

    @property
    def journals(self) -> Path:
        """Where the journals of unpublished sessions are."""
        return self.path.with_name(f"{self.path.name}.journals")

    def check(self) -> str:
        """Why nothing can be written here; empty when it looks possible."""
        path, shown = self.path, self.shown
        if self.form == "directory" and path.exists() and not path.is_dir():
            return f"{shown!r} is a file, not a directory"
        if self.form != "directory" and path.is_dir():
            return f"{shown!r} is a directory, not a file"
        for parent in path.parents:
            if parent.exists():
                if not parent.is_dir():
                    return f"{str(parent)!r} is a file, so {shown!r} cannot be made"
                break
        return ""


def load_run(path: Path) -> RunResult:
    """Read the file of one run.

    Raises:
        OSError: It cannot be read.
        ResultsError: It is not a RunResult; the first problem is named.
    """
    return _parse_run(path.read_bytes(), str(path))


def _parse_run(text: bytes, where: str) -> RunResult:
    try:
        return RunResult.from_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ResultsError(
            where, f"not a RunResult: {place + ': ' if place else ''}{first['msg']} ({error.error_count()} problems)"
        ) from None


def read_index(path: str | Path) -> Index:
    """Read an index: ours, Arena's, or the one within a ``.json``.

    Args:
        path: The index file, or the results directory, ``.jsonl`` or ``.json`` that it belongs to.

    Raises:
        OSError: It cannot be read.
        ResultsError: It is not an index.
    """
    file = Path(path)
    if file.is_dir():
        file = file / "index.json"
    elif file.suffix == ".jsonl":
        file = file.with_suffix(".index.json")
    try:
        data = loads(file.read_bytes())
    except ValueError as error:
        raise ResultsError(str(file), f"not JSON: {error}") from None
    if isinstance(data, dict) and "index" in data and "runs" in data and "run_ids" not in data:
        data = data["index"]
    if not isinstance(data, dict) or "run_ids" not in data:
        raise ResultsError(str(file), f"not an index: a map with 'run_ids' was wanted, {shortened(data)} was there")
    try:
        return Index.from_dict(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise ResultsError(str(file), f"not an index: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def load_results(path: str | Path) -> Sequence[RunResult]:
    """Read results back: a directory, a ``.jsonl``, a ``.json`` of many runs or of one.

    Directories are read by their index where there is one, else file by file, so that what
    Arena wrote can be read as well.

    Raises:
        OSError: Something cannot be read.
        ResultsError: A file is not what it should be; it is named.
    """
    return list(iterate_results(path))


def iterate_results(path: str | Path) -> Iterator[RunResult]:
    """The same, one run at a time."""
    file = Path(path)
    if file.is_dir():
        for name in run_files(file):
            yield load_run(name)
    elif file.suffix == ".jsonl":
        with file.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    yield _parse_run(line, f"{file}:{number}")
    else:
        text = file.read_bytes()
        try:
            data = loads(text)
        except ValueError as error:
            raise ResultsError(str(file), f"not JSON: {error}") from None
        runs = data.get("runs") if isinstance(data, dict) and "index" in data else data
        if isinstance(runs, list):
            for number, run in enumerate(runs):
                yield _parse_run(dumps(run), f"{file}: run {number}")
        else:
            yield _parse_run(text, str(file))


def is_file_name(stem: str) -> bool:
    """Whether a stem names a file of its directory: the index of a stranger must not lead out of it."""
    # By its name alone: on Windows, `C:x` leads to another drive.
    return stem not in ("", ".", "..") and Path(stem).name == stem and not any(each in stem for each in "/\\\0")


def run_files(directory: Path) -> list[Path]:
    """The files of the runs in a directory: those that its index names, or all without one.

    Raises:
        ResultsError: The index cannot be read, or names something outside the directory.
    """
    index = directory / "index.json"
    if index.exists():
        names = []
        for stem in read_index(index).run_ids:
            if not is_file_name(stem):
                raise ResultsError(str(index), f"{stem!r} cannot be the name of a run's file")
            names.append(directory / f"{stem}.json")
        return names
    return sorted(file for file in directory.glob("*.json") if file.name != "index.json")


__all__ = ["Form", "Target", "is_file_name", "iterate_results", "load_results", "load_run", "read_index", "run_files"]
