"""Calls become conversations: folded into threads, recorded once, beside what the test records itself."""

from __future__ import annotations

import asyncio
import itertools
import threading
from typing import TYPE_CHECKING, Any

import pytest

from pytest_arena_state import ArenaRun, CostInfo, Message, OpaqueReasoning, Reasoning, ToolCall, ToolResult
from pytest_arena_state.observing import Call, Execution, Observation, current
from pytest_arena_state.observing.threads import Thread
from pytest_arena_state.prices import Prices
from tests.observing.conftest import Observed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Words = tuple[str, ...]


def words(conversations: dict[str, list[tuple[str, str]]]) -> list[Words]:
    """The texts of each conversation."""
    return [tuple(text for _role, text in said) for said in conversations.values()]


# --- threads -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("calls", "threads"),
    [
        ([("u1", "a1"), ("u1", "a1", "u2", "a2")], [("u1", "a1", "u2", "a2")]),
        ([("s", "u1", "a1"), ("s", "u1", "a1", "u2", "a2")], [("s", "u1", "a1", "u2", "a2")]),
        ([("u1", "a1"), ("u2", "a2")], [("u1", "a1"), ("u2", "a2")]),
        ([("u1", "a1"), ("u1", "a1")], [("u1", "a1"), ("u1", "a1")]),
        ([("u1", "a1"), ("u1", "a2")], [("u1", "a1"), ("u1", "a2")]),
        (
            [("u1", "a1"), ("u7", "a7"), ("u1", "a1", "u2", "a2"), ("u7", "a7", "u8", "a8")],
            [("u1", "a1", "u2", "a2"), ("u7", "a7", "u8", "a8")],
        ),
        ([("u1", "a1", "u2", "a2"), ("u2", "a2", "u3", "a3")], [("u1", "a1", "u2", "a2", "u3", "a3")]),
        ([("s", "u1", "a1"), ("s2", "u1", "a1", "u2", "a2")], [("s", "u1", "a1", "s2", "u2", "a2")]),
        ([("u1",), ("u1", "a1")], [("u1", "a1")]),
        ([("s", "u1", "a1"), ("s", "u2", "a2")], [("s", "u1", "a1"), ("s", "u2", "a2")]),
        ([("u  1", "a1"), ("u 1 ", "a1", "u2", "a2")], [("u  1", "a1", "u2", "a2")]),
    ],
    ids=[
        "history grows",
        "with instructions",
        "two questions",
        "the same question again",
        "another answer",
        "two at a time",
        "cut at its start",
        "other instructions",
        "tried again after a failure",
        "only the instructions are equal",
        "white space",
    ],
)
def test_calls_that_repeat_their_history_are_folded(
    observed: Observed, calls: list[Words], threads: list[Words]
) -> None:
    """A stateless client sends everything again; a conversation is said once."""
    for call in calls:
        observed.call(*call)

    assert words(observed.end()) == threads


@pytest.mark.parametrize("question", ["u", "u {}"], ids=["the same", "another"])
def test_a_question_by_itself_costs_the_same_however_many_there_were(
    calls_of: Callable[[Callable[[], object]], int], question: str
) -> None:
    """A test may ask thousands of them; and one that is held to a time must not fail because it is captured."""

    def calls(questions: int) -> int:
        observed = Observed()
        try:
            for number in range(questions):
                observed.call(question.format(number), "a")
            return calls_of(lambda: observed.call(question.format("last"), "a"))
        finally:
            observed.end()

    assert calls(200) < 2 * calls(2)


def test_the_first_thread_is_the_conversation_of_arena_run(observed: Observed) -> None:
    """So a test can look at what was captured."""
    observed.call("u1", "a1")
    observed.call("u2", "a2")

    assert ArenaRun(observed.store, "test_it").messages[-1].text == "a1"
    assert list(observed.end()) == ["test_it", "test_it#2"]


def assistant(*calls: tuple[str, str, Any]) -> Message:
    return Message(role="assistant", tool_calls=[ToolCall(id=id, name=name, args=args) for id, name, args in calls])


def result(id: str, name: str, content: str, *, latency_ms: int = 0) -> Message:
    return Message(
        role="tool",
        content=content,
        tool_result=ToolResult(id=id, name=name, content=content, latency_ms=latency_ms),
    )


def test_a_tool_result_is_there_when_the_tool_returned_and_is_said_once(observed: Observed) -> None:
    """The execution knows how long it took; the next call says what the model was given."""
    history = [Message.user("where?")]
    asked = assistant(("c1", "find", {"id": 7}), ("c2", "find", {"id": 8}))
    observed.observation.call(Call(door="a", history=history, answers=[asked]))
    for id, at in (("c2", 8), ("c1", 7)):
        execution = result(id, "", f"raw {at}", latency_ms=at)
        observed.observation.execution(Execution(door="a", message=execution))
    assert [message.role for message in observed.store.log_load("test_it")] == ["user", "assistant", "tool", "tool"]

    given = [result("c1", "", "Lyon"), result("c2", "", "Bern")]
    answer = Message.assistant("It is in Lyon.")
    observed.observation.call(Call(door="a", history=[*history, asked, *given], answers=[answer]))

    observed.end()
    messages = observed.store.log_load("test_it")
    assert [message.role for message in messages] == ["user", "assistant", "tool", "tool", "assistant"]
    results = {message.tool_result.id: message.tool_result for message in messages if message.tool_result}
    assert {id: (r.content, r.latency_ms, r.name) for id, r in results.items()} == {
        "c1": ("Lyon", 7, "find"),
        "c2": ("Bern", 8, "find"),
    }


