"""What a door tells: a call to a model, the execution of a tool; and when two messages are one.

Two doors tell of one call in different words: with or without ids, arguments as text or as
JSON, tool results as the library wraps them. So messages are compared by what was said, by
which tools were called and with what, and results of tools by the call that they answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .._wire import jsonable, loads
from ..capture.alignment import MADE_UP
from ..messages import ContentPart
from ..prices import DOLLARS, forget_looked_up, forget_unknown

if TYPE_CHECKING:
    from ..messages import CostInfo, Message

UNTOLD_KEY = "untold"
"""In the meta of an answer whose content was not told: by which door."""
_NS_PER_MS = 1_000_000
_OF_A_RUN = ("run-", "lc_run-")  # LangChain's own ids, which no other door knows
_SPACE = re.compile(r"\s+")
Likeness = tuple[Any, ...]


@dataclass(kw_only=True)
class Call:
    """One call to a model: what went in and what came out."""

    door: str
    """Who told of it; one door tells of one call once."""
    history: list[Message]
    """What was sent, instructions included; is not edited."""
    answers: list[Message]
    """What came back; none when the call failed."""
    started: int = 0
    """Nanoseconds since 1970; 0 when unknown."""
    ended: int = 0
    follows: str = ""
    """The id of the response that this call goes on from, where the provider keeps the history."""
    conversation: str = ""
    """The id of the conversation that this call goes on with, where the provider keeps it."""
    error: str = ""
    """Why the call failed."""
    says: list[Likeness] = field(default_factory=list)
    """What each message of the history says, where the door knows it already."""
    response_ids: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        ids = [message.meta.get(key) for message in self.answers for key in ("response_id", "message_id")]
        self.response_ids = frozenset(id for id in ids if isinstance(id, str) and id and not id.startswith(_OF_A_RUN))

    @property
    def mute(self) -> bool:
        """It tells of no content: neither what went in nor what came out."""
        return not self.history and all(UNTOLD_KEY in answer.meta for answer in self.answers)

    @property
    def latency_ms(self) -> int:
        """How long it took; 0 when unknown."""
        return round((self.ended - self.started) / _NS_PER_MS) if 0 < self.started < self.ended else 0


@dataclass(kw_only=True)
class Execution:
    """One execution of a tool."""

    door: str
    message: Message
    """In role ``tool``; the id of its call may be empty."""
    args: Any = None
    """What the tool was given; None when unknown."""
    mute: bool = False
    """It tells how long it took, and not what came out."""


_UNTOLD = ...  # stands for whatever an answer said


def likeness(message: Message) -> Likeness:
    """What a message says, as a value to compare; see `alike` for results of tools."""
    if message.role == "tool":
        result = message.tool_result
        id = "" if result is None or MADE_UP.match(result.id) else result.id
        return ("tool", id, canonical(result.content if result is not None else message.content))
    if UNTOLD_KEY in message.meta:
        return (message.role, _UNTOLD)
    return (
        message.role,
        _SPACE.sub(" ", message.text).strip(),
        tuple(_media(part) for part in message.parts if part.type != "text"),
        tuple((call.name, canonical(call.args)) for call in message.tool_calls),
    )


def alike(one: Likeness, other: Likeness) -> bool:
    """Whether two messages are the same; results of tools are when they answer the same call."""
    if one[0] == other[0] and _UNTOLD in (one[1], other[1]):
        return True
    if one[0] == "tool" == other[0] and one[1] and other[1]:
        return bool(one[1] == other[1])
    return one[-1] == other[-1] if one[0] == "tool" == other[0] else one == other


def all_alike(some: Sequence[Likeness], others: Sequence[Likeness]) -> bool:
    """Whether two lists say the same; results of tools that follow each other have no order."""
    return len(some) == len(others) and all(
        alike(some[one], others[other]) for one, other in zip(in_order(some), in_order(others), strict=True)
    )


def in_order(entries: Sequence[Likeness]) -> list[int]:
    """The places of entries, where results of tools that follow each other stand by the ids of their calls."""
    out = list(range(len(entries)))
    start = 0
    while start < len(out):
        end = start
        while end < len(out) and entries[end][0] == "tool" and entries[end][1]:
            end += 1
        if end - start > 1:
            out[start:end] = sorted(out[start:end], key=lambda place: str(entries[place][1]))
        start = max(end, start + 1)
    return out


def canonical(value: Any) -> str:
    """A value as text: JSON with sorted keys, or words with single spaces."""
    if isinstance(value, str):
        try:
            value = loads(value)
        except (ValueError, RecursionError):
            return _SPACE.sub(" ", value).strip()
    return value if isinstance(value, str) else json.dumps(jsonable(value), sort_keys=True)


def _media(part: Any) -> tuple[Any, ...]:
    media = part.media
    if media is None:
        return (part.type,)
    return (part.type, media.data or media.url or media.storage_reference or media.file_path)


def joined(one: Message, other: Message) -> Message:
    """Two pieces of an answer as one message."""
    out = one.model_copy(deep=True)
    out.content += other.content
    out.tool_calls = [*out.tool_calls, *other.tool_calls]
    if one.parts or other.parts:
        out.parts = [*_standing(one), *_standing(other)]
    if out.reasoning is not None and other.reasoning is not None:
        out.reasoning.text = "\n".join(filter(None, (out.reasoning.text, other.reasoning.text)))
        out.reasoning.opaque = [*out.reasoning.opaque, *other.reasoning.opaque]
    return filled(out, other)


def _standing(message: Message) -> list[ContentPart]:
    return message.parts or ([ContentPart.from_text(message.content)] if message.content else [])


def uncounted(message: Message) -> None:
    """Take from an answer what it took, which is counted where it was given."""
    message.cost_info = None
    for key in ("usage", "token_details", "reported_cost_usd"):
        message.meta.pop(key, None)


def _counted(known: CostInfo, more: CostInfo) -> CostInfo:
    """A cost with what only another telling of it knows; dollars that somebody gave stay, zero included."""
    unknown = [] if known.provider_name else ["provider_name"]
    went_in = known.input_tokens or known.cached_tokens
    if not went_in:
        unknown += ["input_tokens", "cached_tokens"]
    if not known.output_tokens:
        unknown.append("output_tokens")
    if not (went_in or known.output_tokens) and known.model_fields_set.isdisjoint(DOLLARS):
        unknown += DOLLARS
    told = {name: getattr(more, name) for name in unknown if name in more.model_fields_set}
    return known.model_copy(update=told) if told else known


def _tokens(cost: CostInfo) -> tuple[int, int, int]:
    return cost.input_tokens, cost.output_tokens, cost.cached_tokens


def filled(known: Message, more: Message) -> Message:
    """A copy of a message with what only another telling of it knows."""
    if UNTOLD_KEY in known.meta and UNTOLD_KEY not in more.meta:
        return filled(more, known)
    out = known.model_copy(deep=True)
    if forget_unknown(out) and more.cost_info is not None and more.cost_info.total_cost_usd:
        out.cost_info = more.cost_info.model_copy()
    for name in ("timestamp", "latency_ms", "finish_reason", "cost_info", "reasoning"):
        if not getattr(out, name) and getattr(more, name):
            setattr(out, name, getattr(more, name))
    if out.cost_info is not None and more.cost_info is not None:
        known_tokens = _tokens(out.cost_info)
        out.cost_info = _counted(out.cost_info, more.cost_info)
        if _tokens(out.cost_info) != known_tokens:
            forget_looked_up(out)
    if out.reasoning is not None and more.reasoning is not None:
        out.reasoning.text = out.reasoning.text or more.reasoning.text
        out.reasoning.opaque = out.reasoning.opaque or more.reasoning.opaque
    for key, value in more.meta.items():
        if key != UNTOLD_KEY:
            out.meta.setdefault(key, value)
    if out.tool_result is not None and more.tool_result is not None:
        for name in ("id", "name", "error"):
            if not getattr(out.tool_result, name):
                setattr(out.tool_result, name, getattr(more.tool_result, name))
        if not out.tool_result.latency_ms:
            out.tool_result.latency_ms = more.tool_result.latency_ms
    if len(out.tool_calls) == len(more.tool_calls):
        for call, other in zip(out.tool_calls, more.tool_calls, strict=True):
            if not call.id or MADE_UP.match(call.id):
                call.id = other.id or call.id
    return out
