"""The rules of the wire format: times, durations, empty values, and whatever a test puts into a free-form map."""

import contextlib
import copy
import dataclasses
import enum
import gc
import inspect
import io
import itertools
import json
import math
import os
import pickle
import sys
import threading
from collections import deque
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any, cast
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from pytest_arena_state import (
    ArenaStateStore,
    ContentPart,
    CostInfo,
    LLMCall,
    Message,
    RunMetadata,
    RunResult,
    Summary,
    ToolCall,
    ToolResult,
    ToolStats,
    messages,
    models,
)
from pytest_arena_state._garbage import without_collections
from pytest_arena_state._text import shortened
from pytest_arena_state._times import format_time, nanoseconds, parse_duration, parse_time
from pytest_arena_state._wire import WireModel, dumps, jsonable, loads

HALF_PAST = datetime(2026, 2, 11, 8, 30, 1, 500_000, UTC)


def time_as_written(value: object) -> object:
    return Message.model_validate({"timestamp": value}).to_dict()["timestamp"]


# --- times ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_", "written"),
    [
        ("2026-02-11T08:30:01Z", "2026-02-11T08:30:01Z"),
        ("2026-02-11T08:30:01.500Z", "2026-02-11T08:30:01.5Z"),
        ("2026-02-11T08:30:01.123456Z", "2026-02-11T08:30:01.123456Z"),
        ("2026-02-11T08:30:01.1234567Z", "2026-02-11T08:30:01.1234567Z"),
        ("2026-02-11T08:30:01.123456789Z", "2026-02-11T08:30:01.123456789Z"),
        ("2026-02-11T08:30:01.1234567891Z", "2026-02-11T08:30:01.123456789Z"),
        ("2026-02-11T08:30:01.000000001+05:30", "2026-02-11T08:30:01.000000001+05:30"),
        ("2026-02-11T08:30:01.123456000Z", "2026-02-11T08:30:01.123456Z"),
        ("2026-02-11T08:30:01+00:00", "2026-02-11T08:30:01Z"),
        ("2026-02-11t08:30:01z", "2026-02-11T08:30:01Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("", "0001-01-01T00:00:00Z"),
        (None, "0001-01-01T00:00:00Z"),
        (HALF_PAST, "2026-02-11T08:30:01.5Z"),
        (HALF_PAST.astimezone(timezone(timedelta(hours=-3))), "2026-02-11T05:30:01.5-03:00"),
        (HALF_PAST.astimezone(timezone(timedelta(minutes=9, seconds=21))), "2026-02-11T08:30:01.5Z"),
        # As of a zone's local mean time: in UTC there are no such times.
        (datetime.min.replace(tzinfo=timezone(timedelta(minutes=9, seconds=21))), "0001-01-01T00:00:00Z"),
        (datetime.max.replace(tzinfo=timezone(-timedelta(minutes=9, seconds=21))), "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_a_time_is_written_as_go_writes_it(given_: object, written: str) -> None:
    assert time_as_written(given_) == written


def test_no_time_is_none_in_python() -> None:
    assert Message.from_dict({"timestamp": "0001-01-01T00:00:00Z"}).timestamp is None


def test_python_shows_six_digits_of_a_time_and_keeps_nine() -> None:
    message = Message.from_json('{"timestamp": "2026-02-11T08:30:01.123456789Z"}')

    assert message.timestamp == datetime(2026, 2, 11, 8, 30, 1, 123456, UTC)
    for copied in (message, message.model_copy(deep=True), pickle.loads(pickle.dumps(message)), copy.copy(message)):
        assert copied.to_dict()["timestamp"] == "2026-02-11T08:30:01.123456789Z"


def test_a_time_made_from_one_that_was_read_can_be_copied_and_pickled() -> None:
    """Who makes a table of runs may want its times without their offset."""
    read = Message.from_dict({"timestamp": "2026-02-11T08:30:01.123456789Z"}).timestamp
    assert read is not None

    for made in (read.replace(tzinfo=None), read.replace(year=1), read + timedelta(days=1)):
        assert copy.deepcopy(made) == made
        assert pickle.loads(pickle.dumps(made)) == made


def test_a_time_that_is_set_anew_forgets_the_digits_that_were_read() -> None:
    message = Message.from_dict({"timestamp": "2026-02-11T08:30:01.123456789Z"})
    assert message.timestamp is not None

    message.timestamp += timedelta(seconds=1)

    assert message.to_dict()["timestamp"] == "2026-02-11T08:30:02.123456Z"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (datetime(2026, 2, 11, 8, 30), "a time needs an offset, such as datetime.now(timezone.utc)"),
        ("2026-02-11T08:30:01", "it has no offset"),
        ("2026-02-30T08:30:01Z", "is not a time"),
        ("2026-02-11", "RFC 3339"),
        ("2026-W07-3T08:30:01Z", "RFC 3339"),
        ("soon", "RFC 3339"),
        (1_700_000_000, "a datetime with an offset or RFC 3339 text"),
        (True, "a datetime with an offset or RFC 3339 text"),
    ],
)
def test_what_is_no_time_is_an_error_that_names_the_field_and_says_what_would_be_right(
    wrong: object, says: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        RunMetadata(start_time=cast("datetime", wrong))

    (error,) = caught.value.errors()
    assert error["loc"] == ("start_time",)
    assert says in error["msg"]


def test_a_naive_time_that_is_assigned_is_an_error_too() -> None:
    message = Message(role="user")

    with pytest.raises(ValidationError, match=r"timestamp\n.*needs an offset"):
        message.timestamp = datetime(2026, 2, 11)


@pytest.mark.parametrize("content", ["Hi", ""])
@pytest.mark.parametrize("meta", [{}, {"seed": 1}])
def test_a_naive_time_in_a_copy_is_an_error_when_it_is_saved(content: str, meta: dict[str, Any]) -> None:
    """``model_copy`` validates nothing, and no reader would take a file with such a time."""
    store, naive = ArenaStateStore(), datetime(2026, 2, 11)
    message = Message(role="user", content=content, meta=meta).model_copy(update={"timestamp": naive})
    metadata = RunMetadata(run_id="r").model_copy(update={"start_time": naive})

    with pytest.raises(ValidationError, match=r"timestamp\n.*needs an offset"):
        store.log_append("r", 0, [message])
    with pytest.raises(ValidationError, match=r"start_time\n.*needs an offset"):
        store.save_metadata("r", metadata)


@given(
    st.datetimes(min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 30)),
    st.integers(0, 999),
    st.integers(-23 * 60, 23 * 60),
)
def test_every_time_reads_back_to_the_nanosecond(moment: datetime, nanos: int, offset: int) -> None:
    sign, minutes = ("-" if offset < 0 else "+"), abs(offset)
    stem = f"{moment:%H:%M:%S}.{moment.microsecond:06d}{nanos:03d}"
    text = f"{moment.year:04d}-{moment:%m-%d}T{stem}{sign}{minutes // 60:02d}:{minutes % 60:02d}"

    written = format_time(parse_time(text))

    assert format_time(parse_time(written)) == written
    assert written.startswith(text[: text.index(".")])
    digits = written[19 : -1 if written.endswith("Z") else -6].lstrip(".")
    assert digits.ljust(9, "0") == f"{moment.microsecond:06d}{nanos:03d}"


# --- durations ---------------------------------------------------------------------------------


@given(st.integers(-(2**63), 2**63 - 1))
def test_the_nanoseconds_of_a_duration_are_written_back(nanos: int) -> None:
    run = RunResult.from_dict({"Duration": nanos})

    assert run.to_dict()["Duration"] == nanos
    assert pickle.loads(pickle.dumps(run.duration)) == run.duration
    assert nanoseconds(copy.deepcopy(run.duration)) == nanos


def test_a_duration_that_is_set_anew_forgets_the_nanoseconds_that_were_read() -> None:
    run = RunResult.from_dict({"Duration": 14545884459})
    assert run.duration == timedelta(seconds=14, microseconds=545884)

    run.duration = timedelta(seconds=2)

    assert run.to_dict()["Duration"] == 2_000_000_000


def test_a_duration_that_a_json_tool_made_a_float_is_read() -> None:
    assert parse_duration(1e9) == timedelta(seconds=1)
    assert parse_duration(None) == timedelta(0)


@pytest.mark.parametrize("wrong", [2**63, -(2**63) - 1, 1.5, "1s", True, math.nan, math.inf, timedelta(days=200_000)])
def test_what_is_no_duration_is_an_error_that_names_the_field(wrong: object) -> None:
    with pytest.raises(ValidationError, match=r"duration\n.*a duration (is a timedelta|has at most 64 bits)"):
        RunMetadata(duration=cast("timedelta", wrong))


# --- numbers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_cannot_write_is_an_error_in_a_typed_field(number: float) -> None:
    with pytest.raises(ValidationError, match=r"total_cost_usd\n.*finite"):
        CostInfo(total_cost_usd=number)
    with pytest.raises(ValidationError, match="total_cost_usd"):
        CostInfo.from_json('{"total_cost_usd": NaN}')


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_number_that_json_cannot_write_is_refused_where_it_came_in_a_copy(number: float) -> None:
    """``model_copy`` validates nothing, and a file with ``NaN`` in it is no JSON to any other program."""
    cost = CostInfo(input_tokens=3).model_copy(update={"total_cost_usd": number})

    with pytest.raises(ValidationError, match="total_cost_usd"):
        ArenaStateStore().save({"id": "c", "messages": [Message(role="assistant", cost_info=cost)]})


def test_a_whole_number_that_go_cannot_hold_is_an_error_in_a_typed_field() -> None:
    """One such number would make the whole file unreadable there."""
    assert CostInfo(input_tokens=2**63 - 1, output_tokens=-(2**63)).input_tokens == 2**63 - 1
    with pytest.raises(ValidationError, match="input_tokens"):
        CostInfo(input_tokens=2**63)
    with pytest.raises(ValidationError, match="input_tokens"):
        CostInfo.from_json(f'{{"input_tokens": {2**64}}}')


def test_numbers_that_json_cannot_write_become_text_in_a_free_form_map() -> None:
    meta = {"a": math.nan, "b": math.inf, "c": [-math.inf], "d": 1.5}

    message = Message(role="user", meta=meta)

    assert message.to_dict()["meta"] == {"a": "NaN", "b": "Infinity", "c": ["-Infinity"], "d": 1.5}
    assert json.loads(message.to_json())["meta"] == message.to_dict()["meta"]


def test_big_integers_are_kept_and_huge_ones_become_text() -> None:
    problems: list[str] = []

    assert jsonable({"big": 2**1000, "most": 2**1023 - 1}) == {"big": 2**1000, "most": 2**1023 - 1}
    assert isinstance(jsonable(2**1024 - 1), str), "no float holds it, so no reader in Go does"
    huge = jsonable({"huge": 10**5000}, problems, "meta")

    assert len(huge["huge"]) <= 200
    assert problems == ["meta.huge: an integer of over 1023 bits, kept as text"]


# --- empty values, unknown keys ---------------------------------------------------------------------


def test_null_and_absent_lists_and_maps_are_empty_and_written_as_such() -> None:
    nulls = dict.fromkeys(("Params", "Messages", "Commit", "Violations", "SessionTags", "MediaOutputs", "Labels"))

    for run in (
        RunResult.from_dict(nulls),
        RunResult.from_json(json.dumps(nulls)),
        RunResult(),
        RunResult.model_validate(nulls),
    ):
        written = run.to_dict()
        assert [written[key] for key in ("Messages", "Violations", "SessionTags", "MediaOutputs")] == [[]] * 4
        assert [written[key] for key in ("Params", "Commit")] == [{}, {}]
        assert "Labels" not in written


@pytest.mark.parametrize("key", ["RunID", "Cost", "StartTime", "Duration", "SelfPlay", "conversation_assertions"])
def test_null_is_the_zero_value_of_any_field_of_a_file(key: str) -> None:
    assert RunResult.from_json(json.dumps({key: None})).to_dict() == RunResult().to_dict()
    assert Message.from_json('{"cost_info": {"input_tokens": null}, "content": null}').cost_info == CostInfo()


def test_null_inside_a_list_or_a_map_is_its_zero_value() -> None:
    """As Go reads it: what comes after keeps its place."""
    run = RunResult.from_dict(
        {
            "Messages": [None, {"role": "user", "content": "x", "parts": [None, {"type": "text", "text": "x"}]}],
            "SessionTags": [None, "smoke"],
            "Labels": {"tier": None},
            "ToolStats": {"total_calls": 1, "by_tool": {"find": None}},
            "conversation_assertions": {"results": [None]},
        }
    )

    assert [message.role for message in run.messages] == ["", "user"]
    assert [part.type for part in run.messages[1].parts] == ["", "text"]
    assert (run.session_tags, run.labels) == (["", "smoke"], {"tier": ""})
    assert run.tool_stats is not None
    assert run.tool_stats.by_tool == {"find": 0}
    assert [result.type for result in run.conversation_assertions.results] == [""]


def test_null_inside_a_free_form_map_is_kept() -> None:
    assert RunResult.from_dict({"Params": {"seed": None}, "RunID": None}).to_dict()["Params"] == {"seed": None}


def test_unknown_keys_of_a_file_are_kept_and_written_again() -> None:
    data = {"role": "user", "from_2031": {"a": [1]}, "cost_info": {"new": 1}}

    for message in (Message.from_dict(data), Message.from_json(json.dumps(data))):
        written = message.to_dict()
        assert written["from_2031"] == {"a": [1]}
        assert written["cost_info"]["new"] == 1
        assert Message.from_json(message.to_json()).to_dict() == written


@pytest.mark.parametrize(
    "build",
    [
        lambda: Message(role="user", contents="x"),  # type: ignore[call-arg]
        lambda: Message.model_validate({"role": "user", "contents": "x"}),
        lambda: Message.model_validate_json('{"role": "user", "contents": "x"}'),
        lambda: RunResult.model_validate({"Messages": [{"contents": "x"}]}),
    ],
)
def test_an_unknown_key_that_somebody_writes_is_refused_with_its_name(build: Any) -> None:
    """A misspelt field would otherwise be missing from every report, and nobody would know."""
    with pytest.raises(ValidationError, match=r"contents\n.*unknown key"):
        build()


def test_both_names_of_a_field_are_read_and_the_json_name_is_written() -> None:
    by_attribute = RunResult(run_id="r", scenario_id="s", a2a_agents=[{"name": "n"}])
    by_json_name = RunResult.model_validate({"RunID": "r", "ScenarioID": "s", "A2AAgents": [{"name": "n"}]})

    assert by_attribute == by_json_name
    assert {"RunID", "ScenarioID", "A2AAgents"} <= by_attribute.to_dict().keys()


# --- free-form values ---------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    y: object


class Profile(BaseModel):
    name: str
    tags: set[str] = set()


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no repr either")


class Falls(dict[str, object]):
    def items(self) -> Any:
        raise OSError("gone")


class Scalar:
    """What numpy's scalars are, as far as this can tell."""

    __module__ = "numpy"

    def tolist(self) -> float:
        return 2.5


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (b"\x00\xff", "AP8="),
        (bytearray(b"a"), "YQ=="),
        (HALF_PAST, "2026-02-11T08:30:01.5Z"),
        (date(2026, 2, 11), "2026-02-11"),
        (timedelta(seconds=1.5), 1.5),
        ({"b", "a", "c"}, ["a", "b", "c"]),
        (frozenset((3, 1)), [1, 3]),
        ((1, (2,)), [1, [2]]),
        (deque([1]), [1]),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (Colour.RED, "red"),
        (Point(1, Colour.RED), {"x": 1, "y": "red"}),
        (Profile(name="n", tags={"b", "a"}), {"name": "n", "tags": ["a", "b"]}),
        (CostInfo(input_tokens=1).to_dict(), CostInfo(input_tokens=1).to_dict()),
        (CostInfo(input_tokens=1), CostInfo(input_tokens=1).to_dict()),
        (ValueError("bad"), "ValueError: bad"),
        (PurePosixPath("a/b"), "a/b"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Decimal("1.10"), "1.10"),
        (Fraction(1, 3), "1/3"),
        (Scalar(), 2.5),
        (
            {1: "a", None: "b", False: "c", 2.5: "d", Colour.RED: "e"},
            {"1": "a", "null": "b", "false": "c", "2.5": "d", "red": "e"},
        ),
        ("a\ud800b", "a\N{REPLACEMENT CHARACTER}b"),
        ({"\udc00": ["\ud800"]}, {"\N{REPLACEMENT CHARACTER}": ["\N{REPLACEMENT CHARACTER}"]}),
    ],
)
def test_what_is_not_json_is_converted_when_it_is_written(value: object, written: object) -> None:
    assert jsonable(value) == written
    assert json.loads(dumps(jsonable(value))) == written