def test_an_execution_without_an_id_answers_the_call_with_its_arguments(observed: Observed) -> None:
    asked = assistant(("c1", "find", {"id": 7}), ("c2", "find", {"id": 8}))
    observed.observation.call(Call(door="a", history=[Message.user("where?")], answers=[asked]))

    execution = Execution(door="a", message=result("", "find", "Bern"), args='{"id":8}')
    observed.observation.execution(execution)

    tool = observed.store.log_load("test_it")[-1].tool_result
    assert tool is not None
    assert (tool.id, tool.name, tool.content) == ("c2", "find", "Bern")


def results(observed: Observed, id: str = "test_it") -> list[tuple[str, str]]:
    """What the tools of a conversation returned, with the errors."""
    messages = observed.store.log_load(id)
    return [(m.tool_result.content, m.tool_result.error) for m in messages if m.tool_result is not None]


@pytest.mark.parametrize("executed", [(), ("a",), ("a", "b"), ("b",)])
def test_an_id_that_is_used_again_is_another_call(observed: Observed, executed: tuple[str, ...]) -> None:
    """Fake models give each call the same id."""
    history = [Message.user("q")]
    for number in (1, 2, 3):
        asked = assistant(("call_0", "find", {"id": number}))
        observed.observation.call(Call(door="a", history=list(history), answers=[asked]))
        for door in executed:
            execution = Execution(door=door, message=result("call_0", "find", f"r{number}"))
            observed.observation.execution(execution)
        if executed:
            assert [content for content, _error in results(observed)][number - 1 :] == [f"r{number}"]
        history += [asked, result("call_0", "find", f"r{number}")]
    observed.observation.call(Call(door="a", history=history, answers=[Message.assistant("done")]))

    assert list(observed.end()) == ["test_it"]
    assert results(observed) == [("r1", ""), ("r2", ""), ("r3", "")]


def test_an_id_in_two_conversations_is_answered_by_the_arguments(observed: Observed) -> None:
    calls = [assistant(("call_0", "find", {"id": number})) for number in (1, 2)]
    for number, asked in enumerate(calls, start=1):
        observed.observation.call(Call(door="a", history=[Message.user(f"q{number}")], answers=[asked]))
    for number in (1, 2):
        message = result("call_0", "find", f"r{number}")
        observed.observation.execution(Execution(door="a", message=message, args={"id": number}))

    assert results(observed, "test_it") == [("r1", "")]
    assert results(observed, "test_it#2") == [("r2", "")]


@pytest.mark.parametrize("goes_on", [True, False])
@pytest.mark.parametrize("doors", [("a",), ("a", "b")])
def test_a_tool_that_is_tried_again_has_its_last_result(
    observed: Observed, goes_on: bool, doors: tuple[str, ...]
) -> None:
    """Whether or not the model is asked again."""
    history = [Message.user("q")]
    asked = assistant(("c1", "find", {"id": 7}))
    observed.observation.call(Call(door="a", history=history, answers=[asked]))
    failed, worked = (Message.tool(text, id="c1", name="find", error=error) for text, error in (("", "no"), ("ok", "")))
    for attempt in (failed, worked):
        for door in doors:
            observed.observation.execution(Execution(door=door, message=attempt.model_copy(deep=True)))
    if goes_on:
        given = [*history, asked, result("c1", "find", "fine")]
        observed.observation.call(Call(door="a", history=given, answers=[Message.assistant("done")]))

    observed.end()
    assert results(observed) == [("fine" if goes_on else "ok", "")]


def test_why_a_tool_failed_stays_when_the_model_is_told(observed: Observed) -> None:
    history = [Message.user("q")]
    asked = assistant(("c1", "find", {"id": 7}))
    observed.observation.call(Call(door="a", history=history, answers=[asked]))
    observed.observation.execution(
        Execution(door="a", message=Message.tool("", id="c1", name="find", error="OSError: no"))
    )
    given = [*history, asked, result("c1", "find", "It failed.")]
    observed.observation.call(Call(door="a", history=given, answers=[Message.assistant("sorry")]))

    observed.end()
    assert results(observed) == [("It failed.", "OSError: no")]


