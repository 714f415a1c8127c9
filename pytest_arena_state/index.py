"""The index of results: Arena's keys, and ours beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field

from ._wire import NoneIsEmptyList, NoneIsEmptyMap, Text, TextList, TextMap, Time, WireModel, dumps, parse_time

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
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    duration_ns: int = 0
    labels: TextMap = Field(default_factory=dict)


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


def make_index(
    rows: Sequence[tuple[str, Mapping[str, Any]]],
    *,
    prompt_packs: Iterable[str],
    timestamp: str | None,
    completeness: dict[str, Any],
    config_file: str = "",
) -> dict[str, Any]:
    """The index of rows, each with its stem, in their order."""
    counted = [row for _, row in rows if not row["superseded"]]
    cost = sum(row["cost_usd"] for _, row in rows)
    return Index(
        total_runs=len(rows),
        successful=sum(row["status"] == "passed" for row in counted),
        errors=sum(row["status"] in ("failed", "error") for row in counted),
        timestamp=parse_time(timestamp),
        config_file=config_file,
        run_ids=[stem for stem, _ in rows],
        total_cost=cost,
        average_cost=cost / len(rows) if rows else 0.0,
        total_tokens=sum(row["input_tokens"] + row["output_tokens"] for _, row in rows),
        total_duration=go_duration(sum(row["duration_ns"] for _, row in rows)),
        scenarios=_distinct(row["scenario_id"] for _, row in rows),
        providers=_distinct(row["provider_id"] for _, row in rows),
        regions=_distinct(row["region"] for _, row in rows),
        prompt_packs=_distinct(prompt_packs),
        format_version=FORMAT_VERSION,
        skipped=sum(row["status"] == "skipped" for row in counted),
        cached_tokens=sum(row["cached_tokens"] for _, row in rows),
    ).to_dict() | {"runs": [dict(row) for _, row in rows], "completeness": completeness}


def _distinct(values: Iterable[str]) -> list[str]:
    return sorted({value for value in values if value})


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
    "IndexRow",
    "LostEntry",
    "go_duration",
    "index_bytes",
    "make_index",
]
