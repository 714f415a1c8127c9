"""Where results are: a path, the form that its ending asks for, and what lies beside it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

Form: TypeAlias = Literal["directory", "jsonl", "json"]
Packing: TypeAlias = Literal["", "gz", "zst"]


_URL = re.compile("[A-Za-z][A-Za-z0-9+.-]+://")  # of one letter it is a drive of Windows


def is_url(path: object) -> bool:
    """Whether results are in an object store, or somewhere else that is no path; `Place.of` refuses that."""
    return isinstance(path, str) and _URL.match(path) is not None


def place_of(given: str, base: Path) -> Path:
    """The path that an option means; a ``~`` that the shell left is somebody's home, unless nobody knows of one."""
    return Path(base, os.path.expanduser(given))  # noqa: PTH111 - that of pathlib raises there


def packing_of(path: Path) -> Packing:
    """How a file of lines is compressed, by the ending of its name; empty when it is not."""
    name = path.name
    return "gz" if name.endswith(".jsonl.gz") else "zst" if name.endswith(".jsonl.zst") else ""


def form_of(path: Path) -> Form:
    """What results at a path are, by its ending."""
    suffix = path.suffix
    return "jsonl" if suffix == ".jsonl" or packing_of(path) else "json" if suffix == ".json" else "directory"


def where_it_leads(path: Path) -> Path:
    """The path itself, or the end of the links that begin there, also where nothing is yet."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


@dataclass(frozen=True)
class Target:
    """Where a session's results go."""

    path: Path
    """Absolute."""
    shown: str
    """As the user gave it, for messages."""
    url: str = ""
    """Where they are uploaded to when they are whole; empty when they stay."""

    @property
    def form(self) -> Form:
        """By the ending of the path; that a file is packed changes nothing about it."""
        return form_of(self.path)

    @property
    def packing(self) -> Packing:
        """How the file is compressed."""
        return packing_of(self.path)

    @property
    def index_path(self) -> Path:
        """The file that holds the index."""
        if self.form == "directory":
            return self.path / "index.json"
        if self.packing:  # by the whole name: results.jsonl may lie beside results.jsonl.gz
            return self.path.with_name(f"{self.path.name}.index.json")
        return self.path.with_suffix(".index.json") if self.form == "jsonl" else self.path

    @property
    def shown_index(self) -> str:
        """The index, as a user would write its path."""
        shown = self.shown.replace(os.sep, "/")
        if self.form == "directory":
            return f"{shown.rstrip('/')}/index.json"
        return f"{shown.removesuffix('.jsonl')}.index.json" if self.form == "jsonl" else shown

    @property
    def journals(self) -> Path:
        """Where the journals of unpublished sessions are."""
        return self.path.with_name(f"{self.path.name}.journals")

    def check(self) -> str:
        """Why nothing can be written here; empty when it looks possible."""
        path, shown = self.path, self.shown
        if not path.name:
            return f"{shown!r} has no name: a directory, a .jsonl or a .json was wanted"
        if is_url(shown):
            return f"{shown!r}: write it to a disk, and then `arena-state upload` it"
        try:
            return self._problem_on_disk()
        except OSError as error:  # as of a folder that may not be looked into, or a disk that is gone
            return f"{shown!r}: {error.strerror or error}"

    def _problem_on_disk(self) -> str:
        path, shown = self.path, self.shown
        if path.name.endswith((".json.gz", ".json.zst")) and not path.is_dir():
            return f"{shown!r}: a .json is never compressed, a .jsonl.gz or .jsonl.zst is"
        if self.form == "directory" and path.exists() and not path.is_dir():
            return f"{shown!r} is a file, not a directory"
        if self.form != "directory" and path.is_dir():
            return f"{shown!r} is a directory, not a file"
        for file in [self.index_path] if self.form == "directory" else [path, self.index_path]:
            if file.exists() and not file.is_file():  # a named pipe: who opens it waits until somebody writes
                return f"{str(file)!r} is no file, so {shown!r} cannot be replaced"
        for parent in path.parents:
            if parent.exists():
                if not parent.is_dir():
                    return f"{str(parent)!r} is a file, so {shown!r} cannot be made"
                break
        return ""


__all__ = ["Form", "Packing", "Target", "form_of", "is_url", "packing_of", "place_of", "where_it_leads"]
