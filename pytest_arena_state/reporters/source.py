"""Where a reporter gets its runs: each with its row of the index, one at a time.

Everything that `reading` reads is a source, with our index, with Arena's, or with none; where there is no
row, it is made from the run. A source can be read as often as a reporter needs. What a summary needs of all runs
is noted during the first pass over them, whoever makes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from .. import document
from .._times import format_time
from ..errors import ResultsError
from ..index import Completeness, IndexRow
from ..naming import name_runs
from ..stored import open_results
from ..target import is_url
from ..telemetry import OUTCOME_ASSERTION
from .notes import Notes

if TYPE_CHECKING:
    from ..models import RunResult
    from ..stored import StoredResults, StoredRun
    from ..trials import Cell

_NAMED = 5  # runs that an error names
_SOUGHT = 5_000  # runs among whose names those like a wrong one are sought
_REASON_LIMIT = 300  # characters; what fits a line or two


@dataclass(frozen=True, slots=True)
class Reported:
    """A run with its row of the index."""

    stem: str
    """Unique within the source."""
    row: IndexRow
    run: RunResult

    @property
    def reason(self) -> str:
        """Why the run did not pass, on one line; empty when it did."""
        return "" if self.row.status == "passed" else reason_of(self.run)


class Source:
    """Runs to report; iterating reads them one at a time, in the order of the index."""

    def __init__(
        self,
        read: Callable[[], Iterator[Reported]],
        *,
        name: str = "",
        completeness: Completeness | None = None,
        timestamp: str = "",
        results: Path | None = None,
    ) -> None:
        """Describe a source; nothing is read yet.

        Args:
            read: Reads all runs, as often as it is called.
            name: What to call it in messages and headings.
            completeness: What is known to be missing.
            timestamp: When the last run ended; RFC 3339, found out from the runs when empty.
            results: Where they are, and large media beside them; None where that is no path.
        """
        self.name = name
        self.results = results
        self.completeness = completeness if completeness is not None else Completeness()
        self._read = read
        self._timestamp = timestamp
        self._notes: Notes | None = None

    @classmethod
    def of(cls, runs: Sequence[RunResult], name: str = "", *, superseded: frozenset[int] = frozenset()) -> Source:
        """Runs that are in memory; those at some places count as superseded."""
        stems = name_runs([(run.run_id, (place,)) for place, run in enumerate(runs)])

        def read() -> Iterator[Reported]:
            for place, (stem, run) in enumerate(zip(stems, runs, strict=True)):
                yield _reported(stem, None, run, superseded=place in superseded)

        return cls(read, name=name)

    def __iter__(self) -> Iterator[Reported]:
        """Each run, with its row.

        Raises:
            OSError: Something cannot be read.
            ResultsError: The index and the runs are not of the same results.
        """
        notes = Notes()
        ended = None
        for each in self._read():
            notes.add(each)
            if each.run.end_time is not None and (ended is None or each.run.end_time > ended):
                ended = each.run.end_time
            yield each
        notes.timestamp = self._timestamp or (format_time(ended) if ended is not None else "")
        self._notes = notes

    @property
    def notes(self) -> Notes:
        """What all runs contribute to a summary; they are read for it unless they were before."""
        if self._notes is None:
            for _ in self:
                pass
        assert self._notes is not None
        return self._notes

    def cells(self) -> Iterator[Cell]:
        """The cells of the matrix, sorted by scenario and provider."""
        return self.notes.cells()


def open_source(path: str | Path, *, name: str = "", broken: dict[str, Exception] | None = None) -> Source:
    """Results on disk, in any form that `stored.open_results` reads; called as the path, when no name is given.

    Args:
        path: Where they are.
        name: What to call them.
        broken: Gets what is wrong with files of runs in a directory, by their place, and these are passed over;
            without it, the first of them is an error.

    Raises:
        OSError: Something cannot be read.
        ResultsError: A file is not what it should be; it is named.
    """
    stored = open_results(path)

    def read() -> Iterator[Reported]:
        for each in stored:
            try:
                reported = _reported(each.stem, each.row, each.load(), where=each.where)
            except (OSError, ResultsError) as error:
                if broken is None or stored.form != "directory":
                    raise
                broken[each.where] = error
            else:
                yield reported

    header = stored.header
    return Source(
        read,
        name=name or stored.name,
        completeness=header.completeness,
        timestamp=format_time(header.timestamp) if header.timestamp is not None else "",
        results=None if is_url(path) else Path(path),
    )


def _reported(
    stem: str, row: IndexRow | None, run: RunResult, *, where: str = "", superseded: bool = False
) -> Reported:
    if row is None:
        derived = {**document.row_of(run.to_dict()), "superseded": superseded}
        return Reported(stem, IndexRow.from_dict({"file": "", **derived}), run)
    if row.run_id != run.run_id:
        raise ResultsError(where, f"its index wants {row.run_id!r} there, and it is {run.run_id!r}")
    return Reported(stem, row, run)


def find_run(path: str | Path, name: str) -> Reported:
    """The run with this stem, else the only run with this id; the others are not read for it.

    Raises:
        OSError: Something cannot be read.
        ResultsError: There is none, or there are several; what there is to choose from is named.
    """
    stored = open_results(path)
    # All stems first: where there is no index, to look for an id is to load runs, and one of these may be broken.
    exact = next((each for each in stored if each.stem == name), None)
    if exact is not None:
        return _reported(exact.stem, exact.row, exact.load(), where=exact.where)
    alike: list[StoredRun] = []
    count = 0
    for each in stored:
        if (each.row.run_id if each.row is not None else each.load().run_id) == name:
            count += 1
            if count <= _NAMED:
                alike.append(each)
    if count == 1:
        return _reported(alike[0].stem, alike[0].row, alike[0].load(), where=alike[0].where)
    if alike:
        stems = ", ".join(each.stem for each in alike)
        raise ResultsError(stored.name, f"{count} runs have the id {name!r}: name one of {stems}")
    raise ResultsError(stored.name, _not_found(stored, name))


def _not_found(stored: StoredResults, name: str) -> str:
    stems: list[str] = []
    count = 0
    for each in stored:
        count += 1
        if len(stems) < _SOUGHT:
            stems.append(each.stem)
    holding = [stem for stem in stems if name.lower() in stem.lower()]
    near = list(dict.fromkeys([*holding[:_NAMED], *get_close_matches(name, stems, _NAMED, 0.4)]))[:_NAMED]
    named = near or stems[:_NAMED]
    there = f"; there {'are' if near else 'are, for example,'} {', '.join(named)}" if named else ""
    return f"no run {name!r} among {count:,}{there}"


def reason_of(run: RunResult) -> str:
    """Why a run failed or was skipped, on one line: its error, else what failed first."""
    return " ".join(_reason(run).split())[:_REASON_LIMIT]


def _reason(run: RunResult) -> str:
    if run.error:
        return run.error
    if run.skipped:
        return run.skip_reason or "skipped"
    failed = [result for result in run.conversation_assertions.results if not result.passed]
    # How the test ended says what was raised; a check that failed beside it says less.
    for result in sorted(failed, key=lambda each: each.type != OUTCOME_ASSERTION):
        known = result.type not in ("", OUTCOME_ASSERTION)
        return f"{result.type}: {result.message}" if known else result.message
    for message in run.messages:
        assertions = message.meta.get("assertions")
        if isinstance(assertions, dict) and assertions.get("passed") is False:
            results = assertions.get("results")
            for entry in results if isinstance(results, list) else ():
                if isinstance(entry, dict) and not entry.get("passed", True):
                    return f"{entry.get('type') or 'assertion'}: {entry.get('message') or 'failed'}"
            return "an assertion of a turn failed"
    for violation in run.violations:
        return f"{violation.type}: {violation.detail}"
    return ""


__all__ = ["Reported", "Source", "find_run", "open_source", "reason_of"]
