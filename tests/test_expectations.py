"""What can be expected of a conversation: it is found, noted in the report, and a failure shows the turns."""

from __future__ import annotations

import math
import re
from datetime import date, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import ANY
from uuid import UUID

import pytest
from pydantic import BaseModel

from pytest_arena_state import (
    ArenaConversationState,
    ArenaRun,
    ArenaStateStore,
    ConfigurationError,
    ConversationState,
    ConversationValidationResult,
    CostInfo,
    Message,
    ToolCall,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Suite


@pytest.fixture
def run() -> ArenaRun:
    """Two turns; three calls of two tools."""
    run = ArenaRun(ArenaStateStore(), "r")
    run.user("It is about T-1001")
    run.tool_call("look_up", {"order": {"id": "T-1001", "lines": [1, 2]}, "fresh": True})
    run.tool_result("call-1-look_up", "Assam, 250 g")
    run.assistant("That is Assam.", cost=CostInfo(input_tokens=10, output_tokens=2, total_cost_usd=0.25),
                  latency=timedelta(milliseconds=300))  # fmt: skip
    run.user("I want my money back ($12.50)")
    run.tool_call("look_up", {"order": {"id": "T-1001", "lines": []}})
    run.tool_call("refund", {"amount": 12.5})
    run.assistant("I have sent $12.50 back to you.", cost=0.5, latency=timedelta(milliseconds=500))
    return run


def noted(run: ArenaRun) -> list[ConversationValidationResult]:
    """What stands in the report."""
    metadata = run._store.get_arena_state(run.id).run_metadata
    return metadata.conv_assertions_results if metadata else []


def failure_of(expect: Callable[[], object]) -> list[str]:
    """The lines of the error."""
    with pytest.raises(AssertionError) as raised:
        expect()
    return str(raised.value).splitlines()


# --- tools ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "found"),
    [
        (None, 2),
        ({}, 2),
        ({"fresh": True}, 1),
        ({"order": {"id": "T-1001"}}, 2),
        ({"order": {"lines": []}}, 1),
        ({"order": {"id": re.compile(r"^T-\d+$")}}, 2),
        ({"order": {"id": str, "lines": list}}, 2),
        ({"order": ANY}, 2),
        ({"fresh": ...}, 1),
        ({"order": lambda order: len(order["lines"]) > 1}, 1),
        (lambda args: "fresh" not in args, 1),
    ],
)
def test_a_call_is_found_by_what_is_said_of_its_arguments(run: ArenaRun, args: Any, found: int) -> None:
    calls = run.called("look_up", args, times=found)

    assert [call.name for call in calls] == ["look_up"] * found
    assert all(isinstance(call, ToolCall) for call in calls)


@pytest.mark.parametrize(
    "args", [{"amount": 12}, {"amount": "12.5"}, {"sum": ...}, {"amount": {"usd": 1}}, {"amount": int}]
)
def test_other_arguments_are_no_match(run: ArenaRun, args: Any) -> None:
    with pytest.raises(AssertionError):
        run.called("refund", args)

    run.not_called("refund", args)


@pytest.mark.parametrize(
    "value",
    [(1, 2), {2, 1}, date(2026, 2, 11), Decimal("12.50"), UUID(int=7), CostInfo(input_tokens=1), [(1,)], math.nan],
)
def test_what_a_call_was_recorded_with_is_what_it_was_called_with(value: Any) -> None:
    """A store keeps JSON. `not_called` would hold otherwise, and a failure show twice the same."""
    run = ArenaRun(ArenaStateStore(), "r")
    run.tool_call("t", {"x": value})

    run.called("t", {"x": value})

    with pytest.raises(AssertionError):
        run.not_called("t", {"x": value})


def test_a_number_may_be_about_right(run: ArenaRun) -> None:
    run.called("refund", {"amount": pytest.approx(12.5001, abs=0.01)})


def test_a_call_that_was_not_made_shows_those_that_were(run: ArenaRun) -> None:
    assert failure_of(lambda: run.called("refund", {"amount": 13})) == [
        'expected a call of refund({"amount":13}), found none',
        '  2 assistant: look_up({"order":{"id":"T-1001","lines":[1,2]},"fresh":true})',
        '  6 assistant: look_up({"order":{"id":"T-1001","lines":[]}}) refund({"amount":12.5})',
    ]


def test_how_often_a_tool_was_called_can_be_expected(run: ArenaRun) -> None:
    run.called("cancel", times=0)

    assert failure_of(lambda: run.called("look_up", times=1))[0] == "expected a call of look_up once, found 2"


