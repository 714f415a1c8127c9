"""What GitHub Actions shows of a run: a step summary, and annotations of failed runs."""

from __future__ import annotations

import os
import posixpath
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


def failure_annotations(source: Source, root: Path, environ: Mapping[str, str] = os.environ) -> Iterator[str]:
    """Workflow commands that annotate the first failed runs.

    Args:
        source: The runs.
        root: What node ids are relative to. GitHub finds a file by its path from the checkout, of which that may be a
            folder.
        environ: Says where the checkout is.
    """
    folder = _within(root, environ.get("GITHUB_WORKSPACE", ""))
    counts = source.notes.count_unsuccessful()
    total = sum(count for status, count in counts.items() if status != "skipped")
    for run in source.notes.unsuccessful(min(total, ANNOTATIONS)):
        title = " / ".join(filter(None, (run.scenario_id, run.provider_id))) or run.stem
        path = posixpath.normpath(posixpath.join(folder, run.nodeid.partition("::")[0]))
        file = f"file={_property(path)}," if "::" in run.nodeid else ""
        yield f"::error {file}title={_property(f'arena: {title}')}::{_data(run.reason or run.status)}"
    if total > ANNOTATIONS:
        yield f"::notice title=arena::{total - ANNOTATIONS} more failed runs are in the results"


def _within(root: Path, checkout: str) -> str:
    """A folder as seen from the checkout; empty where it is not in there."""
    root, above = root.resolve(), Path(checkout).resolve()
    return root.relative_to(above).as_posix() if checkout and root.is_relative_to(above) else ""


def _data(text: str) -> str:
    return visible(text[:4000]).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text[:300]).replace(":", "%3A").replace(",", "%2C")
