"""All runs of a publication in their order, each with the name of its file.

There may be a million of them, so of each only what orders and names it is here, and more
than a few thousand are sorted on disk. What must be known of all at once, which names occur
twice and which attempts were followed by others, is kept for those alone.
"""

from __future__ import annotations

import heapq
import marshal
import tempfile
from array import array
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from hashlib import blake2b
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import IO, Any, NamedTuple, Self, TypeAlias

from .merge import Attempts, Merged, MergedRun
from .naming import digest, safe_stem

_CHUNK = 4096  # runs that are sorted in memory
_BATCH = 256  # of them that are read back at a time
_BUFFER = 8192  # bytes, for each file of sorted runs

RUN, KEPT = -1, -2
"""Sources that are no ledger: a run that was read from its journal, and a run of older results."""


class Entry(NamedTuple):
    """A run: first what orders it, then where it is. Plain values, so that it can be put aside on disk."""

    nodeid: str
    attempt: int
    run_id: str
    conversation_id: str
    worker: str
    """Empty for a run of older results, which so comes first of two that are otherwise equal."""
    number: int
    token: str
    """Of the session that saved it."""
    stem: str
    """What its run id gives; for a run of older results, its name."""
    source: int
    """The number of its ledger, `RUN` or `KEPT`."""
    place: int = 0
    """Its number in the list that its source means."""
    crashed: bool = False
    file: str = ""
    offset: int = 0
    length: int = 0
    prompt_pack: str = ""
    ended: str = ""
    row_offset: int = 0
    row_length: int = 0
    mark: str = ""
    """Stands for the node id where that was redacted."""

    @property
    def test(self) -> str:
        """What tells its test from others."""
        return self.mark or self.nodeid


_Attempt: TypeAlias = tuple[str, str, int]
"""The session's token, the test and the number of the attempt."""


class Named(NamedTuple):
    """A run in its place."""

    entry: Entry
    name: str
    """Of its file, without the ending; another one than the run's stem where that would not be unique."""
    superseded: bool
    taken: bool
    """Older results, or a session that comes first, have the name already."""


class Catalogue:
    """Collects the runs, then gives them in order. A context manager."""

    def __init__(self, scratch: Path, token: str) -> None:
        """Begin.

        Args:
            scratch: A folder for what does not stay in memory.
            token: Of the session that publishes; of two sessions that give one name, it comes first.
        """
        self._sorted = _Sorted(scratch)
        self._token = token
        self._attempts = Attempts()
        self._dead: set[_Attempt] = set()
        self._prints = array("Q")
        self._others = False
        self._kept: set[str] = set()
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._sorted.close()

    # --- collecting --------------------------------------------------------------------------

    def add_merged(self, merged: Merged) -> None:
        """Add the runs of a session, and those of others that it recovers.

        Raises:
            OSError: A ledger cannot be read.
        """
        for number, ledger in enumerate(merged.ledgers):
            for place, run in enumerate(ledger.runs()):
                who = (*run[:4], ledger.name, self._number, self._token, run.stem)
                self._add(Entry._make((*who, number, place, False, *run[5:])))
        for place, merged_run in enumerate(merged.runs):
            self._add(self._entry_of(merged_run, place))

    def _entry_of(self, run: MergedRun, place: int) -> Entry:
        nodeid, attempt, run_id, conversation_id, worker = run.order
        token = run.token or self._token
        self._others = self._others or token != self._token
        return Entry(
            nodeid,
            attempt,
            run_id,
            conversation_id,
            worker,
            self._number,
            token,
            safe_stem(run_id),
            RUN,
            place,
            run.crashed,
            mark=run.context.mark,
        )

    def keep(self, stem: str, place: int, nodeid: str, attempt: int, run_id: str) -> None:
        """Add a run of older results, which keeps its name."""
        self._kept.add(stem.lower())
        self._sorted.add(Entry(nodeid, attempt, run_id, stem, "", self._number, "", stem, KEPT, place))
        self._number += 1

    def keeps(self, name: str) -> bool:
        """Whether a run of older results has this name."""
        return name.lower() in self._kept

    def _add(self, entry: Entry) -> None:
        self._prints.append(_fingerprint(entry))
        self._attempts.note(entry.token, entry.test, entry.attempt, entry.worker)
        if entry.crashed and entry.nodeid:
            self._dead.add((entry.token, entry.test, entry.attempt))
        self._sorted.add(entry)
        self._number += 1

    # --- in order ----------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Named]:
        """The runs by node id, attempt and run id."""
        names = self._names_apart()
        taken_over = self._taken_over()
        first: set[int] = set()
        if self._others:  # those of the session itself come first
            first.update(_print_of("", names.get(e.number, e.stem)) for e in self._sorted if e.token == self._token)
        for entry in self._sorted:
            if entry.source == KEPT:
                yield Named(entry, entry.stem, False, False)
                continue
            name = names.get(entry.number, entry.stem)
            taken = name.lower() in self._kept
            if self._others and entry.token != self._token and not taken:
                mark = _print_of("", name)
                taken = mark in first
                first.add(mark)
            superseded = self._attempts.superseded(
                entry.token, entry.test, entry.attempt, entry.worker, crashed=entry.crashed
            )
            superseded |= entry.crashed and (entry.token, entry.test, entry.attempt) in taken_over
            yield Named(entry, name, superseded, taken)

    def _taken_over(self) -> set[_Attempt]:
        """Attempts that a worker died over, and that another one made under the same number.

        A worker that waits for work may take a dead one's test before anybody has counted.
        """
        if not self._dead:
            return set()
        found: set[_Attempt] = set()
        worker_of: dict[str, tuple[_Attempt, str]] = {}  # of the last run of each session
        for entry in self._sorted:
            if entry.source == KEPT or entry.crashed or not entry.nodeid:
                continue
            attempt = entry.token, entry.test, entry.attempt
            last, worker = worker_of.get(entry.token, (None, ""))
            if attempt == last and entry.worker != worker:
                return set()  # --dist=each: every worker runs every test
            worker_of[entry.token] = attempt, entry.worker
            if attempt in self._dead:
                found.add(attempt)
        return found

    def _names_apart(self) -> dict[int, str]:
        """Names for the runs whose stems occur more than once in their session, by number.

        Several runs with one id, or with ids that a file system may take for one, all get a
        digest of what tells them apart, so that a name does not depend on the order of the runs.
        """
        twice = _occurring_twice(self._prints)
        if not twice:
            return {}
        together = [e for e in self._sorted if e.source != KEPT and _fingerprint(e) in twice]
        # Which worker gets a test is chance, so a worker is in a name only where nothing else
        # tells two runs apart: with --dist=each, and in the stores of sessions.
        counts = Counter((e.token, e.run_id, e.nodeid, e.attempt, e.conversation_id) for e in together)
        single = set(self._prints) - twice
        names: dict[int, str] = {}
        taken: set[tuple[str, str]] = set()

        def is_taken(entry: Entry, name: str) -> bool:
            return (entry.token, name.lower()) in taken or _print_of(entry.token, name) in single

        for e in together:
            apart: tuple[object, ...] = (e.nodeid, e.attempt, e.conversation_id)
            if counts[e.token, e.run_id, e.nodeid, e.attempt, e.conversation_id] > 1:
                apart = (*apart, e.worker)
            name = f"{e.stem}~{digest(*apart)}"
            if is_taken(e, name):
                name = f"{e.stem}~{digest(e.run_id, *apart)}"
            while is_taken(e, name):
                name = f"{name}~{digest(name)}"
            taken.add((e.token, name.lower()))
            names[e.number] = name
        return names


