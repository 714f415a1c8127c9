"""Earlier results, as a session found them: it replaces these, and nothing that came since or is no results.

A file per run is another file when somebody has replaced it. Of runs in one file there is nothing but their rows, and
two runs of one test may have the same: they took the same time, or their clock stood still. So a session holds on to
the file that it found, by a link, and where another one has come in its place compares the runs themselves.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping, Set
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ._wire import dumps, loads
from .errors import ResultsError
from .naming import digest, is_file_name
from .one_file import kind_of, may_be_lines
from .stored import open_results
from .target import Target, where_it_leads

if TYPE_CHECKING:
    from .index import Index, IndexRow


def marks(target: Target, index: Index) -> dict[str, str]:
    """For each stem, a mark that is another one once somebody has published another run under it."""
    if not index.format_version:
        return {}  # a directory that Arena wrote is not ours to replace
    rows = dict(zip(index.run_ids, index.runs, strict=False))
    return {stem: _mark(target, stem, rows.get(stem)) for stem in index.run_ids if is_file_name(stem)}


def _mark(target: Target, stem: str, row: IndexRow | None) -> str:
    if target.form == "directory":
        return version_of(target.path / f"{stem}.json")
    if row is None:
        return ""
    # Where no time passed, rows tell nothing by themselves; what is behind the space counts if nothing better is known.
    return digest(row.to_json()) if row.duration_ns else f"{digest(row.to_json())} {version_of(target.path)}"


def version_of(path: Path) -> str:
    """Something that is another one when a file was replaced; empty where there is none."""
    try:
        found = path.stat()
    except OSError:
        return ""
    return f"{found.st_ino} {found.st_mtime_ns}"


def keep(target: Target, folder: Path) -> Path | None:
    """Hold on to the results that there are, where all runs are in one file.

    Args:
        target: The results.
        folder: Of the session; what is made in it goes with it.

    Returns:
        The file under another name; None where there is none, and where the file system has no such names.
    """
    if target.form == "directory" or not target.path.is_file():
        return None
    copy = Target(folder / "before" / target.path.name, "")
    try:
        copy.path.parent.mkdir()
        for there, here in {target.path: copy.path, target.index_path: copy.index_path}.items():
            os.link(there.resolve(), here)
    except OSError:
        return None
    return copy.path


def still_there(target: Target, now: Mapping[str, str], found: Mapping[str, str], before: Path | None) -> set[str]:
    """The runs that a session found when it began, and that nobody has replaced since.

    Args:
        target: The results.
        now: Their `marks`.
        found: Those that they had.
        before: What they were, from `keep`.
    """
    same = {stem for stem, mark in now.items() if found.get(stem) == mark}
    if before is None or _is_same(before, target.path):
        return same
    alike = {stem for stem, mark in now.items() if stem in found and _row(found[stem]) == _row(mark)}
    was, there_is = _bodies(before, target, alike), _bodies(target.path, target, alike)
    return {stem for stem in alike if (stem in same if stem not in was else was[stem] == there_is.get(stem))}


class Strangers:
    """Files in the places of results that hold something else: a publication gives them other names first.

    Args:
        target: The results.
        ours: The runs that the index names.
    """

    def __init__(self, target: Target, ours: Iterable[str] = ()) -> None:
        path, index = where_it_leads(target.path), where_it_leads(target.index_path)
        self._folder = path if target.form == "directory" and path.is_dir() else None
        self._ours = frozenset(ours)
        self._places = [index] if target.form == "directory" else list(dict.fromkeys((path, index)))
        self.told: list[str] = []
        """What was given another name."""

    def found(self) -> list[Path]:
        """Those in the places that all results have."""
        return [place for place in self._places if _is_strange(place, "index", "results")]

    def found_for(self, stem: str) -> list[Path]:
        """One where a run's own file is to be."""
        if self._folder is None or stem in self._ours:
            return []
        place = self._folder / f"{stem}.json"
        return [place] if _is_strange(place, "run") else []

    def rename(self, places: Iterable[Path]) -> None:
        """Give files other names.

        Raises:
            OSError: One cannot be renamed.
        """
        for place in places:
            self._rename(place)

    def _rename(self, place: Path) -> None:
        names = (f"{place.name}.before{number or ''}" for number in itertools.count())
        name = next(name for name in names if not os.path.lexists(place.with_name(name)))
        place.rename(place.with_name(name))
        self.told.append(f"{place.name} held no results, and is {name} now")


def _is_strange(place: Path, *kinds: str) -> bool:
    try:
        if not place.is_file() or place.stat().st_size == 0:
            return False
        return kind_of(place) not in kinds if place.suffix == ".json" else not may_be_lines(place)
    except ResultsError:
        return True
    except OSError:  # nobody can read it, and nobody can say that it is somebody else's
        return False


def _row(mark: str) -> str:
    return mark.partition(" ")[0]


def _is_same(one: Path, other: Path) -> bool:
    with suppress(OSError):
        return one.samefile(other)
    return False


def _bodies(path: Path, target: Target, stems: Set[str]) -> dict[str, str]:
    """Digests of runs, as far as they can be read."""
    found = {}
    with suppress(OSError, ResultsError, ValueError):
        for stored in open_results(path):
            if stored.stem in stems:
                body = stored.read()
                # A publication writes the runs of a .json anew.
                found[stored.stem] = digest((dumps(loads(body)) if target.form == "json" else body.rstrip()).hex())
    return found


__all__ = ["Strangers", "keep", "marks", "still_there", "version_of"]
