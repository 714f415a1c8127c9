"""File names for runs: safe everywhere, unique, and the run id itself wherever it can be.

A stem holds only ``A-Z a-z 0-9 . _ - = + , @ ~``: artifact stores of CI systems refuse other
characters, and file systems fold case or reserve names. Run ids are untrusted.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

_UNSAFE = re.compile(r"[^A-Za-z0-9._\-=+,@~]+")
_LIMIT = 150  # characters; leaves room for suffixes below the 255 bytes that file systems take
_ADDED = 80  # characters that may come behind, of digests that tell runs apart
_RESERVED = frozenset(
    ("index", "con", "prn", "aux", "nul", "clock$", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10)))
)


def digest(*parts: object) -> str:
    """Eight hex digits that tell apart what has the same name."""
    text = "\0".join(map(str, parts))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def safe_stem(run_id: str) -> str:
    """The run id where it is a safe file name, else something like it with a digest."""
    cleaned = _UNSAFE.sub("-", run_id[: _LIMIT * 2])[:_LIMIT].strip(".- ")
    if cleaned and cleaned == run_id and not _is_reserved(cleaned):
        return run_id
    if cleaned.partition(".")[0].lower() in _RESERVED:
        cleaned = cleaned.replace(".", "-", 1)
    return f"{cleaned or 'run'}~{digest(run_id)}"


def safe_name(stem: str) -> str:
    """The name of somebody's file where it is safe, else something like it with a digest."""
    unsafe = (
        not stem
        or _UNSAFE.search(stem)
        or len(stem) > _LIMIT + _ADDED
        or stem != stem.strip(".- ")
        or _is_reserved(stem)
    )
    return safe_stem(stem) if unsafe else stem


def _is_reserved(stem: str) -> bool:
    # Windows reserves a device's name with any extension, too.
    return stem.partition(".")[0].lower() in _RESERVED or stem.lower().endswith(".index")


def is_file_name(stem: str) -> bool:
    """Whether a stem names a file of its directory: the index of a stranger must not lead out of it."""
    # By its name alone: on Windows, `C:x` leads to another drive.
    return stem not in ("", ".", "..") and Path(stem).name == stem and not any(each in stem for each in "/\\\0")


def name_runs(runs: Sequence[tuple[str, tuple[object, ...]]]) -> list[str]:
    """A stem for each of a session's runs, given as (run id, what else tells it apart).

    Several runs with one id, or with ids that a file system may take for one, all get a
    digest of what tells them apart, so that a name does not depend on the order of the runs.
    """
    stems = [safe_stem(run_id) for run_id, _ in runs]
    counts = Counter(stem.lower() for stem in stems)
    short = [
        stem if counts[stem.lower()] == 1 else f"{stem}~{digest(*apart)}"
        for stem, (_, apart) in zip(stems, runs, strict=True)
    ]
    # Ids that only differ in case may come with the same of what else tells them apart.
    alike = Counter(name.lower() for name in short)
    names: list[str] = []
    taken: set[str] = set()
    for stem, name, (run_id, apart) in zip(stems, short, runs, strict=True):
        if alike[name.lower()] > 1:
            name = f"{stem}~{digest(run_id, *apart)}"
        while name.lower() in taken:
            name = f"{name}~{digest(name)}"
        taken.add(name.lower())
        names.append(name)
    return names
