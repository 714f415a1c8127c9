"""Messages: what was said, called, returned and paid in one turn.

The shapes are those of PromptKit's ``types.Message``, v1.1.11, with the optional fields that
its newer versions added. A message that was written reads back equal and writes the same
again, although the JSON leaves out text that stands elsewhere in it and adds a summary.
"""

from __future__ import annotations

import base64
import math
import mimetypes
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from ._times import INT64
from ._wire import (
    FreeMap,
    Int,
    NoneIsEmptyList,
    NoneIsEmptyMap,
    Problems,
    Text,
    TextMap,
    Time,
    WireModel,
)

Role = Literal["system", "user", "assistant", "tool"]


class CostInfo(WireModel):
    """Tokens and US dollars of one model call, or of a whole run.

    ``input_tokens`` does not contain the cached tokens: all tokens = input + output + cached.
    """

    always_written: ClassVar[frozenset[str]] = frozenset(
        ("input_tokens", "output_tokens", "input_cost_usd", "output_cost_usd", "total_cost_usd")
    )

    input_tokens: Int = 0
    output_tokens: Int = 0
    cached_tokens: Int = 0
    """Input tokens that were read from the provider's cache; not part of ``input_tokens``."""
    input_cost_usd: float = 0.0
    output_cost_usd: float = 0.0
    cached_cost_usd: float = 0.0
    total_cost_usd: float = 0.0
    """Given, never recomputed from the other costs."""
    quantities: Annotated[dict[Text, float], NoneIsEmptyMap] = Field(default_factory=dict)
    """Billed quantities that are not tokens, by unit."""
    dimension_match: TextMap = Field(default_factory=dict)
    provider_name: Text = ""
    capability: Text = ""
    latency_ns: Int = 0
    """Nanoseconds that the provider took."""
    breakdown: Annotated[list[dict[Text, Any]], NoneIsEmptyList] = Field(default_factory=list)
    """Line items: ``provider capability unit quantity usd dimensions``."""

    @property
    def total_tokens(self) -> int:
        """Input, output and cached tokens together."""
        return self.input_tokens + self.output_tokens + self.cached_tokens

    def to_wire(self, problems: Problems, where: str) -> dict[str, Any]:
        """See `WireModel.to_wire`."""
        # Every second message of many conversations has nothing but these.
        values = self.__dict__
        usual = type(self) is CostInfo and len(values) == _COST_FIELDS and not self.__pydantic_extra__
        if usual and not any(_RARE_COSTS(values)):
            costs = _USUAL_COSTS(values)
            read, written, for_read, for_written, in_all = costs
            # What came past validation takes the other way, where it is refused.
            counted = type(read) is type(written) is int and -INT64 <= read < INT64 and -INT64 <= written < INT64
            paid = type(for_read) is type(for_written) is type(in_all) is float
            if counted and paid and math.isfinite(for_read + for_written + in_all):
                return dict(zip(_ALWAYS_COSTS, costs, strict=True))
        return super().to_wire(problems, where)


_COST_FIELDS = len(CostInfo.model_fields)
_ALWAYS_COSTS = [name for name in CostInfo.model_fields if name in CostInfo.always_written]
_USUAL_COSTS = itemgetter(*_ALWAYS_COSTS)
_RARE_COSTS = itemgetter(*(name for name in CostInfo.model_fields if name not in CostInfo.always_written))


class MediaContent(WireModel):
    """An image, sound, video or document: its data, or where it is."""

    always_written: ClassVar[frozenset[str]] = frozenset(("mime_type",))

    data: Text | None = None
    """Base64."""
    file_path: Text | None = None
    url: Text | None = None
    storage_reference: Text | None = None
    mime_type: Text = ""
    format: Text | None = None
    size_kb: Int | None = None
    """Kilobytes of 1,024 bytes."""
    detail: Text | None = None
    caption: Text | None = None
    duration: Int | None = None
    """Seconds."""
    bit_rate: Int | None = None
    """Kilobits per second."""
    channels: Int | None = None
    width: Int | None = None
    height: Int | None = None
    fps: Int | None = None
    policy_name: Text | None = None

    @property
    def size_bytes(self) -> int:
        """Size by ``size_kb``, else as the base64 text tells it, else 0."""
        if self.size_kb is not None:
            return int64(self.size_kb * 1024)
        return decoded_size(self.data) if self.data else 0


def int64(value: int) -> int:
    """The number that 64 bits hold of it: the reference reckons so, and readers in Go cannot hold more."""
    return (value + INT64) % (2 * INT64) - INT64


