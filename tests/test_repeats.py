"""Runs that were repeated: how their trials went, in the file of the run that stands for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_arena_state import load_results
from pytest_arena_state.results import Target
from pytest_arena_state.session import Session, Settings
from pytest_arena_state.verdict import PhaseReport

if TYPE_CHECKING:
    from tests.conftest import Suite

FORMS = ("out", "out.jsonl", "out.json", "out.jsonl.gz")

REPEATED = """
import pytest

@pytest.mark.arena(scenario_id="refund", provider_id="gpt")
@pytest.mark.parametrize("n", range(4))
def test_refund(arena_run, n):
    arena_run.user("hello")
    arena_run.check("polite", n != 1)
    arena_run.check("short", n > 1)
    arena_run.check("short", True)
    assert n < 3

@pytest.mark.arena(scenario_id="once", provider_id="gpt")
def test_once(arena_run):
    arena_run.user("hello")

@pytest.mark.arena(scenario_id="once", provider_id="gpt")
def test_skipped(arena_run):
    arena_run.user("hello")
    pytest.skip("no time")
"""


def told(path: Path) -> dict[str, Any]:
    """The trial results of the runs that have some, by run id."""
    return {run.run_id: run.trial_results for run in load_results(path) if run.trial_results is not None}


@pytest.mark.parametrize("form", FORMS)
def test_the_first_run_of_a_scenario_that_was_repeated_says_how_that_went(
    suite: Suite, run_args: list[str], form: str
) -> None:
    """In the shape and the place that Arena's viewer looks for."""
    suite.write(REPEATED)

    suite.run(*run_args, to=form)

    [(run_id, results)] = told(suite.path / form).items()
    assert run_id.endswith("test_refund[0]")
    assert list(results)[:4] == ["trial_count", "pass_rate", "flakiness_score", "per_assertion_stats"]
    assert (results["trial_count"], results["pass_rate"], results["flakiness_score"]) == (4, 0.25, 0.5)
    assert results["per_assertion_stats"] == {
        "polite": {"pass_rate": 0.75, "pass_count": 3, "fail_count": 1, "flakiness_score": 0.5},
        "pytest.outcome": {"pass_rate": 0.75, "pass_count": 3, "fail_count": 1, "flakiness_score": 0.5},
        "short": {"pass_rate": 0.5, "pass_count": 2, "fail_count": 2, "flakiness_score": 1.0},
    }
    assert (results["passed"], results["pass_hat_k"]["2"]) == (1, 0.0)
    assert results["pass_rate_low"] < 0.25 < results["pass_rate_high"]


def test_an_assertion_without_a_type_is_counted_as_any_other(suite: Suite, run_args: list[str]) -> None:
    """Its type is left out of the JSON, and no report was made of a session that repeated such a test."""
    suite.write(
        """
        import pytest

        @pytest.mark.parametrize("n", range(2))
        def test_it(arena_store, n):
            arena_store.save_metadata(
                f"r{n}", {"run_id": f"r{n}", "conv_assertions_results": [{"passed": True, "message": "polite"}]}
            )
        """
    )

    result = suite.run(*run_args)

    assert "2 runs (2 passed)" in suite.lines(result)[0]
    [results] = told(suite.results).values()
    assert {kind: stats["pass_count"] for kind, stats in results["per_assertion_stats"].items()} == {
        "": 2,
        "pytest.outcome": 2,
    }


def test_the_file_is_laid_out_as_any_other(suite: Suite, run_args: list[str]) -> None:
    suite.write(REPEATED)

    suite.run(*run_args)

    runs = [path for path in suite.results.glob("*.json") if path.name != "index.json"]
    first, *_ = [path for path in runs if b"trial_results" in path.read_bytes()]
    lines = first.read_text(encoding="utf-8").splitlines()
    assert lines[-2].startswith('  "trial_results": {')
    assert lines[-3].startswith('  "conversation_assertions": {')
    assert lines[-3].endswith(",")
    assert json.loads("\n".join(lines))["RunID"].endswith("test_refund[0]")


