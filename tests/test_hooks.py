"""The hooks that the plugin offers: change a run, and hear of the results."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Suite

TWO_TESTS = """
def test_one(arena_store):
    for name in ("a", "b"):
        arena_store.save({"id": name, "messages": [
            {"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}]})

def test_two(arena_run, arena_session_store):
    arena_run.user("hello")
    arena_session_store.save({"id": "session", "messages": []})
    assert 1 == 2
"""


def test_a_run_can_be_changed_in_place(suite: Suite, run_args: list[str]) -> None:
    suite.write(TWO_TESTS)
    suite.pytester.makeconftest(
        """
        from pytest_arena_state import CostInfo, Message

        def pytest_arena_run(config, run):
            assert "pytest.outcome" in run.labels
            run.labels["team"] = "tea"
            run.params["rootdir"] = config.rootpath.name
            run.scenario_id = "changed"
            if run.run_id == "a":
                run.messages[1].content = "changed"
                run.messages.append(Message(role="user", content="added"))
                run.region = "eu"
            if run.run_id == "b":
                del run.messages[0]
                run.error = "not good enough"
        """
    )

    suite.run(*run_args).assert_outcomes(passed=1, failed=1)

    assert suite.said() == {
        "a": ["hello", "changed", "added"],
        "b": ["hi"],
        "session": [],
        "test_suite.py::test_two": ["hello"],
    }
    of_tests = [run for run in suite.runs() if run.run_id != "session"]
    assert [run.labels["team"] for run in of_tests] == ["tea"] * 3
    assert [run.params["rootdir"] for run in of_tests] == [suite.path.name] * 3
    rows = suite.rows
    assert [rows["a"][key] for key in ("scenario_id", "region", "status")] == ["changed", "eu", "passed"]
    assert rows["b"]["status"] == "error"
    assert suite.index["scenarios"] == ["changed"]


def test_a_run_id_that_a_hook_changed_is_the_name_of_its_file(suite: Suite) -> None:
    suite.write(TWO_TESTS)
    suite.pytester.makeconftest('def pytest_arena_run(run):\n    run.run_id = f"nightly-{run.run_id[:1]}"')

    suite.run()

    assert sorted(suite.files()) == ["index.json", "nightly-a.json", "nightly-b.json", "nightly-t.json", "session.json"]


def test_it_is_called_once_for_each_run_where_the_test_ran(suite: Suite, run_args: list[str]) -> None:
    suite.write(TWO_TESTS)
    suite.pytester.makeconftest(
        """
        import json, os

        def pytest_arena_run(config, run):
            worker = getattr(config, "workerinput", {}).get("workerid", "main")
            with open("calls.jsonl", "a") as stream:
                labels = run.labels
                call = [run.run_id, worker, labels["pytest.worker"], labels["pytest.outcome"]]
                stream.write(json.dumps(call) + "\\n")
        """
    )

    suite.run(*run_args)

    calls = sorted(json.loads(line) for line in (suite.path / "calls.jsonl").read_text(encoding="utf-8").splitlines())
    assert [(run_id, outcome) for run_id, _, _, outcome in calls] == [
        ("a", "passed"),
        ("b", "passed"),
        ("test_suite.py::test_two", "failed"),
    ]
    assert all(ran_in == labelled for _, ran_in, labelled, _ in calls)


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("raise OSError('sorry')", "OSError: sorry"),
        ("assert not 'sorry'", "AssertionError: assert not 'sorry'"),
        ("pytest.fail('sorry')", "RuntimeError: Failed: sorry"),
        ("pytest.skip('sorry')", "RuntimeError: Skipped: sorry"),
        ("pytest.exit('sorry')", "Exit: sorry"),
    ],
)
def test_what_it_raises_is_counted_and_changes_no_outcome(
    suite: Suite, run_args: list[str], statement: str, named: str
) -> None:
    suite.write(TWO_TESTS)
    suite.pytester.makeconftest(
        f"import pytest\ndef pytest_arena_run(run):\n    run.labels['half'] = 'done'\n    {statement}"
    )

    result = suite.run(*run_args, "-W", "error")

    result.assert_outcomes(passed=1, failed=1)
    assert suite.index["completeness"]["troubles"] == {f"pytest_arena_run raised {named}": 3}
    assert f"arena: pytest_arena_run raised {named} (3 times)" in suite.lines(result)
    assert len(suite.runs()) == 4
    assert not any("half" in run.labels for run in suite.runs())


def test_a_change_that_cannot_be_written_is_counted(suite: Suite) -> None:
    suite.write("def test_it(arena_run):\n    arena_run.user('hello')")
    suite.pytester.makeconftest("def pytest_arena_run(run):\n    run.messages = [object()]")

    result = suite.run("-W", "error")

    result.assert_outcomes(passed=1)
    assert suite.said() == {"test_suite.py::test_it": ["hello"]}
    assert any("pytest_arena_run raised" in line for line in suite.lines(result))


def test_a_run_that_was_recovered_does_not_get_it(suite: Suite) -> None:
    """The process that knew how its test ended is gone."""
    suite.write("import os\ndef test_it(arena_run):\n    arena_run.user('hello')\n    os._exit(1)")
    suite.pytester.makeconftest("def pytest_arena_run(run):\n    run.labels['touched'] = 'yes'")

    suite.run_apart("-n2")

    assert "touched" not in suite.only_run().labels


def test_what_a_hook_adds_is_redacted_like_everything(suite: Suite) -> None:
    secret = "sk-" + "F4kE" * 12
    suite.write("def test_it(arena_run):\n    arena_run.user('hello')")
    suite.pytester.makeconftest(
        f"def pytest_arena_run(run):\n    run.labels['key'] = {secret!r}\n    run.messages[0].content = {secret!r}"
    )

    suite.run()

    assert not [name for name, content in suite.files().items() if secret.encode() in content]
    assert "[redacted:openai-key]" in suite.only_run().messages[0].content


# --- results --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["arena-results", "out.jsonl", "out.json"])
def test_who_wants_to_know_of_the_results_is_told_once(suite: Suite, run_args: list[str], path: str) -> None:
    suite.write(TWO_TESTS)
    suite.pytester.makeconftest(
        """
        from pytest_arena_state import load_results

        def pytest_arena_results(config, path, index):
            assert not hasattr(config, "workerinput")
            with open("told.txt", "a") as stream:
                runs = len(load_results(path))
                stream.write(f"{path.is_absolute()} {path.name} {index.total_runs} {runs} {index.runs[0].run_id}\\n")
        """
    )

    suite.run(*run_args, to=path)

    told = (suite.path / "told.txt").read_text(encoding="utf-8")
    assert told == f"True {path} 4 4 session\n"


@pytest.mark.parametrize("statement", ["raise OSError", "pytest.fail('sorry')", "pytest.exit('sorry')"])
def test_a_text_whose_redaction_fails_is_withheld_and_the_test_goes_on(suite: Suite, statement: str) -> None:
    suite.write("def test_it(arena_run):\n    arena_run.user('a private word')\n    arena_run.user('hello')")
    suite.pytester.makeconftest(
        f"import pytest\ndef pytest_arena_redact(text):\n    if 'private' in text:\n        {statement}"
    )

    suite.run("-W", "error").assert_outcomes(passed=1)

    assert not [name for name, content in suite.files().items() if b"private" in content]
    assert suite.only_run().messages[1].content == "hello"


def test_a_failure_of_who_was_told_is_named_and_changes_no_outcome(suite: Suite, run_args: list[str]) -> None:
    suite.write("def test_it(arena_run):\n    arena_run.user('hello')")
    suite.pytester.makeconftest(
        "def pytest_arena_results(index):\n    index.runs.clear()\n    raise OSError('no network')"
    )

    result = suite.run(*run_args)

    result.assert_outcomes(passed=1)
    assert result.ret == 0
    assert "arena: pytest_arena_results raised OSError: no network" in suite.lines(result)
    assert suite.lines(result)[0].startswith("arena: 1 run (1 passed), ")
    assert len(suite.runs()) == 1


def test_nobody_is_told_of_results_that_were_not_written(suite: Suite) -> None:
    suite.path.joinpath("taken").touch()
    suite.write("def test_it(arena_run):\n    arena_run.user('hello')")
    suite.pytester.makeconftest("def pytest_arena_results():\n    open('told.txt', 'w')")

    suite.run(to="taken").assert_outcomes(passed=1)

    assert not (suite.path / "told.txt").exists()


def test_hooks_of_a_conftest_that_is_found_while_tests_are_collected_are_asked(
    suite: Suite, run_args: list[str]
) -> None:
    """pytest loads few of them when it begins; what one of them redacts must not depend on workers."""
    folder = suite.pytester.mkpydir("evals") / "deeper"
    folder.mkdir()
    (folder / "conftest.py").write_text(
        """
def pytest_arena_redact(config, text):
    return text.replace("4711", "####")

def pytest_arena_run(config, run):
    run.session_tags = ["seen"]
""",
        encoding="utf-8",
    )
    (folder / "test_it.py").write_text("def test_it(arena_run):\n    arena_run.user('id 4711')\n", encoding="utf-8")

    suite.run(*run_args).assert_outcomes(passed=1)

    run = suite.only_run()
    assert (run.messages[0].content, run.session_tags) == ("id ####", ["seen"])


@pytest.mark.parametrize("statement", ["pytest.fail('too dear')", "pytest.skip('not now')"])
def test_an_outcome_that_a_hook_raises_when_it_is_told_of_results_is_named(suite: Suite, statement: str) -> None:
    suite.write(TWO_TESTS)
    suite.pytester.makeconftest(f"import pytest\ndef pytest_arena_results(config, path, index):\n    {statement}\n")

    result = suite.run("-n0")

    result.assert_outcomes(passed=1, failed=1)
    assert any("pytest_arena_results raised RuntimeError" in line for line in suite.lines(result))
