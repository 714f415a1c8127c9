"""The JSON Schemas that the package ships say what it writes, and refuse what it never writes."""

import copy
import json
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pytest_arena_state import (
    ArenaStateStore,
    ContentPart,
    ConversationState,
    CostInfo,
    ExecutionTrace,
    Index,
    Message,
    RunMetadata,
    RunResult,
)
from pytest_arena_state._wire import WireModel
from pytest_arena_state.cli import main
from pytest_arena_state.errors import ConfigurationError
from pytest_arena_state.index import Completeness, IndexRow, IndexTrials, LostEntry
from pytest_arena_state.models import (
    AssertionsSummary,
    ConversationValidationResult,
    ConversationViolation,
    Feedback,
    MediaOutput,
    SelfPlayRoleInfo,
    ToolStats,
    Violation,
)
from pytest_arena_state.schema import SCHEMAS, read_schema
from tests.conftest import Process

ROOT = Path(__file__).parents[1]
Schema = dict[str, Any]


def validator(name: str) -> Any:
    return jsonschema.Draft202012Validator(json.loads(read_schema(name)))


def problems(name: str, document: Any) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in validator(name).iter_errors(document)]


NOW = datetime(2026, 5, 1, 9, 0, 0, 123_000, tzinfo=UTC)


def everything() -> dict[str, Any]:
    """A report in which no field is empty."""
    store = ArenaStateStore()
    cost = CostInfo(
        input_tokens=3,
        output_tokens=2,
        cached_tokens=1,
        total_cost_usd=0.5,
        cached_cost_usd=0.1,
        quantities={"chars": 4.0},
        dimension_match={"a": "b"},
        provider_name="x",
        capability="llm",
        latency_ns=5,
        breakdown=[{"unit": "u", "quantity": 1, "usd": 2}],
    )
    picture = {"data": "aGk=", "mime_type": "image/png", "width": 2, "height": 3, "duration": 1, "detail": "low"}
    full = dict.fromkeys(("size_kb", "bit_rate", "channels", "fps"), 1) | dict.fromkeys(
        ("file_path", "url", "storage_reference", "format", "caption", "policy_name"), "x"
    )
    messages = [
        {"role": "user", "content": "It came in pieces", "timestamp": NOW},
        {
            "role": "assistant",
            "parts": [
                {"type": "text", "text": "Like this?"},
                {"type": "image", "media": picture | full},
                {"type": "video"},
            ],
            "tool_calls": [{"id": "1", "name": "find", "args": {"n": 1}, "provider_metadata": {"g": "s"}}],
            "timestamp": NOW,
            "latency_ms": 20,
            "cost_info": cost,
            "finish_reason": "stop",
            "reasoning": {
                "text": "hm",
                "opaque": [{"provider": "p", "kind": "k", "data": "d", "ref": "r"}],
                "redacted": True,
            },
            "meta": {"any": [1, None]},
            "validations": [{"validator_type": "v", "passed": False, "details": {"d": 1}, "timestamp": NOW}],
        },
        {
            "role": "tool",
            "content": "other than its result",
            "timestamp": NOW,
            "tool_result": {
                "id": "1",
                "name": "find",
                "content": "found",
                "error": "late",
                "error_type": "t",
                "latency_ms": 4,
                "parts": [ContentPart.from_text("found")],
            },
        },
    ]
    store.save({"id": "run", "messages": messages, "metadata": {"system_prompt": "Be brief."}})
    violation = {"turn_index": 1, "description": "d", "evidence": {"e": 1}, "timestamp": NOW}
    checks = [{"type": "t", "passed": False, "message": "m", "details": {"d": 1}, "violations": [violation]}]
    person = {"provider": "p", "model": "m", "region": "r"}
    store.save_metadata(
        "run",
        RunMetadata.model_validate(
            dict.fromkeys(("run_id", "prompt_pack", "region", "scenario_id", "provider_id", "error"), "x")
            | dict.fromkeys(("skip_reason", "persona_id", "recording_path"), "x")
            | {name: [{"x": 1}] for name in ("eval_results", "a2a_agents")}
            | {name: {"x": "y"} for name in ("labels", "params", "commit")}
            | {"start_time": NOW, "end_time": NOW, "duration": timedelta(seconds=1), "skipped": True}
            | {"self_play": True, "assistant_role": person, "user_role": person, "session_tags": ["t"]}
            | {"conv_assertions_results": checks, "trial_results": {"x": 1}}
            | {"user_feedback": {"rating": 4, "categories": {"speed": 5}, "timestamp": NOW, "tags": ["t"]}}
        ),
    )
    return store.get_result("run").to_dict()


