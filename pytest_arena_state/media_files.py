"""Files that runs point at and that lie in their results directory: a merge takes them along.

Paths come from files that anybody may have written, so only what is really inside the directory is taken, and
nothing that could be taken for results.
"""

from __future__ import annotations

import filecmp
import shutil
from pathlib import Path, PurePosixPath
from typing import Any

from ._wire import loads

_KEYS = frozenset(("file_path", "storage_reference", "FilePath", "RecordingPath"))


class MediaFiles:
    """Notes files while runs are read, and copies them when the results are there."""

    def __init__(self, target: Path | None) -> None:
        """Begin.

        Args:
            target: The directory that they go to; None where results are one file, which has no files beside it.
        """
        self._target = target
        self._sources: dict[str, Path] = {}
        self._problems: list[str] = []

    def note(self, directory: Path, text: bytes) -> None:
        """Note the files of a run that lie in its directory."""
        if self._target is None or not any(b'"%b"' % key.encode() in text for key in _KEYS):
            return
        for path in _paths(loads(text)):
            source = _inside(directory, path)
            if source is None:
                continue
            known = self._sources.setdefault(path, source)
            if known != source and not filecmp.cmp(known, source, shallow=False):
                # The runs that point at it must not change, so there can be only one.
                self._problems.append(f"{source}: another file than {known}, which was kept")

    def copy(self) -> list[str]:
        """Copy what was noted; returns what could not be."""
        assert self._target is not None or not self._sources
        for path, source in sorted(self._sources.items()):
            assert self._target is not None
            out = self._target / path
            try:
                if out.resolve() == source.resolve():
                    continue
                out.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, out)
            except OSError as error:
                self._problems.append(f"{source}: {error.strerror or error}")
        return self._problems


def _paths(value: Any) -> set[str]:
    """What stands under a key that names a file, anywhere in a run."""
    found = set()
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            found |= {item for key, item in each.items() if key in _KEYS and isinstance(item, str) and item}
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
    return found


def _inside(directory: Path, path: str) -> Path | None:
    """The file in the directory that a run's path means; None where it means anything else."""
    pure = PurePosixPath(path.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or ":" in path or "\0" in path:
        return None
    if len(pure.parts) == 1 and pure.suffix == ".json":
        return None  # a run's file, or the index
    try:
        source = (directory / pure).resolve()
        return source if source.is_file() and source.is_relative_to(directory.resolve()) else None
    except OSError:
        return None


__all__ = ["MediaFiles"]
