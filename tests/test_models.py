"""Conversations, metadata and reports: what is written, what is read, and that both agree."""

import copy
import json
import pickle
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

import pytest_arena_state
from pytest_arena_state import (
    ArenaConversationState,
    ArenaStateStore,
    AssertionsSummary,
    ConversationState,
    ConversationValidationResult,
    ConversationViolation,
    Feedback,
    MediaOutput,
    Message,
    RunMetadata,
    RunResult,
    SelfPlayRoleInfo,
    Summary,
    ToolStats,
    TurnValidation,
    Violation,
)
from pytest_arena_state._wire import WireModel

ZERO_TIME = "0001-01-01T00:00:00Z"
NOW = datetime(2026, 2, 11, 8, 30, tzinfo=UTC)

MODELS = sorted(
    {
        value
        for name in pytest_arena_state.__all__
        if isinstance(value := getattr(pytest_arena_state, name), type)
        and issubclass(value, WireModel)
        and value.__module__.rpartition(".")[2] in ("messages", "models", "trace")
    },
    key=lambda model: model.__name__,
)


# --- every model ---------------------------------------------------------------------------------

TEXTS = st.text(max_size=6)
TIMES = st.datetimes(
    min_value=datetime(1, 1, 3),
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]),
)
DURATIONS = st.timedeltas(min_value=timedelta(days=-1000), max_value=timedelta(days=1000))
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.binary(max_size=3) | TIMES,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)
SMALL = {
    datetime | None: st.none() | TIMES,
    timedelta: DURATIONS,
    Any: ANYTHING,
    dict[str, Any]: st.dictionaries(TEXTS, ANYTHING, max_size=2),
}


def values_of(annotation: Any) -> st.SearchStrategy[Any]:
    """Values for a field, by its annotation with pydantic's marks taken off."""
    origin, args = getattr(annotation, "__origin__", None), tuple[Any, ...](getattr(annotation, "__args__", ()))
    if hasattr(annotation, "__metadata__"):
        return values_of(annotation.__origin__)
    if annotation in (str, int, float, bool):
        return {
            str: TEXTS,
            int: st.integers(-(2**40), 2**40),
            float: st.floats(allow_nan=False, allow_infinity=False),
            bool: st.booleans(),
        }[annotation]
    if annotation is Any:
        return ANYTHING
    if annotation in (datetime, timedelta):
        return TIMES if annotation is datetime else DURATIONS
    if annotation is type(None):
        return st.none()
    if isinstance(annotation, type) and issubclass(annotation, WireModel):
        return models(annotation)
    if origin is list:
        return st.lists(values_of(args[0]), max_size=2)
    if origin is dict:
        return st.dictionaries(values_of(args[0]), values_of(args[1]), max_size=2)
    return st.one_of([values_of(arg) for arg in args if arg is not Any])


def models(model: type[WireModel]) -> st.SearchStrategy[Any]:
    fields = {name: values_of(field.annotation) for name, field in model.model_fields.items()}
    return st.fixed_dictionaries({}, optional=fields).map(lambda values: model(**values))


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_what_was_written_is_written_the_same_after_reading_it(model: type[WireModel]) -> None:
    """A report that goes through many hands does not change on the way."""

    @given(models(model))
    def holds(written: WireModel) -> None:
        text = written.to_json()
        assert model.from_json(text).to_json() == text
        assert model.from_dict(json.loads(text)).to_dict() == json.loads(text)
        assert json.loads(written.to_json(indent=2)) == json.loads(text)
        assert written.to_dict() == json.loads(text)

    holds()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_model_has_an_empty_form_that_can_be_read(model: type[WireModel]) -> None:
    assert model.from_dict({}).to_dict() == model().to_dict() == model.from_json(model().to_json()).to_dict()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_model_refuses_an_unknown_key_and_a_mapping_file_keeps_it(model: type[WireModel]) -> None:
    with pytest.raises(ValidationError, match="surprise"):
        model.model_validate({"surprise": 1})

    assert model.from_dict({"surprise": 1}).to_dict()["surprise"] == 1


