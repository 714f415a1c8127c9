"""What one process writes into its journal: every change of its stores, and how tests ended.

A `Recording` listens to stores. It redacts what they tell it, journals it, and at the end of
a test journals the report of each of its runs. Nothing in here raises into a test: what goes
wrong is counted by kind and named when the session ends.
"""

from __future__ import annotations

import errno
import os
import threading
import zlib
from array import array
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from os import getpid  # by name, as all that is used in a test: a test may replace what the module has
from typing import TYPE_CHECKING, Any

from . import document
from ._forks import LossesOfChildren, tell_of_forks
from ._outside import is_from_outside, is_from_signal
from ._system import now, now_ns
from ._times import format_time
from ._wire import dumps, loads, told
from .journal import JOURNAL_VERSION, JournalWriter, last_places, record_line, record_parts, this_host
from .models import RunResult
from .reporting import EndedRun, Reporter, compose
from .telemetry import MessageFacts, facts_of, media_outputs
from .trace import RAW_REQUEST_KEY, RAW_RESPONSE_KEY
from .verdict import PASSED

if TYPE_CHECKING:
    from .conversation import Change, Conversation
    from .journal import Places
    from .large_media import LargeMedia
    from .redaction import Redactor
    from .reporting import Unwritten
    from .staging import Stager
    from .store import ArenaStateStore
    from .verdict import RunContext, Verdict

_RAW_MARK = b'"_llm_raw_re'
_CURRENT_TEST: Any = "PYTEST_CURRENT_TEST" if os.name == "nt" else b"PYTEST_CURRENT_TEST"
_TROUBLE_LIMIT = 100  # distinct kinds; more would be a list of its own
_TROUBLE_LENGTH = 300  # characters of one


@dataclass(slots=True)
class _Log:
    """What the journal has of one conversation."""

    number: int
    conversation: Conversation
    version: int = 0
    changed: int = 0
    written: list[bytes] = field(default_factory=list)
    """The messages as they are in the journal."""
    places: Places = field(default_factory=lambda: array("q"))
    """Where they are in it, if somebody wants to know."""
    named: bool = False
    """The journal has its id."""
    intact: bool = False
    """The journal has all of it; else it is written whole, at the next change or when the test ends."""
    overtaken: bool = False
    """It was changed in the middle of a change, and goes on under another number."""
    slim: dict[int, MessageFacts] = field(default_factory=dict)
    """What the messages contribute whose media are in files of their own, by their positions."""
    clean: dict[int, MessageFacts] = field(default_factory=dict)
    """What those contribute in which something was redacted: a tool's name becomes a key of the report, say."""


class StoreRecording:
    """The part of a recording that belongs to one store."""

    def __init__(
        self, recording: Recording, number: int, context: RunContext, conversations: Mapping[str, Conversation]
    ) -> None:
        self.recording = recording
        self.number = number
        self.context = context
        self.conversations = conversations
        """Those of the store, as they are at any time."""
        self.announced = False
        self.logs: dict[str, _Log] = {}
        self.finished = False
        self.verdict: Verdict | None = None
        """How its test ended, as far as that is known."""
        self.missed = False
        """Some change failed or was cut short on its way to the journal; the next one, or the end, makes it good."""

    def __call__(self, change: Change, conversation: Conversation) -> None:
        """Take a change of the store; called under the store's lock."""
        self.recording.take(self, change, conversation)


