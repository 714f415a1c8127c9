"""Merge the results of several sessions, such as the shards of a CI matrix, into one.

The outcome does not depend on the order of the shards, and merging again changes nothing:
equal runs are one run, wherever they come from. A run is never changed, only its file's name
where two different runs would bear one. The inputs are not touched.
"""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import document, results
from ._wire import JSON, dumps, format_time, loads, parse_time
from .errors import ResultsError
from .naming import safe_stem
from .packing import open_packed, read_lines, require
from .results import Index, Target
from .target import form_of
from .validation import problem_of_run


@dataclass
class Shard:
    """One input, as far as it could be read."""

    path: Path
    index: Index | None = None
    problems: list[str] = field(default_factory=list)
    """What could not be read of it, each with the file's name."""
    runs: int = 0


@dataclass
class Merge:
    """What a merge did."""

    target: Target
    shards: list[Shard]
    index: Index | None = None
    conflicts: list[str] = field(default_factory=list)
    """Names that different runs bore."""

    @property
    def problems(self) -> list[str]:
        """Everything that is missing in the outcome."""
        return [problem for shard in self.shards for problem in shard.problems]


@dataclass
class _Run:
    """A run of a shard: where its bytes are, and its row in an index."""

    stem: str
    digest: str
    source: Path
    offset: int
    length: int
    whole_file: bool
    row: dict[str, Any]
    prompt_pack: str
    ended: str

    def read(self) -> bytes:
        with self.source.open("rb") as stream:
            stream.seek(self.offset)
            return stream.read(self.length)


