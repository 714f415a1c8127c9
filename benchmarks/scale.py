"""What very many runs cost: time, memory and disk, up to a million of them.

    python benchmarks/scale.py [--runs 10000 30000 100000] [--only TEXT ...] [--folder DIR] [--json FILE] [--check]

For each number it makes the journals of a session of two workers that died, with that many tests of eight messages
of 200 characters, saved one at a time. Then it recovers them, merges, reads and compares the results. Each step is a
process of its own; its memory is what it needs at most beyond what its imports take. Seconds are CPU time, depend on
the machine and are worth something beside each other only; `--check` holds what does not: time linear from 10,000 runs
on, and at most 200 MB to recover and merge 100,000.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from peak import peak_mb

TEXT = 200  # characters of a message
MESSAGES = 8
WORKERS = 2
MEMORY_LIMIT = 200  # MB
MEMORY_RUNS = 100_000  # as many may take no more than that
LINEAR_FROM = 10_000  # runs; below, what every process does once weighs too much
LINEAR = 1.5  # how much more CPU time a run may take among more of them; a busy machine shows here, too

# --- journals --------------------------------------------------------------------------------------


def generate(folder: Path, runs: int) -> None:
    """Write the journals of a session that died over its last test."""
    session = folder / "out.jsonl.journals" / "20250101T000000-1-00000000"
    session.mkdir(parents=True)
    (session / "session.token").write_text(f"token\n{folder / 'out.jsonl'}", encoding="utf-8")
    words = "".join(random.Random(6).choices("etaoin shrdlu ", k=1 << 20))
    for worker in range(WORKERS):
        first, *records = _records_of_one_test(folder, f"gw{worker}")
        with (session / f"gw{worker}.journal.jsonl").open("wb", buffering=1 << 20) as journal:
            journal.write(_line(first))
            for number in range(worker, runs, WORKERS):
                chance = random.Random(number)
                for record in records:
                    journal.write(_line(_of_run(record, number, words, chance)))


def _records_of_one_test(folder: Path, worker: str) -> list[bytes]:
    """The records that a test leaves: those of a real one, with places for what differs."""
    from pytest_arena_state.attempts import TestRecorder
    from pytest_arena_state.journal import JournalFile, JournalWriter
    from pytest_arena_state.recording import Recording
    from pytest_arena_state.redaction import RedactionRules, Redactor
    from pytest_arena_state.verdict import PhaseReport

    path = folder / f"{worker}.template"
    tests = TestRecorder(
        Recording(
            lambda _: JournalWriter(JournalFile(path)),
            session="session",
            worker=worker,
            redactor=Redactor(RedactionRules(env=False, keys=False)),
        )
    )
    nodeid = "test_scale.py::test_it[0000000]"
    store = tests.store_for(tests.begin(nodeid, nodeid), {})
    messages: list[dict[str, Any]] = []
    for place in range(MESSAGES):
        answer = {"cost_info": {"input_tokens": 21, "output_tokens": 7, "total_cost_usd": 0.0004}} if place % 2 else {}
        messages.append({"role": "assistant" if place % 2 else "user", "content": "#" * TEXT, **answer})
        store.save({"id": "run-0000000", "messages": messages})
    for when in ("setup", "call", "teardown"):
        tests.report(nodeid, PhaseReport(when, "passed"))
    tests.recording.writer.abandon()
    lines = path.read_bytes().splitlines()
    path.unlink()
    return [line[len('{"crc":"00000000","r":') : -1] for line in lines]


def _of_run(record: bytes, number: int, words: str, chance: random.Random) -> bytes:
    start = chance.randrange(len(words) - TEXT)
    record = record.replace(b"0000000", b"%07d" % number).replace(b"#" * TEXT, words[start : start + TEXT].encode())
    # Numbers of stores and conversations, which stand before the values.
    return re.sub(rb'"(c|s)":\d+', lambda found: b'"%b":%d' % (found[1], 2 * number + (found[1] == b"c")), record)


def _line(record: bytes) -> bytes:
    return b'{"crc":"%08x","r":%b}\n' % (zlib.crc32(record), record)


# --- what is measured --------------------------------------------------------------------------------


def recover(source: Path, out: Path) -> None:
    """The report of a session that died, from its journals."""
    from pytest_arena_state.recovery import recover

    recovery = recover(source, output=out)
    assert recovery.totals is not None


def merge(source: Path, out: Path) -> None:
    """The results of two jobs into one: two thirds each, so that a third is in both."""
    from pytest_arena_state.shards import merge

    merge([source.with_name("a.jsonl"), source.with_name("b.jsonl")], out)


def count_and_pick(source: Path, _: Path) -> None:
    """The length of `load_results`, and a hundred runs from anywhere."""
    from pytest_arena_state import load_results

    runs = load_results(source)
    for place in range(0, len(runs), max(1, len(runs) // 100)):
        assert runs[place].messages


def read_each(source: Path, _: Path) -> None:
    """All runs, one after the other."""
    from pytest_arena_state import iterate_results

    for run in iterate_results(source):
        assert run.messages


def show(source: Path, _: Path) -> None:
    """`arena-state show`."""
    from pytest_arena_state.cli import main

    assert main(["show", str(source)]) == 0


def compare(source: Path, _: Path) -> None:
    """`arena-state compare` of results with themselves."""
    from pytest_arena_state.cli import main

    assert main(["compare", str(source), str(source)]) == 0


def ask(source: Path, _: Path) -> None:
    """What providers cost, asked with DuckDB."""
    import duckdb

    duckdb.sql("SET memory_limit = '2GB'")
    view = f"read_json('{source}', union_by_name = true, maximum_object_size = 100000000)"
    assert duckdb.sql(f"SELECT ProviderID, sum(Cost.total_cost_usd) FROM {view} GROUP BY ALL").fetchall()


FORMS = {".jsonl": "runs.jsonl", "files": "files", ".jsonl.gz": "runs.jsonl.gz", ".jsonl.zst": "runs.jsonl.zst"}
STEPS: dict[str, tuple[Callable[[Path, Path], None], str, str]] = {
    **{f"recover into {form}": (recover, "out.jsonl.journals", name) for form, name in FORMS.items()},
    "merge into .jsonl": (merge, "runs.jsonl", "merged.jsonl"),
    "merge into files": (merge, "runs.jsonl", "merged"),
    **{f"length and 100 runs of {form}": (count_and_pick, name, "") for form, name in FORMS.items()},
    **{f"each run of {form}": (read_each, name, "") for form, name in FORMS.items()},
    "show .jsonl": (show, "runs.jsonl", ""),
    "compare .jsonl": (compare, "runs.jsonl", ""),
    # Not the files: with these options DuckDB sets 200 MB aside for each of them.
    **{f"DuckDB, {form}": (ask, name, "") for form, name in FORMS.items() if form != "files"},
}


def _child(step: str, folder: Path) -> dict[str, float]:
    """Do one step in this process."""
    import pytest_arena_state.cli  # what every step imports is no part of it
    import pytest_arena_state.recovery
    import pytest_arena_state.shards

    assert pytest_arena_state.load_results
    if step.startswith("DuckDB"):
        import duckdb

        assert duckdb.sql

    do, source, out = STEPS[step]
    before, started = peak_mb(), time.process_time()
    do(folder / source, folder / out)
    return {"seconds": time.process_time() - started, "memory_mb": peak_mb() - before}


def _measure(step: str, folder: Path) -> dict[str, float]:
    _, source, out = STEPS[step]
    keep = folder / source if step.startswith("recover") else None
    if keep is not None:  # recovery removes what it has recovered
        shutil.copytree(keep, folder / "kept", copy_function=_link)
    try:
        done = subprocess.run(
            [sys.executable, __file__, "--child", step, "--folder", folder], stdout=subprocess.PIPE, check=True
        )
    finally:
        if keep is not None:
            shutil.rmtree(keep, ignore_errors=True)
            (folder / "kept").rename(keep)
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    if out:
        measured["disk_mb"] = _size(folder / out) / 1e6
    return measured


def _link(source: str, target: str) -> None:
    Path(target).hardlink_to(source)


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.iterdir()) if path.is_dir() else path.stat().st_size


def _make_shards(folder: Path, runs: int) -> None:
    with (
        (folder / "runs.jsonl").open("rb") as lines,
        (folder / "a.jsonl").open("wb") as first,
        (folder / "b.jsonl").open("wb") as second,
    ):
        for number, line in enumerate(lines):
            if number < 2 * runs // 3:
                first.write(line)
            if number >= runs // 3:
                second.write(line)


def measure_all(numbers: list[int], only: list[str], folder: Path) -> Iterator[dict[str, Any]]:
    """Each step for each number of runs."""
    steps = [step for step in STEPS if not only or any(text in step for text in only)]
    needed = {source for step in steps for source in [STEPS[step][1]]}
    if any(step.startswith("DuckDB") for step in steps) and find_spec("duckdb") is None:
        print("DuckDB is not asked: pip install duckdb", file=sys.stderr)
        steps = [step for step in steps if not step.startswith("DuckDB")]
    for runs in numbers:
        place = folder / str(runs)
        place.mkdir()
        subprocess.run([sys.executable, __file__, "--generate", str(runs), "--folder", place], check=True)
        journals = sum(_size(session) for session in (place / "out.jsonl.journals").iterdir())
        yield {"runs": runs, "step": "journals", "disk_mb": journals / 1e6}
        for step, (_, _, out) in STEPS.items():
            if step not in steps and out not in needed:
                continue
            if step.startswith("merge") and not (place / "a.jsonl").exists():
                subprocess.run([sys.executable, __file__, "--shards", str(runs), "--folder", place], check=True)
            yield {"runs": runs, "step": step, **_measure(step, place)}
            if step.startswith("merge"):
                shutil.rmtree(place / out, ignore_errors=True)
        shutil.rmtree(place)


def problems_of(rows: list[dict[str, Any]]) -> Iterator[str]:
    """What is not as it has to be, whatever the machine."""
    first: dict[str, tuple[int, float]] = {}
    for row in rows:
        step, runs = row["step"], row["runs"]
        if step.startswith(("recover", "merge")) and row["memory_mb"] > MEMORY_LIMIT and runs <= MEMORY_RUNS:
            yield f"{step}, {runs:,} runs: {row['memory_mb']:.0f} MB"
        if not step.startswith(("recover", "merge")) or runs < LINEAR_FROM:
            continue  # what reads thousands of files takes as long as the system has them in memory or not
        fewer, seconds = first.setdefault(step, (runs, row["seconds"]))
        ratio = row["seconds"] / seconds / (runs / fewer)
        if ratio > LINEAR:
            yield f"{step}: a run takes {ratio:.2f} times as long among {runs:,} as among {fewer:,}"


def main() -> int:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="+", default=[10_000, 30_000, 100_000])
    parser.add_argument("--only", nargs="+", default=[], metavar="TEXT", help="steps with one of these in their names")
    parser.add_argument("--folder", type=Path, help="where everything is written; the system's for temporary files")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--check", action="store_true", help="exit with 1 when it is not linear, or takes more memory")
    parser.add_argument("--child", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--generate", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--shards", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.generate:
        generate(options.folder, options.generate)
        return 0
    if options.shards:
        _make_shards(options.folder, options.shards)
        return 0
    if options.child:
        print(json.dumps(_child(options.child, options.folder)))
        return 0
    print(f"{platform.python_implementation()} {platform.python_version()}, {platform.platform()}")
    print(f"{'runs':>9}  {'':34}{'seconds':>9}{'µs a run':>10}{'MB':>8}{'MB disk':>9}")
    rows = []
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for row in measure_all(options.runs, options.only, Path(folder)):
            rows.append(row)
            seconds = row.get("seconds")
            print(
                f"{row['runs']:>9,}  {row['step']:34}"
                + (
                    f"{seconds:>9.1f}{seconds / row['runs'] * 1e6:>10.0f}{row['memory_mb']:>8.0f}"
                    if seconds
                    else " " * 27
                )
                + (f"{row['disk_mb']:>9.1f}" if "disk_mb" in row else ""),
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps({"python": platform.python_version(), "rows": rows}, indent=1) + "\n")
    problems = list(problems_of(rows))
    for problem in problems:
        print(problem)
    return 1 if options.check and problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
