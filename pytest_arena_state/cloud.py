"""Results in an object store: ``s3://``, ``gs://`` and ``az://``, with the extra ``[cloud]``.

Nothing is written there while tests run. A session publishes into a folder beside the suite, as it
does anywhere, and then uploads it, the index last. What could not be uploaded stays in that folder,
with a note of where it belongs. Who reads gets a copy in a temporary folder.

Credentials are taken from the environment and never from a URL; what a store answers is redacted
before anybody sees it.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any

from .errors import ConfigurationError, ResultsError
from .index import Index
from .index_reading import index_of
from .large_media import FOLDER as MEDIA
from .large_media import damage_of, folder_of, name_of, names_there
from .media_files import files_of, paths_of, relative
from .naming import is_file_name
from .redaction import RedactionRules, Redactor
from .target import Target

FOLDER = "arena-results-upload"
_NOTE = ".upload"  # behind the name of results that wait for their upload: a file with their URL
_URL = re.compile(r"(s3|gs|az)://([^/]*)/*(.*)", re.DOTALL)
_SEGMENT = re.compile(r'[^\x00-\x1f\x7f\\?#%:*<>|"@]+')  # also a file's name on every system
_AT_ONCE = 16  # requests
_CHUNK = 1 << 20  # bytes that are read at a time
_RETRIES: dict[str, Any] = {"max_retries": 4, "retry_timeout": timedelta(seconds=60)}
_REASON_LIMIT = 300  # characters


@dataclass(frozen=True)
class Place:
    """A bucket, or a container, and a key in it."""

    scheme: str
    bucket: str
    key: tuple[str, ...]

    @classmethod
    def of(cls, url: str) -> Place:
        """Read a URL.

        Raises:
            ConfigurationError: It is none, or it has more in it than a bucket and a key. It is not
                repeated in the message, because that may be a secret.
        """
        found = _URL.fullmatch(url)
        parts = tuple(part for part in found[3].split("/") if part) if found else ()
        if found is None or not parts:
            raise ConfigurationError("a URL of results is s3://, gs:// or az://, a bucket and a name in it")
        for part in (found[2], *parts):
            if not _SEGMENT.fullmatch(part) or part in (".", "..") or part != part.strip(" "):
                raise ConfigurationError(
                    "a URL of results is a bucket and a name, without user, query or characters that no file's "
                    "name may have; credentials are taken from the environment"
                )
        return cls(found[1], found[2], parts)

    @property
    def url(self) -> str:
        """The whole."""
        return f"{self.scheme}://{'/'.join((self.bucket, *self.key))}"

    @property
    def media(self) -> str:
        """The URL of the folder for media that are too large for the runs."""
        return f"{self.scheme}://{'/'.join((self.bucket, *self.key[:-1], *folder_of(Path(self.key[-1])).parts))}"

    @property
    def parent(self) -> str:
        """The URL of what it is in."""
        return f"{self.scheme}://{'/'.join((self.bucket, *self.key[:-1]))}"

    def target(self, root: Path, shown_from: Path | None = None) -> Target:
        """Where its results are put together.

        Args:
            root: The folder for all of them is made in there.
            shown_from: Where the user is; the results are named relative to it.
        """
        path = root.joinpath(FOLDER, self.scheme, self.bucket, *self.key).absolute()
        base = shown_from if shown_from is not None else root
        return Target(path, str(path.relative_to(base) if path.is_relative_to(base) else path), self.url)


def require() -> None:
    """Find out whether object stores can be used.

    Raises:
        ConfigurationError: The library is missing; says how to install it.
    """
    try:
        there = find_spec("obstore") is not None
    except ValueError:
        there = False
    if not there:
        raise ConfigurationError("object stores need obstore: pip install 'pytest-arena-state[cloud]'")


def root_for(folder: Path) -> Path:
    """Where the folder for uploads can be made: here, else in the system's folder for temporary files."""
    if os.access(folder, os.W_OK):
        return folder
    own = os.getuid() if hasattr(os, "getuid") else 0
    other = Path(tempfile.gettempdir(), f"arena-state-{own}")
    with suppress(OSError):
        other.mkdir(0o700, exist_ok=True)
        if other.is_symlink() or other.stat().st_uid != own:
            return folder  # somebody else has made it, and would read what is in there
    return other


# --- uploading ------------------------------------------------------------------------------------


def note_url(target: Target) -> None:
    """Leave a note beside results that have not been uploaded: whoever finds them knows where they belong.

    Raises:
        OSError: It cannot be written.
    """
    note = _note(target.path)
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(f"{target.url}\n", encoding="utf-8")


def noted_url(path: Path) -> str:
    """The URL that such a note has; empty when there is none."""
    with suppress(OSError, ValueError):
        return _note(path).read_text(encoding="utf-8").strip()
    return ""


