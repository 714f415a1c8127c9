"""What fixtures give to tests, and the hooks that follow each test; those of a session build on them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from . import _budgets, _xdist
from ._text import as_text
from ._wire import told
from .errors import ConfigurationError
from .price_file import PriceFile
from .prices import Prices
from .recorder import ArenaRun
from .store import ArenaStateStore
from .target import place_of
from .verdict import PASSED_PHASES, PhaseReport

if TYPE_CHECKING:
    from .attempts import TestRecorder

HOOKS_KEY = pytest.StashKey["TestHooks"]()
_STORE_KEY = pytest.StashKey[ArenaStateStore]()
_PRICES_KEY = pytest.StashKey[Prices]()
TEST_STORE_KEY = pytest.StashKey[ArenaStateStore]()
"""Of a test: its store where nothing is recorded."""
ON_STORE_KEY = pytest.StashKey[Callable[[ArenaStateStore], None]]()
"""Of a test: who wants to know its store."""
_MESSAGE_LIMIT = 4000  # characters of a failure's message


# --- fixtures ----------------------------------------------------------------------------


def store_of(item: pytest.Item) -> ArenaStateStore:
    """The store of a test."""
    hooks = item.config.stash.get(HOOKS_KEY, None)
    tests = hooks.tests if hooks is not None else None
    return _store_of(item, item.nodeid, tests, _prices_of(item.config))


def _store_of(item: pytest.Item, key: str, tests: TestRecorder | None, prices: Prices) -> ArenaStateStore:
    marked = _is_marked(item)
    attempt = tests.attempt(key) if tests is not None else None
    if tests is None or attempt is None:
        store = item.stash.get(TEST_STORE_KEY, None) or ArenaStateStore()
        store._default_id = plain_nodeid(item)
    else:
        with tests.making_store:
            store = attempt.store or tests.store_for(attempt, _marker(item, tests) if marked else {})
        store._default_id = attempt.nodeid
    store._prices = prices
    if ON_STORE_KEY in item.stash:
        item.stash[ON_STORE_KEY](store)
    if marked:
        _budgets.watch(item, store)
    return store


def _is_marked(item: pytest.Item) -> bool:
    """Whether `item.get_closest_marker` would find an ``arena`` marker: most tests have none, and it asks at length."""
    node: Any = item
    while node is not None:
        for mark in node.own_markers:
            if mark.name == "arena":
                return True
        node = node.parent
    return False


def session_store_of(config: pytest.Config) -> ArenaStateStore:
    """The store of this process."""
    hooks = config.stash.get(HOOKS_KEY, None)
    if hooks is not None and hooks.tests is not None:
        store = hooks.tests.session_store
    else:
        store = config.stash.setdefault(_STORE_KEY, ArenaStateStore())
    store._prices = _prices_of(config)
    return store


def read_prices(config: pytest.Config) -> None:
    """Read the price file that the user named.

    Raises:
        pytest.UsageError: It cannot be used.
    """
    told = _xdist.prices_told(config)
    if told is not None:
        file = PriceFile.from_dict(told)
    else:
        given, base, name = config.getoption("arena_prices"), config.invocation_params.dir, "--arena-prices"
        if not given:
            given, base, name = config.getini("arena_prices"), config.rootpath, "arena_prices"
        try:
            file = PriceFile.read(place_of(given, base), str(given))
        except ConfigurationError as error:
            raise pytest.UsageError(f"{name}: {error}") from None
        config.pluginmanager.register(_xdist.PricesForWorkers(file.to_dict()), "arena_state_prices")
    config.stash[_PRICES_KEY] = Prices(file)


def _prices_of(config: pytest.Config) -> Prices:
    prices = config.stash.get(_PRICES_KEY, None)
    if prices is None:
        prices = config.stash[_PRICES_KEY] = Prices()
    return prices


def run_of(item: pytest.Item, store: ArenaStateStore) -> ArenaRun:
    """The recorder of a test."""
    return ArenaRun(store, plain_nodeid(item))


def plain_nodeid(item: pytest.Item) -> str:
    """The node id without the ``@group`` that xdist puts behind it."""
    nodeid = item.nodeid
    if "@" not in nodeid:
        return nodeid
    marks = item.iter_markers("xdist_group")
    groups = [str(mark.args[0] if mark.args else mark.kwargs.get("name", "default")) for mark in marks]
    # Some versions name all of a test's groups, others the closest.
    for group in ["_".join(sorted(set(groups))), *groups[:1]]:
        if group and item.nodeid.endswith(f"@{group}"):
            return item.nodeid.removesuffix(f"@{group}")
    return item.nodeid


def _marker(item: pytest.Item, tests: TestRecorder) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for mark in item.iter_markers("arena"):  # the closest first
        merged = {**{key: mark.kwargs[key] for key in mark.kwargs if key not in _budgets.LIMITS}, **merged}
    if not merged:
        return {}
    from .models import RunMetadata

    labels: dict[str, Any] = {}
    try:
        for mark in item.iter_markers("arena"):
            labels = {**(mark.kwargs.get("labels") or {}), **labels}
        metadata = RunMetadata.model_validate({**merged, "labels": {k: as_text(v) for k, v in labels.items()}})
    except (TypeError, ValueError) as error:
        tests.recording.trouble(f"arena marker of {plain_nodeid(item)}: {told(error)}")
        return {}
    always = RunMetadata().to_dict()
    return {key: value for key, value in metadata.to_dict().items() if always.get(key) != value}


# --- how tests end -------------------------------------------------------------------------


class _Running(threading.local):
    """Of a thread."""

    test: tuple[pytest.Item | None, str] = (None, "")
    """What runs in it, with its node id, which newer versions of pytest put together whenever they are asked."""


class TestHooks:
    """In a process that runs tests: follows each of them from set-up to its last report."""

    __test__ = False  # not a test class, whatever its name says to a collector

    tests: TestRecorder | None
    interruption = ""
    """What cut the session short, when something did."""
    journals: Path | None
    """The folder with the journals of all sessions into these results."""

    def __init__(self, config: pytest.Config, journals: Path | None) -> None:
        self.journals = journals
        self.tests = None
        self._config = config
        self._running = _Running()
        self._latest = self._running.test
        self._prices: Prices | None = None

    # These two take the place of the plugin's, and do the same without `request`: to give it to a fixture, pytest
    # inspects the signature of a function, up to three times for each test.

    @pytest.fixture
    def arena_store(self) -> ArenaStateStore:
        """The store of this test's conversations; each becomes a run in the results."""
        item, key = self._test
        if item is None:
            return ArenaStateStore() if self.tests is None else self.tests.unannounced_store()
        if self._prices is None:
            self._prices = _prices_of(self._config)
        return _store_of(item, key, self.tests, self._prices)

    @pytest.fixture
    def arena_run(self, arena_store: ArenaStateStore) -> ArenaRun:
        """A recorder for the one conversation that most tests have; its id is the node id."""
        item, _ = self._test
        return ArenaRun(arena_store, arena_store._default_id or "a test") if item is None else run_of(item, arena_store)

    @property
    def _test(self) -> tuple[pytest.Item | None, str]:
        """What runs: in this thread, or where a thread of its own makes the fixtures, what was begun last.

        None where somebody runs tests and tells nobody of them.
        """
        running = self._running.test
        return self._latest if running[0] is None else running

    @pytest.hookimpl(tryfirst=True)
    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        # Other sessions come and go there, and a folder that is gone when pytest looks into it is an error.
        return True if collection_path == self.journals else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        self.interruption = self.interruption or name_of_interruption(excinfo.value)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        # Before the set-up, which may come in a forked child while this process only hears how the test ended.
        self._begin(item)
        return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        self._begin(item)

    def _begin(self, item: pytest.Item) -> None:
        running, nodeid = self._running.test
        if running is not item:
            nodeid = item.nodeid
            self._running.test = self._latest = (item, nodeid)
        if self.tests is None:
            return
        # pytest-rerunfailures counts across workers that died, and tells before the set-up.
        at_least = item.__dict__.get("execution_count", 1)
        if at_least != 1 or self.tests.beginning(nodeid) is None:
            self.tests.begin(nodeid, plain_nodeid(item), at_least=at_least if isinstance(at_least, int) else 1)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[Any]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        # A strict xfail that passes is a failure, and nothing was raised.
        if self.tests is None or (call.excinfo is None and report.outcome != "failed" and not self.tests.in_child):
            return report
        attempt = self.tests.attempt(item.nodeid)
        if attempt is not None and call.excinfo is not None and not _is_expected(call.excinfo.value):
            attempt.errors.append(call.when)
        if attempt is not None and report.outcome == "failed":
            attempt.unlogged.append(phase_report(report))
        if attempt is not None and attempt.in_child:
            self.tests.report(item.nodeid, phase_report(report))  # logged in the parent, as text
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_exception_interact(self, node: pytest.Item | pytest.Collector, report: object) -> None:
        # Who runs a test again without asking anybody for a report tells at least this.
        attempt = self.tests.attempt(node.nodeid) if self.tests is not None else None
        if attempt is not None and not attempt.unlogged and isinstance(report, pytest.TestReport):
            attempt.unlogged.append(phase_report(report))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if self.tests is not None:
            self.tests.report(report.nodeid, phase_report(report))

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        if self.tests is not None:
            self.tests.close(nodeid)


