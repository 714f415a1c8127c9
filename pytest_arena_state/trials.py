"""Repeats and reruns of one scenario and provider, taken as trials of the same thing.

A `Trial` is what a run contributes: small, so that the trials of any number of runs fit
where their conversations do not. All attempts are trials, superseded ones too: to count the last attempt
alone would hide what a rerun is for. Skipped runs are no trials.

Trials tell about *this* suite on *this* day. Nothing here knows whether they were independent.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .models import RunResult
    from .results import IndexRow

_Z_95 = 1.959963984540054  # standard deviations that hold 95 % of a normal distribution
# pytest-repeat's `1-5` and the numbers of `parametrize("n", range(5))`: the same test, once more.
_REPEAT = re.compile(r"(?:(?<=\[)|-)\d+(?:-\d+)*\]$")


@dataclass(frozen=True, slots=True)
class Trial:
    """One attempt at a scenario with a provider."""

    run_id: str
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
        run_id=row.run_id,
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


@dataclass(frozen=True, slots=True)
class Interval:
    """Where a rate lies, with 95 % confidence."""

    low: float
    high: float


def wilson(passed: int, total: int) -> Interval:
    """The Wilson score interval of a rate, at 95 %.

    Unlike the textbook interval it stays within 0 and 1 and says something sensible for few trials
    and for rates near the ends, which is where test suites are.

    Raises:
        ValueError: There are no trials, or more passed than there are.
    """
    if not 0 <= passed <= total or not total:
        raise ValueError(f"0 <= passed <= total and total > 0 were wanted, {passed} of {total} were there")
    rate = passed / total
    square = _Z_95**2
    centre = (rate + square / (2 * total)) / (1 + square / total)
    reach = _Z_95 / (1 + square / total) * math.sqrt(rate * (1 - rate) / total + square / (4 * total * total))
    # Exact ends: 0 of n cannot be told from a rate of 0, and rounding must not say otherwise.
    return Interval(0.0 if passed == 0 else centre - reach, 1.0 if passed == total else centre + reach)


def pass_hat_k(passed: int, total: int, k: int) -> float | None:
    """pass^k: how likely ``k`` further trials are to pass all; None when there are fewer than ``k`` trials.

    The unbiased estimate: the share of all selections of ``k`` trials in which every one passed.
    """
    return math.comb(passed, k) / math.comb(total, k) if 0 < k <= total else None


def quantile(values: Iterable[float], share: float) -> float | None:
    """The value below which ``share`` of the values lie, interpolated; None when there are none."""
    ordered = sorted(values)
    if not ordered:
        return None
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


@dataclass(frozen=True)
class Cell:
    """All runs of one scenario with one provider: a cell of the matrix."""

    scenario_id: str
    provider_id: str
    runs: tuple[Trial, ...]

    @cached_property
    def trials(self) -> tuple[Trial, ...]:
        """The runs that passed or failed, superseded attempts included."""
        return tuple(run for run in self.runs if run.judged)

    @cached_property
    def counts(self) -> Counter[str]:
        """Runs by status; superseded attempts are not counted, as in the index."""
        return Counter(run.status for run in self.runs if not run.superseded)

    @property
    def counted(self) -> int:
        """Runs that passed or failed in the end."""
        return self.counts.total() - self.counts["skipped"]

    @cached_property
    def passed(self) -> int:
        """Trials that passed."""
        return sum(trial.passed for trial in self.trials)

    @property
    def pass_rate(self) -> float | None:
        """Share of the trials that passed; None without trials."""
        return self.passed / len(self.trials) if self.trials else None

    @property
    def interval(self) -> Interval | None:
        """Where the pass rate lies, with 95 % confidence; None without trials."""
        return wilson(self.passed, len(self.trials)) if self.trials else None

    @cached_property
    def cases(self) -> Mapping[str, tuple[Trial, ...]]:
        """The trials by test."""
        found: dict[str, list[Trial]] = {}
        for trial in self.trials:
            found.setdefault(trial.case, []).append(trial)
        return {case: tuple(trials) for case, trials in sorted(found.items())}

    @cached_property
    def flaky(self) -> tuple[str, ...]:
        """Tests that both passed and failed."""
        return tuple(case for case, trials in self.cases.items() if len({trial.passed for trial in trials}) == 2)

    def pass_hat(self, k: int) -> float | None:
        """pass^k over the trials; None when there are fewer than ``k``."""
        return pass_hat_k(self.passed, len(self.trials), k)

    @property
    def mean_cost_usd(self) -> float | None:
        """Dollars per trial."""
        return _mean([trial.cost_usd for trial in self.trials])

    @property
    def mean_tokens(self) -> float | None:
        """Tokens per trial."""
        return _mean([trial.tokens for trial in self.trials])

    @property
    def mean_turns(self) -> float | None:
        """User messages per trial."""
        return _mean([trial.turns for trial in self.trials])

    def latency_ns(self, share: float) -> float | None:
        """The time below which ``share`` of the trials took: 0.5 is the median."""
        return quantile([trial.duration_ns for trial in self.trials], share)

    def mean_calls(self) -> dict[str, float]:
        """Calls per trial by tool."""
        total: Counter[str] = Counter()
        for trial in self.trials:
            total.update(trial.tools)
        return {tool: count / len(self.trials) for tool, count in sorted(total.items())}


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def cells_of(runs: Iterable[Trial]) -> list[Cell]:
    """The runs by scenario and provider, sorted by both."""
    found: dict[tuple[str, str], list[Trial]] = {}
    for run in runs:
        found.setdefault((run.scenario_id, run.provider_id), []).append(run)
    return [Cell(*key, tuple(runs)) for key, runs in sorted(found.items())]


def trial_results(cell: Cell) -> dict[str, Any] | None:
    """A cell as ``trial_results`` of its runs; None when there are fewer than two trials.

    ``pass_hat_k`` holds an estimate for each k up to the number of trials, at most ten.
    """
    total = len(cell.trials)
    if total < 2:
        return None
    interval = wilson(cell.passed, total)
    return {
        "trial_count": total,
        "passed": cell.passed,
        "pass_rate": cell.passed / total,
        "pass_rate_low": interval.low,
        "pass_rate_high": interval.high,
        "pass_hat_k": {str(k): cell.pass_hat(k) for k in range(1, min(total, 10) + 1)},
        "flaky": list(cell.flaky),
        "flakiness": flakiness(cell),
    }


def flakiness(cell: Cell) -> float:
    """How often two trials of one test disagree: 0 when each always ends the same, at most about a half.

    Pairs of different tests are not looked at: a scenario whose one test always passes and whose
    other one always fails is broken, not flaky.
    """
    pairs = disagreeing = 0
    for trials in cell.cases.values():
        passed = sum(trial.passed for trial in trials)
        pairs += math.comb(len(trials), 2)
        disagreeing += passed * (len(trials) - passed)
    return disagreeing / pairs if pairs else 0.0


__all__ = [
    "Cell",
    "Interval",
    "Trial",
    "case_of",
    "cells_of",
    "flakiness",
    "pass_hat_k",
    "quantile",
    "trial_of",
    "trial_results",
    "wilson",
]
