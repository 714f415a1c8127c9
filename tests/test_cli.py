"""What people do with results after a run."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_arena_state import iterate_results, load_results, read_index
from pytest_arena_state.cli import main
from pytest_arena_state.session import Session as RunningSession
from pytest_arena_state.session import Settings
from pytest_arena_state.target import Target

SUITE = """
import os, pytest

@pytest.mark.parametrize("i", range(3))
def test_it(arena_store, i):
    arena_store.save({"id": f"{os.environ['NAME']}-{i}", "messages": [{"role": "user", "content": "hi"}]})
    arena_store.save({"id": f"shared-{i}", "messages": [{"role": "user", "content": os.environ["NAME"]}]})
    assert i != 2
"""
Session = Callable[[str, str], Path]


@pytest.fixture
def session(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Session:
    """Runs a suite that leaves results, and returns their path."""
    pytester.makepyfile(SUITE)

    def run(name: str, results: str) -> Path:
        monkeypatch.setenv("NAME", name)
        pytester.runpytest_subprocess("-p", "no:xdist", f"--arena-results={results}").assert_outcomes(
            passed=2, failed=1
        )
        return pytester.path / results

    return run


def files(directory: Path) -> dict[str, bytes]:
    """Every file of a directory."""
    return {file.name: file.read_bytes() for file in directory.iterdir()}


def test_show_names_failed_runs_first(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    path = session("a", "out")
    capsys.readouterr()

    assert main(["show", str(path)]) == 0

    out = capsys.readouterr().out
    assert "6 runs" in out
    assert "## Failed (2)" in out
    assert "a-2" in out[out.index("## Failed") :]


def test_show_passes_over_what_is_broken_and_names_it(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    directory = session("a", "out")
    capsys.readouterr()
    first, second, *_ = sorted(path for path in directory.glob("*.json") if path.name != "index.json")
    first.write_text("{", encoding="utf-8")
    second.unlink()
    count = len(read_index(directory).run_ids)

    assert main(["show", str(directory)]) == 1

    shown = capsys.readouterr()
    assert f"{count - 2} runs (" in shown.out
    broken, missing = shown.err.splitlines()
    assert broken.startswith(f"arena-state: {first}: ")
    assert missing == f"arena-state: {second}: the index names it, and it is missing"


def test_a_run_is_shown_though_another_is_broken(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder of files without an index, as Arena leaves it when it is killed: one of them is cut off."""
    directory = session("a", "out")
    capsys.readouterr()
    (directory / "index.json").unlink()
    first, *_, last = sorted(directory.glob("*.json"))
    first.write_text("{", encoding="utf-8")

    assert main(["show", str(directory), last.stem]) == 0

    assert last.stem in capsys.readouterr().out


def test_merging_does_not_depend_on_the_order(session: Session, tmp_path: Path) -> None:
    shards = [str(session("a", "out-a")), str(session("b", "out-b.jsonl")), str(session("c", "out-c.json"))]

    outcomes = []
    for n, order in enumerate(itertools.permutations(shards)):
        assert main(["merge", *order, "-o", str(tmp_path / f"merged-{n}")]) == 0
        outcomes.append(files(tmp_path / f"merged-{n}"))

    assert all(outcome == outcomes[0] for outcome in outcomes)
    index = read_index(tmp_path / "merged-0")
    assert index.total_runs == 18
    assert index.completeness.sessions == 3
    assert {run.run_id for run in iterate_results(tmp_path / "merged-0")} == {
        *(f"{name}-{i}" for name in "abc" for i in range(3)),
        *(f"shared-{i}" for i in range(3)),
    }


def test_merging_again_changes_nothing(session: Session, tmp_path: Path) -> None:
    shards = [str(session("a", "out-a")), str(session("b", "out-b"))]
    main(["merge", *shards, "-o", str(tmp_path / "once")])

    main(["merge", str(tmp_path / "once"), *shards, shards[0], "-o", str(tmp_path / "twice")])

    assert files(tmp_path / "once") == files(tmp_path / "twice")


