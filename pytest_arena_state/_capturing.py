"""The hooks of a session that captures; registered only when ``--arena-capture`` or its ini value asks for it."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from . import _test_hooks
from .observing import Observation, Watch, langchain, litellm, otel
from .store import ArenaStateStore

_KEY = pytest.StashKey[Observation]()
_PATIENCE = 5.0  # seconds that the end of a test waits for what a library tells after a call returned
_HOOKS_KEY = pytest.StashKey["CaptureHooks"]()


class CaptureHooks:
    """Observes each test from before its set-up to after its tear-down."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._watch = Watch()
        self._watch.start()

    def _trouble(self, text: str) -> None:
        hooks = self._config.stash.get(_test_hooks.HOOKS_KEY, None)
        if hooks is not None and hooks.tests is not None:
            hooks.tests.recording.trouble(text)

    def _tell_problems(self) -> None:
        while self._watch.problems:
            self._trouble(self._watch.problems.pop())

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, None, None]:
        __tracebackhide__ = True  # a failure that passes through here is somebody else's
        self._watch.look()
        item.stash[_test_hooks.TEST_STORE_KEY] = ArenaStateStore()  # anew for each attempt
        observation = Observation(lambda: _test_hooks.store_of(item), _test_hooks.plain_nodeid(item), self._trouble)
        item.stash[_KEY] = observation
        item.stash[_test_hooks.ON_STORE_KEY] = observation.follow
        observation.begin()
        yield
        self._watch.look()  # fixtures may have brought a tracer provider

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, None, None]:
        __tracebackhide__ = True
        try:
            return (yield)
        finally:
            observation = item.stash.get(_KEY, None)
            if observation is not None:
                litellm.settle(observation, _PATIENCE)
                langchain.settle(observation)
                otel.settle(observation)
                observation.end()
            self._tell_problems()

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        self._watch.stop()


def register(config: pytest.Config) -> None:
    """Begin to capture; a second call does nothing."""
    if _HOOKS_KEY not in config.stash:
        config.stash[_HOOKS_KEY] = CaptureHooks(config)
        config.pluginmanager.register(config.stash[_HOOKS_KEY], "arena_state_capture")
