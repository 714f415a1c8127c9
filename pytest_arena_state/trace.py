"""LLM traces: the calls that a pipeline made to produce a conversation."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, ClassVar

from pydantic import Field

from ._wire import Int, Nanoseconds, NoneIsEmptyList, Time, WireModel
from .messages import CostInfo, ToolCall

# Keys in a message's meta, as the reference writes them.
TRACE_KEY = "_llm_trace"
RAW_REQUEST_KEY = "_llm_raw_request"
RAW_RESPONSE_KEY = "_llm_raw_response"


class LLMCall(WireModel):
    """One call of a model."""

    always_written: ClassVar[frozenset[str]] = frozenset(
        ("sequence", "message_index", "response", "started_at", "duration", "cost")
    )

    sequence: Int = 0
    message_index: Int = 0
    """The message that the call produced; an index outside the conversation is passed over."""
    request: Any = None
    response: Any = None
    raw_response: Any = None
    started_at: Time = None
    duration: Nanoseconds = timedelta(0)
    cost: CostInfo = Field(default_factory=CostInfo)
    tool_calls: Annotated[list[ToolCall], NoneIsEmptyList] = Field(default_factory=list)
    error: Any = None


class ExecutionTrace(WireModel):
    """Everything that a pipeline recorded of one execution."""

    always_written: ClassVar[frozenset[str]] = frozenset(("llm_calls", "started_at"))

    llm_calls: Annotated[list[LLMCall], NoneIsEmptyList] = Field(default_factory=list)
    events: Annotated[list[Any], NoneIsEmptyList] = Field(default_factory=list)
    started_at: Time = None
    completed_at: Time = None


def _milliseconds(nanoseconds: int) -> int:
    whole = abs(nanoseconds) // 1_000_000
    return whole if nanoseconds >= 0 else -whole  # Go divides towards zero


def trace_meta(call: LLMCall) -> dict[str, Any]:
    """What a call adds to the ``meta`` of its message."""
    wire = call.to_dict()
    meta: dict[str, Any] = {
        TRACE_KEY: {
            "sequence": call.sequence,
            "message_index": call.message_index,
            "started_at": wire["started_at"],
            "duration_ms": _milliseconds(wire["duration"]),
            "cost": wire["cost"],
            "tool_calls": wire.get("tool_calls", []),
        }
    }
    if call.request is not None:
        meta[RAW_REQUEST_KEY] = wire["request"]
    if call.raw_response is not None:
        meta[RAW_RESPONSE_KEY] = wire["raw_response"]
    return meta


__all__ = ["RAW_REQUEST_KEY", "RAW_RESPONSE_KEY", "TRACE_KEY", "ExecutionTrace", "LLMCall", "trace_meta"]
