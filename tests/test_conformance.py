"""What PromptKit Arena's own store does, case by case, and that this store does the same.

``data/cases.jsonl`` was recorded by running Arena's Go package ``statestore`` v1.1.11. Values
are compared, not bytes. Where this project differs on purpose, a case names the row of the
table of differences, states our own value, and agrees once that row alone is set aside.
"""

import json
import math
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pytest_arena_state import (
    ArenaStateStore,
    ConversationNotFoundError,
    ConversationState,
    ExecutionTrace,
    InvalidStateError,
    Message,
    RunMetadata,
    RunMetadataMissingError,
    RunResult,
)

HERE = Path(__file__).parent
FOLDER = Path(os.environ.get("ARENA_CONFORMANCE") or HERE.parents[1] / "shared" / "conformance")
ARENA_FILES = FOLDER / "arena-files.jsonl"


def read_cases(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


CASES = read_cases(HERE / "data" / "cases.jsonl")


# --- what does not count ----------------------------------------------------------------------

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)\Z", re.ASCII)


def plain(value: Any) -> Any:
    """A value in which what means the same is the same: empty values are None, times are instants."""
    if isinstance(value, dict):
        kept = {key: plain(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item is not None} or None
    if isinstance(value, list):
        return [plain(item) for item in value] or None
    if isinstance(value, str):
        moment = _TIME.match(value)
        if moment is not None:
            seconds = datetime.fromisoformat(moment[1] + moment[3].replace("Z", "+00:00"))
            return ("instant", int(seconds.timestamp()), (moment[2] or "").ljust(9, "0"))
        return value or None
    return value


def differences(recorded: Any, ours: Any, where: str = "") -> Iterator[str]:
    """The places at which two plain values differ."""
    if isinstance(recorded, dict) and isinstance(ours, dict):
        for key in sorted(recorded.keys() | ours.keys()):
            yield from differences(recorded.get(key), ours.get(key), f"{where}.{key}")
    elif isinstance(recorded, list) and isinstance(ours, list) and len(recorded) == len(ours):
        for i, (left, right) in enumerate(zip(recorded, ours, strict=True)):
            yield from differences(left, right, f"{where}[{i}]")
    elif is_number(recorded) and is_number(ours):
        if recorded != ours and not math.isclose(recorded, ours, rel_tol=1e-12):
            yield f"{where}: {recorded!r} was recorded, {ours!r} is ours"
    elif recorded != ours or isinstance(recorded, bool) != isinstance(ours, bool):
        yield f"{where}: {recorded!r} was recorded, {ours!r} is ours"


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def without_what_does_not_count(op: str, document: Any, *, with_metadata: bool) -> Any:
    if not isinstance(document, dict):
        return document
    document = json.loads(json.dumps(document))
    for violation in document.get("Violations") or ():
        violation.pop("detail", None)
    assertions = document.get("conversation_assertions") or {}
    if assertions.get("total") == 0:
        assertions.pop("passed", None)
    if op == "dump_to_json" and with_metadata:
        for copy in ("conversation_id", "messages", "cost", "tool_stats", "validations"):
            document.pop(copy, None)
    for validation in document.get("validations") or ():
        validation.pop("turn_index", None)
    for message in [document, *(document.get("Messages") or ()), *(document.get("messages") or ())]:
        if message.get("role") == "tool" and message.get("tool_result"):
            message.pop("content", None)
    return document


def under_our_names(state: Any) -> Any:
    """Go's names of a state (``LastAccessedAt``) as ours; maps of the user keep their keys."""
    names = {key: re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key).lower() for key in state}
    renamed = {names[key]: value for key, value in state.items()}
    if renamed.get("summaries"):
        renamed["summaries"] = [under_our_names(summary) for summary in renamed["summaries"]]
    return renamed


# --- what differs on purpose --------------------------------------------------------------------

DUMP = "`DumpToJSON` writes the messages twice and lacks media and assertions"
DOCUMENTS = "documents are not named in the text that stands for parts"
NEWER = "carries the optional fields that the newest Arena added"
SPELLINGS = "Both spellings are read; the tables above are written"


@dataclass(frozen=True)
class Difference:
    """A place where a case differs on purpose: the row that says so, and our own value there."""

    row: str
    ours: dict[str, Any] = field(default_factory=dict)
    """By path, as in ``Messages.0.content``; the recording's value there is set aside."""


