"""The results on disk: one file per run and an index, or one file for all.

The index is the commit: it is written last, at once. What a session publishes replaces the
runs that the index named when the session began, and nothing else, so that sessions side
by side keep each other's runs. A file is whole at every moment: it is written beside its
place and moved there.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import document
from ._wire import dumps, format_time, loads, parse_time
from .errors import ResultsError
from .index import Completeness, Index, IndexRow, LostEntry, go_duration, index_bytes, make_index
from .merge import Merged, MergedRun, SliceReader
from .naming import digest, name_runs
from .reading import Form, Target, is_file_name, iterate_results, load_results, load_run, read_index, run_files

_LOCK_TIMEOUT = 60.0  # seconds; a session publishes 100,000 runs in less


@dataclass(frozen=True)
class Published:
    """What a publication did."""

    index: dict[str, Any]
    """In wire form: a large one is big enough without models."""
    rows: tuple[dict[str, Any], ...]
    """Of the runs that this session published."""


@contextmanager
def publish_lock(target: Target) -> Iterator[None]:
    """Hold the lock that guards publishing; the lock file is removed afterwards.

    Raises:
        OSError: It cannot be made.
        TimeoutError: Somebody else holds it for over a minute.
    """
    from filelock import FileLock, Timeout

    target.journals.mkdir(parents=True, exist_ok=True)
    path = target.journals / "publish.lock"
    deadline = time.monotonic() + _LOCK_TIMEOUT
    while True:
        target.journals.mkdir(parents=True, exist_ok=True)
        try:
            witness = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:
            continue  # a session that just finished removed the folder
        lock = FileLock(path)
        try:
            lock.acquire(timeout=max(0.0, deadline - time.monotonic()))
        except Timeout:
            os.close(witness)
            raise TimeoutError(f"{path} is locked by another session for over {_LOCK_TIMEOUT:.0f} s") from None
        # The file may have been removed between being opened and being locked. It was not if
        # the path still means the file that we have held open since before.
        try:
            same = os.fstat(witness).st_ino == path.stat().st_ino
        except OSError:
            same = False
        os.close(witness)
        if same:
            break
        lock.release()
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()
        lock.release()
        with suppress(OSError):
            target.journals.rmdir()  # only when nobody else's journals are in it


def stems_of(target: Target) -> frozenset[str]:
    """The runs that are there now and that are ours to replace."""
    return frozenset(marks_of(target))


def marks_of(target: Target) -> Mapping[str, str]:
    """What a session that begins now will replace.

    Returns:
        For each stem, a mark that is another one once somebody has published a run under it.
    """
    return _marks(target, _old_index(target))


def _marks(target: Target, index: Index) -> dict[str, str]:
    if not index.format_version:
        return {}  # a directory that Arena wrote is not ours to replace
    rows = dict(zip(index.run_ids, index.runs, strict=False))
    return {stem: _mark(target, stem, rows.get(stem)) for stem in index.run_ids if is_file_name(stem)}


def _mark(target: Target, stem: str, row: IndexRow | None) -> str:
    if target.form != "directory":
        return digest(row.to_json()) if row is not None else ""
    try:
        found = (target.path / f"{stem}.json").stat()
    except OSError:
        return ""
    return f"{found.st_ino} {found.st_mtime_ns}"


@dataclass
class _Entry:
    """A run that goes into the index: one of this session, or one that is kept."""

    stem: str
    row: dict[str, Any]
    order: tuple[str, int, str, str]
    run: MergedRun | None = None
    kept: Any = None


def publish(
    target: Target,
    merged: Merged,
    *,
    replaced: Mapping[str, str],
    token: str,
    staging: Path,
    sessions: int = 1,
    config_file: str = "",
) -> Published:
    """Write results; the caller holds the lock.

    Args:
        target: Where they go.
        merged: The runs of this session and what became of everything else.
        replaced: What was there when the session began, from `marks_of`; what has been published
            since under one of its stems is kept.
        token: Tells this session's files from those of others with the same run ids.
        staging: A folder on the same file system for files that are not whole yet.
        sessions: How many sessions ``merged`` comes from.
        config_file: What configured the session.

    Raises:
        OSError: Something cannot be written. What was there before is still there.
    """
    staging.mkdir(parents=True, exist_ok=True)
    old = _old_index(target)
    now = _marks(target, old)
    gone = frozenset(stem for stem, mark in replaced.items() if now.get(stem) == mark)
    kept = _kept_entries(target, old, gone)
    taken = {entry.stem.lower() for entry in kept}
    entries = []
    packs: set[str] = set(old.prompt_packs) if kept else set()
    ended = [moment for moment in [old.timestamp if kept else None] if moment is not None]
    writer = _WRITERS[target.form](target, staging)
    lost = list(merged.lost)
    with SliceReader() as reader:
        for stem, run in _named(merged.runs, token):
            try:
                before, messages, after, row = reader.report(run)
            except (OSError, ValueError) as error:
                lost.append({"what": run.run_id, "why": f"its journal cannot be read: {error}"})
                continue
            if stem.lower() in taken:
                if writer.holds(stem, before, messages, after):
                    continue  # the same bytes are the same run
                stem = f"{stem}~{run.token or token}"
            taken.add(stem.lower())
            file = writer.add(stem, before, messages, after)
            merged.interrupted += row["labels"].get("pytest.outcome") == "interrupted"
            packs.add(before["PromptPack"])
            end = parse_time(after["EndTime"])
            if end is not None:
                ended.append(end)
            nodeid, attempt, run_id, conversation_id, _ = run.order
            row = {"run_id": row["run_id"], "file": file, **{k: v for k, v in row.items() if k != "run_id"}}
            entries.append(_Entry(stem, row, (nodeid, attempt, run_id, conversation_id), run))
    everything = sorted([*kept, *entries], key=lambda entry: (entry.order, entry.stem))
    completeness = _completeness(merged, lost, sessions, old.completeness if kept else None)
    index = make_index(
        [(entry.stem, entry.row) for entry in everything],
        prompt_packs=packs,
        timestamp=format_time(max(ended)) if ended else None,
        completeness=completeness,
        config_file=config_file or old.config_file,
    )
    writer.commit(index, everything)
    for stem in gone - {entry.stem for entry in everything}:
        writer.remove(stem)
    return Published(index, tuple(entry.row for entry in entries))


def _named(runs: Sequence[MergedRun], token: str) -> Iterator[tuple[str, MergedRun]]:
    """Each run with its stem; this session's runs first, so that recovered ones give way."""
    tokens = sorted({run.token for run in runs}, key=lambda each: (each != token, each))
    for each in tokens:
        group = [run for run in runs if run.token == each]
        keys = [(run.run_id, (run.context.nodeid, run.context.attempt, run.conversation_id)) for run in group]
        counts = Counter(keys)
        # Which worker gets a test is chance, so a worker is in a name only where nothing else
        # tells two runs apart: with --dist=each, and in the stores of sessions.
        apart = [
            (run_id, (*key, run.context.worker) if counts[run_id, key] > 1 else key)
            for run, (run_id, key) in zip(group, keys, strict=True)
        ]
        yield from zip(name_runs(apart), group, strict=True)


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


