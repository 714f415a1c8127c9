"""A message as a store keeps it: the bytes of its JSON, and what it contributes to a report."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from operator import itemgetter
from typing import TYPE_CHECKING, TypeAlias

from ._times import ZERO_TIME, format_time
from ._wire import dumps
from .messages import CostInfo, Message
from .telemetry import OF_TEXT, MessageFacts, facts_of

if TYPE_CHECKING:
    from ._wire import Problems

Kept: TypeAlias = tuple[bytes, MessageFacts]

_FIELDS = len(Message.model_fields)
_USUAL = itemgetter("role", "content", "timestamp", "cost_info")
_UNUSUAL = itemgetter(*(set(Message.model_fields) - {"role", "content", "timestamp", "cost_info"}))
_BEGINNINGS = {role: b'{"role":"%b"' % role.encode("ascii") for role in OF_TEXT}
_NO_TIME = b',"timestamp":"%b"' % ZERO_TIME.encode("ascii")


def kept_form(message: Message, index: int, problems: Problems) -> Kept:
    """What a store keeps of a message; ``problems`` gets a line for each value that could not be kept as it was.

    Raises:
        pydantic.ValidationError: A wrong type came past validation: in a list that was edited, by `model_copy`.
    """
    ((text,), (facts,)) = kept_forms((message,), problems, first=index)
    return text, facts


def kept_forms(
    messages: Iterable[Message], problems: Problems, *, first: int = 0
) -> tuple[list[bytes], list[MessageFacts]]:
    """The same of messages that follow each other, the first at position ``first``."""
    # Most messages are text with a time, and some of these have a cost. This is the innermost loop of every save, so
    # their JSON is put together here, in one function; a test holds that it is the same as that of `Message.to_wire`.
    texts: list[bytes] = []
    all_facts: list[MessageFacts] = []
    for message in messages:
        values = message.__dict__
        if type(message) is Message and len(values) == _FIELDS and not message.__pydantic_extra__:
            role, content, moment, cost = _USUAL(values)
            # Texts may have come past validation, as with `model_copy`.
            usual = type(role) is type(content) is str and (cost is None or type(cost) is CostInfo)
            timed = moment is None or (isinstance(moment, datetime) and moment.tzinfo)
            if usual and timed and role in _BEGINNINGS and not any(_UNUSUAL(values)):
                time = _NO_TIME if moment is None else b',"timestamp":"%b"' % format_time(moment).encode("ascii")
                if cost is None:
                    end, facts = b"}", OF_TEXT[role]
                else:
                    wire = cost.to_wire(problems, f"messages[{first + len(texts)}].cost_info")
                    end, facts = b',"cost_info":%b}' % dumps(wire), MessageFacts(role, (wire,))
                if content:
                    texts.append(b"".join((_BEGINNINGS[role], b',"content":', dumps(content), time, end)))
                else:
                    texts.append(b"".join((_BEGINNINGS[role], time, end)))
                all_facts.append(facts)
                continue
        wire = message.to_wire(problems, f"messages[{first + len(texts)}]")
        texts.append(dumps(wire))
        all_facts.append(facts_of(wire))
    return texts, all_facts


__all__ = ["Kept", "kept_form", "kept_forms"]
