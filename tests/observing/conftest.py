"""What the tests of capture share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from pytest_arena_state import ArenaStateStore, Message
from pytest_arena_state.observing import Call, Observation

if TYPE_CHECKING:
    from pytest_arena_state import RunResult
    from tests.conftest import Suite

Said = list[tuple[str, str]]


def said(messages: list[Message]) -> Said:
    """Who said what."""
    return [(message.role, message.text) for message in messages]


class Observed:
    """One test and what is captured of it, without pytest."""

    def __init__(self) -> None:
        self.store = ArenaStateStore()
        self.store._default_id = "test_it"
        self.troubles: list[str] = []
        self.observation = Observation(lambda: self.store, "test_it", self.troubles.append)
        self.observation.begin()
        self.observation.follow(self.store)
        self._clock = 0

    def call(self, *words: str, door: str = "a", id: str = "", times: tuple[int, int] | None = None) -> None:
        """A call: roles and texts in turn, the last of them the answer."""
        messages = [message(word) for word in words]
        answers = messages[-1:] if messages and messages[-1].role == "assistant" else []
        if id:
            answers[0].meta["response_id"] = id
        self._clock += 10
        started, ended = times or (self._clock, self._clock + 5)
        history = messages[:-1] if answers else messages
        self.observation.call(Call(door=door, history=history, answers=answers, started=started, ended=ended))

    def end(self) -> dict[str, Said]:
        """The test ends; what is in its store then, by conversation."""
        self.observation.end()
        return self.now()

    def now(self) -> dict[str, Said]:
        """What is in the store, by conversation."""
        return {id: told for id in self.store._conversations if (told := said(self.store.log_load(id)))}


def message(word: str) -> Message:
    """A message in short: ``s`` system, ``u`` user, ``a`` assistant, and any text behind it."""
    role = {"s": "system", "u": "user", "a": "assistant"}[word[0]]
    return Message(role=role, content=word)


@pytest.fixture
def observed() -> Iterator[Observed]:
    """A test that is running."""
    running = Observed()
    yield running
    running.observation.end()


@pytest.fixture
def captured(suite: Suite) -> Callable[..., list[RunResult]]:
    """Run a suite that knows nothing of us, in a process of its own, and open what it left."""

    def run(source: str, *args: str, passed: int = 1) -> list[RunResult]:
        suite.write(source)
        result = suite.run_apart("--arena-capture", "-p", "no:cacheprovider", *args)
        result.assert_outcomes(passed=passed)
        assert len(suite.lines(result)) == 1, suite.lines(result)  # no trouble
        return suite.runs()

    return run
