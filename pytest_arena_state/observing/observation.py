"""The calls of one test: each once, folded into threads, in conversations of the test's store.

The first thread goes to the conversation of ``arena_run``, so that a test can look at what was
captured; the others stand beside it. What the test records by itself comes first: a thread
makes room as soon as the test writes a message into its conversation, and when the test ends,
a thread that says the same as a conversation of the test's own is folded into that.

A child that is forked while the test runs, such as a worker of a process pool, has conversations
of its own, named after the forks that led to it: nobody else may write to them.
"""

from __future__ import annotations

import functools
import itertools
import mmap
import threading
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from .._forks import prepare_forks, tell_of_forks
from .._outside import is_from_signal
from ..capture import told_unmapped
from .calls import UNTOLD_KEY, Call, Execution, Likeness, all_alike, filled, joined, likeness
from .memory import Memory
from .own import merged
from .threads import Folded, Thread, Threads

if TYPE_CHECKING:
    from ..messages import Message
    from ..store import ArenaStateStore

_context: ContextVar[Observation | None] = ContextVar("arena_observation", default=None)
_running: list[Observation] = []


def current() -> Observation | None:
    """The observation of the test that is running here; None outside a test.

    It is that of the context (which threads and tasks may have inherited), or where that has
    none or one that ended, the one that began last in this process.
    """
    observation = _context.get()
    if observation is not None and observation.open:
        return observation
    return next((running for running in reversed(_running) if running.open), None)


class _Forks:
    """Tells running observations of forks."""

    def _before_fork(self) -> None:
        for running in _running[:]:
            running.prepare_fork()

    def _let_go_after_fork(self) -> None:
        for running in _running:
            running.go_on_in_child()


_forks = _Forks()
prepare_forks(_forks)
tell_of_forks(_forks)


@dataclass(eq=False)
class _Recorded:
    """A call that was told, by one door or by several."""

    call: Call
    doors: set[str] = field(default_factory=set)
    folded: Folded | None = None
    """None for a call whose content nobody told."""


