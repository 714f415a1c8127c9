"""The store: what goes in comes out, as it was when it was saved, whoever edits what afterwards."""

import copy
import json
import math
import pickle
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import Any, cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from pydantic import BaseModel, ValidationError

from pytest_arena_state import (
    ArenaRun,
    ArenaStateError,
    ArenaStateStore,
    ContentPart,
    ConversationNotFoundError,
    ConversationState,
    CostInfo,
    ExecutionTrace,
    InvalidStateError,
    LLMCall,
    MediaContent,
    Message,
    MessageValidation,
    OpaqueReasoning,
    Reasoning,
    RunMetadata,
    RunMetadataMissingError,
    Summary,
    ToolCall,
    ToolResult,
)
from pytest_arena_state.conversation import Change

NOW = datetime(2026, 2, 11, 8, 30, 1, 500_000, UTC)


@pytest.fixture
def store() -> ArenaStateStore:
    return ArenaStateStore()


def talk(id: str = "c", *contents: str) -> ConversationState:
    roles = ("user", "assistant")
    return ConversationState(
        id=id, messages=[Message(role=roles[i % 2], content=content) for i, content in enumerate(contents)]
    )


def contents(state: ConversationState) -> list[str]:
    return [message.content for message in state.messages]


def changes_of(store: ArenaStateStore) -> list[Change]:
    """What the store tells its journal from now on."""
    told: list[Change] = []
    store._on_change = lambda change, _: told.append(change)
    return told


# --- copies ------------------------------------------------------------------------------------


def test_what_is_saved_comes_back_whole(store: ArenaStateStore) -> None:
    state = ConversationState(
        id="c",
        user_id="u",
        system_prompt="Be brief.",
        messages=[full_message()],
        summaries=[Summary(start_turn=1, end_turn=2, content="s", token_count=3, created_at=NOW)],
        token_count=4,
        last_accessed_at=NOW,
        metadata={"channel": "web", "nested": {"a": [1]}},
    )

    store.save(state)

    assert store.load("c").to_dict() == state.to_dict()


def test_a_saved_conversation_does_not_change_with_the_callers(store: ArenaStateStore) -> None:
    state = talk("c", "a", "b")
    state.metadata["list"] = [1]
    store.save(state)

    state.messages[0].content = "edited"
    state.messages.append(Message(role="user"))
    state.metadata["list"].append(2)

    assert contents(store.load("c")) == ["a", "b"]
    assert store.load("c").metadata == {"list": [1]}


def test_what_a_store_gives_out_is_not_what_it_keeps(store: ArenaStateStore) -> None:
    store.save(talk("c", "a"))
    store.save_metadata("c", RunMetadata(run_id="c", params={"k": [1]}))

    store.load("c").messages[0].meta["x"] = 1
    store.get_arena_state("c").messages.clear()
    metadata = store.get_arena_state("c").run_metadata
    assert metadata is not None
    metadata.params["k"].append(2)
    store.get_result("c").messages[0].content = "edited"
    store.log_load("c")[0].content = "edited"

    assert contents(store.load("c")) == ["a"]
    assert store.load("c").messages[0].meta == {}
    assert store.get_result("c").params == {"k": [1]}
    assert store.get_result("c").messages[0].content == "a"


def test_metadata_does_not_change_with_the_callers(store: ArenaStateStore) -> None:
    metadata = RunMetadata(run_id="c", params={"k": [1]})
    store.save_metadata("c", metadata)

    metadata.params["k"].append(2)
    metadata.run_id = "other"

    assert store.get_result("c").params == {"k": [1]}
    assert store.get_result("c").run_id == "c"


def test_mappings_are_taken_where_a_model_is(store: ArenaStateStore) -> None:
    store.save({"id": "c", "messages": [{"role": "user", "content": "a"}]})
    store.save_metadata("c", {"run_id": "c", "duration": 1_000})
    store.log_append("c", 1, [{"role": "assistant", "content": "b"}])
    store.update_last_assistant_message({"role": "assistant", "content": "b", "meta": {"k": 1}})
    store.save_with_trace({"id": "d", "messages": [{"role": "user"}]}, {"llm_calls": [{"message_index": 0}]})

    result = store.get_result("c")
    assert contents(store.load("c")) == ["a", "b"]
    assert (result.duration, result.messages[1].meta) == (timedelta(microseconds=1), {"k": 1})
    assert "_llm_trace" in store.load("d").messages[0].meta


def test_saving_again_replaces_messages_and_keeps_run_metadata(store: ArenaStateStore) -> None:
    store.save_metadata("c", {"run_id": "c", "region": "eu"})
    store.save(talk("c", "a", "b", "c"))

    store.save(talk("c", "x"))

    assert contents(store.load("c")) == ["x"]
    assert store.get_result("c").region == "eu"