# --- what is written even when it is empty ------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "empty"),
    [
        (AssertionsSummary, {"failed": 0, "passed": True, "results": [], "total": 0}),
        (ConversationValidationResult, {"passed": False, "message": ""}),
        (ConversationViolation, {"turn_index": 0, "description": "", "timestamp": ZERO_TIME}),
        (ToolStats, {"total_calls": 0, "by_tool": {}}),
        (Violation, {"type": "", "tool": "", "detail": ""}),
        (TurnValidation, {"turn_index": 0, "timestamp": ZERO_TIME, "validator_type": "", "passed": False}),
        (SelfPlayRoleInfo, {}),
        (Summary, {"start_turn": 0, "end_turn": 0, "content": "", "token_count": 0, "created_at": ZERO_TIME}),
        (
            Feedback,
            {
                "conversation_id": "",
                "user_id": "",
                "rating": 0,
                "comments": "",
                "categories": {},
                "timestamp": ZERO_TIME,
                "tags": [],
            },
        ),
        (
            MediaOutput,
            {
                "Type": "",
                "MIMEType": "",
                "SizeBytes": 0,
                "Duration": None,
                "Width": None,
                "Height": None,
                "FilePath": "",
                "Thumbnail": "",
                "MessageIdx": 0,
                "PartIdx": 0,
            },
        ),
        (
            RunMetadata,
            {
                "run_id": "",
                "region": "",
                "scenario_id": "",
                "provider_id": "",
                "start_time": ZERO_TIME,
                "end_time": ZERO_TIME,
                "duration": 0,
            },
        ),
        (
            ConversationState,
            {
                "id": "",
                "user_id": "",
                "messages": [],
                "system_prompt": "",
                "summaries": [],
                "token_count": 0,
                "last_accessed_at": ZERO_TIME,
                "metadata": {},
            },
        ),
    ],
)
def test_what_is_not_an_omit_field_is_always_written(model: Any, empty: dict[str, object]) -> None:
    assert model().to_dict() == empty


def test_an_empty_report_has_every_field_of_the_oldest_reader_in_its_order() -> None:
    assert " ".join(RunResult().to_dict()) == (
        "RunID PromptPack Region ScenarioID ProviderID Params Messages Commit Cost ToolStats Violations "
        "StartTime EndTime Duration Error SelfPlay PersonaID MediaOutputs UserFeedback SessionTags "
        "AssistantRole UserRole conversation_assertions"
    )


def test_a_full_report_has_the_newer_fields_between_them() -> None:
    full = RunResult(
        labels={"a": "b"},
        skipped=True,
        skip_reason="x",
        recording_path="p",
        eval_results=[1],
        a2a_agents=[1],
        trial_results=1,
    )

    assert " ".join(full.to_dict()) == (
        "RunID PromptPack Region ScenarioID ProviderID Labels Params Messages Commit Cost ToolStats "
        "Violations StartTime EndTime Duration Error Skipped SkipReason SelfPlay PersonaID MediaOutputs "
        "UserFeedback SessionTags AssistantRole UserRole RecordingPath conversation_assertions "
        "eval_results A2AAgents trial_results"
    )


@pytest.mark.parametrize(
    ("summary", "passed"),
    [
        ({"failed": 1, "total": 2}, False),
        ({"failed": 1, "total": 2, "passed": None}, False),
        ({"results": [{"message": "no"}]}, False),
        ({"failed": 0, "total": 2, "passed": True}, True),
        ({"failed": 0, "total": 0}, True),
        ({}, True),
        (None, True),
    ],
)
def test_counted_assertions_of_a_file_have_passed_only_where_it_says_so(
    summary: dict[str, Any] | None, passed: bool
) -> None:
    """Go reads what is missing as false; no assertion at all has passed."""
    text = json.dumps({"RunID": "r", "conversation_assertions": summary})

    for run in (RunResult.from_json(text), RunResult.from_dict(json.loads(text))):
        assert run.conversation_assertions.passed is passed
        assert RunResult.from_json(run.to_json()).conversation_assertions.passed is passed


def test_an_arena_state_writes_its_metadata_only_when_there_is_some() -> None:
    assert "run_metadata" not in ArenaConversationState(id="c").to_dict()
    assert (
        ArenaConversationState(id="c", run_metadata=RunMetadata(run_id="c")).to_dict()["run_metadata"]["run_id"] == "c"
    )


def test_an_edit_in_place_stands_against_a_key_that_has_the_fields_other_name() -> None:
    """What Arena dumps has the messages and the cost twice, and only one of each is the report's."""
    dump = {"RunID": "r", "Messages": [{"role": "user"}], "messages": [{"role": "user"}], "Cost": {}, "cost": {}}
    run = RunResult.from_dict(dump)

    run.cost.total_cost_usd = 0.5
    run.messages.append({"role": "assistant"})  # type: ignore[arg-type]

    written = run.to_dict()
    assert [message["role"] for message in written["Messages"]] == ["user", "assistant"]
    assert written["Cost"]["total_cost_usd"] == 0.5
    assert (written["messages"], written["cost"]) == (dump["messages"], dump["cost"])


