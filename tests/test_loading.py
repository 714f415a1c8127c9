"""The sequence of `load_results`: it behaves as the list that it stands for, and holds none of it."""

from __future__ import annotations

import gc
import json
import tracemalloc
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_arena_state import ResultsError, RunResult, iterate_results, load_results
from pytest_arena_state.cli import main
from pytest_arena_state.packing import open_packed
from pytest_arena_state.target import packing_of

FORMS = ("out", "out.jsonl", "out.json", "out.jsonl.gz", "out.jsonl.zst")
COUNT = 12


def body(number: int, size: int = 10) -> bytes:
    return json.dumps({"RunID": f"run-{number:04}", "Messages": [{"role": "user", "content": "x" * size}]}).encode()


def write(path: Path, count: int = COUNT, size: int = 10) -> Path:
    """Results without an index, as somebody may have put them together."""
    bodies = [body(number, size) for number in range(count)]
    if path.name == "out":
        path.mkdir()
        for number, text in enumerate(bodies):
            (path / f"run-{number:04}.json").write_bytes(text)
    elif path.suffix == ".json":
        path.write_bytes(b'{"runs": [' + b",".join(bodies) + b"]}")
    else:
        with open_packed(path, packing_of(path)) as stream:
            for text in bodies:
                stream.write(text + b"\n\n")  # a line without a run is none
    return path


def ids(runs: Sequence[RunResult]) -> list[str]:
    return [run.run_id for run in runs]


EXPECTED = [f"run-{number:04}" for number in range(COUNT)]


@pytest.mark.parametrize("form", FORMS)
def test_it_is_the_sequence_that_iterating_gives(tmp_path: Path, form: str) -> None:
    path = write(tmp_path / form)
    runs = load_results(path)

    assert ids(runs) == EXPECTED
    assert ids(runs) == EXPECTED  # again
    assert len(runs) == COUNT
    assert ids(runs) == EXPECTED  # now that it was looked through
    assert [run.run_id for run in reversed(runs)] == EXPECTED[::-1]
    assert runs[3] in runs
    assert runs == list(iterate_results(path))
    assert list(iterate_results(path)) == runs
    assert runs != list(iterate_results(path))[:-1]
    assert runs[3:] != runs[4:]
    assert isinstance(runs, Sequence)


@pytest.mark.parametrize("form", FORMS)
@given(data=st.data())
def test_an_index_and_a_slice_are_those_of_a_list(
    tmp_path_factory: pytest.TempPathFactory, form: str, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / f"slices-{form}" / form
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        write(path)
    runs, expected = load_results(path), EXPECTED

    for _ in range(2):  # a slice of a slice, too
        place = data.draw(st.integers(-len(expected) - 2, len(expected) + 1))
        if -len(expected) <= place < len(expected):
            assert runs[place].run_id == expected[place]
        else:
            with pytest.raises(IndexError):
                runs[place]
        cut = data.draw(st.slices(len(expected)))
        runs, expected = runs[cut], expected[cut]
        assert ids(runs) == expected
        assert len(runs) == len(expected)


@pytest.mark.parametrize("form", FORMS)
def test_no_run_is_held_in_memory(tmp_path: Path, form: str) -> None:
    """40 MB of runs, and whoever looks at all of them one after the other needs the room of a few."""
    runs = load_results(write(tmp_path / form, count=200, size=200_000))

    tracemalloc.start()
    try:
        assert sum(len(run.messages[0].content) for run in runs) == 40_000_000
        assert len(runs) == 200
        assert sum(len(runs[place].messages[0].content) for place in range(0, 200, 10)) == 4_000_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 8_000_000


@pytest.mark.parametrize("form", FORMS)
def test_of_each_run_hardly_more_than_its_place_is_in_memory(tmp_path: Path, form: str) -> None:
    path = write(tmp_path / form, count=2000, size=100)
    len(load_results(path))  # modules are loaded

    tracemalloc.start()
    try:
        runs = load_results(path)
        assert len(runs) == 2000
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()

    assert held / 2000 < 120


@pytest.mark.parametrize("form", FORMS)
def test_results_that_are_not_there_are_an_error_at_once(tmp_path: Path, form: str) -> None:
    with pytest.raises(ResultsError, match="nothing is there"):
        load_results(tmp_path / form)


@pytest.mark.parametrize("form", ["out", "out.jsonl", "out.json"])
def test_a_broken_run_is_an_error_when_it_is_read(tmp_path: Path, form: str) -> None:
    """Those beside it can be had, and somebody may want just them."""
    path = write(tmp_path / form)
    file = path / "run-0005.json" if path.is_dir() else path
    file.write_bytes(file.read_bytes().replace(b'"RunID": "run-0005"', b'"RunID": 5'))

    runs = load_results(path)

    assert runs[4].run_id == "run-0004"
    assert runs[-1].run_id == EXPECTED[-1]
    with pytest.raises(ResultsError, match="not a RunResult: RunID"):
        runs[5]
    with pytest.raises(ResultsError, match="not a RunResult: RunID"):
        list(runs)


def test_a_line_is_named_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(body(0) + b"\n\n" + b"{}}\n" + body(1) + b"\n")

    runs = load_results(path)

    assert len(runs) == 3
    with pytest.raises(ResultsError, match=r"out\.jsonl:3: not a RunResult"):
        runs[1]


def test_results_that_were_published_anew_are_not_read_at_the_old_places(tmp_path: Path) -> None:
    """What stands there now is a part of another run, or two halves."""
    path = write(tmp_path / "out.jsonl")
    runs = load_results(path)
    assert runs[3].run_id == "run-0003"
    path.unlink()
    write(path, count=5, size=99)

    with pytest.raises(ResultsError, match="has changed since it was looked through"):
        runs[3]
    assert len(list(load_results(path))) == 5


@pytest.mark.parametrize("form", ["out.json", "out.jsonl.gz"])
def test_what_was_unpacked_goes_with_the_sequence(tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing complains of a file that nobody closed."""
    path = write(tmp_path / form)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    runs = load_results(path)
    part = runs[2:4]
    del runs
    gc.collect()

    assert ids(part) == EXPECTED[2:4]
    del part
    gc.collect()

    assert not list((tmp_path / "tmp").iterdir())


@pytest.mark.parametrize("form", FORMS)
def test_threads_read_the_runs_that_they_ask_for(tmp_path: Path, form: str) -> None:
    """A judge is asked about many runs at a time, and must not be shown another one."""
    runs = load_results(write(tmp_path / form, count=400, size=5000))
    count = len(runs)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda place: runs[place].run_id, range(count)))

    assert found == [f"run-{number:04}" for number in range(400)]


def test_a_changed_run_is_not_changed_in_the_sequence(tmp_path: Path) -> None:
    runs = load_results(write(tmp_path / "out.jsonl"))

    runs[0].run_id = "changed"

    assert runs[0].run_id == "run-0000"


def test_it_says_what_it_is_without_reading(tmp_path: Path) -> None:
    path = write(tmp_path / "out.jsonl")
    runs = load_results(path)

    assert repr(runs) == f"<runs of {str(path)!r}>"
    assert repr(runs[2:4]) == f"<2 runs of {str(path)!r}>"
    assert main(["show", str(path)]) == 0
