"""The lines that a session leaves on the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ._text import plural, printable, usd

if TYPE_CHECKING:
    from .index import Totals
    from .session import Session

_LISTED = 5  # troubles and losses that are named one by one
_STATUSES = ("passed", "failed", "error", "skipped")


def describe(totals: Totals) -> str:
    """Runs by status, their tokens and their cost, such as ``2 runs (1 passed, 1 failed), 28 tokens, $0.0004``."""
    counts = totals.statuses
    tokens = totals.input_tokens + totals.output_tokens + totals.cached_tokens
    by_status = ", ".join(f"{counts[status]:,} {status}" for status in _STATUSES if counts[status])
    text = plural(counts.total(), "run") + (f" ({by_status})" if by_status else "")
    if totals.superseded:
        text += f", {totals.superseded:,} superseded"
    return f"{text}, {plural(tokens, 'token')}, {usd(totals.cost_usd)}"


def summary_lines(session: Session) -> list[str]:
    """What a session says in the end: one line, and one more for each thing that went wrong."""
    outcome = session.outcome
    assert outcome is not None
    merged = outcome.merged
    pieces: list[str] = []
    totals = outcome.totals
    if totals is not None:
        pieces.append(describe(totals))
        checks = totals.failed_by_checks
        if checks:
            pieces.append(f"{checks:,} failed by its checks alone" if checks == 1 else f"{checks:,} by checks alone")
    else:
        pieces.append(f"no results: {printable(outcome.problem)}")
        if outcome.kept_runs is not None:
            pieces[0] += f"; {plural(outcome.kept_runs, 'run')} kept"
    if merged.workers:
        crashed = f" ({len(merged.crashed)} crashed)" if merged.crashed else ""
        pieces.append(plural(len(merged.workers), "worker") + crashed)
    elif merged.crashed:
        pieces.append(f"{len(merged.crashed)} crashed")
    if merged.interrupted:
        pieces.append(f"{merged.interrupted:,} interrupted")
    if merged.deleted:
        pieces.append(f"{merged.deleted:,} deleted")
    if merged.redacted:
        pieces.append(f"{merged.redacted.total():,} redacted")
    if totals is not None or outcome.kept_runs is not None:
        pieces.append(f"{len(merged.lost):,} lost")
    shown = (outcome.uploaded or session.target.shown_index) if totals is not None else outcome.kept
    lines = [f"arena: {', '.join(pieces)} -> {printable(shown, 1000)}"]
    if outcome.recovered_sessions:
        lines.append(
            f"arena: {plural(merged.recovered, 'run')} recovered from "
            f"{plural(outcome.recovered_sessions, 'session')} that had died"
        )
    lines += _listed(f"lost: {entry['what']}: {entry['why']}" for entry in merged.lost)
    lines += _listed(
        f"{kind}" + (f" ({count} times)" if count > 1 else "") for kind, count in sorted(merged.troubles.items())
    )
    if outcome.not_uploaded:
        lines.append(f"arena: not uploaded to {session.target.url}: {printable(outcome.not_uploaded, 1000)}")
        lines.append(f"arena: to upload it: arena-state upload {printable(session.target.shown, 1000)}")
    if outcome.kept:
        lines.append(advice(session, outcome.kept))
    return lines


def advice(session: Session, kept: str) -> str:
    """What to do about journals that are kept."""
    # Where the results were wanted, there can be none, or nothing beside them: a test put something in its place.
    elsewhere = " -o OUT" if session.problem or session.directory.parent != session.target.journals else ""
    what = f"arena-state recover {printable(kept, 1000)}{elsewhere}"
    return f"arena: journals are kept; to make the report: {what}"


def _listed(texts: Iterable[str]) -> list[str]:
    everything = list(texts)
    lines = [f"arena: {printable(text)}" for text in everything[:_LISTED]]
    if len(everything) > _LISTED:
        lines.append(f"arena: and {len(everything) - _LISTED} more, in the index")
    return lines