class Recording:
    """The journal of this process and everything that is needed to write it."""

    def __init__(
        self,
        open_writer: Callable[[str], JournalWriter],
        *,
        session: str,
        worker: str,
        redactor: Redactor,
        keep_raw: bool = False,
        on_run: Callable[[RunResult], None] | None = None,
        stager: Stager | None = None,
        media: LargeMedia | None = None,
    ) -> None:
        """Open the journal.

        Args:
            open_writer: Makes the writer for a journal's name.
            session: The session's id.
            worker: xdist's id of the worker, or ``main``.
            redactor: Takes secrets out of everything that is written.
            keep_raw: Write raw requests and responses of LLM calls, too.
            on_run: Called with each run of a test after its verdict; may change it in place.
            stager: Writes finished runs where the publication only has to move them.
            media: Takes large media out of messages; None leaves all in.

        Raises:
            OSError: The journal cannot be made.
        """
        self._open_writer = open_writer
        self._session = session
        self.worker = worker
        self.redactor = redactor
        self._keep_raw = keep_raw
        self._on_run = on_run
        self._media = media
        self._by_place = stager is not None and stager.by_place
        self._reporter = Reporter(self._append, self.trouble, redactor, stager)
        self._deleted = 0
        self._environment: dict[Any, Any] | None = None
        self._lock = threading.RLock()
        self._stores: dict[int, StoreRecording] = {}
        self._numbers = 0
        self._taking: _Log | None = None
        """What is being written."""
        self._pid = self._first_pid = getpid()
        self._children = LossesOfChildren()
        self.troubles: Counter[str] = Counter()
        self._raw_left_out = 0
        self._ended = False
        self.late = 0
        """Changes after the end, which are in no report."""
        self.writer = open_writer(worker)
        tell_of_forks(self)
        self._begin(forked=False)

    def _begin(self, *, forked: bool) -> None:
        header = {
            "version": JOURNAL_VERSION,
            "session": self._session,
            "worker": self.worker,
            "pid": self._pid,
            "host": this_host(),
            "forked": forked,
            "started": format_time(now()),
        }
        self.writer.append(record_line("journal", dumps(header)))

    def ask(self, on_run: Callable[[RunResult], None] | None, on_text: Callable[[str], str | None] | None) -> None:
        """Ask these from now on; see the constructors of this class and of `Redactor`."""
        with self._lock:
            self._on_run = on_run
            self.redactor.ask(on_text)

    # --- stores ----------------------------------------------------------------------------

    def attach(self, store: ArenaStateStore, context: RunContext) -> StoreRecording:
        """Journal a store from now on."""
        with self._lock:
            self._numbers += 1
            recorded = StoreRecording(self, self._numbers, context, store._conversations)
            self._stores[self._numbers] = recorded
        store._on_change = recorded
        return recorded

    def take(self, store: StoreRecording, change: Change, conversation: Conversation) -> None:
        """Journal one change of a store."""
        try:
            with self._lock:
                if getpid() != self._pid:
                    self._after_fork()
                if self._ended:
                    self.late += 1
                    return
                self._learn_secrets()
                if store.finished:
                    self._reopen(store)
                if store.missed:
                    self._make_good(store)
                self._take(store, change, conversation)
                if self._pid != self._first_pid:
                    self._tell_parent()
        except BaseException as error:
            store.missed, self._taking = True, None
            if is_from_outside(error):
                raise
            # Our failure must not fail the test that saved. Near the end of the stack there is no room for more.
            if not isinstance(error, RecursionError):
                self.trouble(f"a save was not journaled at once: {type(error).__name__}: {error}")

    def _learn_secrets(self) -> None:
        """The test may have put a key into the environment."""
        # What `os.environ` keeps inside changes with it and compares fast; elsewhere, look each time.
        inside = getattr(os.environ, "_data", None)
        if isinstance(inside, dict):
            known = self._environment
            if known is not None:
                if _CURRENT_TEST in inside:
                    known[_CURRENT_TEST] = inside[_CURRENT_TEST]  # pytest changes it in every phase
                if inside == known:
                    return
            self._environment = dict(inside)
        self.redactor.refresh()

    def _take(self, store: StoreRecording, change: Change, conversation: Conversation) -> None:
        kind, _, length, indexes, texts, head, metadata, problems, more = change
        for problem in problems:
            self.trouble(problem)
        if kind in ("delete", "withdraw"):
            self._forget(store, kind, change.conversation_id)
            return
        log = self._log_of(store, conversation)
        outer = self._taking
        if log is outer:
            # What handles a signal saves, or a finaliser, in the middle of a change of the same conversation.
            log = self._overtake(store, log)
        self._taking = log
        if not log.intact:
            self._write_whole(store, log)
        elif kind == "metadata":
            if more is None or metadata is not conversation.metadata:  # or another change came between
                fields = b'"metadata":' + dumps(conversation.metadata)
            else:
                fields = b'"more":' + dumps(more)
            self._write(store, log, "metadata", fields, None)
        elif _follows(length, indexes, texts, conversation.messages, len(log.written)):
            self._write_messages(store, log, length, indexes, texts, head)
        else:
            self._write_whole(store, log)  # another change of the same came between the store and here
        while log.overtaken:
            self.writer.append(record_line("withdraw", b'{"c":%d}' % log.number))
            log = self._taking = self._log_of(store, conversation)
            self._write_whole(store, log)
        self._taking = outer

    def _overtake(self, store: StoreRecording, log: _Log) -> _Log:
        """Have a conversation written under another number, whole: the records of this one are not at an end."""
        log.overtaken = True
        del store.logs[log.conversation.id]
        return self._log_of(store, log.conversation)

    def _reopen(self, store: StoreRecording) -> None:
        """A test has ended, and somebody who still has its store changes it: a thread, a fixture of wider scope."""
        # What was reported and staged of its runs is not the last word any more; the end of the process has that.
        self._reporter.go_by_the_journal()
        store.finished, store.missed = False, True
        self._stores[store.number] = store

    def _make_good(self, store: StoreRecording) -> None:
        """Have everything written again, whole, at the next change of it or at the end."""
        for gone in store.logs.keys() - store.conversations.keys():
            self._forget(store, "delete", gone)
        for conversation in list(store.conversations.values()):
            self._log_of(store, conversation).intact = False
        store.missed = False

    def _log_of(self, store: StoreRecording, conversation: Conversation) -> _Log:
        log = store.logs.get(conversation.id)
        if log is None:
            self._numbers += 1
            log = store.logs[conversation.id] = _Log(self._numbers, conversation)
        log.conversation = conversation
        return log

    def _forget(self, store: StoreRecording, kind: str, conversation_id: str) -> None:
        log = store.logs.pop(conversation_id, None)
        if log is not None:
            self._deleted += kind == "delete"
            self.writer.append(record_line(kind, dumps({"c": log.number})))

    def _announced(self, store: StoreRecording, records: list[Unwritten]) -> list[Unwritten]:
        """Records, after what the journal is told of their store before anything else of it."""
        if store.announced:
            return records
        return [("store", dumps({"s": store.number, "context": store.context._asdict()}), None), *records]

    def _append(self, records: list[Unwritten], also: bytes = b"") -> list[Unwritten] | None:
        """Redact and journal records that follow each other, with one look and one write.

        Args:
            records: Of each its kind, its fields and its values.
            also: JSON to look at with them.

        Returns:
            The records as they were written, when the look left a doubt; None when nothing in them is secret.
        """
        lines = _lines_of(records)
        redacted: list[Unwritten] | None = None
        # Nearly always nothing is secret, and one look at everything together tells.
        if not self.redactor.clears(lines) or (also and not self.redactor.clears(also)):
            redact = self.redactor.redact
            redacted = [
                (kind, self._redacted(kind, fields), None if values is None else [redact(value) for value in values])
                for kind, fields, values in records
            ]
            lines = _lines_of(redacted)
        self.writer.append(lines)
        return redacted

    def _redacted(self, kind: str, fields: bytes) -> bytes:
        """The fields of a record, redacted; where a node id or an id was, with a mark that stands for it."""
        clean = self.redactor.redact(fields)
        if clean is fields or kind not in ("store", "save", "metadata"):
            return clean
        was, told = loads(fields), loads(clean)
        if kind != "store":
            same = was.get("id") == told.get("id")
            return clean if same else b'%b,"mark":%b}' % (clean[:-1], dumps(self.redactor.mark_of(was["id"])))
        nodeid = was["context"]["nodeid"]
        if nodeid == told["context"]["nodeid"]:
            return clean
        told["context"]["mark"] = self.redactor.mark_of(nodeid)
        return dumps(told)

    def _write_whole(self, store: StoreRecording, log: _Log) -> None:
        """Write a conversation as it is now: the first time, and after a change that was cut short."""
        conversation = log.conversation
        messages = conversation.messages
        log.written, log.places = [], array("q")
        if messages or conversation.head or conversation.metadata is None:
            count = len(messages)
            self._write_messages(store, log, count, range(count), messages, conversation.head or None)
        if conversation.metadata is not None:
            self._write(store, log, "metadata", b'"metadata":' + dumps(conversation.metadata), None)
        log.intact = True

    def _write_messages(
        self,
        store: StoreRecording,
        log: _Log,
        length: int,
        indexes: Sequence[int],
        messages: Sequence[bytes],
        head: dict[str, Any] | None,
    ) -> None:
        if log.clean:
            for index in indexes:  # what stays of messages that are no more is that of no message
                log.clean.pop(index, None)
        texts = list(messages)
        if not self._keep_raw and not log.conversation.plain and _RAW_MARK in b"".join(texts):
            texts = [self._without_raw(text) for text in texts]
        media = self._media
        if log.slim or (media is not None and texts and len(max(texts, key=len)) > media.limit):
            texts = self._without_media(log, length, indexes, texts)
        in_order = not indexes or [*indexes] == [*range(indexes[0], indexes[0] + len(indexes))]
        if indexes and in_order:
            fields = b'"n":%d,"from":%d' % (length, indexes[0])
        else:
            fields = b'"n":%d,"at":%b' % (length, dumps(list(indexes)))
        if head is not None:
            fields += b',"head":' + dumps(head)
        redacted = self._write(store, log, "save", fields, texts)
        if redacted is not None:
            changed = ((index, text) for index, text, was in zip(indexes, redacted, texts, strict=True) if text != was)
            log.clean.update((index, facts_of(loads(text))) for index, text in changed)
            texts = redacted
        if self._by_place:
            self._note_places(log, length, indexes, texts)
        written = log.written
        if in_order and len(texts) == length:
            log.written = texts
            return
        del written[length:]
        for index, text in zip(indexes, texts, strict=True):
            if index == len(written):
                written.append(text)
            else:
                written[index] = text

    def _note_places(self, log: _Log, length: int, indexes: Sequence[int], texts: list[bytes]) -> None:
        """Note where messages are that the journal's last record brought."""
        places = last_places(self.writer.position, texts)
        known = log.places
        del known[2 * length :]
        for place, index in enumerate(indexes):
            known[2 * index : 2 * index + 2] = places[2 * place : 2 * place + 2]

    def _write(
        self, store: StoreRecording, log: _Log, kind: str, fields: bytes, values: list[bytes] | None
    ) -> list[bytes] | None:
        """Journal a change; returns the values as they were written, where that is not as they are.

        Args:
            store: Of the conversation.
            log: Of the conversation.
            kind: Of the record.
            fields: What the record says beside the conversation; members of a JSON object.
            values: See `record_line`.
        """
        log.changed = now_ns()
        start = b'{"c":%d,"s":%d,"v":%d,"t":%d' % (log.number, store.number, log.version, log.changed)
        if not log.named:
            start += b',"id":' + dumps(log.conversation.id)
        log.version += 1
        redacted = self._append(self._announced(store, [(kind, b"%b,%b}" % (start, fields), values)]))
        log.named = store.announced = True
        changed = redacted[-1][2] if redacted else None
        return None if changed is None else [*changed]

    def _without_media(self, log: _Log, length: int, indexes: Sequence[int], texts: list[bytes]) -> list[bytes]:
        """Take large media out of messages; a file is whole before the journal names it."""
        log.slim = {index: facts for index, facts in log.slim.items() if index < length and index not in indexes}
        if self._media is None:
            return texts
        texts = list(texts)
        for place, text in enumerate(texts):
            if len(text) <= self._media.limit:
                continue
            texts[place] = clean = self.redactor.redact(text)  # what has a secret in it is no base64 then, and stays
            if clean is not text:
                log.clean[indexes[place]] = facts_of(loads(clean))
            try:
                slim = self._media.without(clean)
            except OSError as error:
                self.trouble(f"large media were left in their run: {error.strerror or error}")
                continue
            if slim is not clean:
                texts[place] = slim
                log.slim[indexes[place]] = facts_of(loads(slim))
                log.clean.pop(indexes[place], None)
        return texts

    def _without_raw(self, text: bytes) -> bytes:
        if _RAW_MARK not in text:
            return text
        message = loads(text)
        meta = message.get("meta")
        if isinstance(meta, dict) and (RAW_REQUEST_KEY in meta or RAW_RESPONSE_KEY in meta):
            self._raw_left_out += (RAW_REQUEST_KEY in meta) + (RAW_RESPONSE_KEY in meta)
            message["meta"] = {k: v for k, v in meta.items() if k not in (RAW_REQUEST_KEY, RAW_RESPONSE_KEY)}
        return dumps(message)

    # --- the ends of tests -------------------------------------------------------------------

    def finish(self, store: StoreRecording, verdict: Verdict | None) -> None:
        """Journal how the test of a store ended, and the report of each of its runs, now or soon."""
        with self._lock:
            try:
                self._after_fork()
                self._reporter.begin()
                self._stores.pop(store.number, None)
                store.finished, store.verdict = True, verdict
                if not self._ended:
                    self._finish(store, verdict)
                self._reporter.done()
            except Exception as error:  # noqa: BLE001 - our own failure must not fail the test that ends
                self._reporter.give_up(error)

    def _finish(self, store: StoreRecording, verdict: Verdict | None) -> None:
        if store.missed:
            self._make_good(store)
        for log in store.logs.values():
            try:
                if not log.intact:
                    self._write_whole(store, log)
                self._reporter.add(self._ended_run(store, log, verdict))
            except Exception as error:  # noqa: BLE001 - the merge composes the report from the saves instead
                self._reporter.give_up(error)
            log.written = []
        # Though nothing was saved here: a forked child may have saved, and does not know how its test ended.
        said = [] if verdict is None else [_verdict_record(store.number, verdict)]
        if self._reporter.full:
            self._reporter.write(self._announced(store, said))
            store.announced = True
        elif said and store.announced and verdict is PASSED:
            self.writer.append(record_line(*said[0]))  # there is nothing in it to look at
        elif said:
            self._append(self._announced(store, said))
            store.announced = True

    def _ended_run(self, store: StoreRecording, log: _Log, verdict: Verdict | None) -> EndedRun:
        conversation = log.conversation
        ended = EndedRun(
            log.number,
            store.number,
            log.version,
            log.changed,
            conversation.id,
            conversation.metadata,
            conversation.head.get("metadata") or {},
            _as_journaled(conversation.facts, log),
            log.written,
            log.places,
            log.slim,
            store.context,
            verdict,
        )
        if self._on_run is None or verdict is None:
            return ended
        composed = self._changed_by_hooks(store, log, compose(ended))
        # The hook may have changed messages, and these were written then.
        ended = ended._replace(version=log.version, composed=composed)
        return ended._replace(messages=log.written, places=log.places, slim=log.slim)

    def _changed_by_hooks(self, store: StoreRecording, log: _Log, composed: document.Composed) -> document.Composed:
        run = RunResult.from_json(document.compact(composed.before, log.conversation.messages, composed.after))
        assert self._on_run is not None
        try:
            self._on_run(run)
            wire = run.to_dict()
        except Exception as error:
            if is_from_signal(error):
                raise
            # Somebody's hook may raise anything.
            self.trouble(f"pytest_arena_run raised {type(error).__name__}: {told(error)}")
            return composed
        slim = bool(log.slim)
        messages = [dumps(message) for message in wire["Messages"]]
        known = log.conversation.messages
        different = [i for i, text in enumerate(messages) if i >= len(known) or text != known[i]]
        if different or len(messages) != len(known):
            self._write_messages(store, log, len(messages), different, [messages[i] for i in different], None)
        facts = _as_journaled([facts_of(message) for message in wire.pop("Messages")], log)
        if slim or log.slim:
            wire["MediaOutputs"] = media_outputs(facts)
        split = list(wire).index("Commit")
        items = list(wire.items())
        return document.Composed(dict(items[:split]), dict(items[split:]), document.row_of(wire, facts))

    # --- troubles and the end ------------------------------------------------------------------

    def trouble(self, kind: str) -> None:
        """Count something that went wrong; the session's summary and the index name it, without what is secret."""
        with self._lock:
            kind = self._told_in_short(kind)
            if kind not in self.troubles and len(self.troubles) >= _TROUBLE_LIMIT:
                kind = "further troubles"
            self.troubles[kind] += 1
            if not self._ended:
                # Whatever is wrong may be so here, too; it is counted, and no test hears of it.
                with suppress(Exception):
                    self._after_fork()
                    self.writer.append(record_line("trouble", dumps({"kind": kind, "count": 1})))

    def _told_in_short(self, text: str) -> str:
        try:
            self._learn_secrets()
            text = self.redactor.redact_text(text)  # all of it: half a key is not known as one
        except Exception:  # noqa: BLE001 - better a gap than a leak
            text = "something went wrong, and what it was could not be redacted"
        return " ".join(text.split())[:_TROUBLE_LENGTH]

    def end(self, *, interrupted: Verdict | None = None, reason: str = "") -> None:
        """Finish what is open and close the journal; calling it again does nothing.

        Args:
            interrupted: The verdict of tests that are still open.
            reason: What cut the session short; empty when nothing did.
        """
        with self._lock:
            if self._ended:
                return
            try:
                self._after_fork()
            except OSError:  # a child that gets out of its test, and has nowhere to write
                self._ended = True
                return
            for store in list(self._stores.values()):
                self.finish(store, store.verdict or (interrupted if store.context.nodeid else None))
            self._reporter.begin()
            self._reporter.write()
            self._reporter.done()
            if self._pid == self._first_pid:
                self._tell_of_children()
            redacted = dict(self.redactor.counts)
            if self._raw_left_out:
                redacted["raw LLM requests and responses"] = self._raw_left_out
            for kind, count in self.redactor.troubles.items():
                self.troubles[kind] += count
                self.writer.append(record_line("trouble", dumps({"kind": kind, "count": count})))
            fields = self.redactor.redact(dumps({"interrupted": reason, "redacted": redacted}))
            self.writer.append(record_line("end", fields))
            self._reporter.end({"deleted": self._deleted, "redacted": redacted, "troubles": self.troubles})
            self._ended = True
            self.writer.close()

    # --- forks ---------------------------------------------------------------------------------

    def _let_go_after_fork(self) -> None:
        """Another thread of the parent may have held the lock at the fork; nobody would release it here."""
        self._lock = threading.RLock()

    def _after_fork(self) -> None:
        pid = getpid()
        if pid == self._pid:
            return
        # A child must not write into its parent's journal: their records would mix.
        self.writer.abandon()
        self._reporter.forget()
        try:
            self.writer = self._open_writer(f"{self.worker}.{pid}")
        except OSError as error:
            self._children.note(error.errno or errno.EIO)
            raise
        self._pid = pid  # not before: a child that has no file left now may have one at its next save
        self._begin(forked=True)
        for store in self._stores.values():
            store.announced = False
            # What the parent saved is in its journal; the child writes what it touches, whole.
            store.logs = {}

    def _tell_parent(self) -> None:
        """A child mostly ends without a word, so what its journal did not take is told at once."""
        if self.writer.waiting or self.writer.lost:
            self._children.note(self.writer.last_errno)
        elif not any(store.missed for store in self._stores.values()):
            self._children.note(0)

    def _tell_of_children(self) -> None:
        for why, count in self._children.reasons().items():
            self._reporter.go_by_the_journal()  # which the merge reads then
            what = f"saves of {count:,} forked {'child' if count == 1 else 'children'}"
            self.writer.append(record_line("lost", dumps({"what": what, "why": why})))