def test_a_message_with_a_wrong_type_that_came_past_validation_is_refused_and_nothing_is_changed() -> None:
    store, whole = ArenaStateStore(), Message.assistant("said")
    for update in ({"content": ["said"]}, {"role": ["x"]}, {"timestamp": "now"}, {"latency_ms": 10**30}):
        wrong = ConversationState(id="c", messages=[whole.model_copy(update=update)])
        for _ in ("as the first save", "as a later one"):
            with pytest.raises(ValidationError, match=next(iter(update))):
                store.save(wrong)
            store.save(ConversationState(id="c", messages=[whole]))
            assert store.load("c").messages == [whole]
        store.delete("c")


def test_messages_that_are_no_list_are_refused() -> None:
    with pytest.raises(ValidationError, match="messages"):
        ArenaStateStore().save(ConversationState(id="c").model_copy(update={"messages": 5}))


# --- edits in place ------------------------------------------------------------------------------


def full_message() -> Message:
    """A message with something in every field."""
    return Message(
        role="assistant",
        content="said",
        parts=[
            ContentPart.from_text("part"),
            ContentPart(
                type="image",
                media=MediaContent(
                    data="QUJD",
                    file_path="/x",
                    url="http://x",
                    storage_reference="s3://x",
                    mime_type="image/png",
                    format="png",
                    size_kb=1,
                    detail="high",
                    caption="c",
                    duration=2,
                    bit_rate=3,
                    channels=4,
                    width=5,
                    height=6,
                    fps=7,
                    policy_name="p",
                ),
            ),
        ],
        tool_calls=[ToolCall(id="1", name="t", args={"deep": [{"n": 1, "f": 1.5}]}, provider_metadata={"g": "s"})],
        tool_result=ToolResult(
            id="1", name="t", content="out", error="e", error_type="E", parts=[ContentPart.from_text("o")], latency_ms=5
        ),
        timestamp=NOW,
        latency_ms=12,
        finish_reason="stop",
        cost_info=CostInfo(
            input_tokens=1,
            output_tokens=2,
            cached_tokens=3,
            input_cost_usd=0.1,
            output_cost_usd=0.2,
            cached_cost_usd=0.3,
            total_cost_usd=0.6,
            quantities={"chars": 4.0},
            dimension_match={"a": "b"},
            provider_name="openai",
            capability="llm",
            latency_ns=8,
            breakdown=[{"unit": "u", "usd": 1.5}],
        ),
        reasoning=Reasoning(
            text="t", opaque=[OpaqueReasoning(provider="p", kind="k", data="d", ref="r")], redacted=True
        ),
        meta={"a": {"b": [1, True, None, "x", {"c": 1.0}]}, "when": NOW, "raw": b"x", "tuple": (1, [2])},
        validations=[
            MessageValidation(validator_type="v", passed=True, details={"words": ["w"], "n": 1}, timestamp=NOW)
        ],
    )


Edit = Callable[[Message], None]
DERIVED = {"media_summary"}


