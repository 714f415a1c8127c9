"""The runs of sessions that have not published theirs: what their journals say by now.

Reading changes nothing, and the session may still run: what it saves afterwards is not seen. To make results
of a session that died is `recovery`'s work. Memory holds where each message is, never what it says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from . import document
from .errors import ResultsError
from .index import Index, IndexRow
from .journal import TOKEN_FILE, is_held, journal_paths
from .merge import Merged, MergedRun, SliceReader, merge_session
from .naming import name_runs
from .recording import token_of

_LIVING = "the session still runs"


@dataclass(frozen=True)
class Unfinished:
    """The runs of some sessions, as their journals have them."""

    merged: tuple[Merged, ...]

    @classmethod
    def of(cls, path: Path) -> Unfinished:
        """Read the journals of a session, or of all sessions in a folder.

        Raises:
            OSError: The folder cannot be read.
            ResultsError: No journals are in it.
        """
        sessions = sessions_in(path)
        if not sessions:
            raise ResultsError(str(path), "no journals are in it: its sessions have published their results")
        return cls(
            tuple(
                merge_session(each, token=token_of(each.name), interrupted_by=_LIVING if lives(each) else "")
                for each in sessions
            )
        )

    @property
    def header(self) -> Index:
        """An index without rows."""
        lost = [entry for merged in self.merged for entry in merged.lost]
        redacted: Counter[str] = sum((merged.redacted for merged in self.merged), Counter())
        troubles: Counter[str] = sum((merged.troubles for merged in self.merged), Counter())
        completeness = {
            "sessions": len(self.merged),
            "workers": sum(len(merged.workers) for merged in self.merged),
            "crashed": sum(len(merged.crashed) for merged in self.merged),
            "deleted": sum(merged.deleted for merged in self.merged),
            "lost": lost,
            "redacted": dict(sorted(redacted.items())),
            "troubles": dict(sorted(troubles.items())),
        }
        return Index.from_dict({"completeness": completeness})

    def __iter__(self) -> Iterator[tuple[str, IndexRow, bytes]]:
        """The stem, the row and the report of each run, in the order of results."""
        runs = sorted((run for merged in self.merged for run in merged.runs), key=lambda run: run.order)
        # The same tests may have run in many of these sessions: only their tokens tell such runs apart.
        stems = name_runs([(run.run_id, (*run.order, run.token)) for run in runs])
        with SliceReader() as reader:
            for stem, run in zip(stems, runs, strict=True):
                yield stem, *_report(reader, run)


def _report(reader: SliceReader, run: MergedRun) -> tuple[IndexRow, bytes]:
    before, messages, after, row = reader.report(run)
    return IndexRow.from_dict({"file": "", **row}), document.compact(before, messages, after)


def sessions_in(path: Path) -> list[Path]:
    """The folders of sessions: the path itself, or those in it."""
    if journal_paths(path):
        return [path]
    return sorted(each for each in path.iterdir() if each.is_dir() and journal_paths(each))


def lives(session: Path) -> bool:
    """Whether a process of the session lives."""
    # One that is empty has just been made, and may be about to be locked: looking for a lock takes it for a moment.
    paths = [path for path in (session / TOKEN_FILE, *journal_paths(session)) if path.exists()]
    return any(path.stat().st_size == 0 or is_held(path) for path in paths)


def has_journals(path: Path) -> bool:
    """Whether the path is a session's folder, or a folder of such."""
    with suppress(OSError):
        return path.is_dir() and (path.name.endswith(".journals") or bool(journal_paths(path)))
    return False


__all__ = ["Unfinished", "has_journals", "lives", "sessions_in"]