def _note(path: Path) -> Path:
    return path.with_name(path.name + _NOTE)


def upload(path: Path, url: str) -> str:
    """Upload results; they replace those that are there.

    Runs come first and the index last, then the runs that only the old index named are removed.

    Args:
        path: Results in any form.
        url: Where to; its ending must ask for the same form.

    Returns:
        The URL of the index.

    Raises:
        ConfigurationError: The URL is none, or the library is missing.
        ResultsError: It failed; says why. The local results are untouched.
        OSError: The local results cannot be read.
    """
    place = Place.of(url)
    require()
    source, there = Target(path, str(path)), Target(Path(place.key[-1]), place.url)
    if (source.form, source.packing) != (there.form, there.packing):
        raise ResultsError(str(path), f"{there.path.name!r} is no name for results of this form")
    if not source.index_path.exists():
        hint = "; `arena-state merge` makes results with an index of these" if path.exists() else ""
        raise ResultsError(str(path), f"there are no results to upload: {source.index_path.name} is missing{hint}")
    with _explained(place.url):
        if source.form != "directory":
            _upload_media(folder_of(path), place)
        if source.form == "directory":
            _upload_directory(path, _store(place.url))
        else:
            store = _store(place.parent)
            _put(store, there.path.name, path)
            if source.index_path != path:
                _put(store, there.index_path.name, source.index_path)
        _remove_old_media(folder_of(path), place)
    return there.shown_index


def _upload_directory(directory: Path, store: Any) -> None:
    old = _index_there(store)
    if old is not None and not old.format_version and old.run_ids:
        raise ResultsError("", "results that Arena wrote are there: choose another name")
    stems = index_of(directory / "index.json").run_ids
    names = [f"{stem}.json" for stem in stems if is_file_name(stem)]
    media = {file for name in names for file in files_of(directory, (directory / name).read_bytes())}
    _each(lambda file: _put_unless_there(store, file, directory / file), sorted(media))
    _each(lambda name: _put(store, name, directory / name), names)
    _put(store, "index.json", directory / "index.json")
    gone = {f"{stem}.json" for stem in (old.run_ids if old is not None else ()) if is_file_name(stem)} - set(names)
    if gone:
        with suppress(FileNotFoundError):
            _obstore().delete(store, sorted(gone))


def _upload_media(folder: Path, place: Place) -> None:
    # A name alone says nothing: the results may be a stranger's, with a link to a file of this machine.
    names = [name for name in names_there(folder) if not damage_of(folder / name)]
    if names:
        store = _store(place.media)
        _each(lambda name: _put_unless_there(store, name, folder / name), names)


def _put_unless_there(store: Any, name: str, file: Path) -> None:
    """Upload media, unless the same is there from an earlier upload: the name of what is large tells its content."""
    if name_of(f"{MEDIA}/{name.rpartition('/')[2]}"):
        with suppress(Exception):  # it may be that only reading is forbidden
            if _obstore().head(store, name)["size"] == file.stat().st_size:
                return
    _put(store, name, file)


def _remove_old_media(folder: Path, place: Place) -> None:
    """Remove what no run names any more. That it stays is no reason to call an upload failed."""
    with suppress(Exception):
        store = _store(place.media)
        gone = _media_there(store).difference(names_there(folder))
        if gone:
            _obstore().delete(store, sorted(gone))


def _media_there(store: Any) -> set[str]:
    found = _obstore().list_with_delimiter(store)["objects"]
    names = {str(each["path"]).rpartition("/")[2] for each in found}
    return {name for name in names if name_of(f"{MEDIA}/{name}")}


def _index_there(store: Any) -> Index | None:
    with tempfile.TemporaryDirectory(prefix="arena-state-") as folder:
        copy = Path(folder, "index.json")
        try:
            _get(store, "index.json", copy)
        except FileNotFoundError:
            return None
        try:
            return index_of(copy)
        except ResultsError:
            return Index()  # nothing of ours, so nothing to remove


def forget(target: Target) -> None:
    """Remove results that were uploaded, their note, and the folders for uploads that are empty then."""
    if target.form == "directory":
        shutil.rmtree(target.path, ignore_errors=True)
    else:
        for file in {target.path, target.index_path}:
            file.unlink(missing_ok=True)
        shutil.rmtree(folder_of(target.path), ignore_errors=True)
    if not target.journals.exists():
        _note(target.path).unlink(missing_ok=True)
    with suppress(OSError):
        for folder in target.path.parents if FOLDER in target.path.parts else ():
            folder.rmdir()
            if folder.name == FOLDER:
                break


# --- reading --------------------------------------------------------------------------------------


