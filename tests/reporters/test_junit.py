"""JUnit XML: Arena's mapping, and what pytest's own file says of runs, both in the schema that CI servers check."""

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from pytest_arena_state.models import RunResult
from pytest_arena_state.reporters import write_report
from pytest_arena_state.reporters.source import Source

Read = Callable[[str | bytes], ElementTree.Element]
Written = Callable[[Source], ElementTree.Element]


@pytest.fixture
def written(jenkins: Read, tmp_path: Path) -> Callable[[Source], ElementTree.Element]:
    """A report, which the strictest reader took."""
    return lambda source: jenkins(write_report(source, tmp_path / "r.xml").read_bytes())


def test_a_suite_per_scenario_and_a_case_per_run(source: Source, written: Written) -> None:
    root = written(source)

    assert [(suite.get("name"), suite.get("tests")) for suite in root] == [("late-parcel", "1"), ("refund", "5")]
    assert [case.get("name") for case in root[1]][:2] == ["gpt-5-mini..first", "gpt-5-mini..second"]
    assert {case.get("classname") for case in root[1]} == {"refund"}


def test_the_counts_are_those_of_the_cases(source: Source, written: Written) -> None:
    root = written(source)

    assert {key: root.get(key) for key in ("tests", "failures", "errors", "time")} == {
        "tests": "6",
        "failures": "2",
        "errors": "1",
        "time": "12.000",
    }
    for suite in root:
        for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert suite.get(key) == str(len(suite.findall(f"testcase/{tag}")))


def test_a_status_that_is_none_counts_as_an_error(strange: Source, written: Written) -> None:
    """Whoever reads a JUnit file takes a case without a mark for one that passed."""
    root = written(strange)

    assert (root.get("errors"), len(root.findall(".//testcase/error"))) == ("1", 1)


def test_a_suite_began_with_its_first_run_in_whatever_zone(
    make_run: Callable[..., RunResult], written: Written
) -> None:
    """Shards of a merge come from machines in different zones, whose times do not sort as texts."""
    times = ["2026-05-01T09:00:00Z", "2026-05-01T10:30:00+02:00", "2026-05-01T09:00:00.5Z"]
    root = written(Source.of([make_run(f"{n}", StartTime=time) for n, time in enumerate(times)]))

    assert root[0].get("timestamp") == times[1]


def test_a_failure_says_what_failed(source: Source, written: Written) -> None:
    root = written(source)

    failure = root.find(".//failure[@type='AssertionError']")
    assert failure is not None
    assert failure.get("message") == "AssertionError: 1 == 2 assert 1 == 2"
    assert "pytest.outcome: AssertionError: 1 == 2\nassert 1 == 2" in (failure.text or "")


def test_an_error_shows_the_end_of_the_conversation(source: Source, written: Written) -> None:
    error = written(source).find(".//error")

    assert error is not None
    assert "[assistant]: Within 30 days." in (error.text or "")


def test_the_facts_of_a_run_are_in_its_output(source: Source, written: Written) -> None:
    out = written(source).findtext("testsuite[@name='late-parcel']/testcase/system-out")

    assert (out or "").strip().splitlines() == [
        "Run ID: with-tools",
        "Provider: claude-haiku-4-5",
        "Region: ",
        "Duration: 2.000s",
        "Cost: $0.050000",
        "Input Tokens: 100",
        "Output Tokens: 5",
        "Tool Calls: 2",
    ]


def test_a_superseded_attempt_fails_nothing(make_run: Callable[..., RunResult], written: Written) -> None:
    source = Source.of([make_run("run", "failed"), make_run("run")], superseded=frozenset({0}))

    root = written(source)

    assert (root.get("failures"), root[0].get("skipped")) == ("0", "1")
    skipped = root.find(".//skipped")
    assert skipped is not None
    assert skipped.get("message", "").startswith("attempt 1, superseded by a later one: failed")


def test_any_text_gives_well_formed_xml(hostile: Source, written: Written) -> None:
    root = written(hostile)

    assert "<script>" in root[0].get("name", "")
    assert "\x1b" not in root[0].get("name", "")


