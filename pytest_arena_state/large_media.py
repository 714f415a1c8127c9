"""Media too large for a report: in files of their own, once for each content, beside the runs.

A message then has ``"file_path": "media/<sha256>.<ending>"`` in place of the data, whatever form the results
have, so a run is the same in all of them. The folder that this means is ``media`` in a results directory, and
``<name>.media`` beside results in one file. While tests run it is ``media`` in the folder of their session: a file is
there, whole, before the journal names it.

Names are the only thing that is believed of a path that comes from a run: 64 hex digits and an ending from a list.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import operator
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from os import getpid  # by name: a test may replace what the module has
from pathlib import Path
from typing import Any

from ._system import exists, make_folder, write_whole
from ._wire import dumps, loads
from .messages import ContentPart, MediaContent, Message
from .target import form_of
from .telemetry import facts_of, media_outputs

FOLDER = "media"
DEFAULT_LIMIT = 384 * 1024  # bytes: what the HTML report shows stays in the runs
_ENDINGS = {
    "application/pdf": "pdf",
    "audio/aac": "aac",
    "audio/flac": "flac",
    "audio/mp4": "m4a",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg",
    "audio/wav": "wav",
    "audio/webm": "weba",
    "audio/x-wav": "wav",
    "image/avif": "avif",
    "image/bmp": "bmp",
    "image/gif": "gif",
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/webp": "webp",
    "text/plain": "txt",
    "video/mp4": "mp4",
    "video/quicktime": "mov",
    "video/webm": "webm",
}
_OTHER = "bin"  # also of what a browser would run, such as HTML and SVG
_NAME = re.compile(rf"[0-9a-f]{{64}}\.(?:{'|'.join(sorted({*_ENDINGS.values(), _OTHER}))})")
_REFERENCE = re.compile(rb'"file_path":\s*"%b/(%b)"' % (FOLDER.encode(), _NAME.pattern.encode()))
_CHUNK = 1 << 20  # bytes that are read at a time


def folder_of(results: Path) -> Path:
    """Where the media of results are; of a session's folder, too."""
    return results / FOLDER if form_of(results) == "directory" else results.with_name(f"{results.name}.{FOLDER}")


def name_of(file_path: str) -> str:
    """The file's name in that folder; empty where a path means something else."""
    folder, _, name = file_path.partition("/")
    return name if folder == FOLDER and _NAME.fullmatch(name) else ""


def names_in(texts: Iterable[bytes]) -> set[str]:
    """The names of the files that messages or runs, as JSON, point at."""
    return {found.decode("ascii") for text in texts for found in _REFERENCE.findall(text)}


def names_there(folder: Path) -> list[str]:
    """The files in a folder that are named as here."""
    try:
        return sorted(name for name in os.listdir(folder) if _NAME.fullmatch(name))  # noqa: PTH208 - may be very many
    except OSError:
        return []


# --- taking media out of messages ------------------------------------------------------------------


class LargeMedia:
    """Takes what is too large out of messages, into files."""

    def __init__(self, folder: Path, limit: int) -> None:
        """Prepare; touches no disk.

        Args:
            folder: Where the files go; made when there is one.
            limit: Bytes of one piece of media that stay in its message.
        """
        self.limit = limit
        self.folder = folder

    def without(self, message: bytes) -> bytes:
        """The message, as JSON, without what is too large; itself where nothing is.

        Raises:
            OSError: A file cannot be written.
        """
        if len(message) <= self.limit:
            return message
        parsed: Message | None = None
        wire = loads(message)
        for place, data in _candidates(wire):
            content = _decoded(data) if len(data) > self.limit else None
            if content is None or len(content) <= self.limit:
                continue
            parsed = parsed or Message.from_json(message)
            media = _media_at(parsed, place)
            if media is None:
                continue
            name = f"{hashlib.sha256(content).hexdigest()}.{_ENDINGS.get(media.mime_type.lower(), _OTHER)}"
            self._write(name, content)
            media.data, media.file_path = None, f"{FOLDER}/{name}"
            if media.size_kb is None:
                media.size_kb = max(1, round(len(content) / 1024))
        return message if parsed is None else dumps(parsed.to_wire([], ""))

    def _write(self, name: str, content: bytes) -> None:
        place = str(self.folder / name)
        if not exists(place):
            make_folder(str(self.folder))
            try:
                write_whole(place, content)
            except OSError:
                # Windows replaces no file that is open, such as what another process has just put there: the same.
                if not exists(place):
                    raise


_Place = tuple[bool, int]
"""Whether a part is the tool result's, and its number."""


def _candidates(wire: Any) -> Iterator[tuple[_Place, str]]:
    """Media with data and no place of its own."""
    if not isinstance(wire, dict):
        return
    result = wire.get("tool_result")
    for of_tool, parts in (
        (False, wire.get("parts")),
        (True, result.get("parts") if isinstance(result, dict) else None),
    ):
        for number, part in enumerate(parts or ()):
            media = part.get("media") if isinstance(part, dict) else None
            if isinstance(media, dict) and isinstance(media.get("data"), str) and media.get("file_path") is None:
                yield (of_tool, number), media["data"]


def _media_at(message: Message, place: _Place) -> MediaContent | None:
    of_tool, number = place
    parts: list[ContentPart] | None = message.parts
    if of_tool:
        parts = message.tool_result.parts if message.tool_result is not None else None
    return parts[number].media if parts is not None and number < len(parts) else None


