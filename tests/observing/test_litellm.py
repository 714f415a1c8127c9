"""LiteLLM tells late, or in a task that never runs: nothing of a test may be lost for that.

`tests/capture/test_doors` holds a conversation through the real one.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from time import monotonic
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_arena_state.observing import litellm as door

if TYPE_CHECKING:
    from tests.observing.conftest import Observed

SENT = [{"role": "user", "content": "Where?"}]
CAME = {
    "id": "r",
    "object": "chat.completion",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Lyon"}}],
}
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def logger() -> door._Events:
    return door._Events()


def test_the_end_of_a_test_waits_for_what_is_told_from_a_pool(
    observed: Observed, logger: door._Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = {"litellm_call_id": "c"}
    logger.log_pre_api_call("m", SENT, call)

    def told_meanwhile(_timeout: float) -> bool:
        logger.log_success_event(call, CAME, NOW, NOW)
        return True

    monkeypatch.setattr(door._changed, "wait", told_meanwhile)
    door.settle(observed.observation, 60)

    assert observed.end() == {"test_it": [("user", "Where?"), ("assistant", "Lyon")]}
    assert observed.troubles == []


def test_an_asynchronous_call_is_taken_before_it_returns_and_once(observed: Observed, logger: door._Events) -> None:
    call: dict[str, Any] = {"litellm_call_id": "c", "litellm_params": {"acompletion": True}}
    logger.log_pre_api_call("m", SENT, call)
    asyncio.run(logger.async_post_call_success_deployment_hook({**call, "messages": SENT}, CAME, None))
    asyncio.run(logger.async_log_success_event(call, CAME, NOW, NOW))
    door.settle(observed.observation, 0)

    assert observed.end() == {"test_it": [("user", "Where?"), ("assistant", "Lyon")]}


def test_a_call_that_is_told_again_while_it_is_told_is_recorded_once(
    observed: Observed, logger: door._Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One event comes from a pool, another from a loop."""
    call = {"litellm_call_id": "c"}
    tell = door._tell

    def told_twice(*args: Any, **more: Any) -> None:
        logger.log_success_event(call, CAME, NOW, NOW)
        tell(*args, **more)

    monkeypatch.setattr(door, "_tell", told_twice)
    logger.log_pre_api_call("m", SENT, call)
    logger.log_success_event(call, CAME, NOW, NOW)

    assert observed.end() == {"test_it": [("user", "Where?"), ("assistant", "Lyon")]}


def test_an_asynchronous_stream_whose_end_is_never_told_has_its_pieces(
    observed: Observed, logger: door._Events
) -> None:
    call: dict[str, Any] = {"litellm_call_id": "c", "acompletion": True}
    logger.log_pre_api_call("m", SENT, call)
    for text in ("Ly", "on"):
        delta = {"role": "assistant", "content": text}
        chunk = {"object": "chat.completion.chunk", "id": "r", "choices": [{"index": 0, "delta": delta}]}
        asyncio.run(logger.async_post_call_streaming_deployment_hook(call, chunk, None))
    door.settle(observed.observation, 0)

    assert observed.end() == {"test_it": [("user", "Where?"), ("assistant", "Lyon")]}


def test_a_call_that_never_ended_is_named(observed: Observed, logger: door._Events) -> None:
    logger.log_pre_api_call("m", SENT, {"litellm_call_id": "c", "acompletion": True})
    door.settle(observed.observation, 0)

    assert observed.end() == {"test_it": [("user", "Where?")]}
    assert observed.troubles == ["litellm: a call did not end before its test"]


def test_a_stream_that_is_left_is_named_and_not_waited_for(observed: Observed, logger: door._Events) -> None:
    """Nothing tells that it was left: its pieces stop coming."""
    call = {"litellm_call_id": "c", "stream": True}
    logger.log_pre_api_call("m", SENT, call)
    logger.log_stream_event(call, {}, NOW, NOW)
    began = monotonic()
    door.settle(observed.observation, 60)

    assert door._QUIET <= monotonic() - began + 0.1 < 30
    assert observed.end() == {"test_it": [("user", "Where?")]}
    assert observed.store.log_load("test_it")[0].meta["call_error"] == "a stream was not read to its end"
    assert observed.troubles == ["litellm: a stream was not read to its end"]