@pytest.mark.parametrize("executed", [(), ("c1",), ("c2",), ("c2", "c1")])
@pytest.mark.parametrize(("follows", "kept"), [("", ""), ("r1", ""), ("", "kept")])
def test_results_that_are_sent_without_their_history_are_said_once(
    observed: Observed, executed: tuple[str, ...], follows: str, kept: str
) -> None:
    """The provider keeps the history, and the tools were executed before or seen by nobody."""
    asked = assistant(("c1", "find", {"id": 7}), ("c2", "find", {"id": 8}))
    asked.meta["response_id"] = "r1"
    observed.observation.call(Call(door="a", history=[Message.user("where?")], answers=[asked], conversation=kept))
    for id in executed:
        observed.observation.execution(Execution(door="a", message=result(id, "find", f"raw {id}")))
    given = [result("c1", "", "Lyon"), result("c2", "", "Bern")]
    answers = [Message.assistant("done")]
    observed.observation.call(Call(door="a", history=given, answers=answers, follows=follows, conversation=kept))

    assert list(observed.end()) == ["test_it"]
    assert [message.role for message in observed.store.log_load("test_it")] == [
        "user", "assistant", "tool", "tool", "assistant",
    ]  # fmt: skip
    assert sorted(results(observed)) == [("Bern", ""), ("Lyon", "")]


def test_a_conversation_that_the_provider_keeps_is_one(observed: Observed) -> None:
    """Only what is new is sent."""
    for conversation, question in (("c1", "u1"), ("c2", "u2"), ("c1", "u3")):
        observed.observation.call(
            Call(
                door="a",
                history=[Message.user(question)],
                answers=[Message.assistant(f"to {question}")],
                conversation=conversation,
            )
        )

    assert words(observed.end()) == [("u1", "to u1", "u3", "to u3"), ("u2", "to u2")]


def test_an_execution_that_nobody_asked_for_is_named(observed: Observed) -> None:
    observed.observation.execution(Execution(door="a", message=result("c1", "find", "Bern")))

    assert observed.end() == {}
    assert observed.troubles == ["a: a tool was executed that no captured call asked for"]


def test_an_execution_waits_for_the_door_that_tells_who_asked(observed: Observed) -> None:
    """Anthropic's client tells of a stream's tokens first; pydantic-ai of its tools, and at last of what was said."""
    asked = [Message.user("u1")]
    untold = Message(role="assistant", meta={"untold": "span", "response_id": "r"})
    told = Message(role="assistant", tool_calls=[ToolCall(id="c", name="t")], meta={"response_id": "r"})
    result = Message(role="tool", tool_result=ToolResult(id="c", name="t", content="done"))
    observed.observation.call(Call(door="inner", history=asked, answers=[untold]))
    observed.observation.execution(Execution(door="outer", message=result))
    observed.observation.call(Call(door="outer", history=asked, answers=[told]))

    assert [role for role, _ in observed.end()["test_it"]] == ["user", "assistant", "tool"]
    assert observed.troubles == []


def test_a_call_goes_by_the_id_that_is_answered(observed: Observed) -> None:
    """LiteLLM tells of the Responses API's `call_id`, and gives the item's own id to its caller."""

    def called(*ids: str) -> Message:
        return Message(role="assistant", tool_calls=[ToolCall(id=id, name="t") for id in ids])

    asked = Message.user("u1")
    results = [Message(role="tool", tool_result=ToolResult(id=id, content=id)) for id in ("fc_1", "fc_2")]
    observed.observation.call(Call(door="a", history=[asked], answers=[called("call_1", "call_2")]))
    for _ in range(2):
        history = [asked, called("fc_1", "fc_2"), *results]
        observed.observation.call(Call(door="a", history=history, answers=[Message.assistant("a1")]))
        results.append(Message.assistant("a1"))
        results.append(Message.user("u2"))

    (found,) = words(observed.end())
    assert found == ("u1", "", "fc_1", "fc_2", "a1", "u2", "a1")
    _, asking, *answers = observed.store.log_load("test_it")
    assert [call.id for call in asking.tool_calls] == ["fc_1", "fc_2"]
    assert [message.tool_result.name for message in answers if message.tool_result] == ["t", "t"]


def test_a_call_that_is_told_after_the_next_one_finds_its_place(observed: Observed) -> None:
    """LiteLLM tells from a pool of threads, in any order."""
    observed.call("u1", "a1", "u2", "a2", times=(30, 40), id="r2")
    observed.call("u1", "a1", times=(10, 20), id="r1")
    observed.call("u1", "a1", "u2", "a2", "u3", "a3", times=(50, 60), id="r3")

    assert words(observed.end()) == [("u1", "a1", "u2", "a2", "u3", "a3")]
    answers = observed.store.log_load("test_it")[1::2]
    assert [answer.meta["response_id"] for answer in answers] == ["r1", "r2", "r3"]


def test_an_example_in_a_history_is_no_call_that_was_missed(observed: Observed) -> None:
    """What is asked after the history was sent cannot be a part of it."""
    observed.call("u1", "a1", "u2", "a2")
    observed.call("u1", "a1")

    assert words(observed.end()) == [("u1", "a1", "u2", "a2"), ("u1", "a1")]


def test_a_conversation_that_is_held_again_is_another(observed: Observed) -> None:
    observed.call("u1", "a1")
    observed.call("u1", "a1", "u2", "a2")
    observed.call("u1", "a1")

    assert words(observed.end()) == [("u1", "a1", "u2", "a2"), ("u1", "a1")]