def merge(paths: Sequence[str | Path], output: str | Path, *, fail_on_conflict: bool = False) -> Merge:
    """Merge results into one.

    Args:
        paths: Results directories, ``.jsonl`` and ``.json`` files, ours or Arena's.
        output: Where to; a directory, a ``.jsonl`` or a ``.json``. Results that are there are
            replaced, unless they are among ``paths``.
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
    require(target.packing)
    target.journals.mkdir(parents=True, exist_ok=True)
    scratch = target.journals / "merge"
    scratch.mkdir(exist_ok=True)
    try:
        shards = [Shard(Path(path)) for path in paths]
        unique: dict[str, _Run] = {}
        for number, shard in enumerate(shards):
            for run in _read_shard(shard, scratch / f"{number}"):
                shard.runs += 1
                known = unique.get(run.digest)
                if known is None or (len(run.stem), run.stem) < (len(known.stem), known.stem):
                    unique[run.digest] = run
        outcome = Merge(target, shards)
        if not unique:
            raise ResultsError(str(output), "; ".join(outcome.problems) or "there is no run in any of the inputs")
        runs = _named(list(unique.values()), outcome)
        if fail_on_conflict and outcome.conflicts:
            names = ", ".join(outcome.conflicts[:5])
            raise ResultsError(str(output), f"different runs have one name: {names}")
        with results.publish_lock(target):
            outcome.index = _write(target, runs, shards, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        with suppress(OSError):
            target.journals.rmdir()
    return outcome


def _named(runs: list[_Run], outcome: Merge) -> list[_Run]:
    by_stem: defaultdict[str, list[_Run]] = defaultdict(list)
    for run in runs:
        by_stem[run.stem.lower()].append(run)
    for group in by_stem.values():
        if len(group) > 1:
            outcome.conflicts.append(min(run.stem for run in group))
            for run in group:
                run.stem = f"{run.stem}~{run.digest[:8]}"
    outcome.conflicts.sort()
    return sorted(runs, key=_order)


def _order(run: _Run) -> tuple[str, int, str, str]:
    labels = run.row["labels"]
    attempt = labels.get("pytest.attempt", "1")
    return (
        labels.get("pytest.nodeid", ""),
        int(attempt) if attempt.isdecimal() else 1,
        run.row["run_id"],
        run.stem,
    )


# --- reading -----------------------------------------------------------------------------


def _read_shard(shard: Shard, scratch: Path) -> Iterator[_Run]:
    path = shard.path
    try:
        if path.is_dir():
            yield from _read_directory(shard)
        elif form_of(path) == "jsonl":
            yield from _read_lines(shard, scratch)
        elif path.is_file():
            yield from _read_document(shard, scratch)
        else:
            shard.problems.append(f"{path}: nothing is there")
    except (OSError, ValueError) as error:
        shard.problems.append(_problem(path, error))


def _problem(path: Path, error: BaseException) -> str:
    if isinstance(error, ResultsError):
        return str(error)
    return f"{path}: {error.strerror if isinstance(error, OSError) and error.strerror else error}"


def _read_directory(shard: Shard) -> Iterator[_Run]:
    index_path = shard.path / "index.json"
    rows: dict[str, dict[str, Any]] = {}
    if index_path.exists():
        shard.index = results.read_index(index_path)
        rows = {row.file: row.to_dict() for row in shard.index.runs}
    files = results.run_files(shard.path)
    if not files and shard.index is None:
        shard.problems.append(f"{shard.path}: no results are in it")
    for file in files:
        try:
            text = file.read_bytes()
        except OSError as error:
            shard.problems.append(_problem(file, error))
            continue
        yield from _checked(shard, str(file), text, _Place(file, 0, len(text), True), file.stem, rows.get(file.name))


@dataclass(frozen=True)
class _Place:
    source: Path
    offset: int
    length: int
    whole_file: bool = False


def _read_lines(shard: Shard, scratch: Path) -> Iterator[_Run]:
    target = Target(shard.path.absolute(), str(shard.path))
    named: list[tuple[str, dict[str, Any]]] = []
    if target.index_path.exists():
        shard.index = results.read_index(target.index_path)
        named = list(zip(shard.index.run_ids, (row.to_dict() for row in shard.index.runs), strict=False))
    offset = count = 0
    # Runs are read again in another order, so a packed file is unpacked beside the output.
    source = scratch if target.packing else shard.path
    with scratch.open("wb") if target.packing else nullcontext() as unpacked:
        for number, line in enumerate(read_lines(shard.path)):
            count += 1
            if unpacked is not None:
                unpacked.write(line)
            text = line.rstrip(b"\n")
            stem, row = named[number] if number < len(named) else ("", None)
            if text.strip():
                place = _Place(source, offset, len(text))
                yield from _checked(shard, f"{shard.path}:{number + 1}", text, place, stem, row)
            offset += len(line)
    if len(named) > count:
        shard.problems.append(f"{shard.path}: its index names {len(named)} runs, and it is shorter")


def _read_document(shard: Shard, scratch: Path) -> Iterator[_Run]:
    data = loads(shard.path.read_bytes())
    if not (isinstance(data, dict) and "index" in data and isinstance(data.get("runs"), list)):
        text = shard.path.read_bytes()
        yield from _checked(shard, str(shard.path), text, _Place(shard.path, 0, len(text), True), shard.path.stem, None)
        return
    shard.index = results.read_index(shard.path)
    named = list(zip(shard.index.run_ids, (row.to_dict() for row in shard.index.runs), strict=False))
    offset = 0
    with scratch.open("wb") as out:
        texts = []
        for run in data["runs"]:
            texts.append(dumps(run))
            out.write(texts[-1])
    for number, text in enumerate(texts):
        stem, row = named[number] if number < len(named) else ("", None)
        yield from _checked(shard, f"{shard.path}: run {number}", text, _Place(scratch, offset, len(text)), stem, row)
        offset += len(text)
    if len(named) > len(texts):
        shard.problems.append(f"{shard.path}: its index names {len(named)} runs, and {len(texts)} are there")


def _checked(
    shard: Shard, where: str, text: bytes, place: _Place, stem: str, row: Mapping[str, Any] | None
) -> Iterator[_Run]:
    problem = problem_of_run(text)
    if problem:
        shard.problems.append(f"{where}: {problem}")
        return
    run: dict[str, JSON] = loads(text)
    derived = document.row_of(run)
    superseded = bool(row and row.get("superseded"))
    # Whatever form it stands in, a run is the same when its content is.
    digest = hashlib.sha256(dumps(run)).hexdigest()
    yield _Run(
        stem or safe_stem(derived["run_id"]),
        digest,
        place.source,
        place.offset,
        place.length,
        place.whole_file,
        {**derived, "superseded": superseded},
        str(run.get("PromptPack") or ""),
        str(run.get("EndTime") or ""),
    )


# --- writing -----------------------------------------------------------------------------


def _write(target: Target, runs: Sequence[_Run], shards: Sequence[Shard], scratch: Path) -> Index:
    staging = scratch / "staging"
    staging.mkdir()
    replaced = results.stems_of(target)
    rows = []
    for run in runs:
        file = f"{run.stem}.json" if target.form == "directory" else target.path.name
        rows.append((run.stem, {"run_id": run.row["run_id"], "file": file, **run.row}))
    moments = [moment for moment in (parse_time(run.ended) for run in runs) if moment is not None]
    parts = _completeness_by_shard(shards)
    index = results.make_index(
        rows,
        prompt_packs={run.prompt_pack for run in runs},
        timestamp=format_time(max(moments)) if moments else None,
        completeness=_sum(parts.values()),
    )
    # What each shard said of itself, so that merging a merged one again counts nothing twice.
    index["shards"] = dict(sorted(parts.items()))
    if target.form == "directory":
        _write_files(target, runs, index, staging)
        for stem in replaced - {run.stem for run in runs}:
            (target.path / f"{stem}.json").unlink(missing_ok=True)
    else:
        _write_one_file(target, runs, index, staging)
    return Index.from_dict(index)


def _write_files(target: Target, runs: Sequence[_Run], index: dict[str, Any], staging: Path) -> None:
    target.path.mkdir(parents=True, exist_ok=True)
    for number, run in enumerate(runs):
        text = run.read()
        staged = staging / f"{number}.json"
        # A file is copied byte for byte; a line becomes a file as it would have been written.
        staged.write_bytes(text if run.whole_file else document.lines_of(loads(text)))
    for number, run in enumerate(runs):
        (staging / f"{number}.json").replace(target.path / f"{run.stem}.json")
    results.write_whole(target.index_path, results.index_bytes(index), staging)


def _write_one_file(target: Target, runs: Sequence[_Run], index: dict[str, Any], staging: Path) -> None:
    whole = staging / "whole"
    with open_packed(whole, target.packing) as out:
        if target.form == "json":
            out.write(b'{"index": ' + dumps(index) + b',\n"runs": [')
        for number, run in enumerate(runs):
            text = dumps(loads(run.read())) if run.whole_file else run.read()
            if target.form == "json":
                out.write((b",\n" if number else b"\n") + text)
            else:
                out.write(text + b"\n")
        if target.form == "json":
            out.write(b"\n]}\n")
    target.path.parent.mkdir(parents=True, exist_ok=True)
    whole.replace(target.path)
    if target.form == "jsonl":
        results.write_whole(target.index_path, results.index_bytes(index), staging)


def _completeness_by_shard(shards: Sequence[Shard]) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    for shard in shards:
        if shard.index is None:
            continue
        merged_before = (shard.index.model_extra or {}).get("shards")
        if isinstance(merged_before, Mapping):
            parts.update(merged_before)
        else:
            own = shard.index.to_dict()
            parts[hashlib.sha256(dumps(own)).hexdigest()[:16]] = own["completeness"]
    return parts


def _sum(parts: Any) -> dict[str, Any]:
    total: dict[str, Any] = results.Completeness().to_dict()
    for part in parts:
        for key in ("sessions", "workers", "crashed", "interrupted", "deleted"):
            total[key] += part.get(key, 0)
        total["lost"] += part.get("lost", [])
        for key in ("redacted", "troubles"):
            total[key] = dict(sorted((Counter(total[key]) + Counter(part.get(key, {}))).items()))
    return total