def decoded_size(data: str) -> int:
    """Bytes that a base64 text stands for, padding not looked at, as the reference counts."""
    length = len(data) if data.isascii() else len(data.encode("utf-8", "replace"))
    return length * 3 // 4


class ContentPart(WireModel):
    """A piece of a message: text, or media of some type."""

    always_written: ClassVar[frozenset[str]] = frozenset(("type",))

    type: Text = ""
    """``text``, ``image``, ``audio``, ``video`` or ``document``."""
    text: Text | None = None
    media: MediaContent | None = None

    @classmethod
    def from_text(cls, text: str) -> Self:
        """A part that is text."""
        return cls(type="text", text=text)

    @classmethod
    def from_bytes(cls, data: bytes, *, mime_type: str | None = None, caption: str | None = None) -> Self:
        """A part that carries data; the MIME type is found out from the first bytes.

        Args:
            data: The raw bytes, not base64.
            mime_type: Found out when None; ``application/octet-stream`` when that fails.
            caption: What the media shows.
        """
        found = mime_type or sniff_mime_type(data) or "application/octet-stream"
        return cls(
            type=_part_type(found),
            media=MediaContent(data=base64.b64encode(data).decode("ascii"), mime_type=found, caption=caption),
        )

    @classmethod
    def from_file(
        cls, path: str | Path, *, mime_type: str | None = None, caption: str | None = None, embed: bool = True
    ) -> Self:
        """A part made from a file; the MIME type is found out from its content, then its name.

        Args:
            path: The file. Its path is not written when it is embedded.
            mime_type: Found out when None.
            caption: What the media shows.
            embed: Carry the bytes; False writes only the path.

        Raises:
            OSError: The file cannot be read.
        """
        file = Path(path)
        with file.open("rb") as stream:
            data = stream.read() if embed else stream.read(64)
        guessed = mimetypes.guess_type(file.name)[0]
        found = mime_type or sniff_mime_type(data) or guessed or "application/octet-stream"
        if embed:
            return cls.from_bytes(data, mime_type=found, caption=caption)
        return cls(type=_part_type(found), media=MediaContent(file_path=str(path), mime_type=found, caption=caption))

    @classmethod
    def from_url(cls, url: str, *, mime_type: str | None = None, caption: str | None = None) -> Self:
        """A part that points at media elsewhere; nothing is fetched."""
        found = mime_type or mimetypes.guess_type(url.partition("?")[0])[0] or "application/octet-stream"
        return cls(type=_part_type(found), media=MediaContent(url=url, mime_type=found, caption=caption))


# First bytes of the types that conversations carry; containers that share a prefix are told apart at offset 8.
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"%PDF-", "application/pdf"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"\xff\xf3", "audio/mpeg"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
    (b"\x1aE\xdf\xa3", "video/webm"),
    (b"PK\x03\x04", "application/zip"),
)
_RIFF = {b"WAVE": "audio/wav", b"WEBP": "image/webp", b"AVI ": "video/x-msvideo"}
_FTYP = {b"avif": "image/avif", b"heic": "image/heic", b"M4A ": "audio/mp4", b"qt  ": "video/quicktime"}


def sniff_mime_type(data: bytes) -> str | None:
    """The MIME type that the first bytes show, or None."""
    if data[:4] == b"RIFF":
        return _RIFF.get(data[8:12])
    if data[4:8] == b"ftyp":
        return _FTYP.get(data[8:12], "video/mp4")
    for magic, mime_type in _MAGIC:
        if data.startswith(magic):
            return mime_type
    return None


def _part_type(mime_type: str) -> str:
    family = mime_type.partition("/")[0]
    return family if family in ("image", "audio", "video") else "document"


class ToolCall(WireModel):
    """A call of a tool that a message asks for."""

    always_written: ClassVar[frozenset[str]] = frozenset(("id", "name", "args"))

    id: Text = ""
    name: Text = ""
    args: Any = None
    """Any JSON value; what is not JSON is converted when it is written."""
    provider_metadata: TextMap = Field(default_factory=dict)


class ToolResult(WireModel):
    """What a tool returned; ``id`` is that of the call."""

    always_written: ClassVar[frozenset[str]] = frozenset(("id", "name", "content", "latency_ms"))

    id: Text = ""
    name: Text = ""
    content: Text = ""
    error: Text = ""
    error_type: Text = ""
    parts: Annotated[list[ContentPart], NoneIsEmptyList] = Field(default_factory=list)
    """Where newer Arena keeps the output; text parts stand in for an empty ``content``."""
    latency_ms: Int = 0

    @model_validator(mode="after")
    def _read_newer_arena(self) -> Self:
        # A part that was put there as a mapping is none yet; it is when the result is written.
        if not self.content and self.parts and all(isinstance(part, ContentPart) for part in self.parts):
            # Not by assignment, which would validate again without end.
            self.__dict__["content"] = _joined_text(self.parts, "")
        return self