def _follows(
    length: int, indexes: Sequence[int], texts: Sequence[bytes], messages: Sequence[bytes], known: int
) -> bool:
    """Whether a change is the last of its conversation, and the one after those by which the journal knows it."""
    if length != len(messages) or (indexes and messages[indexes[-1]] is not texts[-1]):
        return False
    added = length - known
    return added <= 0 or (len(indexes) >= added and indexes[-added] == known)


def _lines_of(records: list[Unwritten]) -> bytes:
    return b"".join([part for record in records for part in record_parts(*record)])


def _verdict_record(store: int, verdict: Verdict) -> Unwritten:
    if verdict is PASSED:  # nearly always
        return "verdict", _PASSED_RECORD % store, None
    return "verdict", dumps({"s": store, "verdict": verdict.to_dict()}), None


_PASSED_RECORD = b'{"s":%%d,"verdict":%b}' % dumps(PASSED.to_dict())


def _as_journaled(facts: list[MessageFacts], log: _Log) -> list[MessageFacts]:
    other = log.slim | log.clean if log.clean else log.slim
    return [other.get(index, fact) for index, fact in enumerate(facts)] if other else list(facts)


def token_of(session: str) -> str:
    """Eight hex digits that stand for a session in file names."""
    return f"{zlib.crc32(session.encode('utf-8')):08x}"
