"""What GitHub Actions shows of a run: a step summary, and annotations of failed runs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from .reporters import markdown
from .reporters.text import visible

if TYPE_CHECKING:
    from .reporters.source import Source

SUMMARY_LIMIT = 900_000  # bytes; GitHub refuses a step summary over 1 MiB, of all tools of a step together
ANNOTATIONS = 10  # GitHub shows no more of one kind for a step


def write_step_summary(
    source: Source, environ: Mapping[str, str] = os.environ, *, baseline: Source | None = None
) -> bool:
    """Append the Markdown report to the step summary; False where there is none.

    Raises:
        OSError: The summary cannot be written.
    """
    path = environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        return False
    with Path(path).open("a", encoding="utf-8", newline="\n") as summary:
        summary.write(markdown.render_summary(source, baseline=baseline, limit_bytes=SUMMARY_LIMIT) + "\n")
    return True


def failure_annotations(source: Source) -> Iterator[str]:
    """Workflow commands that annotate the first failed runs."""
    counts = source.notes.count_unsuccessful()
    total = sum(count for status, count in counts.items() if status != "skipped")
    for run in source.notes.unsuccessful(min(total, ANNOTATIONS)):
        title = " / ".join(filter(None, (run.scenario_id, run.provider_id))) or run.stem
        file = f"file={_property(run.nodeid.partition('::')[0])}," if "::" in run.nodeid else ""
        yield f"::error {file}title={_property(f'arena: {title}')}::{_data(run.reason or run.status)}"
    if total > ANNOTATIONS:
        yield f"::notice title=arena::{total - ANNOTATIONS} more failed runs are in the results"


def _data(text: str) -> str:
    return visible(text[:4000]).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text[:300]).replace(":", "%3A").replace(",", "%2C")