def test_a_cycle_becomes_text_and_is_named() -> None:
    loop: dict[str, Any] = {"a": 1}
    loop["self"] = [loop]
    problems: list[str] = []

    written = jsonable(loop, problems, "meta")

    assert written["a"] == 1
    assert isinstance(written["self"][0], str)
    assert problems == ["meta.self[0]: contains itself, kept as text"]


@pytest.mark.parametrize("kind", [lambda inner: [inner], lambda inner: {"k": inner}, lambda inner: Point(1, inner)])
def test_a_value_3000_levels_deep_becomes_text_at_some_depth(kind: Any) -> None:
    value: Any = 1
    for _ in range(3_000):
        value = kind(value)
    problems: list[str] = []

    written = Message(role="user", meta={"deep": value}).to_wire(problems, "")

    assert len(problems) == 1
    assert "deep" in problems[0]
    assert Message.from_json(dumps(written)).to_dict() == written


@pytest.mark.parametrize("value", [Hostile(), [Hostile()], {"k": Hostile()}, {Hostile(): 1}, Falls(a=1), Hostile])
def test_an_object_that_raises_when_it_is_looked_at_is_kept_as_some_text(value: object) -> None:
    """A test must not fail because of its telemetry."""
    written = Message(role="user", meta={"it": value}).to_json()

    assert json.loads(written)["meta"]["it"] != ""


