"""What a report derives from its messages."""

import json
import math
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_arena_state import CostInfo, RunResult, document, telemetry
from pytest_arena_state.telemetry import facts_of


def facts(*messages: dict[str, Any]) -> list[telemetry.MessageFacts]:
    return [facts_of(message) for message in messages]


# --- cost ----------------------------------------------------------------------------------------


def test_the_cost_is_the_sum_over_every_role() -> None:
    cost = telemetry.total_cost(
        facts(
            {"role": "user", "cost_info": {"input_tokens": 1, "total_cost_usd": 0.5}},
            {"role": "tool", "cost_info": {"output_tokens": 2, "cached_tokens": 3, "cached_cost_usd": 0.25}},
            {"role": "assistant"},
        )
    )

    assert cost == {
        "input_tokens": 1,
        "output_tokens": 2,
        "cached_tokens": 3,
        "input_cost_usd": 0.0,
        "output_cost_usd": 0.0,
        "cached_cost_usd": 0.25,
        "total_cost_usd": 0.5,
    }


def test_cached_cost_is_left_out_when_there_is_none() -> None:
    assert list(telemetry.total_cost([])) == [
        "input_tokens",
        "output_tokens",
        "input_cost_usd",
        "output_cost_usd",
        "total_cost_usd",
    ]


@pytest.mark.parametrize("key", ["self_play_cost", "tts_cost", "stt_cost", "embedding_cost", "image_gen_cost"])
def test_costs_that_the_pipeline_leaves_in_meta_are_added(key: str) -> None:
    cost = telemetry.total_cost(
        facts(
            {
                "role": "user",
                "cost_info": {"input_tokens": 1},
                "meta": {key: {"input_tokens": 2, "total_cost_usd": 0.5}},
            }
        )
    )

    assert (cost["input_tokens"], cost["total_cost_usd"]) == (3, 0.5)


@pytest.mark.parametrize("cost", [{}, CostInfo().to_dict()], ids=["some", "usual"])
def test_tokens_in_meta_may_have_become_floats(cost: dict[str, Any]) -> None:
    """A budget counts them, and so does the reference, where every number of such a map is one."""
    told = {**cost, "input_tokens": 12.0, "output_tokens": 7.9}

    total = telemetry.total_cost(facts({"role": "user", "meta": {"stt_cost": told}}))

    assert (total["input_tokens"], total["output_tokens"]) == (12, 7)
    assert type(total["input_tokens"]) is int


@pytest.mark.parametrize(
    "junk", [5, "x", None, [], {"input_tokens": "many", "total_cost_usd": []}, {"input_tokens": {}}]
)
def test_junk_where_a_cost_would_be_in_meta_costs_nothing(junk: object) -> None:
    """Anything may stand in meta, and a test must not fail because of it."""
    cost = telemetry.total_cost(facts({"role": "user", "meta": {"tts_cost": junk}}))

    assert (cost["input_tokens"], cost["total_cost_usd"]) == (0, 0.0)


def test_tokens_are_added_in_64_bits_as_in_the_reference() -> None:
    most = {"role": "user", "cost_info": {"input_tokens": 2**63 - 1}}

    assert telemetry.total_cost(facts(most, {"role": "user", "cost_info": {"input_tokens": 1}}))["input_tokens"] == -(
        2**63
    )


@given(st.lists(st.floats(0, 1e3), max_size=8))
def test_the_total_is_summed_from_its_own_field(amounts: list[float]) -> None:
    cost = telemetry.total_cost(
        facts(*({"role": "user", "cost_info": {"total_cost_usd": a, "input_cost_usd": 7.0}} for a in amounts))
    )

    assert math.isclose(cost["total_cost_usd"], sum(amounts), rel_tol=1e-12)


# --- tools, violations, media --------------------------------------------------------------------------