# --- both spellings of Arena's writers ------------------------------------------------------------------


def test_media_outputs_and_roles_are_read_as_arenas_engine_spells_them() -> None:
    engine = {
        "MediaOutputs": [
            {
                "type": "image",
                "mime_type": "image/png",
                "size_bytes": 3,
                "message_index": 1,
                "part_index": 2,
                "duration": 4,
                "width": 5,
                "height": 6,
                "file_path": "/x",
                "thumbnail": "QUJD",
            }
        ],
        "AssistantRole": {"Provider": "p", "Model": "m", "Region": "r"},
        "UserRole": "some text",
    }

    written = RunResult.from_dict(engine).to_dict()

    assert written["MediaOutputs"] == [
        {
            "Type": "image",
            "MIMEType": "image/png",
            "SizeBytes": 3,
            "Duration": 4,
            "Width": 5,
            "Height": 6,
            "FilePath": "/x",
            "Thumbnail": "QUJD",
            "MessageIdx": 1,
            "PartIdx": 2,
        }
    ]
    assert written["AssistantRole"] == {"provider": "p", "model": "m", "region": "r"}
    assert written["UserRole"] == "some text"


# --- the messages of a report that a store made -----------------------------------------------------------


def report() -> RunResult:
    store = ArenaStateStore()
    messages = [Message(role="user", content=f"é{n}", timestamp=NOW) for n in range(3)]
    store.save(ConversationState(id="r", messages=messages))
    store.save_metadata("r", RunMetadata(run_id="r", labels={"a": "b"}))
    return store.get_result("r")


class Holder(BaseModel):
    run: RunResult


def assigned(run: RunResult) -> RunResult:
    run.error = "x"
    return run


WAYS: dict[str, Callable[[RunResult], Any]] = {
    "messages": lambda run: [m.to_dict() for m in run.messages],
    "to_dict": lambda run: run.to_dict()["Messages"],
    "to_json": lambda run: json.loads(run.to_json())["Messages"],
    "to_json indented": lambda run: json.loads(run.to_json(indent=2))["Messages"],
    "message_texts": lambda run: [json.loads(text) for text in run.message_texts()],
    "dict": lambda run: [m.to_dict() for m in dict(run)["messages"]],
    "vars": lambda run: [m.to_dict() for m in vars(run)["messages"]],
    "pickle": lambda run: pickle.loads(pickle.dumps(run)).to_dict()["Messages"],
    "copy": lambda run: copy.copy(run).to_dict()["Messages"],
    "deepcopy": lambda run: copy.deepcopy(run).to_dict()["Messages"],
    "model_copy": lambda run: run.model_copy().to_dict()["Messages"],
    "model_copy deep": lambda run: run.model_copy(deep=True).to_dict()["Messages"],
    "after an assignment": lambda run: assigned(run).to_dict()["Messages"],
    "model_dump": lambda run: [Message(**m).to_dict() for m in run.model_dump()["messages"]],
    "held and dumped": lambda run: [Message(**m).to_dict() for m in Holder(run=run).model_dump()["run"]["messages"]],
    "model_dump_json": lambda run: json.loads(run.model_dump_json())["messages"],
    "repr": lambda run: [{"content": f"é{n}"} for n in range(3) if f"é{n}" in repr(run)],
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_a_reports_messages_finds_them(way: str) -> None:
    """They are read from their bytes when they are first looked at, and nobody may notice."""
    found = WAYS[way](report())

    assert [message["content"] for message in found] == ["é0", "é1", "é2"]


def test_a_report_of_a_store_equals_the_same_report_read_from_its_file() -> None:
    assert report() == RunResult.from_json(report().to_json())
    assert report().to_json() == RunResult.from_json(report().to_json()).to_json()


def test_a_report_that_was_changed_is_written_as_it_is() -> None:
    run = report()

    run.messages[0].content = "edited"
    run.messages.append(Message(role="user", content="new"))

    assert [m["content"] for m in json.loads(run.to_json())["Messages"]] == ["edited", "é1", "é2", "new"]
    run.messages = []
    assert run.to_dict()["Messages"] == []


def test_messages_are_read_once_whoever_looks_first() -> None:
    run = report()
    seen: list[list[Message]] = []
    threads = [threading.Thread(target=lambda: seen.append(run.messages)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert all(messages is run.messages for messages in seen)
    assert type(run.messages) is list
