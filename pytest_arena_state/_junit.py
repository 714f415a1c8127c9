"""What pytest's own ``--junitxml`` says of runs: their ids, what they cost, and their tokens.

With ``junit_family=xunit1`` these are properties of the test case. The schema of ``xunit2``, pytest's default, has
no such thing, and Jenkins refuses a file that has it: there they are properties of the test suite, with the node id
behind their names. Reports of workers carry them to the controller, which writes the file, and so do those of a child
that was forked for a test.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from . import telemetry
from ._test_hooks import is_part
from ._wire import dumps, loads

if TYPE_CHECKING:
    from .attempts import TestRecorder
    from .recording import StoreRecording
    from .redaction import Redactor

_PREFIX = "arena."
_RUNS = 20  # runs of one test that are named; a test may save a thousand
_COUNTS = ("input_tokens", "output_tokens", "cached_tokens")
# Not in XML 1.0, not even as a reference. pytest looks after values, not after names.
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class _Hooks(Protocol):
    tests: TestRecorder | None


class JUnitProperties:
    """Registered where ``--junitxml`` and results are both wanted, after the hooks that it asks for tests."""

    def __init__(self, config: pytest.Config, hooks: _Hooks) -> None:
        self._config = config
        self._hooks = hooks
        self._runs = 0
        self._cost = 0.0
        self._tokens: Counter[str] = Counter()

    @pytest.hookimpl(wrapper=True)  # within that of the hooks, which end the test
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        tests = self._hooks.tests
        if tests is not None and tests.in_child:  # what it saved is known here alone, and no report is logged here
            self._guarded(self._add_properties, report)
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._guarded(self._add_properties, report)
        self._guarded(self._move_to_the_suite, report)

    def _guarded(self, act: Callable[[pytest.TestReport], None], report: pytest.TestReport) -> None:
        try:
            act(report)
        except Exception as error:  # noqa: BLE001 - our failure must not fail the suite
            if self._hooks.tests is not None:
                trouble = f"no properties in the JUnit file: {type(error).__name__}: {error}"
                self._hooks.tests.recording.trouble(trouble)

    def _add_properties(self, report: pytest.TestReport) -> None:
        tests = self._hooks.tests
        if tests is None or report.when != "teardown" or is_part(report):
            return
        attempt = tests.attempt(report.nodeid)
        if attempt is not None:
            report.user_properties += properties_of(attempt.stores, tests.recording.redactor)

    def _move_to_the_suite(self, report: pytest.TestReport) -> None:
        xml = _junit_xml(self._config)
        if xml is None or xml.family == "xunit1":
            return
        ours = [(name, value) for name, value in report.user_properties if str(name).startswith(_PREFIX)]
        report.user_properties[:] = [each for each in report.user_properties if each not in ours]
        for name, value in ours:
            xml.add_global_property(_ILLEGAL.sub("?", f"{name}:{report.nodeid}"), value)
            key = str(name).removeprefix(_PREFIX)
            self._runs += int(str(value)) if key == "runs" else 0
            self._cost += float(str(value)) if key == "cost_usd" else 0.0
            self._tokens[key] += int(str(value)) if key in _COUNTS else 0

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        xml = _junit_xml(self._config)
        if xml is not None and self._runs:
            xml.add_global_property("arena.runs", self._runs)
            xml.add_global_property("arena.cost_usd", _decimal(self._cost))
            for name in _COUNTS:
                xml.add_global_property(f"arena.{name}", self._tokens[name])


def properties_of(stores: Iterable[StoreRecording], redactor: Redactor) -> list[tuple[str, object]]:
    """The properties of a test, from what its stores hold by now; none when nothing was saved."""
    conversations = [(store, log.conversation) for store in stores for log in store.logs.values()]
    if not conversations:
        return []
    ids = []
    facts = []
    for store, conversation in conversations:
        given = conversation.metadata or {}
        ids.append(str(given.get("run_id") or store.context.marker.get("run_id") or conversation.id))
        facts += conversation.facts
    cost = telemetry.total_cost(facts)
    named: list[str] = loads(redactor.redact(dumps(ids[:_RUNS])))
    return list(_properties(named, len(ids), cost))


def _properties(ids: list[str], count: int, cost: dict[str, Any]) -> Iterator[tuple[str, object]]:
    yield "arena.runs", str(count)
    for number, run_id in enumerate(ids, 1):
        yield "arena.run_id" if number == 1 else f"arena.run_id.{number}", run_id
    yield "arena.cost_usd", _decimal(cost["total_cost_usd"])
    for name in _COUNTS:
        yield f"arena.{name}", str(cost.get(name) or 0)


def _decimal(dollars: float) -> str:
    """Without an exponent, which some readers take for text."""
    return f"{dollars:.9f}".rstrip("0").rstrip(".")


def _junit_xml(config: pytest.Config) -> Any:
    """What writes the file in this process; None in workers, and where nobody asked for it."""
    try:
        from _pytest.junitxml import xml_key
    except ImportError:  # pragma: no cover - it is where it is in every pytest so far
        return None
    return config.stash.get(xml_key, None)


__all__ = ["JUnitProperties", "properties_of"]