@pytest.mark.parametrize("rare", [{}, {"cached_tokens": 1}], ids=["usual", "any"])
def test_a_sum_that_is_no_number_any_more_is_the_largest_there_is(rare: dict[str, int]) -> None:
    """One absurd cost must not make the report something that is no JSON."""
    usual = dict.fromkeys(("input_tokens", "output_tokens"), 1) | dict.fromkeys(
        ("input_cost_usd", "output_cost_usd"), -1.7e308
    )
    message = {"role": "assistant", "cost_info": {**usual, **rare, "total_cost_usd": 1.7e308}}

    cost = telemetry.total_cost(facts(message, message))

    assert (cost["total_cost_usd"], cost["input_cost_usd"]) == (sys.float_info.max, -sys.float_info.max)
    assert cost["input_tokens"] == 2


def test_tool_calls_are_counted_by_name_over_all_messages() -> None:
    calls = facts(
        {"role": "user", "tool_calls": [{"name": "b"}, {"name": "a"}]}, {"role": "x", "tool_calls": [{"name": "b"}]}
    )

    assert telemetry.tool_stats(calls) == {"total_calls": 3, "by_tool": {"a": 1, "b": 2}}
    assert telemetry.tool_stats(facts({"role": "tool", "tool_result": {"name": "a"}})) is None


def test_a_failed_validation_is_a_violation_with_its_details_as_compact_json() -> None:
    failed = {"validator_type": "v", "passed": False, "details": {"a": [1, "é"]}}
    bare = {"validator_type": "w"}
    passed = {"validator_type": "x", "passed": True}

    found = telemetry.violations(facts({"role": "user", "validations": [failed, passed]}, {"validations": [bare]}))

    assert found == [{"type": "v", "tool": "", "detail": '{"a":[1,"é"]}'}, {"type": "w", "tool": "", "detail": "{}"}]


def test_media_of_the_assistant_is_listed_with_its_place() -> None:
    image = {"type": "image", "media": {"mime_type": "image/png", "data": "QUJD", "width": 3}}
    messages: list[dict[str, Any]] = [
        {"role": "user", "parts": [image]},
        {
            "role": "assistant",
            "parts": [{"type": "text", "text": "x"}, image, {"type": "video", "media": {"size_kb": 2}}],
        },
    ]

    first, second = telemetry.media_outputs(facts(*messages))

    assert (first["MessageIdx"], first["PartIdx"], first["SizeBytes"], first["Width"]) == (1, 1, 3, 3)
    assert (first["Thumbnail"], first["Duration"], first["Height"]) == ("QUJD", None, None)
    assert (second["PartIdx"], second["SizeBytes"], second["Thumbnail"]) == (2, 2048, "")


@pytest.mark.parametrize(("length", "shown"), [(50_000, True), (50_001, False)])
def test_an_image_of_over_50000_characters_has_no_thumbnail(length: int, shown: bool) -> None:
    image = {"type": "image", "media": {"data": "A" * length}}

    (output,) = telemetry.media_outputs(facts({"role": "assistant", "parts": [image]}))

    assert bool(output["Thumbnail"]) is shown


def test_a_turn_begins_with_a_user_message() -> None:
    """Messages of tools do not shift it."""
    valid = {"validator_type": "v", "passed": True}
    messages: list[dict[str, Any]] = [
        {"role": "system", "validations": [valid]},
        {"role": "user", "validations": [valid]},
        {"role": "tool"},
        {"role": "assistant", "validations": [valid, valid]},
        {"role": "user"},
        {"role": "assistant", "validations": [{**valid, "details": {"a": 1}}]},
    ]

    rows = telemetry.turn_validations(messages)

    assert [row["turn_index"] for row in rows] == [0, 1, 1, 1, 2]
    assert rows[-1]["details"] == {"a": 1}
    assert "details" not in rows[0]


def test_assertions_are_counted_and_none_at_all_has_passed() -> None:
    assert telemetry.assertions_summary([]) == {"failed": 0, "passed": True, "results": [], "total": 0}
    mixed = telemetry.assertions_summary([{"passed": True}, {"passed": False}, {}])
    assert (mixed["failed"], mixed["passed"], mixed["total"]) == (2, False, 3)


# --- the verdict ------------------------------------------------------------------------------------------

HELD = {"type": "checked", "passed": True}
BROKE = {"type": "checked", "passed": False}
OUTCOME = {"type": "pytest.outcome", "passed": True}
VIOLATION = [{"type": "v", "tool": "", "detail": "{}"}]


