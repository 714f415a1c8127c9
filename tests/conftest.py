"""What the tests of the plugin share: pytest runs inside pytest, and the results that they leave."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from pytest_arena_state import ArenaStateStore, RunResult, load_results
from pytest_arena_state.attempts import TestRecorder
from pytest_arena_state.journal import SUFFIX, JournalFile, JournalWriter
from pytest_arena_state.recording import Recording
from pytest_arena_state.redaction import RedactionRules, Redactor
from pytest_arena_state.verdict import PhaseReport

NO_XDIST = ("-p", "no:xdist")
#: The three ways in which people run a suite.
MODES = (NO_XDIST, ("-n0",), ("-n2",))

# A busy machine is no fault of the code: no property has a deadline, and slow generation is none.
settings.register_profile(
    "patient",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("patient")

# What may differ between two runs of one suite: times, what they add up to, and who ran what.
_TIME = rb'"\d{4}-\d\d-\d\dT[0-9:.]+Z"'
_VARYING = (
    (re.compile(_TIME), b'"<time>"'),
    (re.compile(rb'("(?:Duration|duration_ns)": ?)\d+'), rb"\1<duration>"),
    (re.compile(rb'("total_duration": ?)"[^"]+"'), rb'\1"<duration>"'),
    (re.compile(rb'("pytest.worker": ?)"[^"]+"'), rb'\1"<worker>"'),
    (re.compile(rb'("workers": ?)\d+'), rb"\1<workers>"),
)


def without_what_varies(content: bytes) -> bytes:
    """A file of results without times and worker names."""
    for pattern, replacement in _VARYING:
        content = pattern.sub(replacement, content)
    return content


def _calls_of(action: Callable[[], object]) -> int:
    counted = 0

    def count(*_: object) -> None:
        nonlocal counted
        counted += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        action()
    finally:
        sys.setprofile(before)
    return counted


@pytest.fixture
def calls_of() -> Callable[[Callable[[], object]], int]:
    """How many calls and returns an action takes: its cost, on a busy machine as well."""
    return _calls_of


class Suite:
    """A suite of somebody who has the plugin: write it, run it, open what it left."""

    # Workers cannot read what the controller wrote beside the journals: they are on another machine.
    FAR_AWAY = """
import os, pytest

@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    if hasattr(config, "workerinput") and "FAR" in os.environ:
        import pytest_arena_state.worker as worker
        worker._reads_token = lambda *args: False
