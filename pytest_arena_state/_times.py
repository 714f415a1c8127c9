"""Times and durations as Go writes them: RFC 3339, and integer nanoseconds.

Values that Python cannot hold exactly travel with their value: `Timestamp` is a datetime
that remembers nine digits, `Duration` a timedelta that remembers its nanoseconds.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic_core import PydanticCustomError

from ._text import shortened

ZERO_TIME = "0001-01-01T00:00:00Z"  # Go's time.Time{}: "there is no time"
INT64 = 2**63  # the first number that Go's int does not hold
_MICROSECOND = timedelta(microseconds=1)


# --- times -----------------------------------------------------------------


class Timestamp(datetime):
    """A datetime that remembers the digits below the microsecond that it was read with."""

    digits: str  # all digits of the fraction, seven to nine of them

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        if not hasattr(self, "digits"):  # made from another one, as by `replace`, maybe without an offset
            return super().__reduce_ex__(protocol)  # type: ignore[return-value]
        return parse_time, (format_time(self),)


_FRACTION = re.compile(r"[.,]([0-9]+)")
# Go cuts its fraction at nine digits, and offsets are minutes. fromisoformat alone would take a date, a week or no
# offset.
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:\d\d)\Z", re.ASCII)
_WITHOUT_OFFSET = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d[.,\d]*\Z", re.ASCII)

_MOST_CHARACTERS = len("2026-02-11T08:30:01.123456789+00:00")


def is_written_time(text: str) -> bool:
    """Whether a text looks like what `format_time` writes."""
    return len(text) <= _MOST_CHARACTERS and _RFC3339.match(text) is not None


def parse_time(value: object) -> datetime | None:
    """Read RFC 3339 with up to nine digits; Go's zero time is None."""
    if value is None or value == ZERO_TIME or value == "":
        return None
    if not isinstance(value, str):
        return _checked_time(value)
    if not _RFC3339.match(value):
        return _parse_unusual_time(value)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise PydanticCustomError(
            "time_value", "{value} is not a time: {why}", {"value": shortened(value), "why": str(error)}
        ) from None
    if len(value) > 27:  # "2026-02-11T08:30:01.123456Z" has 27 characters: only longer ones can hold more digits
        fraction = _FRACTION.search(value)
        digits = fraction.group(1)[:9].rstrip("0") if fraction else ""
        if len(digits) > 6:
            moment = Timestamp(
                moment.year,
                moment.month,
                moment.day,
                moment.hour,
                moment.minute,
                moment.second,
                moment.microsecond,
                moment.tzinfo,
            )
            moment.digits = digits
            return moment
    return None if moment.year == 1 and moment == _ZERO else moment


def _checked_time(value: object) -> datetime:
    if not isinstance(value, datetime):
        raise PydanticCustomError(
            "time_type",
            "a time is a datetime with an offset or RFC 3339 text, not {value}",
            {"value": shortened(value)},
        )
    if value.utcoffset() is None:
        raise PydanticCustomError(
            "naive_datetime",
            "a time needs an offset, such as datetime.now(timezone.utc); {value} has none",
            {"value": shortened(value)},
        )
    return value


def _parse_unusual_time(value: str) -> datetime | None:
    if _RFC3339.match(value.upper()):  # RFC 3339 allows "t" and "z"
        return parse_time(value.upper())
    raise PydanticCustomError(
        "time_format",
        "a time is RFC 3339 text such as '2026-02-11T08:30:01.5Z', not {value}{hint}",
        {"value": shortened(value), "hint": "; it has no offset" if _WITHOUT_OFFSET.match(value) else ""},
    )


_ZERO = datetime(1, 1, 1, tzinfo=UTC)


def format_time(moment: datetime | None) -> str:
    """Write RFC 3339 as Go does: trailing zeros of the fraction cut, UTC as ``Z``."""
    if moment is None:
        return ZERO_TIME
    if type(moment) is datetime and moment.tzinfo is UTC:  # nearly all that this package writes
        text = moment.isoformat()[:-6]
        return f"{text.rstrip('0') if len(text) > 19 else text}Z"
    text = moment.isoformat(timespec="seconds")
    if len(text) > 25:  # an offset with seconds, as of a local mean time, which RFC 3339 cannot say
        moment = _in_utc(moment)
        text = moment.isoformat(timespec="seconds")
    head, offset = text[:19], text[19:]
    if not offset:
        raise TypeError("a time needs an offset")  # it came past the validation of its field, which is asked again then
    digits = getattr(moment, "digits", None)
    if digits is None and moment.microsecond:
        digits = f"{moment.microsecond:06d}".rstrip("0")
    fraction = f".{digits}" if digits else ""
    return f"{head}{fraction}{'Z' if offset == '+00:00' else offset}"


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:  # such as of datetime.min, which stands for no time where its zone is ahead of UTC
        return _ZERO if moment.year == 1 else datetime.max.replace(tzinfo=UTC)


# --- durations --------------------------------------------------------------


class Duration(timedelta):
    """A timedelta that remembers the nanoseconds that it was read with."""

    exact: int

    def __reduce__(self) -> tuple[Any, ...]:
        return parse_duration, (self.exact,)


_LONGEST = timedelta(microseconds=(INT64 - 1) // 1000)
_SHORTEST = -_LONGEST


def parse_duration(value: object) -> timedelta:
    """Take a timedelta, or integer nanoseconds as Go writes them."""
    if type(value) is Duration:
        return value
    if isinstance(value, timedelta):
        if not _SHORTEST <= value <= _LONGEST:
            raise PydanticCustomError("duration_range", "a duration has at most 64 bits of nanoseconds: 292 years")
        return value
    if value is None:
        return timedelta(0)
    if isinstance(value, float) and value.is_integer():  # what a JSON tool made of an integer
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise PydanticCustomError(
            "duration_type",
            "a duration is a timedelta, or integer nanoseconds, not {value}",
            {"value": shortened(value)},
        )
    if not -INT64 <= value < INT64:
        raise PydanticCustomError("duration_range", "a duration has at most 64 bits of nanoseconds: 292 years")
    microseconds, rest = divmod(value, 1000)
    if not rest:
        return timedelta(microseconds=microseconds)
    duration = Duration(microseconds=microseconds)
    duration.exact = value
    return duration


def nanoseconds(duration: timedelta) -> int:
    """The integer that Go writes for a duration."""
    exact = getattr(duration, "exact", None)
    return exact if exact is not None else duration // _MICROSECOND * 1000
