"""All that the project promises to cost, measured: one table, with what is wanted beside it.

    python benchmarks/table.py [--quick] [--json FILE]

What a suite costs is measured with whole processes, in pairs with the same suite bare, one after the other; printed
are medians of the pairs. What one call costs is the least of several rounds, in CPU time. Redaction and checksums are
on. The table is Markdown, for docs/performance.md; peers have one of their own, see `peers.py`. ``--quick`` takes a
tenth of the tests and of the runs, to see whether everything works.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import peers
import redaction
import scale
import store
import suite

IMPORTS_MODELS = f"{suite.STUB}\nimport pytest_arena_state.models\n"
STEPS = ("recover into .jsonl", "recover into files", "merge into .jsonl", "merge into files")


class Row(NamedTuple):
    """One promise."""

    measure: str
    wanted: str
    measured: str
    kept: bool


def ratio(measure: str, wanted: float, measured: float) -> Row:
    """Of a time over another one."""
    return Row(measure, f"{wanted:.2f}", f"{measured:.2f}", measured <= wanted)


def at_most(measure: str, wanted: float, measured: float, unit: str) -> Row:
    """Of anything with a unit."""
    return Row(measure, f"{wanted:g} {unit}", f"{measured:.1f} {unit}", measured <= wanted)


def unused(folder: Path, rounds: int) -> Iterator[Row]:
    """Installed and not used: `pytest --collect-only` on one test."""
    python = Path(sys.executable)
    ratios = []
    for number in range(rounds + 1):
        without, loaded = (
            peers.run(python, folder / f"{number} {name}", peers.ONE, "", ("--collect-only", *options), 1).wall
            for name, options in (("without", ("-p", "no:arena_state")), ("loaded", ()))
        )
        if number:  # the first compiles modules
            ratios.append(loaded / without)
    what = "installed and unused: `--collect-only` of one test over the same without it"
    yield ratio(what, 1.02, statistics.median(ratios))


def suites(folder: Path, tests: int, rounds: int) -> Iterator[Row]:
    """Tests that keep 10 KB each over the same suite bare."""
    for variant, arguments in suite.VARIANTS.items():
        place = folder / variant
        place.mkdir()
        row = suite.compared(place, arguments, tests, rounds)
        what = f"{tests:,} tests of 10 KB, {variant}, CPU over bare"
        yield ratio(what, suite.TARGETS[variant], row["cpu"])
        yield ratio(what.replace("CPU", "wall"), suite.TARGETS[variant], row["wall"])


def memory(folder: Path, numbers: list[int]) -> Iterator[Row]:
    """The process that publishes, over the same suite that only imports the models."""
    for parallel in ("-n0", "-n2"):
        for tests in numbers:
            place = folder / f"{parallel} {tests}"
            place.mkdir()
            bare = suite.run(place / "bare", (parallel,), tests, save=False, conftest=IMPORTS_MODELS)
            saving = suite.run(place / "saving", (parallel, "--arena-results=out.jsonl"), tests, save=True)
            what = f"memory of the process that publishes, {tests:,} tests of 10 KB, `{parallel}`"
            yield at_most(what, 15, saving.memory - bare.memory, "MB")


def far_workers(folder: Path, tests: int, rounds: int) -> Iterator[Row]:
    """Workers on another disk beside workers on this one."""
    ratios = []
    for number in range(rounds):
        local, far = (
            suite.run(folder / f"{name} {number}", ("-n2", "--arena-results=out.jsonl"), tests, save=True, conftest=how)
            for name, how in (("local", ""), ("far", suite.FAR))
        )
        ratios.append(far.wall / local.wall)
    yield ratio(
        f"{tests:,} tests of 10 KB, two workers on another disk, wall over local", 1.05, statistics.median(ratios)
    )


def calls(rounds: int) -> Iterator[Row]:
    """Single calls, in this process."""
    for row in store.measured(rounds):
        if row.limit is not None:
            yield at_most(row.name, row.limit, row.least, "ms")
    case = next(redaction.cases())
    yield at_most(f"redaction of {case.name}", 20, redaction.median_ns(case) / 1000, "µs")


def merges(folder: Path, numbers: list[int]) -> Iterator[Row]:
    """Journals of dead sessions, and shards, into one."""
    rows = [row for row in scale.measure_all(numbers, list(STEPS), folder) if row["step"] in STEPS]
    for step in STEPS:
        first, *_, last = (row for row in rows if row["step"] == step)
        what = f"{step}, {last['runs']:,} runs"
        yield at_most(what, scale.MEMORY_LIMIT, last["memory_mb"], "MB")
        slower = last["seconds"] / first["seconds"] / (last["runs"] / first["runs"])
        yield ratio(f"{what}: CPU time of a run over that among {first['runs']:,}", scale.LINEAR, slower)


def main() -> None:
    """Print the table, and write it where that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--json", type=Path, help="write the table there, too")
    options = parser.parse_args()
    part = 10 if options.quick else 1
    tests, rounds = 5000 // part, 1 if options.quick else 3
    packages = ", ".join(f"{name} {version(name)}" for name in ("pytest", "pydantic", "pytest-xdist"))
    machine = f"Python {platform.python_version()}, {packages}, {platform.system()}, {os.cpu_count()} cores"
    print(f"{machine}\n\n| measure | wanted | measured |\n| --- | --- | --- |")
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        places = [Path(scratch, name) for name in ("unused", "suites", "memory", "far", "merges")]
        for place in places:
            place.mkdir()
        parts = (
            unused(places[0], 3 if options.quick else 25),
            suites(places[1], tests, rounds),
            far_workers(places[3], tests, rounds),
            memory(places[2], [tests, 10 * tests]),
            calls(15 // part + 1),
            merges(places[4], [10_000 // part, 100_000 // part]),
        )
        for row in (row for rows_of_part in parts for row in rows_of_part):
            rows.append(row)
            print(f"| {row.measure} | {row.wanted} | {row.measured}{'' if row.kept else ' (missed)'} |", flush=True)
    if options.json:
        table = {"machine": machine, "quick": options.quick, "rows": [row._asdict() for row in rows]}
        options.json.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
