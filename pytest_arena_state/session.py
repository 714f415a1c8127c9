"""What the process does that pytest was started in, without pytest: it runs the tests itself, or controls workers.

It ends the session and publishes it: it merges the journals of the session, and of
sessions that died before theirs were published, and writes the results.
"""

from __future__ import annotations

import re
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from os import fsdecode, fsencode, getpid, umask  # by name, as `rmtree`: a test may replace what the module has
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any

from . import earlier, results
from ._system import exists, make_folder, monotonic, now, now_ns
from ._wire import dumps, loads
from .attempts import TestRecorder
from .errors import ArenaStateError, ResultsError
from .journal import SUFFIX, TOKEN_FILE, HeldFile, JournalFile, JournalWriter, is_held, journal_paths, note_losses
from .large_media import DEFAULT_LIMIT
from .merge import CONTROLLER, Merged, Order, merge_session
from .recording import Recording, token_of
from .redaction import RedactionRules, Redactor
from .staging import DiskStager, append_to_ledger
from .worker import LEDGER_MARK, LOST_MARK, large_media

if TYPE_CHECKING:
    from .index import Totals
    from .models import RunResult
    from .results import Target

ELSEWHERE = "arena-state-"
"""What the names of folders begin with that journals are in where there is no room for them beside the results."""
_NAMES = "published.json"
_BIRTH = 10.0  # seconds in which a journal may exist without its first record
_WORKER_PATIENCE = 15.0  # seconds that a publication waits for workers to end after an interruption
_JOURNAL_NAME = re.compile(rb"([A-Za-z0-9_-]+\.[0-9]+)\t")  # of a forked child


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the user asked for; plain values, so that workers can be told."""

    redaction: RedactionRules = field(default_factory=RedactionRules)
    keep_raw: bool = False
    media_limit: int = DEFAULT_LIMIT
    """Bytes of one piece of media that stay in its run; 0 leaves all there."""
    config_file: str = ""
    """The file that configured the session, relative to its root; noted in the index."""


@dataclass
class Outcome:
    """What became of a session's results."""

    totals: Totals | None = None
    """Of the runs that were published; None when nothing was."""
    merged: Merged = field(default_factory=Merged)
    problem: str = ""
    """Why nothing was published; empty when everything was."""
    kept: str = ""
    """Where the journals are that could not be published."""
    kept_runs: int | None = None
    """How many are in there; None when that is not known."""
    recovered_sessions: int = 0
    uploaded: str = ""
    """The URL of the index, where the results were uploaded."""
    not_uploaded: str = ""
    """Why they were not."""


