"""Messages: the helpers that people write tests with, and the text that stands for parts."""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pytest_arena_state import ContentPart, CostInfo, MediaContent, Message, MessageValidation, ToolCall, ToolResult
from pytest_arena_state.messages import decoded_size, sniff_mime_type
from pytest_arena_state.telemetry import facts_of

PNG = b"\x89PNG\r\n\x1a\n rest"


# --- helpers --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "role"), [(Message.user, "user"), (Message.assistant, "assistant"), (Message.system, "system")]
)
def test_a_helper_makes_a_message_of_its_role_now(make: Any, role: str) -> None:
    before = datetime.now(UTC)

    message = make("Hello", latency_ms=3)

    assert (message.role, message.content, message.latency_ms) == (role, "Hello", 3)
    assert before <= message.timestamp <= datetime.now(UTC)


def test_a_tool_message_carries_its_output_for_both_generations_of_readers() -> None:
    message = Message.tool("42 EUR", id="call-1", name="price", error="late", latency=timedelta(seconds=1.2346))

    written = message.to_dict()

    assert "content" not in written
    assert written["tool_result"] == {
        "id": "call-1",
        "name": "price",
        "content": "42 EUR",
        "error": "late",
        "parts": [{"type": "text", "text": "42 EUR"}],
        "latency_ms": 1235,
    }


def test_a_tool_result_that_is_given_as_text_gets_no_parts() -> None:
    written = Message(role="tool", tool_result=ToolResult(id="1", name="t", content="out")).to_dict()

    assert "parts" not in written["tool_result"]


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (Message.user("said"), "said"),
        (
            Message.user(parts=[ContentPart.from_text("a"), ContentPart.from_bytes(PNG), ContentPart.from_text("b")]),
            "a b",
        ),
        (Message(role="tool", tool_result=ToolResult(id="1", content="out")), "out"),
        (Message.user("said", parts=[ContentPart.from_text("a")]), "said"),
        (Message.user(), ""),
    ],
)
def test_text_is_what_was_said_wherever_it_stands(message: Message, text: str) -> None:
    assert message.text == text


def test_total_tokens_count_the_cached_ones_beside_the_input() -> None:
    assert CostInfo(input_tokens=10, output_tokens=3, cached_tokens=5).total_tokens == 18


# --- parts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "mime_type", "kind"),
    [
        (PNG, "image/png", "image"),
        (b"\xff\xd8\xff\xe0", "image/jpeg", "image"),
        (b"GIF89a", "image/gif", "image"),
        (b"RIFF\x00\x00\x00\x00WAVE", "audio/wav", "audio"),
        (b"RIFF\x00\x00\x00\x00WEBP", "image/webp", "image"),
        (b"ID3\x04", "audio/mpeg", "audio"),
        (b"\x00\x00\x00\x18ftypmp42", "video/mp4", "video"),
        (b"\x00\x00\x00\x18ftypM4A ", "audio/mp4", "audio"),
        (b"%PDF-1.7", "application/pdf", "document"),
        (b"who knows", "application/octet-stream", "document"),
        (b"", "application/octet-stream", "document"),
    ],
)
def test_the_mime_type_of_bytes_is_found_out(data: bytes, mime_type: str, kind: str) -> None:
    part = ContentPart.from_bytes(data, caption="c")

    assert part.type == kind
    assert part.media is not None
    assert (part.media.mime_type, part.media.caption) == (mime_type, "c")
    assert base64.b64decode(part.media.data or "") == data


def test_the_mime_type_of_a_file_is_found_in_its_content_first_and_then_in_its_name(tmp_path: Path) -> None:
    lying, honest = tmp_path / "picture.txt", tmp_path / "notes.csv"
    lying.write_bytes(PNG)
    honest.write_bytes(b"a,b")

    pictured, noted = ContentPart.from_file(lying), ContentPart.from_file(str(honest), embed=False)

    assert pictured.media is not None
    assert pictured.media.to_dict() == {"data": base64.b64encode(PNG).decode(), "mime_type": "image/png"}
    assert noted.media is not None
    assert noted.media.to_dict() == {"file_path": str(honest), "mime_type": "text/csv"}


