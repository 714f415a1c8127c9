"""The results on disk: one file per run and an index, or one file for all.

The index is the commit: it is written last, at once. What a session publishes replaces the
runs that the index named when the session began, and nothing else, so that sessions side
by side keep each other's runs. A file is whole at every moment: it is written beside its
place and moved there.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from . import document, earlier
from ._text import plural
from ._times import parse_time
from ._wire import dumps, loads
from .catalogue import KEPT, RUN, Catalogue, Entry, Named
from .errors import ResultsError
from .index import (
    Completeness,
    Index,
    IndexBuilder,
    IndexRow,
    LostEntry,
    Totals,
    go_duration,
    index_bytes,
    make_index,
)
from .index_reading import scan_index
from .journal import ask_for_locks, has_no_locks
from .journal_reading import PieceReader
from .large_media import FOLDER, PublishedMedia
from .merge import Merged, Order, SliceReader
from .naming import digest
from .packing import open_packed
from .placing import move_files, place_files, place_runs, remove_folder, rename_folder
from .reading import is_file_name, iterate_results, load_results, load_run, read_index, run_files
from .repeats import Repeats
from .stored import open_results
from .target import Form, Target, where_it_leads
from .verdict import attempt_of

if TYPE_CHECKING:
    from filelock import BaseFileLock

    from .staging import Ledger

_LOCK_TIMEOUT = 60.0  # seconds; a session publishes 100,000 runs in less


@dataclass(frozen=True)
class Published:
    """What a publication did."""

    total_runs: int
    """In the index, with those of other sessions."""
    totals: Totals
    """Of the runs that this session published."""


@contextmanager
def publish_lock(target: Target) -> Iterator[None]:
    """Hold the lock that guards publishing; the lock file is removed afterwards.

    Where the file system has no locks, a second file takes its place, which is there while somebody publishes.

    Raises:
        OSError: It cannot be made.
        TimeoutError: Somebody else holds it for over a minute.
    """
    from filelock import FileLock, SoftFileLock

    path = target.journals / "publish.lock"
    deadline = time.monotonic() + _LOCK_TIMEOUT
    while True:
        target.journals.mkdir(parents=True, exist_ok=True)
        try:
            witness = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:
            if time.monotonic() > deadline:
                raise  # it is a link that leads nowhere
            continue  # a session that just finished removed the folder
        locks = FileLock(path), SoftFileLock(f"{path}.soft")
        try:  # around everything: a Ctrl-C may come as soon as it is locked
            if _acquire(locks, witness, path, deadline):
                try:
                    yield
                finally:
                    with suppress(OSError):
                        path.unlink()
                return
        finally:
            for lock in locks:
                lock.release()
            with suppress(OSError):
                target.journals.rmdir()  # only when nobody else's journals are in it


def _acquire(locks: tuple[BaseFileLock, BaseFileLock], witness: int, path: Path, deadline: float) -> bool:
    """Lock, and close the witness.

    Returns:
        Whether the path still means the file that the witness has held open since before: somebody may have removed
        it before it was locked.
    """
    native, soft = locks
    try:
        try:
            ask_for_locks(witness)  # or filelock would take the file that is there for a lock that somebody has
            _wait_for(native, deadline)
        except OSError as error:
            if not has_no_locks(error):
                raise
            _wait_for(soft, deadline)
        with suppress(OSError):
            return os.fstat(witness).st_ino == path.stat().st_ino
        return False
    finally:
        os.close(witness)


def _wait_for(lock: BaseFileLock, deadline: float) -> None:
    from filelock import Timeout

    try:
        lock.acquire(timeout=max(0.0, deadline - time.monotonic()))
    except Timeout:
        raise TimeoutError(f"{lock.lock_file} is locked by another session for over {_LOCK_TIMEOUT:.0f} s") from None


def stems_of(target: Target) -> frozenset[str]:
    """The runs that are in a directory now and that are ours to replace; there may be very many."""
    with suppress(ResultsError, OSError):
        scan = scan_index(target.index_path)
        if scan.header.format_version:
            return frozenset(stem for stem, _ in scan.entries() if is_file_name(stem))
    return frozenset()


def marks_of(target: Target) -> Mapping[str, str]:
    """What a session that begins now will replace.

    Returns:
        For each stem, a mark that is another one once somebody has published a run under it.
    """
    return earlier.marks(target, _old_index(target))


def publish(
    target: Target,
    merged: Merged,
    *,
    replaced: Mapping[str, str],
    token: str,
    staging: Path,
    sessions: int = 1,
    config_file: str = "",
    media_limit: int = 0,
    names: dict[Order, str] | None = None,
    found: Path | None = None,
) -> Published:
    """Write results; the caller holds the lock.

    Args:
        target: Where they go.
        merged: The runs of this session and what became of everything else.
        replaced: What was there when the session began, from `marks_of`; what has been published
            since under one of its stems is kept.
        token: Tells this session's files from those of others with the same run ids.
        staging: A folder for files that are not whole yet, on the same file system where that can be.
        sessions: How many sessions ``merged`` comes from.
        config_file: What configured the session.
        media_limit: Bytes of one piece of media in a journal that stay in its run; 0 leaves all there.
        names: Gets the name of each of this session's runs, when given.
        found: From `earlier.keep`: what stood there when the session began.

    Raises:
        OSError: Something cannot be written. What was there before is still there.
    """
    staging.mkdir(parents=True, exist_ok=True)
    if target.form == "directory" and target.path.is_symlink():
        where_it_leads(target.path).mkdir(parents=True, exist_ok=True)  # there may be nothing yet
    old = _old_index(target)
    gone = earlier.still_there(target, earlier.marks(target, old), replaced, found)
    strangers = earlier.Strangers(target, old.run_ids)
    lost = merged.lost
    totals = Totals()
    media = PublishedMedia(target.path, merged.media, staging, media_limit)
    for ledger in merged.ledgers:
        media.add(ledger.account.get("media", ()))
    with (
        _OlderBodies(target, staging) as bodies,
        closing(_WRITERS[target.form](target, staging, merged.ledgers, bodies)) as writer,
        Catalogue(staging, token) as catalogue,
        IndexBuilder(staging, lines=target.form != "json") as index,
        SliceReader() as reader,
    ):
        kept = _keep(target, old, gone, catalogue, bodies, lost)
        if kept:
            index.note(old.prompt_packs, old.timestamp)
        catalogue.add_merged(merged)
        repeats = Repeats.of(merged, catalogue, reader, token)
        for run in catalogue:
            entry, name = run.entry, run.name
            if entry.source == KEPT:
                writer.keep(name)
                if media.any_there:
                    media.keep(writer.kept(name))
                index.add(name, kept[entry.place])
                continue
            source = None if entry.source == RUN else merged.ledgers[entry.source]
            text = None if source is None else reader.read(source.path, entry.row_offset, entry.row_length)
            prompt_pack, ended = entry.prompt_pack, entry.ended
            if source is None or source.in_journal:
                try:
                    if source is None:
                        before, messages, after, row = reader.report(merged.runs[entry.place])
                        row = IndexRow.from_dict(row).to_dict()  # a journal may be anybody's
                        prompt_pack, ended = str(before["PromptPack"]), str(after["EndTime"])
                        parse_time(ended)
                    else:
                        before, messages, after = source.report(entry.offset, entry.length, reader)
                        row = loads(text or b"")
                except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
                    lost.append({"what": entry.run_id, "why": f"its journal cannot be read: {error}"})
                    continue
                messages, after = media.slimmed(messages, after)
                body = repeats.told(entry.number, writer.body(before, messages, after))
                if run.taken:
                    again = f"{name}~{entry.token}"  # as it is called if it was published before
                    if writer.holds(name, body) or (catalogue.keeps(again) and writer.holds(again, body)):
                        continue  # the same bytes are the same run
                    name = again
                strangers.rename(strangers.found_for(name))
                file = writer.add(name, body)
            else:
                row = loads(text or b"")
                told = repeats.told(entry.number, writer.staged(run)) if entry.number in repeats else None
                if run.taken:
                    again = f"{name}~{entry.token}"
                    if writer.holds_staged(name, entry, told) or (
                        catalogue.keeps(again) and writer.holds_staged(again, entry, told)
                    ):
                        continue
                    name = again
                strangers.rename(strangers.found_for(name))
                file = writer.adopt(name, entry, told)
            if row.get("file") != file or run.superseded:
                row = {"run_id": row["run_id"], "file": file, **row, "superseded": run.superseded}
                row["file"], text = file, None
            if names is not None and entry.token == token:
                names[entry.nodeid, entry.attempt, entry.run_id, entry.conversation_id, entry.worker] = name
            merged.interrupted += row["labels"].get("pytest.outcome") == "interrupted"
            index.add(name, row, text)
            index.note((prompt_pack,), ended)
            if kept:
                totals.add(row)
            gone.discard(name)
        lost += [{"what": f"{FOLDER}/{name}", "why": "the file is missing"} for name in media.place()]
        strangers.rename(strangers.found())
        merged.troubles.update(strangers.told)
        completeness = _completeness(merged, lost, sessions, old.completeness if kept else None)
        writer.commit(
            lambda out: index.write(out, completeness=completeness, config_file=config_file or old.config_file)
        )
        with suppress(Exception):  # the results are there, whatever a test has left in place of what removes files
            for stem in gone:
                writer.remove(stem)
            media.sweep()
        return Published(index.totals.runs, totals if kept else index.totals)


def _completeness(
    merged: Merged, lost: list[dict[str, str]], sessions: int, old: Completeness | None
) -> dict[str, Any]:
    base = old if old is not None else Completeness()
    return {
        "sessions": base.sessions + sessions,
        "workers": base.workers + len(merged.workers),
        "crashed": base.crashed + len(merged.crashed),
        "interrupted": base.interrupted + merged.interrupted,
        "deleted": base.deleted + merged.deleted,
        "lost": [*(entry.to_dict() for entry in base.lost), *lost],
        "redacted": dict(sorted((Counter(base.redacted) + merged.redacted).items())),
        "troubles": dict(sorted((Counter(base.troubles) + merged.troubles).items())),
    }


def _old_index(target: Target) -> Index:
    try:
        return read_index(target.index_path)
    except (ResultsError, OSError):
        return Index()


def _keep(
    target: Target,
    old: Index,
    replaced: Set[str],
    catalogue: Catalogue,
    bodies: _OlderBodies,
    lost: list[dict[str, str]],
) -> list[dict[str, Any]]:
    """Put the runs that stay into the catalogue; returns their rows."""
    stems = [stem for stem in old.run_ids if stem not in replaced and is_file_name(stem)]
    if not stems:
        return []
    rows = dict(zip(old.run_ids, old.runs, strict=False)) if len(old.runs) == len(old.run_ids) else {}
    bodies.take(stems)
    if target.form != "directory":
        there = [stem for stem in stems if stem in bodies]
        if len(there) < len(stems):
            what = f"{plural(len(stems) - len(there), 'run')} of the results that were there"
            lost.append({"what": what, "why": f"{target.path.name} could not be read to its end"})
        stems = there
    kept: list[dict[str, Any]] = []
    for stem in stems:
        if stem in rows:
            row = rows[stem].to_dict()
        else:  # Arena's index has no rows
            try:
                run = load_run(target.path / f"{stem}.json")
            except (OSError, ResultsError):
                continue
            row = {"file": f"{stem}.json", **document.row_of(run.to_dict())}
        labels = row["labels"]
        catalogue.keep(
            stem,
            len(kept),
            labels.get("pytest.nodeid", ""),
            attempt_of(labels),
            row["run_id"],
        )
        kept.append(row)
    return kept


class _OlderBodies:
    """Runs of older results that stay, where all of them are in one file; copied out of it, onto the disk."""

    def __init__(self, target: Target, staging: Path) -> None:
        self._target = target
        self._copy = staging / "older"
        self._places: dict[str, tuple[int, int]] = {}
        self._reader = PieceReader()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.__exit__()

    def __contains__(self, stem: str) -> bool:
        return stem in self._places

    def take(self, stems: Iterable[str]) -> None:
        """Copy these runs, as far as they can be read.

        Raises:
            OSError: They cannot be written.
        """
        if self._target.form == "directory":
            return
        wanted, offset = frozenset(stems), 0
        with self._copy.open("wb", buffering=1 << 18) as out:
            for stem, body in self._readable():
                if stem in wanted:
                    body = dumps(loads(body)) if self._target.form == "json" else body.rstrip(b"\r\n")
                    out.write(body)
                    self._places[stem] = offset, len(body)
                    offset += len(body)

    def _readable(self) -> Iterator[tuple[str, bytes]]:
        with suppress(OSError, ResultsError):
            for stored in open_results(self._target.path):
                yield stored.stem, stored.read()

    def read(self, stem: str) -> bytes:
        """The run with this name."""
        return self._reader.read(self._copy, *self._places[stem])


class _DirectoryWriter:
    """A file per run."""

    def __init__(self, target: Target, staging: Path, ledgers: Sequence[Ledger], _older: _OlderBodies) -> None:
        self._target = target
        self._staging = staging
        self._ledgers = ledgers
        self._own = staging / "own"
        self._folders = [ledger.folder for ledger in ledgers if ledger.count and not ledger.in_journal]

    def body(self, before: Any, messages: Any, after: Any) -> bytes:
        return document.lines(before, messages, after)

    def holds(self, name: str, body: bytes) -> bool:
        try:
            return (self._target.path / f"{name}.json").read_bytes() == body
        except OSError:
            return False

    def staged(self, run: Named) -> bytes:
        folder = self._ledgers[run.entry.source].folder
        try:
            return (folder / run.entry.file).read_bytes()
        except FileNotFoundError:  # an earlier try has given it its name
            name = f"{run.name}~{run.entry.token}" if run.taken else run.name
            return (folder / f"{name}.json").read_bytes()

    def holds_staged(self, name: str, entry: Entry, told: bytes | None) -> bool:
        staged = self._ledgers[entry.source].folder / entry.file
        if not self.holds(name, told or staged.read_bytes()):
            return False
        staged.unlink()
        return True

    def keep(self, name: str) -> None:
        """Nothing to do: its file stays where it is."""

    def kept(self, name: str) -> bytes:
        try:
            return (self._target.path / f"{name}.json").read_bytes()
        except OSError:
            return b""

    def add(self, name: str, body: bytes) -> str:
        if self._own not in self._folders:
            remove_folder(self._own)  # of an earlier try
            self._own.mkdir()
            self._folders.append(self._own)
        file = f"{name}.json"
        (self._own / file).write_bytes(body)
        return file

    def adopt(self, name: str, entry: Entry, told: bytes | None) -> str:
        file = f"{name}.json"
        folder = self._ledgers[entry.source].folder
        if told is not None and (folder / entry.file).exists():
            write_whole(folder / entry.file, told, self._staging)
        if file != entry.file:
            try:
                (folder / entry.file).rename(folder / file)
            except FileNotFoundError:
                if not (folder / file).exists():  # an earlier try has done it
                    raise
        return file

    def commit(self, write_index: Callable[[IO[bytes]], None]) -> None:
        # A full disk must be noticed before the first of the old files is replaced.
        staged = self._staging / "index.json"
        with staged.open("wb") as out:
            write_index(out)
        place = self._target.path
        folders = sorted(self._folders, key=_size, reverse=True)
        if folders and not os.path.lexists(place):
            # Nothing is there yet: everything comes at once, with one move.
            whole, *others = folders
            move_files(others, whole)
            index = staged.replace(whole / "index.json")
            place.parent.mkdir(parents=True, exist_ok=True)
            if rename_folder(whole, place):
                return
            index.replace(staged)
        place.mkdir(parents=True, exist_ok=True)
        place_runs(folders, staged, place)

    def remove(self, stem: str) -> None:
        with suppress(OSError):
            (self._target.path / f"{stem}.json").unlink()

    def close(self) -> None:
        """Nothing is open."""


def _size(folder: Path) -> int:
    with os.scandir(folder) as found:
        return sum(1 for _ in found)


class _OneFileWriter:
    """All runs in one file, a line each."""

    def __init__(self, target: Target, staging: Path, ledgers: Sequence[Ledger], older: _OlderBodies) -> None:
        self._target = target
        self._staging = staging
        self._ledgers = ledgers
        self._older = older
        self._bodies = staging / "runs"
        self._json = target.form == "json"
        self._stream = open_packed(self._bodies, target.packing)
        self._parts = PieceReader()
        self._first = True

    def body(self, before: Any, messages: Any, after: Any) -> bytes:
        return document.compact(before, messages, after)

    def holds(self, name: str, body: bytes) -> bool:
        return name in self._older and self._older.read(name) == body

    def staged(self, run: Named) -> bytes:
        return self._staged(run.entry)

    def _staged(self, entry: Entry) -> bytes:
        return self._parts.read(self._ledgers[entry.source].part, entry.offset, entry.length)

    def holds_staged(self, name: str, entry: Entry, told: bytes | None) -> bool:
        return self.holds(name, told or self._staged(entry))

    def keep(self, name: str) -> None:
        self.add(name, self.kept(name))

    def kept(self, name: str) -> bytes:
        return self._older.read(name)

    def add(self, name: str, body: bytes) -> str:
        if self._json:
            self._stream.write(b"\n" if self._first else b",\n")
        self._stream.write(body)
        if not self._json:
            self._stream.write(b"\n")
        self._first = False
        return self._target.path.name

    def adopt(self, name: str, entry: Entry, told: bytes | None) -> str:
        return self.add(name, told or self._staged(entry))

    def close(self) -> None:
        self._parts.__exit__()
        self._stream.close()

    def commit(self, write_index: Callable[[IO[bytes]], None]) -> None:
        self.close()
        whole = self._bodies
        staged = self._staging / "index.json"
        with staged.open("wb") as out:
            if self._json:
                out.write(b'{"index": ')
                write_index(out)
                out.write(b',\n"runs": [')
                with self._bodies.open("rb") as bodies:
                    shutil.copyfileobj(bodies, out)
                out.write(b"\n]}\n")
                whole = staged
            else:
                write_index(out)
        index = [] if whole is staged else [(staged, self._target.index_path)]
        place_files((whole, self._target.path), *index)

    def remove(self, stem: str) -> None:
        """Nothing to do: the new file does not have it."""


_WRITERS: Mapping[Form, type[_DirectoryWriter] | type[_OneFileWriter]] = {
    "directory": _DirectoryWriter,
    "jsonl": _OneFileWriter,
    "json": _OneFileWriter,
}


def write_whole(path: Path, content: bytes, staging: Path) -> None:
    """Replace a file at once: a reader sees the old or the new content.

    Raises:
        OSError: It cannot be written; the old file is untouched.
    """
    stage(path, content, staging).replace(path)


def stage(path: Path, content: bytes, staging: Path) -> Path:
    """Write what will replace a file, beside its place.

    Raises:
        OSError: It cannot be written.
    """
    staged = staging / f"{digest(path)}.tmp"
    staged.write_bytes(content)
    return staged


__all__ = [
    "Completeness",
    "Form",
    "Index",
    "IndexRow",
    "LostEntry",
    "Published",
    "Target",
    "go_duration",
    "index_bytes",
    "iterate_results",
    "load_results",
    "load_run",
    "make_index",
    "marks_of",
    "publish",
    "publish_lock",
    "read_index",
    "run_files",
    "stems_of",
    "write_whole",
]