def reach(message: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        message = getattr(message, step) if isinstance(message, BaseModel) else message[step]
    return message


def put(message: Message, *, path: tuple[Any, ...], value: object) -> None:
    holder = reach(message, path[:-1])
    if isinstance(holder, BaseModel):
        setattr(holder, path[-1], value)
    else:
        holder[path[-1]] = value


def edits_of(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[str, Edit]]:
    """Every way to edit a value, and each value in it, where it stands."""
    name = ".".join(map(str, path))
    if isinstance(value, BaseModel):
        for field in sorted(type(value).model_fields.keys() - DERIVED):
            yield from edits_of(getattr(value, field), (*path, field))
        return
    if isinstance(value, dict):
        yield f"{name} gains a key", lambda m: reach(m, path).__setitem__("new", fitting(value))
        yield f"{name} is emptied", lambda m: reach(m, path).clear()
        for key, item in value.items():
            yield from edits_of(item, (*path, key))
        return
    if isinstance(value, list):
        yield f"{name} grows", lambda m: reach(m, path).append(copy.deepcopy(reach(m, path)[0]))
        yield f"{name} is emptied", lambda m: reach(m, path).clear()
        for index, item in enumerate(value):
            yield from edits_of(item, (*path, index))
        return
    if isinstance(value, tuple):
        for index, item in enumerate(value):
            if isinstance(item, list):
                yield from edits_of(item, (*path, index))
        return
    for other in others(value, free="meta" in path or "args" in path or "details" in path):
        yield f"{name} becomes {other!r}", partial(put, path=path, value=other)


def fitting(mapping: dict[str, Any]) -> object:
    return next(iter(mapping.values())) if mapping else 1


def others(value: object, *, free: bool) -> Iterator[object]:
    """Other values of a field; in a free-form map also equal values of another type."""
    match value:
        case bool():
            yield not value
            if free:
                yield int(value)
        case int():
            yield value + 1
            if free:
                yield float(value)
                if value == 1:
                    yield True
        case float():
            yield value + 0.5
            if free and value == 1.0:
                yield 1
        case str():
            yield value + "!"
        case bytes():
            yield value + b"!"
        case datetime():
            yield value + timedelta(days=1)
            yield value.astimezone(timezone(timedelta(hours=1)))
        case None if free:
            yield "something"


EDITS = dict(edits_of(full_message(), ()))


def test_there_is_an_edit_for_every_field() -> None:
    """The test below is worth what this one shows."""
    edited = {name.partition(".")[0].partition(" ")[0] for name in EDITS}

    assert edited == Message.model_fields.keys() - DERIVED
    assert [field for field, value in full_message() if not value and field not in DERIVED] == []
    assert {
        field for name in EDITS if name.startswith("cost_info.") for field in [name.split()[0].split(".")[1]]
    } == set(CostInfo.model_fields)


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_in_place_is_found_at_the_next_save(store: ArenaStateStore, name: str) -> None:
    """Tests edit what they hold; a report that misses it tells of a conversation that was not."""
    state = ConversationState(id="c", messages=[full_message(), Message(role="user", content="next")])
    store.save(state)
    before = store.load("c").messages[0].to_dict()
    told = changes_of(store)

    EDITS[name](state.messages[0])
    store.save(state)

    after = store.load("c").messages[0].to_dict()
    assert json.dumps(after) == json.dumps(state.messages[0].to_dict())
    assert json.dumps(after) != json.dumps(before)
    assert [list(change.indexes) for change in told] == [[0]]


def test_digits_below_the_microsecond_are_an_edit(store: ArenaStateStore) -> None:
    state = ConversationState.from_dict({"id": "c", "messages": [{"timestamp": "2026-02-11T08:30:01.123456789Z"}]})
    store.save(state)

    state.messages[0].timestamp = datetime(2026, 2, 11, 8, 30, 1, 123456, UTC)
    store.save(state)

    assert store.load("c").messages[0].to_dict()["timestamp"] == "2026-02-11T08:30:01.123456Z"


def test_an_unknown_key_that_a_file_brought_is_edited_like_any_other(store: ArenaStateStore) -> None:
    state = ConversationState.from_dict({"id": "c", "messages": [{"role": "user", "new": {"a": 1}}]})
    store.save(state)

    cast("Any", state.messages[0]).new["a"] = 2
    store.save(state)

    assert store.load("c").messages[0].to_dict()["new"] == {"a": 2}


class Opaque:
    def __init__(self) -> None:
        self.said = "one"

    def __repr__(self) -> str:
        return self.said


def test_an_object_that_cannot_be_compared_is_looked_at_again_at_every_save(store: ArenaStateStore) -> None:
    thing = Opaque()
    state = ConversationState(id="c", messages=[Message(role="user", meta={"thing": thing})])
    store.save(state)

    thing.said = "two"
    store.save(state)

    assert store.load("c").messages[0].meta == {"thing": "two"}


def test_a_message_that_is_as_it_was_is_not_told_again(store: ArenaStateStore) -> None:
    """A journal grows with what is said and not with how often it is saved."""
    state = ConversationState(id="c", messages=[full_message()])
    store.save(state)
    told = changes_of(store)

    state.messages.append(Message(role="user", content="new"))
    store.save(state)
    store.save(store.load("c"))
    store.save(state.model_copy(deep=True))

    assert [list(change.indexes) for change in told] == [[1], [], []]
    assert [change.head for change in told] == [None, None, None]


def test_a_save_that_fails_changes_nothing(store: ArenaStateStore) -> None:
    store.save(talk("c", "a", "b"))
    told = changes_of(store)
    wrong = talk("c", "x", "y", "z")
    cast("Any", wrong.messages[2].validations).append({"passed": "perhaps"})

    with pytest.raises(ValidationError, match="passed"):
        store.save(wrong)

    assert contents(store.load("c")) == ["a", "b"]
    assert told == []


# --- against a plain dict ------------------------------------------------------------------------------

IDS = st.sampled_from(["a", "b", "c"])
TEXTS = st.sampled_from(["", "x", "y", "é"])


class StoreMachine(RuleBasedStateMachine):
    """The store does what a dict of lists would do."""

    def __init__(self) -> None:
        super().__init__()
        self.store = ArenaStateStore()
        self.told: dict[str, list[bytes]] = {}
        self.store._on_change = self.replay
        self.said: dict[str, list[tuple[str, str, dict[str, Any]]]] = {}
        self.held: dict[str, ConversationState] = {}
        self.regions: dict[str, str] = {}
        self.saved: list[str] = []

    def replay(self, change: Change, _: object) -> None:
        """Keep what a journal would: deltas alone."""
        if change.kind == "delete":
            self.told.pop(change.conversation_id, None)
        elif change.kind == "save":
            log = self.told.setdefault(change.conversation_id, [])
            del log[change.length :]
            for index, text in zip(change.indexes, change.messages, strict=True):
                log[index : index + 1] = [text]

    def note(self, id: str) -> None:
        self.saved = [*(known for known in self.saved if known != id), id]

    @rule(id=IDS, roles=st.lists(st.sampled_from(["user", "assistant"]), max_size=4), text=TEXTS)
    def save(self, id: str, roles: list[str], text: str) -> None:
        state = ConversationState(id=id, messages=[Message(role=role, content=text) for role in roles])
        self.store.save(state)
        self.held[id] = state
        self.said[id] = [(role, text, {}) for role in roles]
        self.note(id)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), text=TEXTS)
    def edit_and_save(self, data: st.DataObject, text: str) -> None:
        id = data.draw(st.sampled_from(sorted(self.held)))
        state = self.held[id]
        if state.messages:
            message = state.messages[data.draw(st.integers(0, len(state.messages) - 1))]
            message.content = text
            message.meta.setdefault("deep", []).append(text)
        self.store.save(state)
        self.said[id] = [(m.role, m.content, copy.deepcopy(m.meta)) for m in state.messages]
        self.note(id)

    @rule(id=IDS, start=st.integers(0, 5), texts=st.lists(TEXTS, max_size=3))
    def log_append(self, id: str, start: int, texts: list[str]) -> None:
        known = self.said.get(id, [])
        messages = [Message(role="user", content=text) for text in texts]
        if start > len(known):
            with pytest.raises(InvalidStateError, match=repr(id)):
                self.store.log_append(id, start, messages)
            return
        fresh = [("user", text, dict[str, Any]()) for text in texts[len(known) - start :]]
        assert self.store.log_append(id, start, messages) == len(known) + len(fresh)
        self.said[id] = known + fresh
        self.note(id)

    @rule(source=IDS, new=IDS)
    def branch(self, source: str, new: str) -> None:
        if source not in self.said:
            with pytest.raises(ConversationNotFoundError):
                self.store.branch(source, new)
            return
        self.store.branch(source, new)
        self.said[new] = copy.deepcopy(self.said[source])
        self.note(new)

    @rule(id=IDS, region=TEXTS)
    def save_metadata(self, id: str, region: str) -> None:
        self.store.save_metadata(id, RunMetadata(run_id=id, region=region))
        self.said.setdefault(id, [])
        self.regions[id] = region

    @rule(text=TEXTS, value=st.integers(0, 3))
    def update_last(self, text: str, value: int) -> None:
        self.store.update_last_assistant_message(Message(role="user", content=text, meta={"k": value}))
        for id in reversed(self.saved):
            for i in range(len(self.said[id]) - 1, -1, -1):
                role, content, meta = self.said[id][i]
                if role == "assistant" and content == text:
                    self.said[id][i] = (role, content, {**meta, "k": value})
                    return

    @rule(id=IDS)
    def delete(self, id: str) -> None:
        self.store.delete(id)
        for kept in (self.said, self.regions):
            kept.pop(id, None)
        self.saved = [known for known in self.saved if known != id]

    @rule()
    def clear(self) -> None:
        self.store.clear()
        self.said, self.regions, self.saved = {}, {}, []

    @invariant()
    def what_is_loaded_is_what_was_said(self) -> None:
        for id in ("a", "b", "c"):
            if id in self.said:
                said = [(m.role, m.content, m.meta) for m in self.store.load(id).messages]
                assert said == self.said[id]
                assert self.store.log_len(id) == len(said)
            else:
                with pytest.raises(ConversationNotFoundError):
                    self.store.load(id)
        assert {id: self.store.get_result(id).region for id in self.store.list_run_ids()} == self.regions

    @invariant()
    def the_changes_replayed_give_the_same(self) -> None:
        for id, texts in self.told.items():
            assert [Message.from_json(text) for text in texts] == self.store.log_load(id)


StoreMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=25)
test_the_store_does_what_a_plain_dict_would = StoreMachine.TestCase


# --- threads -----------------------------------------------------------------------------------------


def in_threads(count: int, work: Callable[[int], object]) -> None:
    failures: list[BaseException] = []
    ready = threading.Barrier(count)

    def run(number: int) -> None:
        try:
            ready.wait(120)
            work(number)
        except BaseException as error:  # noqa: BLE001 - shown below, in the thread that can fail the test
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(240)
    assert failures == []


def test_threads_that_save_lose_nothing(store: ArenaStateStore) -> None:
    def work(number: int) -> None:
        for turn in range(20):
            store.save(talk(f"own-{number}", *[str(n) for n in range(turn + 1)]))
            store.append_list("shared", "list", [b"%d-%d" % (number, turn)])
            store.save_metadata(f"own-{number}", {"run_id": f"own-{number}"})
            store.load(f"own-{number}")
            store.get_result(f"own-{number}")
            store.list_run_ids()

    in_threads(6, work)

    assert store.list_len("shared", "list") == 6 * 20
    assert all(len(store.load(f"own-{number}").messages) == 20 for number in range(6))


def test_threads_that_save_one_conversation_leave_one_of_their_saves(store: ArenaStateStore) -> None:
    told: dict[int, bytes] = {}

    def replay(change: Change, _: object) -> None:
        for index in [index for index in told if index >= change.length]:
            del told[index]
        told.update(zip(change.indexes, change.messages, strict=True))

    store._on_change = replay

    def work(number: int) -> None:
        for turn in range(30):
            store.save(talk("c", *[f"{number}-{turn}"] * (1 + (number + turn) % 3)))

    in_threads(6, work)

    assert len(set(contents(store.load("c")))) == 1
    assert [told[index] for index in sorted(told)] == [m.to_json().encode() for m in store.load("c").messages]


