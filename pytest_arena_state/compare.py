"""What changed between two results, per scenario and provider and over all.

Numbers are means or quantiles per trial, and over all only what both sides have is compared: a suite
that grew is not dearer for it. What one side lacks is named instead.

A difference of pass rates is called more than noise when Fisher's exact test says so at 5 %, after
Holm's correction over all cells: among a hundred unchanged cells, five would otherwise look changed.

Both sides are walked cell by cell. What stays in memory is a summary of each cell and the tests that changed,
not the runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias

from .rates import Interval, exact_sum, fisher_exact, holm, wilson
from .trials import Cell, Trial, cells_of

SIGNIFICANCE = 0.05
Evidence: TypeAlias = Literal["better", "worse", "noise", "unknown"]
"""``unknown``: a side has fewer than two trials, so nothing can be said."""


@dataclass(frozen=True, slots=True)
class Change:
    """A number before and after; None where there is none."""

    base: float | None
    new: float | None

    @property
    def relative(self) -> float | None:
        """0.1 is ten per cent more; infinite from nothing to something; None where a side has no number."""
        if self.base is None or self.new is None:
            return None
        if self.base == self.new:
            return 0.0
        return (self.new - self.base) / self.base if self.base else math.copysign(math.inf, self.new)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; what is infinite is None there."""
        relative = self.relative
        finite = relative is not None and math.isfinite(relative)
        return {"base": self.base, "new": self.new, "relative": relative if finite else None}


@dataclass(frozen=True, slots=True)
class Case:
    """A test, within a scenario and with a provider."""

    scenario_id: str
    provider_id: str
    case: str
    """Empty where no test is known."""
    runs: tuple[str, ...]
    """Stems of the runs to look at, in the new results."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "scenario_id": self.scenario_id,
            "provider_id": self.provider_id,
            "test": self.case,
            "runs": list(self.runs),
        }


_METRICS: Mapping[str, Callable[[Cell], float | None]] = {
    "cost": lambda cell: cell.mean_cost_usd,
    "tokens": lambda cell: cell.mean_tokens,
    "latency": lambda cell: cell.median_ns,
    "latency-p95": lambda cell: cell.p95_ns,
    "turns": lambda cell: cell.mean_turns,
    "tool-calls": lambda cell: exact_sum(cell.mean_calls.values()) if cell.trials else None,
}
METRICS = tuple(_METRICS)
"""Per trial: dollars, tokens, nanoseconds (median and 95th percentile), user messages, calls."""


@dataclass(frozen=True)
class CellComparison:
    """One scenario with one provider, before and after; the cells without their tests."""

    scenario_id: str
    provider_id: str
    base: Cell
    new: Cell
    new_failures: tuple[Case, ...]
    """Tests that fail now and did not fail before, or were not there."""
    fixed: tuple[Case, ...]
    """Tests that failed before and pass now."""
    flaky: tuple[Case, ...]
    """Tests whose trials disagree in the new results."""
    p_value: float | None
    """Of Fisher's exact test, corrected for the number of cells."""

    @property
    def evidence(self) -> Evidence:
        """Whether the two pass rates differ by more than noise."""
        return _evidence(self.p_value, self.pass_rate)

    @property
    def pass_rate(self) -> Change:
        """The pass rates."""
        return Change(self.base.pass_rate, self.new.pass_rate)

    @cached_property
    def metrics(self) -> Mapping[str, Change]:
        """Each of `METRICS`."""
        return {name: Change(measure(self.base), measure(self.new)) for name, measure in _METRICS.items()}

    @cached_property
    def tool_calls(self) -> Mapping[str, Change]:
        """Calls per trial of each tool whose number changed."""
        if not (self.base.trials and self.new.trials):
            return {}
        base, new = self.base.mean_calls, self.new.mean_calls
        changes = {tool: Change(base.get(tool, 0.0), new.get(tool, 0.0)) for tool in sorted({*base, *new})}
        return {tool: change for tool, change in changes.items() if change.base != change.new}

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "scenario_id": self.scenario_id,
            "provider_id": self.provider_id,
            "pass_rate": self.pass_rate.to_dict(),
            "base": _side(self.base),
            "new": _side(self.new),
            "evidence": self.evidence,
            "p_value": _rounded(self.p_value),
            "new_failures": [case.to_dict() for case in self.new_failures],
            "fixed": [case.to_dict() for case in self.fixed],
            "flaky": [case.to_dict() for case in self.flaky],
            "metrics": {name: change.to_dict() for name, change in self.metrics.items()},
            "tool_calls": {tool: change.to_dict() for tool, change in self.tool_calls.items()},
        }


