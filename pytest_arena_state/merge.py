"""From journals to runs: order, identity, torn tails, accounting.

The identity of a run is (session, worker, store, node id, attempt, conversation id); inside
it the last save wins. What comes out does not depend on the order of the journals. Merging
reads every journal once and keeps of each run only where its bytes are. A journal whose
process ended in order need not be read at all: its ledger says what it finished.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from . import document
from ._times import format_time
from ._wire import dumps, loads
from .conversation import grown
from .journal import SUFFIX, Places, journal_paths, noted_losses
from .journal_reading import Damage, PieceReader, Record, read_records
from .large_media import folder_of
from .staging import Ledger, read_ledger
from .telemetry import facts_of
from .verdict import RunContext, Verdict, crashed, fill_in, interrupted

if TYPE_CHECKING:
    from .target import Form

LOST_MESSAGE = (
    b'{"role":"system","content":"[this message was lost: its journal record is damaged]",'
    b'"timestamp":"0001-01-01T00:00:00Z"}'
)
MOST_MISSING = 1_000_000  # messages in one journal; a record that is not ours may count up to any number


_LOST = array("q", (-1, 0))  # in place of where a message is
_ALIKE = 1000  # values that are kept to be shared
T = TypeVar("T")


@dataclass(slots=True)
class _Conversation:
    """A conversation while its journal is read."""

    store: int
    id: str | None = None
    mark: str = ""  # stands for the id where that was redacted
    next: int = 0
    changed: int = 0  # nanoseconds since the epoch, of the last change
    messages: Places = field(default_factory=lambda: array("q"))
    head: bytes = b"{}"  # JSON, like the metadata: a tenth of what dicts take, and mostly not looked at
    metadata: bytes | None = None
    more: list[bytes] | None = None  # what metadata grew by since, put together when it is needed
    report: Places | None = None  # before, after, row: when the process finished the run itself
    run_id: str = ""  # as the report has it
    gap: bool = False

    def all_metadata(self) -> dict[str, Any] | None:
        """The run metadata with all that it grew by; None where there is none."""
        metadata: dict[str, Any] | None = None if self.metadata is None else loads(self.metadata)
        for more in self.more or ():
            metadata = grown(metadata or {}, loads(more))
        return metadata


@dataclass(slots=True)
class JournalContents:
    """What one journal says."""

    path: Path
    worker: str = ""
    pid: int = 0
    ended: bool = False
    interrupted: str = ""
    contexts: dict[int, RunContext] = field(default_factory=dict)
    verdicts: dict[int, Verdict] = field(default_factory=dict)
    conversations: dict[int, _Conversation] = field(default_factory=dict)
    deleted: set[int] = field(default_factory=set)
    withdrawn: set[int] = field(default_factory=set)
    """Among those deleted; not counted, because they stand in another conversation."""
    redacted: Counter[str] = field(default_factory=Counter)
    troubles: Counter[str] = field(default_factory=Counter)
    lost: list[dict[str, str]] = field(default_factory=list)
    damage: Damage = field(default_factory=Damage)
    forked: bool = False
    missing: int = 0
    """Messages that records count and no record brings."""
    same: dict[Any, Any] = field(default_factory=dict)
    """What many conversations have alike, so that it is in memory once."""

    def once(self, value: T) -> T:
        """This value, or an equal one that was there before."""
        known: T = self.same.setdefault(value, value) if len(self.same) < _ALIKE else self.same.get(value, value)
        return known


def read_journal(path: Path) -> JournalContents:
    """Read a journal; damage is counted, never raised.

    Raises:
        OSError: It cannot be opened or read.
    """
    contents = JournalContents(path)
    for record in read_records(path, contents.damage):
        try:
            _apply(contents, record)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RecursionError):
            contents.damage.lines += 1  # intact, and still not a record of ours
    return contents


def _apply(contents: JournalContents, record: Record) -> None:
    fields = record.fields
    match fields["k"]:
        case "save" | "metadata":
            _apply_change(contents, record)
        case "report":
            _apply_report(contents, record)
        case "store":
            contents.contexts[fields["s"]] = RunContext.from_dict(fields["context"])
        case "verdict":
            contents.verdicts[fields["s"]] = contents.once(Verdict.from_dict(fields["verdict"]))
        case "delete" | "withdraw":
            contents.deleted.add(fields["c"])
            if fields["k"] == "withdraw":
                contents.withdrawn.add(fields["c"])
            contents.conversations.pop(fields["c"], None)
        case "trouble":
            contents.troubles[str(fields["kind"])] += int(fields.get("count", 1))
        case "lost":
            contents.lost.append({"what": str(fields["what"]), "why": str(fields["why"])})
        case "journal":
            contents.worker = str(fields["worker"])
            contents.pid = int(fields["pid"])
            contents.forked = bool(fields.get("forked"))
        case "end":
            contents.ended = True
            contents.interrupted = str(fields.get("interrupted") or "")
            contents.redacted.update({str(rule): int(n) for rule, n in (fields.get("redacted") or {}).items()})


def _apply_change(contents: JournalContents, record: Record) -> None:
    fields = record.fields
    number, version = int(fields["c"]), int(fields["v"])
    if number in contents.deleted:
        return  # a line that was written twice
    conversation = contents.conversations.get(number)
    if conversation is None:
        conversation = contents.conversations[number] = _Conversation(store=int(fields["s"]))
    if version < conversation.next:
        return  # a line that was written twice
    if version > conversation.next:
        conversation.gap = True
    conversation.next = version + 1
    conversation.changed = int(fields["t"])
    conversation.report = None
    if "id" in fields:
        conversation.id = str(fields["id"])
        conversation.mark = str(fields.get("mark") or "")
    if fields["k"] == "metadata":
        if "more" in fields:
            conversation.more = conversation.more or []
            conversation.more.append(dumps(dict(fields["more"])))
        else:
            conversation.metadata, conversation.more = dumps(dict(fields["metadata"])), None
        return
    if fields.get("head") is not None:
        conversation.head = contents.once(dumps(dict(fields["head"])))
    messages = conversation.messages
    _resize(contents, messages, int(fields["n"]), given=len(record.values))
    at = fields.get("at")
    indexes = at if at is not None else range(fields["from"], fields["from"] + len(record.values))
    for index, value in zip(indexes, record.values, strict=True):
        messages[2 * index], messages[2 * index + 1] = value.offset, value.length


def _resize(contents: JournalContents, messages: Places, length: int, *, given: int = 0) -> None:
    known = len(messages) // 2
    missing = max(0, length - known - given)
    if length < 0 or contents.missing + missing > MOST_MISSING:
        raise ValueError(length)
    contents.missing += missing
    del messages[2 * length :]
    messages.extend(_LOST * (length - known))


def _apply_report(contents: JournalContents, record: Record) -> None:
    fields = record.fields
    number, version = int(fields["c"]), int(fields["v"])
    run_id, values = str(fields["run_id"]), record.values
    if number in contents.deleted or len(values) != 3:
        return
    conversation = contents.conversations.get(number)
    if conversation is None:  # all that was saved is lost
        conversation = contents.conversations[number] = _Conversation(store=int(fields["s"]))
    if version < conversation.next:
        return
    if version > conversation.next:
        conversation.gap, conversation.next = True, version
        _resize(contents, conversation.messages, int(fields["n"]))
    conversation.report = array("q", (number for part in values for number in (part.offset, part.length)))
    conversation.run_id = conversation.id if run_id == conversation.id else run_id


# --- runs ------------------------------------------------------------------------------


Order: TypeAlias = tuple[str, int, str, str, str]
"""The node id, the attempt, the run id, the conversation id and the worker."""


@dataclass(slots=True)
class MergedRun:
    """A run with everything that is needed to write its report."""

    context: RunContext
    conversation_id: str
    run_id: str
    journal: Path
    messages: Places
    report: Places | None
    composed: document.Composed | None
    token: str = ""
    """Of the session that saved it."""
    superseded: bool = False
    crashed: bool = False

    @property
    def order(self) -> Order:
        """Runs are ordered by node id, attempt and run id; the rest only breaks ties."""
        return (
            self.context.nodeid,
            self.context.attempt,
            self.run_id,
            self.conversation_id,
            self.context.worker,
        )


@dataclass(slots=True)
class Merged:
    """The runs of a session and what became of everything else."""

    runs: list[MergedRun] = field(default_factory=list)
    ledgers: list[Ledger] = field(default_factory=list)
    """Of processes that ended in order: their runs are not in ``runs``."""
    workers: list[str] = field(default_factory=list)
    crashed: list[str] = field(default_factory=list)
    interrupted: int = 0
    """Runs whose test was cut short; counted when their reports are read."""
    deleted: int = 0
    lost: list[dict[str, str]] = field(default_factory=list)
    redacted: Counter[str] = field(default_factory=Counter)
    troubles: Counter[str] = field(default_factory=Counter)
    recovered: int = 0
    """Runs of sessions that had died."""
    media: list[Path] = field(default_factory=list)
    """Folders of media that are too large for the runs."""

    @property
    def count(self) -> int:
        """All runs."""
        return len(self.runs) + sum(ledger.count for ledger in self.ledgers)


CONTROLLER = "controller"  # the journal of xdist's controller, which runs no test


def merge_session(
    directory: Path,
    *,
    token: str = "",
    interrupted_by: str = "",
    staged_as: Form | None = None,
    unwritten: Iterable[Mapping[str, str]] | None = None,
    died: Set[str] = frozenset(),
) -> Merged:
    """Merge the journals of one session.

    Args:
        directory: Where its journals are.
        token: Tells its runs from those of other sessions.
        interrupted_by: What ended the session early, if something did. Tests that were
            open then were interrupted; without it their process must have died.
        staged_as: Go by what processes have staged for results of this form, where that is whole.
        unwritten: What no journal took, each ending in the name of its process; what the session wrote
            down about it when None.
        died: Workers of which is known that they died, and were not ended with the session.

    Raises:
        OSError: The directory cannot be read.
    """
    merged = Merged()
    media = folder_of(directory)
    if media.is_dir():
        merged.media.append(media)
    contents = []
    paths = journal_paths(directory)
    if staged_as is not None and not any(_is_of_fork(path) for path in paths):
        # A forked child may have saved to a run of its parent; only the journals tell which save was the last.
        for path in list(paths):
            ledger = read_ledger(directory, path.name.removesuffix(SUFFIX), staged_as)
            if ledger is not None:
                merged.ledgers.append(ledger)
                paths.remove(path)
    for path in paths:
        try:
            contents.append(read_journal(path))
        except OSError as error:
            merged.lost.append({"what": path.name, "why": error.strerror or str(error)})
    lost_of = _lost_of(merged, noted_losses(directory) if unwritten is None else unwritten)
    chosen: dict[tuple[str, str, int, str, str], tuple[int, str, int, JournalContents, _Conversation]] = {}
    for journal in contents:
        _account(merged, journal, "" if journal.worker in died else interrupted_by, lost_of)
        for number, conversation in sorted(journal.conversations.items()):
            context = journal.contexts.get(conversation.store, RunContext(worker=journal.worker))
            conversation_id = (
                conversation.id if conversation.id is not None else f"lost-id-{journal.path.stem}-{number}"
            )
            key = (context.worker, context.test, context.attempt, conversation_id, conversation.mark)
            stamp = (conversation.changed, journal.path.name, number)
            if key not in chosen or chosen[key][:3] < stamp:
                chosen[key] = (*stamp, journal, conversation)
        journal.conversations.clear()
    verdicts = _verdicts_by_test(
        contents, {key[:3] for key, (*_, its, run) in chosen.items() if run.report is None or its.forked}
    )
    for key in list(chosen):  # emptied on the way: all of it as conversations and as runs is too much
        conversation_id, (_, _, _, journal, conversation) = key[3], chosen.pop(key)
        try:
            ended_by = "" if journal.worker in died else interrupted_by
            reason = ended_by or lost_of.get(journal.worker, "")
            merged.runs.append(_run(journal, conversation, conversation_id, verdicts, reason))
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            # Its records have their checksums, and another program made them.
            merged.lost.append({"what": conversation_id, "why": f"{type(error).__name__}: {error}"[:300]})
    merged.runs.sort(key=lambda run: run.order)
    for run in merged.runs:
        run.token = token
    # Without xdist there is one process and no worker.
    processes = {journal.worker for journal in contents if not journal.forked and journal.worker}
    for ledger in merged.ledgers:
        processes.add(ledger.name)
        _account_of_ledger(merged, ledger)
    merged.workers = sorted(processes - {CONTROLLER, "main"})
    mark_superseded(merged.runs)
    return merged


def _lost_of(merged: Merged, unwritten: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Name what no journal took; returns why a process has left a journal like that of one that died."""
    whole = {ledger.name for ledger in merged.ledgers}
    reasons: dict[str, str] = {}
    for loss in unwritten:
        process = loss["what"].rpartition(" ")[2]
        if process not in whole:  # else all of its runs are staged
            merged.lost.append(dict(loss))
            reasons[process] = f"the journal did not take all of it: {loss['why']}"
    return reasons


