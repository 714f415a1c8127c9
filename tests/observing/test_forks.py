"""What forked children say is captured, whoever else talks at the time."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.observing.conftest import said

if TYPE_CHECKING:
    from pytest_arena_state import RunResult
    from tests.conftest import Suite

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

LIBRARY = """
import os
from pytest_arena_state import CostInfo, Message
from pytest_arena_state.observing import Call, current

def chat(*words):
    "What a door tells: a history, and the answer to it."
    messages = [Message(role=("user", "assistant")[at % 2], content=word) for at, word in enumerate(words)]
    messages[-1].cost_info = CostInfo(output_tokens=1)
    current().call(Call(door="a", history=messages[:-1], answers=messages[-1:]))

def in_child(*words):
    child = os.fork()
    if not child:
        chat(*words)
        os._exit(0)
    return child
"""


def test_conversations_of_children_stand_beside_those_of_their_parent(
    captured: Callable[..., list[RunResult]],
) -> None:
    """A pool's workers and the test itself count their conversations, and nobody knows how far the others are."""
    runs = captured(
        LIBRARY
        + """
def test_it():
    children = [in_child("one", "1"), in_child("two", "2")]
    chat("three", "3")
    for child in children:
        os.waitpid(child, 0)
    os.waitpid(in_child("three", "3", "in a child", "4"), 0)
    chat("three", "3", "in the test", "5")

def test_of_children_alone():
    os.waitpid(in_child("six", "6"), 0)
""",
        "-p",
        "no:xdist",
        passed=2,
    )

    assert {run.run_id.partition("::")[2]: [text for _, text in said(run.messages)] for run in runs} == {
        "test_it": ["three", "3", "in the test", "5"],
        "test_it#fork1": ["one", "1"],
        "test_it#fork2": ["two", "2"],
        "test_it#fork3": ["three", "3", "in a child", "4"],
        "test_of_children_alone#fork1": ["six", "6"],
    }
    assert sum(run.cost.output_tokens for run in runs) == 6
    assert {run.labels["pytest.outcome"] for run in runs} == {"passed"}


def test_a_child_that_outlives_its_test_gives_its_calls_to_nobody(suite: Suite) -> None:
    """It cannot know which test asks it, and the one that it knows has its report."""
    suite.write(
        LIBRARY
        + """
def test_first():
    global child, go_on
    wait, go_on = os.pipe()
    ready, tell = os.pipe()
    child = os.fork()
    if not child:
        chat("of the first", "1")
        os.write(tell, b"!")
        os.read(wait, 1)
        chat("of the second", "2")
        os._exit(0)
    os.read(ready, 1)

def test_second():
    os.write(go_on, b"!")
    os.waitpid(child, 0)
"""
    )

    result = suite.run_apart("--arena-capture", "-p", "no:xdist", "-p", "no:randomly")

    result.assert_outcomes(passed=2)
    assert "a call ended after its test and was not captured" in suite.lines(result)[1]
    (run,) = suite.runs()
    assert (run.run_id.partition("::")[2], said(run.messages)[0]) == ("test_first#fork1", ("user", "of the first"))
