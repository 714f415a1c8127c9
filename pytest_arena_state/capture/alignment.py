"""What a list of messages adds to a conversation that is already known.

Clients repeat the history with every call, each in its own way: without usage, without
reasoning, cut at the start, with other instructions. Two messages are the same when the same
role said the same words, showed the same media, called the same tools with the same arguments
or returned the same results; white space, ids that were made up, and all telemetry aside. Two
answers with different ids of their responses are never the same; and in a list of several
messages, results are the same when they answer the same call, since clients shorten old ones.

Where nothing tells a repetition from somebody saying the same again, a list of several
messages is a repetition of the start, and a single message is one only of the last.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .._wire import jsonable
from .draft import UNPARSED_KEY

if TYPE_CHECKING:
    from ..messages import ContentPart, Message, ToolCall

MADE_UP = re.compile(r"call-\d+-")
#: How many messages in a row must repeat the start before a different end is taken for another end of the same.
_HISTORY = 2


@dataclass(frozen=True, slots=True)
class Alignment:
    """What a list of messages means beside those that are known."""

    new: list[Message]
    """Those to be appended."""
    enriched: dict[int, Message] = field(default_factory=dict)
    """By the place of a known message without usage: the given one that says the same with usage."""


def new_messages(known: Sequence[Message], given: list[Message]) -> list[Message]:
    """The messages that are to be appended to those that are known.

    They are copies, with ids and names of tools that follow from the whole conversation.
    """
    return align(known, given).new


def align(known: Sequence[Message], given: list[Message]) -> Alignment:
    """What a list of messages adds, and which known ones it says more about."""
    answers = _answers_open_call(known, given)
    if not answers and any(map(_lacks_id, given)):
        given = [message.model_copy(deep=True) for message in given]
        pair(given)
    known_body = [place for place, message in enumerate(known) if message.role != "system"]
    given_body = [place for place, message in enumerate(given) if message.role != "system"]
    by_call = len(given_body) > 1
    known_keys = [_key(message, by_call) for message in known]
    given_keys = [_key(message, by_call) for message in given]
    repeated = 0
    starts = 0
    if not answers:
        told = [(known_keys[place], known[place].meta.get("response_id")) for place in known_body]
        told_again = [(given_keys[place], given[place].meta.get("response_id")) for place in given_body]
        repeated, starts = _repeated(told, told_again)
        if starts or repeated < len(known_body):
            order = _in_known_order(told, told_again)
            shorter = min(len(known_body), len(given_body))
            if _repeated(told, [told_again[place] for place in order]) == (shorter, 0):
                given_body = [given_body[place] for place in order]
                repeated, starts = shorter, 0
    # Instructions do not move: the same ones are known wherever they stand.
    instructions = {key for key, message in zip(known_keys, known, strict=True) if message.role == "system"}
    spoken = set(given_body[repeated:])
    new: list[Message] = []
    for place, (key, message) in enumerate(zip(given_keys, given, strict=True)):
        if message.role == "system" and key not in instructions:
            instructions.add(key)
            new.append(message.model_copy(deep=True))
        elif place in spoken:
            new.append(message.model_copy(deep=True))
    forget_made_up(new)
    pair(new, known=known)
    pairs = zip(known_body[starts:], given_body[:repeated], strict=False)
    enriched = {
        old: given[again].model_copy(deep=True)
        for old, again in pairs
        if known[old].cost_info is None and given[again].cost_info is not None
    }
    return Alignment(new, enriched)


def repeats_the_last_or_nothing(given: Sequence[Message]) -> bool:
    """Whether the last known message that is no instruction tells all that `align` has to know."""
    if len(given) != 1 or given[0].role == "system" or given[0].tool_result is not None:
        return False
    return all(call.id and not MADE_UP.match(call.id) for call in given[0].tool_calls)


def _lacks_id(message: Message) -> bool:
    result = message.tool_result
    return any(not call.id for call in message.tool_calls) or (result is not None and not (result.id and result.name))


def pair(messages: Sequence[Message], *, known: Sequence[Message] = ()) -> None:
    """Give calls without an id one, and results the id and name of their call; edits the messages.

    A result without an id is that of the first unanswered call of its name, or of the first
    unanswered call at all when it has no name either.
    """
    names: dict[str, str] = {}
    waiting: list[ToolCall] = []
    calls = 0
    for place, message in enumerate((*known, *messages)):
        for call in message.tool_calls:
            calls += 1
            if not call.id and place >= len(known):
                _make_up_id(message, call, f"call-{calls}-{call.name}")
            names[call.id] = call.name
            waiting.append(call)
        result = message.tool_result
        if result is None:
            continue
        answered = next(
            (call for call in waiting if (call.id == result.id if result.id else result.name in ("", call.name))), None
        )
        if place >= len(known):
            if not result.id and answered is not None:
                result.id = answered.id
            if not result.name:
                result.name = names.get(result.id, "")
        if answered is not None:
            waiting.remove(answered)


def _make_up_id(message: Message, call: ToolCall, made_up: str) -> None:
    call.id = made_up
    unparsed = message.meta.get(UNPARSED_KEY)
    if isinstance(unparsed, list) and "" in unparsed and isinstance(call.args, str):
        unparsed[unparsed.index("")] = made_up


def forget_made_up(messages: Sequence[Message]) -> None:
    """Ids that were made up count from the start of a list; here that is not the conversation's."""
    for message in messages:
        for call in message.tool_calls:
            if MADE_UP.match(call.id):
                unparsed = message.meta.get(UNPARSED_KEY)
                if isinstance(unparsed, list) and call.id in unparsed:
                    unparsed[unparsed.index(call.id)] = ""
                call.id = ""
        if message.tool_result is not None and MADE_UP.match(message.tool_result.id):
            message.tool_result.id = ""


