"""The summary of results and the transcript of a run, in Markdown that also reads well on a terminal.

The one renderer of both: the report, the step summary of a CI job and ``arena-state show`` print the
same. Untrusted text stands in code spans and code blocks, see `text`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

from .._wire import format_time, nanoseconds
from ..compare import CellComparison, compare
from ..summary import index_line
from ..telemetry import status_of
from ..trials import Cell, cells_of, flakiness, wilson
from .source import Reported, Source, reason_of
from .text import code, fence, percent, plural, points, seconds, table, usd

if TYPE_CHECKING:
    from ..messages import Message
    from ..models import RunResult

SIGNS: Mapping[str, str] = {"passed": "✓", "failed": "✗", "error": "!", "skipped": "-"}
_ORDER = ("error", "failed", "skipped", "passed")
_LISTED = 200  # runs that did not pass and are listed one by one
_ROWS = 100  # scenarios in the matrix
_COLUMNS = 12  # providers in the matrix; more do not fit any screen
_HATS = (2, 3, 5)  # trials in a row
_TEXT_LIMIT = 20_000  # characters of one text in a transcript


def write(source: Source, stream: BinaryIO, *, baseline: Source | None = None) -> None:
    """Write the summary."""
    stream.write(render_summary(source, baseline=baseline).encode("utf-8", "replace"))


def render_summary(source: Source, *, baseline: Source | None = None, limit_bytes: int | None = None) -> str:
    """The summary: totals, the matrix of scenarios and providers, then what did not pass, errors first.

    Args:
        source: What is summed up.
        baseline: Results to show the change against.
        limit_bytes: At most so many bytes of UTF-8. Whole lines are left out at the end, and a line says so.
    """
    return cut_blocks(_summary_blocks(source, baseline), limit_bytes)


def cut_blocks(blocks: Iterable[str], limit_bytes: int | None) -> str:
    """Blocks of Markdown as one text; those that do not fit are left out, and the last line says how many."""
    kept: list[str] = []
    room = None if limit_bytes is None else limit_bytes - 100  # for the line that says so
    dropped = 0
    for block in blocks:
        size = len(block.encode("utf-8", "replace")) + 1
        if room is not None and (dropped or size > room):
            dropped += 1
            continue
        room = None if room is None else room - size
        kept.append(block)
    if dropped:
        kept.append(f"\n*Cut here: {plural(dropped, 'more part')} did not fit.*")
    return "\n".join(kept).strip("\n") + "\n"


def _summary_blocks(source: Source, baseline: Source | None) -> Iterator[str]:
    yield "# Arena results\n"
    yield f"{index_line(source.index)}, {code(source.index.total_duration)}\n"
    yield from _completeness(source)
    trials = source.trials()
    cells = cells_of(trials)
    changes: dict[tuple[str, str], CellComparison] = {}
    if baseline is not None:
        comparison = compare(baseline.trials(), trials)
        changes = {(each.scenario_id, each.provider_id): each for each in comparison.cells}
        found = (
            plural(len(comparison.new_failures), "new failure"),
            f"{len(comparison.fixed):,} fixed",
            f"{len(comparison.flaky):,} flaky",
            f"{len(comparison.missing):,} missing",
        )
        yield f"Against {code(baseline.name or 'the baseline')}: {', '.join(found)}.\n"
    if cells:
        yield "## Scenarios and providers\n"
        yield from _matrix(cells, changes)
        yield from _disagreeing(cells)
    yield from _unsuccessful(source)


def _completeness(source: Source) -> Iterator[str]:
    known = source.index.completeness
    counts = (
        ("crashed worker", known.crashed),
        ("interrupted run", known.interrupted),
        ("lost run", len(known.lost)),
        ("trouble", sum(known.troubles.values())),
    )
    pieces = [plural(count, noun) for noun, count in counts if count]
    if pieces:
        yield f"**Not complete:** {', '.join(pieces)}.\n"
    for entry in known.lost[:20]:
        yield f"- lost: {code(entry.what)}: {code(entry.why)}"
    for kind, count in sorted(known.troubles.items())[:20]:
        yield f"- {code(kind)} ({count:,})"
    if pieces:
        yield ""


def _matrix(cells: list[Cell], changes: Mapping[tuple[str, str], CellComparison]) -> Iterator[str]:
    by_place = {(cell.scenario_id, cell.provider_id): cell for cell in cells}
    providers = sorted({cell.provider_id for cell in cells})
    scenarios = sorted(
        {cell.scenario_id for cell in cells},
        key=lambda each: (-max(_badness(by_place.get((each, provider))) for provider in providers), each),
    )
    shown = providers[:_COLUMNS]
    rows = [
        [
            code(scenario, table=True),
            *(_cell(by_place.get((scenario, each)), changes.get((scenario, each))) for each in shown),
        ]
        for scenario in scenarios[:_ROWS]
    ]
    yield table(["scenario", *(code(each, table=True) for each in shown)], rows)
    yield ""
    left = [
        plural(len(names) - limit, noun)
        for names, limit, noun in ((scenarios, _ROWS, "more scenario"), (providers, _COLUMNS, "more provider"))
        if len(names) > limit
    ]
    if left:
        yield f"*{' and '.join(left)} not shown, in the order of what did not pass.*\n"


def _badness(cell: Cell | None) -> float:
    return 0.0 if cell is None else (cell.counts["failed"] + cell.counts["error"]) / max(1, cell.counts.total())


def _cell(cell: Cell | None, change: CellComparison | None) -> str:
    if cell is None:
        return ""
    passed, counted = cell.counts["passed"], cell.counted
    if not counted:
        return f"{SIGNS['skipped']} skipped"
    pieces = [f"{SIGNS['passed' if passed == counted else 'failed']} {passed:,}/{counted:,}"]
    if cell.flaky:
        pieces.append("flaky")
    pieces += [usd(cell.mean_cost_usd or 0.0), seconds(cell.latency_ns(0.5))]
    if change is not None:
        rate = change.pass_rate
        if rate.base is not None and rate.new is not None and rate.base != rate.new:
            noise = " (noise)" if change.evidence == "noise" else ""
            pieces.append(f"{points(rate.new - rate.base)}{noise}")
        cost = change.metrics["cost"].relative
        if cost is not None and abs(cost) >= 0.05:
            pieces.append(f"cost {cost * 100:+.0f}%" if cost != float("inf") else "cost was $0")
    return ", ".join(pieces)


def _disagreeing(cells: list[Cell]) -> Iterator[str]:
    flaky = sorted((cell for cell in cells if cell.flaky), key=lambda cell: -flakiness(cell))
    if not flaky:
        return
    yield "## Trials that disagree\n"
    rows = []
    for cell in flaky[:_ROWS]:
        interval = wilson(cell.passed, len(cell.trials))
        rows.append(
            [
                code(cell.scenario_id, table=True),
                code(cell.provider_id, table=True),
                f"{len(cell.trials):,}",
                f"{percent(cell.pass_rate)} [{percent(interval.low)} to {percent(interval.high)}]",
                *(percent(cell.pass_hat(k)) for k in _HATS),
                percent(flakiness(cell)),
            ]
        )
    header = ["scenario", "provider", "trials", "pass rate", *(f"pass^{k}" for k in _HATS), "flakiness"]
    yield table(header, rows, right=frozenset(range(2, len(header))))
    if len(flaky) > _ROWS:
        yield f"\n*{len(flaky) - _ROWS:,} more not shown.*"
    yield ""


def _unsuccessful(source: Source) -> Iterator[str]:
    rank = {status: place for place, status in enumerate(_ORDER)}
    listed = sorted(
        (
            (rank.get(row.status, 0), place, stem, row)
            for place, (stem, row) in enumerate(source.rows)
            if row.status != "passed" and not row.superseded
        ),
        key=lambda each: each[:2],
    )
    if not listed:
        return
    reasons = source.reasons()
    heading = gap = ""
    for _, _, stem, row in listed[:_LISTED]:
        if row.status != heading:
            heading = row.status
            count = sum(each.status == heading for *_, each in listed)
            title = {"error": "Errors", "failed": "Failed", "skipped": "Skipped"}.get(heading, heading)
            yield f"{gap}## {title} ({count:,})\n"
            gap = "\n"
        where = f"{code(row.scenario_id)} with {code(row.provider_id)}"
        yield f"- {SIGNS.get(row.status, '?')} {code(stem)}: {where}"
        if reasons.get(stem):
            yield f"  {code(reasons[stem], limit=300)}"
    if len(listed) > _LISTED:
        yield f"\n*{plural(len(listed) - _LISTED, 'more run')} not listed.*"


# --- one run ---------------------------------------------------------------------------------


def render_transcript(run: RunResult | Reported, *, limit_bytes: int | None = None) -> str:
    """The transcript of a run: what is known of it, then every message, then why it did not pass."""
    if isinstance(run, Reported):
        return cut_blocks(_transcript_blocks(run.run, run.row.status), limit_bytes)
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
        pieces += [plural(message.cost_info.total_tokens, "token"), usd(message.cost_info.total_cost_usd)]
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


__all__ = ["SIGNS", "cut_blocks", "render_summary", "render_transcript", "write"]
