"""One line takes what a client library gave: `add` of a store and of a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from pytest_arena_state import ArenaRun, ArenaStateStore, InvalidStateError, UnrecognisedSourceError, load_results

if TYPE_CHECKING:
    from tests.conftest import Suite

HISTORY: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Where is my parcel?"},
]
CALL: dict[str, Any] = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "track", "arguments": '{"id": 7}'}}],
}
RESULT: dict[str, Any] = {"role": "tool", "tool_call_id": "c1", "content": "in Lyon"}
RESPONSE: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "gpt-5-mini",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "It is in Lyon."}}],
    "usage": {"prompt_tokens": 30, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 10}},
}


def test_a_history_that_is_given_again_adds_what_is_new() -> None:
    """Clients keep one list and append to it; every call gives the whole of it."""
    run = ArenaRun(ArenaStateStore(), "run")

    run.add(HISTORY)
    run.add([*HISTORY, CALL, RESULT])
    run.add([*HISTORY, CALL, RESULT])
    run.add(RESPONSE)

    messages = run.messages
    assert [message.role for message in messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert messages[2].tool_calls[0].args == {"id": 7}
    assert messages[3].tool_result is not None
    assert messages[3].tool_result.name == "track"
    assert messages[4].cost_info is not None
    assert (messages[4].cost_info.input_tokens, messages[4].cost_info.cached_tokens) == (20, 10)
    assert all(message.timestamp is not None for message in messages)


def test_a_message_whose_usage_comes_later_gets_it() -> None:
    """The list of messages has no usage; the response that came before it into the list had."""
    run = ArenaRun(ArenaStateStore(), "run")
    run.add([*HISTORY, {"role": "assistant", "content": "It is in Lyon."}])

    added = run.add(RESPONSE)

    assert added == []
    cost = run.messages[-1].cost_info
    assert cost is not None
    assert cost.output_tokens == 5


def test_an_answer_by_itself_costs_the_same_however_long_the_conversation_is(
    calls_of: Callable[[Callable[[], object]], int],
) -> None:
    """An agent may go on for thousands of turns."""

    def calls(turns: int) -> int:
        run = ArenaRun(ArenaStateStore(), "run")
        for turn in range(turns):
            run.user(f"question {turn}")
            run.assistant(f"answer {turn}")
        return calls_of(lambda: run.add(RESPONSE))

    calls(1)  # imports what reads it

    assert calls(200) < 2 * calls(2)


def test_without_an_id_a_store_alone_says_so() -> None:
    with pytest.raises(InvalidStateError, match="cannot be empty"):
        ArenaStateStore().add(HISTORY)


def test_what_is_not_recognised_is_shown() -> None:
    store = ArenaStateStore()

    with pytest.raises(UnrecognisedSourceError, match="openai_chat"):
        store.add({"no": "conversation"}, "run")

    assert store.log_len("run") == 0


def test_in_a_test_it_lands_in_the_conversation_of_the_run(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        HISTORY = {json.dumps(HISTORY)}

        def test_it(arena_store, arena_run):
            arena_store.add(HISTORY)
            arena_run.assistant("It is in Lyon.")
        """
    )

    pytester.runpytest_subprocess("-p", "no:xdist", "--arena-results=out").assert_outcomes(passed=1)

    (run,) = load_results(pytester.path / "out")
    assert run.run_id == "test_in_a_test_it_lands_in_the_conversation_of_the_run.py::test_it"
    assert [message.role for message in run.messages] == ["system", "user", "assistant"]


def test_parts_without_a_field_are_named_where_troubles_are(suite: Suite) -> None:
    """They are in the message's meta, where nobody would look for them."""
    suite.write(
        """
        def test_it(arena_run):
            smell = {"type": "smell", "of": "roses"}
            history = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, smell, smell]}]
            arena_run.add(history, source="openai_chat")
            arena_run.add(history, source="openai_chat")
        """
    )

    result = suite.run()

    told = "a part of kind 'smell' has no field of its own and is kept in its message's meta"
    assert suite.index["completeness"]["troubles"] == {told: 2}
    assert f"arena: {told} (2 times)" in suite.lines(result)
    assert suite.only_run().messages[0].meta["unmapped_parts"] == [{"type": "smell", "of": "roses"}] * 2
