"""LangChain's own callbacks tell of every model and tool, with no line in the code under test."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_arena_state import RunResult
    from tests.conftest import Suite

pytest.importorskip("langchain_core")

Captured = Callable[..., "list[RunResult]"]

MODEL = """
import asyncio, threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool

@tool
def find(id: int) -> str:
    "Find a parcel."
    return f"{id} is in Lyon"

class Model(GenericFakeChatModel):
    def bind_tools(self, tools, **more):
        return self

def model(*answers):
    usage = {"input_tokens": 30, "output_tokens": 5, "total_tokens": 35, "input_token_details": {"cache_read": 10}}
    answers = [AIMessage(each) if isinstance(each, str) else each for each in answers]
    return Model(messages=iter([a.model_copy(update={"usage_metadata": usage}) for a in answers]))
"""


def said(run: RunResult) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in run.messages]


def test_a_conversation_arrives_without_a_line(captured: Captured, run_args: list[str]) -> None:
    """A test that merely calls a library gets a run, in every way to run pytest."""
    (run,) = captured(
        MODEL
        + """
def test_it():
    bot, messages = model("In Lyon.", "On Monday."), [SystemMessage("Be brief."), HumanMessage("Where?")]
    messages += [bot.invoke(messages), HumanMessage("When?")]
    assert bot.invoke(messages).content == "On Monday."
""",
        *run_args,
    )

    assert run.run_id == "test_suite.py::test_it"
    assert run.labels["pytest.outcome"] == "passed"
    assert said(run) == [
        ("system", "Be brief."),
        ("user", "Where?"),
        ("assistant", "In Lyon."),
        ("user", "When?"),
        ("assistant", "On Monday."),
    ]
    assert (run.cost.input_tokens, run.cost.output_tokens, run.cost.cached_tokens) == (40, 10, 20)
    assert all(message.timestamp for message in run.messages)


def test_each_call_lands_in_the_test_that_made_it(captured: Captured) -> None:
    """Also from threads, pools and tasks, and from fixtures."""
    runs = captured(
        MODEL
        + """
@pytest.fixture
def asked():
    model("fixture").invoke("fixture?")

def test_fixture(asked):
    pass

def test_thread():
    thread = threading.Thread(target=lambda: model("thread").invoke("thread?"))
    thread.start()
    thread.join()

def test_pool():
    with ThreadPoolExecutor() as pool:
        pool.submit(model("pool").invoke, "pool?").result()

def test_tasks():
    async def ask(name):
        return await model(name).ainvoke(f"{name}?")

    async def both():
        await asyncio.gather(ask("one"), ask("two"))

    asyncio.run(both())

def test_nothing():
    pass
""",
        passed=5,
    )

    assert {run.run_id.partition("::")[2]: [text for _, text in said(run)] for run in runs} == {
        "test_fixture": ["fixture?", "fixture"],
        "test_thread": ["thread?", "thread"],
        "test_pool": ["pool?", "pool"],
        "test_tasks": ["one?", "one"],
        "test_tasks#2": ["two?", "two"],
    }


def test_streams_batches_and_failures_arrive(captured: Captured) -> None:
    runs = captured(
        MODEL
        + """
class Broken(Model):
    def _generate(self, *args, **more):
        raise ConnectionError("no route to the model")

def test_stream():
    assert "".join(chunk.content for chunk in model("In Lyon today.").stream("Where?")) == "In Lyon today."

def test_batch():
    model("one", "two").batch(["1?", "2?"], {"max_concurrency": 1})

def test_failure():
    with pytest.raises(ConnectionError):
        Broken(messages=iter([])).invoke("Where?")
""",
        passed=3,
    )

    by_name = {run.run_id.partition("::")[2]: run for run in runs}
    assert {name: [text for _, text in said(run)] for name, run in by_name.items()} == {
        "test_stream": ["Where?", "In Lyon today."],
        "test_batch": ["1?", "one"],
        "test_batch#2": ["2?", "two"],
        "test_failure": ["Where?"],
    }
    assert by_name["test_failure"].messages[0].meta["call_error"] == "ConnectionError: no route to the model"


def test_a_stream_that_is_left_cancelled_or_broken_has_what_arrived(captured: Captured) -> None:
    runs = captured(
        MODEL
        + """