# --- pytest's own file -----------------------------------------------------------------------

SUITE = """
import pytest
from pytest_arena_state import CostInfo

def test_one(arena_run):
    arena_run.user("hi")
    arena_run.assistant("hello", cost=CostInfo(input_tokens=21, output_tokens=7, total_cost_usd=0.00004))
    assert False

@pytest.mark.parametrize("text", ["\\x1b[31m"])
def test_two(arena_store, text, record_testsuite_property):
    for name in ("a", "b<&>"):
        arena_store.save({"id": name, "messages": [{"role": "user", "content": "hi"}]})
        arena_store.save_metadata(name, {"run_id": f"run-{name}"})

@pytest.mark.arena(run_id="sk-ant-REDACTED")
def test_secret(arena_run):
    arena_run.user("hi")

def test_none():
    pass
"""
MODES = {"serial": ["-p", "no:xdist"], "two workers": ["-n2"]}


def properties(element: ElementTree.Element) -> dict[str, str]:
    found = element.findall("properties/property")
    names = [each.get("name", "") for each in found]
    assert len(names) == len(set(names))
    return {each.get("name", ""): each.get("value", "") for each in found}


def run_suite(pytester: pytest.Pytester, *args: str) -> str:
    pytester.makepyfile(test_shop=SUITE.replace("REDACTED", "api03-" + "x" * 90))
    pytester.runpytest_subprocess(*args, "--junitxml=junit.xml").assert_outcomes(passed=3, failed=1)
    return (pytester.path / "junit.xml").read_text(encoding="utf-8")


@pytest.mark.parametrize("args", MODES.values(), ids=MODES)
def test_pytests_file_tells_the_runs_of_a_test(pytester: pytest.Pytester, args: list[str]) -> None:
    text = run_suite(pytester, *args, "--arena-results=out", "-o", "junit_family=xunit1")

    cases = {case.get("name", ""): properties(case) for case in ElementTree.fromstring(text).iter("testcase")}
    assert cases["test_one"] == {
        "arena.runs": "1",
        "arena.run_id": "test_shop.py::test_one",
        "arena.cost_usd": "0.00004",
        "arena.input_tokens": "21",
        "arena.output_tokens": "7",
        "arena.cached_tokens": "0",
    }
    two = next(value for name, value in cases.items() if name.startswith("test_two"))
    assert (two["arena.runs"], two["arena.run_id"], two["arena.run_id.2"]) == ("2", "run-a", "run-b<&>")
    assert cases["test_secret"]["arena.run_id"].startswith("[redacted:")
    assert cases["test_none"] == {}


@pytest.mark.parametrize("args", MODES.values(), ids=MODES)
def test_in_pytests_default_family_they_stand_where_strict_readers_take_them(
    pytester: pytest.Pytester, jenkins: Read, args: list[str]
) -> None:
    """A property of a test case makes Jenkins skip the whole file."""
    [suite] = jenkins(run_suite(pytester, *args, "--arena-results=out"))

    found = properties(suite)
    assert found["arena.run_id:test_shop.py::test_one"] == "test_shop.py::test_one"
    assert found["arena.cost_usd:test_shop.py::test_one"] == "0.00004"
    totals = ("arena.runs", "arena.cost_usd", "arena.input_tokens", "arena.output_tokens")
    assert [found[name] for name in totals] == ["4", "0.00004", "21", "7"]


def test_without_results_pytests_file_is_as_it_was(pytester: pytest.Pytester, jenkins: Read) -> None:
    [suite] = jenkins(run_suite(pytester, "-p", "no:xdist"))

    assert properties(suite) == {}


def test_what_others_say_of_a_test_stays_with_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(arena_run, request): request.node.user_properties.append(('theirs', 1))")

    pytester.runpytest_subprocess("-p", "no:xdist", "--arena-results=out", "--junitxml=junit.xml")

    [case] = ElementTree.fromstring((pytester.path / "junit.xml").read_text(encoding="utf-8")).iter("testcase")
    assert properties(case) == {"theirs": "1"}