def test_a_generator_is_not_consumed_and_a_file_not_read() -> None:
    numbers: Iterator[int] = (n for n in range(3))
    file = io.StringIO("text")

    jsonable({"numbers": numbers, "file": file})

    assert list(numbers) == [0, 1, 2]
    assert file.read() == "text"


def test_a_value_is_converted_even_near_the_end_of_the_stack() -> None:
    """A test that recurses may save at any depth."""
    value: Any = 1
    for _ in range(90):
        value = [value]
    problems: list[str] = []

    def descend(levels: int) -> Any:
        return descend(levels - 1) if levels else jsonable(value, problems, "meta")

    written = descend(sys.getrecursionlimit() - len(inspect.stack(0)) - 80)

    assert isinstance(written, str)
    assert problems == ["meta: nested too deep for what is left of the stack, kept as text"]


def test_a_value_that_stands_twice_in_a_map_is_no_cycle() -> None:
    shared = [1]

    assert jsonable({"a": shared, "b": shared}) == {"a": [1], "b": [1]}


class Array(Scalar):
    """One of several values, of which numpy does not tell whether it is true."""

    __module__ = "numpy"

    def __bool__(self) -> bool:
        raise ValueError("the truth value of an array is ambiguous")


@pytest.mark.parametrize(
    ("model", "keys"),
    [
        (ToolCall, ("args",)),
        (RunMetadata, ("trial_results",)),
        (LLMCall, ("request", "response", "raw_response", "error")),
    ],
)
def test_a_field_of_any_value_takes_one_that_is_neither_true_nor_false(model: Any, keys: tuple[str, ...]) -> None:
    """A test must not fail because a tool was called with an array."""
    written = json.loads(model(**dict.fromkeys(keys, Array())).to_json())

    assert [written[key] for key in keys] == [2.5] * len(keys)


