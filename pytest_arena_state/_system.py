"""The system's own calls and its clock, whatever a test puts in their place.

Suites replace `os.write` by a mock, all files by a fake file system (pyfakefs) and the time by a frozen one
(freezegun, time-machine). They do so in the names of modules, and a class keeps what it took. A record that is
written to a fake file is lost with it, or stands in the test's own file where descriptors have the same number.

What a test looks at, such as a message's time, goes by the test's clock and not by this one.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from os import getpid

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)


class System:
    """Functions of `os`, taken when this package was loaded."""

    close = staticmethod(os.close)
    fstat = staticmethod(os.fstat)
    mkdir = staticmethod(os.mkdir)
    open = staticmethod(os.open)
    if sys.platform != "win32":  # which lets nobody remove an open file, and so needs none
        pread = staticmethod(os.pread)
    replace = staticmethod(os.replace)
    stat = staticmethod(os.stat)
    unlink = staticmethod(os.unlink)
    write = staticmethod(os.write)


class _Time:
    datetime = datetime
    if sys.platform == "win32":
        time_ns = staticmethod(time.time_ns)
        monotonic_ns = staticmethod(time.monotonic_ns)
    else:
        # Not the functions of these names: they may have been frozen before this module was loaded.
        time_ns = staticmethod(partial(time.clock_gettime_ns, time.CLOCK_REALTIME))
        monotonic_ns = staticmethod(partial(time.clock_gettime_ns, time.CLOCK_MONOTONIC))
    #: What to add to the monotonic clock for the time of day.
    offset = time_ns() - monotonic_ns()


def now_ns() -> int:
    """The time of day, in nanoseconds since 1970."""
    if "time_machine" in sys.modules:
        # It changes what the functions themselves return, but for the monotonic ones.
        return _Time.offset + _Time.monotonic_ns()
    return _Time.time_ns()


def now() -> datetime:
    """The time of day, in UTC."""
    return _Time.datetime.fromtimestamp(now_ns() // 1000 / 1e6, UTC)


def monotonic() -> float:
    """Seconds that only grow."""
    return _Time.monotonic_ns() / 1e9


def make_folder(path: str) -> None:
    """Make a folder and those above it, where they are missing.

    Raises:
        OSError: It cannot be made.
    """
    try:
        System.mkdir(path)
    except FileExistsError:
        pass
    except FileNotFoundError:
        above = os.path.dirname(path)  # noqa: PTH120 - a `Path` asks the modules that were replaced
        if above == path:
            raise
        make_folder(above)
        make_folder(path)


def exists(path: str) -> bool:
    """Whether there is something."""
    try:
        System.stat(path)
    except OSError:
        return False
    return True


def write_file(path: str, flags: int, content: bytes | bytearray) -> None:
    """Open a file as ``flags`` say, and write all of the content, going on after a short write.

    Raises:
        OSError: It cannot be opened, or a part of it cannot be written.
    """
    descriptor = System.open(path, flags, 0o666)
    try:
        written = 0
        while written < len(content):
            written += System.write(descriptor, content[written:] if written else content)
    finally:
        System.close(descriptor)


def write_whole(path: str, content: bytes) -> None:
    """Make a file that is never seen in part; several processes may make the same.

    Raises:
        OSError: It cannot be made.
    """
    draft = f"{path}.{getpid()}"
    try:
        write_file(draft, _NEW_FILE, content)
        System.replace(draft, path)
    except BaseException:
        with suppress(OSError):
            System.unlink(draft)
        raise


__all__ = ["System", "exists", "make_folder", "monotonic", "now", "now_ns", "write_file", "write_whole"]
