"""The command in the hands of a stranger: every error says what was wanted, what was there, and what to do."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_arena_state import Completeness, RunResult, document, read_index
from pytest_arena_state.cli import main
from pytest_arena_state.index import index_bytes, make_index
from pytest_arena_state.shards import merge

ROOT = Path(__file__).parents[1]
VERBS = ("show", "report", "compare", "merge", "recover", "validate", "schema", "doctor")
RUN = (
    '{"RunID": "a", "ScenarioID": "s", "ProviderID": "p", "Messages": [{"role": "user", "content": "hi", '
    '"timestamp": "2026-05-01T09:00:00Z"}]}'
)


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with everything that a stranger may point at."""
    monkeypatch.chdir(tmp_path)
    other = RUN.replace('"a"', '"b"')
    (tmp_path / "runs.jsonl").write_text(f"{RUN}\n{other}\n", encoding="utf-8")
    (tmp_path / "one.json").write_text(RUN, encoding="utf-8")
    (tmp_path / "other.json").write_text('{"name": "a", "version": 2}', encoding="utf-8")
    (tmp_path / "text.json").write_text("hello", encoding="utf-8")
    (tmp_path / "number.json").write_text("3", encoding="utf-8")
    (tmp_path / "list.json").write_text("[1]", encoding="utf-8")
    (tmp_path / "cut.json").write_text('{"index": {"run_ids": ["a"]}, "runs": [{"RunID"', encoding="utf-8")
    (tmp_path / "cut.jsonl").write_text(f'{RUN}\n{{"RunID"', encoding="utf-8")
    (tmp_path / "none.json").write_text("[]", encoding="utf-8")
    (tmp_path / "few.json").write_text(f'{{"index": {{"run_ids": ["a"]}}, "runs": [{RUN}, {RUN}]}}', encoding="utf-8")
    (tmp_path / "many.json").write_text(f'{{"index": {{"run_ids": ["a", "b"]}}, "runs": [{RUN}]}}', encoding="utf-8")
    (tmp_path / "index.json").write_text('{"run_ids": ["a"]}', encoding="utf-8")
    (tmp_path / "mark.json").write_text(RUN, encoding="utf-8-sig")
    (tmp_path / "mark.jsonl").write_text(f"{RUN}\n{other}\n", encoding="utf-8-sig")
    (tmp_path / "wide.json").write_text(f'{{"runs": [{RUN}]}}', encoding="utf-16")
    (tmp_path / "wide.jsonl").write_bytes(f"{RUN}\n{other}\n".encode("utf-16-be"))
    (tmp_path / "wide").mkdir()
    (tmp_path / "wide" / "a.json").write_text(RUN, encoding="utf-32")
    (tmp_path / "long").mkdir()
    (tmp_path / "long" / "a.json").write_text(RUN, encoding="utf-8")
    index = '{"run_ids": ["a"], "runs": [{"run_id": "a", "status": "passed", "duration_ns": 1%s}]}' % ("0" * 400)
    (tmp_path / "long" / "index.json").write_text(index, encoding="utf-8")
    (tmp_path / "empty").mkdir()
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone" / "index.json").write_text('{"run_ids": ["a"]}', encoding="utf-8")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "index.json").write_text('{"run_ids": 3}', encoding="utf-8")
    (tmp_path / "outer" / "results").mkdir(parents=True)
    (tmp_path / "outer" / "results" / "index.json").write_text('{"run_ids": []}', encoding="utf-8")
    return tmp_path


