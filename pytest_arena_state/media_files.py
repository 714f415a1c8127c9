"""Files that runs point at and that lie in their results directory: a merge takes them along.

Paths come from files that anybody may have written, so only what is really inside the directory is taken, and
nothing that could be taken for results.
"""

from __future__ import annotations

import filecmp
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ._wire import loads
from .large_media import bring, damage_of, find, folder_of, name_of, names_in, sweep

if TYPE_CHECKING:
    from .target import Target

_KEYS = frozenset(("file_path", "storage_reference", "FilePath", "RecordingPath"))
_GIVEN = re.compile(rb'"(?:%b)":\s*"[^"]' % "|".join(sorted(_KEYS)).encode())


class MediaFiles:
    """Notes files while runs are read, and copies them when the results are there."""

    def __init__(self, target: Target) -> None:
        """Begin.

        Args:
            target: The results that they go with. Files of the user's own go with a directory only, because results
                in one file have nothing else beside them.
        """
        self._target = target.path if target.form == "directory" else None
        self._large = folder_of(target.path)
        self._large_sources: dict[str, Path | None] = {}
        self._whole: set[str] = set()  # of these, those that are what their names say
        self._sources: dict[PurePosixPath, Path] = {}
        self._problems: list[str] = []

    def note(self, results: Path, text: bytes) -> None:
        """Note the files of a run that lie beside it, or in its directory."""
        for name in names_in((text,)):
            # Of several shards with the same content, one may lack it, or have it cut off by the upload.
            if name in self._whole:
                continue
            known, source = self._large_sources.setdefault(name, None), find(results, name)
            if source is not None and source != known:
                self._large_sources[name] = source
                with suppress(OSError):
                    if not damage_of(source):
                        self._whole.add(name)
        if self._target is None or not results.is_dir():
            return
        for path in paths_of(text):
            source, place = _inside(results, path), relative(path)
            if source is None or place is None or name_of(path):
                continue
            known = self._sources.setdefault(place, source)  # not as written: a run of Windows has backslashes
            if known != source and not filecmp.cmp(known, source, shallow=False):
                # The runs that point at it must not change, so there can be only one.
                self._problems.append(f"{source}: another file than {known}, which was kept")

    def copy(self) -> list[str]:
        """Copy what was noted; returns what could not be."""
        assert self._target is not None or not self._sources
        self._copy_large()
        for place, source in sorted(self._sources.items()):
            assert self._target is not None
            out = self._target / place
            try:
                if os.path.realpath(out) == os.path.realpath(source):
                    continue
                out.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, out)
            except OSError as error:
                self._problems.append(f"{source}: {error.strerror or error}")
        return self._problems

    def _copy_large(self) -> None:
        for name, source in sorted(self._large_sources.items()):
            out = self._large / name
            try:
                if source is None:
                    if not out.exists():
                        self._problems.append(f"media/{name}: a run names it, and it is missing")
                elif name not in self._whole and (damage := damage_of(source)):
                    self._problems.append(f"{source}: {damage}")
                elif not out.exists() or (not out.samefile(source) and damage_of(out)):
                    self._large.mkdir(parents=True, exist_ok=True)
                    bring(source, out)
            except OSError as error:
                self._problems.append(f"{source}: {error.strerror or error}")
        sweep(self._large, set(self._large_sources))


def paths_of(run: bytes) -> set[str]:
    """What stands under a key that names a file, anywhere in a run."""
    if not _GIVEN.search(run):
        return set()
    found = set()
    waiting: list[Any] = [loads(run)]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            found |= {item for key, item in each.items() if key in _KEYS and isinstance(item, str) and item}
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
    return found


def relative(path: str) -> PurePosixPath | None:
    """A run's path as one within its directory; None where it means anything else."""
    pure = PurePosixPath(path.replace("\\", "/"))
    if pure.is_absolute() or not pure.parts or ".." in pure.parts or ":" in path or "\0" in path:
        return None
    if len(pure.parts) == 1 and pure.suffix == ".json":
        return None  # a run's file, or the index
    return pure


def _inside(directory: Path, path: str) -> Path | None:
    """The file in the directory that a run's path means; None where it means anything else."""
    pure = relative(path)
    if pure is None:
        return None
    try:
        # Of links in a circle, `Path.resolve` raises a RuntimeError.
        source = Path(os.path.realpath(directory / pure))
        return source if source.is_file() and source.is_relative_to(os.path.realpath(directory)) else None
    except OSError:
        return None


def files_of(directory: Path, run: bytes) -> set[str]:
    """The files in a directory that one of its runs names, relative to it and with slashes."""
    found = {path: _inside(directory, path) for path in paths_of(run)}
    return {str(relative(path)) for path, file in found.items() if file is not None}


__all__ = ["MediaFiles", "files_of", "paths_of", "relative"]
