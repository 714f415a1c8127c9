"""`ArenaRun`: a conversation written down turn by turn."""

import threading
from collections.abc import Callable
from datetime import timedelta
from enum import Enum
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from pytest_arena_state import (
    ArenaRun,
    ArenaStateStore,
    ContentPart,
    ConversationNotFoundError,
    CostInfo,
    Message,
    recorder,
)
from pytest_arena_state import conversation as conversation_module
from pytest_arena_state import kept as kept_module
from pytest_arena_state import store as store_module
from pytest_arena_state._wire import dumps, loads

if TYPE_CHECKING:
    from pytest_arena_state.conversation import Change


@pytest.fixture
def store() -> ArenaStateStore:
    return ArenaStateStore()


@pytest.fixture
def run(store: ArenaStateStore) -> ArenaRun:
    return ArenaRun(store, "r")


def test_a_conversation_is_written_down_turn_by_turn(run: ArenaRun, store: ArenaStateStore) -> None:
    run.system("Be brief.")
    run.user("Refund?", parts=[ContentPart.from_url("http://x/receipt.png")])
    call = run.tool_call("lookup", {"order": 7})
    run.tool_result(call, {"paid": True}, latency=timedelta(milliseconds=12))
    run.assistant(
        "Of course.",
        cost=CostInfo(input_tokens=3, output_tokens=4, total_cost_usd=0.5),
        latency=timedelta(seconds=1.5),
        meta={"raw": {1}},
    )

    assert [(m.role, m.content) for m in run.messages] == [
        ("system", "Be brief."),
        ("user", "Refund?"),
        ("assistant", ""),
        ("tool", '{"paid":true}'),
        ("assistant", "Of course."),
    ]
    tool, last = run.messages[3], run.messages[4]
    assert tool.tool_result is not None
    assert (tool.tool_result.id, tool.tool_result.name, tool.tool_result.latency_ms) == (call, "lookup", 12)
    assert (last.latency_ms, last.meta) == (1500, {"raw": [1]})
    assert run.id == "r"
    assert store.load("r").messages == run.messages


def test_a_tool_call_joins_the_assistants_message_that_is_the_last_one(run: ArenaRun) -> None:
    run.assistant("Let me look.")
    first, second = run.tool_call("a", {}), run.tool_call("a", {})
    run.user("And?")
    third = run.tool_call("b", {}, id="mine")

    assert [[call.id for call in m.tool_calls] for m in run.messages] == [[first, second], [], ["mine"]]
    assert len({first, second, third}) == 3
    assert third == "mine"


@pytest.mark.parametrize(
    ("args", "kept"),
    [
        ({"a": 1}, {"a": 1}),
        ('{"a": 1}', {"a": 1}),
        ("[1]", [1]),
        ("null", None),
        (None, None),
        ([1, (2,)], [1, [2]]),
        (b"x", "eA=="),
    ],
)
def test_tool_arguments_are_values_or_the_json_text_that_providers_send(
    run: ArenaRun, args: object, kept: object
) -> None:
    run.tool_call("t", args)

    assert run.messages[0].tool_calls[0].args == kept
    assert run.messages[0].meta == {}


@pytest.mark.parametrize("text", ['{"a": ', "", "find it", "[" * 100_000, "a\ud800"])
def test_tool_arguments_that_do_not_parse_are_kept_as_text_and_flagged(run: ArenaRun, text: str) -> None:
    intact = run.tool_call("t", "{}")

    broken = run.tool_call("t", text)

    (message,) = run.messages
    assert message.tool_calls[1].args == text.replace("\ud800", "\N{REPLACEMENT CHARACTER}")
    assert message.meta == {"unparsed_tool_args": [broken]}
    assert intact not in message.meta["unparsed_tool_args"]


def test_a_flag_beside_what_the_test_put_into_meta_does_not_fail_the_test(run: ArenaRun) -> None:
    run.assistant("x", meta={"unparsed_tool_args": "mine"})

    broken = run.tool_call("t", "{")

    assert run.messages[0].meta["unparsed_tool_args"] == ["mine", broken]


