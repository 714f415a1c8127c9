"""Our own messages: objects, and what reports and journals hold of them."""

from __future__ import annotations

from typing import Any

from ..messages import Message
from .shape import mappings
from .source import Claim, Source

_FIELDS = frozenset(Message.model_fields)


def claims(item: Any) -> Claim:
    """A `Message`, or one in its wire form: only there is a role beside a timestamp."""
    if isinstance(item, Message):
        return Claim.SURE
    if not isinstance(item, dict) or not all(isinstance(item.get(key), str) for key in ("role", "timestamp")):
        return Claim.NO
    foreign = item.keys() - _FIELDS or any("args" not in call for call in mappings(item.get("tool_calls")))
    return Claim.NO if foreign or not isinstance(item.get("content", ""), str) else Claim.SURE


def read(items: list[Any]) -> list[Message]:
    """Copies of the messages."""
    return [item.model_copy(deep=True) if isinstance(item, Message) else Message.from_dict(item) for item in items]


SOURCE = Source(name="arena", claims=claims, read=read)
