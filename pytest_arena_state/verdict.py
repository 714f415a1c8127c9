"""What the plugin adds to a run: where it ran, when, and how its test ended.

Everything is filled in where the test left it empty, never over what it wrote. The process
that ran the test does it, and whoever recovers a run of a process that died does the same
from what the journal says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from sys import intern
from typing import Any, NamedTuple, Self

from . import document, telemetry
from ._times import ZERO_TIME
from .telemetry import OUTCOME_ASSERTION, MessageFacts

_NO_MARKER: Mapping[str, Any] = {}  # one for all: there may be a million contexts in memory


class RunContext(NamedTuple):
    """Where a conversation was saved: plain JSON values, which stand in a journal under their names."""

    worker: str
    """xdist's id of the worker; ``main`` without xdist."""
    nodeid: str = ""
    """Empty for conversations of the session store."""
    attempt: int = 1
    started: str = ZERO_TIME
    """When the set-up of the test began; RFC 3339."""
    marker: Mapping[str, Any] = _NO_MARKER
    """Keywords of the ``arena`` markers, merged, in wire form."""
    mark: str = ""
    """Stands for the node id where that was redacted: those of two tests may have become the same."""

    @property
    def test(self) -> str:
        """What tells its test from others."""
        return self.mark or self.nodeid

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read back, tolerant of what a damaged or newer journal may hold."""
        marker = data.get("marker")
        return cls(
            worker=intern(str(data.get("worker") or "")),
            nodeid=str(data.get("nodeid") or ""),
            attempt=data["attempt"] if isinstance(data.get("attempt"), int) else 1,
            started=str(data.get("started") or ZERO_TIME),
            marker=marker if isinstance(marker, Mapping) and marker else _NO_MARKER,
            mark=str(data.get("mark") or ""),
        )


class PhaseReport(NamedTuple):
    """What one report of a test says."""

    when: str
    outcome: str
    """``passed``, ``failed``, ``skipped``; ``rerun`` for a failure that is tried again."""
    message: str = ""
    expected: bool = False
    """An xfail mark applies."""
    part: bool = False
    """A subtest's report."""


#: What most tests say, three times.
PASSED_PHASES = {when: PhaseReport(when, "passed") for when in ("setup", "call", "teardown")}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How a test ended, from all its reports."""

    outcome: str
    """``passed``, ``failed``, ``error``, ``skipped``, ``xfailed``, ``xpassed``, ``interrupted``, ``crashed``;
    ``rerun`` when it was tried again."""
    passed: bool
    message: str = ""
    """What failed, in a few lines."""
    error: str = ""
    """Set when something other than an assertion went wrong."""
    skip_reason: str | None = None
    """None when the test did not skip."""

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "outcome": self.outcome,
            "passed": self.passed,
            "message": self.message,
            "error": self.error,
            "skip_reason": self.skip_reason,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read back, tolerant of what a damaged or newer journal may hold."""
        reason = data.get("skip_reason")
        return cls(
            outcome=str(data.get("outcome") or ""),
            passed=bool(data.get("passed")),
            message=str(data.get("message") or ""),
            error=str(data.get("error") or ""),
            skip_reason=None if reason is None else str(reason),
        )


PASSED = Verdict(outcome="passed", passed=True)


def interrupted(what: str) -> Verdict:
    """The verdict of a test that was cut short, by a person or by a time limit."""
    return Verdict(outcome="interrupted", passed=False, message=what, error=what)


def crashed(what: str) -> Verdict:
    """The verdict of a test whose process died."""
    return Verdict(outcome="crashed", passed=False, message=what, error=what)


def fill_in(
    metadata: Mapping[str, Any] | None,
    *,
    conversation_id: str,
    facts: Sequence[MessageFacts],
    context: RunContext,
    verdict: Verdict | None,
    last_save: str,
) -> dict[str, Any]:
    """Run metadata in wire form, with everything filled in that the test left empty."""
    given = metadata or {}
    marker = context.marker
    out = {**marker, **{key: value for key, value in given.items() if value not in _EMPTY or key not in _ALWAYS}}
    out["run_id"] = given.get("run_id") or marker.get("run_id") or conversation_id
    out["scenario_id"] = out.get("scenario_id") or context.nodeid.partition("[")[0]
    out["provider_id"] = out.get("provider_id") or telemetry.only_provider(facts) or "unknown"
    if _no_time(out.get("start_time")):
        out["start_time"] = context.started if context.nodeid else last_save
    if _no_time(out.get("end_time")):
        out["end_time"] = last_save
    out["duration"] = out.get("duration") or document.elapsed(out["start_time"], out["end_time"])
    labels = {**(marker.get("labels") or {}), **(given.get("labels") or {})}
    out["labels"] = labels
    labels.setdefault("pytest.worker", context.worker)
    if context.nodeid:
        labels.setdefault("pytest.nodeid", context.nodeid)
        labels.setdefault("pytest.attempt", str(context.attempt))
    tags = given.get("session_tags") or ()
    further = [tag for tag in marker.get("session_tags") or () if tag not in tags]
    if tags or further:
        out["session_tags"] = [*tags, *further]
    if verdict is not None:
        _judge(out, verdict)
    return out


def attempt_of(labels: Mapping[str, str]) -> int:
    """The number of the attempt, of labels that anybody may have written; 1 where they tell none."""
    attempt = labels.get("pytest.attempt", "")
    return min(int(attempt), 2**31) if attempt.isdecimal() and len(attempt) < 20 else 1


def _judge(out: dict[str, Any], verdict: Verdict) -> None:
    out["labels"].setdefault("pytest.outcome", verdict.outcome)
    out["conv_assertions_results"] = [
        *(out.get("conv_assertions_results") or ()),
        {"type": OUTCOME_ASSERTION, "passed": verdict.passed, "message": verdict.message or verdict.outcome},
    ]
    out["error"] = out.get("error") or verdict.error
    if verdict.skip_reason is not None and not out.get("skipped"):
        out["skipped"] = True
        out["skip_reason"] = out.get("skip_reason") or verdict.skip_reason


# What run metadata in wire form has though nobody wrote it. An empty value of any other key was written.
_ALWAYS = ("run_id", "region", "scenario_id", "provider_id", "start_time", "end_time", "duration")
_EMPTY: tuple[object, ...] = (None, "", ZERO_TIME, 0)


def _no_time(value: object) -> bool:
    return not value or value == ZERO_TIME
