"""The reports that a session was asked to write beside its results.

What goes wrong here is said in a line: the results are there, and a report can be made later.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .target import is_url, place_of

if TYPE_CHECKING:
    from .reporters.source import Source
    from .target import Target


@dataclass
class ReportsAfterSession:
    """What was asked for, and what became of it."""

    directory: Path
    """What the files are relative to."""
    root: Path
    """What node ids are relative to."""
    files: dict[str, str] = field(default_factory=dict)
    """By format, as the user gave them."""
    github: bool = False
    baseline: str = ""
    troubles: list[str] = field(default_factory=list)
    """Each in a line."""
    annotations: list[str] = field(default_factory=list)
    """Commands for GitHub Actions, to be printed."""
    _before: Source | None = None
    _begun: set[str] = field(default_factory=set)

    @property
    def wanted(self) -> bool:
        """There is something to do."""
        return bool(self.files or self.github)

    def remember(self) -> None:
        """Read the baseline, before the session may replace it: its own path is a sensible one."""
        if not (self.wanted and self.baseline):
            return
        from .reporters.source import open_source

        with self._said(f"no baseline {self.baseline}"):
            place = self.baseline if is_url(self.baseline) else place_of(self.baseline, self.directory)
            source = open_source(place, name=self.baseline)
            source.notes  # noqa: B018 - asked for now, kept for later
            self._before = source

    def write(self, target: Target) -> None:
        """Write what was asked for of the results that were published."""
        if not self.wanted:
            return
        from . import github
        from .reporters import write_report
        from .reporters.source import open_source

        sources: list[Source] = []

        def source() -> Source:
            if not sources:
                sources.append(open_source(target.path, name=target.shown))
            return sources[0]

        for format, file in self.files.items():
            self._begun.add(file)
            with self._said(f"no {file}"):
                write_report(source(), place_of(file, self.directory), format, baseline=self._before)
        if self.github:
            with self._said("no GitHub summary"):
                if github.write_step_summary(source(), baseline=self._before):
                    self.annotations.extend(github.failure_annotations(source(), self.root))

    def cut_short(self, by: str) -> None:
        """Say which files nobody began to write."""
        self.troubles += [f"no {file}: {by}" for file in self.files.values() if file not in self._begun]

    @contextmanager
    def _said(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - our failure must not fail the suite
            self.troubles.append(f"{what}: {error}")
        except BaseException as error:
            self.troubles.append(f"{what}: {type(error).__name__}")
            raise


__all__ = ["ReportsAfterSession"]