# --- two doors ---------------------------------------------------------------------------------


def test_a_turn_that_a_history_tells_piece_by_piece_is_one(observed: Observed) -> None:
    """OpenAI's Responses have an item for each piece, and their spans one answer of all."""
    history = [Message.system("s"), Message.user("u1")]
    for number in (1, 2):
        asked = assistant((f"c{number}", "find", {"id": number}), (f"d{number}", "find", {"id": 0}))
        answer = asked.model_copy(update={"content": "Let me look. And there."})
        observed.observation.call(Call(door="a", history=list(history), answers=[answer]))
        history += [
            Message(role="assistant", reasoning=Reasoning(text=f"hm {number}")),
            Message(role="assistant", content="Let me look. "),
            Message(role="assistant", content="And there."),
            *(asked.model_copy(update={"tool_calls": [call]}) for call in asked.tool_calls),
            result(f"c{number}", "find", "Lyon"),
            result(f"d{number}", "find", "Bern"),
        ]
    observed.observation.call(Call(door="a", history=history, answers=[Message.assistant("done")]))

    assert list(observed.end()) == ["test_it"]
    messages = observed.store.log_load("test_it")
    turn = ["assistant", "tool", "tool"]
    assert [message.role for message in messages] == ["system", "user", *turn, *turn, "assistant"]
    assert [m.reasoning.text for m in messages if m.reasoning is not None] == ["hm 1", "hm 2"]


def test_many_conversations_do_not_make_each_call_slower(observed: Observed, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test may ask hundreds of independent questions; a call looks into the threads alone that it may go on with."""
    looked: set[int] = set()
    body = Thread.body

    def noted(thread: Thread) -> list[int]:
        looked.add(id(thread))
        return body(thread)

    monkeypatch.setattr(Thread, "body", noted)

    for number in range(50):
        observed.call(f"u{number}", f"a{number}")
    observed.call("u7", "a7", "u", "a")

    assert len(observed.now()) == 50
    assert len(looked) == 1


def test_what_an_answer_took_is_counted_once(observed: Observed) -> None:
    """A history that goes on in two ways; LangChain's messages bring their usage along."""
    usage = CostInfo(input_tokens=10, output_tokens=5)
    answers = {
        name: Message.assistant(name, cost_info=usage, meta={"usage": {"input": 10}, "message_id": f"run-{name}"})
        for name in ("a1", "a2", "a3")
    }
    asked = [Message.user("u1"), answers["a1"]]
    observed.observation.call(Call(door="a", history=asked[:1], answers=asked[1:]))
    for name, question in (("a2", "u2"), ("a3", "u3")):
        history = [message.model_copy(deep=True) for message in [*asked, Message.user(question)]]
        observed.observation.call(Call(door="a", history=history, answers=[answers[name]]))

    assert words(observed.end()) == [("u1", "a1", "u2", "a2"), ("u1", "a1", "u3", "a3")]
    taken = [[m.cost_info for m in observed.store.log_load(id)[1::2]] for id in ("test_it", "test_it#2")]
    assert taken == [[usage, usage], [None, usage]]


@pytest.mark.parametrize("id", ["run-before", ""])
def test_an_answer_that_nobody_else_gave_is_counted(observed: Observed, id: str) -> None:
    """It says the same as another one, or was given before the test began."""
    usage = CostInfo(input_tokens=10, output_tokens=5)
    other = Message.assistant("a1" if id else "a0", cost_info=usage, meta={"message_id": "run-other"})
    observed.observation.call(Call(door="a", history=[Message.user("u0")], answers=[other]))
    before = Message.assistant("a1", cost_info=usage, meta={"message_id": id} if id else {})
    history = [Message.user("u1"), before, Message.user("u2")]
    observed.observation.call(Call(door="a", history=history, answers=[Message.assistant("a2")]))

    assert words(observed.end())[1] == ("u1", "a1", "u2", "a2")
    assert observed.store.log_load("test_it#2")[1].cost_info == usage


@pytest.mark.parametrize(("first", "second"), [("r1", "r1"), ("", ""), ("r1", ""), ("", "r1")])
def test_a_call_that_two_doors_tell_of_is_recorded_once(observed: Observed, first: str, second: str) -> None:
    """LangChain tells of it, and so does the instrumentation of the client under it."""
    observed.call("u1", "a1", door="inner", id=first, times=(20, 30))
    observed.call("s", "u1", "a1", door="outer", id=second, times=(10, 40))

    assert words(observed.end()) == [("u1", "a1")]
    assert observed.store.log_load("test_it")[-1].meta.get("response_id") == (first or second or None)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"door": "a", "times": (10, 20)}, {"door": "a", "times": (10, 20)}),
        ({"door": "a", "times": (10, 20)}, {"door": "b", "times": (21, 30)}),
        ({"door": "a", "times": (10, 20), "id": "r1"}, {"door": "b", "times": (10, 20), "id": "r2"}),
        ({"door": "a", "times": (10, 20), "id": "r1"}, {"door": "a", "times": (10, 20), "id": "r1"}),
    ],
    ids=["the same door", "one after the other", "other responses", "a server with one id for all"],
)
def test_two_equal_calls_are_two(observed: Observed, first: dict[str, Any], second: dict[str, Any]) -> None:
    """Nothing is lost because a fake server says the same to everybody."""
    observed.call("u1", "a1", **first)
    observed.call("u1", "a1", **second)

    assert words(observed.end()) == [("u1", "a1"), ("u1", "a1")]


