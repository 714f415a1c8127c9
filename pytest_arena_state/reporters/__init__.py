"""Results in other formats, one module per format.

A reporter gets an iterable source of runs with its index, and a stream; it knows of no session and no
options. It reads runs one at a time, so memory does not grow with the conversations. A report that is
being written stands beside its place and is moved there when it is whole.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, runtime_checkable

from ..errors import ConfigurationError
from ..target import is_url, where_it_leads

if TYPE_CHECKING:
    from .source import Source


@runtime_checkable
class Reporter(Protocol):
    """What every format's module offers as ``write``."""

    def __call__(self, source: Source, stream: BinaryIO, *, baseline: Source | None = None) -> None:
        """Write all runs of ``source``. A format that shows no change does not look at ``baseline``."""


@dataclass(frozen=True, slots=True)
class Format:
    """A format and the file names that ask for it."""

    module: str
    """Within this package; loaded when the format is used."""
    suffixes: tuple[str, ...]

    @property
    def write(self) -> Reporter:
        """The reporter."""
        reporter: Reporter = import_module(f".{self.module}", __name__).write
        return reporter


FORMATS: Mapping[str, Format] = {
    "html": Format("html", (".html", ".htm")),
    "md": Format("markdown", (".md", ".markdown")),
    "junit": Format("junit", (".xml",)),
    "jsonl": Format("jsonl", (".jsonl", ".ndjson")),
    "csv": Format("csv", (".csv",)),
    "parquet": Format("parquet", (".parquet",)),
}


def format_of(path: Path, name: str | None = None) -> Format:
    """The format that was asked for by its name, else by the file's ending.

    Raises:
        ConfigurationError: There is no such format.
    """
    if name is not None:
        if name not in FORMATS:
            raise ConfigurationError(f"format {name!r} is not one of {', '.join(FORMATS)}")
        return FORMATS[name]
    suffix = path.suffix.lower()
    for each in FORMATS.values():
        if suffix in each.suffixes:
            return each
    endings = ", ".join(each.suffixes[0] for each in FORMATS.values())
    raise ConfigurationError(f"{str(path)!r} does not tell the format: end it in one of {endings}, or name the format")


_OPEN = re.compile(r"/dev/std(?P<name>out|err)|/(?:dev|proc/self)/fd/(?P<number>\d{1,9})", re.ASCII)


def write_report(
    source: str | Path | Source,
    out: str | Path,
    format: str | None = None,
    *,
    baseline: str | Path | Source | None = None,
) -> Path:
    """Write a report of results.

    Args:
        source: Results on disk, or a source that was opened.
        out: The report; its folder is made where it is missing. A link stays, and the report is where it leads; what
            is no file of its own, such as a pipe or ``/dev/stdout``, is written to and never replaced.
        format: One of `FORMATS`; by the ending of ``out`` when None.
        baseline: Results to show the change against.

    Returns:
        The report's path.

    Raises:
        ConfigurationError: The format is unknown, or its extra is not installed.
        OSError: Something cannot be read or written; a report that was there before still is.
        ResultsError: A file of the results is not what it should be.
    """
    from .source import Source, open_source

    refuse_url(out)
    path = Path(out)
    write = format_of(path, format).write
    opened = source if isinstance(source, Source) else open_source(source)
    before = baseline if baseline is None or isinstance(baseline, Source) else open_source(baseline)
    write_whole(path, lambda stream: write(opened, stream, baseline=before))
    return path


def refuse_url(out: str | Path) -> None:
    """See that a report goes to a disk.

    Raises:
        ConfigurationError: It would go to an object store.
    """
    if is_url(out):
        raise ConfigurationError("a report is written to a disk, not to an object store")


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Have something written to a file, whole or not at all; see ``out`` of `write_report`.

    Raises:
        OSError: It cannot be written; what was there before still is.
    """
    if is_stream(path):
        with _open_stream(path) as stream:
            write(stream)
        return
    place = where_it_leads(path)
    if place.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    place.parent.mkdir(parents=True, exist_ok=True)
    staged = place.with_name(f"{place.name}.{os.getpid()}.tmp")
    try:
        with staged.open("wb") as stream:
            write(stream)
        staged.replace(place)
    except BaseException as error:
        with suppress(OSError):
            staged.unlink()
        if isinstance(error, OSError) and error.filename == str(staged):
            raise type(error)(error.errno, error.strerror, str(path)) from None
        raise


def is_stream(path: Path) -> bool:
    """Whether a path is no file of its own: a pipe, a device, or what this process has open, such as its output."""
    return _descriptor(path) is not None or (path.exists() and not path.is_file() and not path.is_dir())


def _open_stream(path: Path) -> BinaryIO:
    descriptor = _descriptor(path)
    # Where the shell led our output into a file, to open that anew would empty it: `>>` is there to keep what it has.
    return path.open("wb") if descriptor is None else os.fdopen(os.dup(descriptor), "wb")


def _descriptor(path: Path) -> int | None:
    found = _OPEN.fullmatch(str(path)) if os.name != "nt" else None
    if found is None:
        return None
    return int(found["number"]) if found["number"] else 1 if found["name"] == "out" else 2


__all__ = ["FORMATS", "Format", "Reporter", "format_of", "is_stream", "refuse_url", "write_report", "write_whole"]