class Broken(Model):
    def _stream(self, *args, **more):
        for place, chunk in enumerate(super()._stream(*args, **more)):
            if place == (0 if more["stop"] else 2):
                raise ConnectionError("cut")
            yield chunk

class Slow(Model):
    async def _astream(self, *args, **more):
        for place, chunk in enumerate(self._stream(*args, **more)):
            await asyncio.sleep(60 if place == 2 else 0)
            yield chunk

def test_left():
    for place, chunk in enumerate(model("In Lyon today.").stream("Where?")):
        if place == 1:
            break

def test_broken():
    with pytest.raises(ConnectionError):
        list(Broken(messages=iter([AIMessage("In Lyon today.")])).stream("Where?"))

def test_broken_before_it_began():
    with pytest.raises(ConnectionError):
        list(Broken(messages=iter([AIMessage("In Lyon today.")])).stream("Where?", stop=["x"]))

def test_cancelled():
    async def ask():
        async for chunk in Slow(messages=iter([AIMessage("In Lyon today.")])).astream("Where?"):
            pass

    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(asyncio.wait_for(ask(), 0.2))
""",
        passed=4,
    )

    by_name = {run.run_id.partition("::")[2]: run.messages for run in runs}
    assert {name: [message.text for message in messages] for name, messages in by_name.items()} == {
        "test_left": ["Where?", "In "],
        "test_broken": ["Where?", "In "],
        "test_broken_before_it_began": ["Where?"],
        "test_cancelled": ["Where?", "In "],
    }
    assert {name: messages[-1].meta["call_error"] for name, messages in by_name.items()} == {
        "test_left": "GeneratorExit",
        "test_broken": "ConnectionError: cut",
        "test_broken_before_it_began": "ConnectionError: cut",
        "test_cancelled": "CancelledError",
    }


def test_further_answers_of_a_model_are_kept_with_the_first(captured: Captured) -> None:
    """As a client's own further choices are: a model that was asked for several gave them all."""
    (run,) = captured(
        MODEL
        + """
from langchain_core.outputs import ChatGeneration, ChatResult

class Several(Model):
    def _generate(self, messages, **more):
        generations = [ChatGeneration(message=AIMessage(word)) for word in ("heads", "tails")]
        return ChatResult(generations=generations, llm_output={"model_name": "m", "id": "r"})

def test_it():
    assert Several(messages=iter([])).invoke("Which?").content == "heads"
"""
    )

    assert said(run) == [("user", "Which?"), ("assistant", "heads")]
    meta = run.messages[1].meta
    (other,) = meta["further_choices"]
    assert (other["content"], meta["model"], meta["response_id"]) == ("tails", "m", "r")


def test_what_a_model_of_texts_took_is_counted(captured: Captured) -> None:
    (run,) = captured(
        MODEL
        + """
from langchain_core.language_models.llms import BaseLLM
from langchain_core.outputs import Generation, LLMResult

class Texts(BaseLLM):
    @property
    def _llm_type(self):
        return "texts"

    def _generate(self, prompts, **more):
        usage = {"prompt_tokens": 30, "completion_tokens": 5}
        generation = Generation(text="Lyon", generation_info={"finish_reason": "length"})
        return LLMResult(generations=[[generation]], llm_output={"token_usage": usage, "model_name": "m"})

def test_it():
    assert Texts().invoke("Where?") == "Lyon"
"""
    )

    assert said(run) == [("user", "Where?"), ("assistant", "Lyon")]
    assert (run.cost.input_tokens, run.cost.output_tokens) == (30, 5)
    assert (run.messages[1].meta["model"], run.messages[1].finish_reason) == ("m", "max_output_tokens")


def test_a_call_that_never_ended_is_named(suite: Suite) -> None:
    suite.write(
        MODEL
        + """
left = []

def test_it():
    left.append(model("In Lyon today.").stream("Where?"))
    next(left[0])

def test_tool():
    @tool
    def wait(id: int) -> str:
        "Wait."
        begun.set()
        ended.wait(60)
        return "over"

    begun, ended = threading.Event(), threading.Event()
    threading.Thread(target=wait.invoke, args=({"id": 7},), daemon=True).start()
    assert begun.wait(60)
"""
    )

    result = suite.run_apart("--arena-capture")

    result.assert_outcomes(passed=2)
    assert suite.lines(result)[1:] == [
        "arena: langchain: a call did not end before its test",
        "arena: langchain: a tool did not end before its test",
    ]
    (run,) = suite.runs()
    assert said(run) == [("user", "Where?")]