def _verdicts_by_test(
    contents: Iterable[JournalContents], wanted: Set[tuple[str, str, int]]
) -> dict[tuple[str, str, int], Verdict]:
    # A forked child saves for its parent's test, and only the parent knows how that ended.
    found = {}
    for journal in sorted(contents, key=lambda journal: not journal.forked):
        for number, verdict in journal.verdicts.items():
            context = journal.contexts.get(number)
            if context is not None:
                test = (context.worker, context.test, context.attempt)
                if test in wanted:
                    found[test] = verdict
    return found


def _account(merged: Merged, journal: JournalContents, interrupted_by: str, lost_of: Mapping[str, str]) -> None:
    name = journal.path.name
    merged.deleted += len(journal.deleted - journal.withdrawn)
    merged.redacted += journal.redacted
    merged.troubles += journal.troubles
    merged.lost += journal.lost
    damage = journal.damage
    if damage.lines:
        merged.lost.append({"what": f"{damage.lines} records of {name}", "why": "they are damaged"})
    if damage.newer:
        merged.troubles["journal of a newer version"] += 1
    if damage.torn and journal.worker not in lost_of:
        merged.troubles["save cut off by the death of its process"] += 1
    if not journal.worker and not damage.lines and not journal.lost:
        merged.troubles["empty journal"] += 1
    alone = journal.worker not in ("", CONTROLLER) and not journal.forked
    if alone and not journal.ended and not interrupted_by and journal.worker not in lost_of:
        merged.crashed.append(journal.worker)


