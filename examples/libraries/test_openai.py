"""openai: the list of messages that grows, and each completion for what it took."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from pytest_arena_state import ArenaRun
from shop import INSTRUCTIONS, QUESTION, SCHEMA, track_parcel

openai = pytest.importorskip("openai", reason="needs openai: pip install openai")

TOOLS = [{"type": "function", "function": {"name": "track_parcel", "parameters": SCHEMA}}]


@pytest.mark.arena(scenario_id="late-parcel", provider_id="openai", max_tokens=500)
def test_the_parcel_is_looked_up(
    arena_run: ArenaRun, serve: Callable[..., str], completions: list[dict[str, Any]]
) -> None:
    client = openai.OpenAI(base_url=serve(*completions), api_key="none")
    messages: list[Any] = [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": QUESTION}]

    while True:
        completion = client.chat.completions.create(model="gpt-5-mini", messages=messages, tools=TOOLS)
        arena_run.add(messages)
        arena_run.add(completion)
        message = completion.choices[0].message
        if not message.tool_calls:
            break
        messages.append(message)
        for call in message.tool_calls:
            output = track_parcel(**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": output})

    arena_run.called("track_parcel", {"order_id": "T-1002"}, times=1)
    arena_run.matches_schema("track_parcel", TOOLS)
    arena_run.said("on its way")
    assert arena_run.cost().total_tokens == 166
