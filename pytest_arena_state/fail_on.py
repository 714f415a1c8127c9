"""What makes a comparison fail: the conditions of ``arena-state compare --fail-on``."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from .compare import METRICS, Comparison
from .errors import ConfigurationError

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


__all__ = ["Condition", "parse_fail_on"]