def test_a_call_that_was_made_is_shown_where_none_was_expected(run: ArenaRun) -> None:
    run.not_called("cancel")

    assert failure_of(lambda: run.not_called("refund")) == [
        "expected no call of refund, found 1",
        '  6 assistant: look_up({"order":{"id":"T-1001","lines":[]}}) refund({"amount":12.5})',
    ]
    (violation,) = noted(run)[-1].violations
    assert (violation.turn_index, violation.description) == (5, "refund was called")
    assert violation.evidence == {"tool": "refund", "args": {"amount": 12.5}}
    assert violation.timestamp is not None


def test_calls_in_order_may_have_others_between(run: ArenaRun) -> None:
    assert [call.name for call in run.called_in_order("look_up", "refund")] == ["look_up", "refund"]
    run.called_in_order("look_up", "look_up", "refund")

    assert failure_of(lambda: run.called_in_order("refund", "look_up"))[0] == (
        "expected calls in the order refund, then look_up; found no look_up after refund"
    )
    assert failure_of(lambda: run.called_in_order("cancel"))[0] == (
        "expected calls in the order cancel; found no cancel"
    )


def test_a_conversation_without_calls_says_so() -> None:
    run = ArenaRun(ArenaStateStore(), "r")

    assert failure_of(lambda: run.called("x")) == ["expected a call of x, found none", "  no tool was called"]


# --- words ---------------------------------------------------------------------------------


def test_what_was_said_is_found_by_a_pattern(run: ArenaRun) -> None:
    assert [message.text for message in run.said(r"sent \$\d+")] == ["I have sent $12.50 back to you."]
    assert len(run.said(re.compile("THAT IS", re.IGNORECASE))) == 1
    run.said("money back", role="user")
    run.said("Assam, 250 g", role="tool")
    run.said("T-1001", role=None)


def test_what_was_not_said_shows_what_was(run: ArenaRun) -> None:
    assert failure_of(lambda: run.said("sorry")) == [
        "expected the assistant to say /sorry/",
        "  4 assistant: That is Assam.",
        "  7 assistant: I have sent $12.50 back to you.",
    ]


def test_plain_text_that_is_no_pattern_is_pointed_out(run: ArenaRun) -> None:
    """The commonest mistake, as with ``pytest.raises(match=…)``."""
    assert failure_of(lambda: run.said("$12.50"))[0] == (
        "expected the assistant to say /$12.50/; the text itself is there: did you mean re.escape?"
    )


def test_what_was_never_to_be_said_is_shown(run: ArenaRun) -> None:
    run.never_said("sorry")
    run.never_said("money back")

    lines = failure_of(lambda: run.never_said("sent", role=None))

    assert lines[0] == "expected anybody never to say /sent/, found 1 message"
    assert lines[1].endswith("assistant: I have sent $12.50 back to you.")
    assert [violation.turn_index for violation in noted(run)[-1].violations] == [6]


# --- sums ----------------------------------------------------------------------------------


def test_sums_are_values_and_can_have_limits(run: ArenaRun) -> None:
    assert run.turns() == 2
    assert run.turns(min=1, max=2) == run.turns(min=2) == run.turns(max=2) == 2
    assert run.cost().total_cost_usd == 0.75
    assert run.cost(max_usd=0.75, max_tokens=12).total_tokens == 12
    assert run.latency() == run.latency(max_ms=800) == timedelta(milliseconds=800)


def test_a_sum_over_its_limit_names_the_turn_that_took_most(run: ArenaRun) -> None:
    assert failure_of(lambda: run.turns(max=1)) == [
        "expected at most 1 turns, found 2",
        "  1 user: It is about T-1001",
        "  5 user: I want my money back ($12.50)",
    ]
    assert failure_of(lambda: run.turns(min=3))[0] == "expected at least 3 turns, found 2"
    (cost,) = failure_of(lambda: run.cost(max_usd=0.7))
    assert cost.startswith("over budget: cost $0.75 of $0.70, the most for message ")
    assert cost.endswith("(assistant, $0.50): I have sent $12.50 back to you.")
    assert failure_of(lambda: run.cost(max_tokens=1))[0].startswith("over budget: 12 of 1 token, the most for")
    assert "latency 800 ms of 1 ms" in failure_of(lambda: run.latency(max_ms=1))[0]


# --- schemas -------------------------------------------------------------------------------

SCHEMA = {"type": "object", "properties": {"amount": {"type": "number"}}, "required": ["amount"]}
WRONG = {"type": "object", "properties": {"amount": {"type": "string"}}}


class Refund(BaseModel):
    amount: float


