"""pydantic-ai: the result has all messages; the model is a function, as the library offers for tests."""

from typing import Any

import pytest

from pytest_arena_state import ArenaRun
from shop import ANSWER, INSTRUCTIONS, QUESTION, track_parcel

pydantic_ai = pytest.importorskip("pydantic_ai", reason="needs pydantic-ai: pip install pydantic-ai-slim")
function = pytest.importorskip("pydantic_ai.models.function")


def answer(messages: list[Any], _info: Any) -> Any:
    """Play the model: call the tool, then answer."""
    if any(part.part_kind == "tool-return" for part in messages[-1].parts):
        return pydantic_ai.ModelResponse([pydantic_ai.TextPart(ANSWER)])
    return pydantic_ai.ModelResponse([pydantic_ai.ToolCallPart("track_parcel", {"order_id": "T-1002"})])


@pytest.mark.arena(scenario_id="late-parcel")
def test_the_parcel_is_looked_up(arena_run: ArenaRun) -> None:
    agent = pydantic_ai.Agent(function.FunctionModel(answer), instructions=INSTRUCTIONS, tools=[track_parcel])

    result = agent.run_sync(QUESTION)
    arena_run.add(result)

    arena_run.called("track_parcel", {"order_id": "T-1002"}, times=1)
    arena_run.said("on its way")
    assert arena_run.cost().total_tokens > 0
