"""`from_messages` and `collect`: from what a library gives to messages of ours."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .._text import shortened
from .alignment import new_messages, pair
from .draft import UNMAPPED_KEY
from .plain import plain
from .recognition import AUTO, claim, find_sources, items_of, other_sources, rows, unrecognised
from .shape import mapping, text
from .source import Claim

if TYPE_CHECKING:
    from ..messages import Message
    from .source import Source


def from_messages(obj: object, source: str = AUTO, *, tool_call_id: str = "", tool_name: str = "") -> list[Message]:
    """The messages of a response, a message, a list of them, a result, a state or a request.

    What it is is told by its shape; no library is imported. Times, costs and latencies are
    those that the object knows, and nothing is made up: a message of unknown time has none.

    Args:
        obj: What a library gave, as objects or as their dumps; lists may mix libraries.
        source: The name of a source, to read the object as its own whatever it looks like.
        tool_call_id: For a result that does not know its call, such as MCP's.
        tool_name: The same.

    Raises:
        UnrecognisedSourceError: Nobody recognises it; says what was seen and lists the sources.
    """
    sources = find_sources(source, obj)
    problems: list[str] = []
    try:
        messages = _read(obj, sources, problems, forced=source != AUTO)
    except _NotReadError as failed:
        if source != AUTO:
            raise unrecognised(failed.seen, failed.problem) from failed.__cause__
        others = other_sources(problems)
        if not others:
            raise unrecognised(failed.seen, "; ".join([failed.problem, *problems])) from failed.__cause__
        try:
            # The built-in ones stay in, for lists that mix.
            messages = _read(obj, (*sources, *others), problems, forced=False)
        except _NotReadError as again:
            raise unrecognised(again.seen, "; ".join([again.problem, *problems])) from again.__cause__
    for message in messages:
        result = message.tool_result
        if result is not None:
            result.id, result.name = result.id or tool_call_id, result.name or tool_name
    pair(messages)
    return messages


def collect(chunks: Iterable[object], source: str = AUTO) -> list[Message]:
    """The messages that the chunks or events of a stream amount to.

    A stream that was cut off gives what arrived. Chunks that are messages or states of their
    own, such as a graph's ``values``, are read one after the other without repetitions.

    Raises:
        UnrecognisedSourceError: Nobody recognises the chunks.
    """
    given = list(chunks)
    sources = find_sources(source, given)
    pieces = [plain(chunk) for chunk in given]
    for candidate in sources:
        if candidate.joins is None:
            continue
        try:
            items = candidate.joins(pieces)
            messages = None if items is None else candidate.read(items)
        except Exception as error:
            if source != AUTO:
                raise unrecognised(given, shortened(error)) from error
            continue
        if messages is not None:
            pair(messages)
            return messages
    found: list[Message] = []
    for chunk in given:
        found += new_messages(found, from_messages(chunk, source))
    return found


def unmapped(messages: Iterable[Message]) -> dict[str, int]:
    """How many parts had no field and stay in ``meta``, by their kind, sorted."""
    counts: dict[str, int] = {}
    for message in messages:
        parts = message.meta.get(UNMAPPED_KEY)
        for part in parts if isinstance(parts, list) else ():
            kind = next((kind for key in ("type", "part_kind", "kind") if (kind := text(mapping(part).get(key)))), "")
            counts[kind or "unknown"] = counts.get(kind or "unknown", 0) + 1
    return dict(sorted(counts.items()))


def told_unmapped(messages: Iterable[Message]) -> list[str]:
    """A line for each part that had no field, for whoever counts troubles."""
    return [
        f"a part of kind {shortened(kind)} has no field of its own and is kept in its message's meta"
        for kind, count in unmapped(messages).items()
        for _ in range(count)
    ]


def _says_something(message: Message) -> bool:
    """Whether a message that was read by force holds what it was read for."""
    result = message.tool_result
    said = message.content or message.parts or message.tool_calls or message.reasoning or UNMAPPED_KEY in message.meta
    answered = message.role == "assistant" and (message.finish_reason or message.cost_info)
    return bool(message.role and (said or answered or (result and (result.id or result.name or result.error))))


class _NotReadError(Exception):
    def __init__(self, seen: object, problem: str) -> None:
        super().__init__(problem)
        self.seen = seen
        self.problem = problem


def _read(obj: object, sources: tuple[Source, ...], problems: list[str], *, forced: bool) -> list[Message]:
    try:
        items = items_of(obj, sources)
    except Exception as error:
        raise _NotReadError(obj, shortened(error)) from error
    found: Any = [(sources[0], items)] if forced else rows(items, sources)
    if isinstance(found, int):
        where = f"nobody recognises item {found + 1} of {len(items)}" if len(items) > 1 else ""
        raise _NotReadError(items[found] if len(items) > 1 else obj, where)
    messages: list[Message] = []
    for source, row in found:
        try:
            read = source.read(row)
        except Exception as error:
            raise _NotReadError(row, f"{source.name} cannot read it: {shortened(error)}") from error
        strange = forced and any(claim(source, item) is Claim.NO for item in row)
        if strange and not (read and all(map(_says_something, read))):
            raise _NotReadError(obj, f"{source.name} finds nothing in it")
        messages += read
    return messages
