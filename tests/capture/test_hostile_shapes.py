"""Whatever is given, the only error is our own, and nothing that was said is lost."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_arena_state.capture import (
    UnrecognisedSourceError,
    collect,
    from_messages,
    new_messages,
    source_names,
)
from pytest_arena_state.capture.recognition import BUILT_IN

SHAPES = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((Path(__file__).parent / "shapes").glob("*.json"))
}
CONVERSATIONS = {name: shape["conversation"] for name, shape in SHAPES.items() if "conversation" in shape}
CONVERSATIONS["otel spans"] = SHAPES["otel"]["spans"]
CONVERSATIONS["mcp"] = SHAPES["mcp"]["results"]
STREAMS = [stream for shape in SHAPES.values() for stream in shape.get("streams", ())]
BUILT_IN_NAMES = ["auto", *(source.name for source in BUILT_IN)]

#: Keys and words that the sources look for: arbitrary JSON without them would reach no source.
KEYS = [
    "role", "content", "type", "parts", "part_kind", "kind", "object", "choices", "message", "delta", "index", "id",
    "tool_calls", "function", "name", "arguments", "args", "usage", "output", "item", "response", "candidates", "text",
    "thinking", "call_id", "tool_use_id", "is_error", "isError", "data", "source", "image_url", "functionCall",
    "functionResponse", "usage_metadata", "response_metadata", "additional_kwargs", "gen_ai.input.messages",
    "gen_ai.output.messages", "gen_ai.tool.call.result", "attributes", "event_kind", "part", "messages", "input",
    "contents", "timestamp", "created", "done", "finish_reason", "lc", "kwargs", "generations", "resource",
]  # fmt: skip
WORDS = [
    "user", "assistant", "tool", "system", "model", "ai", "human", "AIMessageChunk", "text", "message", "request",
    "response", "tool-call", "tool-return", "chat.completion", "chat.completion.chunk", "function_call", "reasoning",
    "function_call_output", "tool_use", "tool_result", "message_start", "content_block_start", "content_block_delta",
    "response.created", "response.output_text.delta", "response.completed", "part_start", "part_delta", "image",
    "image_url", "data:image/png;base64,x", "data:", "2026-01-01T00:00:00Z", "[{}]", "\ud800", "user-prompt",
]  # fmt: skip
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(WORDS) | st.text(max_size=5)
    | st.sampled_from([10**400, -1, 2**63, 1e308])
)  # fmt: skip
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), inner, max_size=6)
    ),
    max_leaves=25,
)


def only_our_error(call: Any, *args: Any) -> None:
    try:
        messages = call(*args)
    except UnrecognisedSourceError:
        return
    for message in messages:
        assert json.loads(message.to_json())
    assert new_messages(messages, messages) == []


@settings(max_examples=200)
@given(ANYTHING, st.sampled_from(BUILT_IN_NAMES))
def test_arbitrary_json_raises_nothing_but_our_error(value: Any, source: str) -> None:
    only_our_error(from_messages, value, source)
    only_our_error(collect, value if isinstance(value, list) else [value], source)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every dict and list inside with every key."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from places(value[key])


@settings(max_examples=200)
@given(st.data())
def test_damaged_conversations_raise_nothing_but_our_error(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(CONVERSATIONS)))
    conversation = copy.deepcopy(CONVERSATIONS[name])
    for _ in range(data.draw(st.integers(1, 3))):
        owner, key = data.draw(st.sampled_from(list(places(conversation)) or [([None], 0)]))
        if data.draw(st.booleans()):
            owner[key] = data.draw(ANYTHING)
        else:
            del owner[key]

    only_our_error(from_messages, conversation)
    only_our_error(from_messages, conversation, name.partition(" ")[0].replace("ollama", "openai_chat"))


@settings(max_examples=100)
@given(st.data())
def test_damaged_streams_raise_nothing_but_our_error(data: st.DataObject) -> None:
    stream = copy.deepcopy(data.draw(st.sampled_from(STREAMS)))
    owner, key = data.draw(st.sampled_from(list(places(stream))))
    owner[key] = data.draw(ANYTHING)
    cut = data.draw(st.integers(0, len(stream)))

    only_our_error(collect, stream[:cut] + stream[cut + 1 :])


# What is not said: the rest of a request or a state, and what a response repeats of its request.
ASIDE = ("text", "format", "reasoning", "config")


@pytest.mark.parametrize("name", [name for name in CONVERSATIONS if name != "otel spans"])
def test_nothing_new_is_dropped(name: str) -> None:
    """Tomorrow's field is in the report today, wherever the library puts it."""
    count = sum(isinstance(owner[key], dict) for owner, key in places(CONVERSATIONS[name]))
    for number in range(count):
        conversation = copy.deepcopy(CONVERSATIONS[name])
        owner, key = [place for place in places(conversation) if isinstance(place[0][place[1]], dict)][number]
        if key in ASIDE:
            continue
        owner[key]["novel"] = "something new"

        written = "".join(message.to_json() for message in from_messages(conversation))

        assert "something new" in written, (key, owner[key])