class Session:
    """The process that a user started: it runs the tests itself, or controls workers that do."""

    def __init__(
        self,
        target: Target,
        settings: Settings,
        *,
        controls_workers: bool,
        on_run: Callable[[RunResult], None] | None = None,
        on_text: Callable[[str], str | None] | None = None,
    ) -> None:
        """Make the session's journal.

        Raises:
            OSError: Not even the system's folder for temporary files takes a journal.
        """
        self.target = target
        self.settings = settings
        self.controls_workers = controls_workers
        self.id = f"{now():%Y%m%dT%H%M%S}-{getpid()}-{secrets.token_hex(4)}"
        self.token = secrets.token_hex(16)
        self.problem = target.check()
        self._replaced = results.marks_of(target) if not self.problem else {}
        self._own: list[JournalFile] = []
        self._salt = secrets.token_hex(16)
        self._begin(Redactor(settings.redaction, hook=on_text, salt=self._salt), on_run)
        self._found = None if self.problem else earlier.keep(target, self.directory)
        self._imports: tuple[list[Any], ...] = sys.path[:], sys.meta_path[:], sys.path_hooks[:]
        if target.url:
            self._note_url()
        self._far: dict[str, JournalFile] = {}
        self._told: set[str] = set()
        self._lost: list[dict[str, str]] = []
        """Records of workers that no disk took; only remembered here."""
        self.interrupted_by = ""
        self.died: set[str] = set()
        """Workers that were seen to die, whatever else ended the session early."""
        self._hurried = False
        self.outcome: Outcome | None = None
        self._pid = getpid()
        self._umask = umask(0o077)  # nobody tells it, but for another
        umask(self._umask)

    def _begin(self, redactor: Redactor, on_run: Callable[[RunResult], None] | None) -> None:
        """Begin the journal, beside the results or else where there is room for it."""
        try:
            directory = self.target.journals / self.id
            directory.mkdir(parents=True)
            self._write_token(directory)
            self._begin_in(directory, redactor, on_run)
            writer = self.tests.recording.writer
            if writer.waiting:  # a full disk may make files, and take nothing into them
                raise OSError(None, writer.last_error)
        except (OSError, ValueError) as error:  # the latter of a path without a name
            self.problem = self.problem or f"{str(self.target.journals)!r}: {getattr(error, 'strerror', error)}"
            self._remove_what_was_made()
            self._begin_in(self._make_directory_elsewhere(), redactor, on_run)

    def _begin_in(self, directory: Path, redactor: Redactor, on_run: Callable[[RunResult], None] | None) -> None:
        self.directory = directory
        # Held until everything is published: the journals are released before that.
        self._held = HeldFile(directory / TOKEN_FILE)
        try:
            self.tests = TestRecorder(
                Recording(
                    lambda name: JournalWriter(self._open_journal(name)),
                    session=self.id,
                    worker=CONTROLLER if self.controls_workers else "main",
                    redactor=redactor,
                    keep_raw=self.settings.keep_raw,
                    on_run=on_run,
                    stager=None
                    if self.controls_workers or self.problem
                    else DiskStager(directory, "main", self.target.form, self.target.path.name),
                    media=large_media(directory, self.settings.media_limit),
                )
            )
        except OSError:
            self._held.release()
            raise

    def _remove_what_was_made(self) -> None:
        """A full disk may have taken a folder, and not what is in it."""
        for journal in self._own:
            journal.release()
        if self._own:
            self._held.release()
        with suppress(ValueError):
            directory = self.target.journals / self.id
            for file in (directory / TOKEN_FILE, *(journal.path for journal in self._own)):
                with suppress(OSError):
                    file.unlink()
            for folder in (directory, directory.parent):  # the latter only where nobody else has something in it
                with suppress(OSError):
                    folder.rmdir()
        self._own.clear()

    def _make_directory_elsewhere(self) -> Path:
        directory = Path(tempfile.mkdtemp(prefix=ELSEWHERE)) / self.id
        directory.mkdir()
        self._write_token(directory)
        return directory

    def _write_token(self, directory: Path) -> None:
        # The bytes of the path: a name that the locale cannot decode is no text.
        (directory / TOKEN_FILE).write_bytes(b"%b\n%b" % (self.token.encode("ascii"), fsencode(self.target.path)))

    def _open_journal(self, name: str) -> JournalFile:
        self._own.append(JournalFile(self.directory / f"{name}{SUFFIX}"))
        return self._own[-1]

    def _note_url(self) -> None:
        from . import cloud

        with suppress(OSError):  # as with everything about a place that takes nothing: the summary says so
            cloud.note_url(self.target)

    # --- workers -------------------------------------------------------------------------------

    def for_worker(self) -> dict[str, Any]:
        """What a worker is told; plain values for execnet."""
        rules = self.settings.redaction
        return {
            "directory": str(self.directory.resolve()),
            "token": self.token,
            "session": self.id,
            "keep_raw": self.settings.keep_raw,
            "media_limit": self.settings.media_limit,
            "form": "" if self.problem else self.target.form,
            "file": self.target.path.name,
            "salt": self._salt,
            "redaction": {"env": rules.env, "keys": rules.keys, "patterns": list(rules.patterns)},
        }

    def receiver(self, worker: str) -> Callable[[object], None]:
        """What takes the journal lines of a worker that cannot write them in place."""
        self._told.add(worker)

        def receive(told: object) -> None:
            line = told if isinstance(told, bytes) else str(told).encode("utf-8", "replace")
            if line.startswith(LOST_MARK):
                count, _, why = line.removeprefix(LOST_MARK).decode("utf-8", "replace").partition("\t")
                self._lost.append({"what": f"{count} records of {worker}", "why": why})
                return
            if line.startswith(LEDGER_MARK):
                with suppress(OSError):  # a ledger that is not whole does not count
                    append_to_ledger(self.directory, worker, line.removeprefix(LEDGER_MARK))
                return
            forked = _JOURNAL_NAME.match(line)
            name = worker if forked is None else forked[1].decode("ascii")
            line = line if forked is None else line[forked.end() :]
            try:
                journal = self._far.get(name)
                if journal is None:
                    journal = self._far[name] = JournalFile(self.directory / f"{name}{SUFFIX}")
                journal.write_line(line)
            except OSError as error:
                self._lost.append({"what": f"a record of {worker}", "why": error.strerror or str(error)})

        return receive

    # --- publication -----------------------------------------------------------------------------

    def finish(self) -> Outcome:
        """End the session and publish its results. Calling it again returns the same outcome.

        Never raises; what could not be done is in the outcome.
        """
        if self.outcome is not None or getpid() != self._pid:
            return self.outcome or Outcome()
        try:
            self.interrupted_by = self.tests.recording.redactor.redact_text(self.interrupted_by)
            self._see_that_there_is_a_place()
            self.tests.end(self.interrupted_by)
            for journal in self._far.values():
                journal.close()
            alive = self._wait_for_workers()
            self.outcome = self._publish(alive)
        except Exception as error:  # noqa: BLE001 - a report that fails must not end the user's session
            self.outcome = Outcome(problem=_reason(error), kept=str(self.directory))
        finally:
            self._held.release()
        return self.outcome

    def _see_that_there_is_a_place(self) -> None:
        """A test may have removed the journals and put something in their place; they are still open."""
        try:
            make_folder(str(self.directory))
        except OSError:
            with suppress(OSError):  # there is none
                self.directory = self._make_directory_elsewhere()
            for journal in (*self._own, *self._far.values()):
                journal.path = self.directory / journal.path.name

    @contextmanager
    def umask_of_the_user(self) -> Iterator[None]:
        """Make files as they were made when the session began: a test may have left nobody a right to its files."""
        left = umask(self._umask)
        try:
            yield
        finally:
            umask(left)

    def hurry(self) -> None:
        """Wait no longer for workers; to be called at any time, also by a handler of signals."""
        self._hurried = True

    def upload(self) -> None:
        """Upload what was published, where the results have a URL. Never raises; the outcome says what came of it."""
        target, outcome = self.target, self.outcome
        if not target.url or outcome is None or outcome.totals is None or getpid() != self._pid:
            return
        from . import cloud

        try:
            outcome.uploaded, outcome.not_uploaded = cloud.upload(target.path, target.url), ""
        except (OSError, ValueError) as error:
            outcome.not_uploaded = error.problem if isinstance(error, ResultsError) else _reason(error)
        except BaseException as error:
            outcome.not_uploaded = type(error).__name__
            raise
        else:
            cloud.forget(target)

    def _wait_for_workers(self) -> list[str]:
        deadline = monotonic() + _WORKER_PATIENCE
        closed = {journal.path.name for journal in (*self._own, *self._far.values())}  # by this process
        while True:
            others = [path for path in journal_paths(self.directory) if path.name not in closed]
            alive = [path.name.removesuffix(SUFFIX) for path in others if is_held(path)]
            if not alive or self._hurried or monotonic() >= deadline or not self.controls_workers:
                return alive
            time.sleep(0.02)

    def _import_lock(self) -> None:
        """Import what locks the results, though a test may have left nothing to import it from.

        Not before: from 4.2 on, filelock looks at all that its process does, and refuses forks of two threads at once.
        """
        ways: tuple[list[Any], ...] = sys.path, sys.meta_path, sys.path_hooks
        left = [way[:] for way in ways]
        try:
            for way, before in zip(ways, self._imports, strict=True):
                way[:] = before
            from filelock import FileLock, SoftFileLock, Timeout  # noqa: F401 - each may be in a module of its own
        finally:
            for way, after in zip(ways, left, strict=True):
                way[:] = after

    def _publish(self, alive: list[str]) -> Outcome:
        unwritten = self._unwritten()
        if unwritten:
            note_losses(self.directory, unwritten)
        merged = merge_session(
            self.directory,
            token=token_of(self.id),
            interrupted_by=self.interrupted_by,
            staged_as=self.target.form,
            unwritten=unwritten,
            died=self.died,
        )
        for worker in sorted(self._told - set(merged.workers)):
            merged.troubles[f"worker {worker} left no journal"] += 1
        for name in alive:
            merged.lost.append({"what": f"later saves of {name}", "why": "it was still running at publication"})
        unpublished = Outcome(merged=merged, problem=self.problem, kept=str(self.directory), kept_runs=merged.count)
        if self.problem:
            return unpublished
        published = None
        dead: list[Path] = []
        try:
            self._import_lock()
            with results.publish_lock(self.target):
                dead = list(dead_sessions(self.target, self.directory))
                for directory in dead:
                    absorb(merged, merge_session(directory, token=token_of(directory.name)))
                names: dict[Order, str] | None = {} if alive else None
                published = results.publish(
                    self.target,
                    merged,
                    replaced={**self._replaced, **replaced_by(merged, dead)},
                    token=token_of(self.id),
                    staging=self.directory / "staging",
                    sessions=1 + len(dead),
                    config_file=self.settings.config_file,
                    media_limit=self.settings.media_limit,
                    names=names,
                    found=self._found,
                )
                if names:
                    _note_names(self.directory, names, results.marks_of(self.target))
                if not alive:
                    self._held.release()  # Windows removes no open file; nobody else publishes now
                discard(merged, [*([] if alive else [self.directory]), *dead])
        except Exception as error:  # noqa: BLE001 - a test may have left anything in place of what this needs
            if published is None:
                unpublished.problem = _reason(error)
                return unpublished
            merged.troubles[f"after the results were published: {_reason(error)}"] += 1
        return Outcome(
            totals=published.totals,
            merged=merged,
            kept=str(self.directory) if alive else "",
            recovered_sessions=len(dead),
            not_uploaded="the session was interrupted before" if self.target.url else "",
        )

    def _unwritten(self) -> list[dict[str, str]]:
        """What no journal took."""
        writer, name = self.tests.recording.writer, self.tests.recording.worker
        unwritten = list(self._lost)
        if writer.waiting or writer.lost:
            unwritten.append({"what": f"{writer.waiting + writer.lost:,} records of {name}", "why": writer.last_error})
        return unwritten


