"""What docs/scale.md says: its queries are run, and what it calls bounded is."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
import tracemalloc
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_arena_state import catalogue, read_index
from pytest_arena_state.recovery import recover
from pytest_arena_state.reporters import write_report

if TYPE_CHECKING:
    from tests.conftest import Suite

with suppress(ImportError):
    # Here, because what a test imports pytester forgets, and DuckDB ends a process that imports it again.
    import duckdb

ROOT = Path(__file__).parents[1]
BENCHMARK = ROOT / "benchmarks" / "scale.py"
QUERIES = [
    query
    for block in re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "scale.md").read_text(encoding="utf-8"), re.DOTALL)
    for query in block.split(";\n")
    if query.strip()
]
SUITE = """
from datetime import timedelta

import pytest

@pytest.mark.parametrize("provider", ["gpt-5-mini", "claude"])
@pytest.mark.parametrize("n", range(6))
def test_refund(arena_run, n, provider):
    arena_run.user("I want my money back")
    call = arena_run.tool_call("refund", {"n": n})
    arena_run.tool_result(call, "done")
    arena_run.assistant(f"Sent, {n}.", cost=0.001 * n, latency=timedelta(milliseconds=100 + n))
    assert n != 3
"""


def ask(query: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The answer to a query of the view that the document makes."""
    monkeypatch.chdir(folder)
    with duckdb.connect() as database:
        database.execute(QUERIES[0])
        rows: list[tuple[Any, ...]] = database.execute(query).fetchall()
        return rows


@pytest.fixture
def results(suite: Suite) -> Path:
    if find_spec("duckdb") is None or find_spec("pyarrow") is None:
        pytest.skip("the queries of docs/scale.md are run with the extra [cloud-dev]")
    suite.write(SUITE)
    suite.run("-n0", to="arena-results.jsonl.gz")
    write_report(suite.path / "arena-results.jsonl.gz", suite.path / "runs.parquet")
    return suite.path


def test_every_query_of_the_document_has_an_answer(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(QUERIES) >= 7

    for query in QUERIES[1:]:  # the first makes the view that the others ask
        assert ask(query, results, monkeypatch), query


def test_the_answers_are_right(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {query.split("\n")[0]: ask(query, results, monkeypatch) for query in QUERIES[1:]}

    assert ("passed", 10, 0.024) in [row for rows in answers.values() for row in rows]
    assert ("refund", 12) in [row for rows in answers.values() for row in rows]
    assert any(row[-1] == "Sent, 5." for rows in answers.values() for row in rows)


@pytest.mark.parametrize("path", ["out.jsonl", "out.jsonl.zst", "out"])
def test_the_view_can_be_made_of_every_form(
    results: Path, suite: Suite, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    suite.run("-n0", to=path)
    source = "out/*.json" if path == "out" else path
    view = QUERIES[0].replace("arena-results.jsonl.gz", source)
    assert view != QUERIES[0]

    (answer,) = ask(f"SELECT count(RunID) FROM ({view.partition(' AS')[2]})", results, monkeypatch)

    assert answer == (12,)


# --- the benchmark ----------------------------------------------------------------------------------


sys.path.append(str(BENCHMARK.parent))  # as it is for a script that runs by itself
_BENCHMARK = runpy.run_path(str(BENCHMARK))
sys.path.remove(str(BENCHMARK.parent))
STEPS = _BENCHMARK["STEPS"]
generate = _BENCHMARK["generate"]


def test_what_the_benchmark_makes_is_a_session_that_died(tmp_path: Path) -> None:
    """Or its figures would be of something else."""
    generate(tmp_path, 10)

    recovery = recover(tmp_path / "out.jsonl")

    index = read_index(tmp_path / "out.jsonl")
    assert recovery.merged.lost == []
    assert recovery.merged.troubles == {}
    assert recovery.merged.crashed == ["gw0", "gw1"]
    assert (index.total_runs, index.successful) == (10, 10)
    assert {(row.status, row.cost_usd, row.output_tokens) for row in index.runs} == {("passed", 0.0016, 28)}


def test_the_benchmark_does_each_step(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, BENCHMARK, "--runs", "20", "--folder", tmp_path, "--json", tmp_path / "rows.json"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    measured = {row["step"] for row in json.loads((tmp_path / "rows.json").read_text())["rows"]}
    steps = {step for step in STEPS if not step.startswith("DuckDB") or find_spec("duckdb")}
    assert measured == {"journals", *steps}


@pytest.mark.parametrize("form", ["recovered.jsonl", "recovered", "recovered.jsonl.gz"])
def test_a_run_of_a_session_that_died_takes_no_more_memory_than_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """100,000 of them have to fit into 200 MB, whatever they say."""
    monkeypatch.setattr(catalogue, "_CHUNK", 100)  # what is sorted in memory fills up with the first of them
    peaks: list[int] = []
    for count in (300, 300, 1300):  # before the first, modules are not loaded
        folder = tmp_path / str(len(peaks))
        folder.mkdir()
        generate(folder, count)
        tracemalloc.start()
        try:
            recover(folder / "out.jsonl.journals", output=folder / form)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()

    assert (peaks[2] - peaks[1]) / 1000 < 1_700