# --- errors -------------------------------------------------------------------------------------------

LOOKUPS: dict[str, Callable[[ArenaStateStore, str], object]] = {
    "load": lambda s, id: s.load(id),
    "get_arena_state": lambda s, id: s.get_arena_state(id),
    "get_result": lambda s, id: s.get_result(id),
    "dump_to_json": lambda s, id: s.dump_to_json(id),
    "load_list": lambda s, id: s.load_list(id, "l"),
    "list_len": lambda s, id: s.list_len(id, "l"),
    "branch": lambda s, id: s.branch(id, "new"),
    "set_trial_results": lambda s, id: s.set_trial_results(id, 1),
    "update_last_assistant_message": lambda s, id: s.update_last_assistant_message(Message(), conversation_id=id),
}


@pytest.mark.parametrize("name", LOOKUPS)
@pytest.mark.parametrize("id", ["nobody", "../x", 'a b/%s"', "é\ud800", ""])
def test_every_look_up_of_an_unknown_id_is_one_error_that_names_it(store: ArenaStateStore, name: str, id: str) -> None:
    store.save(talk("known"))

    with pytest.raises(ConversationNotFoundError) as caught:
        LOOKUPS[name](store, id)

    assert caught.value.conversation_id == id
    assert str(caught.value) == f"no conversation {id!r} in this store (1 saved)"
    assert isinstance(caught.value, LookupError)
    assert contents(store.load("known")) == []


WRITES: dict[str, Callable[[ArenaStateStore, Any], object]] = {
    "save": lambda s, id: s.save(ConversationState.model_construct(**{**dict(ConversationState()), "id": id})),
    "save_metadata": lambda s, id: s.save_metadata(id, {}),
    "save_with_trace": lambda s, id: s.save_with_trace(
        ConversationState.model_construct(**{**dict(ConversationState()), "id": id}), None
    ),
    "log_append": lambda s, id: s.log_append(id, 0, []),
    "append_list": lambda s, id: s.append_list(id, "l", []),
    "branch": lambda s, id: s.branch("known", id),
    "ArenaRun": lambda s, id: ArenaRun(s, id),
}


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize(("id", "says"), [("", "an id cannot be empty"), (5, "an id is a str, not int")])
def test_an_id_that_cannot_be_one_is_an_error(store: ArenaStateStore, name: str, id: Any, says: str) -> None:
    store.save(talk("known"))

    with pytest.raises(InvalidStateError, match=says):
        WRITES[name](store, id)


@pytest.mark.parametrize("id", ["../x", "a/b", "x" * 5_000, " ", "\x00", "é", "index"])
def test_any_other_text_is_an_id(store: ArenaStateStore, id: str) -> None:
    store.save(talk(id, "a"))
    store.save_metadata(id, {"run_id": id})

    assert store.load(id).id == id
    assert store.get_result(id).run_id == id
    assert store.list_run_ids() == [id]


def test_a_conversation_without_metadata_has_no_result(store: ArenaStateStore) -> None:
    store.save(talk("c", "a"))

    for look_up in (store.get_result, lambda id: store.set_trial_results(id, 1)):
        with pytest.raises(RunMetadataMissingError, match="'c' has no run metadata: call save_metadata first"):
            look_up("c")


def test_no_state_and_no_metadata_are_errors(store: ArenaStateStore) -> None:
    with pytest.raises(InvalidStateError, match="the state cannot be None"):
        store.save(cast("ConversationState", None))
    with pytest.raises(InvalidStateError, match="'c': the metadata cannot be None"):
        store.save_metadata("c", cast("RunMetadata", None))

    assert store.log_len("c") == 0