WRONG: list[tuple[str, int, str]] = [
    ("show nowhere", 1, "nowhere: nothing is there: a results directory, a .jsonl, a .json or a folder of journals"),
    ("show nowhere.journals", 1, "nowhere.journals: nothing is there"),
    ("show empty", 1, "empty: no results are in it: an index.json or files of runs were wanted"),
    ("show outer", 1, "there are results in 'results'"),
    ("show other.json", 1, "other.json: no results: 'RunID', or 'index' and 'runs' were wanted, 'name', 'version' was"),
    ("show text.json", 1, "text.json: not JSON: "),
    ("show number.json", 1, "number.json: no results: a map or a list was wanted, 3 was there"),
    ("show list.json", 1, "list.json: run 0: not a RunResult: a map was wanted, 1 was there"),
    ("show cut.json", 1, "cut.json: not JSON: the document is cut off after 47 bytes"),
    ("show cut.jsonl", 1, "cut.jsonl:2: not JSON"),
    ("show mark.json", 1, "mark.json: not JSON: UTF-8 without a byte order mark was wanted, UTF-8 with one was there"),
    ("show mark.jsonl", 1, "mark.jsonl:1: not JSON: UTF-8 without a byte order mark was wanted, UTF-8 with one was"),
    ("show wide.json", 1, "wide.json: not JSON: UTF-8 without a byte order mark was wanted, UTF-16 was there"),
    ("compare wide wide", 1, "a.json: not JSON: UTF-8 without a byte order mark was wanted, UTF-32 was there"),
    ("merge wide.jsonl -o out", 1, "wide.jsonl:1: not JSON: Expecting"),
    ("show index.json", 1, "index.json: it is an index, without the runs that it names: give '.'"),
    ("show gone", 1, "a.json: the index names it, and it is missing"),
    ("show odd", 1, "index.json: not an index: run_ids is no list"),
    ("show long", 1, "index.json: not an index: runs.0 is no row"),
    ("report long -o runs.csv", 1, "index.json: not an index: runs.0 is no row"),
    ("show runs.jsonl c", 1, "runs.jsonl: no run 'c' among 2; there are, for example, a, b"),
    ("show none.json c", 1, "none.json: no run 'c' among 0\n"),
    ("show few.json", 1, "few.json: it names 1 run, and there are more: few.json: run 1"),
    ("show many.json", 1, "many.json: it names 2 runs, and there is 1\n"),
    ("report runs.jsonl -o report.pdf", 2, "'report.pdf' does not tell the format: end it in one of .html, .md"),
    ("report runs.jsonl -o r.html --format pdf", 2, "invalid choice: 'pdf'"),
    ("report runs.jsonl", 2, "required: -o/--output"),
    ("report runs.jsonl -o one.json/r.html", 1, "one.json"),
    ("report runs.jsonl -o r.html --baseline nowhere", 1, "nowhere: nothing is there"),
    ("compare runs.jsonl nowhere", 1, "nowhere: nothing is there"),
    ("compare runs.jsonl runs.jsonl --fail-on cost", 2, "--fail-on: 'cost' needs a threshold, such as 'cost+10%'"),
    ("compare runs.jsonl runs.jsonl --fail-on price+3%", 2, "'price+3%' is not one of new-failures, flaky, missing"),
    ("compare runs.jsonl runs.jsonl --fail-on ,", 2, "a condition such as 'new-failures' was wanted"),
    ("compare runs.jsonl runs.jsonl --fail-on ''", 2, "a condition such as 'new-failures' was wanted, '' was there"),
    ("compare runs.jsonl runs.jsonl -o ''", 2, "argument -o/--output: wanted a path, not ''"),
    ("merge runs.jsonl -o ''", 2, "argument -o/--output: wanted a path, not ''"),
    ("show ''", 2, "argument PATH: wanted a path, not ''"),
    ("merge nowhere -o out", 1, "nothing to merge: nowhere: nothing is there"),
    ("merge empty -o out", 1, "nothing to merge: empty: no results are in it"),
    ("merge runs.jsonl -o one.json/out", 1, "is a file, so 'one.json/out' cannot be made"),
    ("merge runs.jsonl --expect two -o out", 2, "wanted a whole number from 0 on, not 'two'"),
    ("recover /", 1, "/: the path of results, or a folder of journals, was wanted"),
    ("merge runs.jsonl -o /", 1, "'/' has no name: a directory, a .jsonl or a .json was wanted"),
    ("recover runs.jsonl.journals", 1, "runs.jsonl.journals: nothing is there: journals go when their session has"),
    ("recover nowhere", 1, "nowhere: nothing is there, and no 'nowhere.journals' beside it"),
    ("validate nowhere", 1, "nowhere: nothing is there"),
    ("schema runs", 2, "invalid choice: 'runs'"),
    ("sohw runs.jsonl", 2, "invalid choice: 'sohw'"),
    ("", 2, "required: VERB"),
]


