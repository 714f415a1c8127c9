"""pydantic-ai: requests and responses, results of runs, and streamed events.

A request gives several messages: instructions, what the user said, what tools returned.
Instructions repeat with every request and are said once, until they change. Times are those
that pydantic-ai noted. Whatever it retries is an error of a tool, or a user's message where
no tool was concerned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .blocks import media_part
from .draft import Draft, tool_draft
from .plain import attribute, called
from .shape import as_text, count, listed, mapping, mappings, moment, text
from .source import Claim, Source

if TYPE_CHECKING:
    from ..messages import Message

_MEDIA = {"image-url": "image", "audio-url": "audio", "video-url": "video", "document-url": "document", "binary": "",
          "uploaded-file": ""}  # fmt: skip
_FAILURES = {"failed", "denied", "retried", "error"}
_READ = ("kind", "parts", "usage", "model_name", "timestamp", "provider_name", "provider_response_id", "vendor_id",
         "finish_reason", "instructions", "state")  # fmt: skip
_READ_PART = ("part_kind", "content", "timestamp", "tool_name", "tool_call_id", "args", "outcome", "id", "signature",
              "provider_name", "tool_kind", "dynamic_ref", "scope", "retry")  # fmt: skip


def claims(item: Any) -> Claim:
    """A request or a response by its kind and its parts' kinds."""
    if not isinstance(item, dict) or item.get("kind") not in ("request", "response"):
        return Claim.NO
    parts = item.get("parts")
    mine = isinstance(parts, list) and all(isinstance(part, dict) and "part_kind" in part for part in parts)
    return Claim.SURE if mine else Claim.NO


def read(items: list[Any]) -> list[Message]:
    """The messages of requests and responses."""
    messages: list[Message] = []
    instructions = ""
    for item in map(mapping, items):
        if item.get("kind") == "response":
            messages.append(_read_response(item))
            continue
        given = text(item.get("instructions"))
        if given and given != instructions:
            draft = Draft("system")
            draft.say(given)
            messages.append(draft.message())
        instructions = given or instructions
        messages += _read_request(item)
    return messages


def opens(value: object) -> object | None:
    """The result of a run, or the event that brings it."""
    messages = called(value, "all_messages")
    if isinstance(messages, list):
        return messages
    result = attribute(value, "result")
    if attribute(value, "event_kind") == "agent_run_result" and result is not None:
        messages = called(result, "all_messages")
    return messages if isinstance(messages, list) else None


def _read_response(item: dict[str, Any]) -> Message:
    draft = Draft("assistant")
    for part in mappings(item.get("parts")):
        kind = part.get("part_kind")
        if kind == "text":
            draft.say(part.get("content"))
        elif kind == "thinking":
            draft.think(part.get("content"))
            redacted = part.get("id") == "redacted_thinking"
            draft.think_opaquely(
                part.get("signature"),
                provider=text(part.get("provider_name")),
                kind="redacted_thinking" if redacted else "signature",
                redacted=redacted,
            )
        elif kind == "tool-call":
            draft.call(part.get("tool_call_id"), part.get("tool_name"), part.get("args"))
        elif kind == "file" and (shown := media_part(mapping(part.get("content")))) is not None:
            draft.show(shown)
        else:
            draft.keep(part)
            continue
        draft.detail_part(part, _READ_PART)
    draft.finish(item.get("finish_reason"))
    draft.timestamp = moment(item.get("timestamp"))
    draft.note(model=item.get("model_name"), response_id=item.get("provider_response_id") or item.get("vendor_id"))
    draft.note_rest(item, _READ)
    usage = mapping(item.get("usage"))
    if any(count(usage.get(key)) for key in ("input_tokens", "output_tokens", "cache_read_tokens")):
        cached = count(usage.get("cache_read_tokens"))
        details = mapping(usage.get("details"))
        draft.use(
            input=max(0, count(usage.get("input_tokens")) - cached),
            cached=cached,
            output=usage.get("output_tokens"),
            written=usage.get("cache_write_tokens"),
            reasoning=usage.get("output_reasoning_tokens") or details.get("reasoning_tokens"),
            provider=item.get("provider_name"),
            reported={key: value for key, value in usage.items() if value},
        )
    return draft.message()


