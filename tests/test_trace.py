"""Traces: what an LLM call leaves in the meta of its message."""

from datetime import UTC, datetime, timedelta

import pytest

from pytest_arena_state import CostInfo, ExecutionTrace, LLMCall, ToolCall
from pytest_arena_state.trace import trace_meta

ZERO_TIME = "0001-01-01T00:00:00Z"


def test_a_call_leaves_a_summary_without_its_texts() -> None:
    call = LLMCall(
        sequence=2,
        message_index=1,
        response={"secret": 1},
        started_at=datetime(2026, 2, 11, tzinfo=UTC),
        duration=timedelta(microseconds=1_999_999),
        cost=CostInfo(input_tokens=5),
        tool_calls=[ToolCall(id="1", name="t", args={})],
        error="boom",
    )

    assert trace_meta(call) == {
        "_llm_trace": {
            "sequence": 2,
            "message_index": 1,
            "started_at": "2026-02-11T00:00:00Z",
            "duration_ms": 1999,
            "cost": CostInfo(input_tokens=5).to_dict(),
            "tool_calls": [{"id": "1", "name": "t", "args": {}}],
        }
    }


def test_raw_requests_and_responses_stand_beside_the_summary_when_there_are_some() -> None:
    meta = trace_meta(LLMCall(request={"q": {1}}, raw_response=0))

    assert (meta["_llm_raw_request"], meta["_llm_raw_response"]) == ({"q": [1]}, 0)
    assert meta["_llm_trace"]["tool_calls"] == []
    assert meta["_llm_trace"]["started_at"] == ZERO_TIME


def test_an_empty_trace_and_an_empty_call_write_what_is_not_an_omit_field() -> None:
    assert ExecutionTrace().to_dict() == {"llm_calls": [], "started_at": ZERO_TIME}
    assert LLMCall().to_dict() == {
        "sequence": 0,
        "message_index": 0,
        "response": None,
        "started_at": ZERO_TIME,
        "duration": 0,
        "cost": CostInfo().to_dict(),
    }


def test_a_trace_whose_lists_are_null_is_read() -> None:
    trace = ExecutionTrace.from_dict({"llm_calls": None, "events": None, "started_at": None})

    assert (trace.llm_calls, trace.events, trace.started_at, trace.completed_at) == ([], [], None, None)
    assert ExecutionTrace.from_dict({"llm_calls": [{"tool_calls": None, "cost": None}]}).llm_calls[0].tool_calls == []


@pytest.mark.parametrize(
    ("nanoseconds", "shown"), [(-1, 0), (-1_500_000, -1), (1_999_999, 1), (2**63 - 1, 9223372036854)]
)
def test_a_duration_in_milliseconds_is_cut_towards_zero_as_in_go(nanoseconds: int, shown: int) -> None:
    meta = trace_meta(LLMCall.from_dict({"duration": nanoseconds}))

    assert meta["_llm_trace"]["duration_ms"] == shown
