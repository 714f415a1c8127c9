"""Content blocks: one vocabulary for all sources.

A block is a dict with a ``type``. The dialects overlap (LangChain passes on whatever its
provider speaks) and hardly contradict each other, so one table reads them all. A block of an
unknown type, or one that lacks what its type promises, is kept as an unmapped part.
"""

from __future__ import annotations

import base64
import binascii
import mimetypes
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from ..messages import ContentPart, MediaContent, sniff_mime_type
from .shape import first, listed, mapping, snaked, text

if TYPE_CHECKING:
    from .draft import Draft

_FAMILIES = ("image", "audio", "video")
_MEDIA_TYPES = {
    "audio": "audio",
    "blob": "",
    "document": "document",
    "file": "",
    "image": "image",
    "image_url": "image",
    "input_audio": "audio",
    "input_file": "",
    "input_image": "image",
    "media": "",
    "resource_link": "",
    "uri": "",
    "video": "video",
    "video_url": "video",
}
# Where the dialects nest the place of the data.
_NESTS = ("source", "file", "image_url", "input_audio", "audio", "video_url", "image")
# What caches are told is no part of what is said, and an index only orders a stream.
_ASIDE = ("type", "kind", "cache_control", "index")
_TEXT_KEYS = (*_ASIDE, "text", "content", "citations", "annotations")
_THOUGHT_KEYS = (
    *_ASIDE, "reasoning", "thinking", "content", "text", "summary", "signature", "encrypted_content", "extras", "id",
    "provider_name",
)  # fmt: skip
_MEDIA_KEYS = (
    *_ASIDE, *_NESTS, "mime_type", "media_type", "data", "base64", "file_data", "content", "url", "uri", "file_url",
    "file_uri", "file_id", "storage_reference", "format", "modality", "filename", "detail", "title", "display_name",
    "transcript", "name", "source_type",
)  # fmt: skip
_SNIFFED = 64  # characters of base64 that hold the first bytes of any known type


def read_content(draft: Draft, content: Any) -> None:
    """Read what a message says: text, or a list of blocks and texts."""
    for block in content if isinstance(content, list) else [content]:
        read_block(draft, block)


def read_block(draft: Draft, block: Any) -> None:
    """Read one block into a draft."""
    if not isinstance(block, dict):
        draft.say(block)
        return
    kind = text(block.get("type"))
    read = _READERS.get(kind)
    if read is not None:
        read(draft, block)
        return
    if kind in _MEDIA_TYPES:
        show_media(draft, block, _MEDIA_TYPES[kind])
    else:
        draft.keep(block)


def show_media(draft: Draft, block: dict[str, Any], family: str = "") -> None:
    """Add the media of a block; one without media is kept as it is."""
    part = media_part(block, family)
    if part is None:
        draft.keep(block)
    else:
        draft.show(part)
        draft.detail_part(_flattened(block), _MEDIA_KEYS)


def read_audio(draft: Draft, audio: Any) -> None:
    """Read what OpenAI has beside the content of an answer that is spoken."""
    if not isinstance(audio, dict):
        return
    part = media_part(audio, "audio")
    if part is not None:
        draft.show(part)
    elif isinstance(audio.get("id"), str):
        draft.note(audio=audio)  # an earlier answer, by reference
    else:
        draft.keep(audio)


def media_part(block: dict[str, Any], family: str = "") -> ContentPart | None:
    """The media that a block carries or points at; None when it does neither.

    Args:
        block: A dict in any dialect: data as ``data``, ``base64``, ``content``, ``file_data`` or a
            data URL; an address as ``url``, ``uri`` and so on; a provider's reference as ``file_id``.
        family: ``image``, ``audio``, ``video`` or ``document``; told by the MIME type when empty.
    """
    fields = _flattened(block)
    mime = text(first(fields, "mime_type", "media_type"))
    data = text(first(fields, "data", "base64", "file_data", "content"))
    url = text(first(fields, "url", "uri", "file_url", "file_uri"))
    if data.startswith("data:"):
        url, data = data, ""
    if url.startswith("data:"):
        mime, data = _opened_data_url(url, mime)
        url = ""
    reference = text(first(fields, "file_id", "storage_reference"))
    if not (data or url or reference):
        return None
    form = text(fields.get("format"))
    family = family or text(fields.get("modality"))
    data = data.replace("-", "+").replace("_", "/")  # some dump bytes in the alphabet for addresses
    mime = mime or _guessed(data, url, family, form, text(fields.get("filename")))
    family = _family(mime) if family not in (*_FAMILIES, "document") else family
    return ContentPart(
        type=family,
        media=MediaContent(
            data=data or None,
            url=url or None,
            storage_reference=reference or None,
            mime_type=mime,
            format=form or None,
            detail=text(fields.get("detail")) or None,
            caption=text(first(fields, "filename", "title", "display_name", "transcript", "name")) or None,
        ),
    )


