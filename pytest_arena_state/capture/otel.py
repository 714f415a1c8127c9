"""OpenTelemetry's GenAI conventions: messages, and the attributes of a span or an event.

A span gives the instructions, what went in and what came out, with its usage and ids; an ended
one also how long the call took. A span of a tool's execution gives the tool's result. Message
attributes are JSON text, which a limit on attributes may have cut: then they cannot be read. Of several
choices the first is the message; further ones are kept in ``meta.further_choices``. Calls that an answer
holds with their results are of tools that the provider ran itself, and kept as unmapped parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .._wire import loads
from .blocks import read_block
from .draft import Draft, tool_draft
from .plain import attribute
from .shape import as_text, count, first, kinds, listed, mapping, mappings, moment, text
from .source import Claim, Source

if TYPE_CHECKING:
    from ..messages import Message

_SYSTEM, _INPUT, _OUTPUT = "gen_ai.system_instructions", "gen_ai.input.messages", "gen_ai.output.messages"
_RESULT = "gen_ai.tool.call.result"
_STARTED, _ENDED = "span.start_ns", "span.end_ns"  # ours, for what is no attribute
_NS_PER_MS = 1_000_000
_READ = (
    _SYSTEM, _INPUT, _OUTPUT, _RESULT, _STARTED, _ENDED, "gen_ai.response.id", "gen_ai.response.model",
    "gen_ai.response.finish_reasons", "gen_ai.provider.name", "gen_ai.system", "gen_ai.tool.name",
    "gen_ai.tool.call.id", "gen_ai.tool.call.arguments", "gen_ai.tool.definitions", "anthropic.message.stop_reason",
    "logfire.json_schema", "logfire.msg",
)  # fmt: skip
_BLOCKS = {"text", "image", "document", "audio"}
_OF_TOOLS = ("tool_call", "tool_call_response")
_SERVED = {"server_tool_call", "server_tool_call_response"}
_USAGE = "gen_ai.usage."


def claims(item: Any) -> Claim:
    """Attributes by their names, a message by its typed parts."""
    if not isinstance(item, dict):
        return Claim.NO
    if any(key in item for key in (_SYSTEM, _INPUT, _OUTPUT, _RESULT)):
        return Claim.SURE
    parts = item.get("parts")
    if not isinstance(parts, list) or not isinstance(item.get("role"), str):
        return Claim.NO
    typed = len(mappings(parts)) == len(parts) and all(kinds(parts))
    return Claim.NO if not typed else Claim.SURE if parts else Claim.MAYBE


def read(items: list[Any]) -> list[Message]:
    """The messages of attributes and messages."""
    messages: list[Message] = []
    for item in map(mapping, items):
        if isinstance(item.get("parts"), list):
            messages += [draft.message() for draft in _read_message(item)]
        elif _RESULT in item:
            messages.append(_read_execution(item))
        else:
            messages += _read_attributes(item)
    return messages


def opens(value: object) -> object | None:
    """A span, living or exported, or an event: its attributes."""
    if isinstance(value, Mapping):
        attributes, start, end = value.get("attributes"), value.get("start_time"), value.get("end_time")
    else:
        attributes = attribute(value, "attributes")
        start, end = attribute(value, "start_time"), attribute(value, "end_time")
    if not isinstance(attributes, Mapping) or not any(str(key).startswith("gen_ai.") for key in attributes):
        return None
    return {**attributes, _STARTED: _nanoseconds(start), _ENDED: _nanoseconds(end)}


def _nanoseconds(time: Any) -> int:
    written = moment(time) if isinstance(time, str) else None
    return round(written.timestamp() * 1e9) if written is not None else count(time)


def _decoded(value: Any) -> Any:
    """Structured attributes are JSON text in spans and structures in events."""
    return loads(value) if isinstance(value, str) else value


def _read_attributes(item: dict[str, Any]) -> list[Message]:
    drafts: list[Draft] = []
    parts = _decoded(item.get(_SYSTEM))
    if parts:
        system = Draft("system")
        for part in listed(parts) or [parts]:
            read_block(system, part)
        drafts.append(system)
    drafts += [draft for message in mappings(_decoded(item.get(_INPUT))) for draft in _read_message(message)]
    told = mappings(_decoded(item.get(_OUTPUT)))
    further = told[1:] if _are_choices(told, item) else []
    pieces = told[: len(told) - len(further)]
    answers = [draft for message in _with_calls(pieces) for draft in _read_message(message)]
    if answers:
        _read_response(answers, item)
        answers[-1].note(further_choices=further)
    return [draft.message() for draft in drafts + answers]


def _with_calls(pieces: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The pieces of an answer, as OpenAI's responses are read.

    Calls that stand alone join the piece before them; what the provider's own tools did says nothing by itself.
    """
    out: list[dict[str, Any]] = []
    for piece in pieces:
        goes_on = out and out[-1].get("role") == piece.get("role") == "assistant"
        told = kinds(piece.get("parts"))
        if goes_on and (told == {"tool_call"} or told <= _SERVED or kinds(out[-1].get("parts")) <= _SERVED):
            out[-1] = {**out[-1], **piece, "parts": [*listed(out[-1].get("parts")), *listed(piece["parts"])]}
        else:
            out.append(piece)
    return out