"""

    def __init__(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pytester = pytester
        self.path = pytester.path
        self.results = pytester.path / "arena-results"
        self._monkeypatch = monkeypatch

    def write(self, source: str, name: str = "test_suite") -> None:
        """Write a test module."""
        self.pytester.makepyfile(**{name: source})

    def run(self, *args: str, to: str = "arena-results", plugins: Sequence[str] = ()) -> pytest.RunResult:
        """Run it in this process, writing results."""
        self.load(*plugins, xdist="no:xdist" not in args)
        return self.pytester.runpytest(f"--arena-results={to}", *args)

    def run_apart(self, *args: str, to: str = "arena-results", plugins: Sequence[str] = ()) -> pytest.RunResult:
        """Run it in a process of its own, writing results."""
        self.load(*plugins, xdist="no:xdist" not in args)
        return self.pytester.runpytest_subprocess(f"--arena-results={to}", *args)

    def load(self, *plugins: str, xdist: bool = True, ours: bool = True) -> None:
        """Have the next runs load these plugins beside this one, and no others."""
        names = (*(("arena_state",) if ours else ()), *(("xdist",) if xdist else ()), *plugins)
        self._monkeypatch.setenv("PYTEST_ADDOPTS", " ".join(f"-p {name}" for name in names))

    @staticmethod
    def lines(result: pytest.RunResult) -> list[str]:
        """What the plugin wrote on the terminal."""
        return [line for line in [*result.outlines, *result.errlines] if line.startswith("arena:")]

    # --- what a user opens -------------------------------------------------------------------

    @property
    def index(self) -> dict[str, Any]:
        """The index of the results directory."""
        return self.index_of("arena-results")

    def index_of(self, directory: str) -> dict[str, Any]:
        """The index of another directory."""
        index: dict[str, Any] = json.loads((self.path / directory / "index.json").read_bytes())
        return index

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        """The rows of the index by run id; in a suite where each has one."""
        rows = {row["run_id"]: row for row in self.index["runs"]}
        assert len(rows) == len(self.index["runs"]), "two runs with one id"
        return rows

    def runs(self, path: Path | str = "arena-results") -> list[RunResult]:
        """All runs, in the order of the index."""
        return list(load_results(self.path / path))

    def only_run(self) -> RunResult:
        """The one run that there is."""
        (run,) = self.runs()
        return run

    def run_named(self, run_id: str) -> RunResult:
        """The run with an id."""
        (run,) = [run for run in self.runs() if run.run_id == run_id]
        return run

    def said(self) -> dict[str, list[str]]:
        """What was said in each run, by run id."""
        return {run.run_id: [message.content for message in run.messages] for run in self.runs()}

    def files(self, under: str = "arena-results") -> dict[str, bytes]:
        """Every file of the results by its name, without what varies between two runs."""
        directory = self.path / under
        return {
            path.relative_to(directory).as_posix(): without_what_varies(path.read_bytes())
            for path in directory.rglob("*")
            if path.is_file()
        }


class Process:
    """One process of a session: it runs tests, without pytest, and keeps a journal."""

    def __init__(self, directory: Path, worker: str = "main") -> None:
        self.journal = directory / f"{worker}{SUFFIX}"
        self._dead = False
        self.recorder = TestRecorder(
            Recording(
                lambda name: JournalWriter(JournalFile(directory / f"{name}{SUFFIX}")),
                session="session",
                worker=worker,
                redactor=Redactor(RedactionRules(env=False, keys=False)),
            )
        )

    @contextmanager
    def test(self, nodeid: str = "test_it", *, outcome: str = "passed") -> Iterator[ArenaStateStore]:
        """Run a test with this store."""
        attempt = self.recorder.begin(nodeid, nodeid)
        yield self.recorder.store_for(attempt, {})
        if self._dead:
            return
        self.recorder.report(nodeid, PhaseReport(when="call", outcome=outcome, message=outcome))
        self.recorder.report(nodeid, PhaseReport(when="teardown", outcome="passed"))

    def end(self) -> None:
        """All tests were run."""
        self.recorder.end()

    def die(self) -> None:
        """Nothing more is written, and the lock is gone."""
        self._dead = True  # a journal that is closed is opened again for the next line
        self.recorder.recording.writer.abandon()
        self.recorder.recording._ended = True  # else the end of a test that is still open would begin the journal anew


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    """A process whose journal is alone in its session."""
    directory = tmp_path / "session"
    directory.mkdir()
    running = Process(directory)
    yield running
    running.die()


@pytest.fixture
def process_type() -> type[Process]:
    """For tests with several of them."""
    return Process


@pytest.fixture(autouse=True)
def _inner_runs_load_no_neighbour(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inner runs have this plugin and xdist, whatever else is installed where these tests run.

    They are no runs of CI, wherever these tests run: pytest prints more there, and a step summary is the step's own.
    """
    for name in ("CI", "BUILD_NUMBER", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)
    for name in [name for name in os.environ if name.startswith("PYTEST_XDIST_")]:
        monkeypatch.delenv(name)  # these tests may run in a worker, and what they run is in none
    if "pytester" in request.fixturenames:
        request.getfixturevalue("pytester")  # first, because it removes PYTEST_ADDOPTS
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        monkeypatch.setenv("PYTEST_ADDOPTS", "-p arena_state -p xdist")


@pytest.fixture(params=MODES, ids=" ".join)
def run_args(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The arguments of each way in which people run a suite."""
    args = list(request.param)
    if args == list(NO_XDIST) and "pytester" in request.fixturenames:
        request.getfixturevalue("pytester")
        monkeypatch.setenv("PYTEST_ADDOPTS", "-p arena_state")
    return args


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Suite:
    """Somebody's suite."""
    return Suite(pytester, monkeypatch)


@pytest.fixture
def far_workers(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers of this suite do not see the controller's disk."""
    suite.pytester.makeconftest(suite.FAR_AWAY)
    monkeypatch.setenv("FAR", "1")
