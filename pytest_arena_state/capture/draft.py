"""`Draft`: one message while a source reads it; what all sources say in the same way.

What has no field of its own goes to the message's ``meta`` under these keys, never away:

    model, response_id, message_id   as the source reports them
    unmapped_parts                   pieces of content of an unknown kind, as they were
    unparsed_tool_args               ids of calls whose arguments are text that is not JSON
    usage                            token counts as the source reports them
    token_details                    ``cache_write_tokens`` and ``reasoning_tokens`` among them
    finish_reason                    the source's word, where Arena has another
    part_details, call_details       further fields of the parts and calls; a call by its place
    extra                            further fields of the source's message and response
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from .._wire import loads
from ..messages import ContentPart, CostInfo, Message, OpaqueReasoning, Reasoning, ToolCall, ToolResult
from .shape import as_text, count

UNMAPPED_KEY = "unmapped_parts"
UNPARSED_KEY = "unparsed_tool_args"

_STOP, _LENGTH, _TOOLS, _SAFETY, _REFUSAL = "stop", "max_output_tokens", "tool_use", "safety", "refusal"
_FINISH_REASONS = {
    **dict.fromkeys(("stop", "end_turn", "stop_sequence", "completed", "complete"), _STOP),
    **dict.fromkeys(
        ("length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded"), _LENGTH
    ),
    **dict.fromkeys(("tool_calls", "tool_call", "tool_use", "function_call"), _TOOLS),
    **dict.fromkeys(
        (
            "content_filter", "content_filtered", "guardrail_intervened", "safety", "recitation", "blocklist",
            "prohibited_content", "spii", "image_safety", "image_prohibited_content", "image_recitation",
        ),
        _SAFETY,
    ),
    "refusal": _REFUSAL,
}  # fmt: skip


class Draft:
    """Collects what a message holds, in the order in which it was said."""

    def __init__(self, role: str, *, result_id: str = "", result_name: str = "") -> None:
        """A message of a role; in role ``tool`` it is the result of a call, whose id and name may be empty."""
        self.role = role
        self.result_id = result_id
        self.result_name = result_name
        self.result_error: str | None = None
        """None where the tool did not fail; empty where it failed and its output says why."""
        self.parts: list[ContentPart] = []
        self.calls: list[ToolCall] = []
        self.meta: dict[str, Any] = {}
        self.timestamp: datetime | None = None
        self.latency_ms = 0
        self.refused = False
        self._finish = ""
        self._cost: CostInfo | None = None
        self._thoughts: list[str] = []
        self._opaque: list[OpaqueReasoning] = []
        self._redacted = False
        self._unmapped: list[Any] = []
        self._unparsed: list[str] = []

    @property
    def empty(self) -> bool:
        """Nothing was said, called, thought or kept."""
        return not (self.parts or self.calls or self._thoughts or self._opaque or self._redacted or self._unmapped)

    def say(self, words: Any) -> None:
        """Add text; no text at all is not added."""
        if isinstance(words, str):
            if words:
                self.parts.append(ContentPart.from_text(words))
        elif words is not None:
            self.keep(words)

    def show(self, part: ContentPart) -> None:
        """Add media."""
        self.parts.append(part)

    def call(self, id: Any, name: Any, args: Any, *, free_text: bool = False, **provider: Any) -> None:
        """Add a tool call; an empty id is made up later, when all calls are known.

        Args:
            id: The call's id, if the source has one.
            name: The tool.
            args: A JSON value, or JSON text. Text that does not parse is kept and noted.
            free_text: Text is what the tool takes, and no JSON is expected.
            provider: What the provider wants back with the call; only text is kept.
        """
        parsed, intact = (args, True) if free_text else _parsed(args)
        call_id = id if isinstance(id, str) else as_text(id)
        opaque = {key: value for key, value in provider.items() if isinstance(value, str) and value}
        self.calls.append(ToolCall(id=call_id, name=as_text(name), args=parsed, provider_metadata=opaque))
        if not intact:
            self._unparsed.append(call_id)

    def think(self, words: Any) -> None:
        """Add readable reasoning."""
        if isinstance(words, str):
            if words:
                self._thoughts.append(words)
        elif words is not None:
            self.keep(words)

    def think_opaquely(
        self, data: Any, *, provider: str = "", kind: str = "", ref: Any = None, redacted: bool = False
    ) -> None:
        """Add reasoning that only its provider can read, or its signature."""
        if redacted:
            self._redacted = True
        if isinstance(data, str) and data:
            self._opaque.append(OpaqueReasoning(provider=provider, kind=kind, data=data, ref=as_text(ref)))

    def keep(self, piece: Any) -> None:
        """Keep a piece of content that has no field."""
        self._unmapped.append(piece)

    def note(self, **facts: Any) -> None:
        """Put facts into ``meta``; empty ones are left out."""
        self.meta.update((key, value) for key, value in facts.items() if not _is_empty(value))

    def note_rest(self, item: dict[str, Any], known: Iterable[str]) -> None:
        """Keep the fields of an item that nobody read, under ``extra``."""
        rest = _rest(item, known)
        if rest:
            self.meta.setdefault("extra", {}).update(rest)

    def detail_part(self, block: dict[str, Any], known: Iterable[str]) -> None:
        """Keep the fields of a part that nobody read, under ``part_details``."""
        rest = _rest(block, known)
        if rest:
            self.note_each("part_details", [rest])

    def detail_call(self, call: dict[str, Any], known: Iterable[str]) -> None:
        """Keep the fields of the last call that nobody read, under ``call_details``."""
        rest = _rest(call, known)
        if rest:
            self.note_each("call_details", [{"call": len(self.calls) - 1, **rest}])

    def note_each(self, key: str, values: Iterable[Any]) -> None:
        """Add to a list in ``meta``."""
        found = [value for value in values if not _is_empty(value)]
        if found:
            self.meta.setdefault(key, []).extend(found)

    def finish(self, reason: Any) -> None:
        """Why the model stopped, in the source's word."""
        self._finish = reason if isinstance(reason, str) else ""

    def use(
        self,
        *,
        input: Any,
        output: Any,
        cached: Any = 0,
        written: Any = 0,
        reasoning: Any = 0,
        provider: Any = "",
        reported: Any = None,
    ) -> None:
        """Tokens of the call that gave this message.

        Args:
            input: Tokens that went in, without those read from a cache.
            output: Tokens that came out, reasoning included.
            cached: Tokens that were read from a cache.
            written: Those of ``input`` that were written to a cache.
            reasoning: Those of ``output`` that were reasoning.
            provider: Who was paid, where the source says so.
            reported: The counts as the source has them.
        """
        self._cost = CostInfo(
            input_tokens=count(input),
            output_tokens=count(output),
            cached_tokens=count(cached),
            provider_name=provider if isinstance(provider, str) else "",
        )
        details = {"cache_write_tokens": count(written), "reasoning_tokens": count(reasoning)}
        self.note(usage=reported, token_details={key: value for key, value in details.items() if value})

    def message(self) -> Message:
        """The message."""
        meta = self.meta
        if self._unparsed:
            meta[UNPARSED_KEY] = self._unparsed
        if self._unmapped:
            meta[UNMAPPED_KEY] = self._unmapped
        mixed = any(part.type != "text" for part in self.parts)
        # A model's answer comes in pieces that follow each other without a gap (citations cut it
        # in mid-sentence); what others put into separate pieces are separate paragraphs.
        content = ("" if self.role == "assistant" else "\n").join(
            part.text for part in self.parts if part.type == "text" and part.text is not None
        )
        return Message(
            role=self.role,
            content=content,
            parts=self.parts if mixed and self.role != "tool" else [],
            tool_calls=self.calls,
            tool_result=self._result(content, mixed) if self.role == "tool" else None,
            timestamp=self.timestamp,
            latency_ms=self.latency_ms,
            finish_reason=self._finish_reason(),
            cost_info=self._cost,
            reasoning=self._reasoning(),
            meta=meta,
        )

    def _result(self, content: str, mixed: bool) -> ToolResult:
        error = self.result_error
        return ToolResult(
            id=self.result_id,
            name=self.result_name,
            content=content,
            error="" if error is None else error or content or "the tool failed",
            parts=self.parts if mixed else [ContentPart.from_text(content)] if content else [],
        )

    def _reasoning(self) -> Reasoning | None:
        if not (self._thoughts or self._opaque or self._redacted):
            return None
        return Reasoning(text="\n".join(self._thoughts), opaque=self._opaque, redacted=self._redacted)

    def _finish_reason(self) -> str:
        given = self._finish
        reason = _FINISH_REASONS.get(given.lower(), given)
        if self.refused and reason in ("", _STOP):
            reason = _REFUSAL
        if self.calls and reason == _STOP:
            reason = _TOOLS  # several providers report a plain stop
        if given and given != reason:
            self.meta["finish_reason"] = given
        return reason


def tool_draft(*, id: Any = "", name: Any = "", output: Any = None, failed: bool = False, error: Any = None) -> Draft:
    """A draft for what a tool returned; what is not text is written as JSON."""
    draft = Draft("tool", result_id=as_text(id), result_name=as_text(name))
    draft.say(as_text(output))
    if failed or error:
        draft.result_error = as_text(error)
    return draft


def _parsed(args: Any) -> tuple[Any, bool]:
    if args is None:
        return {}, True
    if not isinstance(args, str):
        return args, True
    if not args.strip():
        return {}, True  # how several providers spell "no arguments"
    try:
        return loads(args), True
    except (ValueError, RecursionError):
        return args, False


def _rest(item: dict[str, Any], known: Iterable[str]) -> dict[str, Any]:
    read = {*known}
    return {key: value for key, value in item.items() if key not in read and not _is_empty(value)}


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str | list | dict) and not value)