def _decoded(data: str) -> bytes | None:
    """What base64 stands for; None where decoding it and encoding it again would not give the same text."""
    try:
        content = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return None
    return content if base64.b64encode(content).decode("ascii") == data else None


def _whole(place: Path, write: Callable[[Path], object]) -> None:
    """Make a file that is never seen in part; several processes may make the same."""
    draft = place.with_name(f"{place.name}.{getpid()}")
    try:
        write(draft)
        try:
            draft.replace(place)
        except PermissionError:  # see `LargeMedia._write`
            if not place.exists():
                raise
            draft.unlink()
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise


# --- publishing ------------------------------------------------------------------------------------


class PublishedMedia:
    """The media of results that are being published: brings what runs name, removes what none names any more."""

    def __init__(self, results: Path, sources: Iterable[Path], staging: Path, limit: int) -> None:
        """Look what is there.

        Args:
            results: In any form.
            sources: The media folders of sessions.
            staging: A folder for what is still in journals.
            limit: See `LargeMedia`; 0 takes nothing out of messages.
        """
        self._folder = folder_of(results)
        self._there = names_there(self._folder)
        self._sources = [source for source in sources if source.is_dir()]
        self._large = LargeMedia(staging / FOLDER, limit) if limit > 0 else None
        self._new: set[str] = set()
        self._kept: set[str] = set()

    @property
    def any_there(self) -> bool:
        """Whether runs that stay may have media here."""
        return bool(self._there)

    def keep(self, run: bytes) -> None:
        """A run, as JSON, stays."""
        self._kept |= names_in((run,))

    def add(self, names: Iterable[str]) -> None:
        """Runs that come name these files."""
        self._new.update(name for name in names if _NAME.fullmatch(name))

    def slimmed(self, messages: list[bytes], after: dict[str, Any]) -> tuple[list[bytes], dict[str, Any]]:
        """A run that comes from a journal: its messages, and what follows them in its report.

        What a worker on another disk saved is in the journal whole, and is taken out here.

        Raises:
            OSError: A file cannot be written.
        """
        if self._large is not None and any(len(message) > self._large.limit for message in messages):
            slim = [self._large.without(message) for message in messages]
            if any(map(operator.is_not, slim, messages)):
                messages, after = slim, {**after, "MediaOutputs": media_outputs(facts_of(loads(text)) for text in slim)}
        if self._sources or self._large is not None:
            self._new |= names_in(messages)
        return messages, after

    def place(self) -> Iterator[str]:
        """Bring the files of the runs that come; gives the names of those that are nowhere.

        They stay where they come from, too: should the publication fail, it is tried again from there.

        Raises:
            OSError: Something cannot be written.
        """
        sources = [*self._sources, *([self._large.folder] if self._large is not None else [])]
        for name in sorted(self._new.difference(self._there)):
            source = next((each / name for each in sources if (each / name).is_file()), None)
            if source is None:
                yield name
                continue
            self._folder.mkdir(parents=True, exist_ok=True)
            bring(source, self._folder / name)

    def sweep(self) -> None:
        """Remove what no run names any more, once the new results are there."""
        if self._there:
            sweep(self._folder, self._new | self._kept)


def bring(source: Path, place: Path) -> None:
    """Put a file beside results, without a second copy on the disk where that can be.

    Raises:
        OSError: It cannot be read or written.
    """
    _whole(place, lambda draft: _link_or_copy(source, draft))


def _link_or_copy(source: Path, draft: Path) -> None:
    with suppress(OSError, NotImplementedError):
        if not source.is_symlink():  # what it leads to may change, and lies elsewhere
            draft.hardlink_to(source)
            return
    shutil.copyfile(source, draft)


def sweep(folder: Path, named: set[str]) -> None:
    """Remove the files of a folder that are named as here and are not among these; and the folder if it is empty."""
    for name in names_there(folder):
        if name not in named:
            with suppress(OSError):
                (folder / name).unlink()
    with suppress(OSError):
        folder.rmdir()


# --- reading ---------------------------------------------------------------------------------------


def find(results: Path, name: str) -> Path | None:
    """A file of results in any form, journals included; None where it is not there."""
    candidates = [folder_of(results)]
    if results.is_dir():
        candidates.append(results / FOLDER)
        if results.name.endswith(".journals"):
            candidates += [session / FOLDER for session in sorted(results.iterdir())]
    elif form_of(results) == "json":
        candidates.append(results.with_name(FOLDER))  # it may be the file of one run, in a directory of them
    return next((folder / name for folder in candidates if (folder / name).is_file()), None)


def problem_of(results: Path, name: str) -> str:
    """What is wrong with a file that a run names; empty when nothing is.

    Raises:
        OSError: It cannot be read.
    """
    file = find(results, name)
    return "a run names it, and it is missing" if file is None else damage_of(file)


def damage_of(file: Path) -> str:
    """What is wrong with a file that is named after its content; empty when nothing is.

    Raises:
        OSError: It cannot be read.
    """
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    named = file.name.partition(".")[0]
    return "" if digest.hexdigest() == named else "it is not what it was: its name is another checksum"


__all__ = [
    "DEFAULT_LIMIT",
    "FOLDER",
    "LargeMedia",
    "PublishedMedia",
    "bring",
    "damage_of",
    "find",
    "folder_of",
    "name_of",
    "names_in",
    "names_there",
    "problem_of",
    "sweep",
]
