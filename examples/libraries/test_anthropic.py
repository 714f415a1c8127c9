"""anthropic: each response, and the results that are sent back."""

from collections.abc import Callable
from typing import Any

import pytest

from pytest_arena_state import ArenaRun
from shop import ANSWER, INSTRUCTIONS, QUESTION, SCHEMA, track_parcel

anthropic = pytest.importorskip("anthropic", reason="needs anthropic: pip install anthropic")

TOOLS = [{"name": "track_parcel", "description": "Tell where a parcel is.", "input_schema": SCHEMA}]


def message(id: str, content: dict[str, Any], reason: str, read: int, written: int) -> dict[str, Any]:
    """What the model's server says."""
    return {
        "id": id,
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-4-5",
        "content": [content],
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": {"input_tokens": read, "output_tokens": written},
    }


@pytest.mark.arena(scenario_id="late-parcel", provider_id="anthropic", max_tokens=500)
def test_the_parcel_is_looked_up(arena_run: ArenaRun, serve: Callable[..., str]) -> None:
    address = serve(
        message("m1", {"type": "tool_use", "id": "c1", "name": "track_parcel", "input": {"order_id": "T-1002"}},
                "tool_use", 60, 12),
        message("m2", {"type": "text", "text": ANSWER}, "end_turn", 85, 9),
    )  # fmt: skip
    client = anthropic.Anthropic(base_url=address, api_key="none")
    model: dict[str, Any] = {"model": "claude-haiku-4-5", "max_tokens": 100, "tools": TOOLS}
    request: dict[str, Any] = {"system": INSTRUCTIONS, "messages": [{"role": "user", "content": QUESTION}]}

    while True:
        response = client.messages.create(**model, **request)
        arena_run.add(request)
        arena_run.add(response)
        calls = [block for block in response.content if block.type == "tool_use"]
        if not calls:
            break
        results = [
            {"type": "tool_result", "tool_use_id": call.id, "content": track_parcel(**call.input)} for call in calls
        ]
        request["messages"] += [
            {"role": "assistant", "content": response.content},
            {"role": "user", "content": results},
        ]

    arena_run.called("track_parcel", {"order_id": "T-1002"}, times=1)
    arena_run.matches_schema("track_parcel", TOOLS)
    arena_run.said("on its way")
    assert arena_run.cost().total_tokens == 166