def test_it_is_told_by_the_attempt_that_counts(suite: Suite) -> None:
    """A superseded attempt is not what people open."""
    suite.write(
        """
        tries = []

        def test_flaky(arena_run):
            arena_run.user("hello")
            tries.append(1)
            assert len(tries) == 3
        """
    )

    suite.run("--reruns=2", plugins=["rerunfailures"])

    results = [(run.labels["pytest.attempt"], run.trial_results) for run in suite.runs()]
    assert [attempt for attempt, value in results if value] == ["3"]
    assert results[-1][1]["trial_count"] == 3
    assert results[-1][1]["passed"] == 1


def test_what_a_test_wrote_is_left_as_it_is(suite: Suite, run_args: list[str]) -> None:
    suite.write(
        """
        import pytest

        @pytest.mark.arena(scenario_id="refund", run_id="given")
        def test_a(arena_store):
            arena_store.save({"id": "given", "messages": []})
            arena_store.save_metadata("given", {"run_id": "given", "scenario_id": "refund"})
            arena_store.set_trial_results("given", {"by": "hand"})

        @pytest.mark.arena(scenario_id="refund")
        def test_b(arena_run):
            arena_run.user("hello")
        """
    )

    suite.run(*run_args)

    assert told(suite.results) == {"given": {"by": "hand"}}


def test_what_is_said_outside_tests_is_no_trial(suite: Suite) -> None:
    """Conversations of fixtures name no scenario, and have nothing in common."""
    suite.write(
        """
        def test_it(arena_session_store):
            arena_session_store.save({"id": "one", "messages": []})
            arena_session_store.save({"id": "two", "messages": []})
        """
    )

    suite.run()

    assert told(suite.results) == {}


# --- sessions ------------------------------------------------------------------------------------


def begin(path: Path) -> Session:
    return Session(Target(path, path.name), Settings(), controls_workers=False)


def save(session: Session, nodeid: str, scenario: str = "refund") -> None:
    """Run a test that saves a conversation of its name."""
    store = session.tests.store_for(session.tests.begin(nodeid, nodeid), {"scenario_id": scenario})
    store.save({"id": nodeid, "messages": [{"role": "user", "content": "hello"}]})
    for when in ("setup", "call", "teardown"):
        session.tests.report(nodeid, PhaseReport(when=when, outcome="passed"))


def test_a_file_that_another_session_published_stays_as_it_is(tmp_path: Path) -> None:
    """Its readers may hold it, and its shards be merged already: it tells of its own session."""
    one, other = begin(tmp_path / "out"), begin(tmp_path / "out")
    for session, names in ((one, ("test_a", "test_b")), (other, ("test_0", "test_c", "test_d"))):
        for name in names:
            save(session, name)
    one.finish()
    before = {path: path.read_bytes() for path in (tmp_path / "out").glob("test_*.json")}

    other.finish()

    assert {path: path.read_bytes() for path in before} == before
    assert {run: results["trial_count"] for run, results in told(tmp_path / "out").items()} == {
        "test_0": 3,
        "test_a": 2,
    }


@pytest.mark.parametrize("form", FORMS)
def test_a_publication_that_is_tried_again_says_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    from pytest_arena_state import results

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    session = begin(tmp_path / form)
    for name in ("test_a", "test_b", "Test_b"):
        save(session, name)
    with monkeypatch.context() as patch:
        for writer in (results._DirectoryWriter, results._OneFileWriter):
            patch.setattr(writer, "commit", interrupt)
        with pytest.raises(KeyboardInterrupt):
            session.finish()

    outcome = session.finish()

    assert outcome.problem == ""
    assert {run: value["trial_count"] for run, value in told(tmp_path / form).items()} == {"Test_b": 3}
    assert len(load_results(tmp_path / form)) == 3


@pytest.mark.parametrize("form", FORMS)
def test_a_session_that_is_recovered_says_what_it_would_have_said(tmp_path: Path, form: str) -> None:
    """Sessions that recover it have trials of their own."""
    dead = begin(tmp_path / form)
    for name in ("test_a", "test_b"):
        save(dead, name)
    for name in ("one", "two"):  # of no scenario
        dead.tests.session_store.save({"id": name, "messages": []})
    dead.tests.recording.writer.abandon()
    dead._held.release()
    session = begin(tmp_path / form)
    for name in ("test_c", "test_d", "test_e"):
        save(session, name)

    outcome = session.finish()

    assert (outcome.problem, outcome.recovered_sessions) == ("", 1)
    assert {run: value["trial_count"] for run, value in told(tmp_path / form).items()} == {"test_a": 2, "test_c": 3}
