"""Comparisons of constructed pairs whose answers are known."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_arena_state.compare import Change, compare
from pytest_arena_state.errors import ConfigurationError
from pytest_arena_state.fail_on import parse_fail_on
from pytest_arena_state.rates import fisher_exact, holm
from pytest_arena_state.reporters.comparison import render_json, render_markdown
from pytest_arena_state.trials import Trial


def trial(status: str = "passed", **fields: Any) -> Trial:
    given: dict[str, Any] = {
        "stem": "run",
        "scenario_id": "refund",
        "provider_id": "gpt",
        "case": "test_a",
        "superseded": False,
        "cost_usd": 0.01,
        "tokens": 100,
        "duration_ns": 10**9,
        "turns": 1,
    }
    return Trial(status=status, **{**given, **fields})


def trials(passed: int, failed: int, **fields: Any) -> list[Trial]:
    return [trial("passed", **fields)] * passed + [trial("failed", **fields)] * failed


# --- statistics ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "p_value"),
    [
        ((3, 4, 1, 4), 34 / 70),  # the lady tasting tea, two-sided
        ((8, 10, 1, 6), 0.034965),  # as in the documentation of SciPy
        ((10, 10, 0, 10), 2 / math.comb(20, 10)),
        ((5, 10, 5, 10), 1.0),
    ],
)
def test_fishers_test_gives_the_published_values(table: tuple[int, int, int, int], p_value: float) -> None:
    assert fisher_exact(*table) == pytest.approx(p_value, rel=1e-4)


@given(st.integers(0, 30), st.integers(1, 30), st.integers(0, 30), st.integers(1, 30))
def test_fishers_test_is_symmetric_and_a_probability(a: int, more: int, c: int, others: int) -> None:
    p_value = fisher_exact(a, a + more, c, c + others)

    assert 0 < p_value <= 1
    assert p_value == pytest.approx(fisher_exact(c, c + others, a, a + more))
    assert p_value == pytest.approx(fisher_exact(more, a + more, others, c + others))


def test_fishers_test_takes_thousands_of_runs() -> None:
    assert fisher_exact(9_000, 10_000, 9_000, 10_000) == pytest.approx(1.0)
    assert fisher_exact(9_500, 10_000, 9_000, 10_000) < 1e-30


def test_a_rerun_that_was_skipped_fixes_nothing() -> None:
    skipped = [trial("failed", superseded=True), trial("skipped")]

    assert compare(trials(0, 1), skipped).fixed == ()
    assert len(compare(trials(0, 1), [trial("failed", superseded=True), trial()]).fixed) == 1


def test_a_change_from_nothing_is_infinite_and_null_in_json() -> None:
    change = Change(0.0, 1.0)

    assert change.relative == math.inf
    assert change.to_dict()["relative"] is None
    assert Change(None, 1.0).relative is None
    assert Change(0.0, 0.0).relative == 0.0


# --- what changed ----------------------------------------------------------------------------


def test_the_same_results_show_no_change() -> None:
    same = compare(trials(5, 5), trials(5, 5))

    assert (same.new_failures, same.fixed, same.added, same.missing) == ((), (), (), ())
    assert same.evidence == "noise"
    assert {change.relative for change in same.metrics.values()} == {0.0}


def test_a_test_that_fails_now_is_a_new_failure() -> None:
    comparison = compare([trial("passed")], [trial("failed", stem="the-run")])

    [case] = comparison.new_failures
    assert (case.scenario_id, case.provider_id, case.case, case.runs) == ("refund", "gpt", "test_a", ("the-run",))


def test_a_case_points_at_the_runs_that_failed() -> None:
    new = [trial("passed", stem="fine"), trial("failed", stem="broken")]

    assert [case.runs for case in compare([trial()], new).new_failures] == [("broken",)]


def test_a_test_that_failed_before_is_no_new_failure() -> None:
    assert compare([trial("failed")], [trial("error")]).new_failures == ()


def test_a_new_test_that_fails_is_a_new_failure() -> None:
    """Whether its cell is new or only the test in it."""
    assert len(compare([trial()], [trial(), trial("failed", case="test_b")]).new_failures) == 1
    assert len(compare([trial()], [trial(), trial("failed", scenario_id="new")]).new_failures) == 1


def test_a_test_that_passes_again_is_fixed() -> None:
    assert [case.case for case in compare([trial("failed")], [trial("passed")]).fixed] == ["test_a"]


def test_a_rerun_that_passed_is_flaky_and_no_failure() -> None:
    comparison = compare([trial()], [trial("failed", superseded=True), trial("passed")])

    assert comparison.new_failures == ()
    assert [case.case for case in comparison.flaky] == ["test_a"]
    assert [case.case for case in compare([], [trial("failed", superseded=True), trial("passed")]).flaky] == ["test_a"]


def test_what_one_side_lacks_is_named_and_not_compared() -> None:
    comparison = compare([trial(), trial(scenario_id="old")], [trial(), trial(scenario_id="new", cost_usd=99.0)])

    assert [cell.scenario_id for cell in comparison.added] == ["new"]
    assert [cell.scenario_id for cell in comparison.missing] == ["old"]
    assert comparison.metrics["cost"].relative == 0.0


def test_a_skipped_test_did_not_start_to_fail() -> None:
    comparison = compare([trial("passed")], [trial("skipped")])

    assert comparison.new_failures == ()
    assert comparison.evidence == "unknown"


def test_a_large_drop_over_many_trials_is_more_than_noise() -> None:
    [cell] = compare(trials(20, 0), trials(8, 12)).cells

    assert cell.evidence == "worse"
    assert cell.pass_rate == Change(1.0, 0.4)


def test_a_small_drop_over_few_trials_is_noise() -> None:
    [cell] = compare(trials(5, 0), trials(4, 1)).cells

    assert cell.evidence == "noise"
    assert cell.p_value == pytest.approx(1.0)


def test_single_runs_say_nothing_of_a_rate() -> None:
    [cell] = compare([trial()], [trial("failed")]).cells

    assert (cell.evidence, cell.p_value) == ("unknown", None)


def test_one_suspicious_cell_among_many_is_noise() -> None:
    """Of a hundred unchanged cells, five look changed at 5 % when nothing corrects for it."""
    alone = compare(trials(6, 0), trials(2, 4)).cells
    base = [each for i in range(20) for each in trials(6, 0, scenario_id=f"s{i:02d}")]
    new = [each for i in range(20) for each in trials(6 - 4 * (i == 0), 4 * (i == 0), scenario_id=f"s{i:02d}")]

    assert [cell.p_value is not None and 0.04 < cell.p_value < 0.07 for cell in alone] == [True]
    assert compare(base, new).cells[0].p_value == pytest.approx(1.0)


def test_the_metrics_are_per_trial() -> None:
    """Twice as many repeats are not twice as dear."""
    base = [trial(cost_usd=0.10, tokens=100, duration_ns=1000, turns=2)]
    new = [trial(cost_usd=0.11, tokens=150, duration_ns=1200, turns=2, tools={"search": 2})] * 2

    metrics = compare(base, new).metrics

    assert {name: change.relative for name, change in metrics.items()} == {
        "cost": pytest.approx(0.1),
        "tokens": pytest.approx(0.5),
        "latency": pytest.approx(0.2),
        "latency-p95": pytest.approx(0.2),
        "turns": 0.0,
        "tool-calls": math.inf,
    }


def test_tools_whose_use_changed_are_named() -> None:
    base = [trial(tools={"search": 2, "refund": 1})]
    new = [trial(tools={"search": 3, "refund": 1, "apologise": 1})]

    [cell] = compare(base, new).cells

    assert cell.tool_calls == {"apologise": Change(0.0, 1.0), "search": Change(2.0, 3.0)}


# --- --fail-on -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fails"),
    [
        ("new-failures", True),
        ("flaky", True),
        ("missing", False),
        ("cost+10%", True),
        ("cost+20%", False),
        ("cost-5%", False),
        ("latency+0%", False),
        ("pass-rate-5%", True),
        ("pass-rate-60%", False),
        (" new-failures , cost+10% ", True),
    ],
)
def test_a_condition_decides(text: str, fails: bool) -> None:
    comparison = compare(trials(2, 0, cost_usd=0.10), trials(1, 1, cost_usd=0.12, case="test_b"))

    violated = [why for condition in parse_fail_on(text) if (why := condition.violated(comparison))]

    assert bool(violated) == fails


@pytest.mark.parametrize("condition", ["pass-rate-5%", "pass-rate+5%", "cost+10%", "cost-10%", "latency+10%"])
def test_where_nothing_was_tried_on_both_sides_no_change_is_too_large(condition: str) -> None:
    """A job that runs for the first time, or that skips all without a key, must not fail for that."""
    for base, new in (
        ([], [trial()]),
        ([trial()], []),
        ([trial("skipped")], [trial()]),
        ([trial()], [trial("skipped")]),
    ):
        assert [each.violated(compare(base, new)) for each in parse_fail_on(condition)] == [""]


def test_a_limit_that_is_just_reached_is_not_exceeded() -> None:
    comparison = compare([trial(cost_usd=0.10)], [trial(cost_usd=0.11)])

    assert [condition.violated(comparison) for condition in parse_fail_on("cost+10%")] == [""]


def test_a_violation_says_by_how_much() -> None:
    comparison = compare(trials(10, 0, cost_usd=0.0), trials(9, 1, cost_usd=0.5))

    assert [condition.violated(comparison) for condition in parse_fail_on("new-failures,cost+10%,pass-rate-5%")] == [
        "new-failures: 1",
        "cost+10%: up from nothing",
        "pass-rate-5%: -10.0 percentage points, which may be noise",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a condition such as 'new-failures' was wanted, '' was there"),
        ("costs+10%", "'costs\\+10%' is not one of new-failures, flaky, missing, pass-rate, cost"),
        ("cost", "'cost' needs a threshold, such as 'cost\\+10%'"),
        ("cost+10", "a threshold such as '\\+10%' was wanted, 'cost\\+10' was there"),
        ("cost>10%", "'cost>10%' is not one of"),
        ("new-failures+3%", "'new-failures' takes no threshold, 'new-failures\\+3%' was there"),
    ],
)
def test_a_condition_that_cannot_be_read_says_what_could_stand_there(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^--fail-on: {said}"):
        parse_fail_on(text)


# --- rendering -------------------------------------------------------------------------------


def test_the_markdown_names_what_changed() -> None:
    base = [*trials(4, 0), trial(scenario_id="gone"), trial("failed", scenario_id="healed")]
    new = [*trials(2, 2, tools={"search": 1}), trial(scenario_id="fresh"), trial(scenario_id="healed")]

    text = render_markdown(compare(base, new), parse_fail_on("new-failures"))

    assert "**✗ new-failures: 1**" in text
    assert "1 new failure, 1 fixed, 1 flaky, 1 added, 1 missing; 2 in both" in text
    assert "## New failures (1)\n\n- `refund` with `gpt`: `test_a`" in text
    assert "`search` 0 → 1" in text
    assert "## Missing from the new results (1)\n\n- `gone` with `gpt` (1 run)" in text


def test_the_markdown_keeps_hostile_names_in_code() -> None:
    evil = "x`|<img src=x onerror=alert(1)>\x1b[2J\n# title"

    text = render_markdown(compare([], [trial("failed", scenario_id=evil, case=evil)]))

    assert "\x1b" not in text
    assert "\n# title" not in text
    assert "``x`|<img src=x onerror=alert(1)>␛[2J # title``" in text


def test_the_json_is_deterministic_and_has_no_infinities() -> None:
    base, new = trials(2, 0, cost_usd=0.0), trials(2, 0, cost_usd=0.1)

    first, second = (render_json(compare(base, new), ["cost+10%: up from nothing"]) for _ in range(2))

    assert first == second
    told = json.loads(first, parse_constant=pytest.fail)
    assert told["metrics"]["cost"] == {"base": 0.0, "new": 0.2 / 2, "relative": None}
    assert told["violated"] == ["cost+10%: up from nothing"]


def test_a_comparison_that_is_too_long_is_cut_and_says_so() -> None:
    new = [trial("failed", scenario_id=f"scenario-{i}") for i in range(200)]

    text = render_markdown(compare([], new), limit_bytes=800)

    assert len(text.encode()) <= 800
    assert "did not fit" in text.splitlines()[-1]


def test_no_p_value_gets_below_one_that_was_smaller() -> None:
    """Holm's method is a step down: what is less sure before the correction is not surer after it."""
    corrected = holm([0.01, None, 0.04, 0.03, 0.005])

    assert corrected == [pytest.approx(0.03), None, pytest.approx(0.06), pytest.approx(0.06), pytest.approx(0.02)]
