"""The hooks that this plugin offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from .models import RunResult
    from .results import Index


def pytest_arena_run(config: pytest.Config, run: RunResult) -> None:
    """Look at, or change in place, each run of a test.

    Called once for a run, in the process that ran the test, when all is known of how the test
    ended. An exception is counted and named in the summary. Runs that are recovered from the
    journal of a process that died do not get here.
    """


def pytest_arena_results(config: pytest.Config, path: Path, index: Index) -> None:
    """Do something with results that have just been published.

    Called once, in the process that published them, with the results' path and a copy of
    their index. An exception is named in the summary.
    """


@pytest.hookspec(firstresult=True)
def pytest_arena_redact(config: pytest.Config, text: str) -> str | None:
    """Take secrets out of a text before it is written.

    Called for every string value that is journaled, after the built-in rules, but for times in
    their fields and the names of media files. Return the text to write, or None to leave it as
    it is. Where this raises, the text is withheld.
    """
