"""Append-only journal of what one process saved.

One journal per process, one record per line, one unbuffered write per record and no fsync:
what a save returned from survives the death of the process. A line is itself JSON,
``{"crc":"<8 hex>","r":<record>}``, where the checksum is the CRC-32 of the record's bytes.

A conversation has a number in its journal, and every record about it says how many came
before, so that a gap is noticed. A save carries only what is new, at the end of its record
and with its lengths in front, so that a reader finds each message's bytes without parsing
them. Replaying a journal twice gives the same as replaying it once.

Writing takes no lock: no two processes share a journal. While a process lives it holds the
operating system's lock on its journal.
"""

from __future__ import annotations

import errno
import os
import zlib
from array import array
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol, TypeAlias

from ._forks import tell_of_forks
from ._system import System, make_folder, write_file
from ._wire import dumps, loads

JOURNAL_VERSION = 1
SUFFIX = ".journal.jsonl"
TOKEN_FILE = "session.token"
"""Of a session: its token, a newline, the path of its results, and after a NUL each what its journals did not take."""
#: Where pieces are in a file: an offset and a length for each. There are very many of them, and as numbers in a row
#: they take an eighth of what objects do.
Places: TypeAlias = "array[int]"

PREFIX = b'{"crc":"'
INFIX = b'","r":'
START = len(PREFIX) + 8 + len(INFIX)  # where a record begins in its line
_CHUNK = 1024 * 1024  # bytes that are copied at a time
_JOURNAL_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
_APPENDING = os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0)
_KEPT_BACK_LIMIT = 64 * 1024 * 1024  # bytes of records that wait for a full disk to have room again


def journal_paths(directory: Path) -> list[Path]:
    """The journals of a session, in a stable order."""
    return sorted(directory.glob(f"*{SUFFIX}"))


def note_losses(directory: Path, losses: Sequence[Mapping[str, str]]) -> None:
    """Write down what the journals of a session did not take, for whoever reads them later.

    Behind the token, because a full disk still has room in the block that this is in.
    """
    with suppress(OSError):
        write_file(str(directory / TOKEN_FILE), _APPENDING, b"\0" + dumps([dict(loss) for loss in losses]))


def noted_losses(directory: Path) -> list[dict[str, str]]:
    """What was written down there; empty when nothing was, or not whole."""
    try:
        noted = (directory / TOKEN_FILE).read_bytes().split(b"\0")
        return [{"what": str(each["what"]), "why": str(each["why"])} for each in loads(noted[-1])] if noted[1:] else []
    except (OSError, ValueError, TypeError, KeyError):
        return []


def encode_line(record: bytes) -> bytes:
    """The line of a record, with its newline."""
    return b"%b%08x%b%b}\n" % (PREFIX, zlib.crc32(record), INFIX, record)


def record_line(kind: str, fields: bytes, values: Sequence[bytes] | None = None) -> bytes:
    """The line of a record, with its newline.

    Args:
        kind: What it says, in lower-case letters.
        fields: A JSON object with at least one member.
        values: JSON already; they become the record's last member, with their lengths in front.
    """
    return b"".join(record_parts(kind, fields, values))


def record_parts(kind: str, fields: bytes, values: Sequence[bytes] | None = None) -> tuple[bytes, ...]:
    """The same in parts, for who joins several lines: to copy the text of a conversation takes a while."""
    if values is None:
        return (encode_line(b'{"k":"%b",%b' % (kind.encode("ascii"), fields[1:])),)
    lengths = ",".join([str(len(value)) for value in values])
    start = b'{"k":"%b","len":[%b],%b,"tail":[' % (kind.encode("ascii"), lengths.encode("ascii"), fields[1:-1])
    tail = b",".join(values)
    checksum = zlib.crc32(b"]}", zlib.crc32(tail, zlib.crc32(start)))
    return PREFIX, b"%08x" % checksum, INFIX, start, tail, _END_OF_VALUES


_END_OF_VALUES = b"]}}\n"


def last_places(position: int, values: Sequence[bytes]) -> Places:
    """Where the values of a record are, when its line ends at ``position``."""
    offset = position - len(_END_OF_VALUES) - sum(map(len, values)) - max(len(values) - 1, 0)
    places = array("q")
    for value in values:
        places.extend((offset, len(value)))
        offset += len(value) + 1
    return places


