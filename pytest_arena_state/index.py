"""The index of results: Arena's keys, and ours beside them."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Annotated, Any, ClassVar, Self

from pydantic import Field

from ._times import parse_time
from ._wire import (
    FreeMap,
    Int,
    NoneIsEmptyList,
    NoneIsEmptyMap,
    Text,
    TextList,
    TextMap,
    Time,
    WireModel,
    dumps,
    loads,
)
from .rates import rate_of
from .telemetry import finite

FORMAT_VERSION = 1


class LostEntry(WireModel):
    """Something that was saved and is not in the results."""

    always_written: ClassVar[frozenset[str]] = frozenset(("*",))

    what: Text = ""
    why: Text = ""


class Completeness(WireModel):
    """Whether everything that was saved is there."""

    always_written: ClassVar[frozenset[str]] = frozenset(("*",))

    sessions: int = 0
    workers: int = 0
    crashed: int = 0
    interrupted: int = 0
    deleted: int = 0
    lost: Annotated[list[LostEntry], NoneIsEmptyList] = Field(default_factory=list)
    redacted: Annotated[dict[Text, int], NoneIsEmptyMap] = Field(default_factory=dict)
    troubles: Annotated[dict[Text, int], NoneIsEmptyMap] = Field(default_factory=dict)


class IndexRow(WireModel):
    """A run in the index."""

    always_written: ClassVar[frozenset[str]] = frozenset(("*",))

    run_id: Text = ""
    file: Text = ""
    status: Text = ""
    """``passed``, ``failed``, ``error`` or ``skipped``."""
    superseded: bool = False
    """The test was run again; the last attempt counts."""
    scenario_id: Text = ""
    provider_id: Text = ""
    region: Text = ""
    cost_usd: float = 0.0
    input_tokens: Int = 0
    output_tokens: Int = 0
    cached_tokens: Int = 0
    duration_ns: Int = 0
    labels: TextMap = Field(default_factory=dict)


class IndexTrials(WireModel):
    """How often a scenario passed with a provider, where it was tried more than once."""

    always_written: ClassVar[frozenset[str]] = frozenset(("*",))

    scenario_id: Text = ""
    provider_id: Text = ""
    trial_results: FreeMap = Field(default_factory=dict)
    """``trial_count``, ``passed``, ``pass_rate`` with its 95 % interval, ``pass_hat_k``."""


class Index(WireModel):
    """The index of results: Arena's keys, and ours beside them."""

    always_written: ClassVar[frozenset[str]] = frozenset(("*",))

    total_runs: int = 0
    successful: int = 0
    errors: int = 0
    """Failed and error together."""
    timestamp: Time = None
    """When the last run ended."""
    config_file: Text = ""
    run_ids: TextList = Field(default_factory=list)
    """Stems of the runs' files."""
    total_cost: float = 0.0
    average_cost: float = 0.0
    total_tokens: int = 0
    """Input and output."""
    total_duration: Text = "0s"
    scenarios: TextList = Field(default_factory=list)
    providers: TextList = Field(default_factory=list)
    regions: TextList = Field(default_factory=list)
    prompt_packs: TextList = Field(default_factory=list)
    format_version: int = 0
    skipped: int = 0
    cached_tokens: int = 0
    runs: Annotated[list[IndexRow], NoneIsEmptyList] = Field(default_factory=list)
    trials: Annotated[list[IndexTrials], NoneIsEmptyList] = Field(default_factory=list)
    completeness: Completeness = Field(default_factory=Completeness)


def go_duration(nanoseconds: int) -> str:
    """A duration as Go prints it, such as ``22.75s`` or ``1h0m2s``."""
    if nanoseconds < 0:
        return f"-{go_duration(-nanoseconds)}"
    for unit, size in (("ns", 1), ("µs", 1_000), ("ms", 1_000_000)):
        if nanoseconds < size * 1000:
            return f"{_decimal(nanoseconds, size)}{unit}" if nanoseconds else "0s"
    minutes, rest = divmod(nanoseconds, 60_000_000_000)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{_decimal(rest, 1_000_000_000)}s"
    return f"{hours}h{minutes}m{seconds}" if hours else f"{minutes}m{seconds}" if minutes else seconds


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    return f"{whole}.{rest:0{len(str(unit)) - 1}d}".rstrip("0") if rest else str(whole)


@dataclass(slots=True)
class Totals:
    """What runs add up to; superseded ones cost something, too, and have no say in how it went."""

    runs: int = 0
    superseded: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    cost_usd: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    duration_ns: int = 0
    failed_by_checks: int = 0
    """Failed though their tests did not; one that is expected to fail has not failed."""

    def add(self, row: Mapping[str, Any]) -> None:
        """Count a run, by its row in the index."""
        self.runs += 1
        self.cost_usd = finite(self.cost_usd + row["cost_usd"])
        self.input_tokens += row["input_tokens"]
        self.output_tokens += row["output_tokens"]
        self.cached_tokens += row["cached_tokens"]
        self.duration_ns += row["duration_ns"]
        if row["superseded"]:
            self.superseded += 1
            return
        status = row["status"]
        self.statuses[status] += 1
        if status == "failed" and row["labels"].get("pytest.outcome") in ("passed", "xfailed", "xpassed"):
            self.failed_by_checks += 1

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]]) -> Self:
        """The sums of rows."""
        totals = cls()
        for row in rows:
            totals.add(row)
        return totals


