"""A comparison as Markdown, which a terminal shows as well, and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from .markdown import SIGNS, cut_blocks
from .text import code, percent, plural, points, seconds, table, usd

if TYPE_CHECKING:
    from ..compare import Case, CellComparison, Change, Comparison, Evidence
    from ..fail_on import Condition

_LISTED = 50  # tests under each heading
_ROWS = 100  # cells in the table
_EVIDENCE: dict[Evidence, str] = {
    "better": "better, more than noise",
    "worse": "worse, more than noise",
    "noise": "no more than noise",
    "unknown": "too few trials to tell",
}


def render_json(comparison: Comparison, violated: Sequence[str] = ()) -> str:
    """The comparison as JSON; the same input gives the same bytes."""
    return json.dumps({**comparison.to_dict(), "violated": list(violated)}, indent=2, ensure_ascii=False) + "\n"


def render_markdown(
    comparison: Comparison, conditions: Sequence[Condition] = (), *, limit_bytes: int | None = None
) -> str:
    """The comparison as Markdown: for a comment on a pull request, and for a terminal."""
    return cut_blocks(_blocks(comparison, conditions), limit_bytes)


def _blocks(comparison: Comparison, conditions: Sequence[Condition]) -> Iterator[str]:
    yield "# Arena comparison\n"
    violated = [why for condition in conditions if (why := condition.violated(comparison))]
    if conditions:
        yield (
            f"**{SIGNS['failed']} {'; '.join(violated)}**\n"
            if violated
            else f"**{SIGNS['passed']} no limit exceeded**\n"
        )
    yield f"{_headline(comparison)}\n"
    yield from _totals(comparison)
    for title, cases in (
        ("New failures", comparison.new_failures),
        ("Fixed", comparison.fixed),
        ("Flaky", comparison.flaky),
    ):
        if cases:
            yield f"## {title} ({len(cases):,})\n"
            yield from _cases(cases)
    changed = sorted(
        (cell for cell in comparison.cells if _changed(cell)), key=lambda cell: (_rank(cell), cell.scenario_id)
    )
    if changed:
        yield "## Scenarios and providers that changed\n"
        header = ["scenario", "provider", "pass rate", "evidence", "cost", "tokens", "latency", "p95", "turns", "tools"]
        yield table(header, [_row(cell) for cell in changed[:_ROWS]])
        if len(changed) > _ROWS:
            yield f"\n*{len(changed) - _ROWS:,} more not shown.*"
        yield ""
    for title, cells in (
        ("Only in the new results", comparison.added),
        ("Missing from the new results", comparison.missing),
    ):
        if cells:
            yield f"## {title} ({len(cells):,})\n"
            for cell in cells[:_LISTED]:
                yield f"- {code(cell.scenario_id)} with {code(cell.provider_id)} ({plural(cell.runs, 'run')})"
            if len(cells) > _LISTED:
                yield f"- and {len(cells) - _LISTED:,} more"
            yield ""


def _headline(comparison: Comparison) -> str:
    counts = (
        plural(len(comparison.new_failures), "new failure"),
        f"{len(comparison.fixed):,} fixed",
        f"{len(comparison.flaky):,} flaky",
        f"{len(comparison.added):,} added",
        f"{len(comparison.missing):,} missing",
    )
    return f"{', '.join(counts)}; {len(comparison.cells):,} in both"


def _totals(comparison: Comparison) -> Iterator[str]:
    if not comparison.cells:
        return
    base, new = comparison.intervals
    rate = comparison.pass_rate
    if base and new and rate.base is not None and rate.new is not None:
        p_value = "" if comparison.p_value is None else f", p = {comparison.p_value:.2g}"
        yield (
            f"Pass rate {percent(rate.base)} [{percent(base.low)} to {percent(base.high)}] → "
            f"{percent(rate.new)} [{percent(new.low)} to {percent(new.high)}]: "
            f"{points(rate.new - rate.base)}, {_EVIDENCE[comparison.evidence]}{p_value}.\n"
        )
    rows = [
        [name, _amount(name, change.base), _amount(name, change.new), _relative(change)]
        for name, change in comparison.metrics.items()
    ]
    yield table(
        ["per trial, summed over scenarios and providers", "base", "new", "change"], rows, right=frozenset((1, 2, 3))
    )
    yield ""


def _cases(cases: Sequence[Case]) -> Iterator[str]:
    for case in cases[:_LISTED]:
        test = f": {code(case.case)}" if case.case else ""
        yield f"- {code(case.scenario_id)} with {code(case.provider_id)}{test}"
    if len(cases) > _LISTED:
        yield f"- and {len(cases) - _LISTED:,} more"
    yield ""


def _changed(cell: CellComparison) -> bool:
    moved = any(abs(change.relative or 0.0) >= 0.005 for change in cell.metrics.values())
    return moved or bool(cell.new_failures or cell.fixed or cell.flaky or cell.tool_calls or cell.pass_rate.relative)


def _rank(cell: CellComparison) -> int:
    if cell.new_failures or cell.evidence == "worse":
        return 0
    return 1 if cell.flaky else 2 if cell.fixed else 3


def _row(cell: CellComparison) -> list[str]:
    rate = cell.pass_rate
    tools = [
        f"{code(tool, table=True)} {_number(change.base)} → {_number(change.new)}"
        for tool, change in cell.tool_calls.items()
    ]
    return [
        code(cell.scenario_id, table=True),
        code(cell.provider_id, table=True),
        percent(rate.new) if rate.base == rate.new else f"{percent(rate.base)} → {percent(rate.new)}",
        _EVIDENCE[cell.evidence],
        *(_relative(cell.metrics[name]) for name in ("cost", "tokens", "latency", "latency-p95", "turns")),
        ", ".join(tools[:5]) + (f" and {len(tools) - 5} more" if len(tools) > 5 else ""),
    ]


def _relative(change: Change) -> str:
    relative = change.relative
    if relative is None:
        return "-"
    if math.isinf(relative):
        return "was 0"
    return "=" if not relative else f"{relative * 100:+.1f}%" if abs(relative) < 0.1 else f"{relative * 100:+.0f}%"


def _amount(metric: str, value: float | None) -> str:
    if value is None:
        return "-"
    if metric == "cost":
        return usd(value)
    return seconds(value) if metric.startswith("latency") else _number(value)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}".removesuffix(".0")


__all__ = ["render_json", "render_markdown"]