DESCRIPTORS = {
    "openai chat": {"type": "function", "function": {"name": "refund", "parameters": SCHEMA}},
    "openai responses": {"type": "function", "name": "refund", "parameters": SCHEMA},
    "anthropic": {"name": "refund", "input_schema": SCHEMA},
    "mcp": {"name": "refund", "inputSchema": SCHEMA},
    "mcp object": SimpleNamespace(name="refund", inputSchema=SCHEMA),
    "agents sdk": SimpleNamespace(name="refund", params_json_schema=SCHEMA),
    "langchain": SimpleNamespace(name="refund", tool_call_schema=Refund),
}


@pytest.mark.parametrize("name", DESCRIPTORS)
def test_arguments_are_held_to_the_schema_of_a_descriptor(run: ArenaRun, name: str) -> None:
    (call,) = run.matches_schema(DESCRIPTORS[name])
    run.matches_schema("refund", DESCRIPTORS[name])
    run.matches_schema("refund", [{"name": "other", "input_schema": WRONG}, DESCRIPTORS[name]])

    assert call.args == {"amount": 12.5}


@pytest.mark.parametrize("schema", [SCHEMA, Refund, {}])
def test_arguments_are_held_to_a_schema(run: ArenaRun, schema: Any) -> None:
    run.matches_schema("refund", schema)


def test_the_schema_is_found_in_what_a_response_says_of_its_tools(run: ArenaRun) -> None:
    run.assistant("Yes.", meta={"extra": {"tools": [5, DESCRIPTORS["openai responses"]]}})

    run.matches_schema("refund")


def test_arguments_that_do_not_fit_are_shown_with_the_reason(run: ArenaRun) -> None:
    assert failure_of(lambda: run.matches_schema("refund", WRONG)) == [
        "expected calls of refund that fit its schema; 1 of 1 do not: args['amount']: 12.5 is not of type 'string'",
        '  6 assistant: look_up({"order":{"id":"T-1001","lines":[]}}) refund({"amount":12.5})',
    ]


def test_a_schema_without_a_call_is_no_success(run: ArenaRun) -> None:
    """It would pass for a tool that is never called."""
    assert failure_of(lambda: run.matches_schema("cancel", SCHEMA))[0] == (
        "expected calls of cancel that fit its schema, found none"
    )


