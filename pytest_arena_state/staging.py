"""The finished runs of one process, as they will be published, and a ledger of them.

A process writes each run when its test has ended: a file of its own, or a line in one file
for all. What is left to do when the session ends is to put names, order and index to them.
The ledger says what is where. It counts only when it is whole, which its last line tells;
a process that died leaves none, and its journal has everything.

A worker on another disk sends its journal to the controller, and at the end of that its ledger: where in the journal
the parts of each run are, so that nobody needs to read it all to find them.
"""

from __future__ import annotations

import os
import zlib
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from os import getpid  # by name: a test may replace what the module has
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from . import document
from ._system import make_folder, write_file
from ._wire import dumps, loads
from .journal import SUFFIX

if TYPE_CHECKING:
    from .journal import JournalWriter, Places
    from .journal_reading import PieceReader
    from .target import Form

_LEDGER = ".ledger"
_PART = ".part"
_FLUSH = 256 * 1024  # bytes that wait in memory before they are written at once
_TRIES = 16  # for a file that is not there yet, before it is worth the memory to know where to begin
_APPENDING = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


class StagedRun(NamedTuple):
    """A run in a ledger; plain values in the order in which they stand there."""

    nodeid: str
    attempt: int
    run_id: str
    conversation_id: str
    stem: str
    """The name that its id gives."""
    file: str
    """Within the folder of its process; empty where all runs are in one file."""
    offset: int
    length: int
    """Where it is in that one file; where runs stay in the journal, where the ledger says more of it."""
    prompt_pack: str
    ended: str
    row_offset: int = 0
    row_length: int = 0
    """Where its row of the index is in the ledger."""
    mark: str = ""
    """Stands for the node id where that was redacted."""


class FinishedRun(NamedTuple):
    """A run to be staged."""

    names: list[Any]
    """Its node id, attempt, run id and conversation id."""
    stem: str
    """The name that its id gives."""
    report: Sequence[bytes]
    """JSON, each: what stands before its messages, what follows, and its row of the index."""
    messages: Sequence[bytes]
    """JSON, each."""
    fields: tuple[Mapping[str, Any], Mapping[str, Any]]
    """The first two of the report, not serialised."""
    places: Places
    """Of the messages in the journal, where runs stay there."""
    mark: str = ""
    """Stands for the node id where that was redacted."""


class Stager:
    """Keeps a ledger of the finished runs of this process, for the publication.

    Nothing in here raises: when something cannot be written, there is no ledger, and the
    publication goes by the journal.
    """

    by_place = False
    """The runs stay in the journal, and the ledger says where they are in it."""

    def __init__(self, form: Form, shown: str) -> None:
        """Prepare; touches no disk.

        Args:
            form: Of the results.
            shown: The name of the results' file, for rows of the index.
        """
        self._form = form
        self._shown = shown
        self._pid = getpid()
        self._broken = False
        self._lines = _Waiting()
        self._checksum = 0
        self._count = 0

    def file_of(self, stem: str) -> str:
        """What a row of the index says of the file."""
        return f"{stem}.json" if self._form == "directory" else self._shown

    def add(self, run: FinishedRun) -> None:
        """Write down a run."""
        if self._broken or getpid() != self._pid:
            return
        before, after = run.fields
        try:
            where, further = self._keep(run)
            entry = [*run.names, run.stem, *where, before["PromptPack"], after["EndTime"]]
            if run.mark:
                entry.append(run.mark)
            told = (dumps(entry), b"\t", run.report[2], b"\t", dumps(after["conversation_assertions"]), *further, b"\n")
            self._lines.add(*told)
            self._count += 1
            if self._lines.size > _FLUSH:
                self._flush()
        except OSError:
            self._broken = True

    def _keep(self, run: FinishedRun) -> tuple[tuple[str, int, int], tuple[bytes, ...]]:
        """See that the run is kept; returns its file, its place in it, and what else the ledger says of it."""
        raise NotImplementedError

    def _write(self, content: bytes) -> None:
        """Append to the ledger."""
        raise NotImplementedError

    def _finish(self) -> Mapping[str, Any]:
        """Complete what is beside the ledger; returns what the ledger says of it."""
        raise NotImplementedError

    def _flush(self) -> None:
        content = self._lines.taken()
        self._checksum = zlib.crc32(content, self._checksum)
        self._write(content)

    def end(self, account: Mapping[str, Any]) -> None:
        """Finish the ledger.

        Args:
            account: What the journal says beside the runs.
        """
        if self._broken or getpid() != self._pid:
            return
        with suppress(OSError):
            beside = self._finish()
            self._flush()
            crc = f"{self._checksum:08x}"
            self._write(dumps({"account": dict(account), "count": self._count, **beside, "crc": crc}) + b"\n")
        self._broken = True