def _kept_entries(target: Target, old: Index, replaced: frozenset[str]) -> list[_Entry]:
    stems = [stem for stem in old.run_ids if stem not in replaced and is_file_name(stem)]
    if not stems:
        return []
    rows = dict(zip(old.run_ids, old.runs, strict=False)) if len(old.runs) == len(old.run_ids) else {}
    bodies = _kept_bodies(target, old) if target.form != "directory" else {}
    entries = []
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
        attempt = labels.get("pytest.attempt", "1")
        order = (labels.get("pytest.nodeid", ""), int(attempt) if attempt.isdecimal() else 1, row["run_id"], stem)
        entries.append(_Entry(stem, row, order, kept=bodies.get(stem)))
    return entries


def _kept_bodies(target: Target, old: Index) -> dict[str, bytes]:
    """The runs of a one-file form by stem: the file holds them in the order of its index."""
    with suppress(OSError, ResultsError):
        if target.form == "jsonl":
            with target.path.open("rb") as stream:
                return dict(zip(old.run_ids, (line.rstrip(b"\n") for line in stream), strict=False))
        runs = loads(target.path.read_bytes()).get("runs") or []
        return dict(zip(old.run_ids, (dumps(run) for run in runs), strict=False))
    return {}


class _DirectoryWriter:
    """A file per run."""

    def __init__(self, target: Target, staging: Path) -> None:
        self._target = target
        self._staging = staging
        self._staged: list[tuple[Path, Path]] = []

    def holds(self, stem: str, before: Any, messages: Any, after: Any) -> bool:
        try:
            return (self._target.path / f"{stem}.json").read_bytes() == document.lines(before, messages, after)
        except OSError:
            return False

    def add(self, stem: str, before: Any, messages: Any, after: Any) -> str:
        staged = self._staging / f"{len(self._staged)}.json"
        staged.write_bytes(document.lines(before, messages, after))
        self._staged.append((staged, self._target.path / f"{stem}.json"))
        return f"{stem}.json"

    def commit(self, index: dict[str, Any], entries: Sequence[_Entry]) -> None:
        # A full disk must be noticed before the first of the old files is replaced.
        new_index = stage(self._target.index_path, index_bytes(index), self._staging)
        self._target.path.mkdir(parents=True, exist_ok=True)
        for staged, final in self._staged:
            staged.replace(final)
        new_index.replace(self._target.index_path)

    def remove(self, stem: str) -> None:
        with suppress(OSError):
            (self._target.path / f"{stem}.json").unlink()