@pytest.mark.parametrize("among", ["", "[other, {}]"])
def test_what_a_tool_says_in_a_command_to_the_graph_is_its_result(captured: Captured, among: str) -> None:
    """Nobody else tells of it where the model is not called again."""
    pytest.importorskip("langgraph.prebuilt")
    returned = "Command(update={'messages': [HumanMessage('Next.'), ToolMessage('saved', tool_call_id=tool_call_id)]})"
    (run,) = captured(
        MODEL
        + f"""
from typing import Annotated

def test_it():
    from langchain_core.tools import InjectedToolCallId
    from langgraph.graph import MessagesState, StateGraph
    from langgraph.prebuilt import ToolNode
    from langgraph.types import Command

    @tool
    def save(id: int, tool_call_id: Annotated[str, InjectedToolCallId]):
        "Save."
        other = Command(update={{"messages": [HumanMessage("Ready?")]}})
        return {among.format(returned) or returned}

    call = AIMessage("", tool_calls=[{{"id": "c1", "name": "save", "args": {{"id": 7}}}}])
    bot = model(call)
    graph = StateGraph(MessagesState)
    graph.add_node("ask", lambda state: {{"messages": [bot.invoke(state["messages"])]}})
    graph.add_node("tools", ToolNode([save]))
    graph.set_entry_point("ask")
    graph.add_edge("ask", "tools")
    graph.compile().invoke({{"messages": [("user", "Where?")]}})
"""
    )

    assert said(run) == [("user", "Where?"), ("assistant", ""), ("tool", "saved")]
    result = run.messages[2].tool_result
    assert result is not None
    assert (result.id, result.name) == ("c1", "save")


def test_a_graph_with_a_tool_is_one_conversation(captured: Captured) -> None:
    """The model asks, the tool is executed, the model answers."""
    pytest.importorskip("langgraph.prebuilt")
    (run,) = captured(
        MODEL
        + """
def test_it():
    from langgraph.prebuilt import ToolNode
    from langgraph.graph import MessagesState, StateGraph

    call = AIMessage("", tool_calls=[{"id": "c1", "name": "find", "args": {"id": 7}}])
    bot = model(call, "In Lyon.")
    graph = StateGraph(MessagesState)
    graph.add_node("ask", lambda state: {"messages": [bot.invoke(state["messages"])]})
    graph.add_node("tools", ToolNode([find]))
    graph.add_node("answer", lambda state: {"messages": [bot.invoke(state["messages"])]})
    graph.set_entry_point("ask")
    graph.add_edge("ask", "tools")
    graph.add_edge("tools", "answer")
    graph.compile().invoke({"messages": [("user", "Where?")]})
"""
    )

    assert said(run) == [("user", "Where?"), ("assistant", ""), ("tool", "7 is in Lyon"), ("assistant", "In Lyon.")]
    assert run.messages[1].tool_calls[0].args == {"id": 7}
    result = run.messages[2].tool_result
    assert result is not None
    assert (result.id, result.name) == ("c1", "find")


def test_a_tool_that_a_graph_interrupts_has_not_failed(captured: Captured) -> None:
    """LangGraph runs it from its start when it is resumed."""
    pytest.importorskip("langgraph.prebuilt")
    (run,) = captured(
        MODEL
        + """
def test_it():
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.graph import MessagesState, StateGraph
    from langgraph.prebuilt import ToolNode
    from langgraph.types import Command, interrupt

    @tool
    def confirm(id: int) -> str:
        "Ask a human."
        return interrupt("sure?")

    bot = model(AIMessage("", tool_calls=[{"id": "c1", "name": "confirm", "args": {"id": 7}}]))
    graph = StateGraph(MessagesState)
    graph.add_node("ask", lambda state: {"messages": [bot.invoke(state["messages"])]})
    graph.add_node("tools", ToolNode([confirm]))
    graph.set_entry_point("ask")
    graph.add_edge("ask", "tools")
    app, thread = graph.compile(checkpointer=InMemorySaver()), {"configurable": {"thread_id": "1"}}
    app.invoke({"messages": [("user", "Cancel it")]}, thread)
    app.invoke(Command(resume="yes"), thread)
"""
    )

    assert said(run) == [("user", "Cancel it"), ("assistant", ""), ("tool", "yes")]
    result = run.messages[2].tool_result
    assert result is not None
    assert result.error == ""


