"""What every run contributes to a summary, in a file for the time of a report.

Sums, quantiles and matrices need a few numbers of every run, by scenario and provider and not in the order of the
runs. They are kept in a temporary database of SQLite, so that memory grows neither with the runs nor with their
conversations.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import ResultsError
from ..index import Totals
from ..trials import Cell, Trial, cells_in_order, trial_of

if TYPE_CHECKING:
    from .source import Reported

_TABLE = """
    CREATE TABLE runs (
        place INTEGER PRIMARY KEY, stem TEXT, scenario TEXT, provider TEXT, test TEXT, status TEXT, superseded INTEGER,
        reason TEXT, facts TEXT
    )
"""
_UNSUCCESSFUL = "status != 'passed' AND NOT superseded"
# What broke before what failed before what was skipped; a status that is not ours counts as broken.
_RANK = "CASE status WHEN 'failed' THEN 1 WHEN 'skipped' THEN 2 ELSE 0 END"


@dataclass(frozen=True, slots=True)
class Unsuccessful:
    """A run that did not pass, and does not count as replaced by a later attempt."""

    stem: str
    scenario_id: str
    provider_id: str
    status: str
    reason: str
    nodeid: str


class Notes:
    """Filled run by run, then read as often as needed."""

    def __init__(self) -> None:
        """Make the database.

        Raises:
            ResultsError: There is no room for it.
        """
        with _named():
            self._db = sqlite3.connect(
                "", isolation_level=None, check_same_thread=False
            )  # a file that goes when it is closed
            for pragma in ("journal_mode=OFF", "synchronous=OFF", "temp_store=FILE", "cache_size=-4000"):
                self._db.execute(f"PRAGMA {pragma}")
            self._db.execute(_TABLE)
            self._db.execute("BEGIN")
        self.totals = Totals()
        self.timestamp = ""
        """When the last run ended; RFC 3339, empty when no run says."""

    def add(self, each: Reported) -> None:
        """Take a run.

        Raises:
            ResultsError: There is no room for it.
        """
        row, trial = each.row, trial_of(each.stem, each.row, each.run)
        facts = {
            "cost_usd": row.cost_usd,
            "tokens": (row.input_tokens, row.output_tokens, row.cached_tokens),
            "duration_ns": row.duration_ns,
            "turns": trial.turns,
            "tools": trial.tools,
            "nodeid": row.labels.get("pytest.nodeid", ""),
        }
        values = (
            *(self.totals.runs, each.stem, row.scenario_id, row.provider_id, trial.case, row.status, row.superseded),
            *(each.reason, json.dumps(facts, separators=(",", ":"))),
        )
        with _named():
            self._db.execute("INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
        self.totals.add(row.to_dict())

    def __del__(self) -> None:
        if hasattr(self, "_db"):
            self._db.close()

    def _select(self, what: str, *values: object) -> Iterator[tuple[Any, ...]]:
        with _named():
            yield from self._db.execute(f"SELECT {what}", values)

    def cells(self) -> Iterator[Cell]:
        """The cells of the matrix, sorted by scenario and provider, one at a time."""
        return cells_in_order(self._trials())

    def _trials(self) -> Iterator[Trial]:
        columns = "stem, scenario, provider, test, status, superseded, facts"
        for stem, scenario, provider, case, status, superseded, text in self._select(
            f"{columns} FROM runs ORDER BY scenario, provider, place"
        ):
            facts = json.loads(text)
            yield Trial(
                stem=stem,
                scenario_id=scenario,
                provider_id=provider,
                case=case,
                status=status,
                superseded=bool(superseded),
                cost_usd=facts["cost_usd"],
                tokens=sum(facts["tokens"]),
                duration_ns=facts["duration_ns"],
                turns=facts["turns"],
                tools=facts["tools"],
            )

    def unsuccessful(self, limit: int) -> Iterator[Unsuccessful]:
        """The first runs that did not pass: errors, then failures, then what was skipped."""
        columns = "stem, scenario, provider, status, reason, facts"
        for stem, scenario, provider, status, reason, facts in self._select(
            f"{columns} FROM runs WHERE {_UNSUCCESSFUL} ORDER BY {_RANK}, status, place LIMIT ?", limit
        ):
            yield Unsuccessful(stem, scenario, provider, status, reason, json.loads(facts)["nodeid"])

    def count_unsuccessful(self) -> dict[str, int]:
        """How many runs did not pass, by status."""
        return dict(self._select(f"status, count(*) FROM runs WHERE {_UNSUCCESSFUL} GROUP BY status"))


@contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise ResultsError("the folder for temporary files", f"a summary needs some room there: {error}") from error


__all__ = ["Notes", "Unsuccessful"]