class DiskStager(Stager):
    """Writes the runs as they will be published, beside the journal."""

    def __init__(self, session: Path, name: str, form: Form, shown: str) -> None:
        """Prepare; touches no disk.

        Args:
            session: The folder of the session.
            name: Of this process's journal.
            form: Of the results.
            shown: The name of the results' file, for rows of the index.
        """
        super().__init__(form, shown)
        self._folder = staged_folder(session, name)
        self._prefix = f"{self._folder}{os.sep}"
        self._session = session
        self._name = name
        self._part = str(session / f"{name}{_PART}")
        self._started = False
        self._numbers: dict[str, int] = {}
        """Of names that very many runs have, the number from which on there may be room."""
        self._bodies = _Waiting()
        self._offset = 0

    def _keep(self, run: FinishedRun) -> tuple[tuple[str, int, int], tuple[bytes, ...]]:
        if self._form == "directory":
            before, after = run.fields
            return (self._write_file(run.stem, document.lines(before, run.messages, after)), 0, 0), ()
        offset = self._offset
        length = self._bodies.add(*document.pieces(run.report[0], run.messages, run.report[1]))
        self._offset += length
        if self._bodies.size > _FLUSH:
            write_file(self._part, _APPENDING, self._bodies.taken())
        return ("", offset, length), ()

    def _write_file(self, stem: str, body: bytes) -> str:
        if not self._started:
            make_folder(str(self._folder))
            self._started = True
        number = first = self._numbers.get(stem, 1)
        while True:
            # No run's name has such a character, so it takes nobody's place.
            name = f"{stem}.json" if number == 1 else f"{stem}#{number}.json"
            try:
                write_file(self._prefix + name, _NEW_FILE, body)
            except FileExistsError:
                number += 1
            else:
                if number - first >= _TRIES or first > 1:
                    self._numbers[stem] = number
                return name

    def _write(self, content: bytes) -> None:
        append_to_ledger(self._session, self._name, content)

    def _finish(self) -> Mapping[str, Any]:
        if self._bodies.size:
            write_file(self._part, _APPENDING, self._bodies.taken())
        return {"size": self._offset}


class PlaceStager(Stager):
    """Of a worker on another disk: the controller has its journal, and the ledger says where in it the runs are."""

    by_place = True

    def __init__(self, send: Callable[[bytes], object], journal: JournalWriter, form: Form, shown: str) -> None:
        """Prepare.

        Args:
            send: Takes pieces of the ledger.
            journal: Of this process.
            form: Of the results.
            shown: The name of the results' file, for rows of the index.
        """
        super().__init__(form, shown)
        self._send = send
        self._journal = journal

    def _keep(self, run: FinishedRun) -> tuple[tuple[str, int, int], tuple[bytes, ...]]:
        self._check()
        return ("", 0, 0), (b"\t", run.report[0], b"\t", run.report[1], b"\t", dumps(run.places.tolist()))

    def _write(self, content: bytes) -> None:
        self._send(content)

    def _finish(self) -> Mapping[str, Any]:
        self._check()
        return {"size": self._journal.position, "in_journal": True}

    def _check(self) -> None:
        """See that the journal is all that was written to it.

        Raises:
            OSError: It is not, so nobody knows where anything is.
        """
        if self._journal.refusals:
            raise OSError(self._journal.last_error)


