"""Calls that repeat their history, folded back into the threads of a conversation.

A call goes on with a thread when its history begins with all of the thread, when the history
is the thread's end (clients cut old messages off), when it begins with the results of the
thread's last tool calls, or when it names one of its responses. Otherwise it begins a new thread: so
two equal questions, asked independently, are two conversations.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..capture.alignment import MADE_UP, forget_made_up, pair
from .calls import (
    UNTOLD_KEY,
    Call,
    Execution,
    Likeness,
    alike,
    all_alike,
    canonical,
    filled,
    in_order,
    joined,
    likeness,
    uncounted,
)

if TYPE_CHECKING:
    from ..messages import Message, ToolCall, ToolResult

ERROR_KEY = "call_error"
"""In the meta of the last message of a call that failed: why."""


Shared = list[tuple[int, int]]
"""What a thread has of a call's history: places in the thread, with those in the history, instructions aside."""


@dataclass(eq=False)
class Thread:
    """The messages of one conversation, in order."""

    messages: list[Message] = field(default_factory=list)
    likenesses: list[Likeness] = field(default_factory=list)
    said: set[Likeness] = field(default_factory=set)
    """All that is among them, or was: most threads of a test with many are no matter for a call."""
    response_ids: set[str] = field(default_factory=set)
    """And of the conversation, where the provider keeps it."""
    told: set[int] = field(default_factory=set)
    """The places of answers whose own call was told; others are known from histories."""
    executed: dict[int, set[str]] = field(default_factory=dict)
    """By the place of a tool's result, the doors that told of its execution."""
    began: int = 0
    """When the last of its calls began."""
    id: str = ""
    """Where in the store it is; empty when it is not there yet."""
    answered: bool = False
    """A model's answer is among its messages."""
    of_parent: int = 0
    """How many of its messages the process recorded that this one was forked of, and may go on from."""

    def body(self) -> list[int]:
        """The places of all that is no instruction: instructions change, and do not move."""
        return [place for place, entry in enumerate(self.likenesses) if entry[0] != "system"]

    def append(self, message: Message) -> int:
        """Put a message at the end; returns its place."""
        self.messages.append(message)
        self.likenesses.append(likeness(message))
        self.said.add(self.likenesses[-1])
        self.answered = self.answered or message.role == "assistant"
        return len(self.messages) - 1

    def replace(self, place: int, message: Message) -> None:
        """Put a message in the place of another."""
        self.messages[place] = message
        self.likenesses[place] = likeness(message)
        self.said.add(self.likenesses[place])

    def part(self) -> None:
        """Go on beside the parent, in a forked child: as another conversation, which counts nothing twice."""
        for place in range(self.of_parent):
            self.messages[place] = self.messages[place].model_copy(deep=True)
            uncounted(self.messages[place])
        self.id, self.of_parent = "", 0

    def has_from(self, door: str, place: int) -> bool:
        """Whether a door told of the execution that a tool's result is from."""
        return door in self.executed.get(place, ())

    def tail(self) -> int:
        """How many results of tools stand at the end."""
        return next((at for at, entry in enumerate(reversed(self.likenesses)) if entry[0] != "tool"), 0)

    def open_calls(self) -> list[ToolCall]:
        """The tool calls that have no result yet; each use of an id is a call of its own."""
        waiting: list[ToolCall] = []
        for message in self.messages:
            waiting += message.tool_calls
            result = message.tool_result
            if result is not None:
                answered = next((call for call in waiting if call.id == result.id), None)
                if answered is not None:
                    waiting.remove(answered)
        return waiting

    def goes_on_with(self, call: Call, history: Sequence[Likeness]) -> Shared | None:
        """What the thread has of a call's history, instructions aside; None when it is not of it."""
        named = not self.response_ids.isdisjoint((call.follows, call.conversation))
        if history and history[0][0] == "user" and history[0] not in self.said and not named:
            return None
        places = self.body()
        own = [self.likenesses[place] for place in places]
        if not own:
            return None
        if len(own) <= len(history) and all_alike(own, history[: len(own)]):
            return _shared(places, own, history)
        told = len(own) - self.tail()
        if 0 < told < min(len(own), len(history)) and all_alike(own[:told], history[:told]):
            # Of the tools, some were executed here, and others answered by whoever stopped them.
            executed = self._ended_with(history[told:])
            if len(executed) == len(own) - told:
                return _shared(places[:told], own[:told], history) + [(place, told + at) for place, at in executed]
        for size in range(min(len(own), len(history)), 0, -1):
            end = own[-size:]
            # A question alone may be asked again by somebody else; with an answer in it, it is the thread.
            answered = any(entry[0] == "assistant" for entry in end)
            if answered and alike(end[0], history[0]) and all_alike(end, history[:size]):
                return _shared(places[-size:], end, history)
        executed = self._ended_with(history) if history and history[0][0] == "tool" else []
        if executed or named:
            return executed
        first = history[0] if history else ("",)
        asked = first[0] == "tool" and first[1] and any(call.id == first[1] for call in self.open_calls())
        return [] if asked else None

    def in_turns(self, history: Sequence[Message]) -> list[Message]:
        """A history, with those neighbouring answers as one that are one here: some tell a turn piece by piece."""
        out = list(history)
        at = 0
        for place in self.body():
            while at < len(out) and out[at].role == "system":
                at += 1
            if at == len(out):
                break
            entry, whole, end = self.likenesses[place], out[at], at + 1
            while not alike(entry, likeness(whole)):
                if end == len(out) or not whole.role == out[end].role == "assistant":
                    return out
                whole = joined(whole, out[end])
                end += 1
            out[at:end] = [whole]
            at += 1
        return out

    def _ended_with(self, history: Sequence[Likeness]) -> Shared:
        """The results at the end that a history begins with: tools were executed, and the model is told of it alone."""
        places = range(len(self.messages) - self.tail(), len(self.messages))
        waiting = {self.likenesses[place][1]: place for place in places if self.likenesses[place][1]}
        told = itertools.takewhile(lambda entry: entry[0] == "tool", history)
        return [(waiting.pop(entry[1]), at) for at, entry in enumerate(told) if entry[1] in waiting]

    def misses(self, call: Call, said: Sequence[Likeness]) -> list[int]:
        """The places of a call's answers, where a later call told of them first; a library may tell late."""
        if not 0 < call.started < self.began:
            return []
        places = self.body()[: len(said)]
        answers = places[len(places) - len(call.answers) :]
        known = [self.likenesses[place] for place in places]
        return answers if self.told.isdisjoint(answers) and all_alike(known, said) else []


