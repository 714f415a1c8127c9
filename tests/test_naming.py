"""File names for runs: safe on every system, unique, and the run id itself wherever that can be."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_arena_state.naming import digest, name_runs, safe_name, safe_stem

SAFE = re.compile(r"[A-Za-z0-9._\-=+,@~]+")
RUN_IDS = st.one_of(
    st.text(max_size=400),
    st.text(alphabet="aA.-~_/\\ \0\n", max_size=6),
    st.sampled_from(["index", "INDEX", "con", "Con.x", "a", "A", "a~b", ".", "..", "", "x" * 5000, "run"]),
)
RUNS = st.lists(st.tuples(RUN_IDS, st.tuples(st.text(max_size=3), st.integers(1, 3))), unique=True, max_size=12)


@given(RUNS)
def test_every_run_gets_a_safe_name_of_its_own(runs: list[tuple[str, tuple[object, ...]]]) -> None:
    names = name_runs(runs)

    assert len({name.lower() for name in names}) == len(runs)
    for name in names:
        assert SAFE.fullmatch(name), name
        assert len(name) <= 200
        assert not name.startswith((".", "-"))
        assert not name.endswith(".")
        assert name.lower() != "index"
        assert Path(name).name == name


@example(runs=[("A", ("", 1)), ("a", ("", 1))], random=Random(1))
@given(RUNS, st.randoms(use_true_random=False))
def test_a_name_does_not_depend_on_the_order_of_runs(
    runs: list[tuple[str, tuple[object, ...]]], random: object
) -> None:
    """Or the files of a suite would change their names with the number of workers."""
    # An id that looks like somebody else's name with a digest is the one exception.
    runs = [run for run in runs if "~" not in run[0]]
    shuffled = list(runs)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    assert dict(zip(shuffled, name_runs(shuffled), strict=True)) == dict(zip(runs, name_runs(runs), strict=True))


@pytest.mark.parametrize(
    "run_id", ["refund-1", "2025-01-01T10+00", "a.b", "A", "a@b", "x=1,y=2", "run~1", "_", "a" * 150]
)
def test_a_safe_id_is_its_own_name(run_id: str) -> None:
    assert safe_stem(run_id) == run_id


@pytest.mark.parametrize(
    "run_id",
    [
        *("index", "Index", "INDEX", "out.index"),
        *("con", "CON", "con.txt", "nul", "aux.a.b", "prn", "com1", "lpt9", "COM0"),
        *(".", "..", "...", ".hidden", "trailing.", "-option", ""),
        *("a/b", "../a", "a\\b", "C:a", "a b", "a\0b", "a\nb", "a*b", "a?b", 'a"b', "a<b", "a>b", "a|b", "a#b", "a%b"),
        *("\u00fc", "\u202ea", "\N{SNOWMAN}", "\ud800"),
        *("a" * 151, "a" * 5000),
    ],
)
def test_an_id_that_is_no_safe_name_gets_a_digest(run_id: str) -> None:
    name = safe_stem(run_id)

    assert re.fullmatch(r"[A-Za-z0-9._\-=+,@~]+~[0-9a-f]{8}", name)
    assert safe_stem(run_id) == name


def test_a_long_id_keeps_its_beginning() -> None:
    """So that people find it."""
    assert safe_stem("tests/test_shop.py::test_refund[" + "x" * 5000).startswith("tests-test_shop.py-test_refund-xxx")


def test_runs_with_one_id_are_told_apart_by_all_that_is_known_of_them() -> None:
    runs: list[tuple[str, tuple[object, ...]]] = [("same", ("test_a", 1)), ("other", ("x",)), ("same", ("test_b", 1))]

    assert name_runs(runs) == [f"same~{digest('test_a', 1)}", "other", f"same~{digest('test_b', 1)}"]


def test_ids_that_some_file_systems_take_for_one_are_told_apart() -> None:
    names = name_runs([("Case", ("a",)), ("case", ("b",))])

    assert names == [f"Case~{digest('a')}", f"case~{digest('b')}"]


def test_an_id_that_looks_like_the_name_of_another_run_does_not_get_it() -> None:
    imitation = f"same~{digest('a')}"

    names = name_runs([("same", ("a",)), ("same", ("b",)), (imitation, ("c",))])

    assert len(set(names)) == 3


def test_a_digest_is_the_same_everywhere() -> None:
    """Names of files must not change with the version of Python, its hash seed or the platform."""
    assert digest("test_it", 1, "same") == "5acd8ce5"


@given(RUN_IDS)
@example("a\x1b[31m\nb")
@example(".hidden")
@example("-rf")
@example("a.")
@example("x" * 150 + "~0123abcd~0123456789abcdef")
def test_a_name_that_somebody_gave_is_kept_where_it_is_safe(stem: str) -> None:
    name = safe_name(stem)

    assert SAFE.fullmatch(name)
    assert name == name.strip(".-")  # a hidden file, an option of a command, a name that Windows shortens
    assert len(name) < 240
    assert safe_name(name) == name
    assert safe_name(safe_stem(stem)) == safe_stem(stem)


@pytest.mark.parametrize("stem", ["index", "INDEX", "con", "Aux.run", "suite.index"])
def test_a_name_that_is_reserved_is_not_kept_whoever_gave_it(stem: str) -> None:
    """A merge makes a file of each run of a stranger's results, and one of them is not the index."""
    name = safe_name(stem)

    assert name != stem
    assert safe_name(name) == name
