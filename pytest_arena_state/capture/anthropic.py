"""Anthropic's messages: responses, the messages of a request, and streamed events.

Tool results come as blocks inside a user's message: each becomes a ``tool`` message, before
what the user says beside them. Blocks of tools that the provider runs itself are kept as
unmapped parts. The system prompt is an argument of the call and no message; a dict with
``system`` and ``messages`` gives both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._wire import loads
from .blocks import read_block, read_content
from .draft import Draft, tool_draft
from .shape import as_text, count, first, kinds, listed, mapping, mappings, text
from .source import Claim, Source

if TYPE_CHECKING:
    from ..messages import Message

_ROLES = {"system", "user", "assistant"}
_BLOCKS = {
    "tool_use", "tool_result", "thinking", "redacted_thinking", "image", "document", "search_result",
    "server_tool_use", "web_search_tool_result", "container_upload",
}  # fmt: skip
_FOREIGN = ("tool_calls", "function_call", "refusal", "tool_call_id", "parts")
_READ = (
    "type", "role", "content", "id", "model", "usage", "stop_reason", "stop_sequence", "parsed_output",
)  # fmt: skip


def claims(item: Any) -> Claim:
    """A response by its type, a message by its blocks."""
    if not isinstance(item, dict) or item.get("role") not in _ROLES:
        return Claim.NO
    content = item.get("content")
    found = kinds(content)
    if item.get("type") == "message":
        mine = bool(found & _BLOCKS) or "stop_reason" in item or "usage" in item or found == {"text"}
        return Claim.SURE if mine and isinstance(content, list) else Claim.NO
    if item.get("type") is not None or any(item.get(key) is not None for key in _FOREIGN):
        return Claim.NO
    if isinstance(content, list):
        return Claim.SURE if found & _BLOCKS else Claim.MAYBE if found <= {"text"} else Claim.NO
    return Claim.MAYBE if isinstance(content, str) else Claim.NO


def read(items: list[Any]) -> list[Message]:
    """The messages of responses and requests."""
    return [message for item in items for message in _read_one(mapping(item))]


def _read_one(item: dict[str, Any]) -> list[Message]:
    draft = Draft(text(item.get("role")) or "assistant")
    results: list[Draft] = []
    content = item.get("content")
    for block in content if isinstance(content, list) else [content]:
        fields = mapping(block)
        if fields.get("type") == "tool_result":
            results.append(_read_result(fields))
        elif fields.get("type") == "tool_use":
            draft.call(fields.get("id"), fields.get("name"), fields.get("input"))
            draft.detail_call(fields, ("type", "id", "name", "input", "cache_control"))
        else:
            read_block(draft, block)
    draft.finish(item.get("stop_reason"))
    draft.note(model=item.get("model"), stop_sequence=item.get("stop_sequence"))
    # Only responses have an id.
    draft.note(response_id=item.get("id"))
    _read_usage(draft, item.get("usage"))
    drafts = results if results and draft.empty else [*results, draft]
    drafts[-1].note_rest(item, _READ)
    return [each.message() for each in drafts]


def _read_usage(draft: Draft, usage: Any) -> None:
    if not isinstance(usage, dict):
        return
    written = count(usage.get("cache_creation_input_tokens"))
    draft.use(
        input=count(usage.get("input_tokens")) + written,
        cached=usage.get("cache_read_input_tokens"),
        output=usage.get("output_tokens"),
        written=written,
        reasoning=first(mapping(usage.get("output_tokens_details")), "thinking_tokens", "reasoning_tokens"),
        reported=usage,
    )


def _read_result(block: dict[str, Any]) -> Draft:
    draft = tool_draft(id=block.get("tool_use_id"), failed=block.get("is_error") is True)
    read_content(draft, block.get("content"))
    draft.note_rest(block, ("type", "tool_use_id", "content", "is_error", "cache_control"))
    return draft


def joins(chunks: list[Any]) -> list[Any] | None:
    """The responses that streamed events amount to; what a helper adds to the events is passed over."""
    responses: list[dict[str, Any]] = []
    blocks: dict[int, dict[str, Any]] = {}
    for event in mappings(chunks):
        kind = event.get("type")
        if kind == "message_start" and isinstance(event.get("message"), dict):
            responses.append({**event["message"], "content": (content := [*listed(event["message"].get("content"))])})
            blocks = dict(enumerate(mappings(content)))
        elif not responses:
            continue
        elif kind == "content_block_start":
            block = {**mapping(event.get("content_block"))}
            blocks[count(event.get("index"))] = block
            responses[-1]["content"].append(block)
        elif kind == "content_block_delta":
            _add_delta(blocks.get(count(event.get("index")), {}), mapping(event.get("delta")))
        elif kind == "message_delta":
            responses[-1].update(_given(event.get("delta")))
            responses[-1]["usage"] = {**mapping(responses[-1].get("usage")), **_given(event.get("usage"))}
    for response in responses:
        for block in response["content"]:
            _close(block)
    return [*responses] or None


def _given(fields: Any) -> dict[str, Any]:
    return {key: value for key, value in mapping(fields).items() if value is not None}


def _add_delta(block: dict[str, Any], delta: dict[str, Any]) -> None:
    for key in ("text", "thinking", "partial_json", "signature"):
        field = "_json" if key == "partial_json" else key
        if isinstance(delta.get(key), str):
            block[field] = text(block.get(field)) + delta[key]
    if delta.get("citation") is not None:
        block["citations"] = [*listed(block.get("citations")), delta["citation"]]


def _close(block: Any) -> None:
    if not isinstance(block, dict) or "_json" not in block:
        return
    # The helper adds up the arguments in the very blocks of its events.
    written = as_text(block.pop("_json"))
    try:
        block["input"] = loads(written) if written else mapping(block.get("input"))
    except (ValueError, RecursionError):
        block["input"] = written


SOURCE = Source(name="anthropic", claims=claims, read=read, joins=joins)