DIFFERENT = {
    "07_media/document": Difference(DOCUMENTS, {"Messages.0.content": "[1 document(s)]"}),
    "20_multimodal_json/all_kinds": Difference(
        DOCUMENTS, {"content": "[2 image(s), 1 audio file(s), 1 video(s), 1 document(s)]"}
    ),
    "20_multimodal_json/document_only": Difference(DOCUMENTS, {"content": "[1 document(s)]"}),
    "04_cost/unknown_cost_fields_dropped": Difference(
        NEWER,
        {
            "Messages.0.cost_info.provider_name": "x",
            "Messages.0.cost_info.capability": "llm",
            "Messages.0.cost_info.quantities": {"chars": 4},
        },
    ),
    "05_tool_stats/tool_call_extra_fields_dropped": Difference(
        NEWER, {"Messages.0.tool_calls.0.provider_metadata": {"g": "s"}}
    ),
    "22_round_trip/newest_fields_dropped": Difference(
        NEWER,
        {
            "Labels": {"team": "a"},
            "Skipped": True,
            "SkipReason": "x",
            "eval_results": [{"eval_id": "e"}],
            "A2AAgents": [{"name": "n", "description": "d"}],
            "trial_results": {"k": 1},
            "Cost.breakdown": [{"unit": "u", "quantity": 1, "usd": 2}],
        },
    ),
    "22_round_trip/engine_style_media_outputs": Difference(
        SPELLINGS,
        {
            "MediaOutputs.0.MIMEType": "image/png",
            "MediaOutputs.0.SizeBytes": 3,
            "MediaOutputs.0.FilePath": "/x",
            "MediaOutputs.0.MessageIdx": 1,
            "MediaOutputs.0.PartIdx": 2,
        },
    ),
    "22_round_trip/role_objects": Difference(SPELLINGS, {"AssistantRole": {"provider": "p"}}),
}
"""Beside these, each dump of a run with metadata differs by the row `DUMP`; see `set_dump_row_aside`."""


def set_dump_row_aside(store: ArenaStateStore, run_id: str, recorded: Any, ours: Any) -> bool:
    """Take from our dump what the recording has no key for, after a look at what it says."""
    report = store.get_result(run_id).to_dict()
    aside = False
    for key in ("MediaOutputs", "conversation_assertions"):
        assert key not in recorded
        assert ours[key] == report[key]
        aside = aside or plain(ours[key]) is not None
        del ours[key]
    return aside


def set_aside(document: Any, path: str) -> Any:
    """Take the value at a path out of a document."""
    *parents, last = path.split(".")
    for key in parents:
        document = (document[int(key)] if key.isdigit() else document.get(key)) if document else None
    return document.pop(last, None) if document else None


# --- running a case -------------------------------------------------------------------------------


def model(kind: Any, value: Any) -> Any:
    return None if value is None else kind.from_dict(value)


OPS: dict[str, Callable[[ArenaStateStore, dict[str, Any]], Any]] = {
    "save": lambda s, op: s.save(model(ConversationState, op["state"])),
    "save_with_trace": lambda s, op: s.save_with_trace(
        model(ConversationState, op["state"]), model(ExecutionTrace, op.get("trace"))
    ),
    "save_metadata": lambda s, op: s.save_metadata(op["id"], model(RunMetadata, op["metadata"])),
    "update_last_assistant_message": lambda s, op: s.update_last_assistant_message(model(Message, op["message"])),
    "fork": lambda s, op: s.fork(op["source_id"], op["new_id"]),
    "delete": lambda s, op: s.delete(op["id"]),
    "load": lambda s, op: s.load(op["id"]).to_dict(),
    "get_arena_state": lambda s, op: s.get_arena_state(op["id"]).to_dict(),
    "load_then_save": lambda s, op: s.save(s.load(op["id"])),
    "get_result": lambda s, op: s.get_result(op["id"]).to_dict(),
    "dump_to_json": lambda s, op: json.loads(s.dump_to_json(op["id"])),
    "list_run_ids": lambda s, _: s.list_run_ids(),
    "round_trip_result": lambda _, op: model(RunResult, op["result"]).to_dict(),
    "message_json": lambda _, op: model(Message, op["message"]).to_dict(),
}


def deprecated(name: str) -> Callable[[ArenaStateStore, dict[str, Any]], Any]:
    def call(store: ArenaStateStore, op: dict[str, Any]) -> Any:
        with pytest.deprecated_call():
            if name == "get_run_result":
                return store.get_run_result(op["id"]).to_dict()
            return store.save_run_metadata(op["id"], model(RunMetadata, op["metadata"]))

    return call


OPS |= {name: deprecated(name) for name in ("get_run_result", "save_run_metadata")}


def kind_of(text: str) -> type[Exception]:
    """Our error for a recorded one, whose text may have an id in it that says anything."""
    if text.startswith("run metadata not found"):
        return RunMetadataMissingError
    if text.startswith("conversation ") and text.endswith("not found"):
        return ConversationNotFoundError
    # What Go's decoder says begins with one of these.
    return ValidationError if text.startswith(("json:", "parsing time", "Time.")) else InvalidStateError


@dataclass
class Outcome:
    """How a case went."""

    disagreements: list[str] = field(default_factory=list)
    rows: set[str] = field(default_factory=set)
    """The rows of the table that were needed for it to agree."""