class _OneFileWriter:
    """All runs in one file, a line each."""

    def __init__(self, target: Target, staging: Path) -> None:
        self._target = target
        self._staging = staging
        self._bodies = staging / "runs"
        self._stream = self._bodies.open("wb")
        self._places: dict[str, tuple[int, int]] = {}
        self._kept: dict[str, bytes] | None = None

    def holds(self, stem: str, before: Any, messages: Any, after: Any) -> bool:
        if self._kept is None:
            self._kept = _kept_bodies(self._target, _old_index(self._target))
        return self._kept.get(stem) == document.compact(before, messages, after)

    def add(self, stem: str, before: Any, messages: Any, after: Any) -> str:
        body = document.compact(before, messages, after)
        self._places[stem] = (self._stream.tell(), len(body))
        self._stream.write(body)
        return self._target.path.name

    def commit(self, index: dict[str, Any], entries: Sequence[_Entry]) -> None:
        self._stream.close()
        whole = self._staging / "whole"
        with self._bodies.open("rb") as bodies, whole.open("wb") as out:
            runs = (self._body(entry, bodies) for entry in entries)
            if self._target.form == "jsonl":
                for run in runs:
                    out.write(run + b"\n")
            else:
                out.write(b'{"index": ' + dumps(index) + b',\n"runs": [')
                for i, run in enumerate(runs):
                    out.write((b",\n" if i else b"\n") + run)
                out.write(b"\n]}\n")
        new_index = None
        if self._target.form == "jsonl":
            new_index = stage(self._target.index_path, index_bytes(index), self._staging)
        self._target.path.parent.mkdir(parents=True, exist_ok=True)
        whole.replace(self._target.path)
        if new_index is not None:
            new_index.replace(self._target.index_path)

    def _body(self, entry: _Entry, bodies: Any) -> bytes:
        if entry.run is None:
            return entry.kept if entry.kept is not None else b"{}"
        offset, length = self._places[entry.stem]
        bodies.seek(offset)
        return bytes(bodies.read(length))

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
