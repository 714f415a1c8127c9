"""A conversation as a store keeps it, and how what changed in it is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from ._wire import Problems, dumps, loads, write_fields
from .messages import Message
from .models import ConversationState

if TYPE_CHECKING:
    from .telemetry import MessageFacts

# What a state holds beside its id and its messages, in the order of its JSON.
_HEAD = ("user_id", "system_prompt", "summaries", "token_count", "last_accessed_at", "metadata")


class Change(NamedTuple):
    """What one operation changed in one conversation, as bytes that will not change.

    ``messages`` are the ones that are new or different, at the positions ``indexes``; the
    conversation has ``length`` messages now. ``head`` and ``metadata`` are None when they are
    as before. Of metadata that grew, ``more`` is what it grew by; see `grown`.
    """

    kind: Literal["save", "metadata", "delete", "withdraw"]
    """What was deleted is counted; what is withdrawn stands in another conversation."""
    conversation_id: str
    length: int = 0
    indexes: Sequence[int] = ()
    messages: Sequence[bytes] = ()
    head: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    problems: Sequence[str] = ()
    more: dict[str, Any] | None = None


OnChange: TypeAlias = Callable[[Change, "Conversation"], None]


@dataclass(slots=True)
class Conversation:
    """A conversation as the store keeps it. Others may read it while they are told of a change."""

    id: str
    messages: list[bytes] = field(default_factory=list)
    facts: list[MessageFacts] = field(default_factory=list)
    fingerprints: list[Any] = field(default_factory=list)
    head: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] | None = None
    lists: dict[str, list[bytes]] = field(default_factory=dict)
    plain: bool = False
    """It was saved once, and none of its messages has ``meta``."""


_HEAD_OF = itemgetter(*_HEAD)
_STATE_FIELDS = len(ConversationState.model_fields)


def head_of(state: ConversationState, problems: Problems) -> dict[str, Any]:
    """What a state holds beside its id and its messages, as JSON."""
    values = state.__dict__
    plain = type(state) is ConversationState
    if plain and len(values) == _STATE_FIELDS and not state.__pydantic_extra__ and not any(_HEAD_OF(values)):
        return dict(_EMPTY_HEAD)
    if not plain:  # more fields than a store keeps
        state = ConversationState.model_construct(**{**values, **(state.__pydantic_extra__ or {})})
    values = {**state.__dict__, "messages": []}
    try:
        wire = write_fields(ConversationState, values, state.__pydantic_extra__, problems, "")
    except (AttributeError, TypeError, KeyError):  # a list edited in place; see `WireModel.to_wire`
        wire = state.model_copy(update={"messages": []}).to_wire(problems, "")
    del wire["id"], wire["messages"]
    # What an arena state has of its run is no part of the conversation: the store has that itself, and newer.
    wire.pop("run_metadata", None)
    return wire


_EMPTY_HEAD = {
    key: value for key, value in ConversationState(id="empty").to_dict().items() if key not in ("id", "messages")
}


def state_json(conversation: Conversation) -> bytes:
    """A conversation as the JSON of its state."""
    head = conversation.head or {}
    return b'{"id":%b,"messages":[%b]%b' % (
        dumps(conversation.id),
        b",".join(conversation.messages),
        b"," + dumps(head)[1:] if head else b"}",
    )


# Of run metadata, what grows; all else is replaced.
_LISTS, _MAPS = ("conv_assertions_results", "session_tags"), ("labels", "params")


def grown(metadata: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Run metadata in wire form with more in it: findings added, tags that are new, labels and params by their keys."""
    out = dict(metadata)
    for key, value in more.items():
        known = out.get(key)
        if key in _LISTS:
            fresh = value if key != "session_tags" else [tag for tag in value if tag not in (known or ())]
            out[key] = [*(known or ()), *fresh]
        elif key in _MAPS:
            out[key] = {**(known or {}), **value}
        else:
            out[key] = value
    return out


def last_assistant_with(conversation: Conversation, content: str) -> int | None:
    """The position of the last message of the assistant that has this content."""
    for index in range(len(conversation.messages) - 1, -1, -1):
        if conversation.facts[index].role == "assistant":
            text = conversation.messages[index]
            # Where a message has parts, its JSON does not tell whether their text was given as its content, too. One
            # without a content may have that of its tool result.
            if content == Message.from_json(text).content or (content and content == loads(text).get("content")):
                return index
    return None


__all__ = ["Change", "Conversation", "OnChange", "grown", "head_of", "last_assistant_with", "state_json"]
