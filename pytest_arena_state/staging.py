"""The finished runs of one process, as they will be published, and a ledger of them.

A process writes each run when its test has ended: a file of its own, or a line in one file
for all. What is left to do when the session ends is to put names, order and index to them.
The ledger says what is where. It counts only when it is whole, which its last line tells;
a process that died leaves none, and its journal has everything.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from os import getpid  # by name: a test may replace what the module has
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from . import document
from ._system import make_folder, write_file
from ._wire import dumps, loads

if TYPE_CHECKING:
    from .target import Form

LEDGER = ".ledger"
_PART = ".part"
_FLUSH = 256 * 1024  # bytes that wait in memory before they are written at once
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
    """Where it is in that one file."""
    prompt_pack: str
    ended: str
    row_offset: int = 0
    row_length: int = 0
    """Where its row of the index is in the ledger."""


class Stager:
    """Writes the finished runs of this process, and the ledger when it ends.

    Nothing in here raises: when something cannot be written, there is no ledger, and the
    publication goes by the journal.
    """

    def __init__(self, session: Path, name: str, form: Form, shown: str) -> None:
        """Prepare; touches no disk.

        Args:
            session: The folder of the session.
            name: Of this process's journal.
            form: Of the results.
            shown: The name of the results' file, for rows of the index.
        """
        self._shown = shown
        self._folder = staged_folder(session, name)
        self._prefix = f"{self._folder}{os.sep}"
        self._ledger = session / f"{name}{LEDGER}"
        self._part = session / f"{name}{_PART}"
        self._form = form
        self._pid = getpid()
        self._broken = False
        self._started = False
        self._lines = _Waiting()
        self._bodies = _Waiting()
        self._checksum = 0
        self._count = 0
        self._offset = 0

    def file_of(self, stem: str) -> str:
        """What a row of the index says of the file."""
        return f"{stem}.json" if self._form == "directory" else self._shown

    def add(
        self,
        names: list[Any],
        stem: str,
        report: Sequence[bytes],
        messages: Sequence[bytes],
        fields: tuple[Mapping[str, Any], Mapping[str, Any]],
    ) -> None:
        """Write a run.

        Args:
            names: Its node id, attempt, run id and conversation id.
            stem: The name that its id gives.
            report: JSON, each: what stands before its messages, what follows, and its row of the index.
            messages: JSON, each.
            fields: The first two of the report, not serialised.
        """
        if self._broken or getpid() != self._pid:
            return
        before, after, row = report
        try:
            if self._form == "directory":
                file, offset, length = self._write_file(stem, document.lines(fields[0], messages, fields[1])), 0, 0
            else:
                file, offset = "", self._offset
                length = self._bodies.add(*document.pieces(before, messages, after))
                self._offset += length
                if self._bodies.size > _FLUSH:
                    self._bodies.append_to(self._part)
            self._count += 1
            entry = [*names, stem, file, offset, length, fields[0]["PromptPack"], fields[1]["EndTime"]]
            self._lines.add(dumps(entry), b"\t", row, b"\t", dumps(fields[1]["conversation_assertions"]), b"\n")
            if self._lines.size > _FLUSH:
                self._flush()
        except OSError:
            self._broken = True

    def _write_file(self, stem: str, body: bytes) -> str:
        if not self._started:
            make_folder(str(self._folder))
            self._started = True
        name, number = f"{stem}.json", 1
        while True:
            try:
                write_file(self._prefix + name, _NEW_FILE, body)
            except FileExistsError:
                number += 1
                name = f"{stem}#{number}.json"  # no run's name has such a character, so it takes nobody's place
            else:
                return name

    def _flush(self) -> None:
        self._checksum = zlib.crc32(self._lines.append_to(self._ledger), self._checksum)

    def end(self, account: Mapping[str, Any]) -> None:
        """Finish the ledger.

        Args:
            account: What the journal says beside the runs.
        """
        if self._broken or getpid() != self._pid:
            return
        with suppress(OSError):
            if self._bodies.size:
                self._bodies.append_to(self._part)
            self._flush()
            last = {
                "account": dict(account),
                "count": self._count,
                "size": self._offset,
                "crc": f"{self._checksum:08x}",
            }
            write_file(str(self._ledger), _APPENDING, dumps(last) + b"\n")
        self._broken = True


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

    def append_to(self, path: Path) -> bytes:
        """Write what waits; returns it.

        Raises:
            OSError: It cannot be written, or not whole.
        """
        content = b"".join(self._pieces)
        write_file(str(path), _APPENDING, content)
        self._pieces, self.size = [], 0
        return content


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
    count: int
    size: int
    """Of ``part``, in bytes."""
    account: dict[str, Any]

    def runs(self) -> Iterator[StagedRun]:
        """The runs, in the order in which they ended.

        Raises:
            OSError: The ledger cannot be read.
        """
        with self.path.open("rb") as stream:
            start = 0
            for _, line in zip(range(self.count), stream, strict=False):
                head, row, _ = line.split(b"\t")
                yield StagedRun._make((*loads(head), start + len(head) + 1, len(row)))
                start += len(line)


def read_ledger(session: Path, name: str, form: Form) -> Ledger | None:
    """The ledger of a process, if it is whole and what it names is there."""
    path = session / f"{name}{LEDGER}"
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
    ledger = Ledger(name, path, staged_folder(session, name), session / f"{name}{_PART}", count, end["size"], account)
    return ledger if _has_all(ledger, form) else None


def _has_all(ledger: Ledger, form: Form) -> bool:
    """Whether what was written is still there: somebody may have emptied the folder since."""
    try:
        if form == "directory":
            with os.scandir(ledger.folder) as found:
                return sum(1 for _ in found) == ledger.count
        return (ledger.part.stat().st_size if ledger.size else 0) == ledger.size
    except OSError:
        return ledger.count == 0


__all__ = ["Ledger", "StagedRun", "Stager", "read_ledger", "staged_folder"]