class Fetched:
    """A copy of results in a temporary folder, for as long as somebody holds this."""

    def __init__(self, url: str, *, index_only: bool = False, media: str = "") -> None:
        """Download.

        Args:
            url: Of results in any form.
            index_only: Only the index, where it is in a file of its own.
            media: The name of a file of large media: only this.

        Raises:
            ConfigurationError: The URL is none, or the library is missing.
            ResultsError: It failed; says why.
        """
        place = Place.of(url)
        require()
        self.url = place.url
        folder = Path(tempfile.mkdtemp(prefix="arena-state-"))
        self._finalizer = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.path = folder / place.key[-1]
        target = Target(self.path, url)
        self._place = place
        with _explained(place.url):
            if media:
                with suppress(FileNotFoundError):
                    self._fetch_media([media])
            elif target.form == "directory":
                self.path.mkdir()
                self._fetch_directory(_store(place.url), index_only=index_only)
            else:
                store = _store(place.parent)
                if not index_only or target.index_path == self.path:
                    _get(store, self.path.name, self.path)
                if target.index_path != self.path:
                    with suppress(FileNotFoundError):
                        _get(store, target.index_path.name, target.index_path)

    def _fetch_directory(self, store: Any, *, index_only: bool) -> None:
        if index_only:
            _get(store, "index.json", self.path / "index.json")
            return
        found = _obstore().list_with_delimiter(store)
        names = [str(each["path"]).rpartition("/")[2] for each in found["objects"]]
        _each(
            lambda name: _get(store, name, self.path / name),
            [name for name in names if name.endswith(".json") and is_file_name(name)],
        )

    def fetch_media(self) -> None:
        """Download the media beside the runs, too, as far as they are there.

        Raises:
            ResultsError: It failed; says why.
        """
        with _explained(self.url):
            if self.path.is_dir():
                store = _store(self.url)
                runs = self.path.glob("*.json")
                paths = {relative(path) for run in runs for path in paths_of(run.read_bytes())}
                names = [str(path) for path in paths if path and _is_file_here(path)]
                _each(lambda name: _get_if_there(store, name, self.path / name), names)
            else:
                self._fetch_media(_media_there(_store(self._place.media)))

    def _fetch_media(self, names: Iterable[str]) -> None:
        folder, store = folder_of(self.path), _store(self._place.media)
        folder.mkdir(parents=True, exist_ok=True)
        _each(lambda name: _get(store, name, folder / name), names)

    def shown(self, where: str) -> str:
        """A place in the copy, as a place in the store."""
        return where.replace(str(self.path), self.url)


def _is_file_here(path: PurePosixPath) -> bool:
    """Whether a file can have this name on the disk of whoever reads; other systems take what Windows does not."""
    return os.name != "nt" or all(map(_SEGMENT.fullmatch, path.parts))


# --- the store ------------------------------------------------------------------------------------


def _obstore(module: str = "obstore") -> Any:
    return import_module(module)


def _store(url: str) -> Any:
    return _obstore("obstore.store").from_url(url, retry_config=_RETRIES)


def _put(store: Any, name: str, file: Path) -> None:
    _obstore().put(store, name, file)


def _get(store: Any, name: str, file: Path) -> None:
    _write(_obstore().get(store, name), file)


def _write(content: Any, file: Path) -> None:
    stream = content.stream(min_chunk_size=_CHUNK)
    with file.open("wb") as out:
        for chunk in stream:
            out.write(chunk)


def _get_if_there(store: Any, name: str, file: Path) -> None:
    with suppress(FileNotFoundError):
        content = _obstore().get(store, name)
        file.parent.mkdir(parents=True, exist_ok=True)
        _write(content, file)


def _each(do: Callable[[str], None], names: Iterable[str]) -> None:
    """Do it for all, some at a time; the first failure ends it."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        try:
            for _ in pool.map(do, names):
                pass
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@contextmanager
def _explained(url: str) -> Iterator[None]:
    try:
        yield
    except ResultsError as error:
        raise ResultsError(error.path or url, error.problem) from None
    except ConfigurationError:
        raise
    except Exception as error:  # noqa: BLE001 - of the clients of three stores, and all mean that it failed
        raise ResultsError(url, _reason(error)) from None


def _reason(error: Exception) -> str:
    """What a store answered, on one line, without what may be secret."""
    text = str(error).partition("\n\nDebug source")[0]
    answer = re.search(r"<Code>([^<]*)</Code>.*?<Message>([^<]*)</Message>", text, re.DOTALL)
    if answer:
        text = f"{answer[2]} ({answer[1]})"
    text = re.sub(r"\?[^\s\"')]*", "?…", " ".join(text.split()))  # a query may be a signature
    return Redactor(RedactionRules()).redact_text(text)[:_REASON_LIMIT] or type(error).__name__


__all__ = [
    "FOLDER",
    "Fetched",
    "Place",
    "forget",
    "note_url",
    "noted_url",
    "require",
    "root_for",
    "upload",
]