@pytest.mark.parametrize(
    ("run", "status"),
    [
        ({}, "passed"),
        ({"Error": "boom"}, "error"),
        ({"Error": "boom", "Skipped": True}, "error"),
        ({"Skipped": True}, "skipped"),
        ({"conversation_assertions": {"results": [HELD]}}, "passed"),
        ({"conversation_assertions": {"results": [HELD, BROKE]}}, "failed"),
        ({"Violations": VIOLATION}, "failed"),
        ({"Violations": VIOLATION, "conversation_assertions": {"results": [HELD]}}, "passed"),
        ({"Violations": VIOLATION, "conversation_assertions": {"results": [OUTCOME]}}, "failed"),
        ({"Violations": VIOLATION, "conversation_assertions": {"results": [OUTCOME, HELD]}}, "passed"),
        ({"Messages": [{"meta": {"assertions": {"passed": False}}}]}, "failed"),
        ({"Messages": [{"meta": {"assertions": {"passed": True}}}], "Violations": VIOLATION}, "passed"),
        ({"Messages": [{"meta": {"assertions": "junk"}}]}, "passed"),
    ],
)
def test_one_predicate_decides_how_a_run_ended(run: dict[str, Any], status: str) -> None:
    assert telemetry.status_of(run) == status


@pytest.mark.parametrize(
    ("names", "provider"), [(["a", "a", ""], "a"), (["a", "b"], ""), ([], ""), ([""], ""), ([None], "")]
)
def test_the_provider_is_told_when_the_costs_name_one(names: list[str | None], provider: str) -> None:
    messages = [{"role": "assistant", "cost_info": {"provider_name": name, "input_tokens": 1}} for name in names]

    assert telemetry.only_provider(facts(*messages)) == provider


@pytest.mark.parametrize("junk", [["p"], {"p": 1}, 5, None, True])
def test_junk_where_a_cost_in_meta_would_name_its_provider_names_none(junk: object) -> None:
    """Anything may stand in meta, and a run must not be lost because of it."""
    meta = {"tts_cost": {"provider_name": junk}}

    assert telemetry.only_provider(facts({"role": "assistant", "meta": meta})) == ""
    assert telemetry.only_provider(facts({"cost_info": {"provider_name": "a"}, "meta": meta})) == "a"


# --- the document -------------------------------------------------------------------------------------------


def test_a_file_has_a_line_for_each_field_and_each_message_and_ends_with_a_newline() -> None:
    run = {"RunID": "r", "Messages": [{"role": "user"}, {"role": "assistant"}], "Error": "", "Violations": []}

    text = document.lines_of(run).decode()

    assert json.loads(text) == run
    assert text.endswith("}\n")
    assert [line.strip() for line in text.splitlines()] == [
        "{",
        '"RunID": "r",',
        '"Messages": [',
        '{"role":"user"},',
        '{"role":"assistant"}',
        "],",
        '"Error": "",',
        '"Violations": []',
        "}",
    ]
    assert json.loads(document.lines_of({**run, "Messages": []}))["Messages"] == []


def test_the_compact_form_is_one_line() -> None:
    text = document.compact({"RunID": "r"}, [b'{"role":"user"}'], {"Error": ""})

    assert text == b'{"RunID":"r","Messages":[{"role":"user"}],"Error":""}'


def test_elapsed_is_in_nanoseconds() -> None:
    assert document.elapsed("2026-01-01T00:00:00Z", "2026-01-01T00:00:01.5Z") == 1_500_000_000
    assert document.elapsed("0001-01-01T00:00:00Z", "2026-01-01T00:00:01.5Z") == 0


def test_elapsed_is_never_more_than_a_report_may_hold() -> None:
    """A run that ends in the year 9999, as somebody's clock may say, has a report that can be read."""
    now, end = "2026-01-01T00:00:00Z", "9999-12-31T23:59:59.999999+01:00"

    assert (document.elapsed(now, end), document.elapsed(end, now)) == (2**63 - 1, -(2**63))
    assert document.elapsed(now, "9999-12-31T23:59:59Z") == 2**63 - 1
    assert RunResult.from_dict({"Duration": document.elapsed(now, end)}).to_dict()["Duration"] == 2**63 - 1
