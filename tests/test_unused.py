"""Installed and not used, the plugin is not there; with its fixtures alone it is in memory only."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Suite

PLAIN = """
import atexit, json, sys

def test_it():
    pass

def write_down():
    with open("modules.json", "w") as stream:
        json.dump(sorted(sys.modules), stream)

atexit.register(write_down)
"""
OF_PYTESTER = {"__pycache__", "runpytest-0", "runpytest-current", "stderr", "stdout", "test_suite.py"}
SAVES = """
import pytest

@pytest.mark.arena(scenario_id="s", labels={"a": "b"})
def test_it(arena_store, arena_session_store, arena_run):
    arena_run.user("hello")
    arena_run.assistant("hi")
    for store in (arena_store, arena_session_store):
        store.save({"id": "a", "messages": [{"role": "user", "content": "hello"}]})
        store.save_metadata("a", {"run_id": "a"})
        assert store.get_result("a").messages[0].content == "hello"
    assert arena_run.id == "test_suite.py::test_it"
"""


def modules_after(suite: Suite, *args: str) -> set[str]:
    suite.pytester.runpytest_subprocess(*args).assert_outcomes(passed=1)
    return set(json.loads((suite.path / "modules.json").read_text(encoding="utf-8")))


@pytest.mark.parametrize("mode", ["alone", "-n0"])
def test_a_run_that_does_not_use_the_plugin_imports_nothing_for_it(suite: Suite, mode: str) -> None:
    """Everyone who has it installed would pay for it in every run."""
    suite.write(PLAIN)
    args = ["-n0"] if mode == "-n0" else []

    suite.load(xdist=mode == "-n0", ours=False)
    without = modules_after(suite, "-p", "no:arena_state", *args)
    suite.load(xdist=mode == "-n0")
    installed = modules_after(suite, *args)

    assert without - installed == set()
    assert installed - without == {
        "pytest_arena_state",
        "pytest_arena_state.hookspecs",
        "pytest_arena_state.plugin",
    }


def test_a_run_that_does_not_use_the_plugin_leaves_nothing(suite: Suite, run_args: list[str]) -> None:
    suite.write("def test_it():\n    pass")

    result = suite.pytester.runpytest_subprocess(*run_args, "-p", "no:cacheprovider", "-W", "error")

    result.assert_outcomes(passed=1)
    assert "arena:" not in result.stdout.str() + result.stderr.str()
    assert {path.name for path in suite.path.iterdir()} <= OF_PYTESTER


def test_fixtures_alone_stay_in_memory(suite: Suite, run_args: list[str]) -> None:
    """A suite that uses them passes anywhere, whether or not somebody wants results."""
    suite.write(SAVES)

    result = suite.pytester.runpytest_subprocess(*run_args, "-p", "no:cacheprovider", "-W", "error")

    result.assert_outcomes(passed=1)
    assert "arena:" not in result.stdout.str() + result.stderr.str()
    assert {path.name for path in suite.path.iterdir()} <= OF_PYTESTER


def test_fixtures_alone_load_no_journal(suite: Suite) -> None:
    suite.write(PLAIN + SAVES.replace("test_it", "test_saves"))
    suite.load(xdist=False)

    suite.pytester.runpytest_subprocess().assert_outcomes(passed=2)

    modules = json.loads((suite.path / "modules.json").read_text(encoding="utf-8"))
    assert "pytest_arena_state.store" in modules
    assert not {"pytest_arena_state.journal", "pytest_arena_state.results", "filelock"} & set(modules)


def test_what_locks_results_is_not_there_while_tests_run(suite: Suite) -> None:
    """From 4.2 on, filelock looks at all that its process does, and refuses forks of two threads at one time."""
    suite.write("import sys\n\ndef test_it(arena_run):\n    assert 'filelock' not in sys.modules\n")

    suite.run_apart("-p", "no:xdist").assert_outcomes(passed=1)


def test_results_alone_load_no_capture(suite: Suite) -> None:
    """Who does not ask for capture does not pay for it; what a store takes by itself needs none of it."""
    suite.write(PLAIN + SAVES.replace("test_it", "test_saves"))
    suite.load(xdist=False)

    suite.pytester.runpytest_subprocess("--arena-results=arena-results").assert_outcomes(passed=2)

    modules = json.loads((suite.path / "modules.json").read_text(encoding="utf-8"))
    assert "pytest_arena_state.journal" in modules
    assert not [name for name in modules if name.startswith("pytest_arena_state.observing")]
    assert "pytest_arena_state._capturing" not in modules


LIBRARIES = (
    *("agents", "anthropic", "google.genai", "langchain_core", "langgraph", "litellm", "mcp", "openai"),
    *("opentelemetry", "pydantic_ai"),
)


@pytest.mark.parametrize("args", [[], ["--arena-capture"], ["--arena-capture", "--arena-results=arena-results"]])
def test_no_library_is_imported_that_the_suite_does_not_import(suite: Suite, args: list[str]) -> None:
    """Not by the plugin, not by `add`, and not by capture, whatever is installed."""
    suite.write(PLAIN + "def test_add(arena_run):\n    arena_run.add([{'role': 'user', 'content': 'hi'}])\n")
    suite.load(xdist=False)

    suite.pytester.runpytest_subprocess(*args).assert_outcomes(passed=2)

    modules = set(json.loads((suite.path / "modules.json").read_text(encoding="utf-8")))
    assert "pytest_arena_state.capture.openai_chat" in modules
    assert modules.isdisjoint(LIBRARIES)


def test_the_plugin_is_found_by_itself_and_can_be_switched_off_by_name(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite.write("def test_it(arena_store):\n    pass")
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    suite.load(xdist=False, ours=False)

    suite.pytester.runpytest_subprocess("-p", "no:xdist").assert_outcomes(passed=1)
    result = suite.pytester.runpytest_subprocess("-p", "no:xdist", "-p", "no:arena_state")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'arena_store' not found*"])


def test_the_fixtures_and_the_marker_are_documented(suite: Suite) -> None:
    """`pytest --fixtures` and `pytest --markers` are where people look."""
    fixtures = suite.pytester.runpytest("--fixtures", "-q").stdout.str()
    markers = suite.pytester.runpytest("--markers").stdout.str()
    options = suite.pytester.runpytest("--help").stdout.str()

    for name in ("arena_store", "arena_session_store", "arena_run"):
        assert f"\n{name}" in fixtures
    assert "@pytest.mark.arena(**metadata)" in markers
    assert "--arena-results=PATH" in options
    assert "arena_results (string)" in options
