"""Merge the results of several sessions, such as the shards of a CI matrix, into one.

The outcome does not depend on the order of the shards, and merging again changes nothing:
equal runs are one run, wherever they come from. A run is never changed, only its file's name
where two different runs would bear one. The inputs are not touched.

Memory does not grow with the number of runs: what orders and names them is in a table on disk.
"""

from __future__ import annotations

import hashlib
import math
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain, repeat
from pathlib import Path
from typing import IO, Any

from pydantic import ValidationError

from . import document, earlier, results
from ._text import plural
from ._wire import JSON, dumps, jsonable, loads
from .errors import ResultsError
from .index import Completeness, Index, IndexBuilder, Totals
from .index_reading import scan_index
from .journal import TOKEN_FILE, HeldFile
from .media_files import MediaFiles
from .naming import safe_name, safe_stem
from .packing import open_packed, require
from .placing import place_files, place_runs
from .session import is_dead
from .shard_table import NamedRun, ShardRun, ShardTable
from .stored import StoredResults, nothing_there, open_results
from .target import Target, where_it_leads
from .validation import problem_of_run, row_of_anybody

_NAMED = 5  # names that a message has
_SCRATCH = "merge-"


@dataclass
class Shard:
    """One input, as far as it could be read."""

    path: Path
    header: Index | None = None
    """Its index without the rows; None where it has none."""
    problems: list[str] = field(default_factory=list)
    """What could not be read of it, each with the file's name."""
    digest: str = ""
    """Of all that its index says."""


@dataclass
class Merge:
    """What a merge did."""

    target: Target
    shards: list[Shard]
    totals: Totals = field(default_factory=Totals)
    conflicts: int = 0
    """Names that different runs bore."""
    media_problems: list[str] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """Everything that is missing in the outcome."""
        return [problem for shard in self.shards for problem in shard.problems] + self.media_problems


def merge(paths: Sequence[str | Path], output: str | Path, *, fail_on_conflict: bool = False) -> Merge:
    """Merge results into one.

    Args:
        paths: Results directories, ``.jsonl`` and ``.json`` files and journals, ours or Arena's.
        output: Where to; a directory, a ``.jsonl`` or a ``.json``. Results that are there are
            replaced, unless they are among ``paths`` or Arena wrote them; nothing else is.
        fail_on_conflict: Write nothing when different runs bear one name.

    Raises:
        ResultsError: There is no run in any input, or the output cannot be used, or runs are
            in conflict and must not be.
        ConfigurationError: A library that packs the output is missing.
        OSError: The output cannot be written.
    """
    target = Target(Path(output).absolute(), str(output))
    problem = target.check()
    if problem:
        raise ResultsError(str(output), problem)
    in_place = any(Path(path).absolute() == target.path for path in paths)
    before = earlier.version_of(target.index_path)
    if _is_of_arena(target) and not in_place:
        raise ResultsError(str(output), "results that Arena wrote are there: merge them, too, or choose another name")
    if not in_place:
        _refuse_to_replace(earlier.Strangers(target).found())
    require(target.packing)
    with _scratch(target) as scratch:
        with ShardTable(scratch) as table:
            outcome = Merge(target, [Shard(Path(path)) for path in paths])
            media = MediaFiles(target)
            for number, shard in enumerate(outcome.shards):
                _read_shard(shard, scratch / f"{number}", table, media)
            if not table.runs:
                problems = "; ".join(outcome.problems) or "no run is in any input"
                raise ResultsError(str(output), f"nothing to merge: {problems}")
            outcome.conflicts, names = table.name_runs()
            if fail_on_conflict and outcome.conflicts:
                raise ResultsError(str(output), f"different runs have one name: {', '.join(names[:_NAMED])}")
            with results.publish_lock(target):
                if in_place and earlier.version_of(target.index_path) != before:
                    raise ResultsError(str(output), "somebody has published there since it was read: merge again")
                _write(outcome, table, scratch)
                outcome.media_problems += media.copy()
        return outcome


def _is_of_arena(target: Target) -> bool:
    """Whether a directory has an index that is not ours, and so not ours to replace."""
    with suppress(ResultsError, OSError):
        there = scan_index(target.index_path)
        return target.form == "directory" and not there.header.format_version and there.stems > 0
    return False


