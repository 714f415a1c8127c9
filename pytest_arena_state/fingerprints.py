"""What tells whether a message is still what it was at the last save, edits in place included."""

from __future__ import annotations

import marshal
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any, TypeAlias

from ._times import Timestamp, format_time
from ._wire import MAX_DEPTH, WireModel, plain_fields
from .messages import CostInfo, Message

_Layout: TypeAlias = tuple[
    Callable[[Mapping[str, Any]], tuple[Any, ...]], Callable[[Mapping[str, Any]], tuple[Any, ...]]
]
_EMPTY = frozenset((type(None), list, dict))
_MOST = 100_000  # containers in one message
_LAYOUTS: dict[type, _Layout] = {}
"""Of each model, its fields of plain values and the others. A plain field keeps its type, so 1 is not True in it."""


def _layout(model: type[WireModel]) -> _Layout:
    plain = plain_fields(model)
    nested = [name for name in model.model_fields if name not in plain]
    layout = _LAYOUTS[model] = (_getter(plain), _getter(nested))
    return layout


def _getter(names: Sequence[str]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    if len(names) > 1:
        return itemgetter(*names)
    return lambda values: tuple(values[name] for name in names)


# The two models that every message of a long conversation has, spelled out: a save looks at each of them again.
_MESSAGE_PLAIN = itemgetter("role", "content", "latency_ms", "finish_reason")
_MESSAGE_NESTED = itemgetter("parts", "tool_calls", "tool_result", "reasoning", "meta", "validations")
_COST_PLAIN = itemgetter(*plain_fields(CostInfo))
_COST_NESTED = itemgetter(*(name for name in CostInfo.model_fields if name not in plain_fields(CostInfo)))


def fingerprint(message: object, *, careful: bool = False) -> Any:
    """A value that equals the fingerprint of the same message at another time, and of no other.

    It shares the texts of the message, which cannot change, and copies every container.
    Values that cannot be compared for sure never equal anything, so they are saved again.

    Args:
        message: As it is now.
        careful: Look first whether too much is in it for a copy.
    """
    try:
        if type(message) is not Message:
            return object() if careful and _is_vast(message) else _frozen(message, 0)
        values = message.__dict__
        cost, moment, extra = values["cost_info"], values["timestamp"], message.__pydantic_extra__
        nested = _MESSAGE_NESTED(values)
        if careful and (extra or any(nested)) and _is_vast([*nested, extra]):
            return object()
        return (
            _MESSAGE_PLAIN(values),
            moment if type(moment) is datetime and moment.tzinfo is UTC else _frozen(moment, 0),
            cost if cost is None else _frozen_cost(cost),
            [_frozen(value, 1) if value else None for value in nested] if any(nested) else None,
            _frozen(extra, 1) if extra else None,
        )
    except Exception:  # noqa: BLE001 - not made by validation, or something foreign put in its place
        return object()


def _is_vast(message: object) -> bool:
    """Whether more is in it than is worth a look: a few containers may each be there very often."""
    stack, left = [message], _MOST
    while stack and left > 0:
        item = stack.pop()
        if isinstance(item, WireModel):
            item = item.__dict__
        inner = item.values() if isinstance(item, dict) else item if isinstance(item, list | tuple) else ()
        held = [each for each in inner if isinstance(each, dict | list | tuple | WireModel)]
        left -= len(held)
        stack += held[:_MOST]
    return left <= 0


def _frozen_cost(cost: CostInfo) -> Any:
    values = cost.__dict__
    if type(cost) is not CostInfo or cost.__pydantic_extra__ or any(_COST_NESTED(values)):
        return _frozen(cost, 1)
    return _COST_PLAIN(values)


def _frozen(value: Any, depth: int) -> Any:
    kind = type(value)
    layout = _LAYOUTS.get(kind)
    if layout is not None:
        plain, nested = layout
        values = value.__dict__
        extra = value.__pydantic_extra__
        return (
            kind,
            plain(values),
            [_frozen(item, depth + 1) if item or type(item) not in _EMPTY else type(item) for item in nested(values)],
            _frozen(extra, depth + 1) if extra else None,
        )
    if kind is dict or kind is list or kind is tuple:
        if not value:
            return kind
        if kind is dict:
            try:
                # In C, and it tells 1, True and 1.0 apart. Version 2 is the last that
                # does not depend on who else holds a value.
                return marshal.dumps(value, 2)
            except ValueError:  # holds a time or something else that is no plain value
                pass
        if depth > MAX_DEPTH:  # deeper than is ever written; stops at cycles, too
            return object()
        if kind is dict:
            return [
                (key, item)
                if type(item) is str and type(key) is str
                else (_frozen(key, depth), _frozen(item, depth + 1))
                for key, item in value.items()
            ]
        return [item if type(item) is str else _frozen(item, depth + 1) for item in value]
    if kind is str or value is None or kind is bytes:
        return value
    if kind is int or kind is bool or kind is float:
        return (kind, value)  # 1, True and 1.0 are equal in Python and not in JSON
    if kind is datetime:
        # Equal times can be written differently: with another offset, with more digits.
        return value if value.tzinfo is UTC else (kind, value.isoformat())
    if kind is Timestamp:
        return (kind, format_time(value))
    if isinstance(value, WireModel):
        _layout(kind)
        return _frozen(value, depth)
    return object()


__all__ = ["fingerprint"]