def index_with_everything() -> dict[str, Any]:
    """An index in which no field is empty."""
    row = IndexRow(run_id="a", file="a.json", status="passed", labels={"k": "v"})
    lost = Completeness(lost=[LostEntry(what="a", why="b")], redacted={"KEY": 1}, troubles={"kind": 1})
    trials = [IndexTrials(scenario_id="s", provider_id="p", trial_results={"trial_count": 2})]
    whole = Index(total_runs=1, timestamp=NOW, format_version=1, runs=[row], trials=trials, completeness=lost)
    index = whole.to_dict()
    return index | {name: ["x"] for name in ("run_ids", "scenarios", "providers", "regions", "prompt_packs")}


DOCUMENTS = {"run-result": everything, "index": index_with_everything}


# --- the schemas and the models are of one mind -------------------------------------------------


def models_of(name: str) -> Iterator[tuple[str, type[WireModel], Schema]]:
    """Each model that a schema describes, with its part of the schema."""
    document = json.loads(read_schema(name))
    roots: dict[str, type[WireModel]] = {"run-result": RunResult, "index": Index}
    root = roots[name]
    yield root.__name__, root, document
    known = {model.__name__: model for model in WireModel.__subclasses__()}
    for title, part in document["$defs"].items():
        if title != "Time":
            yield title, known[title], part


MODELS = [
    pytest.param(model, part, id=f"{name}-{title}")
    for name in ("run-result", "index")
    for title, model, part in models_of(name)
]


@pytest.mark.parametrize(("model", "part"), MODELS)
def test_a_schema_names_the_fields_of_its_model_in_their_order(model: type[WireModel], part: Schema) -> None:
    """Whoever adds a field adds it to the schema, with a line in docs/format.md."""
    keys = [field.serialization_alias or name for name, field in model.model_fields.items()]

    assert list(part["properties"]) == keys


@pytest.mark.parametrize(("model", "part"), MODELS)
def test_a_schema_requires_what_is_always_written(model: type[WireModel], part: Schema) -> None:
    always = model.always_written
    keys = [field.serialization_alias or name for name, field in model.model_fields.items()]

    assert part["required"] == [key for key in keys if key in always or "*" in always]


def test_every_model_that_a_run_can_hold_is_described() -> None:
    described = {title for title, _, _ in models_of("run-result")}

    holding = {AssertionsSummary, ConversationValidationResult, ConversationViolation, CostInfo, Feedback, MediaOutput}
    assert {model.__name__ for model in holding | {Message, ToolStats, Violation}} <= described
    assert SelfPlayRoleInfo.__name__ not in described  # Arena's older files hold any value there


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_one(name: str) -> None:
    document = json.loads(read_schema(name))

    jsonschema.Draft202012Validator.check_schema(document)
    assert document["$id"] == f"urn:pytest-arena-state:{name}:1"


# --- real output fits ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_with_everything_fits(name: str) -> None:
    assert problems(name, DOCUMENTS[name]()) == []


def test_empty_documents_fit() -> None:
    """As they are written for a run in which nothing was said, and by a session that ran no test."""
    assert problems("run-result", RunResult().to_dict()) == []
    assert problems("index", Index(format_version=1).to_dict()) == []


@pytest.mark.parametrize("args", [["-p", "no:xdist"], ["-n2"]], ids=["serial", "two workers"])
def test_what_the_examples_write_fits(pytester: pytest.Pytester, args: list[str]) -> None:
    """Runs of every status, with tools, media, checks and feedback; the index; and the journals behind them."""
    out = pytester.path / "results"

    pytester.runpytest_subprocess(*args, "-p", "no:cacheprovider", str(ROOT / "examples"), f"--arena-results={out}")

    runs = [json.loads(path.read_bytes()) for path in out.glob("*.json") if path.name != "index.json"]
    assert len(runs) == 16
    assert [problem for run in runs for problem in problems("run-result", run)] == []
    assert problems("index", json.loads((out / "index.json").read_bytes())) == []


