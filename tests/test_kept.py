"""The short way to a message's JSON gives what the long way gives."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_arena_state import CostInfo, Message, ToolCall
from pytest_arena_state._wire import Problems, dumps
from pytest_arena_state.kept import kept_form
from pytest_arena_state.telemetry import facts_of

COUNTS = st.integers(-(2**63), 2**63 - 1)
DOLLARS = st.floats(allow_nan=False, allow_infinity=False)
COSTS = st.builds(
    CostInfo,
    input_tokens=COUNTS,
    output_tokens=COUNTS,
    total_cost_usd=DOLLARS,
    input_cost_usd=DOLLARS,
    cached_tokens=st.sampled_from([0, 7]),
    provider_name=st.sampled_from(["", "fake"]),
)
MESSAGES = st.builds(
    Message,
    role=st.sampled_from(["system", "user", "assistant", "tool"]),
    content=st.text(max_size=20),
    timestamp=st.none() | st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))])),
    cost_info=st.none() | COSTS,
    tool_calls=st.sampled_from([[], [ToolCall(id="1", name="look_up", args={"order": 7})]]),
    latency_ms=st.sampled_from([0, 12]),
    meta=st.sampled_from([{}, {"seed": 1}]),
)


def long_way(message: Message, problems: Problems) -> tuple[bytes, Any]:
    wire = message.to_wire(problems, "messages[3]")
    return dumps(wire), facts_of(wire)


@given(MESSAGES)
def test_the_short_way_gives_the_same_bytes_and_facts(message: Message) -> None:
    assert kept_form(message, 3, []) == long_way(message, [])


class Noted(Message):
    note: str = ""


UNUSUAL: dict[str, Callable[[], Message]] = {
    "an unknown key": lambda: Message.from_dict({"role": "user", "content": "Hi", "mood": "calm"}),
    "an unknown key of the cost": lambda: Message.from_dict({"role": "user", "cost_info": {"tax": 1}}),
    "a subclass": lambda: Noted(role="user", content="Hi", note="mine"),
    "a lone surrogate": lambda: Message(role="user", content="\ud83d!"),
    "a value that is no JSON": lambda: Message(role="user", content="Hi", meta={"when": datetime.now}),
    "made without validation": lambda: Message.model_construct(role="user", content="Hi"),
    "a time without an offset": lambda: Message.model_construct(
        **{**dict(Message(role="user")), "timestamp": datetime(2026, 2, 11)}
    ),
    "a role that is none": lambda: Message.model_construct(role="boss", content="Hi"),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_whatever_is_unusual_takes_the_long_way(name: str) -> None:
    message = UNUSUAL[name]()
    problems: Problems = []
    expected: Problems = []

    def attempt(way: Any, problems: Problems) -> Any:
        try:
            return way(problems)
        except Exception as error:  # noqa: BLE001 - both ways are to fail alike
            return type(error)

    assert attempt(lambda p: kept_form(message, 3, p), problems) == attempt(lambda p: long_way(message, p), expected)
    assert problems == expected
