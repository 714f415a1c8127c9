"""A run as it is stored, and results as runs that come one at a time, whatever their form."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from pydantic import ValidationError

from ._text import plural, shortened
from ._wire import problem_of_encoding
from .errors import ResultsError
from .index_reading import IndexScan
from .models import RunResult

if TYPE_CHECKING:
    from .index import Index, IndexRow
    from .target import Form

_KEYS = (b'"RunID"', b'"Messages"')  # also where they are null
_NAMED = 3  # keys that an error names

Texts: TypeAlias = Callable[[], Iterator[tuple[str, bytes]]]
"""The JSON of each run in a file, after its place there."""


def parse_run(text: bytes, where: str) -> RunResult:
    """Read the JSON of a run.

    Args:
        text: As in a file of its own, or compact.
        where: What to call it in errors.

    Raises:
        ResultsError: It is not a RunResult; the first problem is named.
    """
    try:
        run = RunResult.from_json(text)
    except ValidationError as error:
        if problem := problem_of_encoding(text):
            raise ResultsError(where, f"not JSON: {problem}") from None
        first = error.errors()[0]
        place = f"{'.'.join(map(str, first['loc']))}: " if first["loc"] else ""
        count = plural(error.error_count(), "problem")
        raise ResultsError(where, f"not a RunResult: {place}{first['msg']} ({count})") from None
    more = run.model_extra
    if more and run.model_fields_set <= more.keys() and not any(key in text for key in _KEYS):
        # What is missing counts as empty, so that any line of a stranger's log would be a run that passed.
        keys = ", ".join(map(shortened, list(more)[:_NAMED]))
        raise ResultsError(where, f"not a RunResult: 'RunID' was wanted, {keys} was there")
    return run


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
    """That one file, or the directory, where it stays where it is."""

    def __iter__(self) -> Iterator[StoredRun]:
        """The runs, in the order of the index.

        Raises:
            OSError: Something cannot be read.
            ResultsError: A file is not what it should be; it is named.
        """
        return self.runs()


__all__ = ["StoredResults", "StoredRun", "Texts", "parse_run"]