def test_a_stream_is_waited_for_while_its_pieces_come(
    observed: Observed, logger: door._Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    call: dict[str, Any] = {"litellm_call_id": "c", "stream": True}
    logger.log_pre_api_call("m", SENT, call)
    clock = [monotonic()]
    monkeypatch.setattr(door, "monotonic", lambda: clock[0])

    def told_meanwhile(timeout: float) -> None:
        clock[0] += timeout
        if clock[0] < began + 5:
            logger.log_stream_event(call, {}, NOW, NOW)
            clock[0] += timeout / 2
        else:
            logger.log_success_event({**call, "complete_streaming_response": CAME}, CAME, NOW, NOW)

    monkeypatch.setattr(door._changed, "wait", told_meanwhile)
    began = clock[0]
    door.settle(observed.observation, 60)

    assert observed.end() == {"test_it": [("user", "Where?"), ("assistant", "Lyon")]}
    assert observed.troubles == []


def test_a_call_with_fallbacks_is_told_under_the_id_of_its_logging(observed: Observed, logger: door._Events) -> None:
    """Its arguments have an id that nothing else is told under."""
    logger.log_pre_api_call("m", SENT, {"litellm_call_id": "c", "litellm_params": {"acompletion": True}})
    told = {"litellm_call_id": "other", "litellm_logging_obj": SimpleNamespace(litellm_call_id="c")}
    asyncio.run(logger.async_post_call_success_deployment_hook(told, CAME, None))
    door.settle(observed.observation, 0)

    assert observed.end() == {"test_it": [("user", "Where?"), ("assistant", "Lyon")]}
    assert observed.troubles == []


@pytest.mark.parametrize("cost", [0.06, None])
def test_an_asynchronous_call_costs_what_litellm_is_about_to_say(
    observed: Observed, logger: door._Events, cost: float | None
) -> None:
    """It writes the cost into the response after its hooks."""

    def calculate(result: Any) -> float | None:
        assert result is CAME
        return cost

    call: dict[str, Any] = {"litellm_call_id": "c", "litellm_params": {"acompletion": True}}
    logger.log_pre_api_call("m", SENT, call)
    logging = SimpleNamespace(litellm_call_id="c", _response_cost_calculator=calculate)
    asyncio.run(logger.async_post_call_success_deployment_hook({**call, "litellm_logging_obj": logging}, CAME, None))

    assert observed.store.log_load("test_it")[1].meta.get("reported_cost_usd") == cost
    assert observed.troubles == []


def test_a_stream_costs_what_litellm_says(observed: Observed, logger: door._Events) -> None:
    """It says so beside the response that it put together, and not in it."""
    call: dict[str, Any] = {"litellm_call_id": "c", "stream": True}
    logger.log_pre_api_call("m", SENT, call)
    logger.log_success_event({**call, "complete_streaming_response": CAME, "response_cost": 0.06}, None, NOW, NOW)

    assert observed.store.log_load("test_it")[1].meta.get("reported_cost_usd") == 0.06


def test_what_a_response_took_is_counted_in_the_words_of_either_interface(
    observed: Observed, logger: door._Events
) -> None:
    """LiteLLM tells its callbacks of a response in the words of chat completions."""
    usage = {
        "prompt_tokens": 30,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 10},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Lyon"}]}
    call = {"litellm_call_id": "c", "call_type": "responses"}
    logger.log_pre_api_call("m", SENT, call)
    logger.log_success_event(call, {"object": "response", "id": "r", "output": [said], "usage": usage}, NOW, NOW)

    answer = observed.store.log_load("test_it")[1]
    assert answer.cost_info is not None
    assert (answer.cost_info.input_tokens, answer.cost_info.cached_tokens) == (20, 10)
    assert answer.cost_info.output_tokens == 5
    assert answer.meta["token_details"] == {"reasoning_tokens": 3}


@pytest.mark.parametrize("kind", ["embedding", "aembedding", "moderation", "image_generation", "arerank"])
def test_what_is_no_conversation_is_passed_over(observed: Observed, logger: door._Events, kind: str) -> None:
    call = {"litellm_call_id": "c", "call_type": kind}
    logger.log_pre_api_call("m", ["Lyon"], call)
    logger.log_success_event(call, {"object": "list", "data": [{"embedding": [0.1]}]}, NOW, NOW)
    door.settle(observed.observation, 60)

    assert observed.end() == {}
    assert observed.troubles == []


def test_callbacks_that_the_user_replaces_are_joined_again(monkeypatch: pytest.MonkeyPatch) -> None:
    custom = ModuleType("litellm.integrations.custom_logger")
    custom.CustomLogger = type("CustomLogger", (), {})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, custom.__name__, custom)
    module: Any = ModuleType("litellm")
    module.callbacks = []

    door.install(module)
    door.install(module)
    (first,) = module.callbacks
    module.callbacks = []
    door.install(module)

    assert module.callbacks == [first]
