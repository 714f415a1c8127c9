"""What may be said of rates and quantiles: pure functions, exact or with a known error."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

_Z_95 = 1.959963984540054  # standard deviations that hold 95 % of a normal distribution


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


def rate_of(passed: int, total: int) -> dict[str, Any]:
    """What trials that passed or failed tell: the rate, its interval, and pass^k for each k up to ten.

    Raises:
        ValueError: There are no trials, or more passed than there are.
    """
    interval = wilson(passed, total)
    return {
        "trial_count": total,
        "passed": passed,
        "pass_rate": passed / total,
        "pass_rate_low": interval.low,
        "pass_rate_high": interval.high,
        "pass_hat_k": {str(k): pass_hat_k(passed, total, k) for k in range(1, min(total, 10) + 1)},
    }


def quantile(values: Iterable[float], share: float) -> float | None:
    """The value below which ``share`` of the values lie, interpolated; None when there are none."""
    ordered = sorted(values)
    if not ordered:
        return None
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def mean(values: Sequence[float]) -> float | None:
    """The mean, without the error that adding up one by one leaves; None when there are no values."""
    if not values:
        return None
    try:
        return math.fsum(values) / len(values)
    except OverflowError:  # a file of results may say any number of dollars
        return _scaled_sum(values) / len(values) * _SCALE


def exact_sum(values: Iterable[float]) -> float:
    """The sum, without the error that adding up one by one leaves; an infinity where it is beyond all numbers."""
    given = list(values)
    try:
        return math.fsum(given)
    except OverflowError:
        return _scaled_sum(given) * _SCALE


_SCALE = 2.0**64  # more than there are values


def _scaled_sum(values: Iterable[float]) -> float:
    return math.fsum(value / _SCALE for value in values)


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


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """The p values, corrected for there being many of them; None stays."""
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    corrected = list(p_values)
    highest = 0.0
    for rank, (p, place) in enumerate(known):
        highest = max(highest, min(1.0, p * (len(known) - rank)))
        corrected[place] = highest
    return corrected


__all__ = ["Interval", "fisher_exact", "holm", "mean", "pass_hat_k", "quantile", "rate_of", "wilson"]
