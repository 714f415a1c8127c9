"""One conversation, told twice: by the test itself and by what was captured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .calls import Likeness, alike, filled, likeness

if TYPE_CHECKING:
    from ..messages import Message


def merged(own: Sequence[Message], captured: Sequence[Message]) -> list[Message] | None:
    """The test's messages, with what only the captured ones know; None when they are two conversations.

    They are one when everything that was said in one of them, instructions aside, was said in
    the other in the same order.
    """
    ours, theirs = [likeness(message) for message in own], [likeness(message) for message in captured]
    pairs = _pairs(ours, theirs) or _swapped(_pairs(theirs, ours))
    if not pairs:
        return None
    instructions = {entry for entry in ours if entry[0] == "system"}
    out: list[Message] = []
    at = 0
    by_captured = {other: one for one, other in pairs}
    for place, message in enumerate(captured):
        one = by_captured.get(place)
        if one is not None:
            out += own[at:one]
            out.append(filled(own[one], message))
            at = one + 1
        elif theirs[place][0] != "system" or theirs[place] not in instructions:
            out.append(message)
    return [*out, *own[at:]]


def _pairs(some: Sequence[Likeness], others: Sequence[Likeness]) -> list[tuple[int, int]]:
    """Each message of some, instructions aside, with its place in the others; none when one is missing."""
    found: list[tuple[int, int]] = []
    at = 0
    for place, entry in enumerate(some):
        if entry[0] == "system":
            continue
        while at < len(others) and not _says(entry, others[at]):
            at += 1
        if at == len(others):
            return []
        found.append((place, at))
        at += 1
    return found


def _swapped(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return [(other, one) for one, other in pairs]


def _says(one: Likeness, other: Likeness) -> bool:
    # Who writes results down by hand gives them ids of their own.
    return alike(one, other) or (one[0] == "tool" == other[0] and one[-1] == other[-1])
