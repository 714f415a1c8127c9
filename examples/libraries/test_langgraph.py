"""langgraph: the state after a run has the whole conversation."""

from typing import Any

import pytest

from pytest_arena_state import ArenaRun
from shop import ANSWER, QUESTION, track_parcel

graphs = pytest.importorskip("langgraph.graph", reason="needs langgraph: pip install langgraph")
prebuilt = pytest.importorskip("langgraph.prebuilt")
messages_of = pytest.importorskip("langchain_core.messages")
models = pytest.importorskip("langchain_core.language_models.fake_chat_models")


def agent(model: Any) -> Any:
    """A graph of two nodes: the model, and its tools."""
    graph = graphs.StateGraph(graphs.MessagesState)
    graph.add_node("model", lambda state: {"messages": [model.invoke(state["messages"])]})
    graph.add_node("tools", prebuilt.ToolNode([track_parcel]))
    graph.add_edge(graphs.START, "model")
    graph.add_conditional_edges("model", prebuilt.tools_condition)
    graph.add_edge("tools", "model")
    return graph.compile()


@pytest.mark.arena(scenario_id="late-parcel")
def test_the_parcel_is_looked_up(arena_run: ArenaRun) -> None:
    call = {"name": "track_parcel", "args": {"order_id": "T-1002"}, "id": "c1"}
    answers = [messages_of.AIMessage("", tool_calls=[call]), messages_of.AIMessage(ANSWER)]
    model = models.GenericFakeChatModel(messages=iter(answers))

    graph = agent(model)
    state = graph.invoke({"messages": [("user", QUESTION)]})
    arena_run.add(state)

    arena_run.called("track_parcel", {"order_id": "T-1002"}, times=1)
    arena_run.said("on its way")
