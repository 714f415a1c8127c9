"""Real objects of the real libraries, damaged: whatever stands in their fields, the only error is our own.

`test_hostile_shapes` does this to dumps. An object has more ways to be strange: a field may hold
anything in spite of its type, be missing, or refuse to be looked at.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_arena_state.capture import UnrecognisedSourceError, collect, from_messages, new_messages

# What the libraries warn of when their objects are damaged is theirs.
pytestmark = pytest.mark.filterwarnings("ignore")

SHAPES = Path(__file__).parent / "shapes"


def recorded(name: str) -> Any:
    return json.loads((SHAPES / f"{name}.json").read_text(encoding="utf-8"))


def openai_chat() -> list[Any]:
    types = pytest.importorskip("openai.types.chat")
    conversation = recorded("openai_chat")["conversation"]
    chunks = [types.ChatCompletionChunk.construct(**chunk) for chunk in recorded("openai_chat")["streams"][0]]
    return [[types.ChatCompletion.construct(**conversation[place]) for place in (2, 4)], chunks]


def openai_responses() -> list[Any]:
    types = pytest.importorskip("openai.types.responses")
    items = recorded("openai_responses")["conversation"]["input"]
    return [[types.Response.construct(**items[place]) for place in (1, 3)]]


def anthropic() -> list[Any]:
    types = pytest.importorskip("anthropic.types")
    messages = recorded("anthropic")["conversation"]["messages"]
    return [[types.Message.construct(**messages[place]) for place in (1, 3)]]


def google_genai() -> list[Any]:
    types = pytest.importorskip("google.genai.types")
    shape = recorded("google_genai")["conversation"]
    answers = [entry for entry in shape["contents"] if "candidates" in entry] if isinstance(shape, dict) else shape
    found = [entry for entry in answers if isinstance(entry, dict) and "candidates" in entry]
    return [[types.GenerateContentResponse.model_validate(entry) for entry in found]]


def langchain() -> list[Any]:
    messages = pytest.importorskip("langchain_core.messages")
    call = {"id": "call_1", "name": "get_weather", "args": {"city": "Bern"}}
    usage = {"input_tokens": 50, "output_tokens": 10, "total_tokens": 60, "input_token_details": {"cache_read": 20}}
    return [
        [
            messages.SystemMessage("Be brief."),
            messages.HumanMessage([{"type": "text", "text": "What is the weather?"}]),
            messages.AIMessage("", tool_calls=[call], usage_metadata=usage, response_metadata={"id": "r"}),
            messages.ToolMessage("18 °C", tool_call_id="call_1", name="get_weather"),
            messages.AIMessageChunk("It is "),
            messages.AIMessageChunk("sunny."),
        ]
    ]


def pydantic_ai() -> list[Any]:
    messages = pytest.importorskip("pydantic_ai.messages")
    usage = pytest.importorskip("pydantic_ai.usage").RequestUsage(input_tokens=50, output_tokens=10)
    return [
        [
            messages.ModelRequest(parts=[messages.SystemPromptPart("s"), messages.UserPromptPart("q")]),
            messages.ModelResponse(
                parts=[messages.ThinkingPart("hm"), messages.ToolCallPart("get_weather", {"city": "Bern"}, "call_1")],
                usage=usage,
            ),
            messages.ModelRequest(parts=[messages.ToolReturnPart("get_weather", "18 °C", "call_1")]),
            messages.ModelResponse(parts=[messages.TextPart("It is sunny.")], usage=usage),
        ]
    ]


def mcp() -> list[Any]:
    types = pytest.importorskip("mcp.types")
    return [[types.CallToolResult(content=[types.TextContent(type="text", text="18 °C")])]]


LIBRARIES: list[Callable[[], list[Any]]] = [
    *(openai_chat, openai_responses, anthropic, google_genai, langchain, pydantic_ai, mcp)
]


class Refuses:
    """An object that cannot be looked at."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


MISSING = object()
DAMAGE = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.binary(max_size=4)
    | st.lists(st.none() | st.text(max_size=3) | st.integers(), max_size=3)
    | st.dictionaries(st.text(max_size=3), st.integers() | st.none(), max_size=3)
    | st.builds(Refuses)
    | st.builds(object)
    | st.just(MISSING)
)


def places(value: Any, seen: set[int] | None = None) -> Iterator[tuple[Any, Any]]:
    """Every list, dict and object inside, with every key, index and field."""
    seen = set() if seen is None else seen
    if id(value) in seen or isinstance(value, Refuses | Enum):  # a member of an enum is everybody's
        return
    seen.add(id(value))
    if isinstance(value, dict):
        entries = list(value.items())
    elif isinstance(value, list):
        entries = list(enumerate(value))
    else:
        entries = list(getattr(value, "__dict__", {}).items())
    for key, item in entries:
        yield value, key
        yield from places(item, seen)


def damage(owner: Any, key: Any, worth: Any) -> None:
    """Put something in the place of a field, past every check of its library, or take it away."""
    entries = owner if isinstance(owner, dict | list) else owner.__dict__
    if worth is MISSING:
        del entries[key]
    else:
        entries[key] = worth


def read(call: Callable[[Any], Any], given_objects: Any) -> None:
    try:
        messages = call(given_objects)
    except UnrecognisedSourceError:
        return
    for message in messages:
        assert json.loads(message.to_json())
    assert new_messages(messages, messages) == []


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.__name__)
def test_they_can_be_read_while_they_are_whole(library: Callable[[], list[Any]]) -> None:
    """Or the test below would be about objects that nobody reads."""
    for objects in library():
        assert any(message.role == "assistant" or message.tool_result for message in collect(objects))


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.__name__)
@settings(max_examples=60)
@given(data=st.data())
def test_damaged_objects_raise_nothing_but_our_error(library: Callable[[], list[Any]], data: st.DataObject) -> None:
    rows = library()
    objects = copy.deepcopy(rows[data.draw(st.integers(0, len(rows) - 1))])
    for _ in range(data.draw(st.integers(1, 3))):
        found = list(places(objects))
        if found:
            owner, key = found[data.draw(st.integers(0, len(found) - 1))]
            damage(owner, key, data.draw(DAMAGE))

    read(from_messages, objects)
    read(lambda given_objects: collect(given_objects), objects)
