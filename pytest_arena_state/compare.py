"""What changed between two results, per scenario and provider and over all.

Numbers are means or quantiles per trial, and over all only what both sides have is compared: a suite
that grew is not dearer for it. What one side lacks is named instead.

A difference of pass rates is called more than noise when Fisher's exact test says so at 5 %, after
Holm's correction over all cells: among a hundred unchanged cells, five would otherwise look changed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias

from .errors import ConfigurationError
from .trials import Cell, Interval, Trial, cells_of, flakiness, wilson

SIGNIFICANCE = 0.05
Evidence: TypeAlias = Literal["better", "worse", "noise", "unknown"]
"""``unknown``: a side has fewer than two trials, so nothing can be said."""


def fisher_exact(passed: int, total: int, other_passed: int, other_total: int) -> float:
    """How likely a difference of pass rates at least this unlikely is by chance: two-sided, exact."""
    everything, successes = total + other_total, passed + other_passed
    low, high = max(0, successes - other_total), min(successes, total)
    # In logarithms: the binomials of a few thousand runs have more digits than a float has range.
    logs = [
        _log_comb(successes, k) + _log_comb(everything - successes, total - k) - _log_comb(everything, total)
        for k in range(low, high + 1)
    ]
    # Equally likely tables may differ in the last digits.
    limit = logs[passed - low] + 1e-7
    return min(1.0, math.fsum(math.exp(log) for log in logs if log <= limit))


def _log_comb(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


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
    "latency": lambda cell: cell.latency_ns(0.5),
    "latency-p95": lambda cell: cell.latency_ns(0.95),
    "turns": lambda cell: cell.mean_turns,
    "tool-calls": lambda cell: math.fsum(cell.mean_calls().values()) if cell.trials else None,
}
METRICS = tuple(_METRICS)
"""Per trial: dollars, tokens, nanoseconds (median and 95th percentile), user messages, calls."""


@dataclass(frozen=True)
class CellComparison:
    """One scenario with one provider, before and after."""

    scenario_id: str
    provider_id: str
    base: Cell
    new: Cell
    evidence: Evidence
    p_value: float | None

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
        base, new = self.base.mean_calls(), self.new.mean_calls()
        changes = {tool: Change(base.get(tool, 0.0), new.get(tool, 0.0)) for tool in sorted({*base, *new})}
        return {tool: change for tool, change in changes.items() if change.base != change.new}

    @cached_property
    def new_failures(self) -> tuple[Case, ...]:
        """Tests that fail now and did not fail before, or were not there."""
        return _cases(self.new, lambda case, trials: _failed(trials) and not _failed(self.base.cases.get(case, ())))

    @cached_property
    def fixed(self) -> tuple[Case, ...]:
        """Tests that failed before and pass now."""
        return _cases(self.new, lambda case, trials: not _failed(trials) and _failed(self.base.cases.get(case, ())))

    @cached_property
    def flaky(self) -> tuple[Case, ...]:
        """Tests whose trials disagree in the new results."""
        return _flaky(self.new)

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


def _failed(trials: Iterable[Trial]) -> list[Trial]:
    return [trial for trial in trials if not trial.passed and not trial.superseded]


def _cases(cell: Cell, wanted: Callable[[str, tuple[Trial, ...]], object]) -> tuple[Case, ...]:
    """Tests of a cell, each with its failed runs where there are any, else with all its runs."""
    return tuple(
        Case(cell.scenario_id, cell.provider_id, case, tuple(trial.stem for trial in _failed(trials) or trials))
        for case, trials in cell.cases.items()
        if wanted(case, trials)
    )


def _flaky(cell: Cell) -> tuple[Case, ...]:
    return _cases(cell, lambda case, _: case in cell.flaky)


def _side(cell: Cell) -> dict[str, Any]:
    interval = cell.interval
    return {
        "runs": cell.counts.total(),
        "trials": len(cell.trials),
        "passed": cell.passed,
        "pass_rate_low": interval.low if interval else None,
        "pass_rate_high": interval.high if interval else None,
        "flakiness": flakiness(cell),
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

    @cached_property
    def new_failures(self) -> tuple[Case, ...]:
        """Tests that fail now and did not before, those of new cells included."""
        old = tuple(case for cell in self.cells for case in cell.new_failures)
        return old + tuple(
            case for cell in self.added for case in _cases(cell, lambda _, trials: bool(_failed(trials)))
        )

    @cached_property
    def fixed(self) -> tuple[Case, ...]:
        """Tests that failed before and pass now."""
        return tuple(case for cell in self.cells for case in cell.fixed)

    @cached_property
    def flaky(self) -> tuple[Case, ...]:
        """Tests whose trials disagree in the new results."""
        new_cells = (*(cell.new for cell in self.cells), *self.added)
        return tuple(case for cell in new_cells for case in _flaky(cell))

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
        return Change(math.fsum(base for base, _ in known), math.fsum(new for _, new in known))

    def _trials(self, side: Literal["base", "new"]) -> tuple[int, int]:
        cells = [cell.base if side == "base" else cell.new for cell in self.cells]
        return sum(cell.passed for cell in cells), sum(len(cell.trials) for cell in cells)

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
    before = {(cell.scenario_id, cell.provider_id): cell for cell in cells_of(base)}
    after = {(cell.scenario_id, cell.provider_id): cell for cell in cells_of(new)}
    shared = [key for key in after if key in before]
    raw = [_cell_p_value(before[key], after[key]) for key in shared]
    corrected = _holm(raw)
    return Comparison(
        cells=tuple(
            CellComparison(
                *key,
                base=before[key],
                new=after[key],
                p_value=p_value,
                evidence=_evidence(p_value, Change(before[key].pass_rate, after[key].pass_rate)),
            )
            for key, p_value in zip(shared, corrected, strict=True)
        ),
        added=tuple(cell for key, cell in after.items() if key not in before),
        missing=tuple(cell for key, cell in before.items() if key not in after),
    )


def _cell_p_value(base: Cell, new: Cell) -> float | None:
    if len(base.trials) < 2 or len(new.trials) < 2:
        return None
    return fisher_exact(base.passed, len(base.trials), new.passed, len(new.trials))


def _holm(p_values: list[float | None]) -> list[float | None]:
    """The p values, corrected for there being many of them."""
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    corrected = list(p_values)
    highest = 0.0
    for rank, (p, place) in enumerate(known):
        highest = max(highest, min(1.0, p * (len(known) - rank)))
        corrected[place] = highest
    return corrected


# --- what makes a comparison fail ----------------------------------------------------------

_COUNTS = ("new-failures", "flaky", "missing")
_CONDITION = re.compile(r"(?P<name>[a-z0-9-]+?)(?P<sign>[+-])(?P<percent>\d+(?:\.\d+)?)%")


@dataclass(frozen=True, slots=True)
class Condition:
    """One term of ``--fail-on``."""

    text: str
    name: str
    change: float | None = None
    """Signed: -0.05 means a fall by five per cent (of a pass rate: five percentage points). None for counts."""

    def violated(self, comparison: Comparison) -> str:
        """Why the comparison fails on this; empty when it does not."""
        if self.change is None:
            found = len(
                {
                    "new-failures": comparison.new_failures,
                    "flaky": comparison.flaky,
                    "missing": comparison.missing,
                }[self.name]
            )
            return f"{self.text}: {found}" if found else ""
        if self.name == "pass-rate":
            rates = comparison.pass_rate
            difference = None if rates.base is None or rates.new is None else rates.new - rates.base
        else:
            difference = comparison.metrics[self.name].relative
        if difference is None or not self._beyond(difference):
            return ""
        if self.name == "pass-rate":
            noise = ", which may be noise" if comparison.evidence in ("noise", "unknown") else ""
            return f"{self.text}: {difference * 100:+.1f} percentage points{noise}"
        shown = f"{difference * 100:+.1f}%" if math.isfinite(difference) else "up from nothing"
        return f"{self.text}: {shown}"

    def _beyond(self, difference: float) -> bool:
        assert self.change is not None
        # A tenth of a percent of a percent is rounding, not a change.
        wanted, slack = self.change, 1e-6
        return difference > wanted + slack if "+" in self.text else difference < wanted - slack


def parse_fail_on(text: str) -> tuple[Condition, ...]:
    """Read ``new-failures,cost+10%,latency+20%,pass-rate-5%``.

    Counts (``new-failures``, ``flaky``, ``missing``) fail on any. ``NAME+N%`` and ``NAME-N%`` fail on a change
    by more than that; NAME is ``pass-rate`` (percentage points) or one of `METRICS` (per cent).

    Raises:
        ConfigurationError: A term cannot be read; it is named with what could stand there.
    """
    conditions = [_parse_condition(term.strip()) for term in text.split(",") if term.strip()]
    if not conditions:
        raise ConfigurationError(f"--fail-on: a condition such as 'new-failures' was wanted, {text!r} was there")
    return tuple(conditions)


def _parse_condition(term: str) -> Condition:
    if term in _COUNTS:
        return Condition(term, term)
    changing = ("pass-rate", *METRICS)
    match = _CONDITION.fullmatch(term)
    if match is not None and match["name"] in changing:
        percent = float(match["percent"]) / 100
        return Condition(term, match["name"], percent if match["sign"] == "+" else -percent)
    if match is not None and match["name"] in _COUNTS:
        raise ConfigurationError(f"--fail-on: {match['name']!r} takes no threshold, {term!r} was there")
    if match is None and term in changing:
        raise ConfigurationError(f"--fail-on: {term!r} needs a threshold, such as '{term}+10%'")
    if match is None and any(term.startswith((f"{name}+", f"{name}-")) for name in changing):
        raise ConfigurationError(f"--fail-on: a threshold such as '+10%' was wanted, {term!r} was there")
    raise ConfigurationError(f"--fail-on: {term!r} is not one of {', '.join((*_COUNTS, *changing))}")


__all__ = [
    "METRICS",
    "SIGNIFICANCE",
    "Case",
    "CellComparison",
    "Change",
    "Comparison",
    "Condition",
    "Evidence",
    "compare",
    "fisher_exact",
    "parse_fail_on",
]
