"""Moving files to their places, which may be on another file system: a mount point, or where a link leads.

Nothing can be moved there. So everything is copied first, into drafts beside the places, and these are moved.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from shutil import rmtree  # by name: a test may replace what the module has

from .target import where_it_leads

_DRAFTS = ".drafts"


def rename_folder(folder: Path, place: Path) -> bool:
    """Move a folder to where nothing is yet, whole; says whether it was, which it cannot be to another file system.

    Raises:
        OSError: It cannot be moved for another reason.
    """
    try:
        folder.rename(place)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return False
    return True


def place_runs(folders: Sequence[Path], index: Path, place: Path) -> None:
    """Move the files of folders into results, and then their index.

    The results may be on another file system, such as a mount point or where a link leads.

    Raises:
        OSError: Something cannot be moved; the old index is still there.
    """
    try:
        move_files(folders, place)
        index.replace(place / "index.json")
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _place_copies(folders, index, place)


def _place_copies(folders: Sequence[Path], index: Path, place: Path) -> None:
    drafts = place / _DRAFTS
    runs = drafts / "runs"
    remove_folder(drafts)  # of somebody who was killed
    try:
        # A full disk must be noticed here, too, before the first of the old files is replaced.
        runs.mkdir(parents=True)
        for folder in folders:
            for file in folder.iterdir():
                shutil.copyfile(file, runs / file.name)
        shutil.copyfile(index, drafts / "index.json")
        move_files([runs], place)
        (drafts / "index.json").replace(place / "index.json")
    finally:
        remove_folder(drafts)


def remove_folder(folder: Path) -> None:
    """Remove a folder, if that can be."""
    with suppress(Exception):  # whether everything is published does not depend on it
        rmtree(folder, ignore_errors=True)


def move_files(folders: Sequence[Path], place: Path) -> None:
    """Move the files of folders, one by one.

    Raises:
        OSError: One cannot be moved, and those after it are not.
    """
    for folder in folders:
        for name in os.listdir(folder):  # noqa: PTH208 - maybe a million, of which a path takes half a kilobyte
            (folder / name).replace(place / name)


def place_files(*moves: tuple[Path, Path]) -> None:
    """Move files to their places, in this order; where a place is a link, to where that leads.

    Raises:
        OSError: One cannot be moved, and those after it are not.
    """
    moves = tuple((file, where_it_leads(place)) for file, place in moves)
    for done, (file, place) in enumerate(moves):
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            file.replace(place)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _place_drafts(moves[done:])
            return


def _place_drafts(moves: Sequence[tuple[Path, Path]]) -> None:
    drafts = [(place.with_name(f".{place.name}{_DRAFTS}"), place) for _, place in moves]
    try:
        for (file, place), (draft, _) in zip(moves, drafts, strict=True):
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, draft)
        for draft, place in drafts:
            draft.replace(place)
    except BaseException:
        for draft, _ in drafts:
            with suppress(OSError):
                draft.unlink()
        raise


__all__ = ["move_files", "place_files", "place_runs", "remove_folder", "rename_folder"]
