"""`Source`: what a source of conversations is, built in or from another package.

A source sees plain data (dicts, lists, text; see `plain`), one item of a list at a time when
it is asked whether an item is its own, and a row of its items when it reads them. It need not
make ids up, name tool results or remove repetitions: that is done for all sources alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..messages import Message

#: Entry-point group under which other packages add sources.
ENTRY_POINT_GROUP = "pytest_arena_state.sources"


class Claim(IntEnum):
    """How sure a source is that an item is its own."""

    NO = 0
    MAYBE = 1
    """It can read the item, which has no mark of any source: ``{"role": "user", "content": "hi"}``."""
    SURE = 2
    """The item bears a mark that only this source has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Recognises the objects of one library by their shape, and reads them.

    Another package adds one through the entry-point group ``pytest_arena_state.sources``;
    it is asked only about what no built-in source recognises, or when ``source=`` names it.
    """

    name: str
    claims: Callable[[Any], Claim]
    """Whether an item, as plain data, is of this source."""
    read: Callable[[list[Any]], list[Message]]
    """The messages of a row of items. Whatever it raises is reported as not recognised."""
    opens: Callable[[object], object | None] | None = None
    """What an object that is no item itself holds: items, or an object to look at in turn; else None."""
    joins: Callable[[list[Any]], list[Any] | None] | None = None
    """The items that the chunks of a stream, as plain data, amount to; None when they are not of this source."""