def test_a_cost_may_be_just_dollars(run: ArenaRun) -> None:
    run.assistant("a", cost=0.25)
    run.assistant("b", cost=1)
    run.assistant("c")

    costs = [message.cost_info and message.cost_info.total_cost_usd for message in run.messages]
    assert costs == [0.25, 1.0, None]


def test_the_result_of_an_unknown_call_has_no_name(run: ArenaRun) -> None:
    run.tool_result("nobody", "out", error="late")

    result = run.messages[0].tool_result
    assert result is not None
    assert (result.name, result.content, result.error) == ("", "out", "late")
    assert [part.text for part in result.parts] == ["out"]


def test_a_validation_is_put_on_the_last_message(run: ArenaRun, store: ArenaStateStore) -> None:
    run.user("a")
    run.validate("v", passed=False, details={"why": {1}})
    run.param("t", 1)

    validation = run.messages[0].validations[0]
    assert (validation.validator_type, validation.passed, validation.details) == ("v", False, {"why": [1]})
    assert [v.type for v in store.get_result("r").violations] == ["v"]


def test_a_validation_before_the_first_message_has_a_message_of_its_own(run: ArenaRun) -> None:
    run.validate("v", passed=True)

    assert [(m.role, len(m.validations)) for m in run.messages] == [("assistant", 1)]


class NoTruth:
    def __bool__(self) -> bool:
        raise ValueError("ambiguous")


@pytest.mark.parametrize(
    ("condition", "holds", "message"),
    [
        (True, True, "holds"),
        ([], False, "does not hold"),
        ("x", True, "holds"),
        (NoTruth(), False, "its truth cannot be told: ValueError('ambiguous')"),
    ],
)
def test_a_check_is_noted_and_returned_and_never_raises(
    run: ArenaRun, store: ArenaStateStore, condition: object, holds: bool, message: str
) -> None:
    assert run.check("polite", condition, details={"o": object}) is holds

    (result,) = store.get_result("r").conversation_assertions.results
    assert (result.type, result.passed, result.message) == ("polite", holds, message)


def test_what_is_known_of_the_run_is_in_its_report(run: ArenaRun, store: ArenaStateStore) -> None:
    run.param("temperature", 0.5)
    run.param("schema", {1: (2,)})
    run.label("team", 7)
    run.tag("a", "b", "a")
    run.tag("b", "c")
    run.feedback(2, "meh")
    run.feedback(5, "good", user_id="u", categories={"tone": 1})

    result = store.get_result("r")
    assert result.params == {"temperature": 0.5, "schema": {"1": [2]}}
    assert result.labels == {"team": "7"}
    assert result.session_tags == ["a", "b", "c"]
    assert result.user_feedback is not None
    assert (result.user_feedback.rating, result.user_feedback.conversation_id) == (5, "r")
    assert (result.user_feedback.user_id, result.user_feedback.categories) == ("u", {"tone": 1})


class Tier(str, Enum):  # noqa: UP042 - whose str() is its value, which that of this one is not
    GOLD = "gold"


class Ring(Enum):
    OUTER = "outer"


@pytest.mark.parametrize("member", [Tier.GOLD, Ring.OUTER])
def test_a_member_of_an_enum_describes_the_run_by_its_value(run: ArenaRun, store: ArenaStateStore, member: Any) -> None:
    """As it does in a marker's fields, in ``params`` and in ``meta``."""
    run.tag(member)
    run.label(member, member)
    run.param(member, member)
    run.check(member, True)

    result, text = store.get_result("r"), member.value
    assert (result.session_tags, result.labels, result.params) == ([text], {text: text}, {text: text})
    assert result.conversation_assertions.results[0].type == text