def test_calls_at_once_with_one_id_are_told_apart_by_what_was_said(observed: Observed) -> None:
    for door in ("inner", "outer"):
        observed.call("u1", "a1", door=door, id="r", times=(10, 20))
        observed.call("u1", "a2", door=door, id="r", times=(10, 20))

    assert words(observed.end()) == [("u1", "a1"), ("u1", "a2")]


def test_a_call_without_content_gives_its_latency_to_the_one_that_has_it(observed: Observed) -> None:
    """Spans tell how long it took, and by default not what was said."""
    untold = Message(
        role="assistant", meta={"untold": "span", "response_id": "r1"}, cost_info=CostInfo(output_tokens=5)
    )
    mute = Call(door="span", history=[], answers=[untold], started=10_000_000, ended=17_000_000)
    told = Call(door="b", history=[Message.user("u1")], answers=[Message.assistant("a1", meta={"response_id": "r1"})])
    observed.observation.call(mute)
    observed.observation.call(told)

    assert words(observed.end()) == [("u1", "a1")]
    answer = observed.store.log_load("test_it")[-1]
    assert answer.latency_ms == 7
    assert answer.cost_info is not None
    assert answer.cost_info.output_tokens == 5
    assert "untold" not in answer.meta
    assert observed.troubles == []


def test_an_answer_that_was_not_told_comes_with_the_next_history(observed: Observed) -> None:
    """A raw stream of Anthropic's: its span has the tokens, and what was sent."""
    untold = Message(role="assistant", meta={"untold": "span"}, cost_info=CostInfo(output_tokens=5))
    observed.observation.call(Call(door="span", history=[Message.user("u1")], answers=[untold]))
    observed.call("u1", "a1", "u2", "a2", door="span")

    assert words(observed.end()) == [("u1", "a1", "u2", "a2")]
    answer = observed.store.log_load("test_it")[1]
    assert answer.cost_info is not None
    assert answer.cost_info.output_tokens == 5
    assert observed.troubles == []


@pytest.mark.parametrize("first", ["told", "untold"])
def test_an_answer_that_one_of_two_doors_tells_is_recorded_once(observed: Observed, first: str) -> None:
    """LangChain streams through Anthropic's client, whose span has the tokens alone; they share no id."""
    asked = [Message.user("u1")]
    span = Message(role="assistant", meta={"untold": "span"}, cost_info=CostInfo(output_tokens=5))
    calls = [
        Call(door="langchain", history=[Message.system("s"), *asked], answers=[Message.assistant("a1")]),
        Call(door="span", history=asked, answers=[span]),
    ]
    for call in calls if first == "told" else calls[::-1]:
        observed.observation.call(call)

    (found,) = words(observed.end())
    assert found[-2:] == ("u1", "a1")
    answer = observed.store.log_load("test_it")[-1]
    assert answer.cost_info is not None
    assert (answer.cost_info.output_tokens, answer.meta) == (5, {})
    assert observed.troubles == []


def test_a_signature_that_the_second_door_tells_is_kept(observed: Observed) -> None:
    """Spans tell what was thought, and LangChain tells what Anthropic signed it with."""
    signature = OpaqueReasoning(provider="anthropic", kind="signature", data="c2ln")
    thoughts = {"inner": Reasoning(text="hm"), "outer": Reasoning(text="hm, hm", opaque=[signature])}
    for door, thought in thoughts.items():
        answer = Message(role="assistant", content="a1", reasoning=thought)
        observed.observation.call(Call(door=door, history=[Message.user("u1")], answers=[answer]))

    assert words(observed.end()) == [("u1", "a1")]
    assert observed.store.log_load("test_it")[1].reasoning == Reasoning(text="hm", opaque=[signature])


def test_an_answer_that_is_never_told_is_named(observed: Observed) -> None:
    untold = Message(role="assistant", meta={"untold": "span"}, cost_info=CostInfo(output_tokens=5))
    observed.observation.call(Call(door="span", history=[Message.user("u1")], answers=[untold]))

    assert words(observed.end()) == [("u1", "")]
    assert observed.troubles == ["span: a call was told without its content"]


def test_an_answer_that_only_the_test_tells_is_not_named(observed: Observed) -> None:
    """What is not captured is taken in one line; the summary must not say then that it is missing."""
    untold = Message(role="assistant", meta={"untold": "span"}, cost_info=CostInfo(output_tokens=5))
    observed.observation.call(Call(door="span", history=[Message.user("u1")], answers=[untold]))
    observed.store.add([Message.user("u1"), Message.assistant("a1")], "test_it")

    assert words(observed.end()) == [("u1", "a1")]
    assert observed.troubles == []