def _is_of_fork(path: Path) -> bool:
    return "." in path.name.removesuffix(SUFFIX)


def _account_of_ledger(merged: Merged, ledger: Ledger) -> None:
    account = ledger.account
    merged.deleted += account.get("deleted", 0)
    merged.redacted.update(account.get("redacted", {}))
    merged.troubles.update(account.get("troubles", {}))


def _run(
    journal: JournalContents,
    conversation: _Conversation,
    conversation_id: str,
    verdicts: dict[tuple[str, str, int], Verdict],
    interrupted_by: str,
) -> MergedRun:
    context = journal.contexts.get(conversation.store, RunContext(worker=journal.worker))
    verdict = verdicts.get((context.worker, context.test, context.attempt))
    # A forked child may have finished its run and died on the way to telling its parent.
    overruled = journal.forked and verdict is not None and verdict.outcome == "crashed"
    if conversation.report is not None and not overruled:
        return MergedRun(
            context,
            conversation_id,
            conversation.run_id,
            journal.path,
            conversation.messages,
            conversation.report,
            _composed_with_gap(journal.path, conversation) if conversation.gap else None,
        )
    died = verdict is None and bool(context.nodeid)
    if died:
        verdict = _verdict_of_the_dead(journal, context, interrupted_by)
    with SliceReader() as reader:
        texts = reader.messages(journal.path, conversation.messages)
    facts = [facts_of(loads(text)) for text in texts]
    metadata = fill_in(
        conversation.all_metadata(),
        conversation_id=conversation_id,
        facts=facts,
        context=context,
        verdict=verdict,
        last_save=_wall_clock(conversation.changed),
    )
    if not isinstance(metadata["run_id"], str):
        raise TypeError(f"a run id is a text, not {type(metadata['run_id']).__name__}")
    if conversation.gap:
        metadata["error"] = _with_gap(str(metadata.get("error") or ""), conversation)
    composed = document.compose(metadata, loads(conversation.head).get("metadata") or {}, facts)
    run = MergedRun(context, conversation_id, metadata["run_id"], journal.path, conversation.messages, None, composed)
    run.crashed = died and verdict is not None and verdict.outcome == "crashed"
    return run