def _refuse_to_replace(strange: Sequence[Path]) -> None:
    if strange:
        raise ResultsError(str(strange[0]), "it is in the way, and holds no results: choose another output")


@contextmanager
def _scratch(target: Target) -> Iterator[Path]:
    """A folder of this merge's own, marked like that of a session: what a killed one leaves, the next clears away."""
    for folder in target.journals.glob(f"{_SCRATCH}*"):
        if is_dead(folder):
            shutil.rmtree(folder, ignore_errors=True)
    while True:
        target.journals.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # another one that just ended has removed the folder
            scratch = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=target.journals))
            break
    held = HeldFile(scratch / TOKEN_FILE)
    try:
        yield scratch
    finally:
        held.release()
        shutil.rmtree(scratch, ignore_errors=True)
        with suppress(OSError):
            target.journals.rmdir()


# --- reading -----------------------------------------------------------------------------


def _read_shard(shard: Shard, scratch: Path, table: ShardTable, media: MediaFiles) -> None:
    path = shard.path
    try:
        if not path.exists():
            raise ResultsError(str(path), nothing_there(path))
        found = open_results(path)
        if found.scan.file is not None or found.form == "journals":
            shard.header = found.header
        digest = hashlib.sha256(dumps(found.header.to_dict()))
        with scratch.open("wb") as spool:
            for each in _runs_of(shard, found):
                digest.update(dumps([each.stem, each.row]))
                run = _checked(shard, each, spool)
                if run is not None:
                    table.add(run)
                    media.note(path, each.text)
        shard.digest = digest.hexdigest()[:16]
    except (OSError, ValueError) as error:
        shard.problems.append(_problem(path, error))


def _problem(path: Path, error: BaseException) -> str:
    if isinstance(error, ResultsError):
        return str(error)
    return f"{path}: {error.strerror if isinstance(error, OSError) and error.strerror else error}"


@dataclass(frozen=True, slots=True)
class _Found:
    """A run of a shard as it stands there."""

    stem: str
    where: str
    row: dict[str, Any] | None
    text: bytes
    file: Path | None = None
    """Its own, where it has one."""


def _runs_of(shard: Shard, found: StoredResults) -> Iterator[_Found]:
    """Every run that can be read; what cannot is a problem of the shard."""
    if found.texts is None:
        own = found.form in ("directory", "run")
        for stored in found:
            try:
                text = stored.read()
            except OSError as error:
                shard.problems.append(_problem(Path(stored.where), error))
                continue
            row = stored.row.to_dict() if stored.row is not None else None
            yield _Found(stored.stem, stored.where, row, text, Path(stored.where) if own else None)
        return
    entries = chain(found.scan.entries(), repeat(("", None)))
    count = 0
    for where, text in found.texts():
        count += 1
        stem, row_there = next(entries)
        yield _Found(stem, where, row_there.to_dict() if row_there is not None else None, text.rstrip(b"\n"))
    if found.scan.file is not None and count != found.scan.stems:
        named, there = plural(found.scan.stems, "run"), "is" if count == 1 else "are"
        shard.problems.append(f"{shard.path}: its index names {named}, and there {there} {count:,}")


def _checked(shard: Shard, found: _Found, spool: IO[bytes]) -> ShardRun | None:
    problem = problem_of_run(found.text)
    if problem:
        shard.problems.append(f"{found.where}: {problem}")
        return None
    run: dict[str, JSON] = loads(found.text)
    derived = row_of_anybody(run)
    compact = _compact(run)
    offset = 0
    if found.file is None:
        offset = spool.tell()
        spool.write(compact)
    return ShardRun(
        # Whatever form it stands in, a run is the same when its content is.
        digest=hashlib.sha256(compact).hexdigest(),
        stem=safe_name(found.stem) if found.stem else safe_stem(derived["run_id"]),
        source=found.file or Path(spool.name),
        offset=offset,
        length=len(compact) if found.file is None else -1,
        superseded=bool(found.row and found.row.get("superseded")),
        row=derived,
        prompt_pack=str(run.get("PromptPack") or ""),
        ended=str(run.get("EndTime") or ""),
    )


# --- writing -----------------------------------------------------------------------------