def test_an_address_is_not_fetched() -> None:
    part = ContentPart.from_url("https://nowhere.invalid/cat.jpg?size=3")

    assert (part.type, part.media and part.media.mime_type) == ("image", "image/jpeg")
    assert sniff_mime_type(b"") is None


def test_the_size_of_media_is_told_by_size_kb_or_by_its_data() -> None:
    assert MediaContent(size_kb=2, data="QUJD").size_bytes == 2048
    assert MediaContent(size_kb=0, data="QUJD").size_bytes == 0
    assert MediaContent(data="QUJD").size_bytes == 3
    assert MediaContent().size_bytes == 0
    assert decoded_size("éé") == 3


def test_a_size_that_64_bits_do_not_hold_is_counted_as_the_reference_counts() -> None:
    """What a field takes can be saved."""
    message = Message(role="assistant", parts=[ContentPart(type="video", media=MediaContent(size_kb=2**53 + 1))])

    wire = message.to_dict()

    assert wire["media_summary"]["media_items"][0]["size_bytes"] == -(2**63) + 1024
    assert [media["SizeBytes"] for media in facts_of(wire).media] == [-(2**63) + 1024]


# --- text that stands elsewhere --------------------------------------------------------------------

IMAGE = ContentPart(type="image", media=MediaContent(mime_type="image/png", data="QUJD"))


def part(kind: str) -> ContentPart:
    return ContentPart(type=kind, media=MediaContent(mime_type="x/y", url="http://x"))


@pytest.mark.parametrize(
    ("parts", "content"),
    [
        ([ContentPart.from_text("a"), ContentPart.from_text("b")], "a b"),
        ([ContentPart.from_text("Look:"), IMAGE, IMAGE], "Look: [2 image(s)]"),
        (
            [part("video"), part("document"), part("audio"), part("image"), part("image")],
            "[2 image(s), 1 audio file(s), 1 video(s), 1 document(s)]",
        ),
        ([part("document")], "[1 document(s)]"),
    ],
)
def test_parts_without_content_are_written_with_a_text_that_stands_for_them(
    parts: list[ContentPart], content: str
) -> None:
    message = Message(role="user", parts=parts)

    written = message.to_dict()

    assert list(written)[:2] == ["role", "content"]
    assert written["content"] == content
    assert written["media_summary"]["total_parts"] == len(parts)
    again = Message.from_json(message.to_json())
    assert again.content == ""
    assert again.to_dict() == written


def test_content_that_was_given_beside_parts_is_kept() -> None:
    message = Message(role="user", content="mine", parts=[IMAGE])

    assert message.to_dict()["content"] == "mine"
    assert Message.from_json(message.to_json()).content == "mine"


def test_the_media_summary_says_where_the_media_is() -> None:
    parts = [
        IMAGE,
        ContentPart(type="image", media=MediaContent(mime_type="m", file_path="/x", detail="high")),
        ContentPart(type="audio", media=MediaContent(mime_type="m", url="http://x", data="QUJD", size_kb=1)),
        ContentPart(type="video", media=MediaContent(mime_type="m", storage_reference="s3://b")),
        ContentPart(type="document", media=MediaContent(mime_type="m")),
        ContentPart(type="image"),
    ]

    items = Message(role="user", parts=parts).to_dict()["media_summary"]["media_items"]

    assert [(item["source"], item["size_bytes"], item["loaded"]) for item in items] == [
        ("inline data", 3, True),
        ("/x", 0, False),
        ("http://x", 1024, True),
        ("s3://b", 0, False),
        ("unknown", 0, False),
        ("", 0, False),
    ]
    assert items[1]["detail"] == "high"
    assert [item.get("error") for item in items[4:]] == ["no data source", "no media content"]