def test_an_unknown_key_in_a_mapping_is_refused_with_its_name(store: ArenaStateStore) -> None:
    with pytest.raises(ValidationError, match=r"messages\.0\.contents\n.*unknown key"):
        store.save({"id": "c", "messages": [{"role": "user", "contents": "a"}]})
    with pytest.raises(ValidationError, match="scenario"):
        store.save_metadata("c", {"scenario": "x"})

    with pytest.raises(ConversationNotFoundError):
        store.load("c")


@pytest.mark.parametrize(
    "error", [ConversationNotFoundError("c", 3), RunMetadataMissingError("c"), InvalidStateError("c", "p")]
)
def test_an_error_pickles(error: ArenaStateError) -> None:
    """It crosses to the controller of a session with workers."""
    again = pickle.loads(pickle.dumps(error))

    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


# --- newer methods --------------------------------------------------------------------------------------


def test_a_log_that_is_replayed_does_not_change(store: ArenaStateStore) -> None:
    messages = [Message(role="user", content=str(n)) for n in range(5)]

    assert store.log_append("c", 0, messages[:2]) == 2
    assert store.log_append("c", 0, messages[:2]) == 2
    assert store.log_append("c", 1, messages[1:4]) == 4
    assert store.log_append("c", 4, []) == 4

    assert [m.content for m in store.log_load("c")] == ["0", "1", "2", "3"]
    assert [m.content for m in store.log_load("c", 2)] == ["2", "3"]
    assert [m.content for m in store.log_load("c", recent=9)] == ["0", "1", "2", "3"]


@pytest.mark.parametrize("start", [-1, 1])
def test_a_gap_in_a_log_is_an_error_that_names_the_id(store: ArenaStateStore, start: int) -> None:
    with pytest.raises(InvalidStateError, match=rf"'c': start_seq is from 0 to the log's length of 0, not {start}"):
        store.log_append("c", start, [Message(role="user")])

    with pytest.raises(ConversationNotFoundError):
        store.load("c")


def test_an_unknown_log_is_empty(store: ArenaStateStore) -> None:
    assert store.log_load("c") == []
    assert store.log_len("c") == 0
    assert store.log_append("c", 0, []) == 0
    assert store.load("c").messages == []


def test_lists_stand_beside_a_conversation(store: ArenaStateStore) -> None:
    given = bytearray(b"one")
    store.append_list("c", "l", [cast("bytes", given), b"two"])
    given += b"!"
    store.append_list("c", "l", [b"three"])
    store.load_list("c", "l").clear()

    assert store.load_list("c", "l") == [b"one", b"two", b"three"]
    assert store.list_len("c", "l") == 3
    assert store.load_list("c", "other") == []
    assert store.load("c").messages == []
    for call in (
        lambda: store.append_list("c", "", []),
        lambda: store.load_list("c", ""),
        lambda: store.list_len("c", ""),
    ):
        with pytest.raises(InvalidStateError, match="'c': a list's name cannot be empty"):
            call()


def test_the_callback_gets_a_copy_after_every_save_outside_the_lock(store: ArenaStateStore) -> None:
    seen: list[list[str]] = []

    def callback(state: ConversationState) -> None:
        seen.append(contents(state))
        state.messages.clear()
        # Another thread can use the store meanwhile.
        other = threading.Thread(target=store.list_run_ids)
        other.start()
        other.join(10)
        assert not other.is_alive()

    store.set_on_save(callback)
    store.save(talk("c", "a"))
    store.log_append("c", 1, [Message(role="user", content="b")])
    store.branch("c", "d")
    store.save_with_trace(talk("e", "x"), None)
    store.set_on_save(None)
    store.save(talk("c", "z"))

    assert seen == [["a"], ["a", "b"], ["a", "b"], ["x"]]
    assert contents(store.load("d")) == ["a", "b"]


def test_what_the_callback_raises_comes_after_the_save(store: ArenaStateStore) -> None:
    def callback(state: ConversationState) -> None:
        raise OSError("full")

    store.set_on_save(callback)

    with pytest.raises(OSError, match="full"):
        store.save(talk("c", "a"))

    assert contents(store.load("c")) == ["a"]


def test_a_callback_may_save(store: ArenaStateStore) -> None:
    store.set_on_save(lambda state: store.save(talk("copy", *contents(state))) if state.id != "copy" else None)

    store.save(talk("c", "a"))

    assert contents(store.load("copy")) == ["a"]


def test_trial_results_go_into_the_report(store: ArenaStateStore) -> None:
    store.save_metadata("c", {"run_id": "c"})

    store.set_trial_results("c", {"passed": {2, 1}})

    assert store.get_result("c").trial_results == {"passed": [1, 2]}