def test_every_case_of_the_reference_gives_a_report_that_fits() -> None:
    """154 recorded cases: what the store makes of each fits, although Arena itself writes nulls."""
    recorded = (ROOT / "tests" / "data" / "cases.jsonl").read_text(encoding="utf-8")
    cases = [json.loads(line) for line in recorded.splitlines()]
    found: list[str] = []
    checked = 0

    for case in cases:
        store = ArenaStateStore()
        for op in case["ops"]:
            try:
                if op["op"] == "round_trip_result":
                    found += problems("run-result", RunResult.from_dict(op["result"]).to_dict())
                    checked += 1
                elif op["op"] in ("save", "save_with_trace"):
                    trace = op.get("trace")
                    store.save_with_trace(
                        ConversationState.from_dict(op["state"]), trace and ExecutionTrace.from_dict(trace)
                    )
                elif op["op"] in ("save_metadata", "save_run_metadata"):
                    store.save_metadata(op["id"], RunMetadata.from_dict(op["metadata"]))
            except (LookupError, ValueError, TypeError, AttributeError):
                continue  # the case is about an error
        for run_id in store.list_run_ids():
            found += [
                f"{case['id']} {problem}" for problem in problems("run-result", store.get_result(run_id).to_dict())
            ]
            checked += 1

    assert found == []
    assert checked > 90


SESSION = """
    import os, pytest

    def test_saves(arena_store):
        arena_store.save({"id": "a", "messages": [{"role": "user", "content": "hi"}]})
        arena_store.save({"id": "gone", "messages": []})
        arena_store.delete("gone")
        arena_store.save_metadata("a", {"run_id": "a", "scenario_id": "s"})
        state = arena_store.load("a")
        state.messages[0].content = "Hi"
        arena_store.save(state)
        arena_store.save({"id": "odd", "messages": [], "metadata": {"x": object()}})

    @pytest.mark.arena(scenario_id="marked")
    def test_skips(arena_run):
        arena_run.user("hi")
        pytest.skip("why not")

    @pytest.mark.parametrize("n", range(20))  # as many as are reported at once, and more
    def test_passes(arena_run, n):
        arena_run.user("hi")

    def test_dies(arena_run):
        arena_run.user("the last words")
        os._exit(1)
"""


def test_the_verdict_of_an_attempt_that_was_tried_again_fits(process: Process) -> None:
    with process.test(outcome="rerun") as store:
        store.save({"id": "a", "messages": []})
    process.die()

    lines = [json.loads(line) for line in process.journal.read_bytes().splitlines()]

    verdicts = [line["r"]["verdict"]["outcome"] for line in lines if line["r"]["k"] == "verdict"]
    assert verdicts == ["rerun"]
    assert [problem for line in lines for problem in problems("journal-record", line)] == []


def test_every_line_of_a_journal_fits(pytester: pytest.Pytester) -> None:
    """The session dies, so that its journals stay; all kinds of records but `end` and `lost` are in them."""
    pytester.makepyfile(SESSION)
    pytester.runpytest_subprocess("-p", "no:xdist", "-p", "no:randomly", "--arena-results=results")

    journals = pytester.path.glob("results.journals/*/*.jsonl")
    lines = [json.loads(line) for path in journals for line in path.read_bytes().splitlines()]

    assert [problem for line in lines for problem in problems("journal-record", line)] == []
    kinds = {line["r"]["k"] for line in lines}
    assert kinds >= {"journal", "store", "save", "metadata", "delete", "verdict", "report"}


# --- what is broken does not ---------------------------------------------------------------------

WRONG = object()  # replaced by a value that no typed field takes
ANY = {  # places where any value may stand
    "AssistantRole",
    "UserRole",
    "trial_results",
    "Messages.tool_calls.args",
}


