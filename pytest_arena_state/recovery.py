"""Finish the work of sessions that died: make the report that they could not publish.

Recovered runs are added to what is there; nothing is replaced but what the same session has
published of them. Journals go when the results that were made from them are published, and a
session that lives is left alone.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from . import results
from .errors import ResultsError
from .journal import journal_paths
from .merge import Merged, merge_session
from .packing import require
from .recording import token_of
from .results import Target
from .session import ELSEWHERE, absorb, discard, is_dead, replaced_by, target_of

if TYPE_CHECKING:
    from .index import Totals


@dataclass
class Recovery:
    """What was recovered, and what was not."""

    target: Target
    sessions: int = 0
    alive: int = 0
    """Sessions that were left alone, because a process of theirs lives."""
    merged: Merged = field(default_factory=Merged)
    totals: Totals | None = None
    """Of the recovered runs; None when there was nothing to recover."""


def recover(path: str | Path, *, output: str | Path | None = None) -> Recovery:
    """Publish the runs of every dead session of a results path.

    Args:
        path: A results path whose session died, the folder of its journals, or the folder of
            one session in there.
        output: Where the results go; where the sessions wanted them when None.

    Raises:
        ResultsError: There are no journals, or it cannot be told where the results belong.
        ConfigurationError: A library that packs the results is missing; the journals are still there.
        OSError: Something cannot be read or written; the journals are still there.
    """
    given = Path(path).absolute()
    directories, target = _find(given, str(path))
    if output is not None:
        target = Target(Path(output).absolute(), str(output))
    problem = target.check()
    if problem:
        raise ResultsError(str(path), problem)
    require(target.packing)
    recovery = Recovery(target)
    with results.publish_lock(target):
        dead = [directory for directory in directories if directory.is_dir() and is_dead(directory)]
        recovery.alive = sum(directory.is_dir() for directory in directories) - len(dead)
        recovery.sessions = len(dead)
        for directory in dead:
            absorb(recovery.merged, merge_session(directory, token=token_of(directory.name)))
        if dead:
            staging = dead[0] / "staging"
            published = results.publish(
                target,
                recovery.merged,
                replaced=replaced_by(recovery.merged, dead),
                token=token_of(dead[0].name),
                staging=_fitting(staging, target),
                sessions=len(dead),
            )
            recovery.totals = published.totals
            discard(recovery.merged, dead)
            _remove_empty({directory.parent for directory in dead})
            shutil.rmtree(_fitting(staging, target), ignore_errors=True)
    return recovery


def _remove_empty(folders: Iterable[Path]) -> None:
    for folder in folders:
        if folder.name.endswith(".journals") or folder.name.startswith(ELSEWHERE):
            with suppress(OSError):
                folder.rmdir()


def _fitting(staging: Path, target: Target) -> Path:
    """A staging folder beside the results: files can only be moved within a file system."""
    if target.journals in staging.parents:
        return staging
    return target.journals / "staging"


def _find(given: Path, shown: str) -> tuple[list[Path], Target]:
    if journal_paths(given):
        wanted = target_of(given)
        if wanted is None:
            if not given.parent.name.endswith(".journals"):
                raise ResultsError(shown, "cannot tell where its results belong: name a path with -o")
            wanted = given.parent.with_name(given.parent.name.removesuffix(".journals"))
        return [given], Target(wanted, _shown(wanted))
    if given.name.endswith(".journals") and given.is_dir():
        wanted = given.with_name(given.name.removesuffix(".journals"))
        return _sessions(given), Target(wanted, _shown(wanted))
    if not given.name:
        raise ResultsError(shown, "the path of results, or a folder of journals, was wanted")
    if given.name.endswith(".journals") and not given.exists():
        raise ResultsError(shown, "nothing is there: journals go when their session has published its results")
    target = Target(given, shown)
    if target.journals.is_dir():
        return _sessions(target.journals), target
    if given.exists():
        return [], target  # its session published everything
    raise ResultsError(shown, f"nothing is there, and no {target.journals.name!r} beside it")


def _sessions(root: Path) -> list[Path]:
    return sorted(directory for directory in root.iterdir() if directory.is_dir() and journal_paths(directory))


def _shown(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
