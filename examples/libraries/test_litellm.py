"""litellm: any provider in OpenAI's form, with a latency, and a cost where LiteLLM knows the price."""

import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from pytest_arena_state import ArenaRun
from shop import QUESTION, SCHEMA, track_parcel

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # or it asks the network when it is imported
pytest.importorskip("mcp", reason="litellm's tool calls need mcp: pip install litellm mcp")
litellm = pytest.importorskip("litellm", reason="needs litellm: pip install litellm")

TOOLS = [{"type": "function", "function": {"name": "track_parcel", "parameters": SCHEMA}}]


@pytest.mark.arena(scenario_id="late-parcel", provider_id="openai", max_tokens=500)
def test_the_parcel_is_looked_up(
    arena_run: ArenaRun, serve: Callable[..., str], completions: list[dict[str, Any]]
) -> None:
    server = {"api_base": serve(*completions), "api_key": "none"}
    messages: list[Any] = [{"role": "user", "content": QUESTION}]

    while True:
        completion = litellm.completion(model="openai/gpt-5-mini", messages=messages, tools=TOOLS, **server)
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
    arena_run.said("on its way")
    assert arena_run.cost().total_tokens == 166