def test_merging_copies_byte_for_byte_and_leaves_its_inputs(session: Session, tmp_path: Path) -> None:
    shard = session("a", "out-a")
    before = files(shard)

    main(["merge", str(shard), "-o", str(tmp_path / "merged")])

    assert files(shard) == before
    merged = files(tmp_path / "merged")
    del before["index.json"], merged["index.json"]
    assert merged == before
    assert not list(tmp_path.glob("*.journals"))


def test_every_form_holds_the_same_runs(session: Session, tmp_path: Path) -> None:
    shard = session("a", "out-a")

    for source, target in itertools.pairwise(
        [shard, *(tmp_path / name for name in ("m.jsonl", "m.jsonl.gz", "m.jsonl.zst", "m.json", "m"))]
    ):
        assert main(["merge", str(source), "-o", str(target)]) == 0

    before, after = files(shard), files(tmp_path / "m")
    del before["index.json"], after["index.json"]
    assert after == before


@pytest.mark.parametrize("harm", ["cut off", "missing", "not JSON", "index gone wrong"])
def test_a_broken_shard_is_named_and_fails_the_merge(
    session: Session, tmp_path: Path, capsys: pytest.CaptureFixture[str], harm: str
) -> None:
    """A green merge that dropped a shard is worse than a red one."""
    whole, broken = session("a", "out-a"), session("b", "out-b")
    if harm == "cut off":
        file = broken / "b-1.json"
        file.write_bytes(file.read_bytes()[:-30])
    elif harm == "missing":
        shutil.rmtree(broken)
    elif harm == "not JSON":
        (broken / "b-0.json").write_text("<html>", encoding="utf-8")
    else:
        (broken / "index.json").write_text("{}", encoding="utf-8")

    status = main(["merge", str(whole), str(broken), "-o", str(tmp_path / "merged"), "--expect", "2"])

    captured = capsys.readouterr()
    assert status == 1
    assert "out-b" in captured.err
    assert "2 whole inputs expected, 1 there" in captured.err
    assert read_index(tmp_path / "merged").total_runs >= 6


def test_merging_nothing_is_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()

    assert main(["merge", str(tmp_path / "empty"), "-o", str(tmp_path / "merged")]) == 1

    assert "no results are in it" in capsys.readouterr().err
    assert not (tmp_path / "merged").exists()


def test_different_runs_of_one_name_can_fail_the_merge(session: Session, tmp_path: Path) -> None:
    shards = [str(session("a", "out-a")), str(session("b", "out-b"))]

    assert main(["merge", *shards, "-o", str(tmp_path / "merged"), "--on-conflict=fail"]) == 1

    assert not (tmp_path / "merged").exists()


@pytest.mark.parametrize("form", ["out", "out.jsonl", "out.json", "out.jsonl.gz", "out.jsonl.zst"])
def test_what_we_write_is_valid(session: Session, form: str) -> None:
    assert main(["validate", str(session("a", form))]) == 0


