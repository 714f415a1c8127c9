"""CSV, JSON Lines and Parquet."""

import csv
import io
import json
from pathlib import Path

import pytest

from pytest_arena_state.errors import ConfigurationError
from pytest_arena_state.models import RunResult
from pytest_arena_state.reporters import write_report
from pytest_arena_state.reporters.columns import COLUMNS
from pytest_arena_state.reporters.source import Source
from pytest_arena_state.results import load_results


def test_csv_has_a_row_per_run(source: Source, tmp_path: Path) -> None:
    text = write_report(source, tmp_path / "r.csv").read_bytes().decode("utf-8")

    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert tuple(rows[0]) == tuple(COLUMNS)
    assert [row["status"] for row in rows] == ["passed", "failed", "error", "skipped", "passed", "failed"]
    assert (rows[5]["tool_calls"], rows[5]["turns"], rows[5]["cost_usd"]) == ("2", "2", "0.05")
    assert rows[4]["tags"] == "smoke;nightly"
    assert (rows[5]["start_time"], rows[5]["end_time"]) == ("2026-05-01T09:00:00Z", "2026-05-01T09:00:02Z")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_spreadsheet_runs_no_formula_of_a_model(start: str, tmp_path: Path) -> None:
    run = RunResult.from_dict({"RunID": f'{start}HYPERLINK("http://x")', "Error": f"{start}1+1"})

    [row] = csv.DictReader(
        io.StringIO(write_report(Source.of([run]), tmp_path / "r.csv").read_bytes().decode(), newline="")
    )

    assert row["run_id"].startswith(f"'{start}")
    assert row["reason"][0] in "'1"


def test_a_table_cannot_steer_a_terminal(tmp_path: Path) -> None:
    """People look at a file of a CI job with `cat`."""
    run = RunResult.from_dict({"RunID": "r", "Error": "a\x1b[2J\x00\x9b31mb\nc"})

    text = write_report(Source.of([run]), tmp_path / "r.csv").read_bytes().decode()

    assert "a\ufffd[2J\ufffd\ufffd31mb" in text
    assert "\x1b" not in text


def test_jsonl_reads_back_as_the_same_runs(source: Source, suite: list[RunResult], tmp_path: Path) -> None:
    read_back = load_results(write_report(source, tmp_path / "r.jsonl"))

    assert [run.to_dict() for run in read_back] == [run.to_dict() for run in suite]


def test_parquet_has_typed_columns_and_the_document(source: Source, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra [parquet] is not installed")

    rows = parquet.read_table(write_report(source, tmp_path / "r.parquet")).to_pylist()

    assert [row["cost_usd"] for row in rows][:2] == [0.01, 0.02]
    assert json.loads(rows[0]["document"])["RunID"] == "first"


def test_parquet_without_pyarrow_says_how_to_get_it(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)

    with pytest.raises(ConfigurationError, match=r"parquet needs pyarrow: pip install 'pytest-arena-state\[parquet\]'"):
        write_report(source, tmp_path / "r.parquet")
    assert list(tmp_path.iterdir()) == []
