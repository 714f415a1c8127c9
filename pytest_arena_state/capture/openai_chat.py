"""OpenAI chat completions, and everything that speaks like them: LiteLLM, vLLM, Ollama, Groq.

Reads completions, their messages, streamed chunks, and Ollama's own responses. The first choice
is the message; further ones are kept in ``meta.further_choices``. A bare ``role`` and ``content``
is the common tongue of several libraries, so such an item is claimed only if nobody is sure of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .blocks import media_part, read_audio, read_content
from .draft import Draft, tool_draft
from .plain import attribute, plain
from .shape import count, first, kinds, listed, mapping, mappings, moment, text
from .source import Claim, Source

if TYPE_CHECKING:
    from ..messages import Message

_ROLES = {"system", "developer", "user", "assistant", "tool", "function"}
_BLOCKS = {"image_url", "input_audio", "file", "refusal", "video_url"}
_MARKS = ("tool_calls", "function_call", "refusal", "audio", "reasoning_content", "tool_call_id", "tool_name")
_READ = (
    "role", "content", "refusal", "tool_calls", "function_call", "audio", "annotations", "reasoning_content",
    "reasoning", "thinking", "thinking_blocks", "images", "tool_call_id", "tool_name",
)  # fmt: skip
_READ_CALL = ("id", "type", "index", "function", "custom")
_READ_RESPONSE = (
    "object", "choices", "id", "model", "created", "usage", "message", "created_at", "done", "done_reason",
    "prompt_eval_count", "eval_count", "reported_cost_usd", "measured_latency_ms",
)  # fmt: skip


def claims(item: Any) -> Claim:
    """A completion, or a message by its role."""
    if not isinstance(item, dict):
        return Claim.NO
    if item.get("object") == "chat.completion" or _choices(item):
        return Claim.SURE
    if isinstance(item.get("message"), dict) and "done" in item:
        return Claim.SURE  # Ollama's own
    if item.get("role") not in _ROLES or item.get("type") is not None or "parts" in item:
        return Claim.NO
    if any(item.get(mark) is not None for mark in _MARKS) or item["role"] == "function":
        return Claim.SURE
    content = item.get("content")
    if isinstance(content, list):
        found = kinds(content)
        return Claim.SURE if found & _BLOCKS else Claim.MAYBE if found <= {"text"} else Claim.NO
    if isinstance(content, str) or (content is None and "content" in item):
        return Claim.MAYBE
    # Objects leave out what is None. Other libraries' answers say it elsewhere, in blocks or items.
    elsewhere = any(mappings(value) for key, value in item.items() if key not in _READ)
    return Claim.MAYBE if content is None and item["role"] == "assistant" and not elsewhere else Claim.NO


def read(items: list[Any]) -> list[Message]:
    """The messages of completions and messages."""
    return [_read_one(mapping(item)).message() for item in items]


def opens(value: object) -> object | None:
    """LiteLLM's price and latency, which it keeps beside its response's fields."""
    hidden = attribute(value, "_hidden_params")
    if not isinstance(hidden, dict) or not isinstance(attribute(value, "choices"), list):
        return None
    item = plain(value)
    cost, latency = hidden.get("response_cost"), attribute(value, "_response_ms")
    if hidden.get("cache_hit") is True:
        item["reported_cost_usd"] = 0.0  # what stands there is what the answer cost when it was given
    elif isinstance(cost, float | int) and cost > 0:
        item["reported_cost_usd"] = float(cost)
    if isinstance(latency, float | int) and latency >= 0:
        item["measured_latency_ms"] = latency
    return item if isinstance(item, dict) else None


def _choices(item: dict[str, Any]) -> list[dict[str, Any]]:
    return [choice for choice in mappings(item.get("choices")) if isinstance(choice.get("message"), dict)]


def _read_one(item: dict[str, Any]) -> Draft:
    choices = _choices(item)
    if not choices and item.get("object") != "chat.completion" and not isinstance(item.get("message"), dict):
        return _read_message(item)
    choice = choices[0] if choices else item
    draft = _read_message({"role": "assistant", **mapping(choice.get("message"))})
    draft.finish(first(choice, "finish_reason", "done_reason"))
    draft.note(model=item.get("model"), response_id=item.get("id"), further_choices=choices[1:])
    draft.note(reported_cost_usd=item.get("reported_cost_usd"))
    draft.timestamp = moment(first(item, "created", "created_at"))
    draft.latency_ms = count(item.get("measured_latency_ms"))
    _read_usage(draft, item)
    if choices:
        draft.note_rest(choice, ("message", "finish_reason", "index"))
    draft.note_rest(item, _READ_RESPONSE)
    return draft


def _read_usage(draft: Draft, item: dict[str, Any]) -> None:
    usage = mapping(item.get("usage"))
    if "prompt_eval_count" in item:
        counts = {key: item[key] for key in ("prompt_eval_count", "eval_count") if key in item}
        draft.use(input=item["prompt_eval_count"], output=item.get("eval_count"), reported=counts)
    elif "prompt_tokens" in usage or "completion_tokens" in usage:
        details = mapping(usage.get("prompt_tokens_details"))
        cached = count(first(details, "cached_tokens") or usage.get("prompt_cache_hit_tokens"))
        draft.use(
            input=max(0, count(usage.get("prompt_tokens")) - cached),
            cached=cached,
            output=usage.get("completion_tokens"),
            written=first(details, "cache_write_tokens", "cache_creation_tokens"),
            reasoning=mapping(usage.get("completion_tokens_details")).get("reasoning_tokens"),
            reported=usage,
        )
    else:
        draft.note(usage=item.get("usage"))


def _read_message(item: dict[str, Any]) -> Draft:
    role = text(item.get("role"))
    if role in ("tool", "function"):
        draft = tool_draft(id=item.get("tool_call_id"), name=first(item, "name", "tool_name"))
        read_content(draft, item.get("content"))
        draft.note_rest(item, (*_READ, "name"))
        return draft
    draft = Draft("system" if role == "developer" else role)
    if role == "developer":
        draft.note(role=role)
    _read_thoughts(draft, item)
    read_content(draft, item.get("content"))
    # LiteLLM keeps it beside the fields that all providers have.
    refusal = first(item, "refusal") or mapping(item.get("provider_specific_fields")).get("refusal")
    if refusal is not None:
        draft.refused = True
        draft.note(refusal=refusal)
        if not draft.parts:
            draft.say(refusal)
    for image in listed(item.get("images")):
        part = media_part(image if isinstance(image, dict) else {"data": image}, "image")
        if part is None:
            draft.keep(image)
        else:
            draft.show(part)
    read_audio(draft, item.get("audio"))
    for call in listed(item.get("tool_calls")):
        _read_call(draft, call)
    if isinstance(item.get("function_call"), dict):
        _read_call(draft, {"function": item["function_call"]})
    draft.note_each("citations", listed(item.get("annotations")))
    draft.note_rest(item, _READ)
    return draft


def _read_thoughts(draft: Draft, item: dict[str, Any]) -> None:
    words = first(item, "reasoning_content", "reasoning", "thinking")
    draft.think(words)
    for block in mappings(item.get("thinking_blocks")):
        if not isinstance(words, str):
            draft.think(block.get("thinking"))
        redacted = block.get("type") == "redacted_thinking"
        draft.think_opaquely(
            first(block, "signature", "data"),
            provider="anthropic",
            kind="redacted_thinking" if redacted else "signature",
            redacted=redacted,
        )


def _read_call(draft: Draft, call: Any) -> None:
    function, custom = mapping(mapping(call).get("function")), mapping(mapping(call).get("custom"))
    if function:
        draft.call(call.get("id"), function.get("name"), function.get("arguments"))
        draft.detail_call({**call, **function}, (*_READ_CALL, "name", "arguments"))
    elif custom:
        draft.call(call.get("id"), custom.get("name"), custom.get("input"), free_text=True)
        draft.detail_call({**call, **custom}, (*_READ_CALL, "name", "input"))
    else:
        draft.keep(call)


# --- streams -----------------------------------------------------------------------------


def joins(chunks: list[Any]) -> list[Any] | None:
    """The completions that streamed chunks amount to, by id."""
    found: dict[str, dict[str, Any]] = {}
    for chunk in mappings(chunks):
        # OpenAI's streaming helper wraps each chunk in an event, beside events of its own.
        chunk = mapping(chunk.get("chunk")) or chunk
        if chunk.get("object") == "chat.completion.chunk" or any(
            isinstance(choice.get("delta"), dict) for choice in mappings(chunk.get("choices"))
        ):
            _add_chunk(found.setdefault(text(chunk.get("id")), {"object": "chat.completion"}), chunk)
        elif isinstance(chunk.get("message"), dict) and "done" in chunk:
            _add_ollama(found.setdefault("", {"message": {}}), chunk)
    for whole in found.values():
        if "choices" in whole:
            whole["choices"] = [whole["choices"][index] for index in sorted(whole["choices"])]
    return list(found.values()) or None


def _add_chunk(whole: dict[str, Any], chunk: dict[str, Any]) -> None:
    whole.update((key, value) for key, value in chunk.items() if key not in ("choices", "object") and value is not None)
    choices = whole.setdefault("choices", {})
    for piece in mappings(chunk.get("choices")):
        choice = choices.setdefault(count(piece.get("index")), {"message": {"role": "assistant"}})
        for key, value in piece.items():
            if key == "logprobs" and isinstance(value, dict):
                choice[key] = _lengthened(mapping(choice.get(key)), value)
            elif key not in ("delta", "index") and value is not None:
                choice[key] = value
        _add_delta(choice["message"], mapping(piece.get("delta")))


def _lengthened(known: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Log probabilities with those of the next words."""
    lists = {key: [*listed(known.get(key)), *value] for key, value in more.items() if isinstance(value, list)}
    return {**more, **known, **lists}