class _Waiting:
    """What will be appended to a file at once, in pieces: to copy the text of a conversation takes a while."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.size = 0

    def add(self, *pieces: bytes) -> int:
        """Have something more wait; returns its length."""
        length = sum(map(len, pieces))
        self._pieces += pieces
        self.size += length
        return length

    def taken(self) -> bytes:
        """What waits, and waits no longer."""
        content = b"".join(self._pieces)
        self._pieces, self.size = [], 0
        return content


def append_to_ledger(session: Path, name: str, piece: bytes) -> None:
    """Append a piece to the ledger of a process.

    Raises:
        OSError: It cannot be written, or not whole.
    """
    write_file(str(session / f"{name}{_LEDGER}"), _APPENDING, piece)


def staged_folder(session: Path, name: str) -> Path:
    """Where a process of a session writes its files."""
    return session / "staged" / name


@dataclass(slots=True)
class Ledger:
    """What one process says of the runs that it has written."""

    name: str
    path: Path
    folder: Path
    part: Path
    """All runs in one file; where ``in_journal``, the journal that they stay in."""
    count: int
    size: int
    """Of ``part``, in bytes."""
    account: dict[str, Any]
    in_journal: bool = False

    def runs(self) -> Iterator[StagedRun]:
        """The runs, in the order in which they ended.

        Raises:
            OSError: The ledger cannot be read.
        """
        with self.path.open("rb") as stream:
            start = 0
            for _, line in zip(range(self.count), stream, strict=False):
                head, row, told, *_ = line.split(b"\t", 3)
                names = loads(head)
                row_start = start + len(head) + 1
                if self.in_journal:
                    begin = row_start + len(row) + len(told) + 2
                    names[6:8] = begin, start + len(line) - 1 - begin
                yield StagedRun._make((*names[:10], row_start, len(row), *(names[10:] or ("",))))
                start += len(line)

    def report(self, offset: int, length: int, reader: PieceReader) -> tuple[Any, list[bytes], Any]:
        """A run that stays in the journal: what stands before its messages, these, and what follows.

        Args:
            offset: In the ledger, as `runs` says.
            length: Likewise.
            reader: Of the ledger and of the journal.

        Raises:
            OSError: One of the files cannot be read, or has become shorter.
        """
        before, after, places = reader.read(self.path, offset, length).split(b"\t")
        return loads(before), reader.pieces(self.part, array("q", loads(places))), loads(after)


def read_ledger(session: Path, name: str, form: Form) -> Ledger | None:
    """The ledger of a process, if it is whole and what it names is there."""
    path = session / f"{name}{_LEDGER}"
    try:
        with path.open("rb") as stream:
            checksum = count = 0
            last = b""
            for line in stream:
                if last:
                    checksum = zlib.crc32(last, checksum)
                    count += 1
                last = line
        end = loads(last) if last.endswith(b"\n") else None
    except (OSError, ValueError):
        return None
    if not isinstance(end, dict) or (end.get("crc"), end.get("count")) != (f"{checksum:08x}", count):
        return None
    account = end.get("account")
    if not isinstance(account, dict) or not isinstance(end.get("size"), int):
        return None
    in_journal = end.get("in_journal") is True
    part = session / f"{name}{SUFFIX if in_journal else _PART}"
    ledger = Ledger(name, path, staged_folder(session, name), part, count, end["size"], account, in_journal)
    return ledger if _has_all(ledger, form) else None


def _has_all(ledger: Ledger, form: Form) -> bool:
    """Whether what was written is still there: somebody may have emptied the folder since."""
    try:
        if form == "directory" and not ledger.in_journal:
            with os.scandir(ledger.folder) as found:
                return sum(1 for _ in found) == ledger.count
        return (ledger.part.stat().st_size if ledger.size else 0) == ledger.size
    except OSError:
        return ledger.count == 0


__all__ = [
    "DiskStager",
    "FinishedRun",
    "Ledger",
    "PlaceStager",
    "StagedRun",
    "Stager",
    "append_to_ledger",
    "read_ledger",
    "staged_folder",
]