def test_what_was_saved_by_other_means_is_kept(run: ArenaRun, store: ArenaStateStore) -> None:
    store.save_metadata("r", {"run_id": "r", "region": "eu", "duration": 14545884459})

    run.tag("a")

    assert store.get_result("r").to_dict()["Duration"] == 14545884459
    assert (store.get_result("r").region, store.get_result("r").session_tags) == ("eu", ["a"])


# --- every call saves, and reading does not --------------------------------------------------------------

CALLS: dict[str, Callable[[ArenaRun], object]] = {
    "user": lambda run: run.user("a"),
    "add": lambda run: run.add([{"role": "user", "content": "a"}]),
    "system": lambda run: run.system("a"),
    "assistant": lambda run: run.assistant("a"),
    "tool_call": lambda run: run.tool_call("t", {}),
    "tool_result": lambda run: run.tool_result("1", "out"),
    "validate": lambda run: run.validate("v", passed=True),
    "check": lambda run: run.check("c", True),
    "param": lambda run: run.param("k", 1),
    "label": lambda run: run.label("k", 1),
    "tag": lambda run: run.tag("t"),
    "feedback": lambda run: run.feedback(1),
}
SPOKEN = ("user", "add", "system", "assistant", "tool_call", "tool_result", "validate")


def test_there_is_a_call_for_every_method() -> None:
    assert {name for name in vars(ArenaRun) if not name.startswith("_")} - {"id", "messages"} == CALLS.keys()


@pytest.mark.parametrize("name", CALLS)
def test_every_call_saves(run: ArenaRun, store: ArenaStateStore, name: str) -> None:
    told: list[Change] = []
    store._on_change = lambda change, _: told.append(change)

    CALLS[name](run)

    assert [(change.conversation_id, change.kind) for change in told] == [
        ("r", "save" if name in SPOKEN else "metadata")
    ]


@pytest.mark.parametrize("name", SPOKEN)
def test_the_users_callback_is_called_outside_the_lock(run: ArenaRun, store: ArenaStateStore, name: str) -> None:
    """A callback that hands over to another thread would otherwise wait for ever."""
    seen: list[int] = []

    def callback(state: Any) -> None:
        other = threading.Thread(target=lambda: seen.append(store.log_len("r")))
        other.start()
        other.join(10)

    store.set_on_save(callback)

    CALLS[name](run)

    assert seen == [1]


def test_a_run_that_only_looks_leaves_no_conversation(run: ArenaRun, store: ArenaStateStore) -> None:
    assert run.messages == []
    assert run.id == "r"
    assert store._tool_name("r", "nobody") == ""

    with pytest.raises(ConversationNotFoundError):
        store.load("r")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda run: run.user(5),
        lambda run: run.assistant("a", cost=float("nan")),
        lambda run: run.assistant("a", cost=CostInfo, latency=None),
        lambda run: run.tool_call(5, {}),
        lambda run: run.feedback("good"),
    ],
)
def test_a_call_that_is_wrong_leaves_no_conversation(run: ArenaRun, store: ArenaStateStore, wrong: Any) -> None:
    with pytest.raises(ValidationError):
        wrong(run)

    with pytest.raises(ConversationNotFoundError):
        store.load("r")


# --- cost ------------------------------------------------------------------------------------------------