def _fingerprint(entry: Entry) -> int:
    return _print_of(entry.token, entry.stem)


def _print_of(token: str, name: str) -> int:
    # Eight bytes for each of a million names. Of two that had the same, both would get longer names, no more.
    return int.from_bytes(blake2b(f"{token}/{name.lower()}".encode(), digest_size=8).digest(), "little")


def _occurring_twice(prints: array[int]) -> set[int]:
    ordered = sorted(prints)
    return {one for one, other in pairwise(ordered) if one == other}


class _Sorted:
    """Entries in order, again and again; beyond a few thousand they are sorted on disk."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._fresh: list[tuple[Any, ...]] = []
        self._files: list[IO[bytes]] = []

    def add(self, entry: Entry) -> None:
        self._fresh.append(tuple(entry))
        if len(self._fresh) >= _CHUNK:
            self._put_aside()

    def _put_aside(self) -> None:
        self._fresh.sort(key=_order)
        # With a small buffer, because there may be hundreds of these open: Python 3.14 takes 128 KB for each.
        file = tempfile.TemporaryFile(dir=self._scratch, buffering=_BUFFER)  # noqa: SIM115 - `close` closes it
        self._files.append(file)
        for start in range(0, len(self._fresh), _BATCH):
            marshal.dump(self._fresh[start : start + _BATCH], file)
        self._fresh = []

    def __iter__(self) -> Iterator[Entry]:
        self._fresh.sort(key=_order)
        chunks: list[Iterator[tuple[Any, ...]]] = [iter(self._fresh), *map(_read_back, self._files)]
        merged = heapq.merge(*chunks, key=_order) if self._files else chunks[0]
        return map(Entry._make, merged)

    def close(self) -> None:
        for file in self._files:
            with suppress(OSError):  # as a full disk has it, when nobody wants what is in there any more
                file.close()


def _read_back(file: IO[bytes]) -> Iterator[tuple[Any, ...]]:
    place = 0
    while True:
        file.seek(place)
        try:
            batch = marshal.load(file)
        except EOFError:
            return
        place = file.tell()
        yield from batch


# By node id, attempt and run id; the rest only breaks ties.
_order = itemgetter(0, 1, 2, 3, 4, 6, 9)


__all__ = ["KEPT", "RUN", "Catalogue", "Entry", "Named"]
