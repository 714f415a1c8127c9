"""openai-agents: the result of a run has its whole conversation."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from pytest_arena_state import ArenaRun
from shop import INSTRUCTIONS, QUESTION, track_parcel

agents = pytest.importorskip("agents", reason="needs openai-agents: pip install openai-agents")
openai = pytest.importorskip("openai")


async def ask(address: str, arena_run: ArenaRun) -> None:
    """Ask an agent one question."""
    agents.set_tracing_disabled(True)  # its traces would go to OpenAI
    async with openai.AsyncOpenAI(base_url=address, api_key="none") as client:
        model = agents.OpenAIChatCompletionsModel("gpt-5-mini", client)
        tools = [agents.function_tool(track_parcel)]
        agent = agents.Agent(name="support", instructions=INSTRUCTIONS, model=model, tools=tools)
        result = await agents.Runner.run(agent, QUESTION)
        arena_run.add(result)


@pytest.mark.arena(scenario_id="late-parcel", provider_id="openai", max_tokens=500)
def test_the_parcel_is_looked_up(
    arena_run: ArenaRun, serve: Callable[..., str], completions: list[dict[str, Any]]
) -> None:
    asyncio.run(ask(serve(*completions), arena_run))

    arena_run.called("track_parcel", {"order_id": "T-1002"}, times=1)
    arena_run.said("on its way")
    assert arena_run.cost().total_tokens == 166
