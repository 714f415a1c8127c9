"""Sources of other packages: loaded only when they are needed, and never harmful."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import pytest

from pytest_arena_state.capture import Claim, Source, UnrecognisedSourceError, from_messages, recognition, source_names
from pytest_arena_state.capture.source import ENTRY_POINT_GROUP
from pytest_arena_state.messages import Message


class Telegram:
    """An object of a library that nobody knows."""

    __slots__ = ("words",)

    def __init__(self, words: str) -> None:
        self.words = words


SOURCE = Source(
    name="telegram",
    claims=lambda item: Claim.SURE if isinstance(item, dict) and "telegram" in item else Claim.NO,
    read=lambda items: [Message(role="user", content=item["telegram"]) for item in items],
    opens=lambda value: {"telegram": value.words} if isinstance(value, Telegram) else None,
)


class Installed:
    """The entry points that are there, and how often one was loaded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.loaded: list[str] = []
        self._found: list[EntryPoint] = []
        monkeypatch.setattr(recognition, "entry_points", lambda *, group: list(self._found))

    def add(self, name: str, source: Any) -> None:
        found = EntryPoint(name, f"{name}:SOURCE", ENTRY_POINT_GROUP)

        class Loading(EntryPoint):
            def load(_self) -> Any:  # noqa: N805 - the outer self counts
                self.loaded.append(name)
                if isinstance(source, Exception):
                    raise source
                return source

        self._found.append(Loading(found.name, found.value, found.group))


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Installed:
    return Installed(monkeypatch)


def test_another_packages_source_reads_what_nobody_else_does(installed: Installed) -> None:
    installed.add("telegram", SOURCE)

    assert [message.content for message in from_messages(Telegram("arriving stop"))] == ["arriving stop"]
    mixed = from_messages([{"role": "user", "content": "hi"}, Telegram("stop")])
    assert [message.content for message in mixed] == ["hi", "stop"]
    assert "telegram" in source_names()


def test_it_is_not_loaded_for_what_is_built_in(installed: Installed) -> None:
    installed.add("telegram", SOURCE)

    from_messages({"role": "user", "content": "hi"})
    from_messages({"role": "user", "content": "hi"}, source="openai_chat")

    assert installed.loaded == []


def test_it_is_loaded_when_it_is_named(installed: Installed) -> None:
    installed.add("broken", ImportError("no"))
    installed.add("telegram", SOURCE)

    assert from_messages({"telegram": "x"}, source="telegram")[0].content == "x"
    assert installed.loaded == ["telegram"]


def test_one_that_cannot_be_loaded_is_named(installed: Installed) -> None:
    installed.add("broken", ImportError("no telegraph"))
    installed.add("odd", object)

    with pytest.raises(UnrecognisedSourceError, match=r"'broken' \(broken:SOURCE\) cannot be loaded.*no telegraph"):
        from_messages(Telegram("x"))
    with pytest.raises(UnrecognisedSourceError, match=r"'odd' \(odd:SOURCE\) is not a Source"):
        from_messages(Telegram("x"), source="odd")


def test_one_that_fails_is_an_error_of_ours(installed: Installed) -> None:
    def fail(_: object) -> Any:
        raise RuntimeError("out of paper")

    installed.add("failing", Source(name="failing", claims=lambda _: Claim.SURE, read=fail))
    installed.add("worse", Source(name="worse", claims=fail, read=fail, opens=fail, joins=fail))

    with pytest.raises(UnrecognisedSourceError, match=r"failing cannot read it.*out of paper"):
        from_messages(Telegram("x"))


def test_a_response_of_the_agents_sdk_needs_no_id() -> None:
    """It has none where the model speaks another API than Responses."""
    call: dict[str, Any] = {"type": "function_call", "call_id": "c1", "id": "__fake_id__", "name": "track"}
    call["arguments"] = "{}"
    call["provider_data"] = {"model": "m", "response_id": "chatcmpl-1"}
    text = {"type": "message", "role": "assistant", "id": "__fake_id__", "content": "In Lyon."}
    thought = {"type": "reasoning", "id": "__fake_id__", "summary": [], "provider_data": {"model": "m"}}
    response = {"output": [call], "usage": {"input_tokens": 60, "output_tokens": 12}}

    (message,) = from_messages([response])

    assert [(each.id, each.name) for each in message.tool_calls] == [("c1", "track")]
    assert message.cost_info is not None
    assert (message.cost_info.input_tokens, message.cost_info.output_tokens) == (60, 12)
    assert (message.meta["model"], message.meta["response_id"]) == ("m", "chatcmpl-1")
    (answer,) = from_messages([{"output": [{**text, "provider_data": {"model": "m"}}], "usage": {}}])
    assert (answer.meta["model"], answer.meta.get("message_id")) == ("m", None)
    (streamed,) = from_messages({"id": "__fake_id__", "object": "response", "output": [text], "model": "m"})
    assert "response_id" not in streamed.meta
    (reasoned,) = from_messages([thought, text])
    assert reasoned.meta["model"] == "m"
    with pytest.raises(UnrecognisedSourceError):
        from_messages({"output": [{"x": 1}], "usage": {}})