def _read_request(item: dict[str, Any]) -> list[Message]:
    drafts = []
    for part in mappings(item.get("parts")):
        draft = _read_request_part(part, text(part.get("part_kind")))
        draft.timestamp = moment(part.get("timestamp")) or moment(item.get("timestamp"))
        draft.note_rest(part, _READ_PART)
        draft.note_rest(item, _READ)
        drafts.append(draft)
    return [draft.message() for draft in drafts]


def _read_request_part(part: dict[str, Any], kind: str) -> Draft:
    content = part.get("content")
    if kind in ("system-prompt", "instruction"):
        draft = Draft("system")
        draft.say(content)
    elif kind == "tool-return":
        outcome = text(part.get("outcome"))
        draft = tool_draft(id=part.get("tool_call_id"), name=part.get("tool_name"), failed=outcome in _FAILURES)
        _read_content(draft, content)
        draft.note(outcome=outcome if outcome in _FAILURES else "")
    elif kind == "retry-prompt" and part.get("tool_name"):
        draft = tool_draft(id=part.get("tool_call_id"), name=part.get("tool_name"), output=content, failed=True)
    elif kind in ("user-prompt", "retry-prompt", "retry-feedback"):
        draft = Draft("user")
        _read_content(draft, content)
        draft.note(part_kind="" if kind == "user-prompt" else kind)
    else:
        draft = Draft("user")
        draft.keep(part)
    return draft


def _read_content(draft: Draft, content: Any) -> None:
    mixed = isinstance(content, list) and any(isinstance(piece, str) or mapping(piece).get("kind") for piece in content)
    if not (mixed or mapping(content).get("kind") in _MEDIA):
        draft.say(as_text(content))
        return
    for piece in content if isinstance(content, list) else [content]:
        kind = mapping(piece).get("kind")
        shown = media_part(piece, _MEDIA[kind]) if isinstance(kind, str) and kind in _MEDIA else None
        if shown is not None:
            draft.show(shown)
        elif kind == "text-content" or (kind == "text" and "content" in piece):
            draft.say(piece.get("content"))
        else:
            draft.say(piece)


# --- streams -----------------------------------------------------------------------------


def joins(chunks: list[Any]) -> list[Any] | None:
    """The requests and responses that streamed events amount to."""
    found: list[Any] = []
    seen = False
    parts: dict[int, dict[str, Any]] = {}
    for event in mappings(chunks):
        kind = event.get("event_kind")
        if kind == "agent_run_result":
            # The result keeps the whole conversation; its own method for it is gone in plain data.
            whole = listed(mapping(mapping(event.get("result")).get("_state")).get("message_history"))
            if whole:
                return whole
        seen = seen or isinstance(kind, str)
        if kind == "part_start":
            if event.get("index") == 0 and parts:
                found.append(_response(parts))
                parts = {}
            parts[count(event.get("index"))] = {**mapping(event.get("part"))}
        elif kind == "part_delta":
            _add_delta(parts.get(count(event.get("index")), {}), mapping(event.get("delta")))
        elif kind == "part_end":
            parts[count(event.get("index"))] = {**mapping(event.get("part"))}
        elif kind == "function_tool_result":
            if parts:
                found.append(_response(parts))
                parts = {}
            found.append({"kind": "request", "parts": [mapping(event.get("part")) or mapping(event.get("result"))]})
    if parts:
        found.append(_response(parts))
    return found if seen else None


def _response(parts: dict[int, dict[str, Any]]) -> dict[str, Any]:
    return {"kind": "response", "parts": [parts[index] for index in sorted(parts)]}


def _add_delta(part: dict[str, Any], delta: dict[str, Any]) -> None:
    pairs = (("content_delta", "content"), ("signature_delta", "signature"), ("tool_name_delta", "tool_name"))
    for key, field in pairs:
        if isinstance(delta.get(key), str):
            part[field] = text(part.get(field)) + delta[key]
    args = delta.get("args_delta")
    if isinstance(args, str):
        part["args"] = text(part.get("args")) + args
    elif isinstance(args, dict):
        part["args"] = {**mapping(part.get("args")), **args}
    if isinstance(delta.get("tool_call_id"), str):
        part["tool_call_id"] = delta["tool_call_id"]


SOURCE = Source(name="pydantic_ai", claims=claims, read=read, opens=opens, joins=joins)
