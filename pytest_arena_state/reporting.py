"""The reports of runs whose tests have ended: journaled and staged, many at a time.

Between two tests, what composes a report is in no cache of the processor, and costs twice what it costs in
a loop. So runs wait for each other. Until then the journal has everything that they are made of, and the
merge of a process that died composes the same from it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from . import document
from ._garbage import without_collections
from ._outside import is_from_outside
from ._times import format_time
from ._wire import dumps, loads
from .large_media import names_in
from .naming import safe_stem
from .staging import FinishedRun
from .verdict import fill_in

if TYPE_CHECKING:
    from .document import Composed
    from .journal import Places
    from .redaction import Redactor
    from .staging import Stager
    from .telemetry import MessageFacts
    from .verdict import RunContext, Verdict

_MOST_RUNS = 16  # that wait: enough for a loop
_MOST_BYTES = 1024 * 1024  # of their messages, which stay in memory meanwhile

Unwritten: TypeAlias = tuple[str, bytes, Sequence[bytes] | None]
"""A record: its kind, its fields, and its values where it has some."""


class EndedRun(NamedTuple):
    """A run as it was when its test ended; what is saved to it later is not in its report."""

    number: int
    """Of the conversation, in its journal."""
    store: int
    version: int
    changed: int
    """When it was saved last, in nanoseconds since 1970."""
    conversation_id: str
    metadata: Mapping[str, Any] | None
    state_metadata: Mapping[str, Any]
    facts: Sequence[MessageFacts]
    messages: Sequence[bytes]
    """As they are in the journal."""
    places: Places
    """Where these are in it, where the stager wants to know."""
    slim: Collection[int]
    """The messages among them whose media are in files of their own."""
    context: RunContext
    verdict: Verdict | None
    composed: Composed | None = None
    """Where it is composed already."""


def compose(run: EndedRun) -> Composed:
    """The report of a run, without its messages."""
    metadata = fill_in(
        run.metadata,
        conversation_id=run.conversation_id,
        facts=run.facts,
        context=run.context,
        verdict=run.verdict,
        last_save=format_time(datetime.fromtimestamp(run.changed // 1000 / 1e6, UTC)),
    )
    return document.compose(metadata, run.state_metadata, run.facts)


class _Report(NamedTuple):
    """Of a run, when it is written."""

    run: EndedRun
    names: list[Any]
    """Its node id, attempt, run id and conversation id."""
    stem: str
    """The name that its id gives."""
    parts: Sequence[bytes]
    """JSON, each: what stands before its messages, what follows, and its row of the index."""
    composed: Composed
    mark: str = ""
    """Stands for the node id where that was redacted."""


class Reporter:
    """Writes the reports of one process."""

    def __init__(
        self,
        append: Callable[[list[Unwritten], bytes], list[Unwritten] | None],
        trouble: Callable[[str], None],
        redactor: Redactor,
        stager: Stager | None,
    ) -> None:
        """Nothing waits yet.

        Args:
            append: Redacts and journals records; see `Recording`.
            trouble: Told of what goes wrong.
            redactor: Takes secrets out of names.
            stager: Writes finished runs where the publication only has to move them.
        """
        self._append = append
        self._trouble = trouble
        self._redactor = redactor
        self._stager = stager
        self._busy = False
        self._waiting: list[EndedRun] = []
        self._bytes = 0
        self._media_named: set[str] = set()

    def begin(self) -> None:
        """Work on the runs of a test begins; what is staged counts only if all such work came to its `done`.

        A Ctrl-C may come anywhere between the two, and the merge finds in the journal what it kept from here.
        """
        if self._busy:
            self._stager = None
        self._busy = True

    def done(self) -> None:
        """What had begun has ended."""
        self._busy = False

    def add(self, run: EndedRun) -> None:
        """Report a run, now or soon."""
        self._waiting.append(run)
        self._bytes += sum(map(len, run.messages))

    @property
    def full(self) -> bool:
        """Whether what waits should be written now; nothing waits for a controller that merges journals itself."""
        return self._stager is None or len(self._waiting) >= _MOST_RUNS or self._bytes >= _MOST_BYTES

    def go_by_the_journal(self) -> None:
        """Leave the runs of this process to the merge: what is staged is not all any more."""
        self._stager = None

    def give_up(self, error: Exception) -> None:
        """Leave the runs of this process to the merge, which composes them from their saves.

        Raises:
            Exception: The error itself, where it is not ours to swallow; else it is counted.
        """
        self.go_by_the_journal()
        if is_from_outside(error):
            raise error
        self._trouble(f"a report was left to the merge: {type(error).__name__}: {error}")

    def forget(self) -> None:
        """In a forked child: what waits, and what was staged, is the parent's. A child's runs are merged."""
        self._waiting, self._bytes, self._stager = [], 0, None

    def write(self, said: Sequence[Unwritten] = ()) -> None:
        """Journal what waits, after what else is ``said``, with one look and one write; and stage it."""
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        try:
            with without_collections():  # else one would start every time, over so much at once
                self._write(waiting, said)
        except Exception as error:  # noqa: BLE001 - our failure must not fail a test
            if said:  # maybe for the second time, which changes nothing
                self._append([*said], b"")
            self.give_up(error)

    def _write(self, waiting: Sequence[EndedRun], said: Sequence[Unwritten]) -> None:
        records, reports = list(said), []
        for run in waiting:
            try:
                record, report = self._report(run)
            except Exception as error:  # noqa: BLE001 - see above
                self.give_up(error)
            else:
                records.append(record)
                reports.append(report)
        if not records:
            return
        names = [dumps(report.names) for report in reports]
        redacted = self._append(records, b",".join(names))
        if self._stager is None:
            return
        for at, report in enumerate(reports):
            parts = redacted[len(said) + at][2] if redacted is not None else None
            self._stage(self._stager, report if parts is None else self._redacted(report, parts, names[at]))

    def _report(self, run: EndedRun) -> tuple[Unwritten, _Report]:
        composed = run.composed or compose(run)
        run_id = composed.before["RunID"]
        stem, row = "", composed.row
        if self._stager is not None:
            stem = safe_stem(run_id)
            row = {"run_id": run_id, "file": self._stager.file_of(stem), **row}
        parts = [dumps(composed.before), dumps(composed.after), dumps(row)]
        # With the store and the number of messages, should all saves of the run be lost.
        place = b'{"c":%d,"s":%d,"v":%d,"n":%d,"run_id":%b}' % (
            *(run.number, run.store, run.version, len(run.messages)), dumps(run_id)
        )  # fmt: skip
        names = [run.context.nodeid, run.context.attempt, run_id, run.conversation_id]
        return ("report", place, parts), _Report(run, names, stem, parts, composed)

    def _stage(self, stager: Stager, report: _Report) -> None:
        run, composed = report.run, report.composed
        if run.slim:
            self._media_named |= names_in(run.messages[index] for index in run.slim)
        fields = composed.before, composed.after
        stager.add(FinishedRun(report.names, report.stem, report.parts, run.messages, fields, run.places, report.mark))

    def _redacted(self, report: _Report, parts: Sequence[bytes], names: bytes) -> _Report:
        assert self._stager is not None
        before, after, row = map(loads, parts)
        clean_names = loads(self._redactor.redact(names))
        stem = safe_stem(clean_names[2])
        row["file"] = self._stager.file_of(stem)
        composed = document.Composed(before, after, row)
        mark = "" if clean_names[0] == report.names[0] else self._redactor.mark_of(report.names[0])
        return _Report(report.run, clean_names, stem, [parts[0], parts[1], dumps(row)], composed, mark)

    def end(self, account: Mapping[str, Any]) -> None:
        """Finish what is staged, after the last `write`.

        Args:
            account: What the journal says beside the runs.
        """
        if self._stager is not None:
            checked = loads(self._redactor.redact(dumps(dict(account))))
            self._stager.end(checked | {"media": sorted(self._media_named)} if self._media_named else checked)


__all__ = ["EndedRun", "Reporter", "Unwritten", "compose"]