@dataclasses.dataclass
class Agent:
    name: str
    peers: list[Any] = dataclasses.field(default_factory=list)


class AgentModel(BaseModel):
    name: str
    peers: list[Any] = []


class Shy(AgentModel):
    def __repr_args__(self) -> Any:
        return [("name", "hidden")]


def agents(kind: Any, count: int) -> list[Any]:
    made = [kind(name=str(number)) for number in range(count)]
    for agent in made:
        agent.peers = [peer for peer in made if peer is not agent]
    return made


@pytest.mark.parametrize("kind", [Agent, AgentModel])
def test_objects_that_all_know_each_other_are_not_written_on_every_way_to_each(kind: Any) -> None:
    """Of twelve agents that may hand over to each other there are a hundred million, and a test waits for its save."""
    problems: list[str] = []

    written = jsonable(agents(kind, 6)[0], problems)

    assert [peer["name"] for peer in written["peers"]] == ["1", "2", "3", "4", "5"]
    assert any("one of many that contain each other" in problem for problem in problems)
    assert len(problems) < 500


@pytest.mark.parametrize("kind", [Agent, AgentModel])
def test_an_object_that_is_met_often_is_written_each_time(kind: Any) -> None:
    """Also one that is not JSON as a whole: only circles are cut short."""
    shared = kind(name="shared", peers=[int])

    written = jsonable(kind(name="all", peers=[[[[shared]]]] * 1500))

    assert written["peers"] == [[[[{"name": "shared", "peers": ["<class 'int'>"]}]]]] * 1500