Place = tuple[Thread, int]
"""A thread, and which of its messages."""


@dataclass(frozen=True)
class Folded:
    """What a call or an execution changed."""

    thread: Thread
    places: list[int]
    """The messages of the thread that are new or different."""
    answers: list[int]
    """Those that the model gave."""
    new: list[int] = field(default_factory=list)
    """Those that nobody told before."""


class Threads:
    """The threads of one test."""

    def __init__(self) -> None:
        self.all: list[Thread] = []
        self._unanswered: list[Thread] = []
        """Those without an answer, and maybe some more."""
        self._began = 0
        """When the last of all their calls began."""

    def take(self, call: Call) -> Folded:
        """Fold a call into the thread that it goes on with, or begin one."""
        history = call.says or [likeness(message) for message in call.history]
        body = [entry for entry in history if entry[0] != "system"]
        said = [*body, *map(likeness, call.answers)]
        for candidate in self.all if call.answers and call.started < self._began else ():
            answers = candidate.misses(call, said)
            if answers:
                for place, answer in zip(answers, call.answers, strict=True):
                    candidate.replace(place, filled(answer, candidate.messages[place]))
                candidate.told.update(answers)
                return Folded(candidate, answers, answers, answers)
        sent, shared = call.history, Shared()
        thread: Thread | None = None
        candidates = self.all
        named = call.follows or call.conversation
        if body and body[0][0] == "user" and not named and all(entry[0] != "assistant" for entry in body):
            # Some tests ask thousands of questions on their own: these go on with nothing that was answered.
            self._unanswered = candidates = [each for each in self._unanswered if not each.answered]
        for candidate in candidates:
            found = candidate.goes_on_with(call, body)
            if found is not None and (thread is None or len(found) > len(shared)):
                thread, shared = candidate, found
        if thread is None and any(one.role == two.role == "assistant" for one, two in itertools.pairwise(sent)):
            for candidate in self.all:
                turns = candidate.in_turns(call.history)
                found = candidate.goes_on_with(call, [likeness(turn) for turn in turns if turn.role != "system"])
                if found is not None and len(found) > len(shared):
                    thread, shared, sent = candidate, found, turns
            history = [likeness(message) for message in sent]
        if thread is None:
            thread = Thread()
            self.all.append(thread)
            self._unanswered.append(thread)
        spoken = [message for message in sent if message.role != "system"]
        places = _reconsider(thread, shared, spoken)
        instructions = [entry for entry in thread.likenesses if entry[0] == "system"]
        new: list[Message] = []
        known = {at for _place, at in shared}
        at = -1
        for entry, message in zip(history, sent, strict=True):
            if entry[0] == "system":
                if entry not in instructions:
                    instructions.append(entry)
                    new.append(message.model_copy(deep=True))
                continue
            at += 1
            if at not in known:
                new.append(message.model_copy(deep=True))
        for message in new:
            if message.cost_info is not None and self._stands_elsewhere(message, thread):
                uncounted(message)
        count = len(new)
        new += call.answers
        forget_made_up(new)
        pair(new, known=thread.messages)
        if call.error and new:
            new[-1].meta[ERROR_KEY] = call.error
        thread.response_ids |= call.response_ids | {call.conversation} - {""}
        thread.began = max(thread.began, call.started)
        self._began = max(self._began, call.started)
        appended = [thread.append(message) for message in new]
        thread.told.update(appended[count:])
        return Folded(thread, places + appended, appended[count:], appended)

    def _stands_elsewhere(self, message: Message, thread: Thread) -> bool:
        """Whether another thread has an answer of a history, and counts what it took."""
        entry, id = likeness(message), message.meta.get("message_id")
        return any(
            one.cost_info is not None and known == entry and (not id or one.meta.get("message_id") in (None, id))
            for other in self.all
            if other is not thread
            for known, one in zip(other.likenesses, other.messages, strict=True)
        )

    def execute(self, execution: Execution) -> Folded | None:
        """Put a tool's result behind the call that asked for it; None when nobody did so far.

        Of several executions of one call, the last has its result.
        """
        message = execution.message
        result = message.tool_result
        assert result is not None
        asked, answered = self._asked(execution), self._answered(execution)
        if asked is not None and answered is not None:
            # In the thread itself, an id that waits is used anew. In another one it may be anybody's.
            same = canonical(_result(answered).content) == canonical(result.content)
            if asked[0] is answered[0] or answered[0].has_from(execution.door, answered[1]) or not same:
                answered = None
        if answered is not None:
            thread, place = answered
            known = thread.messages[place]
            again = thread.has_from(execution.door, place) and not execution.mute
            thread.replace(place, _executed_again(known, message) if again else filled(known, message))
            thread.executed.setdefault(place, set()).add(execution.door)
            return Folded(thread, [place] if thread.messages[place] != known else [], [])
        if execution.mute or asked is None:
            return None
        thread, call = asked
        result.id, result.name = call.id, call.name
        place = thread.append(message)
        thread.executed[place] = {execution.door}
        return Folded(thread, [place], [])

    def _answered(self, execution: Execution) -> Place | None:
        """Where the result of an execution is already: told by another door, by a history, or before a retry."""
        executed = execution.message.tool_result
        assert executed is not None
        said = canonical(executed.content)
        again: Place | None = None
        found: Place | None = None
        for thread in reversed(self.all):
            for place in range(len(thread.messages) - 1, -1, -1):
                result = thread.messages[place].tool_result
                if result is None:
                    continue
                same = canonical(result.content) == said
                if result.id != executed.id if executed.id else not same or result.name != executed.name:
                    continue
                if thread.has_from(execution.door, place):
                    if executed.id and place >= len(thread.messages) - thread.tail():
                        return thread, place  # nobody went on from it: it was tried again
                    again = again or (thread, place)
                elif same:
                    return thread, place
                else:
                    found = found or (thread, place)
        return found or (again if executed.id else None)

    def _asked(self, execution: Execution) -> tuple[Thread, ToolCall] | None:
        result = execution.message.tool_result
        assert result is not None
        waiting = [(thread, call) for thread in reversed(self.all) for call in thread.open_calls()]
        wanted = canonical(execution.args) if execution.args is not None else None
        if result.id:
            # Fake models use one id in several conversations.
            waiting = [(thread, call) for thread, call in waiting if call.id == result.id]
            exact = [(thread, call) for thread, call in waiting if canonical(call.args) == wanted]
            return next(iter(exact or waiting), None)
        named = [(thread, call) for thread, call in waiting if call.name == result.name]
        if wanted is not None:
            named = [(thread, call) for thread, call in named if canonical(call.args) == wanted]
        return named[0] if named else None


