"""LiteLLM tells late, or in a task that never runs: nothing of a test may be lost for that.

`tests/capture/test_doors` holds a conversation through the real one.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from types import ModuleType
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

    assert observed.end() == {}
    assert observed.troubles == ["litellm: a call did not end before its test"]


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
