"""Every verb of the command on every form of results, and memory that does not grow with the number of runs."""

from __future__ import annotations

import gc
import json
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_arena_state import document, iterate_results, load_results
from pytest_arena_state._wire import dumps
from pytest_arena_state.cli import main
from pytest_arena_state.errors import ResultsError
from pytest_arena_state.index import Completeness, index_bytes, make_index
from pytest_arena_state.stored import open_results

NOW = "2026-05-01T09:00:00Z"
PROVIDERS = ("gpt-5-mini", "claude-haiku-4-5", "leaf-7b")


def a_run(number: int, size: int = 200) -> dict[str, Any]:
    """Every ninth run failed; four scenarios with three providers."""
    passed = number % 9 != 0
    said = f"{number} words and words "
    cost = {
        "input_tokens": 10,
        "output_tokens": 5,
        "input_cost_usd": 0.0,
        "output_cost_usd": 0.0,
        "total_cost_usd": 0.01,
    }
    outcome = {"type": "pytest.outcome", "passed": passed, "message": "passed" if passed else "AssertionError: 1 == 2"}
    return {
        "RunID": f"run-{number:05d}",
        "PromptPack": "",
        "Region": "",
        "ScenarioID": f"scenario-{number % 4}",
        "ProviderID": PROVIDERS[number % 3],
        "Labels": {"pytest.nodeid": f"test_shop.py::test_{number:05d}", "pytest.attempt": "1"},
        "Params": {},
        "Messages": [
            {"role": "user", "content": said * (size // 2 // len(said)), "timestamp": NOW},
            {"role": "assistant", "content": said * (size // 2 // len(said)), "timestamp": NOW, "cost_info": cost},
        ],
        "Commit": {},
        "Cost": cost,
        "ToolStats": None,
        "Violations": [],
        "StartTime": NOW,
        "EndTime": "2026-05-01T09:00:02Z",
        "Duration": 2_000_000_000 + number,
        "Error": "",
        "SelfPlay": False,
        "PersonaID": "",
        "MediaOutputs": [],
        "UserFeedback": None,
        "SessionTags": [],
        "AssistantRole": None,
        "UserRole": None,
        "conversation_assertions": {"failed": int(not passed), "passed": passed, "results": [outcome], "total": 1},
    }


def write(folder: Path, form: str, count: int, size: int = 200) -> Path:
    """Constructed results, written run by run."""
    folder.mkdir(parents=True, exist_ok=True)
    runs = (a_run(number, size) for number in range(count))
    rows: list[tuple[str, dict[str, Any]]] = []

    def texts(file: str | None) -> Iterator[bytes]:
        for run in runs:
            rows.append((run["RunID"], {"file": file or f"{run['RunID']}.json", **document.row_of(run)}))
            yield dumps(run)

    def index() -> dict[str, Any]:
        return make_index(rows, prompt_packs=(), timestamp=NOW, completeness=Completeness().to_dict())

    if form in ("directory", "arena's directory", "arena's newer directory", "files without an index"):
        path = folder / "results"
        path.mkdir()
        for text in texts(None):
            run = json.loads(text)
            if form == "arena's directory":
                # As v1.1.11 writes: indented, null for what is empty, and no field that is newer.
                del run["Labels"]
                run = {key: None if value in ([], {}) else value for key, value in run.items()}
            if form == "arena's newer directory":
                del run["MediaOutputs"]
                run["AssistantRole"] = {"Provider": "openai", "Model": "gpt-5-mini"}
                run["Messages"][1]["finish_reason"] = "stop"
            plain = form in ("directory", "files without an index")
            (path / f"{run['RunID']}.json").write_bytes(
                document.lines_of(run) if plain else json.dumps(run, indent=2).encode()
            )
        whole = index()
        if form == "directory":
            (path / "index.json").write_bytes(index_bytes(whole))
        elif form != "files without an index":
            ours = ("format_version", "skipped", "cached_tokens", "runs", "completeness")
            arenas = {key: value for key, value in whole.items() if key not in ours}
            (path / "index.json").write_text(json.dumps(arenas, indent=2), encoding="utf-8")
    elif form in (".jsonl", ".jsonl without an index"):
        path = folder / "results.jsonl"
        with path.open("wb") as lines:
            lines.writelines(text + b"\n" for text in texts(path.name))
        if form == ".jsonl":
            path.with_name("results.index.json").write_bytes(index_bytes(index()))
    else:
        path = folder / "results.json"
        body = folder / "body"
        with body.open("wb") as out:
            for number, text in enumerate(texts(path.name)):
                out.write((b",\n" if number else b"\n") + text)
        with path.open("wb") as out, body.open("rb") as content:
            out.write(b"[" if form == "a list in a .json" else b'{"index": ' + dumps(index()) + b',\n"runs": [')
            while piece := content.read(1 << 20):
                out.write(piece)
            out.write(b"\n]" if form == "a list in a .json" else b"\n]}\n")
        body.unlink()
    return path


FORMS = (
    "directory",
    "arena's directory",
    "arena's newer directory",
    "files without an index",
    ".jsonl",
    ".jsonl without an index",
    ".json",
    "a list in a .json",
)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_reads_the_same_runs(tmp_path: Path, form: str) -> None:
    path = write(tmp_path, form, 20)

    assert [run.run_id for run in load_results(path)] == [f"run-{number:05d}" for number in range(20)]
    assert [stored.stem for stored in open_results(path)] == [f"run-{number:05d}" for number in range(20)]


@pytest.mark.parametrize("form", FORMS)
def test_show_says_the_same_of_every_form(tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    path = write(tmp_path, form, 20)

    assert main(["show", str(path)]) == 0
    assert main(["show", str(path), "run-00009"]) == 0

    out = capsys.readouterr().out
    assert "20 runs (17 passed, 3 failed), 300 tokens, $0.20" in out
    assert "| `scenario-1` |" in out
    assert "## Failed (3)" in out
    assert "# ✗ `run-00009`" in out
    assert "9 words and words" in out


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("ending", ["html", "md", "xml", "jsonl", "csv"])
def test_report_takes_every_form(tmp_path: Path, form: str, ending: str) -> None:
    path = write(tmp_path, form, 5)

    assert main(["report", str(path), "-o", str(tmp_path / f"report.{ending}"), "--baseline", str(path)]) == 0

    assert (tmp_path / f"report.{ending}").stat().st_size > 500


@pytest.mark.parametrize("form", FORMS)
def test_compare_finds_no_change_between_forms(tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    base, new = write(tmp_path / "base", "directory", 20), write(tmp_path / "new", form, 20)
    labelled = form != "arena's directory"  # without labels nobody knows the tests

    assert main(["compare", str(base), str(new), "--fail-on=missing,cost+1%,pass-rate-1%"]) == 0

    out = capsys.readouterr().out
    assert "no limit exceeded" in out
    assert not labelled or "0 new failures, 0 fixed, 0 flaky, 0 added, 0 missing" in out


@pytest.mark.parametrize("form", FORMS)
def test_merge_takes_every_form(tmp_path: Path, form: str) -> None:
    path = write(tmp_path, form, 20)

    assert main(["merge", str(path), "-o", str(tmp_path / "merged"), "--expect=1"]) == 0

    assert len(list(iterate_results(tmp_path / "merged"))) == 20


@pytest.mark.parametrize("form", FORMS)
def test_validate_takes_every_form(tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    status = main(["validate", str(write(tmp_path, form, 20))])

    out = capsys.readouterr().out
    if form == "files without an index":
        assert (status, "there is no index" in out) == (1, True)
    else:
        assert (status, out.splitlines()[-1].endswith(" 0 wrong")) == (0, True)


def test_other_things_in_a_directory_are_no_runs(tmp_path: Path) -> None:
    """Without an index anything may lie there: a project has a package.json, and results in one file."""
    path = write(tmp_path, "files without an index", 3)
    write(path, ".json", 5).rename(path / "more.json")
    (path / "later.index.json").write_text('{"total_runs": 0, "run_ids": []}', encoding="utf-8")
    (path / "package.json").write_text('{"name": "shop", "version": "1.0.0"}', encoding="utf-8")
    (path / "list.json").write_text("[1, 2]", encoding="utf-8")

    assert [run.run_id for run in iterate_results(path)] == ["run-00000", "run-00001", "run-00002"]


def test_a_damaged_file_in_a_directory_is_named(tmp_path: Path) -> None:
    """It may have been a run, so it is not passed over."""
    path = write(tmp_path, "files without an index", 3)
    (path / "run-00001.json").write_text('{"RunID": "run-00001", "Mess', encoding="utf-8")
    (path / "run-00002.json").write_text("", encoding="utf-8")

    with pytest.raises(ResultsError, match=r"run-00001\.json"):
        list(iterate_results(path))


def test_a_directory_that_has_results_in_it_names_them(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text('{"name": "shop"}', encoding="utf-8")
    for name, form in (("a", ".jsonl"), ("b", ".json"), ("c", "directory")):
        write(tmp_path / f"of {name}", form, 2).rename(tmp_path / (name if form == "directory" else f"{name}{form}"))

    with pytest.raises(ResultsError, match=r"no results are in it.*; there are results in 'a\.jsonl', 'b\.json', 'c'"):
        open_results(tmp_path)


# --- journals ------------------------------------------------------------------------------------

DYING = """
    import os

    def test_before(arena_run):
        arena_run.user("Where is my parcel?")

    def test_dies(arena_run):
        arena_run.user("the last words")
        os._exit(1)
"""
LIVING = """
    import sys

    def test_before(arena_run):
        arena_run.user("Where is my parcel?")

    def test_waits(arena_run):
        arena_run.user("still talking")
        print("saved", flush=True)
        sys.stdin.readline()
"""


@pytest.fixture
def journals(pytester: pytest.Pytester) -> Path:
    """What a session leaves that died over its second test."""
    pytester.makepyfile(test_shop=DYING)
    pytester.runpytest_subprocess("-p", "no:xdist", "--arena-results=results")
    return pytester.path / "results.journals"


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_journals_are_read_like_results(
    journals: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], pytester: pytest.Pytester
) -> None:
    """Nobody should have to recover a session to see how far it came; and looking changes nothing."""
    before = files_of(journals)
    capsys.readouterr()

    assert main(["show", str(journals)]) == 0
    assert main(["show", str(journals), "test_shop.py::test_dies"]) == 0
    assert main(["compare", str(journals), str(journals)]) == 0
    assert main(["report", str(journals), "-o", str(tmp_path / "r.html")]) == 0
    assert main(["validate", str(journals)]) == 0
    assert main(["merge", str(journals), "-o", str(tmp_path / "merged")]) == 0

    out = capsys.readouterr().out
    assert "2 runs (1 passed, 1 error)" in out
    assert "the process died while it ran test_shop.py::test_dies" in out
    assert "the last words" in out
    assert files_of(journals) == before
    assert sorted(run.labels["pytest.outcome"] for run in load_results(tmp_path / "merged")) == ["crashed", "passed"]
    assert load_results(journals) == load_results(tmp_path / "merged")


def test_what_journals_say_is_what_recovery_makes(journals: Path, tmp_path: Path) -> None:
    seen = [run.to_dict() for run in load_results(journals)]

    main(["recover", str(journals), "-o", str(tmp_path / "recovered")])

    assert [run.to_dict() for run in load_results(tmp_path / "recovered")] == seen


def test_the_runs_of_one_test_in_many_sessions_have_short_names(journals: Path) -> None:
    """A suite that is killed night after night, and nobody looks for a month."""
    (session,) = journals.iterdir()
    for night in range(30):
        shutil.copytree(session, journals / f"night-{night}")

    stems = [run.stem for run in open_results(journals)]

    assert len(set(stems)) == len(stems) == 62
    assert max(map(len, stems)) < 60


def test_a_session_that_lives_can_be_watched(pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str]) -> None:
    pytester.makepyfile(test_shop=LIVING)
    command = [sys.executable, "-m", "pytest", "-s", "-p", "no:xdist", "--arena-results=results", "test_shop.py"]
    session = subprocess.Popen(command, cwd=pytester.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert session.stdout is not None
    assert any("saved" in line for line in session.stdout)

    assert main(["show", str(pytester.path / "results.journals")]) == 0
    status = main(["show", str(pytester.path / "results")])
    session.communicate("\n")

    out, err = capsys.readouterr()
    assert "2 runs (1 passed, 1 error)" in out
    assert "interrupted: the session still runs" in out
    assert (status, "'results.journals' beside it has journals of a session" in err) == (1, True)
    assert session.returncode == 0
    assert [run.labels["pytest.outcome"] for run in load_results(pytester.path / "results")] == ["passed", "passed"]


# --- one run ---------------------------------------------------------------------------------------


def test_the_file_of_one_run_is_results_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, "directory", 20) / "run-00007.json"

    assert main(["show", str(path)]) == 0
    assert main(["validate", str(path)]) == 0
    assert main(["report", str(path), "-o", str(tmp_path / "r.html")]) == 0

    assert "1 run (1 passed)" in capsys.readouterr().out


# --- memory ----------------------------------------------------------------------------------------

FEW, SIZE = 40, 16_000  # runs, and bytes of each
VERBS: dict[str, Callable[[Path, Path], list[str]]] = {
    "show": lambda path, _: ["show", str(path)],
    "show RUN": lambda path, _: ["show", str(path), "run-00030"],
    **{
        f"report {ending}": lambda path, out, ending=ending: ["report", str(path), "-o", str(out / f"r.{ending}")]  # type: ignore[misc]
        for ending in ("html", "md", "xml", "jsonl", "csv")
    },
    "compare": lambda path, out: ["compare", str(path), str(path), "-o", str(out / "c.md")],
    "merge": lambda path, out: ["merge", str(path), "-o", str(out / "merged")],
    "merge into .json": lambda path, out: ["merge", str(path), "-o", str(out / "merged.json")],
    "validate": lambda path, _: ["validate", str(path)],
}


def peak(arguments: list[str]) -> int:
    """The most bytes of Python objects that there are at a time."""
    gc.collect()
    gc.freeze()  # the more other tests left, the later the collector would come to what is measured here
    tracemalloc.start()
    try:
        assert main(arguments) == 0
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        gc.unfreeze()


@pytest.fixture(scope="module")
def sizes(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Path]]:
    """Results of few runs and of ten times as many, in a form; 0.6 MB and 6 MB."""
    made: dict[str, tuple[Path, Path]] = {}

    def make(form: str) -> tuple[Path, Path]:
        if form not in made:
            folder = tmp_path_factory.mktemp("sizes")
            few, many = (write(folder / str(count), form, count, SIZE) for count in (FEW, 10 * FEW))
            made[form] = few, many
        return made[form]

    return make


@pytest.mark.parametrize(
    ("verb", "form"), [*((verb, form) for verb in VERBS for form in ("directory", ".json")), ("show", ".jsonl")]
)
def test_memory_does_not_grow_with_the_number_of_runs(
    tmp_path: Path, sizes: Callable[[str], tuple[Path, Path]], verb: str, form: str
) -> None:
    """Nine times as much to read, and what grows is no fifth of it: buffers that fill up, and never the runs.

    From Python 3.14 on these are larger.
    """
    few, many = sizes(form)
    outs = [tmp_path / name for name in ("first", "few", "many", "again")]
    for out in outs:
        out.mkdir()
    measured = [
        # Before the first, modules are not loaded and caches are empty.
        peak(VERBS[verb](path, out))
        for path, out in zip((few, few, many, many), outs, strict=True)
    ]

    # What only one of two does, such as filling a cache of Python's own, is no growth with the runs.
    grown = min(measured[2:]) - measured[1]

    assert grown < 9 * FEW * SIZE / 5
