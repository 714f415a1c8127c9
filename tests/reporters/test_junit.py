"""JUnit XML: Arena's mapping, in the strict schema that CI servers check."""

import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

from pytest_arena_state.models import RunResult
from pytest_arena_state.reporters import write_report
from pytest_arena_state.reporters.source import Source

# What Jenkins' schema allows: attributes of each element, and what may stand in it.
ATTRIBUTES = {
    "testsuites": {"name", "time", "tests", "failures", "errors"},
    "testsuite": {"name", "tests", "failures", "errors", "skipped", "time", "timestamp"},
    "testcase": {"name", "classname", "time"},
    "failure": {"type", "message"},
    "error": {"type", "message"},
    "skipped": {"type", "message"},
    "system-out": set(),
}
CHILDREN = {
    "testsuites": {"testsuite"},
    "testsuite": {"testcase"},
    "testcase": {"failure", "error", "skipped", "system-out"},
}


def written(source: Source, path: Path) -> ElementTree.Element:
    root = ElementTree.fromstring(write_report(source, path / "r.xml").read_bytes())
    for element in root.iter():
        assert set(element.attrib) <= ATTRIBUTES[element.tag]
        assert {child.tag for child in element} <= CHILDREN.get(element.tag, set())
        assert re.fullmatch(r"\d+\.\d{3}", element.get("time", "0.000"))
    return root


def test_a_suite_per_scenario_and_a_case_per_run(source: Source, tmp_path: Path) -> None:
    root = written(source, tmp_path)

    assert [(suite.get("name"), suite.get("tests")) for suite in root] == [("late-parcel", "1"), ("refund", "5")]
    assert [case.get("name") for case in root[1]][:2] == ["gpt-5-mini..first", "gpt-5-mini..second"]
    assert {case.get("classname") for case in root[1]} == {"refund"}


def test_the_counts_are_those_of_the_cases(source: Source, tmp_path: Path) -> None:
    root = written(source, tmp_path)

    assert {key: root.get(key) for key in ("tests", "failures", "errors", "time")} == {
        "tests": "6",
        "failures": "2",
        "errors": "1",
        "time": "12.000",
    }
    for suite in root:
        for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert suite.get(key) == str(len(suite.findall(f"testcase/{tag}")))


def test_a_failure_says_what_failed(source: Source, tmp_path: Path) -> None:
    root = written(source, tmp_path)

    failure = root.find(".//failure[@type='AssertionError']")
    assert failure is not None
    assert failure.get("message") == "AssertionError: 1 == 2 assert 1 == 2"
    assert "pytest.outcome: AssertionError: 1 == 2\nassert 1 == 2" in (failure.text or "")


def test_an_error_shows_the_end_of_the_conversation(source: Source, tmp_path: Path) -> None:
    error = written(source, tmp_path).find(".//error")

    assert error is not None
    assert "[assistant]: Within 30 days." in (error.text or "")


def test_the_facts_of_a_run_are_in_its_output(source: Source, tmp_path: Path) -> None:
    out = written(source, tmp_path).findtext("testsuite[@name='late-parcel']/testcase/system-out")

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


def test_a_superseded_attempt_fails_nothing(make_run: Callable[..., RunResult], tmp_path: Path) -> None:
    source = Source.of([make_run("run", "failed"), make_run("run")], superseded=frozenset({0}))

    root = written(source, tmp_path)

    assert (root.get("failures"), root[0].get("skipped")) == ("0", "1")
    skipped = root.find(".//skipped")
    assert skipped is not None
    assert skipped.get("message", "").startswith("attempt 1, superseded by a later one: failed")


def test_any_text_gives_well_formed_xml(hostile: Source, tmp_path: Path) -> None:
    root = written(hostile, tmp_path)

    assert "<script>" in root[0].get("name", "")
    assert "\x1b" not in root[0].get("name", "")