class Observation:
    """What is captured while one test runs."""

    def __init__(self, store: Callable[[], ArenaStateStore], id: str, trouble: Callable[[str], None]) -> None:
        """Observe a test.

        Args:
            store: The test's store; made when it is first asked for.
            id: The conversation of ``arena_run``.
            trouble: Told what went wrong.
        """
        self.open = False
        self._make_store = store
        self._id = id
        self._trouble = trouble
        self._lock = threading.RLock()
        self._calls: list[_Recorded] = []
        self._doors: set[str] = set()
        """Who told of them."""
        self._threads = Threads()
        self._waiting: list[Execution] = []
        self.memory = Memory()
        self._own: set[str] = set()
        """Conversations into which the test itself wrote messages."""
        self._given: set[str] = set()
        """The names that threads were given."""
        self._latest: dict[str, int] = {}
        """By what names begin with: the last number that was given."""
        self._store: ArenaStateStore | None = None
        self._numbers = itertools.count(1)
        """Of the forks of this process while the test runs."""
        self._forking: dict[int, int] = {}
        """The last of them in each thread: threads may fork at one time."""
        self._lineage: tuple[int, ...] = ()
        """Which child of which child this is; empty in the process that the test began in."""
        self._over: mmap.mmap | None = None
        """Tells children when the test is over."""

    # --- while the test runs -------------------------------------------------------------------

    def begin(self) -> None:
        """The test is about to be set up."""
        self.open = True
        _context.set(self)
        _running.append(self)

    def follow(self, store: ArenaStateStore) -> None:
        """This is the test's store."""
        self._store = store
        store._before_write = self.make_room
        store._settle = self.settle

    def prepare_fork(self) -> None:
        """This process is about to fork. Never raises."""
        try:
            self._forking[threading.get_ident()] = next(self._numbers)
            if self._over is None:
                self._over = mmap.mmap(-1, 1)
            if self._store is None:
                # A child may be the only one to record anything, and does not know how the test ended.
                self.follow(self._make_store())
        except Exception as error:  # noqa: BLE001 - the code under test forks, and that must succeed
            self.problem(f"what a child captures may be without its outcome: {type(error).__name__}: {error}")

    def go_on_in_child(self) -> None:
        """This process was forked of another one, whose threads may have held anything."""
        self._lock = threading.RLock()
        self._lineage = (*self._lineage, self._forking.get(threading.get_ident(), 0))
        self._numbers, self._forking = itertools.count(1), {}
        for thread in self._threads.all:
            thread.of_parent = len(thread.messages)

    def call(self, call: Call) -> None:
        """Take a call. Raises nothing of its own."""
        self._safely(call.door, lambda: self._take(call))

    def execution(self, execution: Execution) -> None:
        """Take the execution of a tool. Raises nothing of its own."""
        self._safely(execution.door, lambda: self._execute(execution))

    def problem(self, text: str) -> None:
        """Something went wrong at a door."""
        self._trouble(text)

    def _safely(self, door: str, take: Callable[[], None]) -> None:
        try:
            with self._lock:
                if self.open and not (self._over is not None and self._over[0]):
                    take()
                else:
                    self._trouble(f"{door}: a call ended after its test and was not captured")
        except Exception as error:
            if is_from_signal(error):
                raise  # such as a time limit's: the code under test must get it
            self.problem(f"{door}: a call was not captured: {type(error).__name__}: {error}")

    def _take(self, call: Call) -> None:
        known = self._known(call)
        self._doors.add(call.door)
        if known is not None:
            known.doors.add(call.door)
            if known.folded is not None:
                self._enrich(known.folded, call)
                self._execute_waiting()
                return
            mute, known.call = known.call, call
            if not call.mute:
                for place, (answer, more) in enumerate(zip(call.answers, mute.answers, strict=False)):
                    call.answers[place] = filled(answer, more)
                for answer in call.answers[-1:]:
                    answer.latency_ms = answer.latency_ms or mute.latency_ms
        else:
            known = _Recorded(call, {call.door})
            self._calls.append(known)
        if call.mute:
            return
        now = datetime.now(UTC)
        for message in call.answers:
            message.timestamp = _moment(call.ended) or message.timestamp or now
        for answer in call.answers[-1:]:
            answer.latency_ms = answer.latency_ms or call.latency_ms
        known.folded = self._threads.take(call)
        thread = known.folded.thread
        for message in (thread.messages[place] for place in known.folded.new):
            message.timestamp = message.timestamp or _moment(call.started) or now
        self._write(thread, known.folded.places, told_unmapped(thread.messages[place] for place in known.folded.new))
        self._execute_waiting()

    def _execute_waiting(self) -> None:
        """Put results behind calls of tools that were told after their execution."""
        for execution in self._waiting[:]:
            folded = self._threads.execute(execution)
            if folded is not None:
                self._waiting.remove(execution)
                self._write(folded.thread, folded.places)

    def _known(self, call: Call) -> _Recorded | None:
        """The same call, as another door told it."""
        best, rank = None, 0
        if self._doors <= {call.door}:
            return None  # nobody else tells of calls
        said = _said(call)
        for recorded in reversed(self._calls):
            other = recorded.call
            if call.door in recorded.doors or not _at_one_time(call, other):
                continue
            shared = bool(call.response_ids & other.response_ids)
            if call.response_ids and other.response_ids and not shared:
                continue
            if said and _said(other):
                same = said == _said(other)
            else:
                same = _asked_alike(call, other)  # one of them does not tell what came back
                if not (same or shared):
                    continue
            how_sure = 2 * same + shared
            if how_sure > rank:
                best, rank = recorded, how_sure
        return best

    def _enrich(self, folded: Folded, call: Call) -> None:
        changed: list[int] = []
        answers = call.answers
        if len(answers) != len(folded.answers):  # told in other pieces; what the call took stands in the last
            answers = [functools.reduce(joined, answers)] if answers else []
        for place, answer in zip(folded.answers[len(folded.answers) - len(answers) :], answers, strict=False):
            known = folded.thread.messages[place]
            more = filled(known, answer)
            if place == folded.answers[-1]:
                more.latency_ms = more.latency_ms or call.latency_ms
            if more != known:
                folded.thread.replace(place, more)
                changed.append(place)
        folded.thread.response_ids |= call.response_ids
        self._write(folded.thread, changed)

    def _execute(self, execution: Execution) -> None:
        message = execution.message
        message.timestamp = message.timestamp or datetime.now(UTC)
        folded = self._threads.execute(execution)
        if folded is None:
            self._waiting.append(execution)
        else:
            self._write(folded.thread, folded.places)

    # --- the store -----------------------------------------------------------------------------

    def _write(self, thread: Thread, places: list[int], problems: list[str] | None = None) -> None:
        store = self._store
        if store is None:
            store = self._make_store()
            self.follow(store)
        with store._lock:
            if thread.of_parent:
                thread.part()
            if not thread.id:
                thread.id = self._free_id(store)
            known, length = store.log_len(thread.id), len(thread.messages)
            if not {*range(known, length)} <= {*places}:
                places = list(range(length))  # the test cleared its store
            if places:
                messages = [(place, thread.messages[place]) for place in sorted(places)]
                store._put(thread.id, messages, problems=problems)

    def _free_id(self, store: ArenaStateStore) -> str:
        free = self._id + ("#fork" + ".".join(map(str, self._lineage)) if self._lineage else "")
        name, number = free, self._latest.get(free, 1)
        while name in self._given or name in self._own or store.log_len(name):
            number += 1
            name = f"{free}#{number}"
        self._latest[free] = number
        self._given.add(name)
        return name

    def make_room(self, conversation_id: str) -> None:
        """The test itself is about to write messages into a conversation. Raises nothing of its own."""
        try:
            with self._lock:
                if not self.open or conversation_id in self._own:
                    return
                self._own.add(conversation_id)
                for thread in self._threads.all:
                    if thread.id == conversation_id and self._store is not None:
                        with self._store._lock:
                            self._store._truncate(conversation_id)
                            thread.id = ""
                            self._write(thread, list(range(len(thread.messages))))
        except Exception as error:
            if is_from_signal(error):
                raise
            self.problem(f"capture made no room: {type(error).__name__}: {error}")

    # --- the end -------------------------------------------------------------------------------

    def settle(self) -> None:
        """Join what was captured with what the test itself recorded so far. Raises nothing of its own."""
        try:
            with self._lock:
                if self.open:
                    self._fold_into_own()
        except Exception as error:
            if is_from_signal(error):
                raise
            self.problem(f"what was captured may be counted twice: {type(error).__name__}: {error}")

    def end(self) -> None:
        """The test and its fixtures are done. Never raises."""
        try:
            with self._lock:
                captured = self._fold_into_own()
                for door in sorted({execution.door for execution in self._waiting if not execution.mute}):
                    self.problem(f"{door}: a tool was executed that no captured call asked for")
                untold = [recorded.call.door for recorded in self._calls if recorded.folded is None]
                untold += [str(message.meta[UNTOLD_KEY]) for message in captured if UNTOLD_KEY in message.meta]
                for door in untold:
                    self.problem(f"{door}: a call was told without its content")
        except Exception as error:  # noqa: BLE001 - the test has its outcome
            self.problem(f"what was captured may be in the report twice: {type(error).__name__}: {error}")
        finally:
            self.open = False
            if self._over is not None and not self._lineage:
                self._over[0] = 1
            if _context.get() is self:
                _context.set(None)
            if self in _running:
                _running.remove(self)

    def _fold_into_own(self) -> list[Message]:
        """What was captured, as it stands then; the test may have told what no door did."""
        store = self._store
        if store is None:
            return []
        captured: list[Message] = []
        for thread in self._threads.all:
            messages: Sequence[Message] = thread.messages
            for conversation_id in sorted(self._own):
                with store._lock:
                    own = store.log_load(conversation_id)
                    together = merged(own, thread.messages)
                    if together is None:
                        continue
                    places = enumerate(together)
                    changed = [(at, message) for at, message in places if at >= len(own) or message != own[at]]
                    if changed:
                        store._put(conversation_id, changed)
                    store._withdraw(thread.id)
                messages = together
                break
            captured += messages
        return captured


def _moment(nanoseconds: int) -> datetime | None:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC) if nanoseconds else None


def _said(call: Call) -> list[Likeness]:
    return [likeness(answer) for answer in call.answers if UNTOLD_KEY not in answer.meta]


def _asked_alike(one: Call, other: Call) -> bool:
    asked, asked_too = ([likeness(m) for m in call.history if m.role != "system"] for call in (one, other))
    return bool(asked) and all_alike(asked, asked_too)


def _at_one_time(one: Call, other: Call) -> bool:
    """One call, told twice, takes place within the other; times that are unknown may be any."""
    if not (one.started and one.ended and other.started and other.ended):
        return True
    return one.started <= other.ended and other.started <= one.ended
