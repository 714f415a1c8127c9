"""The OpenAI Agents SDK: a trace processor beside those that are there."""

from __future__ import annotations

import sys
from datetime import datetime
from types import ModuleType
from typing import Any

from .._outside import is_from_signal
from ..capture import from_messages
from ..capture.draft import tool_draft
from ..messages import CostInfo
from .calls import Call, Execution
from .observation import Observation, current

_DOOR = "openai-agents"
_MARK = "_arena_processor"
_CALLS = ("response", "generation")


class _Events:
    """What the SDK calls; mixed into its base class, which we do not import."""

    def __init__(self) -> None:
        super().__init__()
        self._started: dict[str, Observation] = {}

    def on_trace_start(self, trace: Any) -> None:
        pass

    def on_trace_end(self, trace: Any) -> None:
        pass

    def on_span_start(self, span: Any) -> None:
        observation = current()
        if observation is not None:
            self._started[span.span_id] = observation

    def on_span_end(self, span: Any) -> None:
        observation = self._started.pop(span.span_id, None)
        if observation is None:
            return
        try:
            kind = span.span_data.type
            if kind == "function":
                observation.execution(_execution(span))
            elif kind in _CALLS:
                observation.call(_call(span, kind))
        except Exception as error:
            if is_from_signal(error):
                raise
            observation.problem(f"{_DOOR}: a span was not understood: {type(error).__name__}: {error}")

    def shutdown(self) -> None:
        pass

    def force_flush(self) -> None:
        pass


def _call(span: Any, kind: str) -> Call:
    told = span.span_data
    response = getattr(told, "response", None)
    follows = getattr(response, "previous_response_id", None)
    conversation = getattr(getattr(response, "conversation", None), "id", None)
    given = told.input
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    if kind == "response":
        instructions = getattr(response, "instructions", None)
        if isinstance(instructions, str) and instructions:
            given = {"instructions": instructions, "input": list(given or [])}
        answers = from_messages(response) if response is not None else []
    else:
        answers = from_messages(list(told.output)) if told.output else []
        _use(answers, told)
    return Call(
        door=_DOOR,
        history=from_messages(given) if given else [],
        answers=answers,
        started=_nanoseconds(span.started_at),
        ended=_nanoseconds(span.ended_at),
        follows=follows if isinstance(follows, str) else "",
        conversation=conversation if isinstance(conversation, str) else "",
        error=_failure(span),
    )


def _use(answers: list[Any], told: Any) -> None:
    usage = told.usage if isinstance(told.usage, dict) else {}
    if not answers or answers[-1].cost_info is not None or not usage:
        return

    def tokens(value: Any) -> int:
        return value if isinstance(value, int) and value > 0 else 0

    details = usage.get("input_tokens_details")
    cached = tokens(details.get("cached_tokens")) if isinstance(details, dict) else 0
    cached = cached or tokens(usage.get("cached_input_tokens"))
    answers[-1].cost_info = CostInfo(
        input_tokens=max(0, tokens(usage.get("input_tokens")) - cached),
        output_tokens=tokens(usage.get("output_tokens")),
        cached_tokens=cached,
    )
    answers[-1].meta.setdefault("usage", usage)
    if isinstance(told.model, str):
        answers[-1].meta.setdefault("model", told.model)


def _execution(span: Any) -> Execution:
    told = span.span_data
    error = _failure(span)
    message = tool_draft(name=told.name, output=told.output, failed=bool(error), error=error).message()
    began, ended = _nanoseconds(span.started_at), _nanoseconds(span.ended_at)
    if message.tool_result is not None and ended > began > 0:
        message.latency_ms = message.tool_result.latency_ms = round((ended - began) / 1e6)
    # The span does not know which call it answers; its name and its arguments do.
    return Execution(door=_DOOR, message=message, args=told.input)


def _failure(span: Any) -> str:
    error = span.error
    return str(error.get("message") or "failed") if isinstance(error, dict) else ""


def _nanoseconds(written: Any) -> int:
    try:
        return round(datetime.fromisoformat(written).timestamp() * 1e9)
    except (TypeError, ValueError):
        return 0


def install(module: ModuleType) -> None:
    """Add the processor; again, where the user has replaced all processors."""
    base = getattr(sys.modules.get("agents.tracing.processor_interface"), "TracingProcessor", None)
    if base is None or not hasattr(module, "add_trace_processor"):
        return  # somebody's own package of that name
    processor = getattr(module, _MARK, None)
    if processor is None:
        processor = type("ArenaTracingProcessor", (_Events, base), {})()
        setattr(module, _MARK, processor)
        module.add_trace_processor(processor)
        return
    provider = getattr(sys.modules.get("agents.tracing.setup"), "GLOBAL_TRACE_PROVIDER", None)
    present = getattr(getattr(provider, "_multi_processor", None), "_processors", (processor,))
    if processor not in present:
        module.add_trace_processor(processor)


DOORS = {"agents.tracing": install}