def _composed_with_gap(path: Path, conversation: _Conversation) -> document.Composed:
    # The process knew everything when it finished the run; some of the messages are lost since.
    assert conversation.report is not None
    with SliceReader() as reader:
        before, after, row = map(loads, reader.pieces(path, conversation.report))
    after["Error"] = _with_gap(after["Error"], conversation)
    return document.Composed(before, after, {**row, "status": "error"})


def _with_gap(error: str, conversation: _Conversation) -> str:
    missing = sum(offset < 0 for offset in conversation.messages[::2])
    problem = (
        f"{missing} of {len(conversation.messages) // 2} messages are lost: their journal records are damaged"
        if missing
        else "something is not as it was saved last: journal records of this run are damaged"
    )
    return f"{error}\n{problem}" if error else problem


def _verdict_of_the_dead(journal: JournalContents, context: RunContext, interrupted_by: str) -> Verdict:
    if journal.interrupted or (interrupted_by and not journal.ended):
        return interrupted(f"interrupted: {journal.interrupted or interrupted_by}")
    if journal.ended:
        return interrupted("interrupted: the session ended before the test did")
    who = "the process" if context.worker == "main" else f"worker {context.worker!r}"
    return crashed(f"{who} died while it ran {context.nodeid}")


def _wall_clock(nanoseconds: int) -> str:
    return format_time(datetime.fromtimestamp(nanoseconds // 1000 / 1e6, UTC))


class Attempts:
    """Which attempts at a test were followed by another; only tests that were run again take memory."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], int] = {}
        self._last_of_worker: dict[tuple[str, str, str], int] = {}

    def note(self, token: str, test: str, attempt: int, worker: str) -> None:
        """There is a run of this attempt, in the session with this token."""
        if attempt > 1 and test:
            key, own = (token, test), (token, test, worker)
            self._last[key] = max(self._last.get(key, 0), attempt)
            self._last_of_worker[own] = max(self._last_of_worker.get(own, 0), attempt)

    def superseded(self, token: str, test: str, attempt: int, worker: str, *, crashed: bool) -> bool:
        """Whether a later attempt counts instead.

        Another worker's attempt replaces this one only where this worker died over it: with
        ``--dist=each`` every worker runs every test, and all of them count.
        """
        newest = self._last.get((token, test)) if crashed else self._last_of_worker.get((token, test, worker))
        return newest is not None and attempt < newest


def mark_superseded(runs: Sequence[MergedRun]) -> None:
    """Mark the runs of earlier attempts of a test that was run again."""
    attempts = Attempts()
    for run in runs:
        attempts.note(run.token, run.context.test, run.context.attempt, run.context.worker)
    for run in runs:
        context = run.context
        run.superseded = attempts.superseded(
            run.token, context.test, context.attempt, context.worker, crashed=run.crashed
        )


# --- bytes -------------------------------------------------------------------------------


class SliceReader(PieceReader):
    """Reads the runs of journals."""

    def messages(self, path: Path, places: Places) -> list[bytes]:
        """Messages; one that is lost is replaced by a note that says so."""
        if -1 not in places:
            return self.pieces(path, places)
        pairs = zip(places[::2], places[1::2], strict=True)
        return [LOST_MESSAGE if offset < 0 else self.read(path, offset, length) for offset, length in pairs]

    def report(self, run: MergedRun) -> tuple[dict[str, Any], list[bytes], dict[str, Any], dict[str, Any]]:
        """A run's report: before, messages, after, row."""
        messages = self.messages(run.journal, run.messages)
        if run.composed is not None:
            composed = run.composed
            return composed.before, messages, composed.after, {**composed.row, "superseded": run.superseded}
        assert run.report is not None
        before, after, row = map(loads, self.pieces(run.journal, run.report))
        return before, messages, after, {**row, "superseded": run.superseded}


__all__ = [
    "Attempts",
    "JournalContents",
    "Merged",
    "MergedRun",
    "Order",
    "SliceReader",
    "mark_superseded",
    "merge_session",
    "read_journal",
]