def test_what_stands_for_an_object_of_fields_is_no_deeper_than_what_stands_for_a_list() -> None:
    """A repr that writes out everything that the fields lead to takes longer than its 200 characters are worth."""
    for kind in (Agent, AgentModel):
        assert shortened(kind(name="a", peers=[1])) == f"{kind.__name__}(name='a', peers=[1])"
        assert shortened(agents(kind, 2)[0]).endswith("(name='1', peers=[...])])")
    assert shortened(Shy(name="secret")) == "Shy(name='hidden')"


def test_keys_that_become_the_same_text_are_both_kept() -> None:
    problems: list[str] = []

    written = jsonable({1: "a", "1": "b", "\ud800": "c"} | {"\udc00": "d"}, problems, "meta")

    assert sorted(written.values()) == ["a", "b", "c", "d"]
    assert len(problems) == 2


def test_what_stands_for_an_object_is_short() -> None:
    assert len(shortened("x" * 10_000)) <= 200
    assert len(jsonable({"o": type("T", (), {"__repr__": lambda self: "y" * 10_000})()})["o"]) <= 200


JSONS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(JSONS)
def test_json_is_kept_as_it_is(value: Any) -> None:
    assert jsonable(value) == value
    assert loads(dumps(value)) == value


@given(st.text(st.characters(), max_size=20))
def test_any_text_can_be_written(text: str) -> None:
    """Hypothesis draws lone surrogates here."""
    message = Message(role=text, content=text, meta={text: text, "k": [text]})

    assert Message.from_json(message.to_json()).to_json() == message.to_json()
    message.to_json().encode("utf-8")


