"""Calls that repeat their history, folded back into the threads of a conversation.

A call goes on with a thread when its history begins with all of the thread, when the history
is the thread's end (clients cut old messages off), when it answers a tool call that the thread
left open, or when it names the thread's last response. Otherwise it begins a new thread: so
two equal questions, asked independently, are two conversations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..capture.alignment import MADE_UP, forget_made_up, pair
from .calls import UNTOLD_KEY, Call, Execution, Likeness, alike, all_alike, canonical, filled, likeness

if TYPE_CHECKING:
    from ..messages import Message, ToolCall, ToolResult

ERROR_KEY = "call_error"
"""In the meta of the last message of a call that failed: why."""


@dataclass(eq=False)
class Thread:
    """The messages of one conversation, in order."""

    messages: list[Message] = field(default_factory=list)
    likenesses: list[Likeness] = field(default_factory=list)
    response_ids: set[str] = field(default_factory=set)
    told: set[int] = field(default_factory=set)
    """The places of answers whose own call was told; others are known from histories."""
    began: int = 0
    """When the last of its calls began."""
    id: str = ""
    """Where in the store it is; empty when it is not there yet."""

    def body(self) -> list[int]:
        """The places of all that is no instruction: instructions change, and do not move."""
        return [place for place, entry in enumerate(self.likenesses) if entry[0] != "system"]

    def append(self, message: Message) -> int:
        """Put a message at the end; returns its place."""
        self.messages.append(message)
        self.likenesses.append(likeness(message))
        return len(self.messages) - 1

    def replace(self, place: int, message: Message) -> None:
        """Put a message in the place of another."""
        self.messages[place] = message
        self.likenesses[place] = likeness(message)

    def open_calls(self) -> list[ToolCall]:
        """The tool calls that have no result yet."""
        answered = {message.tool_result.id for message in self.messages if message.tool_result is not None}
        return [call for message in self.messages for call in message.tool_calls if call.id not in answered]

    def goes_on_with(self, call: Call, history: Sequence[Likeness]) -> int | None:
        """How many messages of a call's history, instructions aside, the thread has; None when it is not of it."""
        own = [self.likenesses[place] for place in self.body()]
        if not own:
            return None
        if len(own) <= len(history) and all_alike(own, history[: len(own)]):
            return len(own)
        if call.follows and call.follows in self.response_ids:
            return 0
        first = next((message for message in call.history if message.role != "system"), None)
        if first is not None and first.tool_result is not None:
            result = first.tool_result
            if any(call.id == result.id for call in self.open_calls()) and not MADE_UP.match(result.id):
                return 0
        for size in range(min(len(own), len(history)), 0, -1):
            end = own[-size:]
            # A question alone may be asked again by somebody else; with an answer in it, it is the thread.
            answered = any(entry[0] == "assistant" for entry in end)
            if answered and alike(end[0], history[0]) and all_alike(end, history[:size]):
                return size
        return None

    def misses(self, call: Call, said: Sequence[Likeness]) -> list[int]:
        """The places of a call's answers, where a later call told of them first; a library may tell late."""
        places = self.body()[: len(said)]
        answers = places[len(places) - len(call.answers) :]
        known = [self.likenesses[place] for place in places]
        earlier = 0 < call.started < self.began
        return answers if earlier and self.told.isdisjoint(answers) and all_alike(known, said) else []


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

    def take(self, call: Call) -> Folded:
        """Fold a call into the thread that it goes on with, or begin one."""
        history = [likeness(message) for message in call.history]
        body = [entry for entry in history if entry[0] != "system"]
        said = [*body, *map(likeness, call.answers)]
        for candidate in self.all if call.answers else ():
            answers = candidate.misses(call, said)
            if answers:
                for place, answer in zip(answers, call.answers, strict=True):
                    candidate.replace(place, filled(answer, candidate.messages[place]))
                candidate.told.update(answers)
                return Folded(candidate, answers, answers, answers)
        thread, known = None, 0
        for candidate in self.all:
            shared = candidate.goes_on_with(call, body)
            if shared is not None and (thread is None or shared > known):
                thread, known = candidate, shared
        if thread is None:
            thread = Thread()
            self.all.append(thread)
        places = _reconsider(thread, known, [message for message in call.history if message.role != "system"])
        instructions = [entry for entry in thread.likenesses if entry[0] == "system"]
        new: list[Message] = []
        passed = 0
        for entry, message in zip(history, call.history, strict=True):
            if entry[0] == "system":
                if entry not in instructions:
                    instructions.append(entry)
                    new.append(message)
            elif passed < known:
                passed += 1
            else:
                new.append(message)
        count = len(new)
        new += call.answers
        forget_made_up(new)
        pair(new, known=thread.messages)
        if call.error and new:
            new[-1].meta[ERROR_KEY] = call.error
        thread.response_ids |= call.response_ids
        thread.began = max(thread.began, call.started)
        appended = [thread.append(message) for message in new]
        thread.told.update(appended[count:])
        return Folded(thread, places + appended, appended[count:], appended)

    def execute(self, execution: Execution) -> Folded | None:
        """Put a tool's result behind the call that asked for it; None when nobody did so far."""
        message = execution.message
        result = message.tool_result
        assert result is not None
        answered = self._answered(result)
        if answered is not None:
            thread, place = answered
            known = thread.messages[place]
            thread.replace(place, filled(known, message))
            return Folded(thread, [place] if thread.messages[place] != known else [], [])
        if execution.mute:
            return None
        found = self._asked(execution)
        if found is None:
            return None
        thread, asked = found
        result.id, result.name = asked.id, asked.name
        return Folded(thread, [thread.append(message)], [])

    def _answered(self, executed: ToolResult) -> tuple[Thread, int] | None:
        """Where the result of an execution is already: told by another door, or by a history."""
        for thread in reversed(self.all):
            for place, message in enumerate(thread.messages):
                result = message.tool_result
                if result is None:
                    continue
                same = (result.name, canonical(result.content)) == (executed.name, canonical(executed.content))
                if result.id == executed.id if executed.id else same and not result.latency_ms:
                    return thread, place
        return None

    def _asked(self, execution: Execution) -> tuple[Thread, ToolCall] | None:
        result = execution.message.tool_result
        assert result is not None
        waiting = [(thread, call) for thread in reversed(self.all) for call in thread.open_calls()]
        if result.id:
            return next(((thread, call) for thread, call in waiting if call.id == result.id), None)
        named = [(thread, call) for thread, call in waiting if call.name == result.name]
        if execution.args is not None:
            wanted = canonical(execution.args)
            named = [(thread, call) for thread, call in named if canonical(call.args) == wanted]
        return named[0] if named else None


def _reconsider(thread: Thread, known: int, history: Sequence[Message]) -> list[int]:
    """Take results of tools as the model was given them, and answers that nobody told; returns the changed places."""
    repeated = history[:known]
    given = {message.tool_result.id: message for message in repeated if message.tool_result is not None}
    changed: list[int] = []
    body = thread.body()
    for place, more in zip(body[len(body) - known :], repeated, strict=True) if known else ():
        if UNTOLD_KEY in thread.messages[place].meta:
            thread.replace(place, filled(thread.messages[place], more))
            changed.append(place)
    for place, message in enumerate(thread.messages):
        result = message.tool_result
        again = given.get(result.id) if result is not None else None
        if again is None or result is None or not result.id:
            continue
        assert again.tool_result is not None
        if again.tool_result.content != result.content:
            thread.replace(place, filled(again, message))
            changed.append(place)
    return changed
