"""The example suite, which is the first thing that people run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Suite

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def example_suite(suite: Suite) -> Suite:
    """A copy of it: it says that it can be copied anywhere."""
    shutil.copytree(EXAMPLES, suite.path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "arena-*"))
    return suite


def test_the_examples_succeed_and_leave_sixteen_runs(example_suite: Suite, run_args: list[str]) -> None:
    result = example_suite.run_apart(*run_args, "-W", "error")

    assert result.ret == 0
    index = example_suite.index
    assert (index["total_runs"], index["successful"], index["errors"]) == (16, 15, 1)
    assert index["completeness"]["troubles"] == {}
    workers = "2 workers, " if run_args == ["-n2"] else ""
    (line,) = example_suite.lines(result)
    assert line.startswith("arena: 16 runs (15 passed, 1 failed), ")
    assert line.endswith(f", 1 failed by its checks alone, {workers}0 lost -> arena-results/index.json")


def test_the_examples_are_the_same_however_they_are_run(example_suite: Suite) -> None:
    for name, args in {"alone": ("-p", "no:xdist"), "n0": ("-n0",), "n2": ("-n2",)}.items():
        example_suite.run(*args, to=name)

    alone = example_suite.files("alone")
    assert len(alone) == 17
    assert example_suite.files("n0") == alone
    assert example_suite.files("n2") == alone


def test_the_examples_show_what_a_run_can_hold(example_suite: Suite) -> None:
    example_suite.run("-p", "no:xdist")
    runs = example_suite.runs()

    assert {run.labels["pytest.outcome"] for run in runs} == {"passed", "xfailed"}
    assert any(run.tool_stats for run in runs)
    assert any(run.self_play for run in runs)
    assert any(part.media for run in runs for message in run.messages for part in message.parts)
    assert any(message.validations for run in runs for message in run.messages)
    assert any(run.user_feedback for run in runs)
    assert len(example_suite.index["providers"]) == 4  # three models, and unknown


def test_an_agent_of_each_library_is_recorded(suite: Suite) -> None:
    """All of them offline; one whose library is not installed says so, and how to install it."""
    shutil.copytree(
        EXAMPLES / "libraries", suite.path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
    )

    result = suite.run_apart("-p", "no:xdist", "-rs")

    outcomes = result.parseoutcomes()
    assert set(outcomes) <= {"passed", "skipped", "warnings", "warning"}
    assert outcomes.get("passed", 0) + outcomes.get("skipped", 0) == len(list(suite.path.glob("test_*.py"))) == 9
    skipped = [line for line in result.outlines if line.startswith("SKIPPED")]
    assert [line for line in skipped if "pip install" not in line] == []
    for run in suite.runs():
        assert run.scenario_id == "late-parcel"
        assert [message.role for message in run.messages if message.role != "system"] == [
            "user",
            "assistant",
            "tool",
            "assistant",
        ]
        assert run.tool_stats is not None
        assert run.tool_stats.by_tool == {"track_parcel": 1}
        assert run.conversation_assertions.passed


def test_the_main_command_does_not_collect_them(example_suite: Suite) -> None:
    """What the README shows does not depend on what else is installed."""
    result = example_suite.run_apart("-p", "no:xdist", "--collect-only", "-q")

    assert not [line for line in result.outlines if "libraries" in line or "test_openai" in line]