# --- lone surrogates in every other place --------------------------------------------------------------

LONE = "a\ud800b"
MENDED = "a\N{REPLACEMENT CHARACTER}b"


@pytest.mark.parametrize(
    "read",
    [
        lambda: Message(role="user", content=LONE),
        lambda: Message.from_dict({"role": "user", "content": LONE}),
        lambda: Message.from_json('{"role": "user", "content": "a\\ud800b"}'),
        lambda: Message.from_json(b'{"role": "user", "content": "a\\ud800b"}'),
        lambda: Message.from_json(f'{{"role": "user", "content": "{LONE}"}}'),
    ],
)
def test_a_lone_surrogate_in_a_typed_field_is_replaced(read: Any) -> None:
    assert read().content == MENDED


def test_a_lone_surrogate_in_keys_labels_and_tags_is_replaced() -> None:
    metadata = RunMetadata(run_id=LONE, labels={LONE: LONE}, session_tags=[LONE], params={LONE: {LONE: LONE}})

    written = metadata.to_dict()

    assert written["run_id"] == MENDED
    assert written["labels"] == {MENDED: MENDED}
    assert written["session_tags"] == [MENDED]
    assert written["params"] == {MENDED: {MENDED: MENDED}}


def test_a_lone_surrogate_that_was_put_into_a_list_later_is_replaced_in_the_bytes() -> None:
    metadata = RunMetadata(run_id="r")

    metadata.session_tags.append(LONE)

    assert json.loads(metadata.to_json())["session_tags"] == [MENDED]
    assert json.loads(metadata.to_json(indent=2))["session_tags"] == [MENDED]


# --- edits past validation -------------------------------------------------------------------------------


def test_a_wrong_type_that_was_put_into_a_list_is_an_error_that_names_the_field() -> None:
    metadata = RunMetadata(run_id="r")

    metadata.session_tags.append(cast("str", 5))

    with pytest.raises(ValidationError, match=r"session_tags\.0"):
        metadata.to_json()


