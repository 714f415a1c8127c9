"""The main path: what a suite saves is in the files that its author opens."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_arena_state import RunMetadata, _budgets, load_results, read_index
from pytest_arena_state.cli import main as arena_state
from pytest_arena_state.plugin import BUDGET_KEYWORDS, MARKER_KEYWORDS

if TYPE_CHECKING:
    from tests.conftest import Suite

README_EXAMPLE = """
from pytest_arena_state import ConversationState, CostInfo, Message, RunMetadata

def test_refund(arena_store):
    arena_store.save(ConversationState(id="refund-1", messages=[
        Message(role="user", content="I want my money back"),
        Message(role="assistant", content="Of course. Within 30 days.",
                cost_info=CostInfo(input_tokens=21, output_tokens=7, total_cost_usd=0.0004)),
    ]))
    metadata = RunMetadata(run_id="refund-1", scenario_id="refund", provider_id="gpt-5-mini")
    arena_store.save_metadata("refund-1", metadata)
    assert "30 days" in arena_store.load("refund-1").messages[-1].content
"""

# A bit of everything that must not depend on how the suite is run.
MIXED = """
import pytest
from pytest_arena_state import CostInfo

@pytest.mark.parametrize("city", ["Paris", "Z\\u00fcrich", "../etc"])
def test_capital(arena_run, city):
    arena_run.user(city)
    arena_run.assistant("yes", cost=CostInfo(input_tokens=3, output_tokens=1, total_cost_usd=0.01, provider_name="p"))

def test_tools(arena_run):
    call = arena_run.tool_call("search", {"q": "tea"})
    arena_run.tool_result(call, {"hits": 2})
    arena_run.validate("polite", passed=False, details={"word": "no"})

def test_two(arena_store):
    for name in ("b", "a"):
        arena_store.save({"id": name, "messages": [{"role": "user", "content": name}]})

def test_fails(arena_run):
    arena_run.user("hello")
    assert 1 == 2

@pytest.mark.skip(reason="not today")
def test_skipped(arena_run):
    raise AssertionError

def test_same_id_1(arena_store):
    arena_store.save({"id": "same", "messages": [{"role": "user", "content": "1"}]})

def test_same_id_2(arena_store):
    arena_store.save({"id": "same", "messages": [{"role": "user", "content": "2"}]})

def test_without_a_conversation():
    pass
"""

FOUR_TESTS = """
import pytest

@pytest.mark.parametrize("n", range(4))
def test_n(arena_store, n):
    arena_store.save({"id": f"run-{n}", "messages": [{"role": "user", "content": f"hello {n}"}]})
