"""One conversation through every library that ``--arena-capture`` observes gives the same messages."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_arena_state import load_results, read_index

if TYPE_CHECKING:
    from pytest_arena_state import Message, RunResult

pytest.importorskip("pytest_httpserver", reason="the real clients need pytest-httpserver to talk to")

ROOT = Path(__file__).parents[2]
SUITE = Path(__file__).with_name("doors.py")
VARIANTS = dict.fromkeys(
    ("test_litellm", "test_litellm_async", "test_langchain_with_anthropic"), ("[plain]", "[streamed]")
)
TESTS = [
    f"{node.name}{variant}"
    for node in ast.parse(SUITE.read_text(encoding="utf-8")).body
    if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    for variant in VARIANTS.get(node.name, ("",))
]
#: What a door does not know. Chat completions of the Agents SDK: why the model stopped.
UNKNOWN = {"test_agents_with_chat_completions": {"finish"}}

Told = Callable[["list[Message]"], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the suite left."""
    path = tmp_path_factory.mktemp("doors") / "results"
    command = [
        *(sys.executable, "-m", "pytest", str(SUITE), "-o", f"python_files={SUITE.name}", "-o", "addopts="),
        *("--import-mode=importlib", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:asyncio", "-q", "-rs"),
        *("-o", "filterwarnings=ignore"),  # what the clients warn of is theirs
        *("--arena-capture", f"--arena-results={path}"),
    ]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    assert ended.returncode in (0, pytest.ExitCode.NO_TESTS_COLLECTED), ended.stdout + ended.stderr
    return path


@pytest.fixture(scope="module")
def runs(results: Path) -> dict[str, list[RunResult]]:
    """The runs of each test that could run here."""
    by_test: dict[str, list[RunResult]] = {}
    for run in load_results(results):
        by_test.setdefault(run.labels["pytest.nodeid"].rpartition("::")[2], []).append(run)
    return by_test


@pytest.mark.parametrize("name", TESTS)
def test_the_same_conversation_arrives_once(
    runs: dict[str, list[RunResult]], told: Told, expected: list[dict[str, Any]], name: str
) -> None:
    """As it was sent, in the test that held it, also where two doors tell of each call."""
    if name not in runs:
        pytest.skip("its library is not installed")
    (run,) = runs[name]
    unknown = UNKNOWN.get(name, set())

    assert told(run.messages) == [
        {key: value for key, value in entry.items() if key not in unknown} for entry in expected
    ]
    assert run.run_id.endswith(f"::{name}")
    assert all(message.timestamp for message in run.messages)


def test_latencies_are_those_of_the_calls(runs: dict[str, list[RunResult]]) -> None:
    """Of answers always; of tools where their execution is told."""
    told = {name: [message.latency_ms for message in run.messages] for name, (run,) in runs.items()}

    assert [name for name, (_system, _user, called, _tool, answer) in told.items() if not (called and answer)] == []


def test_nothing_went_wrong(runs: dict[str, list[RunResult]], results: Path) -> None:
    assert runs or not TESTS
    assert read_index(results).completeness.troubles == {}
