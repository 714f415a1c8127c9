"""What was recognised of messages before: histories repeat them with every call.

A message is known by its content and not by its identity, since it may be edited in place, and
since another one may come to stand where it stood in memory.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ..capture.alignment import MADE_UP
from .calls import Likeness, likeness

if TYPE_CHECKING:
    from ..messages import Message

_NO_REFERENCES = 2  # the last version in which equal values are equal bytes, whoever else holds them

Remembered = tuple["Message", Likeness]


class Memory:
    """The messages that were recognised in one test; they are shared, and nobody may edit them."""

    def __init__(self) -> None:
        self._known: dict[bytes, list[Remembered]] = {}

    def history(
        self, items: Iterable[tuple[Any, Any]], read: Callable[[Any], list[Message]]
    ) -> list[Remembered] | None:
        """The messages of a history, with what they say.

        Args:
            items: Each with all that it holds, as plain data.
            read: Gives the messages of one item.

        Returns:
            None when the history can only be understood as a whole.
        """
        found: list[Remembered] = []
        for item, content in items:
            try:
                key = marshal.dumps(content, _NO_REFERENCES)
            except ValueError:
                key = b""  # it holds objects, which may change in ways that nobody sees
            known = self._known.get(key)
            if known is None:
                known = [(message, likeness(message)) for message in read(item)]
                if any(_needs_its_place(message) for message, _says in known):
                    return None
                if key:
                    self._known[key] = known
            found += known
        return found


def _needs_its_place(message: Message) -> bool:
    """It has no id that tells which call it is or answers."""
    result = message.tool_result
    ids = [call.id for call in message.tool_calls] + ([result.id] if result is not None else [])
    return any(not id or MADE_UP.match(id) for id in ids)
