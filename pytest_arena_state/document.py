"""The report of one run as bytes: what stands before its messages, the messages, what follows.

A message is serialised once, when it is saved. A report is a splice: the fields before
``Messages`` and after it are composed from what the messages contribute, and the messages'
own bytes go between them untouched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from . import telemetry
from ._times import INT64, ZERO_TIME, nanoseconds, parse_time
from ._wire import dumps

if TYPE_CHECKING:
    from .telemetry import MessageFacts


class Composed(NamedTuple):
    """A report without its messages."""

    before: dict[str, Any]
    after: dict[str, Any]
    row: dict[str, Any]
    """The run's row in the index, without the file, which is known later."""


def compose(metadata: Mapping[str, Any], state_metadata: Mapping[str, Any], facts: Sequence[MessageFacts]) -> Composed:
    """Compose a report from run metadata and a conversation's metadata, both in wire form."""
    get = metadata.get
    params = dict(get("params") or {})
    if "system_prompt" in state_metadata:
        params["system_prompt"] = state_metadata["system_prompt"]
    before: dict[str, Any] = {
        "RunID": get("run_id") or "",
        "PromptPack": get("prompt_pack") or "",
        "Region": get("region") or "",
        "ScenarioID": get("scenario_id") or "",
        "ProviderID": get("provider_id") or "",
    }
    labels = dict(get("labels") or {})
    if labels:
        before["Labels"] = labels
    before["Params"] = params
    cost = telemetry.total_cost(facts)
    results = get("conv_assertions_results") or []
    more = facts if telemetry.further(facts) else ()
    after: dict[str, Any] = {
        "Commit": get("commit") or {},
        "Cost": cost,
        "ToolStats": telemetry.tool_stats(more) if more else None,
        "Violations": telemetry.violations(more) if more else [],
        "StartTime": get("start_time") or ZERO_TIME,
        "EndTime": get("end_time") or ZERO_TIME,
        "Duration": get("duration") or 0,
        "Error": get("error") or "",
    }
    if get("skipped"):
        after["Skipped"] = True
    if get("skip_reason"):
        after["SkipReason"] = get("skip_reason")
    after["SelfPlay"] = bool(get("self_play"))
    after["PersonaID"] = get("persona_id") or ""
    after["MediaOutputs"] = telemetry.media_outputs(more) if more else []
    after["UserFeedback"] = get("user_feedback")
    after["SessionTags"] = get("session_tags") or []
    after["AssistantRole"] = get("assistant_role")
    after["UserRole"] = get("user_role")
    if get("recording_path"):
        after["RecordingPath"] = get("recording_path")
    after["conversation_assertions"] = telemetry.assertions_summary(results)
    for key, name in _FURTHER:
        value = get(name)
        if value or (value is not None and name == "trial_results"):  # which may be anything
            after[key] = value
    return Composed(before, after, _row(before, after, cost, labels, telemetry.status_of(after, more)))


#: Fields of newer Arena at the end of a report, and what they are in a run's metadata.
_FURTHER = (("eval_results", "eval_results"), ("A2AAgents", "a2a_agents"), ("trial_results", "trial_results"))


def row_of(run: Mapping[str, Any], facts: Sequence[MessageFacts] | None = None) -> dict[str, Any]:
    """A run's row in the index, from its wire form (the messages may be left out when ``facts`` are given)."""
    return _row(run, run, run.get("Cost") or {}, run.get("Labels") or {}, telemetry.status_of(run, facts))


def _row(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    cost: Mapping[str, Any],
    labels: Mapping[str, str],
    status: telemetry.Status,
) -> dict[str, Any]:
    return {
        "run_id": before.get("RunID") or "",
        "status": status,
        "superseded": False,
        "scenario_id": before.get("ScenarioID") or "",
        "provider_id": before.get("ProviderID") or "",
        "region": before.get("Region") or "",
        "cost_usd": cost.get("total_cost_usd") or 0.0,
        "input_tokens": cost.get("input_tokens") or 0,
        "output_tokens": cost.get("output_tokens") or 0,
        "cached_tokens": cost.get("cached_tokens") or 0,
        "duration_ns": after.get("Duration") or 0,
        "labels": dict(labels),
    }


#: What empty values are in JSON; there are many in every report, and this is quicker than to serialise them.
_EMPTY = {type(None): b"null", str: b'""', list: b"[]", dict: b"{}", bool: b"false", int: b"0"}


def _json_of(value: Any) -> bytes:
    return dumps(value) if value or type(value) not in _EMPTY else _EMPTY[type(value)]


class _Keys(dict[str, bytes]):
    """Keys of reports as JSON, with their colon; there are few, but for those of somebody else's file."""

    def __init__(self, colon: bytes) -> None:
        super().__init__()
        self._colon = colon

    def __missing__(self, key: str) -> bytes:
        text = dumps(key) + self._colon
        if len(self) < 1000:
            self[key] = text
        return text


_LINE_KEYS = _Keys(b": ")


def pieces(before: bytes, messages: Iterable[bytes], after: bytes) -> tuple[bytes, ...]:
    """The report on one line, without a newline, from JSON objects of what stands before its messages and after."""
    return before[:-1], b',"Messages":[', b",".join(messages), b"],", after[1:]


def compact(before: Mapping[str, Any], messages: Iterable[bytes], after: Mapping[str, Any]) -> bytes:
    """The same, from what is not serialised yet."""
    return b"".join(pieces(dumps(before), messages, dumps(after)))


def lines(before: Mapping[str, Any], messages: Sequence[bytes], after: Mapping[str, Any]) -> bytes:
    """The report as a file: a line for each top-level field and for each message."""
    fields = [_LINE_KEYS[key] + _json_of(value) for key, value in before.items()]
    fields.append(b'"Messages": [\n    %b\n  ]' % b",\n    ".join(messages) if messages else b'"Messages": []')
    fields += [_LINE_KEYS[key] + _json_of(value) for key, value in after.items()]
    return b"{\n  %b\n}\n" % b",\n  ".join(fields)


def lines_of(run: Mapping[str, Any]) -> bytes:
    """The same from a whole run in its wire form."""
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    side = before
    for key, value in run.items():
        if key == "Messages":
            side = after
        else:
            side[key] = value
    return lines(before, [dumps(message) for message in run.get("Messages") or ()], after)


def elapsed(start: str, end: str) -> int:
    """Nanoseconds between two times in wire form; 0 when one is missing, and as many as 64 bits hold, as in Go."""
    if start == ZERO_TIME or end == ZERO_TIME:
        return 0
    if start[10:11] == end[10:11] == "T" and start[-1] == end[-1] == "Z" and len(start) <= _MICROSECONDS >= len(end):
        with suppress(ValueError):
            return _in_64_bits(nanoseconds(datetime.fromisoformat(end) - datetime.fromisoformat(start)))
    first, last = (parse_time(text) for text in (start, end))
    if isinstance(first, datetime) and isinstance(last, datetime):
        return _in_64_bits(nanoseconds(last - first))
    return 0


def _in_64_bits(number: int) -> int:
    return max(-INT64, min(number, INT64 - 1))


_MICROSECONDS = len("2026-02-11T08:30:01.123456Z")
