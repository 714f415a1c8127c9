"""Looking into data that may have any shape: nothing here raises, whatever it is given."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from .._times import parse_time
from .._wire import dumps, jsonable

_CAPITAL = re.compile(r"(?<=[a-z0-9])([A-Z])")
#: Later than any conversation, and what the newest providers count seconds up to.
_MAX_SECONDS = 253_402_300_799  # 9999-12-31T23:59:59Z


def mapping(value: Any) -> dict[str, Any]:
    """The value if it is a dict, else an empty one."""
    return value if isinstance(value, dict) else {}


def mappings(value: Any) -> list[dict[str, Any]]:
    """The dicts in a list; none when it is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def listed(value: Any) -> list[Any]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def text(value: Any) -> str:
    """The value if it is text, else none."""
    return value if isinstance(value, str) else ""


def as_text(value: Any) -> str:
    """Text as it is, nothing for None, everything else as compact JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else dumps(jsonable(value)).decode("utf-8")


def count(value: Any) -> int:
    """A number of things: an integer that is not negative, else 0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    # The comparison is false for NaN; no count needs more than 63 bits, and Go reads no more.
    return int(value) if 0 <= value < 2**63 else 0


def first(item: dict[str, Any], *keys: str) -> Any:
    """The first value that is not None."""
    for key in keys:
        if item.get(key) is not None:
            return item[key]
    return None


def snaked(item: Any) -> dict[str, Any]:
    """A dict with its own keys in snake_case; what is below stays, it may be somebody's arguments."""
    if not isinstance(item, dict):
        return {}
    return {_CAPITAL.sub(r"_\1", key).lower() if key.isidentifier() else key: value for key, value in item.items()}


def kinds(content: Any) -> set[str]:
    """The ``type`` of each dict in a list of content."""
    return {text(block.get("type")) for block in mappings(content)}


def moment(value: Any) -> datetime | None:
    """A time given as seconds since 1970 or as RFC 3339 text; None for anything else."""
    if isinstance(value, bool):
        return None
    try:
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value, UTC) if 0 < value <= _MAX_SECONDS else None
        return parse_time(value) if isinstance(value, str) else None
    except (ValueError, OverflowError, OSError):
        return None
