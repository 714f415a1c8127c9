"""The runs of a merge in a table on disk: which are equal, what they are called, and in which order they come."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from .errors import ResultsError
from .verdict import attempt_of

_TABLE = """
    CREATE TABLE runs (
        digest TEXT PRIMARY KEY, stem TEXT, folded TEXT, name TEXT, nodeid TEXT, attempt INTEGER, run_id TEXT,
        source BLOB, start INTEGER, length INTEGER, superseded INTEGER, facts TEXT
    ) WITHOUT ROWID
"""
# Equal runs are one, superseded where one of them is, and under the simplest of their names: wherever they come from,
# and in whichever order.
_ADD = """
    INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (digest) DO UPDATE SET superseded = max(superseded, excluded.superseded)
"""
_PREFER = """
    UPDATE runs SET stem = :stem, folded = :folded, name = :stem, source = :source, start = :start, length = :length
    WHERE digest = :digest
        AND (length(:stem), :stem, :length, :source, :start) < (length(stem), stem, length, source, start)
"""
_SAME_NAME = "SELECT folded FROM runs GROUP BY folded HAVING count(*) > 1"
_LENGTHS = (8, 16, 64)  # digits of a digest behind a name that several runs bear


@dataclass(frozen=True, slots=True)
class ShardRun:
    """A run of a shard: where its bytes are, and its row in an index."""

    digest: str
    """Of its content, whatever form it stands in."""
    stem: str
    source: Path
    offset: int
    length: int
    """-1 where the whole file is the run's."""
    superseded: bool
    row: dict[str, Any]
    prompt_pack: str
    ended: str

    @property
    def whole_file(self) -> bool:
        """It has a file of its own."""
        return self.length < 0

    def read(self) -> bytes:
        """Its bytes.

        Raises:
            OSError: They cannot be read.
        """
        if self.whole_file:
            return self.source.read_bytes()
        with self.source.open("rb") as stream:
            stream.seek(self.offset)
            return stream.read(self.length)


@dataclass(frozen=True, slots=True)
class NamedRun:
    """A run in its place."""

    name: str
    """Of its file, without the ending."""
    run: ShardRun


class ShardTable:
    """Collects the runs of all shards, then gives them in order. A context manager."""

    def __init__(self, scratch: Path) -> None:
        """Make the table.

        Args:
            scratch: A folder for it.

        Raises:
            ResultsError: It cannot be made.
        """
        self._folder = str(scratch)
        with self._named():
            self._db = sqlite3.connect(scratch / "runs.sqlite", isolation_level=None)
            for pragma in ("journal_mode=OFF", "synchronous=OFF", "temp_store=FILE", "cache_size=-4000"):
                self._db.execute(f"PRAGMA {pragma}")
            self._db.execute(_TABLE)
            self._db.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise ResultsError(self._folder, f"a merge needs some room there: {error}") from error

    @property
    def runs(self) -> int:
        """How many different ones there are."""
        with self._named():
            count: int = self._db.execute("SELECT count(*) FROM runs").fetchone()[0]
            return count

    def add(self, run: ShardRun) -> None:
        """Take a run; one that is there already stays one."""
        labels = run.row["labels"]
        source = os.fsencode(run.source)  # a name that the locale cannot decode is no text
        values = (
            *(run.digest, run.stem, run.stem.lower(), run.stem),
            labels.get("pytest.nodeid", ""),
            attempt_of(labels),
            *(run.row["run_id"], source, run.offset, run.length, run.superseded),
            json.dumps([run.row, run.prompt_pack, run.ended]),
        )
        place = {"digest": run.digest, "stem": run.stem, "folded": run.stem.lower(), "source": source}
        with self._named():
            self._db.execute(_ADD, values)
            self._db.execute(_PREFER, {**place, "start": run.offset, "length": run.length})

    def name_runs(self) -> tuple[int, list[str]]:
        """Give runs of one name names of their own; names that differ in case alone are one, as some disks have it.

        Returns:
            How many names different runs bore, and a hundred of these.
        """
        with self._named():
            self._db.execute("CREATE INDEX by_name ON runs (folded)")
            [count] = self._db.execute(f"SELECT count(*) FROM ({_SAME_NAME})").fetchone()
            first = f"SELECT min(stem) FROM runs WHERE folded IN ({_SAME_NAME}) GROUP BY folded ORDER BY 1 LIMIT 100"
            names = [name for (name,) in self._db.execute(first)]
            for length in _LENGTHS:
                if not self._db.execute(f"SELECT 1 FROM ({_SAME_NAME})").fetchone():
                    break
                self._db.execute(
                    "UPDATE runs SET name = stem || '~' || substr(digest, 1, ?), "
                    f"folded = lower(stem || '~' || substr(digest, 1, ?)) WHERE folded IN ({_SAME_NAME})",
                    (length, length),
                )
            self._db.execute("CREATE INDEX in_order ON runs (nodeid, attempt, run_id, name)")
        return count, names

    def has_name(self, name: str) -> bool:
        """Whether a run has this name, or one that differs in case alone."""
        with self._named():
            found = self._db.execute("SELECT 1 FROM runs WHERE folded = ?", (name.lower(),)).fetchone()
        return found is not None

    def __iter__(self) -> Iterator[NamedRun]:
        """The runs by node id, attempt and run id; repeatable."""
        columns = "name, digest, stem, source, start, length, superseded, facts"
        with self._named():
            for name, digest, stem, source, start, length, superseded, facts in self._db.execute(
                f"SELECT {columns} FROM runs ORDER BY nodeid, attempt, run_id, name"
            ):
                row, pack, ended = json.loads(facts)
                run = ShardRun(
                    digest, stem, Path(os.fsdecode(source)), start, length, bool(superseded), row, pack, ended
                )
                yield NamedRun(name, run)


__all__ = ["NamedRun", "ShardRun", "ShardTable"]
