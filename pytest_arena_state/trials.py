"""Repeats and reruns of one scenario and provider, taken as trials of the same thing.

A `Trial` is what a run contributes: small, so that the trials of any number of runs fit
where their conversations do not. All attempts are trials, superseded ones too: to count the last attempt
alone would hide what a rerun is for. Skipped runs are no trials.

Trials tell about *this* suite on *this* day. Nothing here knows whether they were independent.
"""

from __future__ import annotations

import math
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING

from .rates import Interval, mean, pass_hat_k, quantile, wilson

if TYPE_CHECKING:
    from .index import IndexRow
    from .models import RunResult

# pytest-repeat's `1-5` and the numbers of `parametrize("n", range(5))`: the same test, once more.
_REPEAT = re.compile(r"(?:(?<=\[)|-)\d+(?:-\d+)*\]$")


@dataclass(frozen=True, slots=True)
class Trial:
    """One attempt at a scenario with a provider."""

    stem: str
    """Unique within its results, where a run id need not be."""
    scenario_id: str
    provider_id: str
    case: str
    """The test, whose repeats and reruns share it; empty where no test is known."""
    status: str
    superseded: bool
    cost_usd: float
    tokens: int
    """Input, output and cached."""
    duration_ns: int
    turns: int
    """User messages."""
    tools: Mapping[str, int] = field(default_factory=dict)

    @property
    def judged(self) -> bool:
        """It passed or it did not; a skipped run did neither."""
        return self.status != "skipped"

    @property
    def passed(self) -> bool:
        """It passed."""
        return self.status == "passed"


def case_of(nodeid: str) -> str:
    """The node id without the numbers by which repeats of a test are told apart."""
    return _REPEAT.sub("]", nodeid).removesuffix("[]")


def trial_of(stem: str, row: IndexRow, run: RunResult) -> Trial:
    """What a run contributes."""
    return Trial(
        stem=stem,
        scenario_id=row.scenario_id,
        provider_id=row.provider_id,
        case=case_of(row.labels.get("pytest.nodeid", "")),
        status=row.status,
        superseded=row.superseded,
        cost_usd=row.cost_usd,
        tokens=row.input_tokens + row.output_tokens + row.cached_tokens,
        duration_ns=row.duration_ns,
        turns=sum(message.role == "user" for message in run.messages),
        tools=dict(run.tool_stats.by_tool) if run.tool_stats is not None else {},
    )


def _finite(count: int) -> int:
    # An index may come from anywhere, and integers in JSON have no end; means and quantiles are floats.
    return max(-(2**63), min(count, 2**63))


@dataclass(frozen=True, slots=True)
class Tally:
    """The trials of one test, within a scenario and with a provider."""

    passed: int
    failed: int
    runs: tuple[str, ...]
    """The stems of all of them."""
    failing: tuple[str, ...]
    """Of those that failed in the end: superseded attempts are left out."""

    @property
    def flaky(self) -> bool:
        """It both passed and failed."""
        return bool(self.passed and self.failed)

    @property
    def to_look_at(self) -> tuple[str, ...]:
        """The runs that show what is wrong: those that failed, else all."""
        return self.failing or self.runs