def test_content_that_stands_in_the_tool_result_is_left_out_and_restored() -> None:
    message = Message(role="tool", content="out", tool_result=ToolResult(id="1", content="out"))

    assert "content" not in message.to_dict()
    assert Message.from_json(message.to_json()).content == "out"


def test_a_tool_messages_own_content_is_kept() -> None:
    """The reference drops it."""
    message = Message(role="tool", content="mine", tool_result=ToolResult(id="1", content="its"))

    assert message.to_dict()["content"] == "mine"
    assert Message.from_json(message.to_json()).content == "mine"


def test_a_tool_messages_own_content_is_kept_where_its_parts_say_the_same() -> None:
    """No text stands for the parts beside a tool result, so what is there was given."""
    result = ToolResult(id="1", content="its")
    message = Message(role="tool", content="mine", parts=[ContentPart.from_text("mine")], tool_result=result)

    written = message.to_json()

    assert Message.from_json(written).content == "mine"
    assert Message.from_json(written).to_json() == written


def test_a_tool_result_of_newer_arena_is_read_from_its_parts() -> None:
    newer = {"role": "tool", "tool_result": {"id": "1", "name": "t", "parts": [{"type": "text", "text": "out"}]}}

    message = Message.from_dict(newer)

    assert message.tool_result is not None
    assert (message.content, message.tool_result.content) == ("out", "out")
    assert message.to_dict()["tool_result"]["parts"] == newer["tool_result"]["parts"]  # type: ignore[index]


# --- what is written ----------------------------------------------------------------------------------


def test_an_empty_message_is_its_role_and_the_zero_time() -> None:
    assert Message().to_json() == '{"role":"","timestamp":"0001-01-01T00:00:00Z"}'


def test_fields_of_newer_arena_are_read_and_written() -> None:
    newer = {
        "role": "assistant",
        "content": "x",
        "timestamp": "2026-01-01T00:00:00Z",
        "finish_reason": "stop",
        "reasoning": {"text": "t", "opaque": [{"provider": "p", "kind": "k", "data": "d"}], "redacted": True},
        "tool_calls": [{"id": "1", "name": "n", "args": None, "provider_metadata": {"g": "s"}}],
    }

    assert Message.from_dict(newer).to_dict() == newer


@pytest.mark.parametrize("args", [None, 0, False, "", [], {}, "text", 1.5, {"a": [None]}])
def test_tool_arguments_are_any_json_and_always_written(args: object) -> None:
    written = json.loads(Message(role="assistant", tool_calls=[ToolCall(id="1", name="t", args=args)]).to_json())

    assert written["tool_calls"][0]["args"] == args
    assert Message.from_dict(written).tool_calls[0].args == args


@pytest.mark.parametrize(
    ("model", "empty"),
    [
        (
            CostInfo,
            {"input_tokens": 0, "output_tokens": 0, "input_cost_usd": 0, "output_cost_usd": 0, "total_cost_usd": 0},
        ),
        (ToolCall, {"id": "", "name": "", "args": None}),
        (ToolResult, {"id": "", "name": "", "content": "", "latency_ms": 0}),
        (MessageValidation, {"validator_type": "", "passed": False, "timestamp": "0001-01-01T00:00:00Z"}),
        (ContentPart, {"type": ""}),
        (MediaContent, {"mime_type": ""}),
    ],
)
def test_what_is_not_an_omit_field_is_always_written(model: Any, empty: dict[str, object]) -> None:
    assert model().to_dict() == empty


def test_zero_that_was_given_to_an_optional_number_is_written() -> None:
    """In Go these are pointers: 0 is a value, and only nil is none."""
    assert MediaContent(mime_type="m", duration=0, width=0, file_path="").to_dict() == {
        "mime_type": "m",
        "file_path": "",
        "duration": 0,
        "width": 0,
    }


def test_a_wrong_value_in_a_nested_field_is_named() -> None:
    with pytest.raises(ValidationError, match=r"cost_info\.input_tokens"):
        Message.from_dict({"role": "assistant", "cost_info": {"input_tokens": "many"}})