def places(schema: Schema, part: Schema, document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all fields that the schema describes and the document has."""
    if "$ref" in part:
        part = schema["$defs"][part["$ref"].rpartition("/")[2]]
    for each in part.get("anyOf", ()):
        yield from places(schema, each, document, path)
    if isinstance(document, list) and "items" in part:
        for place, item in enumerate(document):
            yield from places(schema, part["items"], item, (*path, place))
    if isinstance(document, dict):
        for key, inner in part.get("properties", {}).items():
            if key in document:
                yield (*path, key)
                yield from places(schema, inner, document[key], (*path, key))


def spelled(path: tuple[Any, ...]) -> str:
    return ".".join(part for part in path if isinstance(part, str))


def all_places() -> Iterator[Any]:
    for name, make in DOCUMENTS.items():
        schema = json.loads(read_schema(name))
        seen = set()
        for path in places(schema, schema, make()):
            if spelled(path) not in seen:
                seen.add(spelled(path))
                yield pytest.param(name, path, id=f"{name}-{spelled(path)}")


PLACES = list(all_places())


def changed(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    document = copy.deepcopy(document)
    parent = document
    for key in path[:-1]:
        parent = parent[key]
    if value is WRONG:
        # Neither text, number, truth value, list, null nor, with what it lacks, any object of ours.
        parent[path[-1]] = "wrong" if not isinstance(parent[path[-1]], str) else 7
    else:
        del parent[path[-1]]
    return document


@pytest.mark.parametrize(("name", "path"), PLACES)
def test_a_field_of_another_type_does_not_fit(name: str, path: tuple[Any, ...]) -> None:
    broken = changed(DOCUMENTS[name](), path, WRONG)

    assert bool(problems(name, broken)) == (spelled(path) not in ANY)


@pytest.mark.parametrize(("name", "path"), PLACES)
def test_a_field_may_be_left_out_only_where_it_is_not_required(name: str, path: tuple[Any, ...]) -> None:
    schema = json.loads(read_schema(name))
    required = {
        spelled(each) for each in places(schema, schema, DOCUMENTS[name]()) if required_at(schema, each[:-1], each[-1])
    }

    broken = changed(DOCUMENTS[name](), path, None)

    assert bool(problems(name, broken)) == (spelled(path) in required)


def required_at(schema: Schema, path: tuple[Any, ...], key: str) -> bool:
    part = schema
    for step in (*path, None):
        while "$ref" in part or "anyOf" in part:
            part = schema["$defs"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part["anyOf"][0]
        if step is not None:
            part = part["items"] if isinstance(step, int) else part["properties"][step]
    return key in part["required"] if "required" in part else False


def test_a_report_with_everything_has_every_field_of_the_schema() -> None:
    """Or the two tests above would pass over fields that they never see."""
    for name, make in DOCUMENTS.items():
        schema = json.loads(read_schema(name))
        described = {key for _, _, part in models_of(name) for key in part["properties"]}
        seen = {path[-1] for path in places(schema, schema, make())}
        assert described - seen == set()


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("run-result", {**RunResult().to_dict(), "Messages": None}),
        ("run-result", {**RunResult().to_dict(), "StartTime": "yesterday"}),
        ("run-result", {**RunResult().to_dict(), "Duration": 1.5}),
        ("run-result", []),
        ("index", {**Index(format_version=1).to_dict(), "format_version": 2}),
        ("journal-record", {"crc": "0123abcd", "r": {"k": "unheard-of"}}),
        ("journal-record", {"crc": "0123ABCD", "r": {"k": "delete", "c": 1}}),
        ("journal-record", {"crc": "0123abcd", "r": {"k": "delete"}}),
        ("journal-record", {"crc": "0123abcd", "r": {"k": "delete", "c": 1}, "more": 1}),
    ],
)
def test_what_is_never_written_does_not_fit(name: str, document: Any) -> None:
    assert problems(name, document)


# --- where they are found ------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_command_prints_a_schema(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", name]) == 0

    assert json.loads(capsys.readouterr().out) == json.loads(read_schema(name))


def test_the_command_prints_the_schema_of_a_run_when_none_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    main(["schema"])

    assert json.loads(capsys.readouterr().out)["title"] == "RunResult"


def test_a_schema_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigurationError, match=re.escape("schema 'x' is not one of run-result, index")):
        read_schema("x")


def test_the_schemas_are_in_the_built_package() -> None:
    """They are data, and a build that forgets data still imports."""
    import pytest_arena_state

    package = Path(str(sys.modules[pytest_arena_state.__name__].__file__)).parent
    assert {path.stem for path in (package / "schemas").glob("*.json")} == set(SCHEMAS)
