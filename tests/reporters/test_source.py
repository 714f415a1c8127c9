"""What a reporter gets: rows and runs that belong together, from every form of results."""

import json
from pathlib import Path

import pytest

from pytest_arena_state.errors import ConfigurationError, ResultsError
from pytest_arena_state.models import RunResult
from pytest_arena_state.reporters import FORMATS, format_of, write_report
from pytest_arena_state.reporters.source import Source, open_source, reason_of


def test_runs_come_with_their_rows(source: Source) -> None:
    assert [(each.stem, each.row.status) for each in source] == [
        ("first", "passed"),
        ("second", "failed"),
        ("third", "error"),
        ("fourth", "skipped"),
        ("fifth", "passed"),
        ("with-tools", "failed"),
    ]


def test_results_without_an_index_get_rows(on_disk: Path) -> None:
    opened = open_source(on_disk)

    assert (opened.index.total_runs, opened.index.successful, opened.index.errors) == (6, 2, 3)
    assert [each.run.run_id for each in opened] == opened.index.run_ids


def test_a_directory_that_arena_wrote_gets_rows(tmp_path: Path, suite: list[RunResult]) -> None:
    """Arena's index names the runs and has no rows."""
    for run in suite:
        (tmp_path / f"{run.run_id}.json").write_text(json.dumps(run.to_dict()), encoding="utf-8")
    names = [run.run_id for run in suite]
    index = {"total_runs": 6, "run_ids": names, "timestamp": "2026-05-02T00:00:00Z"}
    (tmp_path / "index.json").write_text(json.dumps(index), encoding="utf-8")

    opened = open_source(tmp_path)

    assert [(each.stem, each.row.status) for each in opened][1] == ("second", "failed")


def test_the_file_of_one_run_is_a_source(tmp_path: Path, suite: list[RunResult]) -> None:
    path = tmp_path / "one.json"
    path.write_text(json.dumps(suite[0].to_dict()), encoding="utf-8")

    assert [each.stem for each in open_source(path)] == ["first"]


def test_two_runs_with_one_id_are_told_apart(suite: list[RunResult]) -> None:
    stems = Source.of([suite[0], suite[0]]).index.run_ids

    assert len(set(stems)) == 2


def test_an_index_of_other_results_is_an_error(suite: list[RunResult]) -> None:
    index = Source.of(suite).index

    with pytest.raises(ResultsError, match="the index has 'first' at 1, 'second' was there"):
        list(Source(index, lambda: iter(suite[1:])))
    with pytest.raises(ResultsError, match="6 runs were wanted by the index, 5 were there"):
        list(Source(index, lambda: iter(suite[:5])))


def test_a_run_is_found_by_its_stem_or_its_id(suite: list[RunResult]) -> None:
    source = Source.of([*suite, suite[0]], "results")

    assert source.find("second").run.run_id == "second"
    assert source.find(source.index.run_ids[-1]).run.run_id == "first"
    with pytest.raises(ResultsError, match="results: 2 runs have the id 'first': first~"):
        source.find("first")
    with pytest.raises(ResultsError, match="results: no run 'secnd' among 7; there are second"):
        source.find("secnd")


def test_results_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="no results there"):
        open_source(tmp_path / "nowhere")


def test_the_reason_is_the_error_else_what_failed(source: Source) -> None:
    assert [each.reason for each in source] == [
        "",
        "AssertionError: 1 == 2 assert 1 == 2",
        "RuntimeError: the shop is closed",
        "no key for this provider",
        "",
        "AssertionError: 1 == 2 assert 1 == 2",
    ]


def test_an_assertion_of_a_turn_is_a_reason() -> None:
    assertions = {"passed": False, "results": [{"type": "contains", "passed": False, "message": "no date"}]}
    run = RunResult.from_dict({"Messages": [{"role": "assistant", "meta": {"assertions": assertions}}]})

    assert reason_of(run) == "contains: no date"


def test_a_violation_is_a_reason() -> None:
    assert (
        reason_of(RunResult.from_dict({"Violations": [{"type": "banned", "tool": "", "detail": "{}"}]})) == "banned: {}"
    )


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a.html", "html"),
        ("a.md", "md"),
        ("a.xml", "junit"),
        ("a.jsonl", "jsonl"),
        ("a.CSV", "csv"),
        ("a.parquet", "parquet"),
    ],
)
def test_the_ending_tells_the_format(path: str, name: str) -> None:
    assert format_of(Path(path)) == FORMATS[name]


def test_an_unknown_format_says_which_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"'out\.txt' does not tell the format: end it in one of \.html, \.md"):
        format_of(Path("out.txt"))
    with pytest.raises(ConfigurationError, match="format 'pdf' is not one of html, md, junit"):
        format_of(Path("out.html"), "pdf")


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"parquet"}))
def test_every_format_writes_the_same_bytes_twice(name: str, on_disk: Path, tmp_path: Path) -> None:
    first, second = (write_report(on_disk, tmp_path / str(i) / "report", name).read_bytes() for i in range(2))

    assert first == second
    assert first


def test_a_report_that_fails_leaves_the_old_one(tmp_path: Path, suite: list[RunResult]) -> None:
    out = tmp_path / "report.csv"
    out.write_text("old", encoding="utf-8")
    broken = Source(Source.of(suite).index, lambda: iter(suite[:2]))

    with pytest.raises(ResultsError):
        write_report(broken, out)

    assert out.read_text(encoding="utf-8") == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["report.csv"]