def _answers_open_call(known: Sequence[Message], given: Sequence[Message]) -> bool:
    """The list begins with the result of a call that is known and has none yet."""
    first = next((message for message in given if message.role != "system"), None)
    if first is None or first.tool_result is None:
        return False
    wanted = first.tool_result
    answered = {message.tool_result.id for message in known if message.tool_result is not None}
    waiting = [call for message in known for call in message.tool_calls if call.id not in answered]
    return any(call.id == wanted.id if wanted.id else wanted.name in ("", call.name) for call in waiting)


_Told = tuple[str, Any]
"""A message's key, and the id of its response where it has one."""


def _repeated(known: Sequence[_Told], given: Sequence[_Told]) -> tuple[int, int]:
    """How many messages at the start of those given are known already, and where these begin."""
    shared = 0
    while shared < len(known) and shared < len(given) and _same(known[shared], given[shared]):
        shared += 1
    if shared == len(known):
        return shared, 0  # the history, perhaps grown
    overlap = _overlap([key for key, _ in known], [key for key, _ in given])
    if overlap and all(map(_same, known[-overlap:], given)):
        return overlap, len(known) - overlap  # the history, cut at its start
    if shared >= _HISTORY or (shared and len(given) > len(known)):
        return shared, 0  # the history with another end, or an earlier state of it
    return 0, 0


def _in_known_order(known: Sequence[_Told], given: Sequence[_Told]) -> list[int]:
    """The places of those given, results of tools that follow each other in the order in which they are known.

    Tools that run at one time end in any order, and a history has their results in that of the calls.
    """
    out = list(range(len(given)))
    at = 0
    while at < min(len(known), len(given)):
        waiting = list(itertools.takewhile(lambda place: _of_a_tool(given[place]), range(at, len(given))))
        ended = len(waiting)
        first: list[int] = []
        for told in itertools.takewhile(_of_a_tool, known[at : at + ended]):
            found = next((place for place in waiting if _same(told, given[place])), None)
            if found is not None:
                waiting.remove(found)
                first.append(found)
        out[at : at + ended] = [*first, *waiting]
        at += max(ended, 1)
    return out


def _of_a_tool(told: _Told) -> bool:
    return told[0].startswith('["tool"')


def _same(known: _Told, given: _Told) -> bool:
    ids = known[1], given[1]
    return known[0] == given[0] and not (all(ids) and ids[0] != ids[1])


def _overlap(known: list[str], given: list[str]) -> int:
    """The longest end of the known that is the start of the given; time and space are linear."""
    text: list[str | None] = [*given, None, *known]
    border = [0] * len(text)
    for place in range(1, len(text)):
        length = border[place - 1]
        while length and text[place] != text[length]:
            length = border[length - 1]
        border[place] = length + (text[place] == text[length])
    return border[-1]


def _key(message: Message, by_call: bool = False) -> str:
    result = message.tool_result
    if by_call and result is not None and _real(result.id):
        return json.dumps([message.role, result.id])
    facts: list[Any] = [
        message.role,
        " ".join(message.text.split()),
        [_media(part) for part in message.parts if part.type != "text"],
        [[_real(call.id), call.name, jsonable(call.args)] for call in message.tool_calls],
    ]
    if result is not None:
        facts += [_real(result.id), [_media(part) for part in result.parts if part.type != "text"]]
    return json.dumps(facts, sort_keys=True)


def _real(id: str) -> str:
    return "" if MADE_UP.match(id) else id


def _media(part: ContentPart) -> list[str | None]:
    media = part.media
    if media is None:
        return [part.type]
    return [part.type, media.data or media.url or media.storage_reference or media.file_path]
