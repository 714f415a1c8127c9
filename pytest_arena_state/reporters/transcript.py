"""The transcript of a run, in Markdown that also reads well on a terminal.

What models said stands in code blocks, see `text`: it is shown and never obeyed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .._times import format_time, nanoseconds
from ..prices import ORIGIN_KEY
from ..telemetry import status_of
from .markdown import SIGNS, cut_blocks
from .source import Reported, reason_of
from .text import code, fence, percent, plural, seconds, usd

if TYPE_CHECKING:
    from ..messages import Message
    from ..models import RunResult

_TEXT_LIMIT = 20_000  # characters of one text in a transcript


def render_transcript(run: RunResult | Reported, *, limit_bytes: int | None = None) -> str:
    """The transcript of a run: what is known of it, then every message, then why it did not pass."""
    if isinstance(run, Reported):
        status = run.row.status  # of an index that anybody may have written
        return cut_blocks(_transcript_blocks(run.run, status if status in SIGNS else code(status)), limit_bytes)
    return cut_blocks(_transcript_blocks(run, status_of(run.to_dict())), limit_bytes)


def _transcript_blocks(run: RunResult, status: str) -> Iterator[str]:
    yield f"# {SIGNS.get(status, '?')} {code(run.run_id)}\n"
    yield from _facts(run, status)
    if status != "passed" and (reason := reason_of(run)):
        yield f"\n**{status}:** {code(reason, limit=300)}"
    turn = 0
    answered = {message.tool_result.id for message in run.messages if message.tool_result and message.tool_result.id}
    for place, message in enumerate(run.messages):
        if message.role == "user":
            turn += 1
            yield f"\n## Turn {turn}"
        yield from _message(message, answered)
        for result in run.conversation_assertions.results:
            for violation in result.violations:
                if not result.passed and violation.turn_index == place:
                    yield f"\n✗ {code(result.type)}: {code(violation.description, limit=300)}"
    yield from _verdicts(run)


def _facts(run: RunResult, status: str) -> Iterator[str]:
    cost = run.cost
    cached = f", {cost.cached_tokens:,} cached" if cost.cached_tokens else ""
    facts = {
        "status": status,
        "scenario": code(run.scenario_id),
        "provider": code(run.provider_id),
        "region": code(run.region) if run.region else "",
        "prompt pack": code(run.prompt_pack) if run.prompt_pack else "",
        "persona": code(run.persona_id) if run.persona_id else "",
        "started": format_time(run.start_time) if run.start_time else "",
        "duration": seconds(nanoseconds(run.duration)) if run.duration else "",
        "tokens": f"{cost.input_tokens:,} in, {cost.output_tokens:,} out{cached}" if cost.total_tokens else "",
        "cost": usd(cost.total_cost_usd) if cost.total_cost_usd else "",
        "tools": ", ".join(f"{code(tool)} {count:,}" for tool, count in run.tool_stats.by_tool.items())
        if run.tool_stats
        else "",
        "tags": ", ".join(map(code, run.session_tags)),
        "labels": ", ".join(code(f"{key}={value}") for key, value in run.labels.items()),
    }
    for name, value in facts.items():
        if value:
            yield f"- {name}: {value}"


def _message(message: Message, answered: set[str]) -> Iterator[str]:
    result = message.tool_result
    if result is not None:
        spent = f", {result.latency_ms:,} ms" if result.latency_ms else ""
        yield f"\n**tool** {code(result.name or result.id)} returned{spent}\n"
        if message.text:
            yield _block(message.text)
        if result.error:
            yield f"✗ {code(result.error, limit=1000)}"
    else:
        yield f"\n**{_role(message.role)}**{_spent(message)}\n"
        if message.reasoning is not None and message.reasoning.text:
            yield f"*reasoning*\n{_block(message.reasoning.text)}"
        if message.text:
            yield _block(message.text)
    for part in message.parts:
        if part.media is not None:
            media = part.media
            where = media.file_path or media.url or media.storage_reference
            caption = f" {code(media.caption)}" if media.caption else ""
            at = f" at {code(where)}" if where else ""
            yield f"- {code(part.type)} {code(media.mime_type)}, {plural(media.size_bytes, 'byte')}{at}{caption}"
    for call in message.tool_calls:
        missing = "" if call.id in answered else " (no result)"
        yield f"calls {code(call.name)}{missing}\n{_block(_pretty(call.args), 'json')}"
    for check in message.validations:
        details = f" {code(_pretty(check.details, indent=None), limit=300)}" if check.details else ""
        yield f"{SIGNS['passed' if check.passed else 'failed']} validation {code(check.validator_type)}{details}"
    assertions = message.meta.get("assertions")
    if isinstance(assertions, Mapping):
        sign = SIGNS["failed" if assertions.get("passed") is False else "passed"]
        yield f"{sign} assertions\n{_block(_pretty(assertions), 'json')}"


def _role(role: str) -> str:
    return role if role in ("system", "user", "assistant", "tool") else code(role)


def _spent(message: Message) -> str:
    pieces = []
    if message.latency_ms:
        pieces.append(seconds(message.latency_ms * 1e6))
    if message.cost_info is not None:
        origin = message.meta.get(ORIGIN_KEY)
        by = f" {code(origin, limit=60)}" if isinstance(origin, str) and origin else ""
        pieces += [plural(message.cost_info.total_tokens, "token"), usd(message.cost_info.total_cost_usd) + by]
    return f" ({', '.join(pieces)})" if pieces else ""


def _block(text: str, language: str = "text") -> str:
    if len(text) > _TEXT_LIMIT:
        left = len(text) - _TEXT_LIMIT
        return f"{fence(text[:_TEXT_LIMIT], language)}\n*{plural(left, 'more character')} not shown.*"
    return fence(text, language)


def _pretty(value: Any, *, indent: int | None = 2) -> str:
    return json.dumps(value, indent=indent, ensure_ascii=False, default=str)


def _verdicts(run: RunResult) -> Iterator[str]:
    results = run.conversation_assertions.results
    if results:
        summary = run.conversation_assertions
        share = percent(1 - summary.failed / summary.total) if summary.total else "-"
        yield f"\n## Assertions ({share} passed)\n"
    for result in results:
        sign = SIGNS["passed" if result.passed else "failed"]
        yield f"- {sign} {code(result.type or 'assertion')}: {code(result.message, limit=300)}"
        if not result.passed and "\n" in result.message.strip():
            yield _block(result.message)
    if run.error:
        yield f"\n## Error\n\n{_block(run.error)}"


__all__ = ["render_transcript"]
