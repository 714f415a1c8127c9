"""Reading an index: whole, or row by row where it is as large as a large suite."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path

from pydantic import ValidationError

from ._text import shortened
from ._wire import JSON, loads
from .errors import ResultsError
from .index import Index, IndexRow
from .pieces import Where, pieces


def index_of(file: Path) -> Index:
    """An index, in a file of its own or within a ``.json`` of results.

    Raises:
        OSError: The file cannot be read.
        ResultsError: It is not an index.
    """
    try:
        data = _index_data(file)
    except ValueError as error:
        raise ResultsError(str(file), f"not JSON: {error}") from None
    return _parse(data, str(file))


def _index_data(file: Path) -> JSON:
    members: dict[str, JSON] = {}
    with file.open("rb") as stream:
        for piece in pieces(stream, enter=lambda where: not where):
            if piece.text is None:
                continue
            if not piece.where:
                return loads(piece.text)
            key, value = str(piece.where[0]), loads(piece.text)
            if key == "index" and isinstance(value, dict):
                return value  # before the runs, which may not fit into memory
            members[key] = value
    return members


def _parse(data: JSON, where: str) -> Index:
    if not isinstance(data, dict) or "run_ids" not in data:
        raise ResultsError(where, f"not an index: a map with 'run_ids' was wanted, {shortened(data)} was there")
    try:
        return Index.from_dict(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise ResultsError(where, f"not an index: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


@dataclass(frozen=True)
class IndexScan:
    """An index as one pass over it found it; its rows are read again when they are wanted."""

    file: Path | None = None
    """None where there is no index."""
    prefix: Where = ()
    """Where in the file it stands."""
    header: Index = field(default_factory=Index)
    """Everything but ``run_ids`` and ``runs``."""
    stems: int = 0
    rows: int = 0

    def entries(self) -> Iterator[tuple[str, IndexRow | None]]:
        """Each stem with its row; without rows where there is not one for each stem.

        Raises:
            OSError: The file cannot be read.
            ResultsError: A row is not one.
        """
        if self.file is None:
            return
        stems = _items(self.file, (*self.prefix, "run_ids"))
        rows: Iterator[JSON] = repeat(None)
        if self.rows == self.stems:
            rows = _items(self.file, (*self.prefix, "runs"))
        for number, stem in enumerate(stems):
            row = next(rows)
            if not isinstance(stem, str):
                raise ResultsError(str(self.file), f"not an index: run_ids.{number}: {shortened(stem)} is no text")
            try:
                yield stem, None if row is None else IndexRow.from_dict(row)
            except (ValidationError, TypeError):
                raise ResultsError(str(self.file), f"not an index: runs.{number} is no row") from None


def scan_index(file: Path, prefix: Where = ()) -> IndexScan:
    """Look through an index in bounded memory.

    Args:
        file: Its file.
        prefix: Where in the file it stands.

    Raises:
        OSError: The file cannot be read.
        ResultsError: It is not an index.
    """
    lists = {(*prefix, "run_ids"): 0, (*prefix, "runs"): 0}
    header: dict[str, JSON] = {}
    try:
        with file.open("rb") as stream:
            for piece in pieces(stream, enter=lambda where: where in ((), prefix, ("runs",)) or where in lists):
                where = piece.where
                if "run_ids" in header and where[: len(prefix)] != prefix:
                    break  # the runs of a `.json`, whose index stands before them
                if where in lists and not piece.is_list and piece.text != b"null":
                    raise ResultsError(str(file), f"not an index: {where[-1]} is no list")
                if where[:-1] in lists:
                    lists[where[:-1]] += 1
                elif where[:-1] == prefix and len(where) == len(prefix) + 1:
                    header[str(where[-1])] = [] if where in lists else piece.text and loads(piece.text)
                elif not where and piece.text is not None:
                    header = loads(piece.text)  # no map: the error says what it is
    except ResultsError:
        raise
    except ValueError as error:
        raise ResultsError(str(file), f"not JSON: {error}") from None
    stems, rows = lists.values()
    return IndexScan(file, prefix, _parse(header, str(file)), stems, rows)


def _items(file: Path, array: Where) -> Iterator[JSON]:
    ways = {array[:length] for length in range(len(array) + 1)}
    entered = False
    try:
        with file.open("rb") as stream:
            # Into the lists before it, too, which are passed over.
            for piece in pieces(stream, enter=lambda where: where in ways or where[:-1] == array[:-1]):
                if piece.where[:-1] == array and piece.text is not None:
                    entered = True
                    yield loads(piece.text)
                elif entered:
                    return
    except ValueError as error:
        raise ResultsError(str(file), f"not JSON: {error}") from None


__all__ = ["IndexScan", "index_of", "scan_index"]
