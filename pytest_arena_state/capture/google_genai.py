"""google-genai: responses, contents and streamed chunks, in Python's names or REST's.

The first candidate is the message; further ones are kept in ``meta.further_choices``. Calls
usually come without an id, so one is made up from name and position. Tools that the SDK ran by
itself are in the response's history, which is read with it: nobody else sees these messages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .blocks import media_part
from .draft import Draft, tool_draft
from .plain import attribute, called, plain
from .shape import as_text, count, first, listed, mappings, moment, snaked, text
from .source import Claim, Source

if TYPE_CHECKING:
    from ..messages import Message

_PART_KEYS = {
    "text", "inline_data", "file_data", "function_call", "function_response", "executable_code",
    "code_execution_result", "thought",
}  # fmt: skip
# A refused prompt has no candidate, the last chunk of a stream may have none.
_RESPONSE_KEYS = ("prompt_feedback", "model_version", "automatic_function_calling_history")
_READ_RESPONSE = (
    "candidates", "usage_metadata", "model_version", "response_id", "create_time", "sdk_http_response", "parsed",
    "automatic_function_calling_history",
)  # fmt: skip
_READ_PART = (
    "text", "thought", "thought_signature", "inline_data", "file_data", "function_call", "function_response",
)  # fmt: skip
_ROLES = {"model": "assistant", "function": "tool"}


def claims(item: Any) -> Claim:
    """A response by its candidates, a content by its parts, which bear no type."""
    fields = snaked(item)
    if isinstance(fields.get("candidates"), list) or any(key in fields for key in _RESPONSE_KEYS):
        return Claim.SURE
    parts = fields.get("parts")
    if not isinstance(parts, list) or "kind" in fields:
        return Claim.NO
    marked = all(isinstance(part, dict) and "type" not in part and _PART_KEYS & snaked(part).keys() for part in parts)
    if parts:
        return Claim.SURE if marked else Claim.NO
    return Claim.MAYBE if fields.get("role") in ("model", "user") else Claim.NO


def read(items: list[Any]) -> list[Message]:
    """The messages of responses and contents."""
    return [message for item in items for message in _read_item(snaked(item))]


def opens(value: object) -> object | None:
    """A chat's history, or what a request is made of."""
    if isinstance(value, dict):
        contents, config = value.get("contents"), value.get("config")
        if not (isinstance(contents, list) or _as_part(contents) or claims(plain(contents))):
            return None
        named = "system_instruction"
        system = config.get(named) if isinstance(config, dict) else attribute(config, named)
        told = [{**content, "role": "system"} for content in mappings(_contents(system)) if "parts" in content]
        return [*told, *_contents(contents)]
    history = called(value, "get_history")
    return history if isinstance(history, list) else None


def _contents(given: Any) -> list[Any]:
    """Contents as the SDK sends them: parts that follow each other are one content, and so is a list in the list."""
    contents: list[Any] = []
    open_parts: list[Any] = []
    for entry in given if isinstance(given, list) else [given]:
        part = _as_part(entry)
        if part is None:
            parts = [*map(_as_part, entry)] if isinstance(entry, list) else [None]
            contents.append({"role": "user", "parts": parts} if all(parts) else plain(entry))
            open_parts = []
            continue
        role = "model" if "function_call" in part else "user"
        if not (open_parts and contents[-1]["role"] == role):
            open_parts = []
            contents.append({"role": role, "parts": open_parts})
        open_parts.append(part)
    return contents


def _as_part(entry: Any) -> dict[str, Any] | None:
    """A part, a file or a text as a part; None for anything else."""
    if isinstance(entry, str):
        return {"text": entry}
    fields = {key: value for key, value in snaked(plain(entry)).items() if value is not None}
    if "role" in fields or "type" in fields:
        return None
    if _PART_KEYS & fields.keys():
        return fields
    uri = first(fields, "file_uri", "uri")
    return {"file_data": {**fields, "file_uri": uri}} if isinstance(uri, str) and "mime_type" in fields else None


def _read_item(item: dict[str, Any]) -> list[Message]:
    if isinstance(item.get("parts"), list) and "candidates" not in item:
        return _read_content(item)
    history = [snaked(content) for content in mappings(item.get("automatic_function_calling_history"))]
    messages = [message for content in history for message in _read_content(content)]
    return [*messages, _read_response(item).message()]


def _read_response(item: dict[str, Any]) -> Draft:
    candidates = [snaked(candidate) for candidate in mappings(item.get("candidates"))]
    candidate = candidates[0] if candidates else {}
    draft = Draft("assistant")
    content = snaked(candidate.get("content"))
    for part in listed(content.get("parts")):
        _read_part(draft, part)
    draft.note_rest(content, ("role", "parts"))
    feedback = snaked(item.get("prompt_feedback"))
    # A prompt that was refused has no candidate.
    draft.finish(first(candidate, "finish_reason") or first(feedback, "block_reason"))
    draft.timestamp = moment(item.get("create_time"))
    draft.note(model=item.get("model_version"), response_id=item.get("response_id"), further_choices=candidates[1:])
    draft.note_rest(candidate, ("content", "finish_reason", "index"))
    draft.note_rest(item, _READ_RESPONSE)
    usage = snaked(item.get("usage_metadata"))
    if usage:
        cached, thoughts = count(usage.get("cached_content_token_count")), count(usage.get("thoughts_token_count"))
        given = count(usage.get("prompt_token_count")) + count(usage.get("tool_use_prompt_token_count"))
        draft.use(
            input=max(0, given - cached),
            cached=cached,
            output=count(usage.get("candidates_token_count")) + thoughts,
            reasoning=thoughts,
            reported=usage,
        )
    return draft


