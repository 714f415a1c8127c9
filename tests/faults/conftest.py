"""Prints one table of the faults: event by mode → kept/saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness import MODES, Suite, row_of


@pytest.fixture(params=list(MODES))
def mode(request: pytest.FixtureRequest) -> str:
    """How the suite is run."""
    return str(request.param)


@pytest.fixture
def suite(tmp_path: Path, mode: str) -> Suite:
    """A suite in a folder of its own."""
    return Suite(tmp_path / "suite", mode)


@pytest.fixture
def kept_everything(suite: Suite, record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Assert that every save that returned is in the report, and put the count into the table."""

    def check(event: str) -> None:
        kept, saved = suite.kept()
        record_property(*row_of(event, suite.mode, kept, saved))
        assert saved > 0
        assert (kept, saved) == (saved, saved)

    return check


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    rows: dict[str, dict[str, str]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name == "fault":
                    event, mode, count = value.split("|")
                    rows.setdefault(event, {})[mode] = count
    if not rows:
        return
    terminalreporter.section("saves that were kept")
    terminalreporter.write_line(f"{'event':<52}" + "".join(f"{mode:>18}" for mode in MODES))
    for event, counts in sorted(rows.items()):
        terminalreporter.write_line(f"{event:<52}" + "".join(f"{counts.get(mode, '-'):>18}" for mode in MODES))