class HeldFile:
    """A file that is open and locked until it is released, or this process ends.

    A child that is forked closes its copy, so that it does not keep the lock when its parent
    is gone; the parent's lock stays.
    """

    def __init__(self, path: Path) -> None:
        """Open, creating it if needed, and lock.

        Raises:
            OSError: It cannot be opened.
        """
        self.path = path
        self.descriptor = -1
        self._take(_open_journal(path))
        tell_of_forks(self)

    def _take(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._inode = System.fstat(descriptor).st_ino

    def _let_go_after_fork(self) -> None:
        """Close the child's copy."""
        self.release()

    def release(self) -> None:
        """Close the file, once."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            with suppress(OSError):
                # A test may have closed it, and then its number is that of a file of the test's own.
                if System.fstat(descriptor).st_ino == self._inode:
                    System.close(descriptor)


class NotWrittenError(OSError):
    """A disk took a part of several lines; ``rest`` begins with the first line that is not whole."""

    def __init__(self, error: OSError, rest: bytes) -> None:
        super().__init__(error.errno, error.strerror)
        self.rest = rest


class LineSink(Protocol):
    """Where lines of a journal go."""

    def write_line(self, line: bytes) -> None:
        """Take a line; whoever calls it may rely on the line surviving this process.

        Raises:
            OSError: It was not taken.
        """

    def close(self) -> None:
        """Let go of everything held."""


class JournalFile(HeldFile):
    """A journal on this machine's disk."""

    def __init__(self, path: Path) -> None:
        """Create the journal and lock it.

        Raises:
            OSError: It cannot be created.
        """
        make_folder(str(path.parent))
        # Unbuffered and appending: a record is in the kernel once write_line returns, so it
        # survives the death of this process. Only power loss can lose it, and that is not
        # worth an fsync per save.
        super().__init__(path)
        self._torn = False

    def write_line(self, line: bytes) -> None:
        """Write a line whole, or several, going on after a short write.

        Raises:
            NotWrittenError: Part of it could not be written; the next line starts on a new one.
        """
        try:
            found = System.fstat(self.descriptor)
        except OSError:
            found = None
        if found is None or found.st_ino != self._inode:
            # Closed by a test, such as one that makes a daemon: the number means nothing, or somebody else's file.
            self._take(_open_journal(self.path))
        elif not found.st_nlink:
            self._restore()
        before = b"\n" if self._torn else b""
        text = before + line
        written = System.write(self.descriptor, text)
        while written < len(text):
            try:
                more = System.write(self.descriptor, text[written:])
            except OSError as error:
                self._torn = True
                whole = max(text.rfind(b"\n", 0, written) + 1 - len(before), 0)
                raise NotWrittenError(error, line[whole:]) from None
            written += more
        self._torn = False

    def _restore(self) -> None:
        """Somebody removed the journal, or moved it; its content is still there while it is open."""
        make_folder(str(self.path.parent))
        fresh = _open_journal(self.path)
        try:
            offset, end = 0, System.fstat(self.descriptor).st_size  # whatever the place is, no copy grows into itself
            while offset < end and (chunk := System.pread(self.descriptor, min(_CHUNK, end - offset), offset)):
                offset += System.write(fresh, chunk)
        except OSError:
            System.close(fresh)
            raise
        System.close(self.descriptor)
        self._take(fresh)

    def close(self) -> None:
        """Release the lock and the file; where somebody moved it away, all of it is written where it belongs, first."""
        if self.descriptor >= 0 and os.name != "nt":  # where nobody can move an open file
            with suppress(OSError):  # as with all that a disk does not take
                if System.fstat(self.descriptor).st_ino == self._inode and not self._is_in_its_place():
                    self._restore()
        self.release()

    def _is_in_its_place(self) -> bool:
        try:
            return System.stat(str(self.path)).st_ino == self._inode
        except OSError:
            return False


def _open_journal(path: Path) -> int:
    # Readable, too: what is in it can be copied out when somebody removes it.
    descriptor = System.open(str(path), _JOURNAL_FLAGS, 0o666)
    try_lock(descriptor)
    return descriptor


class ChannelSink:
    """A journal on another machine: every line goes over a channel at the moment of the save."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send

    def write_line(self, line: bytes) -> None:
        """Send the line.

        Raises:
            OSError: The channel is closed, or the other side is gone.
        """
        self._send(line)

    def close(self) -> None:
        """Nothing is held; the channel belongs to the worker."""


class JournalWriter:
    """Writes records to a sink; lines that it refuses are kept and tried again before the next one."""

    def __init__(self, sink: LineSink) -> None:
        self._sink = sink
        self._kept_back: deque[bytes] = deque()
        self._kept_back_bytes = 0
        self.position = 0
        """Bytes that the sink has taken; where lines begin, as long as it has refused none."""
        self.lost = 0
        """Records given up, because too much waited for room on the disk."""
        self.refusals = 0
        """How often a write failed."""
        self.last_error = ""
        self.last_errno = 0

    @property
    def waiting(self) -> int:
        """Records that are not in the journal yet."""
        return sum(line.count(b"\n") for line in self._kept_back)

    def append(self, lines: bytes) -> None:
        """Append the lines of records, together; a failure of the disk is counted, never raised."""
        if self._kept_back:
            self._keep_back(lines)
            self.retry()
            return
        try:
            self._sink.write_line(lines)
            self.position += len(lines)
        except OSError as error:
            self._refused(error)
            self._keep_back(_rest_of(lines, error))

    def retry(self) -> None:
        """Try again to write what was refused."""
        while self._kept_back:
            try:
                self._sink.write_line(self._kept_back[0])
            except OSError as error:
                self._refused(error)
                rest = _rest_of(self._kept_back[0], error)
                self._kept_back_bytes -= len(self._kept_back[0]) - len(rest)
                self._kept_back[0] = rest
                return
            self._kept_back_bytes -= len(self._kept_back.popleft())

    def close(self) -> None:
        """Write what waits, if that is possible now, and let go of the journal."""
        self.retry()
        self._sink.close()

    def abandon(self) -> None:
        """Let go of the journal without writing: in a forked child it is the parent's."""
        self._kept_back, self._kept_back_bytes = deque(), 0
        self._sink.close()

    def _refused(self, error: OSError) -> None:
        self.refusals += 1
        self.last_error = error.strerror or str(error)
        self.last_errno = error.errno or errno.EIO

    def _keep_back(self, line: bytes) -> None:
        if self._kept_back_bytes + len(line) > _KEPT_BACK_LIMIT:
            self.lost += line.count(b"\n")
            return
        self._kept_back.append(line)
        self._kept_back_bytes += len(line)


def _rest_of(line: bytes, error: OSError) -> bytes:
    return error.rest if isinstance(error, NotWrittenError) else line


# --- locks --------------------------------------------------------------------------------


def try_lock(descriptor: int) -> bool:
    """Take the operating system's lock on an open file, if nobody holds it.

    It is held until the file is closed or the process ends, however it ends.
    """
    try:
        _lock(descriptor)
    except OSError:
        return False
    return True


def has_no_locks(error: OSError) -> bool:
    """Whether a file system said that it knows no locks at all, as those of clusters and of stores may."""
    return error.errno in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP)


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock on a journal, or on the token of a session."""
    try:
        descriptor = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        return False
    except OSError:
        return True  # cannot be told: leave it alone
    try:
        _lock(descriptor)
    except OSError as error:
        return not has_no_locks(error) or _writer_lives(path)
    finally:
        os.close(descriptor)
    return False


def this_host() -> str:
    """Stands for this machine, or for the container that looks like one: numbers of processes are told in there."""
    name = os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")
    return f"{zlib.crc32(os.fsencode(name)):08x}"


def _writer_lives(path: Path) -> bool:
    """Whether the process lives that made a file of a session, as far as that can be told without locks."""
    try:
        if path.name == TOKEN_FILE:
            pid = int(path.parent.name.split("-")[1])
        else:
            with path.open("rb") as journal:
                header = loads(journal.readline())["r"]
            if header.get("host", this_host()) != this_host():
                return True  # cannot be told from here
            pid = int(header["pid"])
        return _lives(pid)
    except (OSError, ValueError, TypeError, KeyError, IndexError, OverflowError):
        return True  # cannot be told


def _lives(pid: int) -> bool:
    if os.name == "nt":
        return True  # there, to ask is to end it
    with suppress(ChildProcessError, AttributeError):  # it is not ours; the system does not tell
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return False  # it has ended, and nobody has looked at how
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's
    return True


if os.name == "nt":  # pragma: no cover - other platforms take the other branch
    import msvcrt

    # A byte far past the end of most journals: msvcrt locks bytes, and readers must be able to read the others. No
    # further, because the C runtime tells the place as a signed number of 32 bits.
    _LOCK_OFFSET = 2**31 - 2

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, _LOCK_OFFSET, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]  # Windows only

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        # flock and not lockf: it belongs to the open file, so that closing another
        # descriptor of the same journal, as a reader does, does not release it.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def ask_for_locks(descriptor: int) -> None:
    """Give back a lock that nobody has: it changes nothing.

    Raises:
        OSError: Mostly of a file system without locks; one may say so only when it is to give one.
    """
    if os.name != "nt":
        fcntl.flock(descriptor, fcntl.LOCK_UN)
