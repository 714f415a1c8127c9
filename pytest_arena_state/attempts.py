"""Attempts at tests, each followed from its beginning to its last report, and the verdict that comes of it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from os import getpid  # by name: a test may replace what the module has
from typing import TYPE_CHECKING, Any

from ._forks import tell_of_forks
from ._system import now
from ._times import format_time
from .store import ArenaStateStore
from .verdict import PASSED, PASSED_PHASES, PhaseReport, RunContext, Verdict, crashed, interrupted

if TYPE_CHECKING:
    from .recording import Recording, StoreRecording

DEATH = "???"
"""The phase that pytest-forked reports of a test whose process died."""

_NO_FAILURES = ("passed", "skipped")
_ALL_PASSED = list(PASSED_PHASES.values())


@dataclass(slots=True)
class Attempt:
    """One attempt at a test, while it runs."""

    key: str
    """The node id as reports have it."""
    nodeid: str
    """As people know it."""
    number: int = 1
    started: datetime = field(default_factory=now)
    reports: list[PhaseReport] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    """Phases in which something other than an assertion was raised."""
    unlogged: list[PhaseReport] = field(default_factory=list)
    """Failures that were seen and may never be reported: who runs a test again may keep them."""
    stores: list[StoreRecording] = field(default_factory=list)
    store: ArenaStateStore | None = None
    pid: int = field(default_factory=getpid)

    @property
    def in_child(self) -> bool:
        """Whether the test runs in a child that was forked for it, whose parent logs its reports."""
        return getpid() != self.pid

    def verdict(self) -> Verdict:
        """How the test ended, from all reports so far."""
        if self.reports == _ALL_PASSED:
            return PASSED
        failed = [report for report in self.reports if report.outcome not in _NO_FAILURES]
        if failed:
            return self._failure(failed)
        main = [report for report in self.reports if not report.part]
        skipped = [report for report in main if report.outcome == "skipped"]
        if any(report.expected for report in main):
            outcome = "xfailed" if skipped else "xpassed"
            return Verdict(outcome=outcome, passed=True, message=next(r.message for r in main if r.expected) or outcome)
        if skipped:
            return Verdict(outcome="skipped", passed=True, message=skipped[0].message, skip_reason=skipped[0].message)
        if not any(report.when == "call" for report in main):
            if self.unlogged:
                return self.run_again()
            return interrupted("interrupted: the test did not get to its end")
        return PASSED

    def run_again(self) -> Verdict:
        """How this attempt ended, of which nothing more was heard before another began."""
        told = {report.when for report in self.reports if report.outcome not in _NO_FAILURES}
        self.reports += [each._replace(outcome="rerun") for each in self.unlogged if each.when not in told]
        if any(report.outcome not in _NO_FAILURES for report in self.reports):
            return self.verdict()
        return Verdict(outcome="rerun", passed=False, message="the test was run again")

    def _failure(self, failed: list[PhaseReport]) -> Verdict:
        first = failed[0]
        if first.when == DEATH:
            return crashed(first.message)
        outside = next((report for report in failed if report.when != "call"), None)
        error = ""
        if outside is not None and (outside is first or "call" not in {report.when for report in failed}):
            error = f"error in {'set-up' if outside.when == 'setup' else 'tear-down'}: {outside.message}"
        elif "call" in self.errors and any(report.when == "call" for report in failed):
            error = next(report.message for report in failed if report.when == "call")
        elif outside is not None:
            error = f"error in tear-down: {outside.message}"
        again = any(report.outcome != "failed" for report in failed)
        outcome = "rerun" if again else "error" if error else "failed"
        message = "\n".join(dict.fromkeys(report.message for report in failed if report.message))
        return Verdict(outcome=outcome, passed=False, message=message or "failed", error=error)


class TestRecorder:
    """Follows the tests of this process and records their stores."""

    __test__ = False  # not a test class, whatever its name says to a collector

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self._attempts: dict[str, Attempt] = {}
        self._counts: dict[str, int] = {}
        self._session_store: ArenaStateStore | None = None
        self._unannounced = 0
        self._pid = getpid()
        self.making_store = threading.Lock()
        """What is captured may come from any thread."""
        tell_of_forks(self)

    def _let_go_after_fork(self) -> None:
        """Another thread of the parent may have been making a store."""
        self.making_store = threading.Lock()

    @property
    def in_child(self) -> bool:
        """Whether this is a child that was forked for a test."""
        return getpid() != self._pid

    def begin(self, key: str, nodeid: str, *, at_least: int = 1) -> Attempt:
        """A test is about to be set up, here or in a child that is forked for it.

        Args:
            key: The node id as its reports will have it.
            nodeid: The node id as people know it.
            at_least: The number of this attempt, where somebody else counts, too.
        """
        attempt = self.beginning(key)
        if attempt is not None:
            self._counts[key] = attempt.number = max(attempt.number, at_least)
            return attempt
        self.close(key, run_again=True)
        number = max(self._counts.get(key, 0) + 1, at_least)
        self._counts[key] = number
        attempt = self._attempts[key] = Attempt(key, nodeid, number)
        return attempt

    def beginning(self, key: str) -> Attempt | None:
        """The attempt that is open for a node id and of which nothing has been heard yet."""
        attempt = self._attempts.get(key)
        return attempt if attempt is not None and not attempt.reports and not attempt.stores else None

    def attempt(self, key: str) -> Attempt | None:
        """The attempt that is open for a node id."""
        return self._attempts.get(key)

    def store_for(self, attempt: Attempt, marker: Mapping[str, Any]) -> ArenaStateStore:
        """The store of a test, made when it is first asked for."""
        if attempt.store is None:
            attempt.store = ArenaStateStore()
            context = RunContext(
                worker=self.recording.worker,
                nodeid=attempt.nodeid,
                attempt=attempt.number,
                started=format_time(attempt.started),
                marker=dict(marker),
            )
            attempt.stores.append(self.recording.attach(attempt.store, context))
        return attempt.store

    @property
    def session_store(self) -> ArenaStateStore:
        """The store of this process for fixtures of wider scope."""
        if self._session_store is None:
            self._session_store = ArenaStateStore()
            self.recording.attach(self._session_store, RunContext(worker=self.recording.worker))
        return self._session_store

    def unannounced_store(self) -> ArenaStateStore:
        """The store of a test that somebody runs past pytest's hooks; which it is, and how it ends, nobody tells."""
        self._unannounced += 1
        name = f"unannounced test {self._unannounced}"
        store = self.store_for(self.begin(name, name), {})
        store._default_id = name
        self.recording.trouble("a test ran that pytest did not announce; how it ended is not known")
        return store

    def report(self, key: str, report: PhaseReport) -> None:
        """A report of a test came in."""
        attempt = self._attempts.get(key)
        if attempt is not None:
            attempt.reports.append(report)
            if report.when == DEATH:
                # What it saved is in the journal of the child; that it died is known here alone.
                self.store_for(attempt, {})
            # Some that run tests again have outcomes of their own for that.
            again = report.outcome not in ("failed", *_NO_FAILURES)
            if again or (report.when == "teardown" and not report.part):
                self.close(key)

    def close(self, key: str, *, run_again: bool = False) -> None:
        """Nothing more will be heard of this attempt."""
        attempt = self._attempts.pop(key, None)
        if attempt is not None and attempt.stores:
            verdict = attempt.run_again() if run_again else attempt.verdict()
            for store in attempt.stores:
                self.recording.finish(store, verdict)

    def end(self, reason: str = "") -> None:
        """The process runs no further test."""
        for key, attempt in list(self._attempts.items()):
            if attempt.reports and any(report.when == "call" for report in attempt.reports) and not reason:
                self.close(key)
        verdict = interrupted(f"interrupted: {reason or 'the session ended before the test did'}")
        self.recording.end(interrupted=verdict, reason=reason)


__all__ = ["Attempt", "TestRecorder"]