def test_a_call_whose_content_nobody_tells_is_named(observed: Observed) -> None:
    observed.observation.call(Call(door="span", history=[], answers=[], started=10, ended=20))

    assert observed.end() == {}
    assert observed.troubles == ["span: a call was told without its content"]


# --- what the test records itself ----------------------------------------------------------------


def test_what_the_test_writes_by_hand_stays_as_without_capture(observed: Observed) -> None:
    """Capture must not change what a test that records by itself sees."""
    run = ArenaRun(observed.store, "test_it")
    run.user("u1")
    observed.call("s", "u1", "a1")
    assert [message.text for message in run.messages] == ["u1"]
    run.assistant("a1", meta={"own": True})
    assert [message.text for message in run.messages] == ["u1", "a1"]

    assert words(observed.end()) == [("s", "u1", "a1")]
    answer = run.messages[-1]
    assert answer.meta["own"]


def test_a_thread_makes_room_when_the_test_writes_afterwards(observed: Observed) -> None:
    run = ArenaRun(observed.store, "test_it")
    observed.call("s", "u1", "a1")
    run.user("u1")
    assert [message.text for message in run.messages] == ["u1"]
    run.assistant("a1")

    assert words(observed.end()) == [("s", "u1", "a1")]


def test_add_of_the_same_conversation_is_recorded_once(observed: Observed) -> None:
    observed.call("s", "u1", "a1")
    observed.store.add([{"role": "user", "content": "u1"}, {"role": "assistant", "content": "a1"}], "mine")
    assert list(observed.now()) == ["test_it", "mine"]

    assert observed.end() == {"mine": [("system", "s"), ("user", "u1"), ("assistant", "a1")]}


def test_a_child_is_named_after_the_fork_of_its_own_thread(observed: Observed) -> None:
    """Threads that fork at one time would have children that write to one conversation; only one is reported."""
    observed.observation.prepare_fork()
    other = threading.Thread(target=observed.observation.prepare_fork)
    other.start()
    other.join()
    observed.observation.go_on_in_child()
    observed.call("u1", "a1")

    assert [*observed.now()] == ["test_it#fork1"]


def test_a_price_that_only_capture_can_find_is_found(observed: Observed, tmp_path: Path) -> None:
    """The result of an agent's run does not name the model; the call does."""
    file = tmp_path / "prices.toml"
    file.write_text('[[price]]\nmodel = "m"\ninput = 2\noutput = 0\n', encoding="utf-8")
    observed.store._prices = Prices(file)
    usage = CostInfo(input_tokens=1_000_000)
    told = Message.assistant("a1", cost_info=usage, meta={"model": "m", "usage": {}})
    observed.observation.call(Call(door="a", history=[Message.user("u1")], answers=[told]))
    own = Message.assistant("a1", cost_info=usage, meta={"usage": {}})
    observed.store.log_append("mine", 0, [Message.user("u1"), own])
    assert observed.store.log_load("mine")[1].meta["cost_origin"] == "unknown"
    observed.observation.end()

    (answer,) = observed.store.log_load("mine")[1:]
    assert answer.cost_info is not None
    assert (answer.meta["cost_origin"], answer.cost_info.total_cost_usd) == ("price file prices.toml", 2)


@pytest.mark.parametrize("dollars", [0.5, 0.0])
def test_tokens_that_only_capture_counted_join_dollars_that_the_test_gave(observed: Observed, dollars: float) -> None:
    run = ArenaRun(observed.store, "test_it")
    run.user("u1")
    run.assistant("a1", cost=dollars)
    answer = Message(role="assistant", content="a1", cost_info=CostInfo(input_tokens=7, output_tokens=3))
    answer.meta["model"] = "m"
    observed.observation.call(Call(door="a", history=[Message.user("u1")], answers=[answer]))

    assert words(observed.end()) == [("u1", "a1")]
    cost = observed.store.log_load("test_it")[1].cost_info
    assert cost is not None
    assert (cost.input_tokens, cost.output_tokens, cost.total_cost_usd) == (7, 3, dollars)


def test_tokens_that_only_capture_counted_are_paid_for(observed: Observed, tmp_path: Path) -> None:
    """A price of what went in alone is none of the answer."""
    file = tmp_path / "prices.toml"
    file.write_text('[[price]]\nmodel = "m"\ninput = 1_000_000\noutput = 2_000_000\n', encoding="utf-8")
    observed.store._prices = Prices(file)
    known = Message(role="assistant", content="a1", cost_info=CostInfo(input_tokens=7), meta={"model": "m"})
    observed.store.log_append("test_it", 0, [Message.user("u1"), known])
    answer = Message(role="assistant", content="a1", cost_info=CostInfo(input_tokens=7, output_tokens=3))
    observed.observation.call(Call(door="a", history=[Message.user("u1")], answers=[answer]))

    observed.end()
    cost = observed.store.log_load("test_it")[1].cost_info
    assert cost is not None
    assert (cost.output_tokens, cost.total_cost_usd) == (3, 7 + 6)