def _read_content(item: dict[str, Any]) -> list[Message]:
    role = text(item.get("role")) or "user"
    draft = Draft(_ROLES.get(role, role))
    results = []
    for part in listed(item.get("parts")):
        response = snaked(part).get("function_response")
        if isinstance(response, dict):
            results.append(_read_result(snaked(response)))
            results[-1].detail_part(snaked(part), _READ_PART)
        else:
            _read_part(draft, part)
    if results and draft.role == "tool":
        draft.role = "user"
    drafts = results if results and draft.empty else [*results, draft]
    drafts[-1].note_rest(item, ("role", "parts"))
    return [each.message() for each in drafts]


def _read_result(response: dict[str, Any]) -> Draft:
    value = response.get("response")
    output: Any = value
    error = None
    if isinstance(value, dict) and len(value) == 1:
        # How the SDK wraps what a function returned, and what it raised.
        (key,) = value
        output = value[key] if key in ("result", "output", "error") else value
        error = value.get("error")
    draft = tool_draft(id=response.get("id"), name=response.get("name"), output=output, error=error)
    for part in mappings(response.get("parts")):
        _read_part(draft, part)
    draft.note_rest(response, ("id", "name", "response", "parts"))
    return draft


def _read_part(draft: Draft, given: Any) -> None:
    part = {key: value for key, value in snaked(given).items() if value is not None}
    media = first(part, "inline_data", "file_data")
    call = part.get("function_call")
    signature = text(part.get("thought_signature"))
    if isinstance(call, dict):
        draft.call(call.get("id"), call.get("name"), call.get("args"), thought_signature=signature)
        draft.detail_call(call, ("id", "name", "args"))
        signature = ""
    elif isinstance(media, dict) and (shown := media_part(media)) is not None:
        draft.show(shown)
    elif isinstance(part.get("text"), str):
        if part.get("thought") is True:
            draft.think(part["text"])
        else:
            draft.say(part["text"])
    elif not (signature and set(part) <= {"thought_signature", "thought"}):
        draft.keep(given)
        return
    draft.think_opaquely(signature, provider="google", kind="thought_signature")
    draft.detail_part(part, _READ_PART)


def joins(chunks: list[Any]) -> list[Any] | None:
    """The responses that streamed chunks amount to, by id: each chunk is a response with the next parts."""
    found: dict[str, dict[str, Any]] = {}
    for given in mappings(chunks):
        chunk = snaked(given)
        if claims(chunk) is Claim.NO or "parts" in chunk:
            continue
        whole = found.setdefault(as_text(chunk.get("response_id")), {"candidates": {}})
        whole.update((key, value) for key, value in chunk.items() if key != "candidates" and value is not None)
        for candidate in (snaked(entry) for entry in mappings(chunk.get("candidates"))):
            known = whole["candidates"].setdefault(count(candidate.get("index")), {"content": {"parts": []}})
            known.update((key, value) for key, value in candidate.items() if key != "content" and value is not None)
            for part in listed(snaked(candidate.get("content")).get("parts")):
                _add_part(known["content"]["parts"], part)
    for whole in found.values():
        whole["candidates"] = [whole["candidates"][index] for index in sorted(whole["candidates"])]
    responses = list(found.values())
    _keep_results(responses)
    return responses or None


def _keep_results(responses: list[dict[str, Any]]) -> None:
    """Of the histories that responses repeat, keep what functions returned before each; the rest was streamed.

    The SDK goes on to append to the history that it gave.
    """
    key = "automatic_function_calling_history"
    history = max((mappings(response.get(key)) for response in responses), key=len, default=[])
    results = [content for content in history if _holds_result(content)]
    for response in reversed(responses[1:]):
        response[key] = [results.pop()] if results else []


def _holds_result(content: dict[str, Any]) -> bool:
    return any(snaked(part).get("function_response") for part in listed(content.get("parts")))


def _add_part(parts: list[Any], given: Any) -> None:
    part = {key: value for key, value in snaked(given).items() if value is not None}
    last = parts[-1] if parts else {}
    grows = part.keys() <= {"text", "thought"} and last.keys() <= {"text", "thought"}
    if (
        grows
        and isinstance(part.get("text"), str)
        and isinstance(last.get("text"), str)
        and (part.get("thought") is last.get("thought"))
    ):
        last["text"] += part["text"]
    else:
        parts.append(part)


SOURCE = Source(name="google_genai", claims=claims, read=read, opens=opens, joins=joins)
