"""What a repeated history adds."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_arena_state.capture import align, new_messages, repeats_the_last_or_nothing
from pytest_arena_state.messages import ContentPart, CostInfo, Message, Reasoning, ToolCall, ToolResult


def say(script: str) -> list[Message]:
    """``"u1 a1"`` is a user's and an assistant's message; ``s`` is system."""
    roles = {"s": "system", "u": "user", "a": "assistant"}
    return [Message(role=roles[word[0]], content=word) for word in script.split()]


def words(messages: list[Message]) -> str:
    return " ".join(message.content for message in messages)


@pytest.mark.parametrize(
    ("known", "given", "new"),
    [
        ("", "", ""),
        ("", "s1 u1", "s1 u1"),
        ("u1 a1", "u1 a1 u2 a2", "u2 a2"),  # the list, grown by two
        ("u1 a1", "u1 a1", ""),  # the same list
        ("u1", "a1", "a1"),  # the response after the list
        ("u1 a1", "a1", ""),  # the response that the list ends with
        ("u1 a1 u2 a2", "u1 a1", ""),  # an earlier state of the list
        ("u1 a1", "u1", "u1"),  # somebody says the same again
        ("s1 u1 a1", "u1 a1 u2", "u2"),  # the instructions are an argument of the call
        ("u1 a1", "s1 u1 a1 u2", "s1 u2"),  # instructions that were not known
        ("s1 u1 a1", "s2 u1 a1 u2", "s2 u2"),  # other instructions
        ("s1 u1 a1 u2 a2", "s1 u2 a2 u3", "u3"),  # a window on the history
        ("u1 a1 u2 a2", "u1 a1 u3", "u3"),  # the history with another end
        ("u1 a1", "u1 a2", "u1 a2"),  # the same question, asked anew
        ("u1 a1 u1 a1", "u1 a1 u1 a1 u1", "u1"),  # nothing but repetitions
        ("u1 a1", "u7 a7", "u7 a7"),
    ],
)
def test_a_list_adds_what_is_new(known: str, given: str, new: str) -> None:
    assert words(new_messages(say(known), say(given))) == new


def test_small_differences_do_not_make_a_message_new() -> None:
    """Clients send back what they need, and that is less than they got."""
    answer = Message(
        role="assistant",
        content="yes ",
        cost_info=CostInfo(input_tokens=3),
        reasoning=Reasoning(text="hm"),
        finish_reason="tool_use",
        tool_calls=[ToolCall(id="c", name="f", args={"a": 1, "b": 2})],
        meta={"model": "m"},
    )
    sent = Message(role="assistant", content="yes", tool_calls=[ToolCall(id="c", name="f", args={"b": 2, "a": 1})])

    assert new_messages([*say("u1"), answer], [*say("u1"), sent, *say("u2")]) == say("u2")


def test_other_media_make_a_message_new() -> None:
    first, second = (Message(role="user", content="look", parts=[ContentPart.from_url(f"{n}.png")]) for n in (1, 2))

    assert new_messages([first], [second]) == [second]


@pytest.mark.parametrize(
    "ended", [*itertools.permutations("123"), *itertools.permutations("123", 2), ("3",)], ids="".join
)
def test_results_are_known_whatever_order_their_tools_ended_in(ended: tuple[str, ...]) -> None:
    """A test notes each when it comes, and the history has them in the order of their calls."""
    calls = [ToolCall(id=number, name="f", args={"n": number}) for number in "123"]
    start = [*say("u1"), Message(role="assistant", tool_calls=calls)]
    results = {number: Message.tool(f"r{number}", id=number, name="f") for number in "123"}
    known = [*start, *(results[number] for number in ended)]
    history = [*start, *results.values()]

    missing = [results[number] for number in "123" if number not in ended]
    assert new_messages(known, [*history, *say("a2")]) == [*missing, *say("a2")]
    assert new_messages([*known, *missing, *say("a2")], history) == []


def test_answers_of_different_responses_are_different() -> None:
    """A model that is asked three times may say the same three times."""
    answers = [Message(role="assistant", content="a1", meta={"response_id": f"r{n}"}) for n in (1, 2, 3)]
    known = say("u1")
    for answer in answers:
        known += new_messages(known, [answer])
        known += new_messages(known, [answer])
        known += new_messages(known, say("a1"))  # as a history has it

    assert [message.meta.get("response_id") for message in known] == [None, "r1", "r2", "r3"]
    assert new_messages(known, say("u1 a1 a1 a1 u2")) == say("u2")
    assert new_messages([*say("u1"), answers[0]], [*say("u1"), answers[1]]) == [*say("u1"), answers[1]]


def test_a_result_that_a_history_shortens_is_known() -> None:
    """It is the result of the same call, and the conversation keeps what the tool returned."""

    def history(output: str) -> list[Message]:
        call = Message(role="assistant", tool_calls=[ToolCall(id="c", name="f", args={})])
        result = Message(role="tool", content=output, tool_result=ToolResult(id="c", name="f", content=output))
        return [*say("u1"), call, result, *say("a1")]

    known = history("a page of words")

    assert new_messages(known, [*history("[shortened]"), *say("u2")]) == say("u2")
    assert new_messages(known, [*history("[shortened]")[1:], *say("u2")]) == say("u2")
    assert new_messages([*known, *say("u2 a2")], [*history("[gone]"), *say("u2 a2 u3")]) == say("u3")
    assert new_messages(known[:3], [history("another try")[2]]) == [history("another try")[2]]


def test_a_later_list_names_the_tools_of_an_earlier_one() -> None:
    asked = Message(role="assistant", tool_calls=[ToolCall(id="c", name="f", args={})])
    result = Message(role="tool", tool_result=ToolResult(id="c", content="1"))

    (new,) = new_messages([asked], [result])

    assert new.tool_result is not None
    assert new.tool_result.name == "f"
    assert result.tool_result is not None
    assert result.tool_result.name == ""


def test_results_without_an_id_belong_to_the_calls_in_their_order() -> None:
    """Two tools may say the same, and neither of them says for whom."""
    known = [Message(role="assistant", tool_calls=[ToolCall(id="c1", name="f"), ToolCall(id="c2", name="g")])]
    for _ in range(2):
        known += new_messages(known, [Message(role="tool", tool_result=ToolResult(content="ok"))])

    results = [message.tool_result for message in known[1:]]

    assert [(result.id, result.name) for result in results if result] == [("c1", "f"), ("c2", "g")]


def test_made_up_ids_count_from_the_start_of_the_conversation() -> None:
    """Else two calls of one conversation would have the same id."""

    def turn() -> list[Message]:
        return [Message(role="assistant", tool_calls=[ToolCall(name="f", args={})])]

    known = new_messages([], turn())
    known += new_messages(known, [Message(role="tool", tool_result=ToolResult(name="f", content="1"))])
    known += new_messages(known, turn())
    known += new_messages(known, [Message(role="tool", tool_result=ToolResult(name="f", content="2"))])

    assert [call.id for message in known for call in message.tool_calls] == ["call-1-f", "call-2-f"]
    assert [message.tool_result.id for message in known if message.tool_result] == ["call-1-f", "call-2-f"]


def test_usage_that_comes_later_is_not_lost() -> None:
    """The list is added first, the response with its usage afterwards."""
    response = Message(role="assistant", content="a1", cost_info=CostInfo(input_tokens=3))

    found = align(say("s1 u1 a1"), [response])

    assert found.new == []
    assert found.enriched == {2: response}


MESSAGES = st.lists(st.sampled_from(["s1", "u1", "u2", "a1", "a2"]), max_size=8).map(lambda words: say(" ".join(words)))


@given(MESSAGES)
def test_the_same_list_again_adds_nothing(messages: list[Message]) -> None:
    known = new_messages([], messages)

    assert new_messages(known, messages) == []


@given(MESSAGES, MESSAGES)
def test_a_grown_list_adds_its_growth(start: list[Message], growth: list[Message]) -> None:
    known = new_messages([], start)
    spoken = [message for message in growth if message.role != "system"]

    assert [m for m in new_messages(known, start + growth) if m.role != "system"] == spoken


@given(MESSAGES, MESSAGES)
def test_neither_list_is_changed(known: list[Message], added: list[Message]) -> None:
    before = [message.to_dict() for message in known + added]

    new_messages(known, added)

    assert [message.to_dict() for message in known + added] == before


@pytest.mark.timeout(120)  # seconds; a comparison of each with each takes many minutes
def test_a_long_history_that_repeats_itself_takes_no_quadratic_time() -> None:
    history = [Message(role="user", content="again")] * 2_000

    new = new_messages(history, [*history, Message(role="assistant", content="end")])

    assert words(new) == "end"


def messages(*roles: str, ids: list[str]) -> st.SearchStrategy[Message]:
    return st.builds(
        Message,
        role=st.sampled_from(roles),
        content=st.sampled_from(["", "yes", "no"]),
        tool_calls=st.lists(st.builds(ToolCall, id=st.sampled_from(ids), name=st.just("f")), max_size=2),
        cost_info=st.none() | st.just(CostInfo(input_tokens=3)),
        meta=st.sampled_from([{}, {"response_id": "r1"}, {"response_id": "r2"}]),
    )


RESULTS = st.builds(
    Message, role=st.just("tool"), tool_result=st.builds(ToolResult, id=st.sampled_from(["", "c1"]), name=st.just("f"))
)
KNOWN = messages("system", "user", "assistant", ids=["", "c1", "c2", "call-1-f"]) | RESULTS


@given(st.lists(KNOWN, max_size=6), messages("user", "assistant", ids=["c1", "c2"]))
def test_of_a_message_by_itself_the_last_that_was_said_tells_everything(known: list[Message], last: Message) -> None:
    """So that a long conversation need not be looked at for each answer."""
    said = [place for place, message in enumerate(known) if message.role != "system"]
    first = said[-1] if said else 0

    whole, end = align(known, [last]), align(known[first:], [last])

    assert repeats_the_last_or_nothing([last])
    assert end.new == whole.new
    assert {first + place: message for place, message in end.enriched.items()} == whole.enriched