@pytest.mark.parametrize("output", [0, 3])
def test_tokens_come_from_the_door_that_counted_them(observed: Observed, output: int) -> None:
    """The Agents SDK says zero of a stream whose tokens it did not ask for, and LangChain of what went into one."""
    known = CostInfo(output_tokens=output)
    for door, cost in (("a", known), ("b", CostInfo(input_tokens=7, output_tokens=3, total_cost_usd=0.5))):
        answer = Message(role="assistant", content="a1", cost_info=cost)
        observed.observation.call(Call(door=door, history=[Message.user("u1")], answers=[answer]))

    (cost,) = [message.cost_info for message in observed.store.log_load("test_it") if message.cost_info]
    assert (cost.input_tokens, cost.output_tokens, cost.total_cost_usd) == (7, 3, 0.0 if output else 0.5)


def test_what_joined_a_conversation_of_the_test_early_goes_on_there(observed: Observed) -> None:
    """A budget is looked at when the test's call ends; a fixture may ask more when it is torn down."""
    observed.call("u1", "a1")
    observed.store.add([{"role": "user", "content": "u1"}, {"role": "assistant", "content": "a1"}], "mine")
    observed.observation.settle()
    assert words(observed.now()) == [("u1", "a1")]
    observed.call("u1", "a1", "u2", "a2")

    assert observed.end() == {"mine": [("user", "u1"), ("assistant", "a1"), ("user", "u2"), ("assistant", "a2")]}


def test_checks_stay_where_the_test_made_them(observed: Observed) -> None:
    """The messages leave the conversation, and what the test said of it does not."""
    run = ArenaRun(observed.store, "test_it")
    observed.call("u1", "a1")
    run.check("said", True)
    observed.store.add([{"role": "user", "content": "u1"}, {"role": "assistant", "content": "a1"}], "mine")

    assert list(observed.end()) == ["mine"]
    assert [check.type for check in observed.store.get_result("test_it").conversation_assertions.results] == ["said"]


def test_a_conversation_of_which_the_test_has_a_part_gets_the_rest(observed: Observed) -> None:
    run = ArenaRun(observed.store, "test_it")
    run.user("u1")
    observed.call("u1", "a1")

    assert observed.end() == {"test_it": [("user", "u1"), ("assistant", "a1")]}


def test_another_conversation_of_the_test_stands_beside_what_was_captured(observed: Observed) -> None:
    run = ArenaRun(observed.store, "test_it")
    observed.call("u1", "a1")
    run.user("u2")

    assert words(observed.end()) == [("u2",), ("u1", "a1")]


def test_tool_calls_by_hand_are_the_same_as_captured_ones(observed: Observed) -> None:
    """The test gives them ids of its own, and its results another spelling."""
    run = ArenaRun(observed.store, "test_it")
    asked = assistant(("c1", "find", {"id": 7}))
    history = [Message.user("where?")]
    observed.observation.call(Call(door="a", history=history, answers=[asked]))
    history += [asked, result("c1", "find", '{"city": "Lyon", "zip": 1}')]
    observed.observation.call(Call(door="a", history=history, answers=[Message.assistant("Lyon")]))
    run.user("where?")
    call = run.tool_call("find", {"id": 7})
    run.tool_result(call, {"zip": 1, "city": "Lyon"})
    run.assistant("Lyon")

    assert list(observed.end()) == ["test_it"]
    assert [message.role for message in run.messages] == ["user", "assistant", "tool", "assistant"]


@pytest.mark.parametrize("first", [0, 1], ids=["whole first", "pieces first"])
def test_an_answer_that_doors_tell_in_other_pieces_is_counted_once(observed: Observed, first: int) -> None:
    """What it took stands in the last piece of one door, and in the only one of the other."""

    def said(text: str, **more: Any) -> Message:
        return Message.assistant(text, meta={"response_id": "r"}, **more)

    usage = CostInfo(input_tokens=7, output_tokens=3)
    tellings = [[said("It rains.", cost_info=usage)], [said("It "), said("rains.", cost_info=usage)]]
    for door, answers in zip("ab", (tellings[first], tellings[1 - first]), strict=True):
        observed.observation.call(Call(door=door, history=[Message.user("how?")], answers=answers, started=1, ended=2))

    ((_id, told),) = observed.end().items()
    assert "".join(text for role, text in told if role == "assistant") == "It rains."
    assert [m.cost_info for m in observed.store.log_load("test_it") if m.cost_info] == [usage]


def test_an_answer_that_was_not_told_is_filled_with_all_pieces_of_it(observed: Observed) -> None:
    untold = Message.assistant("", meta={"untold": "a"})
    for door, answers in (("a", [untold]), ("b", [Message.assistant("It "), Message.assistant("rains.")])):
        observed.observation.call(Call(door=door, history=[Message.user("how?")], answers=answers, started=1, ended=2))

    assert observed.end() == {"test_it": [("user", "how?"), ("assistant", "It rains.")]}


