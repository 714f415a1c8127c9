"""Messages that a history repeats are recognised once, as long as they are the same."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_arena_state import Message, ToolCall
from pytest_arena_state.observing.memory import Memory


class Reader:
    """Reads items, which are mappings, and counts how many."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.count = 0

    def texts(self, *items: dict[str, Any]) -> list[str] | None:
        found = self.memory.history([(item, item) for item in items], self._read)
        return None if found is None else [message.text for message, _says in found]

    def _read(self, item: dict[str, Any]) -> list[Message]:
        self.count += 1
        return [Message.user(str(item["text"]), tool_calls=item.get("calls", []))]


def test_a_message_is_read_once() -> None:
    reader = Reader()

    assert reader.texts({"text": "u1"}) == ["u1"]
    assert reader.texts({"text": "u1"}, {"text": "u2"}) == ["u1", "u2"]
    assert reader.count == 2


def test_a_message_that_is_edited_in_place_is_read_again() -> None:
    reader, item = Reader(), {"text": "u1", "nested": [{"x": 1}]}
    reader.texts(item)
    item["text"] = "u2"

    assert reader.texts(item) == ["u2"]


@pytest.mark.parametrize("held", [object(), type("Text", (str,), {})("x")], ids=["object", "subclass"])
def test_what_may_change_unseen_is_always_read(held: object) -> None:
    reader, item = Reader(), {"text": "u1", "held": held}

    assert reader.texts(item, item) == ["u1", "u1"]
    assert reader.count == 2


def test_a_call_without_an_id_needs_its_whole_history() -> None:
    """Which one it is depends on those before it."""
    assert Reader().texts({"text": "u1"}, {"text": "", "calls": [ToolCall(name="find")]}) is None