def test_what_was_captured_can_be_looked_at(captured: Captured) -> None:
    """With and without results."""
    captured(
        MODEL
        + """
def test_it(arena_run):
    model("In Lyon.").invoke("Where?")
    assert [message.text for message in arena_run.messages] == ["Where?", "In Lyon."]
    assert arena_run.check("says where", "Lyon" in arena_run.messages[-1].text)
"""
    )


def test_a_budget_counts_once_what_the_test_also_recorded(captured: Captured) -> None:
    """And its note leaves no run without messages."""
    (run,) = captured(
        MODEL
        + """
@pytest.mark.arena(max_tokens=40)
def test_it(arena_run):
    messages = [HumanMessage("Where?")]
    messages.append(model("In Lyon.").invoke(messages))
    arena_run.add(messages)
"""
    )

    assert said(run) == [("user", "Where?"), ("assistant", "In Lyon.")]
    assert run.conversation_assertions.results[0].message == "35 of 40 tokens"


def test_without_results_what_was_captured_is_in_memory(suite: Suite) -> None:
    suite.write(
        MODEL
        + """
def test_it(arena_run):
    model("In Lyon.").invoke("Where?")
    assert [message.text for message in arena_run.messages] == ["Where?", "In Lyon."]

def test_next(arena_run):
    assert arena_run.messages == []

def test_asked_for_afterwards(request):
    model("In Lyon.").invoke("Where?")
    arena_run = request.getfixturevalue("arena_run")
    assert [message.text for message in arena_run.messages] == ["Where?", "In Lyon."]
"""
    )
    suite.load(xdist=False)

    suite.pytester.runpytest_subprocess("--arena-capture").assert_outcomes(passed=3)

    assert not suite.results.exists()


def test_each_attempt_at_a_test_has_its_own(suite: Suite) -> None:
    """A test that is run again holds its conversation again."""
    pytest.importorskip("pytest_rerunfailures")
    suite.write(
        MODEL
        + """
attempts = []

def test_it():
    attempts.append(1)
    assert model(f"answer {len(attempts)}").invoke("Where?").content == "answer 2"
"""
    )

    suite.run_apart("--arena-capture", "--reruns=1", "-p", "no:xdist", plugins=["pytest_rerunfailures"])

    assert [[text for _, text in said(run)] for run in suite.runs()] == [["Where?", "answer 1"], ["Where?", "answer 2"]]
    assert [row["superseded"] for row in suite.index["runs"]] == [True, False]


def test_callbacks_of_the_user_are_told_of_asynchronous_calls_of_a_model_of_texts(captured: Captured) -> None:
    """Beside a handler that runs inline, LangChain does not tell others that such a call begins."""
    runs = captured(
        MODEL
        + """
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import FakeListLLM

class Mine(BaseCallbackHandler):
    def __init__(self):
        self.told = []
    def on_llm_start(self, serialized, prompts, **more):
        self.told += prompts
    def on_llm_end(self, response, **more):
        self.told.append(response.generations[0][0].text)

async def talk(mine):
    bot = FakeListLLM(responses=["In Lyon.", "On Monday."])
    threads = threading.active_count()
    await bot.ainvoke("Where?")
    assert threading.active_count() == threads  # ours takes what it is told in this one
    await bot.ainvoke("When?", {"callbacks": [mine]})

def test_it():
    mine = Mine()
    asyncio.run(talk(mine))
    assert mine.told == ["When?", "On Monday."]
"""
    )

    assert [said(run) for run in runs] == [
        [("user", "Where?"), ("assistant", "In Lyon.")],
        [("user", "When?"), ("assistant", "On Monday.")],
    ]