def _add_ollama(whole: dict[str, Any], chunk: dict[str, Any]) -> None:
    message = whole["message"]
    whole.update((key, value) for key, value in chunk.items() if key != "message" and value is not None)
    _add_delta(message, chunk["message"])


def _add_delta(message: dict[str, Any], delta: dict[str, Any]) -> None:
    for key, value in delta.items():
        if value is None:
            continue
        if key in ("content", "refusal", "reasoning_content", "reasoning", "thinking"):
            message[key] = text(message.get(key)) + value if isinstance(value, str) else value
        elif key == "tool_calls":
            for call in mappings(value):
                _add_call(message.setdefault("tool_calls", []), call)
        elif key == "function_call":
            _add_function(message.setdefault("function_call", {}), mapping(value))
        elif key == "audio":
            audio = message.setdefault("audio", {})
            for name, piece in mapping(value).items():
                grows = name in ("data", "transcript") and isinstance(piece, str)
                audio[name] = text(audio.get(name)) + piece if grows else piece
        elif isinstance(value, list) and isinstance(message.get(key), list):
            message[key] = message[key] + value
        else:
            message[key] = value


def _add_call(calls: list[dict[str, Any]], piece: dict[str, Any]) -> None:
    index = piece.get("index")
    # A provider that sends whole calls gives no index, or 0 to each of them, but an id to each.
    call = next(
        (
            known
            for known in calls
            if known["index"] == index and piece.get("id") in (None, "", known.get("id")) and index is not None
        ),
        None,
    )
    if call is None:
        call = {"index": index, "function": {}}
        calls.append(call)
    if isinstance(piece.get("id"), str) and piece["id"]:
        call["id"] = piece["id"]
    custom = piece.get("custom")
    if isinstance(custom, dict):
        call.pop("function", None)
        _add_function(call.setdefault("custom", {}), custom)
    elif "function" in call:
        _add_function(call["function"], mapping(piece.get("function")))


def _add_function(function: dict[str, Any], piece: dict[str, Any]) -> None:
    for key in ("name", "arguments", "input"):
        value = piece.get(key)
        if isinstance(value, str) and isinstance(function.get(key), str):
            # A name comes whole; some providers repeat it with every piece.
            function[key] = function[key] if key == "name" and value == function[key] else function[key] + value
        elif value is not None:
            function[key] = value


SOURCE = Source(name="openai_chat", claims=claims, read=read, opens=opens, joins=joins)
