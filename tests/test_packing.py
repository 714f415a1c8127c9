"""Compressed results: any tool can open them, and nothing in them can hurt whoever reads them."""

from __future__ import annotations

import gzip
import json
import sys
import tracemalloc
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_arena_state import ResultsError, iterate_results, load_results, packing
from pytest_arena_state.cli import main
from pytest_arena_state.packing import open_packed, read_lines
from pytest_arena_state.target import Packing, Target

if TYPE_CHECKING:
    from tests.conftest import Suite

PACKINGS: tuple[Packing, ...] = ("gz", "zst")
MANY = """
import pytest

@pytest.mark.parametrize("n", range(20))
def test_it(arena_store, n):
    arena_store.save({"id": f"run-{n:02}", "messages": [{"role": "user", "content": f"hello {n} " * 50}]})
"""


def pack(path: Path, how: Packing, *lines: bytes) -> Path:
    with open_packed(path, how) as stream:
        for line in lines:
            stream.write(line)
    return path


def runs(count: int) -> list[bytes]:
    return [json.dumps({"RunID": f"run-{n}", "Messages": []}).encode() + b"\n" for n in range(count)]


@pytest.mark.parametrize("how", PACKINGS)
def test_the_same_lines_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: Packing) -> None:
    """Whoever caches results by their content finds them again."""
    monkeypatch.setattr("time.time", lambda: 1.0)
    first = pack(tmp_path / f"a.jsonl.{how}", how, *runs(50)).read_bytes()
    monkeypatch.setattr("time.time", lambda: 2e9)
    second = pack(tmp_path / f"b.jsonl.{how}", how, *runs(50)).read_bytes()

    assert second == first


def test_anybody_can_unpack_them(suite: Suite) -> None:
    suite.write(MANY)

    suite.run("-n2", to="out.jsonl.gz").assert_outcomes(passed=20)

    unpacked = gzip.decompress((suite.path / "out.jsonl.gz").read_bytes())
    assert sorted(json.loads(line)["RunID"] for line in unpacked.splitlines()) == [f"run-{n:02}" for n in range(20)]
    assert len(unpacked) > 2 * (suite.path / "out.jsonl.gz").stat().st_size


@pytest.mark.parametrize("how", PACKINGS)
def test_files_that_were_joined_are_read_to_their_end(tmp_path: Path, how: Packing) -> None:
    """`cat a.jsonl.gz b.jsonl.gz > both.jsonl.gz` is how people join them."""
    a, b = (pack(tmp_path / f"{name}.jsonl.{how}", how, *runs(n)) for name, n in (("a", 2), ("b", 3)))
    both = tmp_path / f"both.jsonl.{how}"
    both.write_bytes(a.read_bytes() + b.read_bytes())

    assert [run.run_id for run in load_results(both)] == ["run-0", "run-1", "run-0", "run-1", "run-2"]


@pytest.mark.parametrize("how", PACKINGS)
def test_a_file_that_was_cut_off_is_never_taken_for_a_shorter_one(tmp_path: Path, how: Packing) -> None:
    """What an interrupted download leaves; without an index beside it nothing else would tell."""
    path = pack(tmp_path / f"whole.jsonl.{how}", how, *runs(200))
    whole = path.read_bytes()

    for length in range(1, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(ResultsError, match=r"whole\.jsonl.*(cut off|cannot be unpacked)"):
            list(read_lines(path))


@pytest.mark.parametrize("how", PACKINGS)
def test_what_stands_before_the_damage_is_given(tmp_path: Path, how: Packing) -> None:
    whole = pack(tmp_path / f"whole.jsonl.{how}", how, *runs(3)).read_bytes()
    path = tmp_path / f"cut.jsonl.{how}"
    path.write_bytes(whole + whole[:-3])
    lines = read_lines(path)

    assert [next(lines) for _ in range(3)] == runs(3)


@pytest.mark.parametrize("how", PACKINGS)
@pytest.mark.parametrize(
    "content", [b'{"RunID": "plain"}\n', b"\x1f\x8b\x08\x00garbage....", b"\x28\xb5\x2f\xfdgarbage"]
)
def test_what_is_not_packed_is_named(tmp_path: Path, how: Packing, content: bytes) -> None:
    path = tmp_path / f"out.jsonl.{how}"
    path.write_bytes(content)

    with pytest.raises(ResultsError, match=rf"out\.jsonl\.{how}: it (is cut off|cannot be unpacked)"):
        list(iterate_results(path))


@pytest.mark.parametrize("how", PACKINGS)
def test_a_small_file_that_unpacks_to_a_huge_line_is_refused_in_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: Packing
) -> None:
    """Results come from other machines, and 100 KB can claim to be 100 MB."""
    path = tmp_path / f"bomb.jsonl.{how}"
    with open_packed(path, how) as stream:
        stream.write(runs(1)[0])
        for _ in range(100):
            stream.write(b" " * 1_000_000)
    assert path.stat().st_size < 200_000
    monkeypatch.setattr(packing, "_LINE_LIMIT", 2_000_000)

    tracemalloc.start()
    try:
        with pytest.raises(ResultsError, match="line 2 is longer than 2,000,000 bytes"):
            list(read_lines(path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 10_000_000


@pytest.mark.parametrize("how", PACKINGS)
def test_a_merge_names_a_packed_shard_that_is_cut_off_and_keeps_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], how: Packing, suite: Suite
) -> None:
    suite.write(MANY)
    suite.run("-n0", to=f"out.jsonl.{how}")
    whole = suite.path / f"out.jsonl.{how}"
    cut = tmp_path / f"cut.jsonl.{how}"
    cut.write_bytes(whole.read_bytes()[:-10])
    capsys.readouterr()

    status = main(["merge", str(whole), str(cut), "-o", str(tmp_path / "merged"), "--expect=2"])

    assert status == 1
    assert f"{cut}: it is cut off" in capsys.readouterr().err
    assert len(load_results(tmp_path / "merged")) == 20