def _is_expected(error: BaseException) -> bool:
    """Whether a test raises this to say that it failed or skipped, and not because something broke."""
    doctest = sys.modules.get("doctest")
    # With `--doctest-continue-on-failure` pytest raises all of a doctest in one.
    failures = getattr(error, "failures", []) if type(error).__name__ == "MultipleDoctestFailures" else [error]
    if doctest is not None and all(isinstance(failure, doctest.DocTestFailure) for failure in failures):
        return True
    return isinstance(error, AssertionError | pytest.fail.Exception | pytest.skip.Exception | pytest.xfail.Exception)


def name_of_interruption(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "KeyboardInterrupt"
    return str(error) or type(error).__name__


def phase_report(report: pytest.TestReport) -> PhaseReport:
    """What matters of a report."""
    values = report.__dict__  # three times for each test, and mostly there is nothing to tell
    expected, part = "wasxfail" in values, "context" in values and is_part(report)
    when, outcome = str(report.when), str(report.outcome)
    if outcome == "passed" and not expected:
        return PASSED_PHASES[when] if when in PASSED_PHASES and not part else PhaseReport(when, outcome, part=part)
    return PhaseReport(when, outcome, _message(report)[:_MESSAGE_LIMIT], expected, part)


def is_part(report: pytest.TestReport) -> bool:
    """Whether a report is a subtest's; anybody may have given one of a whole test a ``context`` of their own."""
    return "context" in report.__dict__ and "subtest" in type(report).__name__.lower()


def _message(report: pytest.TestReport) -> str:
    if hasattr(report, "wasxfail"):
        return str(report.wasxfail).removeprefix("reason: ")
    longrepr = report.longrepr
    if isinstance(longrepr, tuple):
        return str(longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(longrepr, "reprcrash", None)
    return str(crash.message) if crash is not None else str(longrepr or "")


__all__ = [
    "HOOKS_KEY",
    "ON_STORE_KEY",
    "TEST_STORE_KEY",
    "TestHooks",
    "is_part",
    "name_of_interruption",
    "phase_report",
    "plain_nodeid",
    "read_prices",
    "run_of",
    "session_store_of",
    "store_of",
]
