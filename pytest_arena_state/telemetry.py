"""What a report derives from the messages: cost, tool calls, violations, media, verdict.

Pure functions over the wire form of a message (the dict that its JSON is). What a message
contributes is computed once, when it is saved; a report only adds the contributions up.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

from ._times import INT64, ZERO_TIME
from ._wire import JSON, dumps
from .messages import decoded_size, int64

Status: TypeAlias = Literal["passed", "failed", "error", "skipped"]

#: The conversation assertion that says how the test ended.
OUTCOME_ASSERTION = "pytest.outcome"
#: The one that says whether it kept to its marker's budget.
BUDGET_ASSERTION = "pytest.budget"

#: Costs that Arena's pipeline leaves in a message's meta.
_META_COSTS = ("self_play_cost", "tts_cost", "stt_cost", "embedding_cost", "image_gen_cost")
_INT_COSTS = ("input_tokens", "output_tokens", "cached_tokens")
_FLOAT_COSTS = ("input_cost_usd", "output_cost_usd", "cached_cost_usd", "total_cost_usd")
_NO_TOKENS = dict.fromkeys(_INT_COSTS, 0)
_NO_DOLLARS = dict.fromkeys(_FLOAT_COSTS, 0.0)
_MOST = sys.float_info.max
_OPTIONAL_COSTS = ("cached_tokens", "cached_cost_usd")
_USUAL_COSTS = tuple(key for key in (*_INT_COSTS, *_FLOAT_COSTS) if key not in _OPTIONAL_COSTS)
_THUMBNAIL_LIMIT = 50_000  # characters of base64; longer images get no thumbnail


class MessageFacts(NamedTuple):
    """What one message contributes to its run's report."""

    role: str
    costs: tuple[Mapping[str, Any], ...] = ()
    tools: tuple[str, ...] = ()
    violations: tuple[dict[str, str], ...] = ()
    media: tuple[dict[str, Any], ...] = ()
    asserted: bool = False
    """The message carries assertions of its turn."""
    failed: bool = False
    """One of them failed."""


_NOTHING_FURTHER = MessageFacts("")[2:]


def further(facts: Iterable[MessageFacts]) -> bool:
    """Whether any message contributes more than its cost."""
    return any([fact[2:] != _NOTHING_FURTHER for fact in facts])  # noqa: C419 - faster than a generator for so few


#: What a message that is nothing but text contributes, by its role.
OF_TEXT = {role: MessageFacts(role) for role in ("user", "assistant", "system", "tool")}


def facts_of(message: Mapping[str, Any]) -> MessageFacts:
    """What a message, in its wire form, contributes."""
    role = message.get("role") or ""
    cost = message.get("cost_info")
    meta = message.get("meta")
    calls = message.get("tool_calls")
    validations = message.get("validations")
    parts = message.get("parts")
    if not (meta or calls or validations or parts):
        # The common case: most messages are text, some with a cost.
        if cost:
            return MessageFacts(role, (cost,))
        return OF_TEXT.get(role) or MessageFacts(role)
    costs: list[Mapping[str, Any]] = [cost] if cost else []
    asserted = failed = False
    if isinstance(meta, Mapping):
        costs += [meta[key] for key in _META_COSTS if isinstance(meta.get(key), Mapping)]
        asserted, failed = _turn_assertions(meta.get("assertions"))
    return MessageFacts(
        role,
        tuple(costs),
        tuple(call.get("name") or "" for call in calls or ()),
        tuple(violation(entry) for entry in validations or () if not entry.get("passed")),
        tuple(_media_outputs(parts)) if parts and role == "assistant" else (),
        asserted,
        failed,
    )


def _turn_assertions(assertions: JSON) -> tuple[bool, bool]:
    if not isinstance(assertions, Mapping):
        return False, False
    passed = assertions.get("passed")
    return True, passed is False


def violation(validation: Mapping[str, Any]) -> dict[str, str]:
    """The report's entry for a validation that failed."""
    return {
        "type": validation.get("validator_type") or "",
        "tool": "",
        "detail": dumps(validation.get("details") or {}).decode("utf-8"),
    }


def _media_outputs(parts: Iterable[Mapping[str, Any]]) -> Iterable[dict[str, Any]]:
    for index, part in enumerate(parts):
        media = part.get("media")
        if not isinstance(media, Mapping):
            continue
        data = media.get("data") or ""
        size_kb = media.get("size_kb")
        is_image = part.get("type") == "image"
        yield {
            "Type": part.get("type") or "",
            "MIMEType": media.get("mime_type") or "",
            "SizeBytes": int64(size_kb * 1024) if size_kb is not None else decoded_size(data),
            "Duration": media.get("duration"),
            "Width": media.get("width"),
            "Height": media.get("height"),
            "FilePath": media.get("file_path") or "",
            "Thumbnail": data if is_image and len(data.encode("utf-8", "replace")) <= _THUMBNAIL_LIMIT else "",
            "MessageIdx": 0,  # known where the messages are added up
            "PartIdx": index,
        }


def total_cost(facts: Iterable[MessageFacts]) -> dict[str, Any]:
    """The sum over the messages of every role, each field from its own field."""
    costs = [cost for fact in facts for cost in fact.costs]
    return _usual_total(costs) or _any_total(costs)