def run_case(case: dict[str, Any]) -> Outcome:
    store = ArenaStateStore()
    outcome = Outcome()
    expected = DIFFERENT.get(case["id"])
    for op, result in zip(case["ops"], case["results"], strict=True):
        name = op["op"]
        try:
            ours = OPS[name](store, op)
        except (LookupError, ValueError) as error:
            kind = kind_of(result["error"]) if "error" in result else None
            if kind is None or not isinstance(error, kind):
                outcome.disagreements.append(f"{name}: {kind} was recorded, ours is {error!r}")
            continue
        if "error" in result:
            outcome.disagreements.append(f"{name}: {result['error']!r} was recorded, ours is no error")
            continue
        recorded = result["ok"]
        if name in ("load", "get_arena_state"):
            recorded = under_our_names(recorded)
        if result.get("unordered"):
            recorded, ours = sorted(recorded), sorted(ours)
        with_metadata = isinstance(recorded, dict) and "RunID" in recorded
        if name == "dump_to_json" and with_metadata and set_dump_row_aside(store, op["id"], recorded, ours):
            outcome.rows.add(DUMP)
        recorded, ours = (without_what_does_not_count(name, d, with_metadata=with_metadata) for d in (recorded, ours))
        if expected is not None and isinstance(recorded, dict):
            outcome.rows.add(expected.row)
            for path, value in expected.ours.items():
                set_aside(recorded, path)
                found = set_aside(ours, path)
                outcome.disagreements += differences(plain(value), plain(found), f"our own {path}")
        outcome.disagreements += differences(plain(recorded), plain(ours), name)
    return outcome


# --- the tests --------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_the_store_does_what_arena_does(case: dict[str, Any]) -> None:
    assert run_case(case).disagreements == []


@pytest.mark.parametrize("number", range(4))
def test_files_that_arena_wrote_are_read_and_written_as_arena_does(number: int) -> None:
    if not ARENA_FILES.is_file():
        pytest.skip(f"Arena's own sample files are not at {ARENA_FILES}: set ARENA_CONFORMANCE to their folder")

    assert run_case(read_cases(ARENA_FILES)[number]).disagreements == []


def test_how_many_cases_agree(capsys: pytest.CaptureFixture[str]) -> None:
    """The figure that a reader of the project asks for first."""
    outcomes = [run_case(case) for case in CASES]

    agreeing = [outcome for outcome in outcomes if not outcome.disagreements]
    by_row = {row: sum(row in outcome.rows for outcome in agreeing) for row in (DUMP, DOCUMENTS, NEWER, SPELLINGS)}
    with capsys.disabled():
        print(
            f"\nconformance: {len(agreeing)} of {len(CASES)} cases agree, "
            f"{sum(not outcome.rows for outcome in agreeing)} of them as recorded"
        )
        for row, count in by_row.items():
            print(f"  {count} once one difference on purpose is set aside: {row}")
    assert len(agreeing) == len(CASES)


@pytest.mark.parametrize("case_id", DIFFERENT)
def test_a_case_that_differs_on_purpose_does_differ(case_id: str) -> None:
    """A difference that is no longer one would hide what comes after it."""
    case = next(case for case in CASES if case["id"] == case_id)
    store = ArenaStateStore()
    results = [OPS[op["op"]](store, op) for op in case["ops"]]

    found = [
        line
        for recorded, ours in zip(case["results"], results, strict=True)
        for line in differences(plain(recorded["ok"]), plain(ours))
    ]

    assert found


@pytest.mark.parametrize(
    ("text", "ops"),
    [
        ("conversation not found", [{"op": "load", "id": "c"}]),
        ("conversation run metadata not found", [{"op": "get_result", "id": "run metadata"}]),
        (
            "run metadata not found for c",
            [{"op": "save", "state": {"id": "c"}}, {"op": "get_result", "id": "c"}],
        ),
        ("metadata cannot be nil", [{"op": "save_metadata", "id": "c", "metadata": None}]),
        ("state cannot be nil", [{"op": "save", "state": None}]),
        (
            "json: cannot unmarshal array into Go struct field Message.role of type string",
            [{"op": "message_json", "message": {"role": []}}],
        ),
        (
            'parsing time "\\"yesterday\\"" as "\\"2006-01-02T15:04:05Z07:00\\"": cannot parse',
            [{"op": "message_json", "message": {"timestamp": "yesterday"}}],
        ),
        (
            "Time.UnmarshalJSON: input is not a JSON string",
            [{"op": "message_json", "message": {"timestamp": 5}}],
        ),
    ],
)
def test_each_kind_of_the_references_errors_is_one_of_ours(text: str, ops: list[dict[str, Any]]) -> None:
    results: list[dict[str, Any]] = [{"ok": None} for _ in ops[1:]] + [{"error": text}]

    assert run_case({"id": "", "ops": ops, "results": results}).disagreements == []


def test_the_comparison_sees_what_counts() -> None:
    """The tests above are worth what this one shows."""
    assert list(differences(plain({"a": 1}), plain({"a": 1.0, "b": "", "c": {}}))) == []
    assert list(differences(plain("2026-01-01T01:00:00+01:00"), plain("2026-01-01T00:00:00Z"))) == []
    assert list(differences(plain("2026-01-01T00:00:00.000000001Z"), plain("2026-01-01T00:00:00Z")))
    assert list(differences(plain({"a": 1}), plain({"a": True})))
    assert list(differences(plain([1]), plain([1, 2])))
    assert list(differences(plain({"a": 0}), plain({})))
    assert list(differences(1.0, 1.0 + 1e-11))
