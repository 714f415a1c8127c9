"""Hold tests to the budgets of their markers; registered when the first marker has one."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .budget import Budget, Judgement
    from .store import ArenaStateStore

#: What each of the marker's limits takes.
LIMITS: Mapping[str, str] = {
    "max_cost_usd": "US dollars, a number from 0 up",
    "max_latency_ms": "milliseconds, a number from 0 up",
    "max_tokens": "a whole number from 0 up",
}
_NAME = "arena_state_budgets"


@dataclass
class _Watched:
    """A test that has a budget, while it runs."""

    store: ArenaStateStore
    budget: Budget
    passed: bool = False
    """Its call ended, and nothing has failed yet."""
    noted: bool = False

    def judge(self, *, last: bool) -> None:
        """Fail the test if its conversations are over the budget, and note the outcome in their runs, once."""
        judgement = self.budget.judge(self.store._turns())
        if not judgement.passed and self.store._settle is not None:
            self.store._settle()
            judgement = self.budget.judge(self.store._turns())
        if (last or not judgement.passed) and not self.noted:
            self.noted = True
            self._note(judgement)
        if self.passed and not judgement.passed:
            self.passed = False
            pytest.fail(judgement.message, pytrace=False)

    def _note(self, judgement: Judgement) -> None:
        from .models import ConversationValidationResult
        from .telemetry import BUDGET_ASSERTION

        result = ConversationValidationResult(
            type=BUDGET_ASSERTION, passed=judgement.passed, message=judgement.message, details=judgement.details
        )
        for conversation in self.store._ids():
            self.store._add_metadata(conversation, conv_assertions_results=[result])


_WATCHED_KEY = pytest.StashKey[_Watched]()


class BudgetHooks:
    """Looks when the call ends and, for usage that comes in late, when the test is torn down."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        __tracebackhide__ = True  # a failure that passes through here is somebody else's
        result = yield
        watched = item.stash.get(_WATCHED_KEY, None)
        if watched is not None:
            watched.passed = True
            watched.judge(last=False)
        return result

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        __tracebackhide__ = True
        try:
            result = yield
        except BaseException:
            _end(item, passed=False)
            raise
        _end(item, passed=True)
        return result


def _end(item: pytest.Item, *, passed: bool) -> None:
    watched = item.stash.get(_WATCHED_KEY, None)
    if watched is not None:
        del item.stash[_WATCHED_KEY]  # the next attempt has a store of its own
        watched.passed = watched.passed and passed
        watched.judge(last=True)


def register(config: pytest.Config) -> None:
    """Look at budgets from now on; calling it again does nothing."""
    if not config.pluginmanager.hasplugin(_NAME):
        config.pluginmanager.register(BudgetHooks(), _NAME)


def watch(item: pytest.Item, store: ArenaStateStore) -> None:
    """Hold a test to its budget, if it has one: the closest marker's, limit by limit. A second call does nothing."""
    known = item.stash.get(_WATCHED_KEY, None)
    if known is not None and known.store is store:
        return
    limits: dict[str, Any] = {}
    for mark in item.iter_markers("arena"):  # the closest first
        limits = {**{key: mark.kwargs[key] for key in LIMITS if key in mark.kwargs}, **limits}
    if any(limit is not None for limit in limits.values()):
        from .budget import Budget

        problem = problem_of(limits)  # a mark that was put on while tests ran, or on a unittest's, was not checked
        if problem:
            pytest.fail(f"@pytest.mark.arena: {problem}", pytrace=False)
        item.stash[_WATCHED_KEY] = _Watched(store, Budget(**limits))
        register(item.config)


def problem_of(kwargs: Mapping[str, Any]) -> str:
    """What is wrong with the limits of a marker; empty when nothing is."""
    for key, wanted in LIMITS.items():
        value = kwargs.get(key)
        kinds = int if key == "max_tokens" else int | float
        if value is None:
            continue  # lifts the limit of a marker further away
        if isinstance(value, bool) or not isinstance(value, kinds) or not 0 <= value < float("inf"):
            return f"{key} is {wanted}, not {value!r:.100}"
    return ""