"""
FOUR_RUNS = ["run-0", "run-1", "run-2", "run-3"]


# --- the example, and every way to run a suite ----------------------------------------------


def test_the_readme_example_leaves_the_files_and_the_line_that_it_promises(suite: Suite, run_args: list[str]) -> None:
    suite.write(README_EXAMPLE)

    result = suite.run_apart(*run_args)

    result.assert_outcomes(passed=1)
    workers = "2 workers, " if run_args == ["-n2"] else ""
    line = f"arena: 1 run (1 passed), 28 tokens, $0.0004, {workers}0 lost -> arena-results/index.json"
    assert suite.lines(result) == [line]
    assert sorted(path.name for path in suite.path.glob("arena-results*")) == ["arena-results"]
    assert sorted(suite.files()) == ["index.json", "refund-1.json"]
    assert suite.said() == {"refund-1": ["I want my money back", "Of course. Within 30 days."]}
    assert suite.rows["refund-1"]["status"] == "passed"
    assert suite.rows["refund-1"]["file"] == "refund-1.json"


def test_the_way_a_suite_is_run_changes_times_and_worker_names_alone(suite: Suite) -> None:
    """Or a diff between a run on a laptop and one in CI would say nothing."""
    suite.write(MIXED)

    suite.run("-p", "no:xdist", to="alone").assert_outcomes(passed=8, failed=1, skipped=1)
    suite.run("-n0", to="n0").assert_outcomes(passed=8, failed=1, skipped=1)
    suite.run("-n2", to="n2").assert_outcomes(passed=8, failed=1, skipped=1)

    alone = suite.files("alone")
    assert len(alone) == 10
    assert suite.files("n0") == alone
    assert suite.files("n2") == alone


@pytest.mark.parametrize("path", ["out", "out.jsonl", "out.json", "out.jsonl.gz", "out.jsonl.zst"])
def test_every_form_of_results_reads_back(suite: Suite, run_args: list[str], path: str) -> None:
    suite.write(FOUR_TESTS)

    result = suite.run(*run_args, to=path)

    result.assert_outcomes(passed=4)
    assert [run.run_id for run in suite.runs(path)] == FOUR_RUNS
    assert [run.messages[0].content for run in suite.runs(path)] == [f"hello {n}" for n in range(4)]
    index = {"out": "out/index.json", "out.jsonl": "out.index.json", "out.json": "out.json"}.get(
        path, f"{path}.index.json"
    )
    assert suite.lines(result)[0].endswith(f"0 lost -> {index}")
    assert [file.name for file in suite.path.glob("out*")].count("out.journals") == 0


def test_jsonl_is_one_run_per_line_and_nothing_else(suite: Suite) -> None:
    suite.write(FOUR_TESTS)

    suite.run(to="out.jsonl")

    lines = (suite.path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["RunID"] for line in lines] == FOUR_RUNS


def test_one_json_file_holds_the_index_and_the_runs(suite: Suite) -> None:
    suite.write(FOUR_TESTS)

    suite.run(to="out.json")

    document = json.loads((suite.path / "out.json").read_bytes())
    assert list(document) == ["index", "runs"]
    assert document["index"]["run_ids"] == FOUR_RUNS
    assert [run["RunID"] for run in document["runs"]] == FOUR_RUNS


def test_in_a_file_of_a_run_every_field_and_every_message_has_its_line(suite: Suite) -> None:
    """People read and diff these files."""
    suite.write(README_EXAMPLE)

    suite.run()

    text = (suite.results / "refund-1.json").read_text(encoding="utf-8")
    document = json.loads(text)
    assert text.endswith("}\n")
    assert len(text.splitlines()) == 2 + len(document) + len(document["Messages"]) + 1


def test_the_option_is_relative_to_where_pytest_was_started(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    suite.pytester.makeini("[pytest]\narena_results = from-ini")
    suite.write(README_EXAMPLE)
    below = suite.pytester.mkdir("below")
    monkeypatch.chdir(below)

    suite.run(str(suite.path / "test_suite.py"), to="from-option").assert_outcomes(passed=1)

    assert (below / "from-option" / "index.json").is_file()
    assert not (suite.path / "from-ini").exists()


def test_the_ini_value_is_relative_to_the_rootdir(
    suite: Suite, monkeypatch: pytest.MonkeyPatch, run_args: list[str]
) -> None:
    suite.pytester.makeini("[pytest]\narena_results = from-ini")
    suite.write(README_EXAMPLE)
    monkeypatch.chdir(suite.pytester.mkdir("below"))

    result = suite.pytester.runpytest(str(suite.path / "test_suite.py"), *run_args)

    result.assert_outcomes(passed=1)
    assert (suite.path / "from-ini" / "refund-1.json").is_file()
    # The summary names it as it is found from where the user is.
    assert suite.lines(result)[0].endswith(f"-> {suite.path.as_posix()}/from-ini/index.json")


def test_results_of_an_ini_value_are_named_from_where_pytest_was_started(suite: Suite) -> None:
    below = suite.pytester.mkdir("below")
    (below / "pytest.ini").write_text("[pytest]\narena_results = from-ini", encoding="utf-8")
    (below / "test_refund.py").write_text(README_EXAMPLE, encoding="utf-8")

    result = suite.pytester.runpytest("below")

    assert suite.lines(result)[0].endswith("-> below/from-ini/index.json")


def test_collecting_only_touches_nothing(suite: Suite, run_args: list[str]) -> None:
    suite.write(FOUR_TESTS)
    suite.run()
    before = {path: path.read_bytes() for path in suite.results.iterdir()}

    result = suite.run(*run_args, "--collect-only", "-q")

    assert suite.lines(result) == []
    assert {path: path.read_bytes() for path in suite.results.iterdir()} == before
    assert not (suite.path / "arena-results.journals").exists()


def test_journals_are_not_searched_for_tests(suite: Suite, run_args: list[str]) -> None:
    """Sessions at the same time come and go there; one folder less in mid-search ended a collection."""
    suite.write("def test_it(arena_run): arena_run.user('hello')")
    for name in ("arena-results.journals", "other.journals"):
        (suite.path / name / "session").mkdir(parents=True)
        (suite.path / name / "session" / f"test_in_{name[:5]}.py").write_text("def test_it(): pass", encoding="utf-8")

    result = suite.run(*run_args)

    result.assert_outcomes(passed=2)


@pytest.mark.parametrize("dry", ["--collect-only", "--setup-plan", "--setup-only"])
def test_running_no_test_makes_nothing(suite: Suite, run_args: list[str], dry: str) -> None:
    suite.write(FOUR_TESTS)

    suite.run(*run_args, dry)

    assert list(suite.path.glob("arena*")) == []


def test_a_session_that_ran_nothing_publishes_an_empty_index(suite: Suite, run_args: list[str]) -> None:
    """Yesterday's runs beside today's green light would be a lie."""
    suite.write(FOUR_TESTS)
    suite.run()

    result = suite.run(*run_args, "-k", "no_such_test")

    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    assert list(suite.files()) == ["index.json"]
    assert suite.index["total_runs"] == 0
    assert suite.index["runs"] == []
    assert suite.lines(result)[0].startswith("arena: 0 runs, 0 tokens, $0.00, ")


def test_a_session_replaces_the_runs_of_the_one_before(suite: Suite, run_args: list[str]) -> None:
    suite.write(FOUR_TESTS)
    suite.run(*run_args)
    suite.write(FOUR_TESTS.replace("range(4)", "[3, 7]"))
    suite.results.joinpath("notes.txt").write_text("mine", encoding="utf-8")

    suite.run(*run_args)

    assert sorted(suite.files()) == ["index.json", "notes.txt", "run-3.json", "run-7.json"]
    assert suite.index["run_ids"] == ["run-3", "run-7"]
    assert suite.index["completeness"]["sessions"] == 1


def test_a_session_that_stops_at_the_first_failure_reports_what_ran(suite: Suite) -> None:
    suite.write(MIXED)

    result = suite.run("-x", "-p", "no:xdist")

    result.assert_outcomes(passed=5, failed=1)
    assert [row["status"] for row in suite.index["runs"]].count("failed") == 2  # a violation, and the failure
    assert len(suite.runs()) == 7


def test_the_last_failed_are_a_session_like_any_other(suite: Suite, run_args: list[str]) -> None:
    suite.write(MIXED)
    suite.run(*run_args)

    result = suite.run(*run_args, "--lf")

    result.assert_outcomes(failed=1)
    assert [run.run_id for run in suite.runs()] == ["test_suite.py::test_fails"]


def test_an_error_in_collection_is_no_error_of_the_results(suite: Suite, run_args: list[str]) -> None:
    suite.write("import no_such_module_anywhere")

    result = suite.run(*run_args)

    assert result.ret in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.TESTS_FAILED)
    assert suite.index["total_runs"] == 0
    assert suite.lines(result)[0].endswith("0 lost -> arena-results/index.json")


def test_it_works_where_xdist_is_not_installed(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    suite.write(README_EXAMPLE)
    suite.pytester.makepyfile(
        sitecustomize="""
        import sys

        class NotInstalled:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in ("xdist", "execnet"):
                    raise ModuleNotFoundError(f"No module named {name!r}", name=name)

        sys.meta_path.insert(0, NotInstalled())
        """
    )
    suite.pytester.makepyfile(
        test_blocked="""
        import pytest

        def test_that_there_is_no_xdist():
            with pytest.raises(ModuleNotFoundError):
                import xdist
        """
    )
    monkeypatch.setenv("PYTHONPATH", str(suite.path))
    suite.load(xdist=False)

    result = suite.pytester.runpytest_subprocess("--arena-results=arena-results")

    result.assert_outcomes(passed=2)
    assert suite.said() == {"refund-1": ["I want my money back", "Of course. Within 30 days."]}


# --- what the fixtures and the marker add -----------------------------------------------------


def test_what_a_test_left_empty_is_filled_in(suite: Suite, run_args: list[str]) -> None:
    suite.write(
        """
        import pytest
        from pytest_arena_state import CostInfo

        @pytest.mark.parametrize("n", [1])
        def test_it(arena_run, n):
            arena_run.user("hello")
            arena_run.assistant("hi", cost=CostInfo(input_tokens=1, provider_name="tea-llm"))
        """
    )

    suite.run(*run_args)

    run = suite.only_run()
    assert run.run_id == "test_suite.py::test_it[1]"
    assert run.scenario_id == "test_suite.py::test_it"
    assert run.provider_id == "tea-llm"
    assert run.labels == {
        "pytest.attempt": "1",
        "pytest.nodeid": "test_suite.py::test_it[1]",
        "pytest.outcome": "passed",
        "pytest.worker": run.labels["pytest.worker"] if run_args == ["-n2"] else "main",
    }
    assert run.labels["pytest.worker"] in ("main", "gw0", "gw1")
    assert run.start_time is not None
    assert run.end_time is not None
    assert run.end_time - run.start_time == run.duration
    (assertion,) = run.conversation_assertions.results
    assert (assertion.type, assertion.passed) == ("pytest.outcome", True)


def test_costs_of_several_providers_name_none(suite: Suite) -> None:
    suite.write(
        """
        from pytest_arena_state import CostInfo

        def test_it(arena_run):
            for name in ("one", "two"):
                arena_run.assistant("hi", cost=CostInfo(input_tokens=1, provider_name=name))
        """
    )

    suite.run()

    assert suite.only_run().provider_id == "unknown"


def test_what_a_test_wrote_is_never_overwritten(suite: Suite) -> None:
    suite.write(
        """
        import pytest
        from datetime import datetime, timedelta, timezone
        from pytest_arena_state import RunMetadata

        @pytest.mark.arena(scenario_id="marked", provider_id="marked", run_id="marked", region="marked",
                           labels={"tier": "marked"}, params={"from": "marker"})
        def test_it(arena_store):
            arena_store.save({"id": "mine", "messages": [{"role": "user", "content": "hello"}]})
            arena_store.save_metadata("mine", RunMetadata(
                run_id="written", scenario_id="written", provider_id="written",
                start_time=datetime(2020, 1, 1, tzinfo=timezone.utc),
                end_time=datetime(2020, 1, 2, tzinfo=timezone.utc),
                duration=timedelta(seconds=3), params={"from": "test"},
                labels={"pytest.outcome": "mine", "pytest.nodeid": "mine", "pytest.worker": "mine", "tier": "gold"},
            ))
        """
    )

    suite.run()

    run = suite.only_run()
    assert (run.run_id, run.scenario_id, run.provider_id) == ("written", "written", "written")
    assert run.region == "marked"  # left empty by the test
    assert run.params == {"from": "test"}
    assert run.start_time is not None
    assert run.end_time is not None
    assert (run.start_time.year, run.end_time.day, run.duration.total_seconds()) == (2020, 2, 3)
    assert run.labels == {
        "pytest.attempt": "1",
        "pytest.nodeid": "mine",
        "pytest.outcome": "mine",
        "pytest.worker": "mine",
        "tier": "gold",
    }


def test_what_a_test_wrote_stays_though_it_is_empty(suite: Suite) -> None:
    """A role that nobody plays is one; a duration of zero is what metadata has when nobody wrote one."""
    suite.write(
        """
        import pytest
        from datetime import timedelta
        from pytest_arena_state import RunMetadata, SelfPlayRoleInfo

        @pytest.mark.arena(duration=timedelta(seconds=3), trial_results={"trial_count": 9})
        def test_it(arena_store):
            arena_store.save_metadata("it", RunMetadata(
                run_id="it", user_role=SelfPlayRoleInfo(), trial_results=[]
            ))
        """
    )

    suite.run()

    written = suite.only_run().to_dict()
    assert (written["UserRole"], written["AssistantRole"], written["trial_results"]) == ({}, None, [])
    assert written["Duration"] == 3_000_000_000


def test_an_error_and_a_skip_that_a_test_wrote_stay(suite: Suite) -> None:
    suite.write(
        """
        import pytest
        from pytest_arena_state import RunMetadata

        def test_error(arena_store):
            arena_store.save_metadata("error", RunMetadata(run_id="error", error="mine"))
            raise RuntimeError("other")

        def test_skip(arena_store):
            arena_store.save_metadata("skip", RunMetadata(run_id="skip", skipped=True, skip_reason="mine"))
            pytest.skip("other")
        """
    )

    suite.run()

    assert suite.run_named("error").error == "mine"
    assert suite.run_named("skip").skip_reason == "mine"


def test_the_closest_marker_wins_and_labels_merge(suite: Suite, run_args: list[str]) -> None:
    suite.write(
        """
        import pytest

        pytestmark = pytest.mark.arena(scenario_id="module", provider_id="module", region="module",
                                       labels={"a": "module", "b": "module", "c": "module"})

        @pytest.mark.arena(provider_id="class", region="class", labels={"b": "class", "c": "class"})
        class TestIt:
            @pytest.mark.arena(region="test", labels={"c": "test"}, session_tags=["nightly"], params={"t": 0.5})
            def test_it(self, arena_store):
                arena_store.save({"id": "it", "messages": []})
        """
    )

    suite.run(*run_args).assert_outcomes(passed=1)

    run = suite.only_run()
    assert (run.scenario_id, run.provider_id, run.region) == ("module", "class", "test")
    assert {name: run.labels[name] for name in "abc"} == {"a": "module", "b": "class", "c": "test"}
    assert run.session_tags == ["nightly"]
    assert run.params == {"t": 0.5}


def test_tags_of_the_marker_come_after_those_of_the_test_which_stay_as_they_are(suite: Suite) -> None:
    suite.write(
        """
        import pytest

        @pytest.mark.arena(session_tags=["a", "nightly"])
        def test_it(arena_store):
            arena_store.save_metadata("it", {"session_tags": ["b", "a", "a"]})
        """
    )

    suite.run().assert_outcomes(passed=1)

    assert suite.only_run().session_tags == ["b", "a", "a", "nightly"]


def test_the_marker_takes_the_fields_of_run_metadata_and_budgets() -> None:
    """The plugin has them spelled out, so that it need not import the models in every pytest run."""
    assert set(RunMetadata.model_fields) | BUDGET_KEYWORDS == MARKER_KEYWORDS
    assert set(_budgets.LIMITS) == BUDGET_KEYWORDS


@pytest.mark.parametrize(
    ("marker", "complaint"),
    [("arena(scenari='x')", "unknown keyword 'scenari'"), ("arena('x')", "positional arguments")],
)
def test_a_wrong_marker_is_a_collection_error_that_lists_the_keywords(
    suite: Suite, run_args: list[str], marker: str, complaint: str
) -> None:
    """A typo would otherwise be found when somebody misses the label."""
    suite.write(f"import pytest\n@pytest.mark.{marker}\ndef test_it():\n    raise AssertionError")

    result = suite.run(*run_args)

    result.assert_outcomes(errors=2 if run_args == ["-n2"] else 1)
    text = result.stdout.str()
    assert complaint in text
    assert ", ".join(sorted(MARKER_KEYWORDS)) in text


@pytest.mark.parametrize("on_class", [True, False])
def test_a_wrong_marker_in_a_class_of_unittest_is_a_collection_error(
    suite: Suite, run_args: list[str], on_class: bool
) -> None:
    mark = "@pytest.mark.arena(scenari='x')"
    lines = ["import pytest, unittest", *([mark] if on_class else []), "class TestIt(unittest.TestCase):"]
    lines += ["    def test_other(self): pass", *([] if on_class else [f"    {mark}"]), "    def test_it(self): pass"]
    suite.write("\n".join(lines))

    result = suite.run(*run_args)

    result.assert_outcomes(errors=2 if run_args == ["-n2"] else 1)
    assert "unknown keyword 'scenari'" in result.stdout.str()


def test_a_wrong_marker_is_found_without_the_option_too(suite: Suite) -> None:
    suite.write("import pytest\n@pytest.mark.arena(scenari='x')\ndef test_it():\n    pass")

    suite.pytester.runpytest().assert_outcomes(errors=1)


def test_a_wrong_value_in_a_marker_costs_the_test_nothing(suite: Suite) -> None:
    suite.write(
        """
        import pytest

        @pytest.mark.arena(scenario_id="s", self_play="perhaps")
        def test_it(arena_run):
            arena_run.user("hello")
        """
    )

    result = suite.run("-W", "error")

    result.assert_outcomes(passed=1)
    assert any("arena marker of test_suite.py::test_it" in line for line in suite.lines(result))
    assert suite.said() == {"test_suite.py::test_it": ["hello"]}


def test_a_wrong_value_is_named_without_a_piece_of_it(suite: Suite) -> None:
    """Of a long value pydantic shows both ends, and half a key is not known as one."""
    key = "gh" + "p_" + "F4kE" * 9
    suite.pytester.makeconftest(f"def pytest_arena_run(run):\n    run.labels['keys'] = ['first', {key!r}]")
    suite.write(
        f"""
        import pytest

        @pytest.mark.arena(scenario_id=["first", {key!r}])
        def test_it(arena_run):
            arena_run.user("hello")
        """
    )

    result = suite.run()

    assert suite.lines(result)[1:] == [
        "arena: arena marker of test_suite.py::test_it: scenario_id: Input should be a valid string, not list",
        "arena: pytest_arena_run raised ValidationError: labels.keys: Input should be a valid string, not list",
    ]


@pytest.mark.parametrize("labels", ["None", "'critical'", "['critical']"])
def test_labels_of_a_marker_that_are_none_cost_the_test_nothing(suite: Suite, labels: str) -> None:
    suite.write(
        f"""
        import pytest

        pytestmark = pytest.mark.arena(scenario_id="s", labels={{"tier": "gold"}})

        @pytest.mark.arena(provider_id="p", labels={labels})
        def test_it(arena_run):
            arena_run.user("hello")
        """
    )

    result = suite.run()

    result.assert_outcomes(passed=1)
    run = suite.only_run()
    if labels == "None":
        assert (run.scenario_id, run.provider_id, run.labels["tier"]) == ("s", "p", "gold")
    else:
        assert any("arena marker of test_suite.py::test_it" in line for line in suite.lines(result))


def test_a_label_of_a_marker_that_is_of_an_enum_is_its_value(suite: Suite) -> None:
    suite.write(
        """
        import enum
        import pytest

        class Tier(str, enum.Enum):
            GOLD = "gold"

        @pytest.mark.arena(labels={"tier": Tier.GOLD, "turn": 3})
        def test_it(arena_run):
            arena_run.user("hello")
        """
    )

    suite.run().assert_outcomes(passed=1)

    labels = suite.only_run().labels
    assert (labels["tier"], labels["turn"]) == ("gold", "3")


def test_a_test_sees_its_own_conversations_only(suite: Suite) -> None:
    suite.write(
        """
        import pytest

        @pytest.mark.parametrize("n", range(3))
        def test_it(arena_store, arena_run, n):
            arena_run.user("hello")
            arena_store.save_metadata(arena_run.id, {"run_id": f"run-{n}"})
            assert arena_store.list_run_ids() == [arena_run.id]
        """
    )

    suite.run().assert_outcomes(passed=3)


def test_the_session_store_is_one_per_process_and_its_runs_get_no_verdict(suite: Suite, run_args: list[str]) -> None:
    suite.write(
        """
        import pytest

        @pytest.fixture(scope="session")
        def warmed_up(arena_session_store):
            arena_session_store.save({"id": "warm-up", "messages": [{"role": "user", "content": "are you there?"}]})
            return arena_session_store

        def test_it(warmed_up):
            assert warmed_up.load("warm-up").messages
            raise RuntimeError("broken")
        """
    )

    suite.run(*run_args).assert_outcomes(failed=1)

    run = suite.only_run()
    assert run.run_id == "warm-up"
    assert run.error == ""
    assert run.conversation_assertions.total == 0
    assert list(run.labels) == ["pytest.worker"]
    assert suite.rows["warm-up"]["status"] == "passed"


# --- deletion, names, hostile ids ----------------------------------------------------------


def test_what_is_deleted_leaves_the_report_and_is_counted(suite: Suite, run_args: list[str]) -> None:
    suite.write(
        """
        def save(store, *names):
            for name in names:
                store.save({"id": name, "messages": [{"role": "user", "content": name}]})

        def test_delete(arena_store):
            save(arena_store, "kept", "deleted")
            arena_store.delete("deleted")
            arena_store.delete("never there")

        def test_clear(arena_store):
            save(arena_store, "one", "two")
            arena_store.clear()
            save(arena_store, "two")
        """
    )

    result = suite.run(*run_args)

    assert suite.said() == {"kept": ["kept"], "two": ["two"]}
    assert suite.index["completeness"]["deleted"] == 3
    assert ", 3 deleted, " in suite.lines(result)[0]


def test_runs_with_one_id_all_get_a_digest(suite: Suite) -> None:
    """None is written over another, and each has the same name in every run of the suite."""
    suite.write(
        """
        import pytest

        @pytest.mark.parametrize("n", range(3))
        def test_it(arena_store, n):
            arena_store.save({"id": "same", "messages": [{"role": "user", "content": str(n)}]})
        """
    )

    suite.run("-p", "no:xdist")
    names = suite.index["run_ids"]
    suite.run("-n0")

    assert suite.index["run_ids"] == names
    assert len(set(names)) == 3
    for name, run in zip(names, suite.runs(), strict=True):
        stem, _, digest = name.partition("~")
        assert (stem, len(digest), run.run_id) == ("same", 8, "same")
        int(digest, 16)
    assert [run.messages[0].content for run in suite.runs()] == ["0", "1", "2"]


HOSTILE_IDS = [
    "../outside",
    "/etc/outside",
    "..",
    ".",
    ".hidden",
    "a/b",
    "a\\b",
    "C:\\windows",
    "index",
    "Index",
    "con",
    "NUL.txt",
    "case",
    "CASE",
    "x" * 5_000,
    "x" * 4_999 + "y",
    "gr\u00fc\u00dfe",
    "gru\u0308\u00dfe",
    "\u202egnp.exe",
    "new\nline",
    "nul\0byte",
    "trailing.",
    "trailing ",
    "-rf",
    "a~b",
    "%2e%2e%2f",
    "$(touch outside)",
]


def test_no_id_leads_out_of_the_results(suite: Suite, monkeypatch: pytest.MonkeyPatch, run_args: list[str]) -> None:
    """Ids come from models and from the web."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    suite.write(
        f"""
        import pytest

        IDS = {HOSTILE_IDS!r}

        @pytest.mark.parametrize("n", range(len(IDS)))
        def test_it(arena_store, n):
            arena_store.save({{"id": IDS[n], "messages": [{{"role": "user", "content": str(n)}}]}})
        """
    )
    before = everything(suite.path.parent)

    result = suite.run(*run_args, "-W", "error", "-p", "no:cacheprovider")

    result.assert_outcomes(passed=len(HOSTILE_IDS))
    assert {run.run_id: run.messages[0].content for run in suite.runs()} == {
        run_id: str(n) for n, run_id in enumerate(HOSTILE_IDS)
    }
    assert all(path.parent == suite.results for path in suite.results.rglob("*"))
    assert len({name.lower() for name in suite.files()}) == len(HOSTILE_IDS) + 1
    assert max(map(len, suite.files())) < 200
    assert not any(name.startswith(".") for name in suite.files())
    assert {path.parent for path in everything(suite.path.parent) - before} == {suite.results}