def _usual_total(costs: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The sum of costs that all have the five fields that every cost has, and no other one."""
    given = taken = 0
    given_usd = taken_usd = total_usd = 0.0
    for cost in costs:
        if tuple(cost) != _USUAL_COSTS:
            return None
        a, b, c, d, e = cost.values()
        try:
            given += a
            taken += b
            given_usd += c
            taken_usd += d
            total_usd += e
        except TypeError:  # a message's meta may hold anything under these names
            return None
    if type(given) is not int or type(taken) is not int or max(abs(given), abs(taken)) >= INT64:
        return None
    if not math.isfinite(given_usd + taken_usd + total_usd):
        return None
    return dict(zip(_USUAL_COSTS, (given, taken, given_usd, taken_usd, total_usd), strict=True))


def _any_total(costs: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {**_NO_TOKENS, **_NO_DOLLARS}
    for cost in costs:
        for key, value in cost.items():
            if key in _NO_DOLLARS:
                if isinstance(value, int | float):
                    out[key] += value
            elif key in _NO_TOKENS:
                out[key] += _whole(value)
    for key in _INT_COSTS:
        if not -INT64 <= out[key] < INT64:
            out[key] = int64(out[key])
    for key in _FLOAT_COSTS:
        out[key] = finite(out[key])
    for key in _OPTIONAL_COSTS:
        if not out[key]:
            del out[key]
    return out


def _whole(value: object) -> int:
    """Tokens as a message's meta may have them: what wrote its JSON may have made a 12.0 of 12."""
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, float) and math.isfinite(value) else 0


def finite(value: float) -> float:
    """The nearest number that JSON has: a sum of dollars may be larger than any."""
    return 0.0 if value != value else min(max(value, -_MOST), _MOST)


def tool_stats(facts: Iterable[MessageFacts]) -> dict[str, Any] | None:
    """Calls by tool name, sorted by name; None when no tool was called."""
    counts: dict[str, int] = {}
    for fact in facts:
        for name in fact.tools:
            counts[name] = counts.get(name, 0) + 1
    if not counts:
        return None
    return {"total_calls": sum(counts.values()), "by_tool": dict(sorted(counts.items()))}


def violations(facts: Iterable[MessageFacts]) -> list[dict[str, str]]:
    """Every validation that failed, in order."""
    return [entry for fact in facts for entry in fact.violations]


def media_outputs(facts: Iterable[MessageFacts]) -> list[dict[str, Any]]:
    """Every media part of an assistant message, in order."""
    return [{**entry, "MessageIdx": index} for index, fact in enumerate(facts) for entry in fact.media]


def turn_validations(messages: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every validation with the number of user messages that have been seen up to it."""
    out = []
    turn = 0
    for message in messages:
        if message.get("role") == "user":
            turn += 1
        for entry in message.get("validations") or ():
            row = {
                "turn_index": turn,
                "timestamp": entry.get("timestamp") or ZERO_TIME,
                "validator_type": entry.get("validator_type") or "",
                "passed": bool(entry.get("passed")),
            }
            if entry.get("details"):
                row["details"] = entry["details"]
            out.append(row)
    return out


def assertions_summary(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The assertions on the conversation, counted; no assertion at all has passed."""
    failed = sum(not result.get("passed") for result in results)
    return {"failed": failed, "passed": not failed, "results": list(results), "total": len(results)}


def decide(
    *,
    error: str,
    skipped: bool,
    results: Iterable[Mapping[str, Any]],
    turn_asserted: bool,
    turn_failed: bool,
    violated: bool,
) -> Status:
    """The one predicate behind every report.

    A run passed when its error is empty, no assertion of a turn or of the conversation
    failed, and it has no violation that no assertion accounts for. The assertions that say
    how the test ended and what it took account for no violation; any other one does.

    Args:
        error: The run's ``Error``.
        skipped: The test skipped; then it neither passed nor failed.
        results: The assertions on the conversation.
        turn_asserted: Some message carries assertions of its turn.
        turn_failed: One of these failed.
        violated: Some validation failed.
    """
    if error:
        return "error"
    if skipped:
        return "skipped"
    accounted = turn_asserted
    for result in results:
        if not result.get("passed"):
            return "failed"
        accounted = accounted or result.get("type") not in (OUTCOME_ASSERTION, BUDGET_ASSERTION)
    return "failed" if turn_failed or (violated and not accounted) else "passed"


def status_of(run: Mapping[str, Any], facts: Sequence[MessageFacts] | None = None) -> Status:
    """The status of a run in its wire form; ``facts`` of its messages where they are known."""
    if facts is None:
        facts = [facts_of(message) for message in run.get("Messages") or ()]
    summary = run.get("conversation_assertions") or {}
    return decide(
        error=run.get("Error") or "",
        skipped=bool(run.get("Skipped")),
        results=summary.get("results") or (),
        turn_asserted=any(fact.asserted for fact in facts),
        turn_failed=any(fact.failed for fact in facts),
        violated=bool(run.get("Violations")),
    )


def only_provider(facts: Iterable[MessageFacts]) -> str:
    """The provider that the costs name, when they name exactly one; else empty."""
    given = [cost.get("provider_name") for fact in facts for cost in fact.costs]
    names = {name for name in given if name and isinstance(name, str)}  # a message's meta may have anything there
    return names.pop() if len(names) == 1 else ""