def absorb(merged: Merged, other: Merged) -> None:
    """Add the runs of a session that died to those of one that did not."""
    assert not other.ledgers  # what a dead session staged is not ours to move
    merged.runs += other.runs
    merged.recovered += len(other.runs)
    merged.workers += [worker for worker in other.workers if worker not in merged.workers]
    merged.crashed += other.crashed
    merged.interrupted += other.interrupted
    merged.deleted += other.deleted
    merged.lost += other.lost
    merged.redacted += other.redacted
    merged.troubles += other.troubles
    merged.media += other.media


def _note_names(directory: Path, names: Mapping[Order, str], marks: Mapping[str, str]) -> None:
    """Write down what was published of a session of which a process still lives, for who publishes the rest."""
    with suppress(OSError):
        (directory / _NAMES).write_bytes(dumps([[*order, name, marks.get(name)] for order, name in names.items()]))


def replaced_by(merged: Merged, directories: Iterable[Path]) -> dict[str, str]:
    """The runs that these dead sessions have published while a process of theirs lived, and that are here again.

    Returns:
        What `results.publish` wants to know of what it replaces.
    """
    replaced: dict[str, str] = {}
    for directory in directories:
        with suppress(OSError, ValueError, TypeError):
            noted = loads((directory / _NAMES).read_bytes())
            token = token_of(directory.name)
            again = {run.order for run in merged.runs if run.token == token}
            replaced.update({name: mark for *order, name, mark in noted if tuple(order) in again})
    return replaced