def test_packed_results_lie_beside_plain_ones_and_beside_each_other(suite: Suite) -> None:
    """Each has an index of its own, so that neither replaces the runs of the other."""
    suite.write(MANY)

    for path in ("out.jsonl", "out.jsonl.gz", "out.jsonl.zst"):
        suite.run("-k", path[-1], "-n0", to=path)
        suite.run("-n0", to=path).assert_outcomes(passed=20)

    assert {len(suite.runs(path)) for path in ("out.jsonl", "out.jsonl.gz", "out.jsonl.zst")} == {20}
    assert {main(["validate", str(suite.path / path)]) for path in ("out.jsonl", "out.jsonl.gz", "out.jsonl.zst")} == {
        0
    }


def test_a_missing_library_is_named_before_any_test_runs(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not after an hour of tests, when the results are to be written."""
    suite.write(MANY)
    packing._zstd.cache_clear()
    monkeypatch.setitem(sys.modules, "compression.zstd", None)  # an import that fails
    monkeypatch.setitem(sys.modules, "backports.zstd", None)

    result = suite.run("-n0", to="out.jsonl.zst")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--arena-results: .jsonl.zst needs *pip install 'pytest-arena-state?zstd?'*"])
    assert not list(suite.path.glob("out*"))
    with pytest.raises(ValueError, match="pip install"):
        list(load_results(pack(suite.path / "there.jsonl.gz", "gz").rename(suite.path / "there.jsonl.zst")))
    assert main(["merge", "nothing", "-o", str(suite.path / "merged.jsonl.zst")]) == 2
    assert not list(suite.path.glob("merged*"))


def test_results_that_are_not_packed_import_nothing_for_it(suite: Suite) -> None:
    suite.write(MANY)
    suite.pytester.makeconftest(
        """
        import atexit, sys

        before = set(sys.modules)  # of Python's own, from 3.14 on

        def pytest_unconfigure():
            packers = {"gzip", "compression.zstd", "backports.zstd"} & set(sys.modules) - before
            print(f"packers: {sorted(packers)}", file=sys.stderr)
        """
    )

    result = suite.run_apart("-n0", to="out.jsonl")

    result.stderr.fnmatch_lines(["packers: []*"])


def test_a_json_is_never_packed(suite: Suite) -> None:
    """Its index would have to be unpacked with all runs before it could be read."""
    suite.write(MANY)

    result = suite.run("-n0", to="out.json.gz")

    result.assert_outcomes(passed=20)
    (line, *_) = suite.lines(result)
    assert "no results: 'out.json.gz': a .json is never compressed, a .jsonl.gz or .jsonl.zst is" in line


def test_the_form_of_a_packed_path_is_that_of_its_lines(tmp_path: Path) -> None:
    packed = Target(tmp_path / "out.jsonl.gz", "out.jsonl.gz")

    assert (packed.form, packed.packing) == ("jsonl", "gz")
    assert packed.journals == tmp_path / "out.jsonl.gz.journals"


assert sys.version_info >= (3, 14) or find_spec("backports.zstd"), "the extra [zstd] is part of [test]"