def test_an_arena_state_that_is_saved_leaves_its_run_metadata_out(store: ArenaStateStore) -> None:
    """A copy of it would be an unknown key of the conversation, stale soon, and go along with branches."""
    store.save(talk("c", "a"))
    store.save_metadata("c", RunMetadata(run_id="c", scenario_id="refund"))

    store.save(store.get_arena_state("c"))
    store.branch("c", "other")

    assert "run_metadata" not in store.load("c").to_dict()
    assert store.get_arena_state("other").run_metadata is None
    metadata = store.get_arena_state("c").run_metadata
    assert metadata is not None
    assert metadata.scenario_id == "refund"


def test_a_branch_is_a_copy_without_run_metadata(store: ArenaStateStore) -> None:
    store.save({"id": "c", "user_id": "u", "messages": [{"role": "user", "content": "a"}]})
    store.save_metadata("c", {"run_id": "c"})

    store.branch("c", "d")
    store.log_append("d", 1, [Message(role="assistant", content="b")])

    assert contents(store.load("c")) == ["a"]
    assert contents(store.load("d")) == ["a", "b"]
    assert (store.load("d").id, store.load("d").user_id) == ("d", "u")
    assert store.list_run_ids() == ["c"]


def test_fork_does_nothing(store: ArenaStateStore) -> None:
    store.save(talk("c", "a"))

    store.fork("c", "d")
    store.fork("nobody", "")

    with pytest.raises(ConversationNotFoundError):
        store.load("d")


def test_clear_forgets_everything_and_tells_each(store: ArenaStateStore) -> None:
    store.save(talk("a"))
    store.save_metadata("b", {})
    told = changes_of(store)

    store.clear()
    store.delete("nobody")

    assert [(change.kind, change.conversation_id) for change in told] == [("delete", "a"), ("delete", "b")]
    assert store.list_run_ids() == []


def test_runs_are_listed_in_the_order_of_their_first_save(store: ArenaStateStore) -> None:
    for id in ("c", "a", "b"):
        store.save(talk(id))
    for id in ("b", "a", "c", "b"):
        store.save_metadata(id, {"run_id": id})

    assert store.list_run_ids() == ["c", "a", "b"]


# --- the last assistant message -----------------------------------------------------------------------


def test_of_equal_messages_the_one_in_the_conversation_saved_last_is_updated(store: ArenaStateStore) -> None:
    for id in ("a", "b", "c"):
        store.save(talk(id, "q", "same"))
    store.save(talk("a", "q", "same"))

    store.update_last_assistant_message(Message(content="same", meta={"k": 1}))
    store.update_last_assistant_message(Message(content="same", meta={"k": 2}), conversation_id="b")

    assert [store.load(id).messages[1].meta for id in ("a", "b", "c")] == [{"k": 1}, {"k": 2}, {}]


def test_a_message_whose_content_is_the_text_of_its_parts_is_found_by_it(store: ArenaStateStore) -> None:
    message = {"role": "assistant", "content": "hello", "parts": [{"type": "text", "text": "hello"}]}
    store.save({"id": "c", "messages": [message]})

    store.update_last_assistant_message({"content": "hello", "meta": {"k": 1}})

    assert store.load("c").messages[0].meta == {"k": 1}


def test_a_message_that_has_the_content_of_its_tool_result_is_not_found_by_none(store: ArenaStateStore) -> None:
    """Its JSON leaves that content out; it has it all the same."""
    answers = [{"role": "assistant"}, {"role": "assistant", "tool_result": {"id": "1", "content": "out"}}]
    store.save({"id": "c", "messages": answers})

    store.update_last_assistant_message(Message(meta={"k": 1}))
    store.update_last_assistant_message(Message(content="out", meta={"k": 2}))

    assert [message.meta for message in store.load("c").messages] == [{"k": 1}, {"k": 2}]


def test_what_was_merged_goes_with_the_next_save_of_the_whole(store: ArenaStateStore) -> None:
    state = talk("c", "q", "a")
    store.save(state)
    store.update_last_assistant_message(Message(content="a", meta={"k": 1}))

    store.save(state)

    assert store.load("c").messages[1].meta == {}


# --- traces, dumps, deprecated names -----------------------------------------------------------------------


def test_a_trace_is_noted_in_its_message_and_not_in_the_callers(store: ArenaStateStore) -> None:
    state = talk("c", "q", "a")
    call = LLMCall(sequence=1, message_index=1, duration=timedelta(seconds=1.2349), request={"q": 1}, started_at=NOW)

    store.save_with_trace(state, ExecutionTrace(llm_calls=[call, LLMCall(message_index=9), LLMCall(message_index=-1)]))

    meta = store.load("c").messages[1].meta
    assert meta["_llm_trace"]["duration_ms"] == 1234
    assert meta["_llm_raw_request"] == {"q": 1}
    assert "_llm_raw_response" not in meta
    assert state.messages[1].meta == {}
    assert store.load("c").messages[0].meta == {}
    store.save(state)
    assert store.load("c").messages[1].meta == {}