def everything(directory: Path) -> set[Path]:
    return {Path(parent, name) for parent, _, names in os.walk(directory) for name in names}


# --- bad input never changes how a test ends ------------------------------------------------


@pytest.mark.parametrize("outcome", ["passed", "failed"])
@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("taken", "'taken' is a file, not a directory"),
        ("taken/below", "so 'taken/below' cannot be made"),
        ("folder.json", "'folder.json' is a directory, not a file"),
        ("taken/x.jsonl", "so 'taken/x.jsonl' cannot be made"),
        ("/", "'/' has no name"),
        pytest.param(
            *("x" * 256, ": File name too long"),
            marks=pytest.mark.skipif(os.name == "nt", reason="Windows has other words for it"),
            id="long",
        ),
    ],
)
def test_results_that_cannot_be_written_change_no_outcome(
    suite: Suite,
    run_args: list[str],
    path: str,
    message: str,
    outcome: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    suite.path.joinpath("taken").write_text("mine", encoding="utf-8")
    suite.pytester.mkdir("folder.json")
    suite.write(README_EXAMPLE + ("    assert False" if outcome == "failed" else ""))

    result = suite.run(*run_args, "-W", "error", to=path)

    result.assert_outcomes(**{outcome: 1})
    assert result.ret == (pytest.ExitCode.OK if outcome == "passed" else pytest.ExitCode.TESTS_FAILED)
    first, last = suite.lines(result)
    assert message in first
    assert "1 run kept" in first
    assert last.startswith("arena: journals are kept; to make the report: arena-state recover ")
    assert last.endswith(" -o OUT")  # since the path that was wanted takes none
    journals = last.rpartition("recover ")[2].removesuffix(" -o OUT")
    assert (Path(journals) / "session.token").is_file()
    assert arena_state(["recover", journals, "-o", str(suite.path / "elsewhere")]) == 0
    assert len(suite.runs("elsewhere")) == 1
    assert suite.path.joinpath("taken").read_text(encoding="utf-8") == "mine"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
@pytest.mark.parametrize(
    ("path", "pipe"),
    [("pipe.json", "pipe.json"), ("pipe.jsonl", "pipe.jsonl"), ("x.jsonl", "x.index.json"), ("x", "x/index.json")],
)
def test_a_named_pipe_in_place_of_results_is_neither_read_nor_replaced(suite: Suite, path: str, pipe: str) -> None:
    """Whoever opens one waits until somebody writes into it, and nobody will."""
    place = suite.path / pipe
    place.parent.mkdir(exist_ok=True)
    os.mkfifo(place)
    suite.write(README_EXAMPLE)

    suite.load(xdist=False)
    result = suite.pytester.runpytest_subprocess(f"--arena-results={path}", timeout=60)

    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.OK
    assert f"is no file, so {path!r} cannot be replaced; 1 run kept" in suite.lines(result)[0]
    assert place.is_fifo()


def test_an_object_that_is_not_json_changes_no_outcome(suite: Suite, run_args: list[str]) -> None:
    suite.write(
        """
        import decimal, uuid

        class Odd:
            def __repr__(self):
                raise RuntimeError("not even this")

        loop = []
        loop.append(loop)
        ODD = {"object": Odd(), "set": {1}, "bytes": b"\\xff", "nan": float("nan"), "loop": loop,
               "deep": {3: "key"}, 4: "key", "lone": "\\ud800", "type": int, "function": len,
               "decimal": decimal.Decimal(1), "plain": "kept"}

        def test_it(arena_store, arena_run):
            arena_store.save({"id": "odd", "metadata": ODD, "messages": [
                {"role": "user", "content": "hello", "meta": ODD}]})
            arena_store.save_metadata("odd", {"run_id": "odd", "params": ODD})
            arena_run.assistant("hi", meta=ODD)
            arena_run.check("odd", True, details=ODD)
            arena_run.param("odd", Odd())
        """
    )

    result = suite.run(*run_args, "-W", "error")

    result.assert_outcomes(passed=1)
    assert result.ret == 0
    odd = suite.run_named("odd")
    assert odd.params["plain"] == "kept"
    assert odd.messages[0].meta["plain"] == "kept"
    troubles = suite.index["completeness"]["troubles"]
    assert any("params" in kind for kind in troubles), troubles
    assert len(suite.lines(result)) > 1


def test_a_deprecated_name_is_the_only_thing_that_warns(suite: Suite) -> None:
    suite.write(
        """
        def test_old(arena_store):
            arena_store.save_run_metadata("a", {"run_id": "a"})

        def test_new(arena_store):
            arena_store.save_metadata("a", {"run_id": "a"})
        """
    )

    suite.run("-W", "error").assert_outcomes(passed=1, failed=1)


# --- what is left out -----------------------------------------------------------------------


@pytest.mark.parametrize("keep", [False, True])
def test_raw_requests_are_written_on_demand_alone(suite: Suite, run_args: list[str], keep: bool) -> None:
    """They are large, and hold what the redaction rules know nothing of. The store has them."""
    suite.write(
        """
        def test_it(arena_store):
            state = {"id": "a", "messages": [{"role": "assistant", "content": "hi"}]}
            call = {"sequence": 1, "message_index": 0, "request": {"raw": "asked"}, "raw_response": {"raw": "said"}}
            arena_store.save_with_trace(state, {"llm_calls": [call]})
            assert "asked" in str(arena_store.load("a").messages[0].meta)
        """
    )

    suite.run(*run_args, *(["--arena-raw"] if keep else [])).assert_outcomes(passed=1)

    meta = str(suite.only_run().messages[0].meta)
    assert ("asked" in meta, "said" in meta) == (keep, keep)
    assert "_llm_trace" in meta
    counted = {} if keep else {"raw LLM requests and responses": 2}
    assert suite.index["completeness"]["redacted"] == counted


def test_raw_requests_are_left_out_whatever_way_they_came(suite: Suite) -> None:
    suite.write(
        """
        from pytest_arena_state import ConversationState, Message

        RAW = {"_llm_raw_request": "asked"}

        def plain(name):
            return ConversationState(id=name, messages=[Message(role="assistant", content="hi")])

        def test_with_the_first_save(arena_store):
            arena_store.save({"id": "first", "messages": [{"role": "assistant", "content": "hi", "meta": RAW}]})

        def test_added_in_place(arena_store):
            state = plain("edited")
            arena_store.save(state)
            state.messages[0].meta = dict(RAW)
            arena_store.save(state)

        def test_appended(arena_store):
            arena_store.save(plain("appended"))
            arena_store.log_append("appended", 1, [Message(role="assistant", content="hi", meta=RAW)])

        def test_copied(arena_store):
            state = plain("original")
            arena_store.save(state)
            state.messages[0].meta = dict(RAW)
            arena_store.save(state)
            arena_store.fork("original", "copy")

        def test_by_a_trace(arena_store):
            arena_store.save(plain("traced"))
            call = {"sequence": 1, "message_index": 0, "request": "asked"}
            arena_store.save_with_trace(plain("traced"), {"llm_calls": [call]})

        def test_with_the_last_message(arena_store):
            arena_store.save(plain("updated"))
            arena_store.update_last_assistant_message({"role": "assistant", "content": "hi", "meta": RAW})

        def test_with_the_recorder(arena_run):
            arena_run.assistant("hi", meta=RAW)
        """
    )

    suite.run().assert_outcomes(passed=7)

    assert len(suite.index["runs"]) == 7
    for path in suite.results.iterdir():
        assert "asked" not in path.read_text(encoding="utf-8"), path.name
    assert suite.index["completeness"]["redacted"] == {"raw LLM requests and responses": 7}


def test_what_the_ini_file_names_is_redacted(suite: Suite, run_args: list[str]) -> None:
    suite.pytester.makeini("[pytest]\narena_redact =\n    ACME-[0-9]+\n    tea leaf")
    suite.write(
        """
        import pytest

        @pytest.mark.arena(labels={"customer": "ACME-7"})
        def test_it(arena_run):
            arena_run.user("I am ACME-42, and this is a tea leaf")
            arena_run.param("customer", "ACME-42")
            raise RuntimeError("ACME-42 is not known")
        """
    )

    suite.run(*run_args)

    contents = b"".join(suite.files().values())
    assert b"ACME-" not in contents
    assert b"tea leaf" not in contents
    assert suite.index["completeness"]["redacted"]


def test_what_is_redacted_in_a_tools_name_is_no_key_of_the_report(suite: Suite, run_args: list[str]) -> None:
    """What a report derives from its messages, it derives from what is written of them."""
    suite.pytester.makeini("[pytest]\narena_redact =\n    ACME-[0-9]+")
    suite.write(
        """
        import pytest

        @pytest.mark.parametrize("n", range(2))
        def test_it(arena_run, n):
            arena_run.tool_call(f"look_up_ACME-{n}", {})
            if n:
                arena_run.tool_call("refund", {})
        """
    )

    suite.run(*run_args)

    assert b"ACME-" not in b"".join(suite.files().values())
    clean = "look_up_[redacted:arena_redact[0]]"
    assert [run.tool_stats and run.tool_stats.by_tool for run in suite.runs()] == [{clean: 1}, {clean: 1, "refund": 1}]


def test_a_pattern_for_dates_leaves_a_report_that_can_be_read(suite: Suite, run_args: list[str]) -> None:
    """Dates of birth are hidden, and when things were said is not."""
    suite.pytester.makeini("[pytest]\narena_redact =\n    [0-9]{4}-[0-9]{2}-[0-9]{2}")
    suite.write("def test_it(arena_run):\n    arena_run.user('I was born on 1970-01-02')")

    suite.run(*run_args)

    run = suite.only_run()
    assert run.messages[0].content == "I was born on [redacted:arena_redact[0]]"
    assert run.messages[0].timestamp is not None
    assert run.start_time is not None
    assert suite.index["completeness"]["redacted"] == {"arena_redact[0]": 1}


def test_a_pattern_for_a_word_of_the_format_leaves_a_report_that_counts(suite: Suite, run_args: list[str]) -> None:
    """Names of users are hidden, and not who speaks or how a run went."""
    suite.pytester.makeini("[pytest]\narena_redact =\n    user\\w*\n    pass\\w*|fail\\w*\n    [0-9]+\n    out\\w+")
    suite.write(
        """
        def test_it(arena_run):
            arena_run.user('I am user_7, and my password is passé')

        def test_fails(arena_run):
            arena_run.user('hello')
            assert 'user' == 'failure'
        """
    )

    result = suite.run(*run_args)

    assert "arena: 2 runs (1 passed, 1 failed)" in suite.lines(result)[0]
    assert (suite.index["successful"], suite.index["errors"]) == (1, 1)
    failed, passed = suite.runs()
    assert passed.messages[0].role == "user"
    assert passed.messages[0].content == "I am [redacted:arena_redact[0]], and my {0} is {0}".format(
        "[redacted:arena_redact[1]]"
    )
    assert {key: failed.labels[key] for key in ("pytest.outcome", "pytest.attempt")} == {
        "pytest.outcome": "failed",
        "pytest.attempt": "1",
    }
    assert arena_state(["validate", str(suite.results)]) == 0


REDACTED_ALIKE = """
import os
import pytest

@pytest.mark.parametrize("who", ["customer-1", "customer-2", "customer-3", "nobody"])
def test_it(arena_store, arena_run, who):
    arena_run.user(f"I am number {who[-1]}")
    arena_store.save({"id": "customer-8", "messages": [{"role": "user", "content": "first"}]})
    arena_store.save({"id": "customer-9", "messages": [{"role": "user", "content": "second"}]})
    if who == "nobody":
        os._exit(1)
"""


@pytest.mark.parametrize("far", [False, True])
def test_what_is_redacted_alike_stays_apart_when_a_process_dies(
    suite: Suite, request: pytest.FixtureRequest, far: bool
) -> None:
    """The customer's name in the id of a test must not cost the runs of other customers."""
    if far:
        request.getfixturevalue("far_workers")
    suite.pytester.makeini("[pytest]\narena_redact =\n    customer-[0-9]")
    suite.write(REDACTED_ALIKE)

    suite.run_apart("-n1")

    said = [run.messages[0].content for run in suite.runs()]
    assert sorted(said) == sorted(
        ["I am number 1", "I am number 2", "I am number 3", "I am number y", *["first", "second"] * 4]
    )
    assert not any(row["superseded"] for row in suite.index["runs"])
    assert b"customer-" not in b"".join(suite.files().values())


@pytest.mark.parametrize("to", ["arena-results", "out.jsonl"])
def test_an_attempt_supersedes_none_of_a_test_that_is_redacted_alike(
    suite: Suite, run_args: list[str], to: str
) -> None:
    suite.pytester.makeini("[pytest]\narena_redact =\n    customer-[0-9]")
    again = 'pytest.param("customer-2", marks=pytest.mark.flaky(reruns=1))'
    suite.write(
        f"""
        import pytest

        ATTEMPTS = []

        @pytest.mark.parametrize("who", ["customer-1", {again}, "customer-3"])
        def test_it(arena_run, who):
            arena_run.user(who[-1])
            ATTEMPTS.append(who)
            assert who == "customer-1" or ATTEMPTS.count(who) == 2
        """
    )

    suite.run(*run_args, to=to, plugins=["rerunfailures"])

    index = read_index(suite.path / to)
    runs = [(run.messages[0].content, row.superseded) for run, row in zip(suite.runs(to), index.runs, strict=True)]
    assert sorted(runs) == [("1", False), ("2", False), ("2", True), ("3", False)]
    assert (index.successful, index.errors) == (2, 1)


@pytest.mark.parametrize(("changes", "told"), [(1, "1 change came"), (2, "2 changes came")])
def test_changes_after_the_end_are_counted(suite: Suite, changes: int, told: str) -> None:
    suite.pytester.makeconftest(
        f"""
        stores = []

        def pytest_terminal_summary():
            for n in range({changes}):
                stores[0].save({{"id": f"late {{n}}", "messages": []}})
        """
    )
    suite.write("from conftest import stores\n\ndef test_it(arena_store): stores.append(arena_store)\n")

    result = suite.run("-p", "no:xdist")

    end = "is lost" if changes == 1 else "are lost"
    assert suite.lines(result)[1] == f"arena: {told} after the end of the session, and {end}"


# --- edits in place -------------------------------------------------------------------------


def test_every_edit_of_an_earlier_message_is_in_the_report(suite: Suite) -> None:
    """A suite edits what it holds, saves again, and must not find yesterday's words."""
    suite.write(
        """
        from datetime import datetime, timedelta, timezone
        from pytest_arena_state import ContentPart, CostInfo, Message, MessageValidation, ToolCall, ToolResult
        from pytest_arena_state import ConversationState, MediaContent

        EDITS = {
            "role": lambda m: setattr(m, "role", "assistant"),
            "content": lambda m: setattr(m, "content", "EDITED"),
            "meta": lambda m: m.meta.__setitem__("key", "EDITED"),
            "deep": lambda m: m.meta["a"]["b"][0].__setitem__("c", "EDITED"),
            "list": lambda m: m.meta["a"]["b"].append("EDITED"),
            "cost": lambda m: setattr(m.cost_info, "provider_name", "EDITED"),
            "call": lambda m: setattr(m.tool_calls[0], "name", "EDITED"),
            "args": lambda m: m.tool_calls[0].args["x"].append("EDITED"),
            "calls": lambda m: m.tool_calls.append(ToolCall(id="2", name="EDITED", args={})),
            "part": lambda m: setattr(m.parts[0], "text", "EDITED"),
            "validation": lambda m: m.validations[0].details.__setitem__("x", "EDITED"),
        }

        def message():
            return Message(
                role="user", content="", meta={"a": {"b": [{"c": 1}]}}, cost_info=CostInfo(input_tokens=1),
                tool_calls=[ToolCall(id="1", name="n", args={"x": [1]})], parts=[ContentPart(type="text", text="t")],
                validations=[MessageValidation(validator_type="v", passed=True, details={"x": "y"})],
            )

        def test_it(arena_store):
            for name, edit in EDITS.items():
                state = ConversationState(id=name, messages=[message(), message()])
                arena_store.save(state)
                before = arena_store.load(name)
                state.messages.append(Message(role="user", content="more"))
                edit(state.messages[0])
                arena_store.save(state)
                assert before.messages[0] != arena_store.load(name).messages[0], name
                assert before.messages[1] == arena_store.load(name).messages[1], name
        """
    )

    suite.run("-p", "no:xdist").assert_outcomes(passed=1)

    for run in suite.runs():
        edited, other, more = [message.to_json() for message in run.messages]
        assert edited != other, run.run_id
        assert "EDITED" in edited or run.run_id == "role"
        assert "EDITED" not in other + more


def test_load_results_is_what_the_readme_says(suite: Suite) -> None:
    suite.write(README_EXAMPLE)
    suite.run()

    (run,) = load_results(suite.results)

    assert run.messages[-1].content == "Of course. Within 30 days."
    assert run.cost.total_cost_usd == 0.0004


def test_a_conftest_may_put_its_own_store_around_ours(suite: Suite, run_args: list[str]) -> None:
    """The fixtures of a session that writes results are others than those of one that does not."""
    suite.pytester.makeconftest(
        """
import pytest

@pytest.fixture
def arena_store(arena_store):
    arena_store.save({"id": "from the conftest", "messages": [{"role": "user", "content": "first"}]})
    return arena_store
"""
    )
    suite.write("def test_it(arena_run): arena_run.user('second')")

    suite.run(*run_args).assert_outcomes(passed=1)

    assert {run.run_id: [m.content for m in run.messages] for run in load_results(suite.results)} == {
        "from the conftest": ["first"],
        "test_suite.py::test_it": ["second"],
    }


def test_a_store_asked_for_in_another_thread_is_that_of_the_test(suite: Suite) -> None:
    """Some plugins make fixtures, or run tests, in threads of their own."""
    suite.write(
        """
import threading

def test_it(request):
    found = []
    thread = threading.Thread(target=lambda: found.append(request.getfixturevalue("arena_run")))
    thread.start()
    thread.join()
    found[0].user("hello")
"""
    )

    suite.run("-p", "no:xdist").assert_outcomes(passed=1)

    (run,) = load_results(suite.results)
    assert (run.run_id, run.labels["pytest.nodeid"]) == ("test_suite.py::test_it",) * 2


# --- what is asked for in a wrong way ----------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-o", "arena_redact=[", "--arena-results=out"], "arena_redact: '[' is not a regular expression"),
        (["--arena-html=report.html"], "--arena-html goes with --arena-results"),
        (["--arena-markdown=report.md"], "--arena-markdown goes with --arena-results"),
        (["--arena-baseline=before"], "--arena-baseline goes with --arena-results"),
        (["--arena-results=out", "--arena-html=s3://bucket/a.html"], "--arena-html: a report is written to a disk"),
        (
            ["--arena-results=out", "--arena-markdown=s3://bucket/a.md"],
            "--arena-markdown: a report is written to a disk",
        ),
        (
            ["--arena-results=out.jsonl", "--arena-html=./out.jsonl"],
            "--arena-html: './out.jsonl' is the file of the results; choose another one",
        ),
        (
            ["--arena-results=out", "--arena-markdown=out/index.json"],
            "--arena-markdown: 'out/index.json' is the file of the results",
        ),
        (
            ["--arena-results=out", "--arena-html=report", "--arena-markdown=report"],
            "--arena-markdown: 'report' is the file of --arena-html",
        ),
    ],
)
def test_what_cannot_be_done_is_said_before_the_first_test(suite: Suite, arguments: list[str], said: str) -> None:
    suite.write("def test_it():\n    pass\n")
    suite.load(xdist=False)

    result = suite.pytester.runpytest(*arguments)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: *{said.replace('[', '[[]')}*"])
    assert not list(suite.path.glob("out*"))