def _result(place: Place) -> ToolResult:
    result = place[0].messages[place[1]].tool_result
    assert result is not None
    return result


def _executed_again(known: Message, message: Message) -> Message:
    """A result in the place of the one that an earlier execution of the same call had."""
    out = message.model_copy(deep=True)
    if out.tool_result is not None and known.tool_result is not None:
        out.tool_result.id, out.tool_result.name = known.tool_result.id, known.tool_result.name
    return out


def _shared(places: Sequence[int], own: Sequence[Likeness], history: Sequence[Likeness]) -> Shared:
    """Pair the places of entries with those of as many that begin a history and say the same."""
    pairs = zip(in_order(own), in_order(history[: len(own)]), strict=True)
    return [(places[one], other) for one, other in pairs]


def _reconsider(thread: Thread, shared: Shared, history: Sequence[Message]) -> list[int]:
    """Take results of tools as the model was given them, and answers that nobody told; returns the changed places."""
    changed: list[int] = []
    for place, at in shared:
        again = history[at]
        answered = _as_answered(thread, thread.messages[place], again) if again.tool_calls else None
        if answered is not None:
            thread.replace(place, answered)
        known = thread.messages[place]
        result, given = known.tool_result, again.tool_result
        if UNTOLD_KEY in known.meta:
            thread.replace(place, filled(known, again))
        elif result and given and result.id == given.id and result.content != given.content:
            thread.replace(place, filled(again, known))
        elif again.reasoning is not None and known.reasoning is None:
            thread.replace(place, known.model_copy(update={"reasoning": again.reasoning}))
        elif answered is None:
            continue
        changed.append(place)
    return changed


def _as_answered(thread: Thread, known: Message, again: Message) -> Message | None:
    """An answer with the ids that a history has for its calls; None where it has no others.

    LiteLLM has two ids for each call of the Responses API: it tells of one, and gives the other to its caller, who
    answers that.
    """
    ids = [call.id for call in again.tool_calls]
    known_ids = [call.id for call in known.tool_calls]
    if ids == known_ids or len(ids) != len(known_ids) or not all(id and not MADE_UP.match(id) for id in ids):
        return None
    if not {*known_ids} <= {call.id for call in thread.open_calls()}:
        return None
    out = known.model_copy(deep=True)
    for call, id in zip(out.tool_calls, ids, strict=True):
        call.id = id
    return out