def _flattened(block: dict[str, Any]) -> dict[str, Any]:
    fields = snaked(block)
    for nest in _NESTS:
        nested = fields.get(nest)
        if isinstance(nested, dict):
            fields = {**fields, **snaked(nested)}
        elif isinstance(nested, str) and nest in ("image_url", "video_url"):
            fields["url"] = nested
    return fields


def _family(mime: str) -> str:
    head = mime.partition("/")[0]
    return head if head in _FAMILIES else "document"


def _opened_data_url(url: str, mime: str) -> tuple[str, str]:
    head, _, body = url.removeprefix("data:").partition(",")
    named, *flags = head.split(";")
    if "base64" in flags:
        return named or mime, body
    return named or mime or "text/plain", base64.b64encode(unquote_to_bytes(body)).decode("ascii")


def _guessed(data: str, url: str, family: str, form: str, name: str) -> str:
    if data:
        try:
            found = sniff_mime_type(base64.b64decode(data[:_SNIFFED] + "=" * (-len(data[:_SNIFFED]) % 4)))
        except (binascii.Error, ValueError):
            found = None
        if found:
            return found
    if form:
        return mimetypes.guess_type(f"x.{form}", strict=False)[0] or f"{family or 'application'}/{form}"
    guessed = mimetypes.guess_type(name or url.partition("?")[0])[0] if name or url else None
    return guessed or "application/octet-stream"


def _read_text(draft: Draft, block: dict[str, Any]) -> None:
    words = first(block, "text", "content")
    if not isinstance(words, str):
        draft.keep(block)
        return
    draft.say(words)
    draft.detail_part(block, _TEXT_KEYS)
    for key in ("citations", "annotations"):
        draft.note_each("citations", listed(block.get(key)))


def _read_refusal(draft: Draft, block: dict[str, Any]) -> None:
    draft.refused = True
    draft.note(refusal=block.get("refusal"))
    draft.say(block.get("refusal"))


def _read_reasoning(draft: Draft, block: dict[str, Any]) -> None:
    words = first(block, "reasoning", "thinking", "content", "text")
    for piece in words if isinstance(words, list) else [words]:  # Mistral's are texts in blocks of their own
        draft.think(mapping(piece).get("text", piece))
    draft.detail_part(block, _THOUGHT_KEYS)
    for summary in listed(block.get("summary")):
        draft.think(mapping(summary).get("text"))
    extras = mapping(block.get("extras"))  # where LangChain keeps what its block has no field for
    draft.think_opaquely(
        first(block, "signature") or extras.get("signature"), provider=_provider(block), kind="signature"
    )
    draft.think_opaquely(
        first(block, "encrypted_content") or extras.get("encrypted_content"),
        provider="openai",
        kind="encrypted_content",
        ref=block.get("id"),
    )


def _provider(block: dict[str, Any]) -> str:
    return text(block.get("provider_name")) or ("anthropic" if block.get("type") == "thinking" else "")


def _read_redacted(draft: Draft, block: dict[str, Any]) -> None:
    draft.think_opaquely(block.get("data"), provider="anthropic", kind="redacted_thinking", redacted=True)


def _read_document(draft: Draft, block: dict[str, Any]) -> None:
    source = mapping(block.get("source"))
    if source.get("type") == "text" and isinstance(source.get("data"), str):
        encoded = base64.b64encode(source["data"].encode("utf-8", "replace")).decode("ascii")
        block = {**block, "source": {"data": encoded, "media_type": source.get("media_type") or "text/plain"}}
    show_media(draft, block, "document")


def _read_resource(draft: Draft, block: dict[str, Any]) -> None:
    resource = snaked(block.get("resource"))
    draft.detail_part(block, (*_ASIDE, "resource"))
    if isinstance(resource.get("text"), str):
        draft.say(resource["text"])
        draft.note_each("resources", [{key: value for key, value in resource.items() if key != "text"}])
        return
    blob = resource.get("blob")
    part = media_part({"data": blob, "mime_type": resource.get("mime_type"), "name": resource.get("uri")})
    if part is None or not isinstance(blob, str):
        draft.keep(block)
    else:
        draft.show(part)


_READERS: dict[str, Callable[[Draft, dict[str, Any]], None]] = {
    "document": _read_document,
    "input_text": _read_text,
    "output_text": _read_text,
    "reasoning": _read_reasoning,
    "reasoning_text": _read_reasoning,
    "redacted_thinking": _read_redacted,
    "refusal": _read_refusal,
    "resource": _read_resource,
    "summary_text": _read_reasoning,
    "text": _read_text,
    "thinking": _read_reasoning,
}