@pytest.mark.parametrize("order", list(itertools.permutations(("c1", "c2", "c3"))), ids="".join)
@pytest.mark.parametrize("known", [3, 2])
def test_results_in_another_order_than_the_test_has_them_are_the_same(
    observed: Observed, order: tuple[str, ...], known: int
) -> None:
    """Tools that run at one time end in any order, and a graph's state has them in that of their calls."""
    asked = assistant(*((id, "find", {"id": id}) for id in ("c1", "c2", "c3")))
    results = [result(id, "find", f"found {id}") for id in ("c1", "c2", "c3")]
    state = [Message.user("where?"), asked, *results[:known], Message.assistant("Lyon")]
    usage = CostInfo(input_tokens=7, output_tokens=3)

    observed.observation.call(Call(door="a", history=state[:1], answers=[asked], started=1, ended=2))
    for id in order:
        observed.observation.execution(Execution(door="a", message=result(id, "find", f"found {id}")))
    answer = Message.assistant("Lyon", cost_info=usage)
    history = [state[0], asked, *results]
    observed.observation.call(Call(door="a", history=history, answers=[answer], started=3, ended=4))
    observed.store.add(state, "mine")

    assert list(observed.end()) == ["mine"]
    found = observed.store.log_load("mine")
    ids = [message.tool_result.id for message in found if message.tool_result is not None]
    assert sorted(ids) == ["c1", "c2", "c3"]
    assert known == 2 or ids == ["c1", "c2", "c3"]
    assert [message.cost_info for message in found if message.cost_info] == [usage]


def test_a_tool_that_was_not_executed_has_a_result_among_those_that_were(observed: Observed) -> None:
    """A person allows one of two calls: a graph gives the model words for the other, before or behind the result."""
    asked = assistant(("c1", "find", {}), ("c2", "find", {}))
    observed.observation.call(Call(door="a", history=[Message.user("where?")], answers=[asked]))
    observed.observation.execution(Execution(door="a", message=result("c1", "find", "Bern")))
    history = [Message.user("where?"), asked, result("c2", "find", "not allowed"), result("c1", "find", "Bern")]
    observed.observation.call(Call(door="a", history=history, answers=[Message.assistant("Lyon")]))
    history += [Message.assistant("Lyon"), Message.user("why?")]
    observed.observation.call(Call(door="a", history=history, answers=[Message.assistant("so")]))

    ((id, told),) = observed.end().items()
    assert id == "test_it"
    assert [text for _role, text in told] == ["where?", "", "Bern", "not allowed", "Lyon", "why?", "so"]


def test_checks_of_a_captured_conversation_leave_it_where_it_is(observed: Observed) -> None:
    """A label, a check or a validation is no message."""
    run = ArenaRun(observed.store, "test_it")
    observed.call("u1", "a1")
    run.label("tier", "critical")
    run.validate("polite", passed=True)

    assert [message.text for message in run.messages] == ["u1", "a1"]
    assert run.messages[-1].validations[0].validator_type == "polite"
    assert list(observed.end()) == ["test_it"]


# --- whose call it is ------------------------------------------------------------------------------


def test_outside_a_test_there_is_no_observation(observed: Observed) -> None:
    assert current() is observed.observation
    observed.observation.end()
    assert current() is None


def test_a_thread_that_knows_no_test_belongs_to_the_one_that_runs(observed: Observed) -> None:
    found: list[Observation | None] = []

    thread = threading.Thread(target=lambda: found.append(current()))
    thread.start()
    thread.join()

    observed.observation.end()
    assert found == [observed.observation]


def test_a_loop_that_lives_longer_than_its_first_test_serves_the_next(observed: Observed) -> None:
    """A loop of session scope has the context of the test that made it."""

    async def ask() -> Observation | None:
        return current()

    with asyncio.Runner() as runner:
        first = runner.run(ask())
        observed.observation.end()
        following = Observation(lambda: observed.store, "test_next", observed.troubles.append)
        following.begin()
        second = runner.run(ask())
        following.end()

    assert first is observed.observation
    assert second is following


def test_a_call_that_ends_after_its_test_is_named_and_not_given_to_another(observed: Observed) -> None:
    observed.observation.end()
    observed.call("u1", "a1")

    assert observed.now() == {}
    assert observed.troubles == ["a: a call ended after its test and was not captured"]


def test_parts_without_a_field_are_counted_once(observed: Observed) -> None:
    told: list[str] = []
    observed.store._on_change = lambda change, _conversation: told.extend(change.problems)
    strange = Message(role="user", content="u1", meta={"unmapped_parts": [{"type": "smell"}]})
    answer = Message.assistant("a1")
    observed.observation.call(Call(door="a", history=[strange], answers=[answer]))
    observed.observation.call(Call(door="a", history=[strange, answer], answers=[Message.assistant("a2")]))
    ArenaRun(observed.store, "test_it").user("makes room")

    assert told == ["a part of kind 'smell' has no field of its own and is kept in its message's meta"]


def test_a_store_that_was_cleared_gets_the_thread_again(observed: Observed) -> None:
    observed.call("u1", "a1")
    observed.store.clear()
    observed.call("u1", "a1", "u2", "a2")

    assert words(observed.end()) == [("u1", "a1", "u2", "a2")]