def _side(cell: Cell) -> dict[str, Any]:
    interval = cell.interval
    return {
        "runs": cell.runs,
        "trials": cell.trials,
        "passed": cell.passed,
        "pass_rate_low": interval.low if interval else None,
        "pass_rate_high": interval.high if interval else None,
        "flakiness": cell.flakiness,
    }


@dataclass(frozen=True)
class Comparison:
    """Two results, side by side."""

    cells: tuple[CellComparison, ...]
    """What both sides have, sorted by scenario and provider."""
    added: tuple[Cell, ...]
    """What only the new results have."""
    missing: tuple[Cell, ...]
    """What only the base has: nobody ran it, or it was renamed."""
    added_failures: tuple[Case, ...] = ()
    """Tests of added cells that fail."""
    added_flaky: tuple[Case, ...] = ()
    """Tests of added cells whose trials disagree."""

    @cached_property
    def new_failures(self) -> tuple[Case, ...]:
        """Tests that fail now and did not before, those of new cells included."""
        return tuple(case for cell in self.cells for case in cell.new_failures) + self.added_failures

    @cached_property
    def fixed(self) -> tuple[Case, ...]:
        """Tests that failed before and pass now."""
        return tuple(case for cell in self.cells for case in cell.fixed)

    @cached_property
    def flaky(self) -> tuple[Case, ...]:
        """Tests whose trials disagree in the new results."""
        return tuple(case for cell in self.cells for case in cell.flaky) + self.added_flaky

    @cached_property
    def pass_rate(self) -> Change:
        """The share of the trials that passed, over the cells that both sides have."""
        return Change(_share(*self._trials("base")), _share(*self._trials("new")))

    @property
    def intervals(self) -> tuple[Interval | None, Interval | None]:
        """Where the two pass rates lie, with 95 % confidence."""
        base, new = self._trials("base"), self._trials("new")
        return wilson(*base) if base[1] else None, wilson(*new) if new[1] else None

    @cached_property
    def p_value(self) -> float | None:
        """Fisher's exact test over all trials of the cells that both sides have."""
        base, new = self._trials("base"), self._trials("new")
        return fisher_exact(*base, *new) if base[1] > 1 and new[1] > 1 else None

    @property
    def evidence(self) -> Evidence:
        """Whether the two pass rates differ by more than noise."""
        return _evidence(self.p_value, self.pass_rate)

    @cached_property
    def metrics(self) -> Mapping[str, Change]:
        """Each of `METRICS`: the sum over the cells that both sides have, each cell with its mean or quantile."""
        return {name: self._total(name) for name in METRICS}

    def _total(self, metric: str) -> Change:
        changes = [cell.metrics[metric] for cell in self.cells]
        known = [(each.base, each.new) for each in changes if each.base is not None and each.new is not None]
        if not known:
            return Change(None, None)
        return Change(exact_sum(base for base, _ in known), exact_sum(new for _, new in known))

    def _trials(self, side: Literal["base", "new"]) -> tuple[int, int]:
        cells = [cell.base if side == "base" else cell.new for cell in self.cells]
        return sum(cell.passed for cell in cells), sum(cell.trials for cell in cells)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values: deterministic, sorted by scenario and provider."""
        return {
            "pass_rate": self.pass_rate.to_dict(),
            "evidence": self.evidence,
            "p_value": _rounded(self.p_value),
            "metrics": {name: change.to_dict() for name, change in self.metrics.items()},
            "new_failures": [case.to_dict() for case in self.new_failures],
            "fixed": [case.to_dict() for case in self.fixed],
            "flaky": [case.to_dict() for case in self.flaky],
            "added": [{"scenario_id": cell.scenario_id, "provider_id": cell.provider_id} for cell in self.added],
            "missing": [{"scenario_id": cell.scenario_id, "provider_id": cell.provider_id} for cell in self.missing],
            "cells": [cell.to_dict() for cell in self.cells],
        }


def _rounded(p_value: float | None) -> float | None:
    # Mathematics libraries differ in the last digits; the same input must give the same bytes.
    return None if p_value is None else float(f"{p_value:.6g}")


def _share(passed: int, total: int) -> float | None:
    return passed / total if total else None


def _evidence(p_value: float | None, pass_rate: Change) -> Evidence:
    if p_value is None or pass_rate.base is None or pass_rate.new is None:
        return "unknown"
    if p_value >= SIGNIFICANCE:
        return "noise"
    return "better" if pass_rate.new > pass_rate.base else "worse"


def compare(base: Iterable[Trial], new: Iterable[Trial]) -> Comparison:
    """Compare two results by their trials."""
    return compare_cells(cells_of(base), cells_of(new))


def compare_cells(base: Iterable[Cell], new: Iterable[Cell]) -> Comparison:
    """Compare two results by their cells, sorted by scenario and provider on both sides."""
    shared: list[tuple[Cell, Cell, tuple[Case, ...], tuple[Case, ...], tuple[Case, ...]]] = []
    added: list[Cell] = []
    missing: list[Cell] = []
    added_failures: list[Case] = []
    added_flaky: list[Case] = []
    for before, after in _pairs(base, new):
        if before is not None and after is not None:
            pair = before.without_cases(), after.without_cases()
            shared.append((*pair, _new_failures(after, before), _fixed(after, before), _flaky(after)))
        elif after is not None:
            added.append(after.without_cases())
            added_failures += _new_failures(after, None)
            added_flaky += _flaky(after)
        elif before is not None:
            missing.append(before.without_cases())
    p_values = holm([_p_value(before, after) for before, after, *_ in shared])
    cells = [
        CellComparison(after.scenario_id, after.provider_id, before, after, new_failures, fixed, flaky, p_value)
        for (before, after, new_failures, fixed, flaky), p_value in zip(shared, p_values, strict=True)
    ]
    return Comparison(tuple(cells), tuple(added), tuple(missing), tuple(added_failures), tuple(added_flaky))


def _pairs(base: Iterable[Cell], new: Iterable[Cell]) -> Iterator[tuple[Cell | None, Cell | None]]:
    """The cells of both sides that belong together; None where a side has none."""
    left, right = iter(base), iter(new)
    before, after = next(left, None), next(right, None)
    while before is not None or after is not None:
        if after is None or (before is not None and _place(before) < _place(after)):
            yield before, None
            before = next(left, None)
        elif before is None or _place(after) < _place(before):
            yield None, after
            after = next(right, None)
        else:
            yield before, after
            before, after = next(left, None), next(right, None)


def _place(cell: Cell) -> tuple[str, str]:
    return cell.scenario_id, cell.provider_id


def _new_failures(new: Cell, base: Cell | None) -> tuple[Case, ...]:
    failed_before = {case for case, tally in base.cases.items() if tally.failing} if base is not None else set()
    return _cases(new, (case for case, tally in new.cases.items() if tally.failing and case not in failed_before))


def _fixed(new: Cell, base: Cell) -> tuple[Case, ...]:
    failed_before = {case for case, tally in base.cases.items() if tally.failing}
    # An attempt that failed and was run again may have been skipped then: it failed no more, and passed neither.
    passing = (case for case, tally in new.cases.items() if tally.passed and not tally.failing)
    return _cases(new, (case for case in passing if case in failed_before))


def _flaky(new: Cell) -> tuple[Case, ...]:
    return _cases(new, new.flaky)


def _cases(cell: Cell, names: Iterable[str]) -> tuple[Case, ...]:
    return tuple(Case(cell.scenario_id, cell.provider_id, name, cell.cases[name].to_look_at) for name in names)


def _p_value(base: Cell, new: Cell) -> float | None:
    if base.trials < 2 or new.trials < 2:
        return None
    return fisher_exact(base.passed, base.trials, new.passed, new.trials)


__all__ = [
    "METRICS",
    "SIGNIFICANCE",
    "Case",
    "CellComparison",
    "Change",
    "Comparison",
    "Evidence",
    "compare",
    "compare_cells",
]