@pytest.mark.parametrize(("line", "status", "said"), WRONG, ids=[line for line, _, _ in WRONG])
def test_what_is_wrong_is_said(
    there: Path, capsys: pytest.CaptureFixture[str], line: str, status: int, said: str
) -> None:
    try:
        given = main(shlex.split(line))
    except SystemExit as ended:  # what argparse does
        given = int(str(ended.code))

    out, err = capsys.readouterr()
    assert (given, out) == (status, "")
    assert said in err
    assert err.startswith(("arena-state: ", "usage: "))
    assert not list(there.rglob("*.tmp"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("empty", "no results are in it"),
        ("gone", "the index names it, and it is missing"),
        ("odd", "run_ids is no list"),
        ("text.json", "not JSON"),
        ("other.json", "no results"),
        ("list.json", "run 0: a RunResult is a map, not 1"),
        ("cut.json", "not JSON: the document is cut off"),
        ("cut.jsonl", ":2: the last line is cut off"),
        ("index.json", "it counts 0 runs and names 1\n"),
        ("one.json", "AssistantRole, Commit, Cost and 15 more are missing"),
    ],
)
def test_validate_finds_what_is_wrong(there: Path, capsys: pytest.CaptureFixture[str], name: str, said: str) -> None:
    assert main(["validate", name]) == 1

    out = capsys.readouterr().out
    assert said in out
    assert re.search(r"\d+ files?( and \d+ runs? within)? checked, [1-9]\d* wrong\n\Z", out)


@pytest.mark.parametrize("verb", VERBS)
def test_help_says_what_goes_in_what_comes_out_and_how_it_ends(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([verb, "--help"])

    out = capsys.readouterr().out
    assert ended.value.code == 0
    assert "examples:\n  arena-state " in out
    assert "exit status:\n  0  " in out


def test_every_example_of_the_help_is_understood(capsys: pytest.CaptureFixture[str]) -> None:
    """An example that does not work is worse than none; that there are no results is another matter."""
    examples = []
    for verb in VERBS:
        with pytest.raises(SystemExit):
            main([verb, "--help"])
        examples += re.findall(r"^  arena-state (.+)$", capsys.readouterr().out, re.MULTILINE)

    for example in examples:
        assert main(shlex.split(example)) in (0, 1), example
    assert len(examples) > 8


@pytest.mark.parametrize("document", ["README.md", "docs/ci.md"])
def test_every_command_in_a_document_is_understood(
    document: str, there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    lines = re.findall(r"^(?:\s*(?:- )?(?:run: )?)(arena-state [^`\n|]+)", text, re.MULTILINE)

    for line in lines:
        words = [word for word in shlex.split(line)[1:] if not word.startswith("$")]
        if any("://" in word for word in words):
            continue  # nobody's object store is asked; `tests/test_cloud.py` has one of its own
        assert main(words) in (0, 1), line
    assert lines


def run(*words: str, cwd: Path, **keywords: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pytest_arena_state.cli", *words]
    return subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **keywords)  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("show", "many.jsonl"), 0),
        (("schema",), 0),
        (("validate", "many.jsonl"), 1),
        pytest.param(
            *(("report", "many.jsonl", "--format", "csv", "-o", "/dev/stdout"), 0),
            marks=pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="there is no /dev/stdout"),
        ),
    ],
)
def test_output_that_nobody_reads_ends_the_command_quietly(there: Path, words: tuple[str, ...], status: int) -> None:
    """`arena-state show results | head -3` must not end in a stack of calls."""
    with (there / "many.jsonl").open("w", encoding="utf-8") as out:
        for number in range(3000):
            out.write(json.dumps({**json.loads(RUN), "RunID": f"run-{number}", "Error": "x" * 400}) + "\n")
    command = run(*words, cwd=there)
    assert command.stdout is not None
    assert command.stderr is not None

    command.stdout.close()
    said = command.stderr.read()
    command.stderr.close()

    assert (command.wait(), said) == (status, b"")


