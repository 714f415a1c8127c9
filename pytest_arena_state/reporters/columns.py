"""A run as a row of a table: the columns of CSV and Parquet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .._times import format_time

if TYPE_CHECKING:
    from .source import Reported

Value = str | int | float | bool | None

COLUMNS: Mapping[str, type] = {
    "stem": str,
    "run_id": str,
    "status": str,
    "reason": str,
    "superseded": bool,
    "scenario_id": str,
    "provider_id": str,
    "region": str,
    "prompt_pack": str,
    "start_time": str,
    "end_time": str,
    "duration_seconds": float,
    "messages": int,
    "turns": int,
    "tool_calls": int,
    "violations": int,
    "assertions": int,
    "assertions_failed": int,
    "input_tokens": int,
    "output_tokens": int,
    "cached_tokens": int,
    "cost_usd": float,
    "feedback_rating": int,
    "tags": str,
    "nodeid": str,
    "attempt": str,
    "worker": str,
    "outcome": str,
}
"""The columns in their order, with their types. Tags are joined by a semicolon."""


def row_of(each: Reported) -> dict[str, Value]:
    """A run's row; None where nothing is known."""
    row, run = each.row, each.run
    label: Any = row.labels.get
    return {
        "stem": each.stem,
        "run_id": row.run_id,
        "status": row.status,
        "reason": each.reason,
        "superseded": row.superseded,
        "scenario_id": row.scenario_id,
        "provider_id": row.provider_id,
        "region": row.region,
        "prompt_pack": run.prompt_pack,
        "start_time": format_time(run.start_time) if run.start_time else None,
        "end_time": format_time(run.end_time) if run.end_time else None,
        "duration_seconds": row.duration_ns / 1e9,
        "messages": len(run.messages),
        "turns": sum(message.role == "user" for message in run.messages),
        "tool_calls": run.tool_stats.total_calls if run.tool_stats else 0,
        "violations": len(run.violations),
        "assertions": run.conversation_assertions.total,
        "assertions_failed": run.conversation_assertions.failed,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "cached_tokens": row.cached_tokens,
        "cost_usd": row.cost_usd,
        "feedback_rating": run.user_feedback.rating if run.user_feedback else None,
        "tags": ";".join(run.session_tags),
        "nodeid": label("pytest.nodeid"),
        "attempt": label("pytest.attempt"),
        "worker": label("pytest.worker"),
        "outcome": label("pytest.outcome"),
    }