def _write(outcome: Merge, table: ShardTable, scratch: Path) -> None:
    target = outcome.target
    staging = scratch / "staging"
    files = staging / "files"
    files.mkdir(parents=True)
    replaced = results.stems_of(target) if target.form == "directory" else frozenset()
    strangers = earlier.Strangers(target, replaced)
    parts = _completeness_by_shard(outcome.shards)
    with IndexBuilder(scratch, lines=target.form != "json") as index:
        bodies = staging / "bodies"
        with bodies.open("wb") as out:
            for number, named in enumerate(table):
                file = f"{named.name}.json" if target.form == "directory" else target.path.name
                row = {"run_id": named.run.row["run_id"], "file": file, **named.run.row}
                index.add(named.name, {**row, "superseded": named.run.superseded})
                index.note([named.run.prompt_pack], named.run.ended)
                if target.form == "directory":
                    _refuse_to_replace(strangers.found_for(named.name))
                    (files / file).write_bytes(_file_of(named))
                else:
                    out.write(_separator(target, number) + _line_of(named))
        with (staging / "index").open("wb") as out:
            # What each shard said of itself, so that merging a merged one again counts nothing twice.
            index.write(out, completeness=_sum(parts.values()), more={"shards": dict(sorted(parts.items()))})
        outcome.totals = index.totals
    if target.form == "directory":
        _place_files(target, table, staging, replaced)
    else:
        _place_one_file(target, bodies, staging)


def _file_of(named: NamedRun) -> bytes:
    # A file is copied byte for byte; a line becomes a file as it would have been written.
    text = named.run.read()
    return text if named.run.whole_file else document.lines_of(loads(text))


def _line_of(named: NamedRun) -> bytes:
    text = named.run.read()
    return _compact(loads(text)) if named.run.whole_file else text


def _compact(run: JSON) -> bytes:
    text = dumps(run)
    # `1e999` is JSON, and more than a float holds; others write `NaN`. As numbers neither is JSON any more.
    return dumps(_without_non_finite(run)) if b"NaN" in text or b"Infinity" in text else text


def _without_non_finite(value: JSON) -> JSON:
    if isinstance(value, float) and not math.isfinite(value):
        return jsonable(value)
    if isinstance(value, dict):
        return {key: _without_non_finite(item) for key, item in value.items()}
    return [_without_non_finite(item) for item in value] if isinstance(value, list) else value


def _separator(target: Target, number: int) -> bytes:
    if target.form == "jsonl":
        return b"\n" if number else b""
    return b",\n" if number else b"\n"


def _place_files(target: Target, table: ShardTable, staging: Path, replaced: frozenset[str]) -> None:
    where_it_leads(target.path).mkdir(parents=True, exist_ok=True)
    place_runs([staging / "files"], staging / "index", target.path)
    for stem in replaced:
        if not table.has_name(stem):
            (target.path / f"{stem}.json").unlink(missing_ok=True)


def _place_one_file(target: Target, bodies: Path, staging: Path) -> None:
    whole, index = staging / "whole", staging / "index"
    with open_packed(whole, target.packing) as out, bodies.open("rb") as runs:
        if target.form == "json":
            with index.open("rb") as text:
                out.write(b'{"index": ')
                shutil.copyfileobj(text, out)
                out.write(b',\n"runs": [')
        shutil.copyfileobj(runs, out)
        out.write(b"\n]}\n" if target.form == "json" else b"\n")
    place_files((whole, target.path), *([(index, target.index_path)] if target.form == "jsonl" else []))


def _completeness_by_shard(shards: Sequence[Shard]) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    for shard in shards:
        if shard.header is None:
            continue
        merged_before = (shard.header.model_extra or {}).get("shards")
        if isinstance(merged_before, Mapping):
            try:
                parts.update({name: Completeness.from_dict(part).to_dict() for name, part in merged_before.items()})
                continue
            except ValidationError:
                shard.problems.append(f"{shard.path}: what its index says of 'shards' cannot be read")
        parts[shard.digest] = shard.header.completeness.to_dict()
    return parts


def _sum(parts: Any) -> dict[str, Any]:
    total: dict[str, Any] = Completeness().to_dict()
    for part in parts:
        for key in ("sessions", "workers", "crashed", "interrupted", "deleted"):
            total[key] += part.get(key, 0)
        total["lost"] += part.get("lost", [])
        for key in ("redacted", "troubles"):
            total[key] = dict(sorted((Counter(total[key]) + Counter(part.get(key, {}))).items()))
    return total