def test_validate_names_each_wrong_file(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    path = session("a", "out")
    (path / "a-0.json").write_text("{}", encoding="utf-8")
    run = json.loads((path / "a-1.json").read_text(encoding="utf-8"))
    run["Cost"]["input_tokens"] = "many"
    (path / "a-1.json").write_text(json.dumps(run), encoding="utf-8")
    run = json.loads((path / "a-2.json").read_text(encoding="utf-8"))
    run["ScenarioID"] = "another"
    (path / "a-2.json").write_text(json.dumps(run), encoding="utf-8")
    (path / "shared-0.json").unlink()

    assert main(["validate", str(path)]) == 1

    out = capsys.readouterr().out
    assert "a-0.json: not a RunResult" in out
    assert "a-1.json: Cost.input_tokens" in out
    assert "a-2.json: the index says otherwise: scenario_id" in out
    assert "shared-0.json: the index names it, and it is missing" in out


@pytest.mark.parametrize(("value", "said"), [("NaN", "not JSON: NaN is no number there"), ('"NaN or Infinity"', "")])
def test_validate_refuses_numbers_that_only_some_parsers_take(
    session: Session, capsys: pytest.CaptureFixture[str], value: str, said: str
) -> None:
    path = session("a", "out.jsonl")
    path.write_text(
        path.read_text(encoding="utf-8").replace('"Params":{}', f'"Params":{{"t":{value}}}'), encoding="utf-8"
    )

    assert main(["validate", str(path)]) == (1 if said else 0)

    assert said in capsys.readouterr().out


def test_recover_says_which_sessions_it_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing to recover is one thing, and a suite that still runs is another."""
    alive = RunningSession(Target(tmp_path / "out", "out"), Settings(), controls_workers=False, on_run=None)
    store = alive.tests.store_for(alive.tests.begin("test_it", "test_it"), {})
    store.save({"id": "run", "messages": [{"role": "user", "content": "hi"}]})

    assert main(["recover", str(tmp_path / "out")]) == 0

    assert capsys.readouterr().out.splitlines() == [
        "1 session left alone: it still runs",
        "nothing to recover",
    ]
    alive.finish()
    assert len(load_results(tmp_path / "out")) == 1


@pytest.mark.parametrize("verb", ["show", "validate", "recover"])
def test_a_path_with_nothing_is_a_clear_error(tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str) -> None:
    assert main([verb, str(tmp_path / "nothing")]) == 1

    err = capsys.readouterr().err
    assert err.startswith("arena-state: ")
    assert "nothing" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("shards", [{"a": 1}, {"a": None}, {"a": {"lost": 5}}, {"a": {"redacted": {"key": "x"}}}])
def test_what_a_strange_index_says_of_its_shards_is_no_end_of_a_merge(
    session: Session, tmp_path: Path, capsys: pytest.CaptureFixture[str], shards: Any
) -> None:
    path = session("a", "out")
    index = json.loads((path / "index.json").read_text(encoding="utf-8"))
    (path / "index.json").write_text(json.dumps({**index, "shards": shards}), encoding="utf-8")

    assert main(["merge", str(path), "-o", str(tmp_path / "merged")]) == 1

    assert "what its index says of 'shards' cannot be read" in capsys.readouterr().err
    assert len(load_results(tmp_path / "merged")) == index["total_runs"]


def test_an_index_that_points_outside_its_directory_is_refused(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    """Results of strangers are not to be trusted."""
    path = session("a", "out")
    index = json.loads((path / "index.json").read_text(encoding="utf-8"))
    index["run_ids"][0] = "../../etc/passwd"
    (path / "index.json").write_text(json.dumps(index), encoding="utf-8")

    with pytest.raises(ValueError, match="cannot be the name of a run's file"):
        list(iterate_results(path))


def test_show_prints_the_transcript_of_a_run(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    path = session("a", "out")
    capsys.readouterr()

    assert main(["show", str(path), "shared-2"]) == 0

    out = capsys.readouterr().out
    assert "**user**" in out
    assert "assert 2 != 2" in out


def test_compare_fails_on_what_it_was_told_to(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    base, new = session("a", "out-a"), session("b", "out-b")

    assert main(["compare", str(base), str(new), "--fail-on=new-failures,cost+10%"]) == 0
    file = base / "a-2.json"
    file.unlink()
    run = json.loads((base / "a-1.json").read_text(encoding="utf-8"))
    (base / "index.json").unlink()
    for name in ("a-2", "shared-2"):  # what fails now passed before
        old = {**run, "RunID": name, "Labels": {**run["Labels"], "pytest.nodeid": "test_compare.py::test_it[2]"}}
        (base / f"{name}.json").write_text(json.dumps(old), encoding="utf-8")
    capsys.readouterr()

    assert main(["compare", str(base), str(new), "--fail-on=pass-rate-5%", "--format=json"]) == 1

    assert json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("ending", ["html", "md", "xml", "csv", "jsonl"])
def test_every_report_is_written_by_its_ending(session: Session, tmp_path: Path, ending: str) -> None:
    path = session("a", "out.jsonl")

    assert main(["report", str(path), "-o", str(tmp_path / f"report.{ending}")]) == 0

    assert "shared-2" in (tmp_path / f"report.{ending}").read_text(encoding="utf-8") or ending in ("html",)


@pytest.mark.parametrize("name", ["runs.jsonl", "runs.ndjson", "RUNS.JSONL"])
def test_a_report_of_lines_is_read_again(session: Session, tmp_path: Path, name: str) -> None:
    path = session("a", "out")

    assert main(["report", str(path), "-o", str(tmp_path / name)]) == 0

    assert load_results(tmp_path / name) == load_results(path)
    assert main(["validate", str(tmp_path / name)]) == 0
    assert main(["compare", str(path), str(tmp_path / name), "--fail-on=missing,new-failures"]) == 0


def test_a_session_writes_the_reports_that_were_asked_for(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTML for people, Markdown for a pull request, and what GitHub shows of a step."""
    monkeypatch.setenv("NAME", "a")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path / "step.md"))
    pytester.makepyfile(SUITE)

    result = pytester.runpytest_subprocess(
        "-p", "no:xdist", "--arena-results=out", "--arena-html=r.html", "--arena-markdown=r.md", "--arena-github"
    )

    assert (pytester.path / "r.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert (pytester.path / "step.md").read_text(encoding="utf-8").strip() == (pytester.path / "r.md").read_text(
        encoding="utf-8"
    ).strip()
    errors = [line for line in result.outlines if line.startswith("::error ")]
    assert len(errors) == 2
    assert all("assert 2 != 2" in line for line in errors)


