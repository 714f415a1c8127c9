"""The Agents SDK's traces are captured whatever the user does with its processors."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_arena_state import ArenaStateStore
from pytest_arena_state.observing import Observation
from pytest_arena_state.observing import agents as door

if TYPE_CHECKING:
    from pytest_arena_state import RunResult

Captured = Callable[..., "list[RunResult]"]

LIBRARY = """
import pytest
agents = pytest.importorskip("agents")

def chat(question="Where?", answer="Lyon"):
    with agents.trace("a workflow"):
        sent, came = [{"role": "user", "content": question}], [{"role": "assistant", "content": answer}]
        with agents.generation_span(input=sent, output=came, model="m", usage={"input_tokens": 7, "output_tokens": 3}):
            pass
"""


def test_processors_that_the_user_replaces_are_joined_again(captured: Captured) -> None:
    """Suites switch the export to OpenAI off in this way."""
    pytest.importorskip("agents")
    runs = captured(
        LIBRARY
        + """
def test_as_it_is():
    chat()

@pytest.fixture
def replaced():
    agents.set_trace_processors([])

def test_replaced(replaced):
    chat()

def test_since_then():
    chat()
""",
        "-p",
        "no:randomly",
        passed=3,
    )

    said = {run.run_id.partition("::")[2]: [message.text for message in run.messages] for run in runs}
    assert said == {name: ["Where?", "Lyon"] for name in ("test_as_it_is", "test_replaced", "test_since_then")}
    assert [run.cost.input_tokens for run in runs] == [7, 7, 7]
    assert {run.messages[-1].meta["model"] for run in runs} == {"m"}


def test_somebodys_own_module_of_that_name_is_left_alone() -> None:
    module = ModuleType("agents.tracing")

    door.install(module)

    assert [name for name in vars(module) if not name.startswith("__")] == []


ANYTHING = st.none() | st.text(max_size=4) | st.integers() | st.lists(st.integers() | st.text(max_size=3), max_size=3)


@given(
    kind=st.sampled_from(["generation", "response", "function", "agent", ""]),
    fields=st.fixed_dictionaries(
        {name: ANYTHING | st.just({"role": "user"}) for name in ("input", "output", "model", "usage", "name")}
    ),
    response=ANYTHING | st.builds(SimpleNamespace, previous_response_id=ANYTHING, instructions=ANYTHING),
    times=st.tuples(ANYTHING, ANYTHING),
    error=ANYTHING | st.just({"message": "no"}),
)
def test_nothing_in_a_trace_reaches_the_code_under_test(
    kind: str, fields: dict[str, Any], response: Any, times: tuple[Any, Any], error: Any
) -> None:
    store, troubles = ArenaStateStore(), list[str]()
    observation = Observation(lambda: store, "test_it", troubles.append)
    observation.begin()
    span = SimpleNamespace(
        span_id="s",
        span_data=SimpleNamespace(type=kind, response=response, **fields),
        started_at=times[0],
        ended_at=times[1],
        error=error,
    )
    try:
        events = door._Events()
        events.on_span_start(span)
        events.on_span_end(span)
    finally:
        observation.end()