@dataclass(frozen=True)
class Cell:
    """All runs of one scenario with one provider, summed up: a cell of the matrix.

    What is called a mean is per trial. None stands where there are no trials.
    """

    scenario_id: str
    provider_id: str
    counts: Counter[str]
    """Runs by status; superseded attempts are not counted, as in the index."""
    trials: int
    """Runs that passed or failed, superseded attempts included."""
    passed: int
    """Trials that passed."""
    mean_cost_usd: float | None
    mean_tokens: float | None
    mean_turns: float | None
    """User messages."""
    median_ns: float | None
    p95_ns: float | None
    """The time within which 95 % of the trials ended."""
    mean_calls: Mapping[str, float]
    """By tool, sorted."""
    flaky: tuple[str, ...]
    """Tests that both passed and failed."""
    flakiness: float
    """How often two trials of one test disagree: 0 when each always ends the same, at most about a half."""
    cases: Mapping[str, Tally]
    """By test, sorted."""

    @property
    def runs(self) -> int:
        """All runs, superseded attempts excepted."""
        return self.counts.total()

    @property
    def counted(self) -> int:
        """Runs that passed or failed in the end."""
        return self.runs - self.counts["skipped"]

    @property
    def pass_rate(self) -> float | None:
        """Share of the trials that passed; None without trials."""
        return self.passed / self.trials if self.trials else None

    @property
    def interval(self) -> Interval | None:
        """Where the pass rate lies, with 95 % confidence; None without trials."""
        return wilson(self.passed, self.trials) if self.trials else None

    def pass_hat(self, k: int) -> float | None:
        """pass^k over the trials; None when there are fewer than ``k``."""
        return pass_hat_k(self.passed, self.trials, k)

    def without_cases(self) -> Cell:
        """The same without its tests: small, however many runs it has."""
        return replace(self, cases={})


def cell_of(scenario_id: str, provider_id: str, runs: Iterable[Trial]) -> Cell:
    """Sum up all runs of a scenario with a provider."""
    counts: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    costs, tokens, turns, times = array("d"), array("d"), array("d"), array("d")
    cases: dict[str, _Case] = {}
    passed = 0
    for run in runs:
        if not run.superseded:
            counts[run.status] += 1
        if not run.judged:
            continue
        passed += run.passed
        costs.append(run.cost_usd)
        tokens.append(_finite(run.tokens))
        turns.append(run.turns)
        times.append(_finite(run.duration_ns))
        calls.update(run.tools)
        case = cases.setdefault(run.case, _Case())
        case.runs.append(run.stem)
        case.passed += run.passed
        if not run.passed and not run.superseded:
            case.failing.append(run.stem)
    tallies = {name: case.tally() for name, case in sorted(cases.items())}
    return Cell(
        scenario_id,
        provider_id,
        counts,
        trials=len(costs),
        passed=passed,
        mean_cost_usd=mean(costs),
        mean_tokens=mean(tokens),
        mean_turns=mean(turns),
        median_ns=quantile(times, 0.5),
        p95_ns=quantile(times, 0.95),
        mean_calls={tool: count / len(costs) for tool, count in sorted(calls.items())},
        flaky=tuple(name for name, tally in tallies.items() if tally.flaky),
        flakiness=_flakiness(tallies.values()),
        cases=tallies,
    )


@dataclass
class _Case:
    passed: int = 0
    runs: list[str] = field(default_factory=list)
    failing: list[str] = field(default_factory=list)

    def tally(self) -> Tally:
        return Tally(self.passed, len(self.runs) - self.passed, tuple(self.runs), tuple(self.failing))


def _flakiness(tallies: Iterable[Tally]) -> float:
    # Pairs of different tests are not looked at: a scenario whose one test always passes and whose
    # other one always fails is broken, not flaky.
    pairs = disagreeing = 0
    for tally in tallies:
        pairs += math.comb(tally.passed + tally.failed, 2)
        disagreeing += tally.passed * tally.failed
    return disagreeing / pairs if pairs else 0.0


def cells_in_order(runs: Iterable[Trial]) -> Iterator[Cell]:
    """The cells of runs that are sorted by scenario and provider; those of one cell are in memory at a time."""
    for (scenario_id, provider_id), group in groupby(runs, key=_place):
        yield cell_of(scenario_id, provider_id, group)


def cells_of(runs: Iterable[Trial]) -> list[Cell]:
    """The runs by scenario and provider, sorted by both."""
    return list(cells_in_order(sorted(runs, key=_place)))


def _place(run: Trial) -> tuple[str, str]:
    return run.scenario_id, run.provider_id


__all__ = ["Cell", "Tally", "Trial", "case_of", "cell_of", "cells_in_order", "cells_of", "trial_of"]
