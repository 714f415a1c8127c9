"""What a reporter gets: rows and runs that belong together, from every form of results."""

import json
import os
import threading
from pathlib import Path

import pytest

from pytest_arena_state.errors import ConfigurationError, ResultsError
from pytest_arena_state.models import RunResult
from pytest_arena_state.reporters import FORMATS, format_of, write_report
from pytest_arena_state.reporters.source import Source, find_run, open_source, reason_of


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

    assert [each.row.status for each in opened] == ["passed", "failed", "error", "skipped", "passed", "failed"]
    assert [each.run.run_id for each in opened] == [each.stem for each in opened]


def test_a_directory_that_arena_wrote_gets_rows(tmp_path: Path, suite: list[RunResult]) -> None:
    """Arena's index names the runs and has no rows."""
    for run in suite:
        (tmp_path / f"{run.run_id}.json").write_text(json.dumps(run.to_dict()), encoding="utf-8")
    names = [run.run_id for run in suite]
    index = {"total_runs": 6, "run_ids": names, "timestamp": "2026-05-02T00:00:00Z"}
    (tmp_path / "index.json").write_text(json.dumps(index), encoding="utf-8")

    opened = open_source(tmp_path)

    assert [(each.stem, each.row.status) for each in opened][1] == ("second", "failed")
    assert opened.notes.timestamp == "2026-05-02T00:00:00Z"


def test_the_file_of_one_run_is_a_source(tmp_path: Path, suite: list[RunResult]) -> None:
    path = tmp_path / "one.json"
    path.write_text(json.dumps(suite[0].to_dict()), encoding="utf-8")

    assert [each.stem for each in open_source(path)] == ["one"]


def test_the_results_are_as_old_as_the_last_run_of_which_that_is_known() -> None:
    """Arena writes runs that never ended, too."""
    times = ["", "2026-05-01T09:00:00Z", "", "2026-05-01T11:00:00Z", "2026-05-01T12:30:00+02:00", ""]
    runs = [
        RunResult.from_dict({"RunID": f"{n}", **({"EndTime": time} if time else {})}) for n, time in enumerate(times)
    ]

    assert Source.of(runs).notes.timestamp == "2026-05-01T11:00:00Z"
    assert Source.of(runs[:1]).notes.timestamp == ""


def test_two_runs_with_one_id_are_told_apart(tmp_path: Path, suite: list[RunResult]) -> None:
    path = lines_of(tmp_path, [suite[0], suite[1], suite[0]])

    stems = [each.stem for each in open_source(path)]

    assert stems[1] == "second"
    assert len({*stems, "first"}) == 4


def lines_of(folder: Path, runs: list[RunResult], index: list[RunResult] | None = None) -> Path:
    """A `.jsonl` of runs, with the index of others where some are given."""
    path = folder / "results.jsonl"
    path.write_bytes(b"".join(json.dumps(run.to_dict()).encode() + b"\n" for run in runs))
    if index is not None:
        rows = [{"run_id": run.run_id, "file": path.name} for run in index]
        written = {"run_ids": [run.run_id for run in index], "runs": rows, "format_version": 1}
        path.with_name("results.index.json").write_text(json.dumps(written), encoding="utf-8")
    return path


def test_an_index_of_other_results_is_an_error(tmp_path: Path, suite: list[RunResult]) -> None:
    with pytest.raises(ResultsError, match=r"results\.jsonl:1: its index wants 'first' there, and it is 'second'"):
        list(open_source(lines_of(tmp_path, suite[1:], suite)))
    with pytest.raises(ResultsError, match="it names 6 runs, and there are 5"):
        list(open_source(lines_of(tmp_path, suite[:5], suite)))
    with pytest.raises(ResultsError, match=r"it names 5 runs, and there are more: .*results\.jsonl:6"):
        list(open_source(lines_of(tmp_path, suite, suite[:5])))


def test_a_run_is_found_by_its_stem_or_its_id(tmp_path: Path, suite: list[RunResult]) -> None:
    path = lines_of(tmp_path, [*suite, suite[0]])
    last = [each.stem for each in open_source(path)][-1]

    assert find_run(path, "second").run.run_id == "second"
    assert find_run(path, last).run.run_id == "first"
    with pytest.raises(ResultsError, match="2 runs have the id 'first': name one of first~"):
        find_run(path, "first")
    with pytest.raises(ResultsError, match="no run 'secnd' among 7; there are second"):
        find_run(path, "secnd")


def test_results_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="nothing is there"):
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


def test_a_check_is_named_with_its_reason_and_says_less_than_the_test() -> None:
    polite, raised = (
        {"type": kind, "passed": False, "message": said}
        for kind, said in (("polite", "no please"), ("pytest.outcome", "assert 1 == 2"))
    )
    both = RunResult.from_dict({"conversation_assertions": {"results": [polite, raised]}})
    one = RunResult.from_dict({"conversation_assertions": {"results": [polite]}})

    assert (reason_of(both), reason_of(one)) == ("assert 1 == 2", "polite: no please")


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
    broken = open_source(lines_of(tmp_path, suite[:2], suite))

    with pytest.raises(ResultsError):
        write_report(broken, out)

    assert out.read_text(encoding="utf-8") == "old"
    assert not list(tmp_path.glob("*.tmp"))


def test_a_report_goes_where_a_link_leads(on_disk: Path, tmp_path: Path) -> None:
    """`latest.html` that leads into a web server's folder must not turn into a file beside it."""
    shown, link = tmp_path / "www" / "arena.md", tmp_path / "latest.md"
    shown.parent.mkdir()
    link.symlink_to(shown)

    write_report(on_disk, link)

    assert link.is_symlink()
    assert shown.read_text(encoding="utf-8").startswith("# Arena results")
    assert [each.name for each in shown.parent.iterdir()] == ["arena.md"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no named pipes in folders")
def test_a_report_is_written_into_a_pipe_and_does_not_replace_it(on_disk: Path, tmp_path: Path) -> None:
    """Root, as in most containers, may replace `/dev/stdout` by a file; whoever writes there later writes into that."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()

    write_report(on_disk, pipe, "csv")
    reader.join(10)

    assert pipe.is_fifo()
    assert read
    assert read[0].startswith(b"stem,run_id,")