@pytest.mark.parametrize(
    ("words", "stream"),
    [
        (("compare", "runs.jsonl", "failed.jsonl", "--fail-on", "new-failures"), "stdout"),
        (("compare", "runs.jsonl", "failed.jsonl", "--fail-on", "new-failures"), "stderr"),
        pytest.param(
            *(("compare", "runs.jsonl", "failed.jsonl", "--fail-on", "new-failures", "-o", "/dev/stdout"), "stdout"),
            marks=pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="there is no /dev/stdout"),
        ),
        (("validate", "cut.jsonl"), "stdout"),
        (("merge", "runs.jsonl", "nowhere", "-o", "merged"), "stderr"),
        (("show", "nowhere"), "stderr"),
    ],
)
def test_output_that_nobody_reads_hides_no_failure(there: Path, words: tuple[str, ...], stream: str) -> None:
    """`set -o pipefail; arena-state compare … --fail-on … | head` must stop the job that it is there to stop."""
    (there / "failed.jsonl").write_text(RUN.replace('"Messages"', '"Error": "x", "Messages"'), encoding="utf-8")
    command = run(*words, cwd=there)
    assert command.stdout is not None
    assert command.stderr is not None
    closed, other = (command.stdout, command.stderr) if stream == "stdout" else (command.stderr, command.stdout)

    closed.close()
    other.read()
    other.close()

    assert command.wait() == 1