def test_a_mapping_that_was_put_where_a_model_belongs_is_taken() -> None:
    message = Message(role="assistant")

    cast("list[Any]", message.tool_calls).append({"id": "1", "name": "t", "args": {}})

    assert message.to_dict()["tool_calls"] == [{"id": "1", "name": "t", "args": {}}]


def test_another_model_than_the_lists_is_an_error_that_names_the_field() -> None:
    """What it would write is a tool's call without arguments, and nothing says so."""
    message = Message(role="assistant")

    cast("list[Any]", message.tool_calls).append(ToolResult(id="1", name="t", content="found"))

    with pytest.raises(ValidationError, match=r"tool_calls\.0"):
        message.to_dict()


def test_a_line_item_that_is_no_map_is_an_error_that_names_the_field() -> None:
    """A report with one cannot be read."""
    message = Message(role="assistant", cost_info=CostInfo(breakdown=[{"unit": "images", "usd": 0.1}]))
    assert message.cost_info is not None

    cast("list[Any]", message.cost_info.breakdown).append("0.1")

    with pytest.raises(ValidationError, match=r"breakdown\.1"):
        message.to_dict()


def test_mappings_that_were_put_into_both_lists_of_parts_are_taken() -> None:
    message = Message(role="tool", tool_result=ToolResult(id="1", name="t"), parts=[ContentPart.from_text("a")])
    assert message.tool_result is not None

    for parts in (message.parts, message.tool_result.parts):
        cast("list[Any]", parts).append({"type": "text", "text": "found"})

    written = message.to_dict()
    assert written["tool_result"]["content"] == "found"
    assert [part["text"] for part in written["parts"]] == ["a", "found"]
    assert Message.from_dict(written).to_dict() == written


def test_a_count_keeps_its_type() -> None:
    stats = ToolStats(total_calls=1, by_tool={"t": 1})
    stats.by_tool["u"] = cast("int", "two")

    with pytest.raises(ValidationError, match=r"by_tool\.u"):
        stats.to_dict()


class Places(enum.IntEnum):
    FIRST = 1


KINDS = {kind for kind in (*vars(models).values(), *vars(messages).values()) if isinstance(kind, type)}
MODELS = sorted((kind for kind in KINDS if issubclass(kind, WireModel)), key=lambda kind: kind.__name__)
ANYTHING: list[Any] = [
    None,
    5,
    10**30,
    10**400,
    True,
    Places.FIRST,
    -1.5,
    math.nan,
    math.inf,
    Decimal("1.5"),
    "x",
    b"x",
]
ANYTHING += [
    b"x",
    object(),
    (1,),
    {1},
    [],
    [1],
    ["a"],
    [None],
    [["a"]],
    [{"x": object()}],
    {"a": 1},
    {1: 2},
    {"a": None},
]


@pytest.mark.parametrize("kind", MODELS)
def test_what_came_past_validation_is_refused_or_can_be_read_again(kind: type[WireModel]) -> None:
    whole = kind.model_validate({"id": "c"}) if issubclass(kind, models.ConversationState) else kind()
    for field, value in itertools.product(kind.model_fields, ANYTHING):
        text = ""
        with contextlib.suppress(ValidationError):
            text = whole.model_copy(update={field: value}).to_json()
        if text:
            kind.from_json(text)


# --- hostile documents -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"meta":' * 50_000,
        '{"meta": {"a":' + "[" * 5_000 + "]" * 5_000 + "}}",
        "",
        "{",
        "nonsense",
        "[]",
        "null",
        '"text"',
        '{"role": 5, "RunID": 5}',
        '{"meta": {"n": ' + "9" * 10_000 + "}}",
        b"\xff\xfe",
        b'{"role": "\xff"}',
    ],
    ids=lambda text: repr(text)[:24],
)
def test_a_document_that_cannot_be_read_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        Message.from_json(text)
    with pytest.raises(ValueError, match=r"\S"):
        RunResult.from_json(text)


def test_a_document_that_is_deep_but_can_be_read_is_read() -> None:
    deep = '{"role": "user", "meta": {"a":' + "[" * 150 + "]" * 150 + "}}"

    assert Message.from_json(deep).role == "user"


# --- the collector's pause -----------------------------------------------------------------------------------