class IndexBuilder:
    """Puts an index together run by run; what grows with the runs is on disk. A context manager."""

    def __init__(self, scratch: Path | None, *, lines: bool) -> None:
        """Begin.

        Args:
            scratch: A folder for what waits to be written; memory when None.
            lines: A line for each key and each run, as in a file of its own; else one line.
        """
        self._lines = lines
        self._stems: IO[bytes] = TemporaryFile(dir=scratch) if scratch else BytesIO()  # noqa: SIM115 - closed on exit
        self._rows: IO[bytes] = TemporaryFile(dir=scratch) if scratch else BytesIO()  # noqa: SIM115 - closed on exit
        self._first = True
        self.totals = Totals()
        self._names: tuple[set[str], set[str], set[str], set[str]] = (set(), set(), set(), set())
        self._trials: dict[tuple[str, str], list[int]] = {}
        self._ended: datetime | None = None
        self._last_end = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in (self._stems, self._rows):
            with suppress(OSError):  # of a full disk, which who wrote has heard of; the other one is to be closed, too
                file.close()

    def add(self, stem: str, row: Mapping[str, Any], text: bytes | None = None) -> None:
        """Add a run.

        Args:
            stem: Of its file.
            row: In wire form.
            text: The same as JSON, where it is at hand.
        """
        self.totals.add(row)
        scenarios, providers, regions, _ = self._names
        scenarios.add(row["scenario_id"])
        providers.add(row["provider_id"])
        regions.add(row["region"])
        if row["status"] != "skipped":
            counts = self._trials.setdefault((row["scenario_id"], row["provider_id"]), [0, 0])
            counts[0] += row["status"] == "passed"
            counts[1] += 1
        comma, gap = (b"", b"") if self._first else (b",", b",\n    " if self._lines else b",")
        self._first = False
        self._stems.write(comma + dumps(stem))
        self._rows.write(gap + (dumps(row) if text is None else text))

    def note(self, prompt_packs: Iterable[str], ended: str | datetime | None) -> None:
        """Note what is in a run and not in its row: the prompt pack, and when it ended."""
        self._names[3].update(prompt_packs)
        if isinstance(ended, str):
            # Nearly every time is in UTC; most are seconds before the last one, and not worth a parse.
            if not ended or (ended[-1] == "Z" and ended[:19] < self._last_end):
                return
            if ended[-1] == "Z":
                self._last_end = ended[:19]
            moment = parse_time(ended)
        else:
            moment = ended
        if moment is not None and (self._ended is None or moment > self._ended):
            self._ended = moment

    def write(
        self,
        out: IO[bytes],
        *,
        completeness: Mapping[str, Any],
        config_file: str = "",
        more: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the index; ``more`` comes at its end.

        Raises:
            OSError: It cannot be written.
        """
        totals = self.totals
        scenarios, providers, regions, packs = (sorted(names - {""}) for names in self._names)
        head = Index(
            total_runs=totals.runs,
            successful=totals.statuses["passed"],
            errors=totals.statuses["failed"] + totals.statuses["error"],
            timestamp=self._ended,
            config_file=config_file,
            total_cost=totals.cost_usd,
            average_cost=totals.cost_usd / totals.runs if totals.runs else 0.0,
            total_tokens=totals.input_tokens + totals.output_tokens,
            total_duration=go_duration(totals.duration_ns),
            scenarios=scenarios,
            providers=providers,
            regions=regions,
            prompt_packs=packs,
            format_version=FORMAT_VERSION,
            skipped=totals.statuses["skipped"],
            cached_tokens=totals.cached_tokens,
            trials=[
                IndexTrials(scenario_id=scenario, provider_id=provider, trial_results=rate_of(passed, total))
                for (scenario, provider), (passed, total) in sorted(self._trials.items())
                if total > 1
            ],
        ).to_dict() | {"completeness": completeness, **(more or {})}
        between = b",\n" if self._lines else b","
        out.write(b"{\n" if self._lines else b"{")
        for number, (key, value) in enumerate(head.items()):
            out.write((between if number else b"") + (b"  %b: " if self._lines else b"%b:") % dumps(key))
            if key == "run_ids":
                self._copy(self._stems, out, b"[", b"]")
            elif key == "runs" and not self._first:
                self._copy(self._rows, out, b"[\n    " if self._lines else b"[", b"\n  ]" if self._lines else b"]")
            else:
                out.write(dumps(value))
        out.write(b"\n}\n" if self._lines else b"}")

    @staticmethod
    def _copy(source: IO[bytes], out: IO[bytes], before: bytes, after: bytes) -> None:
        out.write(before)
        source.seek(0)
        shutil.copyfileobj(source, out)
        source.seek(0, 2)
        out.write(after)


def make_index(
    rows: Sequence[tuple[str, Mapping[str, Any]]],
    *,
    prompt_packs: Iterable[str],
    timestamp: str | None,
    completeness: dict[str, Any],
    config_file: str = "",
) -> dict[str, Any]:
    """The index of rows, each with its stem, in their order."""
    out = BytesIO()
    with IndexBuilder(None, lines=False) as builder:
        for stem, row in rows:
            builder.add(stem, row)
        builder.note(prompt_packs, timestamp)
        builder.write(out, completeness=completeness, config_file=config_file)
    index: dict[str, Any] = loads(out.getvalue())
    return index


def index_bytes(index: Mapping[str, Any]) -> bytes:
    """The index as a file: a line for each key and for each run."""
    pieces = []
    for key, value in index.items():
        if key == "runs" and value:
            text = b"[\n    %b\n  ]" % b",\n    ".join(dumps(row) for row in value)
        else:
            text = dumps(value)
        pieces.append(b"  %b: %b" % (dumps(key), text))
    return b"{\n%b\n}\n" % b",\n".join(pieces)


__all__ = [
    "FORMAT_VERSION",
    "Completeness",
    "Index",
    "IndexBuilder",
    "IndexRow",
    "LostEntry",
    "Totals",
    "go_duration",
    "index_bytes",
    "make_index",
]
