"""Runs on disk as a sequence that reads each when it is asked for.

Memory holds where each run is, a few bytes of each, and never the runs. Whoever goes through them once in
their order reads the file once. Whoever asks for the length or for one of them has it looked through first; what
cannot be read from the middle, because it is compressed or one large document, is unpacked onto the disk for that.
"""

from __future__ import annotations

import os
import tempfile
import threading
import weakref
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol, overload

from .errors import ResultsError
from .models import RunResult
from .stored import parse_run, read_named
from .target import packing_of

if TYPE_CHECKING:
    from .stored import StoredResults


class LoadedRuns(Sequence[RunResult]):
    """The runs of results; see `load_results`."""

    def __init__(self, results: StoredResults, _source: _Source | None = None, _span: range | None = None) -> None:
        """Describe them; nothing is read.

        Args:
            results: On disk.
        """
        self._results = results
        self._source = _source
        self._span = _span

    def _looked_through(self) -> tuple[_Source, range]:
        if self._source is None:
            self._source = _source_of(self._results)
        if self._span is None:
            self._span = range(len(self._source))
        return self._source, self._span

    def __len__(self) -> int:
        return len(self._looked_through()[1])

    @overload
    def __getitem__(self, index: int) -> RunResult: ...
    @overload
    def __getitem__(self, index: slice) -> LoadedRuns: ...
    def __getitem__(self, index: int | slice) -> RunResult | LoadedRuns:
        """One run, read now, or some of them, read when they are asked for.

        Raises:
            IndexError: There are not so many.
            OSError: It cannot be read.
            ResultsError: It is not a RunResult, or the results have changed since they were looked through.
        """
        source, span = self._looked_through()
        if isinstance(index, slice):
            return LoadedRuns(self._results, source, span[index])
        text, where = source.read(span[index])
        return parse_run(text, where)

    def __iter__(self) -> Iterator[RunResult]:
        """Each run, read as it comes.

        Raises:
            OSError: One cannot be read.
            ResultsError: One is not a RunResult.
        """
        if self._span is not None:
            for place in range(len(self._span)):
                yield self[place]
        elif self._results.texts is not None:
            for where, text in self._results.texts():
                yield parse_run(text, where)
        else:
            for stored in self._results:
                yield stored.load()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str | bytes):
            return NotImplemented
        return len(self) == len(other) and all(mine == its for mine, its in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment] # what is on disk can change

    def __repr__(self) -> str:
        count = "" if self._span is None else f"{len(self._span)} "
        return f"<{count}runs of {self._results.name!r}>"


class _Source(Protocol):
    """Reads a run from the middle."""

    def __len__(self) -> int: ...

    def read(self, place: int) -> tuple[bytes, str]:
        """A run's JSON, and where it is."""


def _source_of(results: StoredResults) -> _Source:
    if results.form == "jsonl" and results.file is not None and not packing_of(results.file):
        return _Lines(results.file)
    if results.texts is not None:
        return _Unpacked(results.texts())
    if results.form == "journals":
        return _Unpacked((stored.where, stored.read()) for stored in results)
    if results.form == "directory" and results.file is not None:
        read = read_named if results.scan.file is not None else Path.read_bytes
        return _Named(results.file, [stored.stem for stored in results], read)
    return _Files([(stored.read, stored.where) for stored in results])


class _Named:
    """Each run in a file of a directory; of a hundred thousand, their names are all that is in memory."""

    def __init__(self, directory: Path, stems: list[str], read: Callable[[Path], bytes]) -> None:
        self._directory = directory
        self._stems = stems
        self._read = read

    def __len__(self) -> int:
        return len(self._stems)

    def read(self, place: int) -> tuple[bytes, str]:
        file = self._directory / f"{self._stems[place]}.json"
        return self._read(file), str(file)


class _Files:
    """Each run in a file of its own, somewhere."""

    def __init__(self, files: list[tuple[Callable[[], bytes], str]]) -> None:
        self._files = files

    def __len__(self) -> int:
        return len(self._files)

    def read(self, place: int) -> tuple[bytes, str]:
        read, where = self._files[place]
        return read(), where


class _Lines:
    """Each run in a line."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._places = array("Q")  # of each run its offset, its length and the number of its line
        with file.open("rb") as stream:
            self._version = _version_of(stream)
            offset = 0
            for number, line in enumerate(stream, 1):
                if not line.isspace():
                    self._places.extend((offset, len(line), number))
                offset += len(line)

    def __len__(self) -> int:
        return len(self._places) // 3

    def read(self, place: int) -> tuple[bytes, str]:
        offset, length, number = self._places[3 * place : 3 * place + 3]
        # Opened anew each time: a file that is held open cannot be replaced on Windows.
        with self._file.open("rb", buffering=0) as stream:
            if _version_of(stream) != self._version:
                raise ResultsError(str(self._file), "it has changed since it was looked through: load it again")
            stream.seek(offset)
            return stream.read(length), f"{self._file}:{number}"


def _version_of(stream: IO[bytes]) -> tuple[int, int, int]:
    found = os.fstat(stream.fileno())
    return found.st_ino, found.st_size, found.st_mtime_ns


class _Unpacked:
    """Each run in a temporary file, which goes when nobody reads it any more."""

    def __init__(self, texts: Iterator[tuple[str, bytes]]) -> None:
        self._copy = tempfile.TemporaryFile()  # noqa: SIM115 - closed when this is no longer there
        weakref.finalize(self, self._copy.close)
        self._ends = array("Q", (0,))
        for where, text in texts:
            self._copy.write(where.encode("utf-8", "surrogateescape") + b"\0" + text)
            self._ends.append(self._copy.tell())
        self._copy.flush()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._ends) - 1

    def read(self, place: int) -> tuple[bytes, str]:
        start, end = self._ends[place : place + 2]
        where, _, text = self._bytes(start, end - start).partition(b"\0")
        return text, where.decode("utf-8", "surrogateescape")

    def _bytes(self, start: int, length: int) -> bytes:
        # The file has one position, which threads share, and forked children, too.
        if hasattr(os, "pread"):
            return os.pread(self._copy.fileno(), length, start)
        with self._lock:
            self._copy.seek(start)
            return self._copy.read(length)


__all__ = ["LoadedRuns"]
