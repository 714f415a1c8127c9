"""langchain-core: the list of messages, with a fake model that comes with the library."""

import pytest

from pytest_arena_state import ArenaRun
from shop import ANSWER, INSTRUCTIONS, QUESTION, track_parcel

messages_of = pytest.importorskip("langchain_core.messages", reason="needs langchain-core: pip install langchain-core")
models = pytest.importorskip("langchain_core.language_models.fake_chat_models")
tools = pytest.importorskip("langchain_core.tools")


@pytest.mark.arena(scenario_id="late-parcel")
def test_the_parcel_is_looked_up(arena_run: ArenaRun) -> None:
    call = {"name": "track_parcel", "args": {"order_id": "T-1002"}, "id": "c1"}
    answers = [messages_of.AIMessage("", tool_calls=[call]), messages_of.AIMessage(ANSWER)]
    model = models.GenericFakeChatModel(messages=iter(answers))
    tool = tools.tool(track_parcel)
    messages = [messages_of.SystemMessage(INSTRUCTIONS), messages_of.HumanMessage(QUESTION)]

    while True:
        messages.append(model.invoke(messages))
        if not messages[-1].tool_calls:
            break
        messages += [tool.invoke(call) for call in messages[-1].tool_calls]
    arena_run.add(messages)

    arena_run.called("track_parcel", {"order_id": "T-1002"}, times=1)
    arena_run.matches_schema(tool)
    arena_run.said("on its way")