def test_a_terminal_that_shows_little_ends_no_command(there: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    (there / "signs.jsonl").write_text(RUN.replace("hi", "\u05e9\u05dc\u05d5\u05dd \U0001f600"), encoding="utf-8")

    command = run("show", "signs.jsonl", "a", cwd=there, env=environment)
    out, err = command.communicate()

    assert (command.returncode, err) == (0, b"")
    assert b"\\u05e9" in out


def test_a_comparison_can_be_cut_to_fit_a_comment(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [json.dumps({**json.loads(RUN), "RunID": f"r{n}", "ScenarioID": f"s{n}", "Error": "x"}) for n in range(200)]
    (there / "failed.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")

    assert main(["compare", "runs.jsonl", "failed.jsonl", "--max-bytes", "2000", "-o", "comparison.md"]) == 0

    text = (there / "comparison.md").read_text(encoding="utf-8")
    assert 1000 < len(text.encode()) <= 2000
    assert text.rstrip().endswith("more parts did not fit.*")


def test_a_comparison_makes_the_folder_that_it_goes_into(there: Path) -> None:
    """A status of 1 means that a condition holds; `report` makes the folder, too."""
    assert main(["compare", "runs.jsonl", "runs.jsonl", "-o", "new/folder/comparison.md"]) == 0

    assert (there / "new" / "folder" / "comparison.md").exists()


def test_a_comparison_goes_to_a_disk_like_a_report(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "runs.jsonl", "runs.jsonl", "-o", "s3://bucket/comparison.md"]) == 2

    assert capsys.readouterr().err == "arena-state: a report is written to a disk, not to an object store\n"
    assert not (there / "s3:").exists()


@pytest.mark.parametrize("words", [["compare", "runs.jsonl", "runs.jsonl"], ["report", "runs.jsonl", "--format", "md"]])
@pytest.mark.parametrize("out", ["folder", "."])
def test_what_cannot_be_written_because_it_is_a_folder_is_named(
    there: Path, capsys: pytest.CaptureFixture[str], words: list[str], out: str
) -> None:
    (there / "folder").mkdir()

    assert main([*words, "-o", out]) == 1

    assert capsys.readouterr().err == f"arena-state: {out}: Is a directory\n"
    assert not list((there / "folder").iterdir())


# --- merging many ------------------------------------------------------------------------------------


def test_fifty_shards_of_four_hundred_runs_are_merged(tmp_path: Path, make_shard: Callable[[int], Path]) -> None:
    shards = [str(make_shard(number)) for number in range(50)]

    assert main(["merge", *shards, "-o", str(tmp_path / "all.jsonl"), "--expect", "50"]) == 0
    assert main(["merge", *reversed(shards), "-o", str(tmp_path / "again.jsonl")]) == 0

    index = json.loads((tmp_path / "all.index.json").read_bytes())
    assert (index["total_runs"], index["successful"]) == (20_000, 18_000)
    assert index["total_cost"] == pytest.approx(200.0)
    assert len(set(index["run_ids"])) == 20_000
    assert (tmp_path / "all.jsonl").read_bytes() == (tmp_path / "again.jsonl").read_bytes()
    one = (tmp_path / "all.index.json").read_text(encoding="utf-8")
    assert one == (tmp_path / "again.index.json").read_text(encoding="utf-8").replace("again.jsonl", "all.jsonl")


@pytest.fixture
def make_shard(tmp_path: Path) -> Callable[[int], Path]:
    """A job's results: four hundred runs, of which forty failed; every job has the same run ids."""
    template = RunResult.from_dict(json.loads(RUN)).to_dict()
    template["Cost"]["total_cost_usd"] = 0.01
    wrong = {"failed": 1, "passed": False, "results": [{"passed": False, "message": "no"}], "total": 1}

    def make(job: int) -> Path:
        path = tmp_path / f"job-{job}.jsonl"
        with path.open("w", encoding="utf-8") as out:
            for number in range(400):
                run = {**template, "RunID": f"run-{number}", "Labels": {"job": str(job)}}
                if number % 10 == 0:
                    run["conversation_assertions"] = wrong
                out.write(json.dumps(run) + "\n")
        return path

    return make


def test_media_beside_runs_are_merged_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run that points at a file of its directory points at it still; nothing from elsewhere comes along."""
    from pytest_arena_state import RunResult

    (tmp_path / "secret.txt").write_text("keep out", encoding="utf-8")
    for job, content in (("a", b"same"), ("b", b"same"), ("c", b"other")):
        folder = tmp_path / job
        (folder / "media").mkdir(parents=True)
        (folder / "media" / "pot.png").write_bytes(content)
        run = RunResult.from_dict({**json.loads(RUN), "RunID": job}).to_dict()
        (folder / "media" / "data.json").write_text("{}", encoding="utf-8")
        (folder / "media" / "link.png").symlink_to(tmp_path / "secret.txt")
        (folder / "media" / "circle.png").symlink_to("circle.png")
        (folder / "shots").mkdir()
        (folder / "shots" / "of windows.png").write_bytes(content)
        inside = ("media/pot.png", "media/data.json", "shots\\of windows.png")
        outside = ("../secret.txt", "..\\secret.txt", str(tmp_path / "secret.txt"), "media/link.png")
        paths = (*inside, *outside, "index.json", "media/gone.png", "media/circle.png")
        parts = [{"type": "image", "media": {"file_path": path, "mime_type": "image/png"}} for path in paths]
        run["Messages"][0]["parts"] = parts
        (folder / f"{job}.json").write_text(json.dumps(run), encoding="utf-8")

    assert main(["merge", str(tmp_path / "a"), str(tmp_path / "b"), "-o", str(tmp_path / "two")]) == 0
    assert main(["merge", str(tmp_path / "a"), str(tmp_path / "c"), "-o", str(tmp_path / "three")]) == 1

    files = sorted(path.relative_to(tmp_path / "two").as_posix() for path in (tmp_path / "two").rglob("*.*"))
    assert files[:3] == ["a.json", "b.json", "index.json"]
    assert files[3:] == ["media/data.json", "media/pot.png", "shots/of windows.png"]
    assert "pot.png: another file than" in capsys.readouterr().err


@pytest.fixture
def whole(there: Path) -> Path:
    """The same runs with all the keys that a report has."""
    run = RunResult.from_dict(json.loads(RUN))
    lines = [run.model_copy(update={"run_id": run_id}).to_json() + "\n" for run_id in "ab"]
    (there / "runs.jsonl").write_text("".join(lines), encoding="utf-8")
    (there / "one.json").write_text(lines[0], encoding="utf-8")
    return there


def test_a_merge_goes_on_after_one_that_was_killed(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A CI job that was cancelled must not stop the next one."""
    left = whole / "out.journals" / "merge-left"
    left.mkdir(parents=True)
    (left / "table").write_bytes(b"of the one that was killed")
    os.utime(left, (0, 0))

    assert main(["merge", "runs.jsonl", "-o", "out"]) == 0

    assert "2 runs" in capsys.readouterr().out
    assert not left.parent.exists()


def test_two_merges_into_one_place_do_not_disturb_each_other(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pytest_arena_state.shard_table import ShardTable

    name_runs = ShardTable.name_runs
    others: list[int] = []

    def merge_meanwhile(self: ShardTable) -> tuple[int, list[str]]:
        if not others:
            others.append(-1)
            others.append(main(["merge", "one.json", "-o", "out"]))
        return name_runs(self)

    monkeypatch.setattr(ShardTable, "name_runs", merge_meanwhile)

    assert main(["merge", "runs.jsonl", "-o", "out"]) == 0
    assert others == [-1, 0]
    assert sorted(path.name for path in (whole / "out").iterdir()) == ["a.json", "b.json", "index.json"]
    assert not (whole / "out.journals").exists()


@pytest.mark.skipif(os.name == "nt", reason="no file there can have such a name")
def test_names_of_files_from_elsewhere_are_safe_after_a_merge(whole: Path) -> None:
    """They are shown on terminals, and CI systems refuse some."""
    (whole / "odd names").mkdir()
    (whole / "one.json").rename(whole / "odd names" / "a\x1b[31m b.json")

    assert main(["merge", "odd names", "-o", "out"]) == 0

    (name,) = {path.name for path in (whole / "out").iterdir()} - {"index.json"}
    assert re.fullmatch(r"a-31m-b~[0-9a-f]{8}\.json", name)


def test_nulls_are_read_by_every_verb(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = RunResult.from_dict(json.loads(RUN)).to_dict()
    run["Messages"] = [None, {"role": "user", "parts": [None], "tool_calls": [None], "validations": [None]}]
    run["conversation_assertions"]["results"] = [None]
    (there / "nulls.jsonl").write_text(json.dumps(run) + "\n", encoding="utf-8")

    assert main(["show", "nulls.jsonl", "a"]) == 0
    assert main(["validate", "nulls.jsonl"]) == 0
    assert main(["merge", "nulls.jsonl", "-o", "out"]) == 0
    assert main(["validate", "out"]) == 0
    assert "1 file and 1 run within checked, 0 wrong" in capsys.readouterr().out


@pytest.mark.skipif(os.name == "nt", reason="the shell of POSIX")
def test_a_closed_output_is_no_reason_for_a_traceback(there: Path) -> None:
    command = shlex.join([sys.executable, "-m", "pytest_arena_state", "show", "runs.jsonl"])

    done = subprocess.run(["sh", "-c", f"{command} >&-"], capture_output=True, text=True, check=False, cwd=there)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(os.name == "nt" or not Path("/dev/fd/1").exists(), reason="there is no /dev/fd")
@pytest.mark.skipif(os.name == "nt", reason="no such pipes there")
def test_a_pipe_is_no_results(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`arena-state show <(zcat runs.gz)`: it cannot be read twice, and one that nobody writes would be waited for."""
    os.mkfifo(there / "pipe")

    for verb in ("show", "validate"):
        assert main([verb, "pipe"]) == 1

    out, err = capsys.readouterr()
    assert "pipe: a file or a directory was wanted, it is a pipe or a device: results are read twice" in out
    assert "pipe: a file or a directory was wanted, it is a pipe or a device: results are read twice" in err


def test_a_report_on_the_output_has_nothing_else_in_it(there: Path) -> None:
    command = run("report", "runs.jsonl", "--format", "csv", "-o", "/dev/fd/1", cwd=there)
    out, err = command.communicate()

    assert (command.returncode, err) == (0, b"")
    assert [line.partition(b",")[0] for line in out.splitlines()] == [b"stem", b"a", b"b"]


@pytest.mark.skipif(os.name == "nt" or not Path("/dev/fd/1").exists(), reason="there is no /dev/fd")
@pytest.mark.parametrize("out", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_a_report_on_the_output_keeps_what_the_file_behind_it_has(there: Path, out: str) -> None:
    """`arena-state report … -o /dev/stdout >> "$GITHUB_STEP_SUMMARY"`, where other steps write as well."""
    if not Path(out).exists():
        pytest.skip(f"there is no {out}")
    words = [sys.executable, "-m", "pytest_arena_state.cli", "report", "runs.jsonl", "--format", "csv", "-o", out]
    with (there / "summary").open("ab") as summary:
        summary.write(b"before\n")
        summary.flush()
        subprocess.run(words, cwd=there, stdout=summary, check=True)
        summary.write(b"after\n")

    lines = (there / "summary").read_bytes().splitlines()
    assert [line.partition(b",")[0] for line in lines] == [b"before", b"stem", b"a", b"b", b"after"]


@pytest.mark.skipif(os.name == "nt" or not Path("/dev/stdout").exists(), reason="there is no /dev/stdout")
def test_a_comparison_on_the_output_keeps_what_the_file_behind_it_has(there: Path) -> None:
    compare = ["compare", "runs.jsonl", "runs.jsonl", "-o", "/dev/stdout"]
    with (there / "summary").open("ab") as summary:
        summary.write(b"before\n")
        summary.flush()
        subprocess.run(
            [sys.executable, "-m", "pytest_arena_state.cli", *compare], cwd=there, stdout=summary, check=True
        )

    assert (there / "summary").read_bytes().startswith(b"before\n# Arena comparison\n")


def test_a_merge_replaces_nothing_that_arena_wrote(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its index names runs that are in no input; beside an input of its own, it is merged as any other."""
    arena = whole / "arena"
    arena.mkdir()
    shutil.copy(whole / "one.json", arena / "of-arena.json")
    index = '{"total_runs": 1, "run_ids": ["of-arena"]}'
    (arena / "index.json").write_text(index, encoding="utf-8")

    assert main(["merge", "runs.jsonl", "-o", "arena"]) == 1

    assert "results that Arena wrote are there: merge them, too, or choose another name" in capsys.readouterr().err
    assert (arena / "index.json").read_text(encoding="utf-8") == index
    assert main(["merge", "runs.jsonl", "arena", "-o", "arena"]) == 0
    assert read_index(arena).total_runs == 2


@pytest.mark.parametrize("name", ["there.jsonl", "there.json", "there/index.json", "there/a.json"])
def test_a_merge_replaces_nothing_that_is_no_results(
    whole: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    file = whole / name
    file.parent.mkdir(exist_ok=True)
    file.write_text('{"name": "mine"}', encoding="utf-8")

    assert main(["merge", "runs.jsonl", "-o", str(file.parent if name.startswith("there/") else file)]) == 1

    assert f"{file.name}: it is in the way, and holds no results" in capsys.readouterr().err
    assert file.read_text(encoding="utf-8") == '{"name": "mine"}'
    assert [path.name for path in whole.rglob("there*/*")] == ([file.name] if name.startswith("there/") else [])


@pytest.mark.parametrize(
    "fields",
    [
        {"Labels": {"pytest.attempt": None, "pytest.nodeid": None, "tier": None}},
        {"Cost": {"input_tokens": "3", "output_tokens": 2.0, "total_cost_usd": "0.5"}, "Duration": 7.0},
    ],
)
def test_a_merge_reads_what_every_verb_reads(whole: Path, fields: dict[str, object]) -> None:
    """Nothing that `show` and `validate` take may end a merge in a stack of calls, or make results of it that lie."""
    run = json.loads((whole / "one.json").read_bytes())
    (whole / "odd.jsonl").write_text(json.dumps({**run, **fields}) + "\n", encoding="utf-8")

    assert main(["validate", "odd.jsonl"]) == 0
    assert main(["merge", "odd.jsonl", "-o", "out.jsonl"]) == 0
    assert main(["validate", "out.jsonl"]) == 0


@pytest.mark.parametrize("given", ["one.json", "odd.jsonl"])
@pytest.mark.parametrize("number", ["1e999", "NaN", "-Infinity"])
def test_what_is_no_number_becomes_a_text_in_a_merge(whole: Path, given: str, number: str) -> None:
    """One such run would have every other tool refuse the whole file."""
    run = {**json.loads((whole / "one.json").read_bytes()), "Params": {"temperature": ["?"], "NaN": "NaN"}}
    (whole / given).write_text(json.dumps(run).replace('"?"', number) + "\n", encoding="utf-8")

    assert main(["merge", given, "-o", "out.jsonl"]) == 0

    said = json.loads((whole / "out.jsonl").read_bytes(), parse_constant=pytest.fail)["Params"]
    assert said == {"temperature": [number.replace("1e999", "Infinity")], "NaN": "NaN"}


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_equal_runs_are_one_under_the_simplest_name_whichever_comes_first(
    tmp_path: Path, order: tuple[str, str]
) -> None:
    """And superseded where one of the results knows of a later attempt."""
    run = RunResult(run_id="run")
    row = document.row_of(run.to_dict())
    for shard, stem, superseded in (("a", "run~0123abcd", True), ("b", "run", False)):
        (tmp_path / shard).mkdir()
        (tmp_path / shard / f"{stem}.json").write_text(run.to_json(), encoding="utf-8")
        rows = [(stem, {**row, "file": f"{stem}.json", "superseded": superseded})]
        index = make_index(rows, prompt_packs=[], timestamp=None, completeness=Completeness().to_dict())
        (tmp_path / shard / "index.json").write_bytes(index_bytes(index))

    merge([tmp_path / shard for shard in order], tmp_path / "merged")

    merged = read_index(tmp_path / "merged")
    assert merged.run_ids == ["run"]
    assert [each.superseded for each in merged.runs] == [True]