class MessageValidation(WireModel):
    """What a validator said of one message."""

    always_written: ClassVar[frozenset[str]] = frozenset(("validator_type", "passed", "timestamp"))

    validator_type: Text = ""
    passed: bool = False
    details: FreeMap = Field(default_factory=dict)
    timestamp: Time = None


class OpaqueReasoning(WireModel):
    """Reasoning that only its provider can read."""

    always_written: ClassVar[frozenset[str]] = frozenset(("provider", "kind", "data"))

    provider: Text = ""
    kind: Text = ""
    data: Text = ""
    ref: Text = ""


class Reasoning(WireModel):
    """What a model thought before it answered."""

    text: Text = ""
    opaque: Annotated[list[OpaqueReasoning], NoneIsEmptyList] = Field(default_factory=list)
    redacted: bool = False


class MediaItem(WireModel):
    """One media part in a `MediaSummary`."""

    always_written: ClassVar[frozenset[str]] = frozenset(("type", "source", "mime_type", "size_bytes", "loaded"))

    type: Text = ""
    source: Text = ""
    """A path, an address, a storage reference, ``inline data`` or ``unknown``."""
    mime_type: Text = ""
    size_bytes: Int = 0
    detail: Text = ""
    loaded: bool = False
    error: Text = ""


class MediaSummary(WireModel):
    """Counts and sources of a message's parts; derived when the message is written."""

    always_written: ClassVar[frozenset[str]] = frozenset(
        ("total_parts", "text_parts", "image_parts", "audio_parts", "video_parts", "document_parts")
    )

    total_parts: Int = 0
    text_parts: Int = 0
    image_parts: Int = 0
    audio_parts: Int = 0
    video_parts: Int = 0
    document_parts: Int = 0
    media_items: Annotated[list[MediaItem], NoneIsEmptyList] = Field(default_factory=list)


class Message(WireModel):
    """One message of a conversation.

    ``parts`` may stand beside ``content`` or instead of it. `text` is what was said, from
    wherever it stands.
    """

    always_written: ClassVar[frozenset[str]] = frozenset(("role", "timestamp"))

    role: Text = ""
    """``system``, ``user``, ``assistant`` or ``tool``; others are kept."""
    content: Text = ""
    parts: Annotated[list[ContentPart], NoneIsEmptyList] = Field(default_factory=list)
    tool_calls: Annotated[list[ToolCall], NoneIsEmptyList] = Field(default_factory=list)
    tool_result: ToolResult | None = None
    timestamp: Time = None
    latency_ms: Int = 0
    finish_reason: Text = ""
    cost_info: CostInfo | None = None
    reasoning: Reasoning | None = None
    meta: FreeMap = Field(default_factory=dict)
    validations: Annotated[list[MessageValidation], NoneIsEmptyList] = Field(default_factory=list)
    media_summary: MediaSummary | None = None
    """As it was read. Writing derives it anew from the parts."""

    @classmethod
    def user(cls, content: str = "", *, parts: Iterable[ContentPart | Mapping[str, Any]] = (), **fields: Any) -> Self:
        """What the user said, now. ``fields`` are further fields of the message."""
        return cls._now("user", content, parts, fields)

    @classmethod
    def assistant(
        cls, content: str = "", *, parts: Iterable[ContentPart | Mapping[str, Any]] = (), **fields: Any
    ) -> Self:
        """What the model answered, now. ``fields`` are further fields of the message."""
        return cls._now("assistant", content, parts, fields)

    @classmethod
    def system(cls, content: str, **fields: Any) -> Self:
        """The instructions, now. ``fields`` are further fields of the message."""
        return cls._now("system", content, (), fields)

    @classmethod
    def tool(
        cls,
        content: str,
        *,
        id: str,
        name: str = "",
        error: str = "",
        latency: timedelta | None = None,
        **fields: Any,
    ) -> Self:
        """What a tool returned, now.

        Args:
            content: The output as text. Written twice, because older Arena reads
                ``tool_result.content`` and newer Arena ``tool_result.parts``.
            id: The id of the call.
            name: The tool's name.
            error: Why the tool failed; empty when it did not.
            latency: How long it took; whole milliseconds are kept.
            fields: Further fields of the message.
        """
        result = ToolResult(
            id=id,
            name=name,
            content=content,
            error=error,
            parts=[ContentPart.from_text(content)] if content else [],
            latency_ms=milliseconds(latency),
        )
        return cls._now("tool", content, (), {"tool_result": result, **fields})

    @classmethod
    def _now(cls, role: Role, content: str, parts: Iterable[Any], fields: Mapping[str, Any]) -> Self:
        return cls(
            **{
                "role": role,
                "content": content,
                "parts": list(parts),
                "timestamp": datetime.now(UTC),
                **fields,
            }
        )

    @property
    def text(self) -> str:
        """What was said: ``content``, else the text parts joined by a space, else the tool's output."""
        if self.content:
            return self.content
        if self.parts:
            return _joined_text(self.parts, " ")
        return self.tool_result.content if self.tool_result is not None else ""

    @model_validator(mode="after")
    def _restore_content(self) -> Self:
        values = self.__dict__
        result = values["tool_result"]
        if result is not None:  # beside which no text stands for the parts
            values["content"] = values["content"] or result.content
        elif (
            values["media_summary"] is not None
            and values["parts"]
            and values["content"] == _standing_text(values["parts"])
        ):
            # The text was made from the parts when the message was written.
            values["content"] = ""
        return self

    def _write(self, problems: Problems, where: str) -> dict[str, Any]:
        out = super()._write(problems, where)
        parts = self.parts
        out.pop("media_summary", None)
        if parts:
            if not self.content and self.tool_result is None:
                standing = _standing_text(parts)
                if standing:
                    out = _insert_after_role(out, "content", standing)
            out["media_summary"] = summarise_media(parts).to_wire([], "")
        if self.tool_result is not None and out.get("content") == self.tool_result.content:
            out.pop("content", None)
        return out


