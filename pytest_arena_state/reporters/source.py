"""Where a reporter gets its runs: an index, and the runs themselves, one at a time.

Everything that `results` reads is a source, with our index, with Arena's, or with none; where there are no
rows, they are made in a pass over the runs. A source can be read as often as a reporter needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import document
from .._wire import format_time
from ..errors import ResultsError
from ..naming import name_runs
from ..results import Completeness, Index, IndexRow, iterate_results, make_index, read_index
from ..telemetry import OUTCOME_ASSERTION
from ..trials import Trial, trial_of

if TYPE_CHECKING:
    from datetime import datetime

    from ..models import RunResult

_NAMED = 5  # runs that an error names
_REASON_LIMIT = 300  # characters; what fits a line or two


@dataclass(frozen=True, slots=True)
class Reported:
    """A run with its place in the index."""

    stem: str
    """Unique within the source."""
    row: IndexRow
    run: RunResult

    @property
    def reason(self) -> str:
        """Why the run did not pass, on one line; empty when it did."""
        return "" if self.row.status == "passed" else reason_of(self.run)


@dataclass(frozen=True)
class Source:
    """Runs to report; iterating reads them one at a time, in the order of the index."""

    index: Index
    """With a row and a stem for each run."""
    read: Callable[[], Iterator[RunResult]]
    name: str = ""
    """What to call it in messages and headings."""
    _trials: list[Trial] = field(default_factory=list, repr=False, compare=False)
    _reasons: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, runs: Sequence[RunResult], name: str = "") -> Source:
        """Runs that are in memory."""
        return cls(_indexed(lambda: iter(runs), Index()), lambda: iter(runs), name)

    def __iter__(self) -> Iterator[Reported]:
        """Each run, with its row.

        Raises:
            ResultsError: The index and the runs are not of the same results.
        """
        rows = self.index.runs
        seen = 0
        trials: list[Trial] = []
        for run in self.read():
            if seen == len(rows) or rows[seen].run_id != run.run_id:
                wanted = repr(rows[seen].run_id) if seen < len(rows) else "no further run"
                raise ResultsError(self.name, f"the index has {wanted} at {seen + 1}, {run.run_id!r} was there")
            each = Reported(self.index.run_ids[seen], rows[seen], run)
            yield each
            trials.append(trial_of(each.stem, each.row, run))
            if reason := each.reason:
                self._reasons[each.stem] = reason
            seen += 1
        if seen != len(rows):
            raise ResultsError(self.name, f"{len(rows)} runs were wanted by the index, {seen} were there")
        self._trials[:] = trials

    def trials(self) -> list[Trial]:
        """What each run contributes to a comparison; the runs are read for it unless they were before."""
        self._read_once()
        return self._trials

    def reasons(self) -> dict[str, str]:
        """Why runs did not pass, by stem; the runs are read for it unless they were before."""
        self._read_once()
        return self._reasons

    def _read_once(self) -> None:
        if not self._trials:
            for _ in self:
                pass

    def find(self, name: str) -> Reported:
        """The run with this stem, else the only run with this id.

        Raises:
            ResultsError: There is none, or there are several; the stems to choose from are named.
        """
        stems = [stem for stem, row in self.rows if name == stem] or [
            stem for stem, row in self.rows if name == row.run_id
        ]
        if len(stems) == 1:
            return next(each for each in self if each.stem == stems[0])
        if stems:
            raise ResultsError(self.name, f"{len(stems)} runs have the id {name!r}: {', '.join(stems[:_NAMED])}")
        alike = get_close_matches(name, [stem for stem, _ in self.rows], _NAMED, 0.4)
        hint = f"; there are {', '.join(alike)}" if alike else ""
        raise ResultsError(self.name, f"no run {name!r} among {len(self.rows)}{hint}")

    @cached_property
    def rows(self) -> list[tuple[str, IndexRow]]:
        """The stems with their rows, without reading a run."""
        return list(zip(self.index.run_ids, self.index.runs, strict=True))


def open_source(path: str | Path) -> Source:
    """Results on disk, in any form that `results.iterate_results` reads.

    Raises:
        OSError: Something cannot be read.
        ResultsError: A file is not what it should be; it is named.
    """
    file = Path(path)
    if not file.exists():
        raise ResultsError(str(path), "no results there")
    try:
        index = read_index(file)
    except FileNotFoundError:
        index = Index()
    except ResultsError:
        if file.is_dir() or file.suffix == ".jsonl":
            raise
        index = Index()  # a `.json` of one run, or a list of runs

    def read() -> Iterator[RunResult]:
        return iterate_results(file)

    if not index.runs or len(index.runs) != len(index.run_ids):
        index = _indexed(read, index)
    return Source(index, read, str(path))


def _indexed(read: Callable[[], Iterator[RunResult]], known: Index) -> Index:
    """An index with a row for each run, and with what a given one says beside that."""
    rows: list[dict[str, Any]] = []
    packs: set[str] = set()
    ended: datetime | None = known.timestamp
    for run in read():
        wire = run.to_dict()
        row = document.row_of(wire)
        rows.append({"run_id": row.pop("run_id"), "file": "", **row})
        packs.add(run.prompt_pack)
        if run.end_time is not None and (ended is None or run.end_time > ended):
            ended = run.end_time
    stems = known.run_ids
    if len(stems) != len(rows):
        stems = name_runs([(row["run_id"], (place,)) for place, row in enumerate(rows)])
    index = make_index(
        list(zip(stems, rows, strict=True)),
        prompt_packs=packs,
        timestamp=format_time(ended) if ended is not None else None,
        completeness=Completeness().to_dict(),
    )
    return Index.from_dict(index)


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


__all__ = ["Reported", "Source", "open_source", "reason_of"]
