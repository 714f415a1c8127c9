"""The report of one run as bytes: what stands before its messages, the messages, what follows.

A message is serialised once, when it is saved. A report is a splice: the fields before
``Messages`` and after it are composed from what the messages contribute, and the messages'
own bytes go between them untouched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from . import telemetry
from ._wire import ZERO_TIME, dumps, nanoseconds, parse_time

if TYPE_CHECKING:
    from .telemetry import MessageFacts

#: Of a run's metadata, what has a field of the same meaning in the report.
_ROLES = (("AssistantRole", "assistant_role"), ("UserRole", "user_role"))


@dataclass(frozen=True, slots=True)
class Composed:
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
    if get("labels"):
        before["Labels"] = dict(get("labels") or {})
    before["Params"] = params
    cost = telemetry.total_cost(facts)
    results = get("conv_assertions_results") or []
    found = telemetry.violations(facts)
    after: dict[str, Any] = {
        "Commit": get("commit") or {},
        "Cost": cost,
        "ToolStats": telemetry.tool_stats(facts),
        "Violations": found,
        "StartTime": get("start_time") or ZERO_TIME,
        "EndTime": get("end_time") or ZERO_TIME,
        "Duration": get("duration") or 0,
        "Error": get("error") or "",
    }
    if get("skipped"):
        after["Skipped"] = True
    if get("skip_reason"):
        after["SkipReason"] = get("skip_reason")
    after |= {
        "SelfPlay": bool(get("self_play")),
        "PersonaID": get("persona_id") or "",
        "MediaOutputs": telemetry.media_outputs(facts),
        "UserFeedback": get("user_feedback"),
        "SessionTags": get("session_tags") or [],
    }
    for key, name in _ROLES:
        after[key] = get(name)
    if get("recording_path"):
        after["RecordingPath"] = get("recording_path")
    after["conversation_assertions"] = telemetry.assertions_summary(results)
    for key, name in (
        ("eval_results", "eval_results"),
        ("A2AAgents", "a2a_agents"),
        ("trial_results", "trial_results"),
    ):
        if get(name):
            after[key] = get(name)
    return Composed(before, after, row_of({**before, **after}, facts))


def row_of(run: Mapping[str, Any], facts: Sequence[MessageFacts] | None = None) -> dict[str, Any]:
    """A run's row in the index, from its wire form (the messages may be left out when ``facts`` are given)."""
    cost = run.get("Cost") or {}
    return {
        "run_id": run.get("RunID") or "",
        "status": telemetry.status_of(run, facts),
        "superseded": False,
        "scenario_id": run.get("ScenarioID") or "",
        "provider_id": run.get("ProviderID") or "",
        "region": run.get("Region") or "",
        "cost_usd": cost.get("total_cost_usd") or 0.0,
        "input_tokens": cost.get("input_tokens") or 0,
        "output_tokens": cost.get("output_tokens") or 0,
        "cached_tokens": cost.get("cached_tokens") or 0,
        "duration_ns": run.get("Duration") or 0,
        "labels": dict(run.get("Labels") or {}),
    }


#: What empty values are in JSON; there are many in every report, and this is quicker than to serialise them.
_EMPTY = {type(None): b"null", str: b'""', list: b"[]", dict: b"{}", bool: b"false", int: b"0"}


def _json_of(value: Any) -> bytes:
    return dumps(value) if value or type(value) not in _EMPTY else _EMPTY[type(value)]


class Serialised(NamedTuple):
    """A report without its messages, each field serialised; from these, every form of it is joined."""

    before: list[tuple[str, bytes]]
    after: list[tuple[str, bytes]]

    @classmethod
    def of(cls, before: Mapping[str, Any], after: Mapping[str, Any]) -> Self:
        """Serialise the fields that stand before the messages, and after them."""
        return cls(
            [(key, _json_of(value)) for key, value in before.items()],
            [(key, _json_of(value)) for key, value in after.items()],
        )

    def field(self, key: str) -> bytes:
        """A field, as JSON."""
        return next(text for name, text in (*self.before, *self.after) if name == key)

    def objects(self) -> tuple[bytes, bytes]:
        """Both sides as JSON objects."""
        return (
            b"{%b}" % b",".join([_KEYS[key] + text for key, text in self.before]),
            b"{%b}" % b",".join([_KEYS[key] + text for key, text in self.after]),
        )

    def compact(self, messages: Iterable[bytes]) -> bytes:
        """The report on one line, without a newline."""
        before, after = self.objects()
        return b'%b,"Messages":[%b],%b' % (before[:-1], b",".join(messages), after[1:])

    def lines(self, messages: Sequence[bytes]) -> bytes:
        """The report as a file: a line for each top-level field and for each message."""
        said = b'"Messages": [\n    %b\n  ]' % b",\n    ".join(messages) if messages else b'"Messages": []'
        fields = [_LINE_KEYS[key] + text for key, text in self.before]
        fields.append(said)
        fields += [_LINE_KEYS[key] + text for key, text in self.after]
        return b"{\n  %b\n}\n" % b",\n  ".join(fields)


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


_KEYS = _Keys(b":")
_LINE_KEYS = _Keys(b": ")


def compact(before: Mapping[str, Any], messages: Iterable[bytes], after: Mapping[str, Any]) -> bytes:
    """The report on one line, without a newline."""
    return Serialised.of(before, after).compact(messages)


def lines(before: Mapping[str, Any], messages: Sequence[bytes], after: Mapping[str, Any]) -> bytes:
    """The report as a file: a line for each top-level field and for each message."""
    return Serialised.of(before, after).lines(messages)


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
    """Nanoseconds between two times in wire form; 0 when one is missing."""
    first, last = (parse_time(text) for text in (start, end))
    return nanoseconds(last - first) if isinstance(first, datetime) and isinstance(last, datetime) else 0