@pytest.mark.parametrize(
    ("checkout", "file"), [("..", "{folder}/test_it.py"), (".", "test_it.py"), ("no", "test_it.py")]
)
def test_an_annotation_is_at_a_file_of_the_checkout(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, checkout: str, file: str
) -> None:
    """A suite may lie in a folder of the repository, which GitHub knows nothing of."""
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path / "step.md"))
    monkeypatch.setenv("GITHUB_WORKSPACE", str(pytester.path / checkout))
    pytester.makepyfile(test_it="def test_a(arena_run):\n    arena_run.user('hi')\n    raise RuntimeError\n")

    result = pytester.runpytest("-p", "no:xdist", "--arena-results=out", "--arena-github", "--tb=no", "-q")

    (line,) = (line for line in result.outlines if line.startswith("::error "))
    assert line.startswith(f"::error file={file.format(folder=pytester.path.name)},title=")


def test_an_annotation_cannot_steer_the_terminal(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """It tells what a model said, in the log of a job and on the terminal of whoever tries the job's command."""
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path / "step.md"))
    pytester.makepyfile(
        """
        def test_a(arena_run):
            arena_run.user("hi")
            raise RuntimeError("\\x1b]0;title\\x07 100% \\u202e")
        """
    )

    result = pytester.runpytest_subprocess("-p", "no:xdist", "--arena-results=out", "--arena-github", "--tb=no", "-q")

    (line,) = (line for line in result.outlines if line.startswith("::error "))
    assert line.endswith("::RuntimeError: \u241b]0;title\u2407 100%25 \u27e8U+202E\u27e9")


def test_a_report_that_cannot_be_written_changes_nothing_else(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAME", "a")
    pytester.makepyfile(SUITE)
    (pytester.path / "file").touch()

    result = pytester.runpytest_subprocess("-p", "no:xdist", "--arena-results=out", "--arena-html=file/r.html")

    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["arena: no file/r.html: *"])
    assert read_index(pytester.path / "out").total_runs == 6


def test_what_a_verb_does_not_take_is_answered_with_what_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["validate", "one", "another\x1b[31m"])

    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert "usage: arena-state validate [-h] PATH" in error
    assert "unrecognized arguments: another" in error
    assert "\x1b" not in error