def test_a_path_may_begin_at_home(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell does not say where that is behind an equals sign."""
    monkeypatch.setenv("HOME", str(suite.path / "home"))
    monkeypatch.setenv("USERPROFILE", str(suite.path / "home"))
    suite.write("def test_it(arena_run):\n    arena_run.user('hello')\n")

    (suite.path / "home").mkdir()
    (suite.path / "home" / "prices.toml").write_text("[[price]]\nmodel = '*'\ninput = 1\noutput = 1\n")

    suite.run("-n0", to="~/before").assert_outcomes(passed=1)
    reports = ("--arena-html=~/report.html", "--arena-markdown=~/report.md", "--arena-baseline=~/before")
    suite.run("-n0", *reports, "--arena-prices=~/prices.toml", to="~/out").assert_outcomes(passed=1)

    home = suite.path / "home"
    assert sorted(path.name for path in home.iterdir()) == ["before", "out", "prices.toml", "report.html", "report.md"]
    assert "Against `~/before`" in (home / "report.md").read_text(encoding="utf-8")
    assert not (suite.path / "~").exists()


def test_a_home_that_nobody_knows_ends_no_suite(suite: Suite) -> None:
    suite.write("def test_it(arena_run):\n    arena_run.user('hello')\n")

    suite.run("-n0", "--arena-markdown=~nobody-of-this-name/a.md", to="~nobody-of-this-name/out").assert_outcomes(
        passed=1
    )

    assert (suite.path / "~nobody-of-this-name" / "out" / "index.json").exists()


def test_a_marker_of_the_same_name_may_be_somebody_elses(suite: Suite) -> None:
    """The plugin is there in every suite of whoever has it installed."""
    suite.write("import pytest\n@pytest.mark.arena('small')\ndef test_it():\n    pass\n")
    suite.load(xdist=False)

    suite.pytester.runpytest().assert_outcomes(passed=1)
    assert "positional arguments" in suite.run("-p", "no:xdist").stdout.str()


@pytest.mark.parametrize("options", [[], ["--arena-results=out"], ["--arena-capture", "--arena-results=out"]])
@pytest.mark.parametrize("phase", ["set-up", "tear-down"])
def test_no_traceback_of_a_test_shows_this_plugin(suite: Suite, options: list[str], phase: str) -> None:
    when = "raise OSError('no server')\n    yield" if phase == "set-up" else "yield\n    raise OSError('no server')"
    suite.pytester.makeconftest(f"import pytest\n\n@pytest.fixture\ndef server():\n    {when}\n")
    suite.write("import pytest\n@pytest.mark.arena(max_tokens=5)\ndef test_it(server, arena_run):\n    pass\n")
    suite.load(xdist=False)

    text = suite.pytester.runpytest(*options).stdout.str()

    assert "no server" in text
    assert "pytest_arena_state" not in text


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="names of files are text there")
@pytest.mark.parametrize("ending", ["", ".jsonl"])
def test_a_path_may_have_bytes_that_are_no_text(suite: Suite, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders have names from before the machine spoke UTF-8, or the locale is not that of the names."""
    name = os.fsdecode(b"r\xe9sultats") + ending
    suite.write(
        "import os\ndef test_it(arena_run):\n    arena_run.user('hello')\n    'DIE' in os.environ and os._exit(1)"
    )

    whole = suite.run("-p", "no:xdist", to=name)
    monkeypatch.setenv("DIE", "1")
    suite.run_apart("-p", "no:xdist", to=f"dead-{name}")
    recovered = arena_state(["recover", f"dead-{name}"])
    merged = arena_state(["merge", name, f"dead-{name}", "-o", f"all-{name}"])

    whole.assert_outcomes(passed=1)
    assert (recovered, merged) == (0, 0)
    assert [run.messages[0].content for run in suite.runs(f"all-{name}")] == ["hello", "hello"]
    assert not list(suite.path.glob("*.journals"))