@pytest.mark.parametrize(
    ("tool", "schema", "complaint"),
    [
        ("refund", None, "no schema for 'refund', and the conversation does not describe its tools; give one"),
        ("refund", [], "none of 0 descriptors is of 'refund'"),
        ("refund", 5, "wanted a JSON Schema, a pydantic model or a descriptor, not 5"),
        ("refund", {"type": "nothing"}, "not a JSON Schema that can be used: \"'nothing' is not valid"),
        (5, None, "wanted a tool's name or a descriptor with a name and a schema, not 5"),
    ],
)
def test_a_schema_that_cannot_be_used_is_an_error_that_says_why(
    run: ArenaRun, tool: Any, schema: Any, complaint: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        run.matches_schema(tool, schema)

    assert str(raised.value).startswith(f"matches_schema: {complaint}")
    assert noted(run) == []


def test_a_reference_in_a_schema_is_not_fetched(run: ArenaRun, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr("urllib.request.urlopen", lambda *args, **more: asked.append(args))

    with pytest.raises(ConfigurationError, match="not a JSON Schema that can be used"):
        run.matches_schema("refund", {"$ref": "http://localhost/schema.json"})

    assert asked == []


def test_without_jsonschema_the_command_that_installs_it_is_named(
    run: ArenaRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jsonschema", None)

    with pytest.raises(ConfigurationError, match=re.escape("pip install 'pytest-arena-state[schema]'")):
        run.matches_schema("refund", SCHEMA)


# --- what is noted -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        (lambda run: run.never_said("sorry", role="asistant"), "role is one of assistant, .* not 'asistant'"),
        (lambda run: run.cost(max_usd=float("nan")), "max_usd is US dollars, a number from 0 up, not nan"),
        (lambda run: run.cost(max_tokens="9"), "max_tokens is tokens, a number from 0 up, not '9'"),
        (lambda run: run.latency(max_ms=timedelta(seconds=1)), "max_ms is milliseconds, .* not datetime.timedelta"),
        (lambda run: run.called(len), "a tool is wanted by its name, a str, not <built-in function len>"),
        (lambda run: run.not_called(None), "a tool is wanted by its name, a str, not None"),
        (lambda run: run.called_in_order(["look_up", "refund"]), r"a tool is .* not \['look_up', 'refund'\]"),
    ],
)
def test_what_cannot_be_expected_is_an_error_that_says_what_can(
    run: ArenaRun, asked: Callable[[ArenaRun], object], wanted: str
) -> None:
    """A role that is misspelt never says anything, and nothing costs more than a NaN: that would pass for ever."""
    with pytest.raises(ConfigurationError, match=wanted):
        asked(run)

    assert noted(run) == []


def test_a_role_of_the_suites_own_can_be_asked(run: ArenaRun) -> None:
    run._store.log_append("r", len(run.messages), [Message(role="narrator", content="Meanwhile")])

    run.said("Meanwhile", role="narrator")


def test_every_finding_is_an_assertion_of_the_run(run: ArenaRun) -> None:
    """With Arena's own type where it has one."""
    run.called("refund")
    run.called("refund", {"amount": 12.5})
    run.not_called("cancel")
    run.not_called("refund", {"amount": re.compile("x")})
    run.called_in_order("look_up", "refund")
    run.said("sent")
    run.never_said("sorry")
    run.turns(max=9)
    run.cost(max_usd=9)
    run.latency(max_ms=9999)
    run.matches_schema("refund", SCHEMA)
    run.turns()
    run.cost()
    run.latency()

    assert all(result.passed for result in noted(run))
    assert {result.type: result.message for result in noted(run)} == {
        "tools_called": "refund was called once",
        "tool_calls_with_args": 'refund({"amount":12.5}) was called once',
        "tools_not_called": "cancel was not called",
        "tools_not_called_with_args": 'refund({"amount":"/x/"}) was not called',
        "tool_call_sequence": "called in order: look_up, then refund",
        "content_matches": "the assistant said /sent/",
        "content_excludes": "the assistant never said /sorry/",
        "turn_count": "2 turns, at most 9",
        "cost_budget": "$0.75 of $9.00",
        "latency_budget": "800 ms of 9,999 ms",
        "tool_args_schema": "1 call of refund fit its schema",
    }


def test_a_state_with_run_metadata_notes_in_it(run: ArenaRun) -> None:
    """It can be saved with `save_metadata`."""
    state = run._store.get_arena_state("r")

    state.called("refund")
    with pytest.raises(AssertionError):
        state.not_called("refund")
    assert state.run_metadata is not None
    run._store.save_metadata("r", state.run_metadata)

    assert run._store.get_result("r").run_id == "r"
    assert [(result.type, result.passed) for result in noted(run)] == [
        ("tools_called", True),
        ("tools_not_called", False),
    ]


def test_a_plain_state_is_asserted_on_and_stays_as_it_is(run: ArenaRun) -> None:
    state = run._store.load("r")
    before = state.to_dict()

    state.said("sent")
    with pytest.raises(AssertionError):
        state.said("sorry")

    assert state.to_dict() == before
    assert not isinstance(state, ArenaConversationState)


def test_what_is_shown_cannot_steer_a_terminal_and_stays_short() -> None:
    text = "\x1b[2J" + "long " * 500
    state = ConversationState(
        id="c",
        messages=[Message(role="assistant\x1b", content=text, tool_calls=[ToolCall(name="\x1b]0;", args=text)])] * 40,
    )

    lines = failure_of(lambda: state.called("\x07" * 500, {"\x1b": "\x1b"}))
    lines += failure_of(lambda: state.never_said("long", role=None))

    assert not re.search(r"[\x00-\x1f]", "".join(lines))
    assert max(map(len, lines)) < 400
    assert len(lines) < 40


def test_a_failing_expectation_fails_the_test_and_stands_in_its_report(suite: Suite, run_args: list[str]) -> None:
    suite.write(
        """
        def test_it(arena_run):
            arena_run.assistant("No.")
            arena_run.said("Yes")
        """
    )

    result = suite.run(*run_args)

    result.assert_outcomes(failed=1)
    text = result.stdout.str()
    assert "expected the assistant to say /Yes/" in text
    assert "1 assistant: No." in text
    assert ">       arena_run.said(" in text
    assert "expectations.py" not in text
    run = suite.only_run()
    assert [(a.type, a.passed) for a in run.conversation_assertions.results] == [
        ("content_matches", False),
        ("pytest.outcome", False),
    ]
    assert run.error == ""


def test_an_expectation_that_an_xfail_mark_expects_to_fail_fails_the_run_and_is_counted(suite: Suite) -> None:
    """The suite is green, so the summary has to say where a failed run comes from."""
    suite.write(
        """
        import pytest

        @pytest.mark.xfail(reason="known")
        def test_it(arena_run):
            arena_run.assistant("No.")
            arena_run.said("Yes")
        """
    )

    result = suite.run()

    result.assert_outcomes(xfailed=1)
    assert "1 run (1 failed), 0 tokens, $0.00, 1 failed by its checks alone" in suite.lines(result)[0]