class Raises:
    """An object that refuses to be looked at."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


class RaisesLate:
    role = "assistant"

    @property
    def content(self) -> str:
        raise RuntimeError

    def __repr__(self) -> str:
        raise RuntimeError


def cyclic() -> dict[str, Any]:
    message: dict[str, Any] = {"role": "user", "content": []}
    message["content"].append(message)
    return message


def deep() -> Any:
    value: Any = "x"
    for _ in range(5_000):
        value = [value]
    return value


# Made by a function each, because pytest looks at the parameters, and some do not like that.
HOSTILE: dict[str, Callable[[], object]] = {
    "raises": Raises,
    "raises late": RaisesLate,
    "raises in a list": lambda: [Raises(), {"role": "user", "content": "hi"}],
    "raises as a method": lambda: SimpleNamespace(all_messages=lambda: 1 / 0),
    "raises as an attribute": lambda: SimpleNamespace(attributes=Raises()),
    "raises in a dict": lambda: {"messages": [Raises()], "role": Raises()},
    "cyclic": cyclic,
    "deep": deep,
    "deep inside": lambda: {"role": "user", "content": deep()},
    "mock": MagicMock,
    "mock in a list": lambda: [MagicMock()],
    "mock inside": lambda: SimpleNamespace(raw_responses=MagicMock(), new_items=3),
    "a class": lambda: Raises,
    "an iterator": lambda: iter([1]),
    "an object": object,
    "bytes": lambda: b"bytes",
    "empty": dict,
    "nothing": lambda: None,
    "text": lambda: "hi",
    "keys that are no text": lambda: {1: 2, None: 3, (): 4},
    "a role that is none": lambda: {"role": ["user"], "content": "hi"},
    "a type that is none": lambda: {"type": [], "content": {}},
    "a kind that is none": lambda: {"kind": {}, "parts": [{"part_kind": {}}]},
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("source", BUILT_IN_NAMES)
def test_hostile_objects_raise_nothing_but_our_error(name: str, source: str) -> None:
    only_our_error(from_messages, HOSTILE[name](), source)
    only_our_error(collect, [HOSTILE[name]()], source)


def test_a_hostile_part_does_not_cost_the_message() -> None:
    message = {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "novel", "value": Raises()}]}

    (found,) = from_messages(message, "openai_chat")

    assert found.content == "hi"
    assert found.meta["unmapped_parts"][0]["type"] == "novel"


def test_an_iterator_is_not_read() -> None:
    """What the user wants to read must still be there."""
    stream = iter([{"role": "user", "content": "hi"}])

    with pytest.raises(UnrecognisedSourceError):
        from_messages(stream)

    assert len(list(stream)) == 1


@pytest.mark.parametrize("source", BUILT_IN_NAMES)
def test_a_forced_source_does_not_read_what_says_nothing(source: str) -> None:
    """Else a typing error in ``source=`` would fill a report with empty messages."""
    with pytest.raises(UnrecognisedSourceError):
        from_messages({"colour": "red"}, source)
    assert len(from_messages({"role": "user", "content": ""}, "openai_chat")) == 1


def test_a_huge_object_makes_a_short_error() -> None:
    with pytest.raises(UnrecognisedSourceError) as caught:
        from_messages({"x" * 100_000: ["y" * 100_000] * 1_000})

    assert len(str(caught.value)) < 1_000
    assert all(name in str(caught.value) for name in source_names())
