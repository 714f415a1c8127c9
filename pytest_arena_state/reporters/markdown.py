"""The summary of results, in Markdown that also reads well on a terminal.

The one renderer: the report, the step summary of a CI job and ``arena-state show`` print the same. Untrusted
text stands in code spans and code blocks, see `text`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, BinaryIO

from ..compare import CellComparison, compare_cells
from ..summary import describe
from .text import code, percent, plural, points, seconds, table, usd

if TYPE_CHECKING:
    from ..trials import Cell
    from .source import Source

SIGNS: Mapping[str, str] = {"passed": "✓", "failed": "✗", "error": "!", "skipped": "-"}
_LISTED = 200  # runs that did not pass and are listed one by one
_ROWS = 100  # scenarios in the matrix
_COLUMNS = 12  # providers in the matrix; more do not fit any screen
_HATS = (2, 3, 5)  # trials in a row


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
    notes = source.notes
    yield "# Arena results\n"
    yield f"{describe(notes.totals)}, {seconds(notes.totals.duration_ns)}\n"
    yield from _completeness(source)
    cells = [cell.without_cases() for cell in notes.cells()]
    changes: dict[tuple[str, str], CellComparison] = {}
    if baseline is not None:
        comparison = compare_cells(baseline.cells(), source.cells())
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
    known = source.completeness
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
    if known.lost or known.troubles:
        yield ""


def _matrix(cells: list[Cell], changes: Mapping[tuple[str, str], CellComparison]) -> Iterator[str]:
    by_place = {(cell.scenario_id, cell.provider_id): cell for cell in cells}
    providers = sorted({cell.provider_id for cell in cells})
    if len(providers) > _COLUMNS:
        providers = _worst_first(cells, lambda cell: cell.provider_id)
    scenarios = _worst_first(cells, lambda cell: cell.scenario_id)
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


def _worst_first(cells: Iterable[Cell], name_of: Callable[[Cell], str]) -> list[str]:
    """The names in the order of their worst cells; there may be as many of them as cells."""
    worst: dict[str, float] = {}
    for cell in cells:
        name = name_of(cell)
        worst[name] = max(worst.get(name, 0.0), _badness(cell))
    return sorted(worst, key=lambda each: (-worst[each], each))


def _badness(cell: Cell) -> float:
    return (cell.counts["failed"] + cell.counts["error"]) / max(1, cell.runs)


def _cell(cell: Cell | None, change: CellComparison | None) -> str:
    if cell is None:
        return ""
    passed, counted = cell.counts["passed"], cell.counted
    if not counted:
        return f"{SIGNS['skipped']} skipped"
    pieces = [f"{SIGNS['passed' if passed == counted else 'failed']} {passed:,}/{counted:,}"]
    if cell.flaky:
        pieces.append("flaky")
    pieces += [usd(cell.mean_cost_usd or 0.0), seconds(cell.median_ns)]
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
    flaky = sorted((cell for cell in cells if cell.flaky), key=lambda cell: -cell.flakiness)
    if not flaky:
        return
    yield "## Trials that disagree\n"
    rows = []
    for cell in flaky[:_ROWS]:
        interval = cell.interval
        assert interval is not None
        rows.append(
            [
                code(cell.scenario_id, table=True),
                code(cell.provider_id, table=True),
                f"{cell.trials:,}",
                f"{percent(cell.pass_rate)} [{percent(interval.low)} to {percent(interval.high)}]",
                *(percent(cell.pass_hat(k)) for k in _HATS),
                percent(cell.flakiness),
            ]
        )
    header = ["scenario", "provider", "trials", "pass rate", *(f"pass^{k}" for k in _HATS), "flakiness"]
    yield table(header, rows, right=frozenset(range(2, len(header))))
    if len(flaky) > _ROWS:
        yield f"\n*{len(flaky) - _ROWS:,} more not shown.*"
    yield ""


def _unsuccessful(source: Source) -> Iterator[str]:
    counts = source.notes.count_unsuccessful()
    heading = gap = ""
    for run in source.notes.unsuccessful(_LISTED):
        if run.status != heading:
            heading = run.status
            title = {"error": "Errors", "failed": "Failed", "skipped": "Skipped"}.get(heading) or code(heading)
            yield f"{gap}## {title} ({counts[heading]:,})\n"
            gap = "\n"
        where = f"{code(run.scenario_id)} with {code(run.provider_id)}"
        yield f"- {SIGNS.get(run.status, '?')} {code(run.stem)}: {where}"
        if run.reason:
            yield f"  {code(run.reason, limit=300)}"
    left = sum(counts.values()) - _LISTED
    if left > 0:
        yield f"\n*{plural(left, 'more run')} not listed.*"


__all__ = ["SIGNS", "cut_blocks", "render_summary", "write"]