def test_meta_that_is_added_stands_where_it_always_does(store: ArenaStateStore) -> None:
    """What is read and written again has the same bytes."""
    judged = {"role": "assistant", "content": "a", "validations": [{"validator_type": "v"}]}
    store.save_with_trace({"id": "c", "messages": [judged]}, ExecutionTrace(llm_calls=[LLMCall()]))
    store.save({"id": "other", "messages": [judged, judged | {"content": "b"}]})
    store.update_last_assistant_message(Message(content="a", meta={"k": 1}), conversation_id="other")
    store.update_last_assistant_message(Message(content="b"), conversation_id="other")

    for id in ("c", "other"):
        store.save_metadata(id, {"run_id": id})
        for written in store.get_result(id).message_texts():
            assert Message.from_json(written).to_json().encode() == written
    assert [message.get("meta") for message in json.loads(store.dump_to_json("other"))["Messages"]] == [{"k": 1}, None]


def test_a_dump_is_the_report_with_the_conversations_metadata(store: ArenaStateStore) -> None:
    store.save({"id": "c", "messages": [{"role": "user", "content": "é"}], "metadata": {"system_prompt": "s"}})
    store.save_metadata("c", {"run_id": "c", "params": {"t": 1}})

    text = store.dump_to_json("c")

    expected = {**store.get_result("c").to_dict(), "Params": {"t": 1}, "metadata": {"system_prompt": "s"}}
    assert json.loads(text) == expected
    assert "é" in text
    assert text.startswith('{\n  "RunID"')


def test_a_dump_without_run_metadata_has_the_names_of_the_store(store: ArenaStateStore) -> None:
    store.save(ConversationState(id="c", messages=[full_message()]))

    dump = json.loads(store.dump_to_json("c"))

    assert list(dump) == ["conversation_id", "messages", "metadata", "cost", "tool_stats", "validations"]
    assert dump["validations"][0]["turn_index"] == 0


def test_the_system_prompt_of_the_conversation_wins_in_a_report(store: ArenaStateStore) -> None:
    store.save({"id": "c", "metadata": {"system_prompt": "s"}})
    store.save_metadata("c", {"params": {"system_prompt": "p", "t": 1}})

    assert store.get_result("c").params == {"system_prompt": "s", "t": 1}


def test_the_deprecated_names_work_and_say_so(store: ArenaStateStore) -> None:
    with pytest.deprecated_call(match="use save_metadata"):
        store.save_run_metadata("c", {"run_id": "r"})
    with pytest.deprecated_call(match="use get_result"):
        assert store.get_run_result("c").run_id == "r"


def test_troubles_with_values_are_told_and_never_raised(store: ArenaStateStore) -> None:
    told = changes_of(store)

    store.save(ConversationState(id="c", messages=[Message(role="user", meta={"o": object()})], metadata={"p": print}))

    (change,) = told
    assert [problem.partition(":")[0] for problem in change.problems] == ["messages[0].meta.o", "metadata.p"]


# --- what no file can hold ---------------------------------------------------------------------------------


def test_an_id_with_a_lone_surrogate_means_one_conversation(store: ArenaStateStore) -> None:
    """Where a text is kept it is U+FFFD, and a conversation must not be split by that."""
    store.save({"id": "a\ud800", "messages": [{"role": "user", "content": "kept"}]})
    store.save_metadata("a\ud800", RunMetadata(run_id="r"))
    store.log_append("a\ud800", 1, [Message.user("more")])
    store.append_list("a\ud800", "l", [b"x"])
    store.set_trial_results("a\ud800", 1)

    assert store.list_run_ids() == ["a\ufffd"]
    assert [message.content for message in store.load("a\ud800").messages] == ["kept", "more"]
    assert [message.content for message in store.get_result("a\ud800").messages] == ["kept", "more"]
    assert (store.log_len("a\ud800"), len(store.log_load("a\ud800"))) == (2, 2)
    assert store.load_list("a\ud800", "l") == [b"x"]
    store.branch("a\ud800", "b\udfff")
    assert store.log_len("b\ufffd") == 2
    store.delete("a\ud800")
    assert store.list_run_ids() == []


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_number_that_json_does_not_have_is_refused_where_it_was_put_in_place(
    store: ArenaStateStore, number: float
) -> None:
    cost = CostInfo(input_tokens=1)
    cost.quantities["images"] = number

    with pytest.raises(ValidationError, match="quantities"):
        store.save({"id": "c", "messages": [Message(role="assistant", content="x", cost_info=cost)]})


@pytest.mark.parametrize("items", [b"abc", [3], ["x"]])
def test_a_list_beside_a_conversation_takes_byte_strings_alone(store: ArenaStateStore, items: Any) -> None:
    with pytest.raises(TypeError):
        store.append_list("c", "l", items)
