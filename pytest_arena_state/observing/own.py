"""One conversation, told twice: by the test itself and by what was captured."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .calls import Likeness, alike, filled, in_order, likeness

if TYPE_CHECKING:
    from ..messages import Message


def merged(own: Sequence[Message], captured: Sequence[Message]) -> list[Message] | None:
    """The test's messages, with what only the captured ones know; None when they are two conversations.

    They are one when everything that was said in one of them, instructions aside, was said in
    the other in the same order.
    """
    ours, theirs = [likeness(message) for message in own], [likeness(message) for message in captured]
    places: Sequence[int] = range(len(theirs))
    pairs = _paired(ours, theirs, range(len(ours)), places)
    by_captured = {other: one for one, other in pairs}
    if not pairs:
        # Tools that run at one time end in any order, which is not that of their calls.
        pairs = _paired(ours, theirs, in_order(ours), in_order(theirs))
        by_captured = {other: one for one, other in pairs}
        places = _as_own(theirs, by_captured)
    known = [by_captured[place] for place in places if place in by_captured]
    if not pairs or known != sorted(known):
        return None
    instructions = {entry for entry in ours if entry[0] == "system"}
    out: list[Message] = []
    at = 0
    for place in places:
        one, message = by_captured.get(place), captured[place]
        if one is not None:
            out += own[at:one]
            out.append(filled(own[one], message))
            at = one + 1
        elif theirs[place][0] != "system" or theirs[place] not in instructions:
            out.append(message)
    return [*out, *own[at:]]


def _as_own(theirs: Sequence[Likeness], by_captured: dict[int, int]) -> list[int]:
    """The places of what was captured, results of tools that follow each other as the test has them."""
    out = list(range(len(theirs)))
    for is_tool, run in itertools.groupby(range(len(theirs)), lambda place: theirs[place][0] == "tool"):
        places = list(run)
        if is_tool:
            asked = sorted(places, key=lambda place: (place not in by_captured, by_captured.get(place, 0)))
            out[places[0] : places[-1] + 1] = asked
    return out


def _paired(
    ours: Sequence[Likeness], theirs: Sequence[Likeness], order: Sequence[int], their_order: Sequence[int]
) -> list[tuple[int, int]]:
    """The places of those that say the same, when either says all of the other in some order; else none."""
    some, others = [ours[place] for place in order], [theirs[place] for place in their_order]
    pairs = _pairs(some, others) or _swapped(_pairs(others, some))
    return [(order[one], their_order[other]) for one, other in pairs]


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