def test_reading_a_long_document_leaves_the_collector_as_it_was() -> None:
    long = Summary(content="x" * 200_000).to_json()
    assert gc.isenabled()

    Summary.from_json(long)
    assert gc.isenabled()
    with pytest.raises(ValueError, match=r"\S"):
        Summary.from_json(long[:-1])
    assert gc.isenabled()
    gc.disable()
    try:
        Summary.from_json(long)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_the_collector_pauses_until_the_last_reader_is_done() -> None:
    inside, leave = threading.Event(), threading.Event()

    def read() -> None:
        with without_collections():
            inside.set()
            leave.wait(120)

    other = threading.Thread(target=read)
    other.start()
    inside.wait(120)
    with without_collections():
        pass
    paused = not gc.isenabled()
    leave.set()
    other.join()

    assert paused
    assert gc.isenabled()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # that a process with threads forks
def test_a_child_that_is_forked_in_a_pause_collects() -> None:
    """The thread that would end the pause is none of the child's."""
    inside, leave = threading.Event(), threading.Event()

    def read() -> None:
        with without_collections():
            inside.set()
            leave.wait(120)

    other = threading.Thread(target=read)
    other.start()
    inside.wait(120)
    child = os.fork()
    if not child:
        collects = gc.isenabled()
        with without_collections():
            pauses = not gc.isenabled()
        os._exit(0 if collects and pauses and gc.isenabled() else 1)
    leave.set()
    other.join()

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert gc.isenabled()


def test_keys_of_a_free_map_that_are_no_text_become_text() -> None:
    """A test must not fail because of its telemetry; two keys with one text are both kept."""
    message = Message(role="user", meta={3: "number", "3": "text", None: "none", ("a", 1): "tuple"})  # type: ignore[dict-item]  # on purpose

    meta = message.to_dict()["meta"]

    assert sorted(meta.values()) == ["none", "number", "text", "tuple"]
    assert all(isinstance(key, str) for key in meta)


# --- much out of little ---------------------------------------------------------------------------------------


def swollen(text: str, levels: int) -> list[Any]:
    """A few lists, each ten times in the next one."""
    value: Any = text
    for _ in range(levels):
        value = [value] * 10
    return value  # type: ignore[no-any-return]  # at least one level


@pytest.mark.parametrize("text", ["short", "long " * 1000])
def test_few_containers_that_count_many_times_are_cut_off(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("pytest_arena_state._wire._MOST", 10_000)  # of a million, in a hundredth of the time
    problems: list[str] = []

    written = dumps(jsonable({"before": "kept", "much": swollen(text, 30), "after": "kept"}, problems, "meta"))

    assert len(written) < 3_000_000
    assert written.startswith(b'{"before":"kept","much":[[[')
    assert written.endswith(b'"after":"kept"}')
    assert len(problems) == 1
    assert problems[0].endswith(": over 10,000 containers with all before it, kept as text")


def test_the_next_value_is_whole_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_arena_state._wire._MOST", 100)
    jsonable(swollen("x", 30))
    problems: list[str] = []

    assert jsonable({"a": [1, {"b": "long " * 1000}]}, problems) == {"a": [1, {"b": "long " * 1000}]}
    assert problems == []


def test_what_is_too_much_in_one_thread_is_whole_in_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """They may take turns anywhere; here one comes while the other asks an object for what is in it."""
    monkeypatch.setattr("pytest_arena_state._wire._MOST", 1000)
    other: list[Any] = []

    class Asking(dict[str, Any]):
        def items(self) -> Any:
            other.clear()
            thread = threading.Thread(target=lambda: other.append(jsonable({"a": [1, {"b": []}]})))
            thread.start()
            thread.join()
            return super().items()

    problems: list[str] = []
    jsonable({"first": [[]] * 600, "asking": Asking(), "last": [[]] * 600}, problems, "meta")

    assert other == [{"a": [1, {"b": []}]}]
    assert [problem.partition("[")[0] for problem in problems] == ["meta.last"]


def test_a_save_of_what_swells_ends_however_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_arena_state._wire._MOST", 1000)
    monkeypatch.setattr("pytest_arena_state.store._LARGE", 1000)  # what was cut off is larger than that
    message = Message(role="user", content="hello", meta={"much": swollen("x", 30)})
    store = ArenaStateStore()

    for _ in range(3):
        store.save({"id": "a", "messages": [message]})

    assert store.load("a").messages[0].content == "hello"