def test_a_call_costs_the_same_however_long_the_conversation_is(
    run: ArenaRun, store: ArenaStateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted, not timed: how many bytes are read and written, and how many messages are read."""
    counted = {"written": 0, "read": 0}
    from_json = Message.from_json

    def counting_dumps(value: Any, **keywords: Any) -> bytes:
        text = dumps(value, **keywords)
        counted["written"] += len(text)
        return text

    def counting_read(read: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
        def call(text: bytes) -> Any:
            counted["read"] += len(text)
            return read(text)

        return call

    def listen(change: Any, _: object) -> None:
        counting_dumps(change.more or change.metadata)

    store._on_change = listen
    monkeypatch.setattr(store_module, "dumps", counting_dumps)
    monkeypatch.setattr(conversation_module, "dumps", counting_dumps)
    monkeypatch.setattr(kept_module, "dumps", counting_dumps)
    monkeypatch.setattr(store_module, "loads", counting_read(loads))
    monkeypatch.setattr(Message, "from_json", counting_read(from_json))

    def hundred_turns() -> tuple[int, int]:
        counted.update(written=0, read=0)
        for _ in range(100):
            run.user("question " * 10)
            run.assistant("answer " * 10)
            call = run.tool_call("t", {"a": 1}, id="call")
            run.tool_result(call, "out")
            run.validate("v", passed=True)
            run.check("polite", True)
            run.label("turn", "last")
            run.tag("long")
        return counted["written"], counted["read"]

    first, second, third = hundred_turns(), hundred_turns(), hundred_turns()

    assert first[0] > 0
    assert first[1] > 0
    for later in (second, third):
        assert later[0] <= first[0] * 1.1
        assert later[1] <= first[1] * 1.1


def test_threads_that_write_one_run_lose_nothing(run: ArenaRun) -> None:
    def work() -> None:
        for n in range(25):
            run.user(str(n))
            run.tag(f"{threading.get_ident()}-{n}")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(run.messages) == 100


def test_ids_of_calls_made_by_threads_differ(run: ArenaRun) -> None:
    ids: list[str] = []
    threads = [threading.Thread(target=lambda: ids.extend(run.tool_call("t", {}) for _ in range(20))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(ids)) == 80
    assert recorder.UNPARSED_ARGS_KEY == "unparsed_tool_args"


def test_ids_of_calls_differ_whichever_recorder_made_them(run: ArenaRun, store: ArenaStateStore) -> None:
    """A helper may make a recorder for each turn, and a conversation may have been loaded."""
    other = ArenaRun(store, "r")
    calls = [run.tool_call("t", {}), other.tool_call("t", {}), ArenaRun(store, "r").tool_call("t", {})]
    elsewhere = ArenaStateStore()
    elsewhere.save(store.load("r"))

    calls.append(ArenaRun(elsewhere, "r").tool_call("t", {}))

    assert calls == ["call-1-t", "call-2-t", "call-3-t", "call-4-t"]


# --- what cannot be meant -----------------------------------------------------------------------


def test_a_latency_without_a_unit_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="a latency is a timedelta, not float"):
        ArenaRun(ArenaStateStore(), "a").assistant("x", latency=1.5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("say", "wanted"),
    [
        (lambda run: run.assistant("x", meta="stop"), "meta is a mapping, not 'stop'"),
        (lambda run: run.feedback(1, categories=["speed"]), r"categories is a mapping, not \['speed'\]"),
    ],
)
def test_what_is_no_mapping_is_refused_by_name(say: Callable[[ArenaRun], None], wanted: str) -> None:
    with pytest.raises(TypeError, match=wanted):
        say(ArenaRun(ArenaStateStore(), "a"))


def test_details_that_are_no_map_are_kept_all_the_same() -> None:
    run = ArenaRun(ArenaStateStore(), "a")

    run.user("x")
    run.validate("length", passed=True, details="text")  # type: ignore[arg-type]
    assert run.check("holds", True, details="text")  # type: ignore[arg-type]
    run.validate("short", passed=False, details=["too long"])  # type: ignore[arg-type]

    assert run.messages[0].validations[0].details == {"details": "text"}
    metadata = run._store.get_arena_state("a").run_metadata
    assert metadata is not None
    assert metadata.conv_assertions_results[0].details == {"details": "text"}
    assert run.messages[0].validations[1].details == {"details": ["too long"]}


def test_a_check_whose_name_is_no_text_does_not_fail_the_test() -> None:
    run = ArenaRun(ArenaStateStore(), "a")

    assert run.check(PurePosixPath("goldens/refund.txt"), True)  # type: ignore[arg-type]

    metadata = run._store.get_arena_state("a").run_metadata
    assert metadata is not None
    assert metadata.conv_assertions_results[0].type == "goldens/refund.txt"