def _insert_after_role(out: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    role = out.pop("role")
    return {"role": role, key: value, **out}


def milliseconds(latency: timedelta | None) -> int:
    """Whole milliseconds of a latency; 0 for None.

    Raises:
        TypeError: It is something else, such as a number, of which nobody knows the unit.
    """
    if latency is not None and not isinstance(latency, timedelta):
        raise TypeError(f"a latency is a timedelta, not {type(latency).__name__}")
    return 0 if latency is None else round(latency / timedelta(milliseconds=1))


def _joined_text(parts: Iterable[ContentPart], separator: str) -> str:
    return separator.join(part.text for part in parts if part.type == "text" and part.text is not None)


_NOUNS = (("image", "image(s)"), ("audio", "audio file(s)"), ("video", "video(s)"), ("document", "document(s)"))


def _standing_text(parts: list[ContentPart]) -> str:
    """The text that stands in ``content`` for a message that has only parts."""
    pieces = [part.text for part in parts if part.type == "text" and part.text is not None]
    kinds = [part.type for part in parts if part.type != "text"]
    if kinds:
        counted = ((kinds.count(kind), noun) for kind, noun in _NOUNS)
        pieces.append(f"[{', '.join(f'{count} {noun}' for count, noun in counted if count)}]")
    return " ".join(pieces)


def summarise_media(parts: Iterable[ContentPart]) -> MediaSummary:
    """Count the parts by type and say where each media part's data is."""
    summary = MediaSummary()
    counts = summary.__dict__
    for part in parts:
        counts["total_parts"] += 1
        field = f"{part.type}_parts"
        if field in counts and part.type != "total":
            counts[field] += 1
            if part.type != "text":
                summary.media_items.append(_media_item(part))
    return summary


def _media_item(part: ContentPart) -> MediaItem:
    media = part.media
    if media is None:
        return MediaItem(type=part.type, error="no media content")
    item = MediaItem(type=part.type, mime_type=media.mime_type)
    has_data = bool(media.data)
    size = 0
    if media.file_path is not None:
        item.source, item.loaded = media.file_path, has_data
        size = media.size_bytes if has_data else 0
    elif media.url is not None:
        item.source, item.loaded = media.url, has_data
    elif media.storage_reference is not None:
        item.source = media.storage_reference
    elif has_data:
        item.source, item.loaded, size = "inline data", True, media.size_bytes
    else:
        item.source, item.error = "unknown", "no data source"
    if part.type == "image" and media.detail is not None:
        item.detail = media.detail
    item.size_bytes = media.size_bytes if media.size_kb is not None else size
    return item


__all__ = [
    "ContentPart",
    "CostInfo",
    "MediaContent",
    "MediaItem",
    "MediaSummary",
    "Message",
    "MessageValidation",
    "OpaqueReasoning",
    "Reasoning",
    "Role",
    "ToolCall",
    "ToolResult",
    "decoded_size",
    "milliseconds",
    "sniff_mime_type",
    "summarise_media",
]