def _are_choices(told: list[dict[str, Any]], item: dict[str, Any]) -> bool:
    """Several answers to choose from, and not one in pieces: they were asked for, or each has a reason to end."""
    if not all(message.get("role") == "assistant" for message in told):
        return False
    asked = item.get("gen_ai.request.choice.count")
    if asked is not None:
        return bool(len(told) == asked)
    # OpenInference gives each call of a tool a message, and each message a reason.
    called = any({"tool_call", *_SERVED} & kinds(message.get("parts")) for message in told)
    reasons = listed(item.get("gen_ai.response.finish_reasons"))
    reasons = reasons or [message for message in told if message.get("finish_reason")]
    return len(told) == len(reasons) and not called


def _read_response(answers: list[Draft], item: dict[str, Any]) -> None:
    # Of several answers each has its own reason; Anthropic's client has one, under a name of its own.
    reasons = listed(item.get("gen_ai.response.finish_reasons")) or [item.get("anthropic.message.stop_reason")]
    for draft, reason in zip(answers, reasons, strict=False):
        if reason:  # else it may stand in the message
            draft.finish(reason)
    last = answers[-1]
    usage = {key.removeprefix(_USAGE): value for key, value in item.items() if key.startswith(_USAGE)}
    provider = text(item.get("gen_ai.provider.name")) or text(item.get("gen_ai.system"))
    if "input_tokens" in usage or "output_tokens" in usage:
        raw = _raw(usage.get("raw"))
        details = mapping(first(raw, "prompt_tokens_details", "input_tokens_details"))
        cached = count(
            first(usage, "cache_read.input_tokens")
            or first(details, "cached_tokens")
            or raw.get("cache_read_input_tokens")
        )
        last.use(
            input=max(0, count(usage.get("input_tokens")) - cached),
            cached=cached,
            output=usage.get("output_tokens"),
            written=first(usage, "cache_creation.input_tokens", "cache_write.input_tokens")
            or raw.get("cache_creation_input_tokens"),
            reasoning=first(usage, "reasoning.output_tokens")
            or mapping(first(raw, "completion_tokens_details", "output_tokens_details")).get("reasoning_tokens"),
            provider=provider,
            reported=usage,
        )
    for draft in answers:
        # Not every instrumentation looks into a stream for the model's name.
        model = first(item, "gen_ai.response.model", "gen_ai.request.model")
        draft.note(model=model, response_id=item.get("gen_ai.response.id"))
    _read_times(last, item)
    last.note(attributes=_rest(item))


def _raw(usage: Any) -> dict[str, Any]:
    """What the provider said of usage; Logfire tells nothing but sums beside it."""
    try:
        return mapping(_decoded(usage))
    except (ValueError, RecursionError):
        return {}


def _rest(item: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key not in _READ and not key.startswith(_USAGE)}


def _read_times(draft: Draft, item: dict[str, Any]) -> None:
    start, end = count(item.get(_STARTED)), count(item.get(_ENDED))
    if end:
        draft.timestamp = moment(end / 1e9)
    if start and end > start:
        draft.latency_ms = round((end - start) / _NS_PER_MS)


def _read_message(item: dict[str, Any]) -> list[Draft]:
    role = text(item.get("role"))
    draft = Draft({"developer": "system", "tool": "user"}.get(role, role))
    results = []
    parts = mappings(item.get("parts"))
    served = _served(parts) if draft.role == "assistant" else frozenset[str]()
    for part in parts:
        kind = part.get("type")
        if kind in _OF_TOOLS and (part.get("builtin") is True or text(part.get("id")) in served):
            draft.keep(part)
        elif kind == "tool_call":
            draft.call(part.get("id"), part.get("name"), part.get("arguments"))
            draft.detail_call(part, ("type", "id", "name", "arguments"))
        elif kind == "tool_call_response":
            # Named `result` by the first instrumentations.
            output = part.get("response", part.get("result"))
            results.append(_result_draft(output, id=part.get("id"), name=part.get("name")))
            results[-1].detail_part(part, ("type", "id", "name", "response", "result"))
        else:
            read_block(draft, part)
    draft.finish(item.get("finish_reason"))
    drafts = results if results and draft.empty else [*results, draft]
    drafts[-1].note(name=item.get("name"))
    drafts[-1].note_rest(item, ("role", "parts", "finish_reason", "name"))
    return drafts


def _served(parts: list[dict[str, Any]]) -> frozenset[str]:
    """The ids of calls that an answer holds with their results: of tools that the provider ran itself."""
    called, returned = (
        {id for part in parts if part.get("type") == kind and (id := text(part.get("id")))} for kind in _OF_TOOLS
    )
    return frozenset(called & returned)


def _result_draft(output: Any, **of_a_tool: Any) -> Draft:
    """A tool's result; some instrumentations pass on the blocks that the provider was given."""
    if isinstance(output, list) and len(mappings(output)) == len(output) and {"text"} <= kinds(output) <= _BLOCKS:
        draft = tool_draft(**of_a_tool)
        for block in output:
            read_block(draft, block)
        return draft
    return tool_draft(output=output, **of_a_tool)


def _read_execution(item: dict[str, Any]) -> Message:
    draft = _result_draft(
        _output(item.get(_RESULT)),
        id=item.get("gen_ai.tool.call.id"),
        name=item.get("gen_ai.tool.name"),
        error=item.get("error.type"),
    )
    _read_times(draft, item)
    message = draft.message()
    if message.tool_result is not None:
        message.tool_result.latency_ms = message.latency_ms
    return message


def _output(written: Any) -> Any:
    """A result that is JSON for a text is that text, and one for blocks is these."""
    try:
        decoded = loads(written) if isinstance(written, str) else written
    except (ValueError, RecursionError):
        return written
    return decoded if isinstance(decoded, str | list) else as_text(written)


SOURCE = Source(name="otel", claims=claims, read=read, opens=opens)
