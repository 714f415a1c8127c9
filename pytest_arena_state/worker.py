"""What a worker of xdist does during a session: it writes its journal in place, or sends it to the controller.

A module of its own, because a worker publishes nothing, and what that takes is not even imported in it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from os import getpid  # by name: a test may replace what the module has
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._system import System
from .attempts import TestRecorder
from .journal import SUFFIX, TOKEN_FILE, ChannelSink, JournalFile, JournalWriter, journal_paths
from .large_media import LargeMedia, folder_of
from .recording import Recording
from .redaction import RedactionRules, Redactor
from .staging import DiskStager, PlaceStager

if TYPE_CHECKING:
    from .models import RunResult
    from .staging import Stager

# In place of a journal's name, in front of what a worker sends:
LOST_MARK = b"lost\t"  # how many records it could not write, and why
LEDGER_MARK = b"ledger\t"  # a piece of its ledger


class WorkerSession:
    """Records the tests of this worker."""

    def __init__(
        self,
        told: Mapping[str, Any],
        worker: str,
        channel: Any,
        *,
        on_run: Callable[[RunResult], None] | None,
        on_text: Callable[[str], str | None] | None,
    ) -> None:
        """Start recording.

        Args:
            told: What `Session.for_worker` returned on the controller.
            worker: xdist's id of this worker.
            channel: Of execnet, to the controller; used where the disk is not shared.
            on_run: See `Recording`.
            on_text: See `Redactor`.
        """
        directory = Path(told["directory"])
        shared = _reads_token(directory, told["token"])

        self._channel = channel
        self._pid = getpid()
        self._told_lost = False
        # A forked child must not use its parent's channel: their messages would mix. What it
        # journals on its own disk, the worker passes on when it ends. The first child makes the folder:
        # a worker that is killed, and had none, leaves nothing behind.
        self._spool = None if shared else _temporary_folder()
        spool = self._spool

        far = None if shared else JournalWriter(ChannelSink(channel.send))

        def open_writer(name: str) -> JournalWriter:
            if far is not None and name == worker:
                return far
            if spool is not None:
                with suppress(FileExistsError):
                    System.mkdir(str(spool), 0o700)
            return JournalWriter(JournalFile((spool or directory) / f"{name}{SUFFIX}"))

        form, file = told["form"], told["file"]
        stager: Stager | None = None
        if form and far is not None:
            stager = PlaceStager(lambda piece: channel.send(LEDGER_MARK + piece), far, form, file)
        elif form:
            stager = DiskStager(directory, worker, form, file)
        rules = dict(told["redaction"])
        rules["patterns"] = tuple(rules["patterns"])
        self.tests = TestRecorder(
            Recording(
                open_writer,
                session=told["session"],
                worker=worker,
                redactor=Redactor(RedactionRules(**rules), hook=on_text, salt=told["salt"]),
                keep_raw=told["keep_raw"],
                on_run=on_run,
                stager=stager,
                media=large_media(directory, told["media_limit"]) if shared else None,
            )
        )

    def finish(self, reason: str = "") -> None:
        """The worker runs no further test; calling it again does nothing."""
        self._pass_on()
        self.tests.end(reason)
        writer = self.tests.recording.writer
        if writer.waiting + writer.lost and getpid() == self._pid and not self._told_lost:
            self._told_lost = True
            with suppress(OSError):  # the disk took no more; the controller can say so
                told = f"{writer.waiting + writer.lost}\t{writer.last_error}"
                self._channel.send(LOST_MARK + told.encode("utf-8", "replace"))

    def _pass_on(self) -> None:
        spool, self._spool = self._spool, None
        if spool is None or getpid() != self._pid:
            return
        for path in journal_paths(spool):
            name = path.name.removesuffix(SUFFIX)
            try:
                with path.open("rb") as lines:
                    for line in lines:
                        self._channel.send(name.encode("ascii") + b"\t" + line)
            except OSError as error:
                self.tests.recording.trouble(f"the journal of forked process {name} could not be sent: {error}")
                return
        shutil.rmtree(spool, ignore_errors=True)


def large_media(directory: Path, limit: int) -> LargeMedia | None:
    """What takes large media out of messages in a session's folder; nothing does where ``limit`` is 0."""
    return LargeMedia(folder_of(directory), limit) if limit > 0 else None


def _temporary_folder() -> Path:
    """A folder that is not there yet, and whose name nobody guesses."""
    try:
        above = tempfile.gettempdir()
    except OSError:  # there is no place for temporary files; a child that needs one says so
        above = os.curdir
    return Path(above, f"arena-state-{secrets.token_hex(16)}")


def _reads_token(directory: Path, token: str) -> bool:
    try:
        return (directory / TOKEN_FILE).read_bytes().partition(b"\n")[0] == token.encode("ascii")
    except (OSError, ValueError):
        return False


__all__ = ["LEDGER_MARK", "LOST_MARK", "WorkerSession", "large_media"]
