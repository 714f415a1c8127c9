"""What expectations look for in a conversation: whether it is there, and how to tell of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from ._text import plural, printable, shortened
from ._wire import dumps, jsonable
from .errors import ConfigurationError

if TYPE_CHECKING:
    from .messages import Message, ToolCall

Pattern: TypeAlias = str | re.Pattern[str]
#: What arguments must be: a value for each name; see `Expectations.called`.
Args: TypeAlias = Mapping[str, Any] | Callable[[Any], object]

_ROLES = ("assistant", "system", "tool", "user")
_SHOWN = 12  # turns in a message
_WIDTH = 100  # characters of a turn


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call, and where it is."""

    call: ToolCall
    place: int
    """Of its message, from 0."""


# --- looking -----------------------------------------------------------------------------------


def calls_in(messages: Sequence[Message]) -> list[Call]:
    """The calls of tools, in order."""
    return [Call(call, place) for place, message in enumerate(messages) for call in message.tool_calls]


def spoken_in(messages: Sequence[Message], role: str | None) -> list[int]:
    """The places of the messages that a role wrote, or anybody, with text in them.

    Raises:
        ConfigurationError: There is no such role.
    """
    # One that is misspelt has never said anything, and what it must not say would hold.
    if role is not None and role not in _ROLES and all(message.role != role for message in messages):
        raise ConfigurationError(f"role is one of {', '.join(_ROLES)}, or None for anybody, not {shortened(role)}")
    return [i for i, message in enumerate(messages) if role in (None, message.role) and message.text]


def matches(call: ToolCall, tool: str, args: Args | None) -> bool:
    """Whether a call is of this tool and has these arguments."""
    return call.name == tool and (args is None or _fits(call.args, args))


def _fits(there: Any, wanted: Any) -> bool:
    if wanted is ...:
        return True
    if isinstance(wanted, Mapping):
        return isinstance(there, Mapping) and all(
            key in there and _fits(there[key], value) for key, value in wanted.items()
        )
    if isinstance(wanted, re.Pattern):
        return isinstance(there, str) and wanted.search(there) is not None
    if isinstance(wanted, type):
        return isinstance(there, wanted)
    if callable(wanted) and not _compares(wanted):
        return bool(wanted(there))
    # What is there went through JSON, and a tuple, a date or a member of an enum is itself no more.
    return bool(there == wanted) or there == jsonable(wanted)


def _compares(value: object) -> bool:
    # What is made to be compared is compared, though it may be callable, too.
    return type(value).__eq__ is not object.__eq__


def check_limit(name: str, limit: object, unit: str) -> None:
    """Refuse what is no limit: nothing is more than a NaN, and a bool is a mistake.

    Raises:
        ConfigurationError: Says what was wanted.
    """
    if limit is not None and (
        isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 <= limit < float("inf")
    ):
        raise ConfigurationError(f"{name} is {unit}, a number from 0 up, not {shortened(limit)}")


# --- telling -----------------------------------------------------------------------------------


def shown_tool(tool: object) -> str:
    """A tool's name, short and safe on a terminal.

    Raises:
        ConfigurationError: It is none.
    """
    if not isinstance(tool, str):
        raise ConfigurationError(f"a tool is wanted by its name, a str, not {shortened(tool)}")
    return printable(tool, 60)


def how_often(times: int) -> str:
    """``once``, ``twice``, ``3 times``."""
    return {1: "once", 2: "twice"}.get(times, f"{times} times")


def told(wanted: Any) -> Any:
    """What was wanted, as JSON can have it."""
    if isinstance(wanted, Mapping):
        return {str(key): told(value) for key, value in wanted.items()}
    if wanted is ...:
        return "..."
    if isinstance(wanted, re.Pattern):
        return f"/{wanted.pattern}/"
    if callable(wanted) and not _compares(wanted):
        return getattr(wanted, "__name__", "a function")
    return jsonable(wanted)


def told_args(args: Args | None) -> str:
    """Arguments that were wanted, in brackets; nothing where none were."""
    return "" if args is None else f"({printable(_compact(told(args)), _WIDTH)})"


def _compact(value: Any) -> str:
    return dumps(jsonable(value)).decode("utf-8")


def text_of(pattern: Pattern) -> str:
    """A pattern as it was written."""
    return pattern if isinstance(pattern, str) else pattern.pattern


def speaker(role: str | None) -> str:
    """A role, as a sentence has it."""
    return "anybody" if role is None else f"the {printable(role, 20)}"


def shown_pattern(pattern: Pattern) -> str:
    """A pattern, short and safe on a terminal."""
    return f"/{printable(text_of(pattern), _WIDTH)}/"


def violation(each: Call, description: str) -> dict[str, Any]:
    """Where a call broke an expectation, as assertions have it."""
    return {
        "turn_index": each.place,
        "description": description,
        "evidence": {"tool": each.call.name, "args": each.call.args},
    }


def shown(messages: Sequence[Message], places: set[int], nothing: str = "") -> str:
    """The turns at some places, the last ones if there are many."""
    if not places:
        return f"\n  {nothing}" if nothing else ""
    chosen = sorted(places)[-_SHOWN:]
    left_out = [f"  … {plural(len(places) - len(chosen), 'earlier message')}"] if len(places) > len(chosen) else []
    return "\n" + "\n".join([*left_out, *(_line(place, messages[place]) for place in chosen)])


def _line(place: int, message: Message) -> str:
    calls = [f"{call.name}({_compact(call.args)})" for call in message.tool_calls]
    said = " ".join(message.text.split())
    return f"  {place + 1} {printable(message.role, 20)}: {printable(' '.join(filter(None, [said, *calls])), _WIDTH)}"


__all__ = [
    "Args",
    "Call",
    "Pattern",
    "calls_in",
    "check_limit",
    "how_often",
    "matches",
    "shown",
    "shown_pattern",
    "shown_tool",
    "speaker",
    "spoken_in",
    "text_of",
    "told",
    "told_args",
    "violation",
]
