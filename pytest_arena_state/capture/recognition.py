"""Whose is this: from any object to rows of items, each row with the source that reads it.

The built-in sources are asked first, about all items together, because an item without a mark
belongs to whom its neighbours belong. Sources of other packages are loaded only when nobody
built in recognises an item, or when one is asked for by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from .._text import shortened
from ..errors import UnrecognisedSourceError
from ..messages import Message
from . import anthropic, arena, google_genai, langchain, mcp, openai_chat, openai_responses, otel, pydantic_ai
from .plain import attribute, plain
from .source import ENTRY_POINT_GROUP, Claim, Source

#: In the order in which they are asked: whoever comes first reads what has no mark.
BUILT_IN: tuple[Source, ...] = (
    arena.SOURCE,
    openai_chat.SOURCE,
    anthropic.SOURCE,
    openai_responses.SOURCE,
    google_genai.SOURCE,
    langchain.SOURCE,
    pydantic_ai.SOURCE,
    otel.SOURCE,
    mcp.SOURCE,
)
AUTO = "auto"
_DEPTH = 4  # objects in objects: a result in an event in a list, and one to spare
_ITEM_KEYS = frozenset(("role", "object", "kind", "choices", "candidates", "type"))


def source_names() -> tuple[str, ...]:
    """The names of all sources, sorted; other packages' are not loaded for it."""
    return tuple(sorted({source.name for source in BUILT_IN} | {entry.name for entry in _entry_points()}))


def find_sources(name: str, seen: object) -> tuple[Source, ...]:
    """The sources to ask at first: all that are built in for ``auto``, else the one of that name.

    Raises:
        UnrecognisedSourceError: There is no source of that name, or it cannot be loaded.
    """
    if name == AUTO:
        return BUILT_IN
    for source in BUILT_IN:
        if source.name == name:
            return (source,)
    problems: list[str] = []
    found = tuple(_loaded(name, problems))
    if not found:
        raise unrecognised(seen, "; ".join(problems) or f"there is no source {name!r}")
    return found[:1]


def other_sources(problems: list[str]) -> tuple[Source, ...]:
    """The sources of other packages; ``problems`` gets a line for each that cannot be loaded."""
    return tuple(_loaded(None, problems))


def _entry_points() -> list[EntryPoint]:
    return sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda entry: (entry.name, entry.value))


def _loaded(name: str | None, problems: list[str]) -> Iterator[Source]:
    for entry in _entry_points():
        if name not in (None, entry.name):
            continue
        try:
            source = entry.load()
        except Exception as error:  # noqa: BLE001 - somebody's module; the others still work
            problems.append(f"source {entry.name!r} ({entry.value}) cannot be loaded: {shortened(error)}")
            continue
        if isinstance(source, Source):
            yield source
        else:
            problems.append(f"source {entry.name!r} ({entry.value}) is not a Source but {shortened(source)}")


def unrecognised(seen: object, problem: str = "") -> UnrecognisedSourceError:
    """The error that shows what was seen and lists the sources."""
    return UnrecognisedSourceError(shortened(seen), source_names(), problem)


# --- items -------------------------------------------------------------------------------


def items_of(value: object, sources: tuple[Source, ...]) -> list[Any]:
    """The items that an object holds, as plain data."""
    return _items_of(value, sources, _DEPTH)


def _items_of(value: Any, sources: tuple[Source, ...], depth: int) -> list[Any]:
    if value is None or isinstance(value, str | bytes | int | float) or depth == 0:
        return [plain(value)]
    if isinstance(value, list | tuple):
        return [item for entry in value for item in _items_of(entry, sources, depth - 1)]
    if isinstance(value, Message):
        return [value]
    for source in sources:
        opened = _opened(source, value)
        if opened is not None:
            # What an object opens to may look like it, so it is not opened by the same source again.
            rest = tuple(other for other in sources if other is not source) if not isinstance(opened, list) else sources
            return _items_of(opened, rest, depth - 1)
    held = _held(value)
    if held is not None:
        return _items_of(held, sources, depth - 1)
    return [plain(value)]


def _opened(source: Source, value: object) -> object | None:
    if source.opens is None:
        return None
    try:
        return source.opens(value)
    except Exception:  # noqa: BLE001 - a foreign object may raise anything
        return None


def _held(value: object) -> list[Any] | None:
    """The messages in a request, a graph's state, or its updates by node."""
    if isinstance(value, Mapping):
        if _ITEM_KEYS & value.keys():
            return None
        messages = value.get("messages")
        if isinstance(messages, list | tuple):
            system = value.get("system")
            told = [{"role": "system", "content": system}] if isinstance(system, str | list) and system else []
            return [*told, *messages]
        updates = [entry for entry in value.values() if entry is not None]
        states = all(isinstance(entry, Mapping) and "messages" in entry for entry in updates)
        return updates if updates and states else None
    if attribute(value, "role") is not None or attribute(value, "kind") is not None:
        return None
    messages = attribute(value, "messages")
    return [*messages] if isinstance(messages, list | tuple) else None


# --- rows --------------------------------------------------------------------------------


def rows(items: list[Any], sources: tuple[Source, ...]) -> list[tuple[Source, list[Any]]] | int:
    """Rows of items with their source, or the place of the first item that nobody recognises."""
    claims = [[claim(source, item) for item in items] for source in sources]
    whole = max(
        (place for place, made in enumerate(claims) if all(made)),
        key=lambda place: (claims[place].count(Claim.SURE), -place),
        default=None,
    )
    if whole is not None:
        return [(sources[whole], items)]
    found: list[tuple[Source, list[Any]]] = []
    for number, item in enumerate(items):
        best = max(made[number] for made in claims) if claims else Claim.NO
        if best is Claim.NO:
            return number
        able = [source for source, made in zip(sources, claims, strict=True) if made[number] is best]
        if found and found[-1][0] in able:
            found[-1][1].append(item)
        else:
            found.append((able[0], [item]))
    return found


def claim(source: Source, item: Any) -> Claim:
    """How sure a source is of an item; one that fails is not."""
    try:
        return Claim(source.claims(item))
    except Exception:  # noqa: BLE001 - another package's source may raise anything
        return Claim.NO