def discard(merged: Merged, directories: Iterable[Path]) -> None:
    """Remove the folders of sessions whose runs are published; one that stays is a trouble of theirs."""
    for directory in directories:
        with suppress(Exception):  # the results are there, whatever becomes of this
            rmtree(directory, ignore_errors=True)
        if exists(str(directory)):
            merged.troubles[f"{directory}: its runs are published, and it cannot be removed"] += 1


def target_of(directory: Path) -> Path | None:
    """Where a session wanted its results, as its folder says."""
    try:
        path = fsdecode((directory / TOKEN_FILE).read_bytes().partition(b"\n")[2].partition(b"\0")[0])
    except (OSError, ValueError):
        return None
    return Path(path) if path else None


def dead_sessions(target: Target, own: Path | None) -> Iterator[Path]:
    """The unpublished sessions of a target none of whose processes lives."""
    with suppress(OSError):
        for directory in sorted(target.journals.iterdir()):
            if directory.is_dir() and directory != own and is_dead(directory):
                yield directory


def is_dead(directory: Path) -> bool:
    """Whether no process of a session lives."""
    journals = journal_paths(directory)
    if is_held(directory / TOKEN_FILE):
        return False
    for path in journals:
        try:
            newborn = path.stat().st_size == 0 and now_ns() / 1e9 - path.stat().st_mtime < _BIRTH
        except OSError:
            return False
        # A process locks its journal before it writes the first record.
        if newborn or is_held(path):
            return False
    if journals:
        return True
    # Killed before it made its first journal; there is nothing in it, and it goes when its time is over.
    with suppress(OSError):
        return now_ns() / 1e9 - directory.stat().st_mtime > _BIRTH
    return False


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror and not isinstance(error, ArenaStateError):
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__


__all__ = [
    "ELSEWHERE",
    "Outcome",
    "Session",
    "Settings",
    "absorb",
    "dead_sessions",
    "discard",
    "is_dead",
    "replaced_by",
    "target_of",
]
