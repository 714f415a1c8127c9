"""Reading results back: everything that this package or Arena wrote, in all its forms."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ResultsError
from .index_reading import index_of
from .large_media import FOLDER, find, name_of, problem_of
from .loading import LoadedRuns
from .stored import index_file, is_file_name, open_results, parse_run, run_files
from .target import Form, Target, is_url

if TYPE_CHECKING:
    from .index import Index
    from .messages import MediaContent
    from .models import RunResult


def load_run(path: str | Path) -> RunResult:
    """Read the file of one run.

    Raises:
        OSError: It cannot be read.
        ResultsError: It is not a RunResult; the first problem is named.
    """
    return parse_run(Path(path).read_bytes(), str(path))


def read_index(path: str | Path) -> Index:
    """Read an index: ours, Arena's, or the one within a ``.json``.

    Args:
        path: The index file, or the results directory, ``.jsonl`` or ``.json`` that it belongs to; also the URL
            of such results.

    Raises:
        OSError: It cannot be read.
        ResultsError: It is not an index.
    """
    if is_url(path):
        from .cloud import Fetched

        copy = Fetched(str(path), index_only=True)
        return index_of(index_file(copy.path))
    return index_of(index_file(Path(path)))


def load_results(path: str | Path) -> Sequence[RunResult]:
    """Read results back: a directory, a ``.jsonl``, a ``.json`` of many runs or of one, or journals.

    The sequence reads a run each time it is asked for it, so it takes as little memory for a million runs as for
    ten; ``list(load_results(path))`` has them all at once. To go through it once in its order is to read the file
    once. A length, an index or a slice has the results looked through first, and those that are compressed or one
    document unpacked onto the disk. A run that is changed is not changed in the sequence, which reads it anew.

    Directories are read by their index where there is one, else file by file, so that what Arena wrote can be read
    as well. Results with a URL are downloaded now, and their copy goes with the sequence.

    Raises:
        OSError: Now, where nothing is there or it cannot be read; for a run's own file when it is asked for.
        ResultsError: The same, where something is not what it should be; it is named.
        ConfigurationError: A library is missing that unpacks or downloads it.
    """
    return LoadedRuns(open_results(path))


def iterate_results(path: str | Path) -> Iterator[RunResult]:
    """The same, one run at a time and once.

    Raises:
        OSError: Something cannot be read; when it comes to it.
        ResultsError: A file is not what it should be; it is named.
    """
    yield from LoadedRuns(open_results(path))


def read_media(results: str | Path, media: MediaContent) -> bytes:
    """The bytes of an image, a sound, a video or a document of a run, in the run or in a file beside it.

    Args:
        results: Where the run was loaded from: a path in any form, journals, or a URL of results.
        media: Of a part of one of its messages.

    Raises:
        ResultsError: The media are elsewhere, as with a ``url``, or their file is missing or was changed.
        ConfigurationError: A library is missing that downloads them.
        OSError: They cannot be read.
    """
    if media.data:
        try:
            # Some write it with line breaks, and some in the letters for URLs; anything else would be passed over.
            plain = "".join(media.data.split()).replace("-", "+").replace("_", "/")
            return base64.b64decode(plain, validate=True)
        except ValueError as error:
            raise ResultsError(str(results), f"its media are not base64: {error}") from None
    where = media.file_path or media.storage_reference or media.url or ""
    name = name_of(where)
    if not name:
        raise ResultsError(str(results), f"these media are not kept with their run, get them from {where!r}")
    if is_url(results):
        from .cloud import Fetched

        copy = Fetched(str(results), media=name)
        return _content_of(copy.path, name, str(results))
    return _content_of(Path(results), name, str(results))


def _content_of(results: Path, name: str, shown: str) -> bytes:
    file, problem = find(results, name), problem_of(results, name)
    if file is None or problem:
        raise ResultsError(f"{shown}: {FOLDER}/{name}", problem)
    return file.read_bytes()


__all__ = [
    "Form",
    "Target",
    "is_file_name",
    "iterate_results",
    "load_results",
    "load_run",
    "read_index",
    "read_media",
    "run_files",
]
