"""Repeats and reruns as trials: what is a trial of what, and what may be said of them."""

import math
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_arena_state.models import RunResult
from pytest_arena_state.rates import exact_sum, pass_hat_k, quantile, wilson
from pytest_arena_state.results import IndexRow, make_index
from pytest_arena_state.trials import Cell, Trial, case_of, cells_of, trial_of

counts = st.integers(1, 500).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))


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


def cell(*trials: Trial) -> Cell:
    [only] = cells_of(trials)
    return only


@pytest.mark.parametrize(
    ("nodeid", "case"),
    [
        ("test_a.py::test_x", "test_a.py::test_x"),
        ("test_a.py::test_x[gpt]", "test_a.py::test_x[gpt]"),
        ("test_a.py::test_x[3]", "test_a.py::test_x"),
        ("test_a.py::test_x[2-5]", "test_a.py::test_x"),
        ("test_a.py::test_x[gpt-2-5]", "test_a.py::test_x[gpt]"),
        ("test_a.py::test_x[gpt-5]", "test_a.py::test_x[gpt]"),
        ("test_a.py::test_x[v1]", "test_a.py::test_x[v1]"),
        ("test_a.py::test_x[0.5]", "test_a.py::test_x[0.5]"),
        ("", ""),
    ],
)
def test_repeats_of_a_test_are_one_case(nodeid: str, case: str) -> None:
    """pytest-repeat and `range(10)` tell repeats apart by numbers and nothing else."""
    assert case_of(nodeid) == case


def test_a_run_contributes_its_row_its_turns_and_its_tools() -> None:
    run = RunResult.from_dict(
        {
            "Messages": [{"role": role, "timestamp": "2026-05-01T09:00:00Z"} for role in ("user", "assistant", "user")],
            "ToolStats": {"total_calls": 2, "by_tool": {"search": 2}},
        }
    )
    row = IndexRow(run_id="r", status="failed", input_tokens=5, output_tokens=2, cached_tokens=3, scenario_id="s")

    assert trial_of("stem", row, run) == trial(
        "failed",
        stem="stem",
        scenario_id="s",
        provider_id="",
        case="",
        tokens=10,
        turns=2,
        tools={"search": 2},
        cost_usd=0.0,
        duration_ns=0,
    )


@pytest.mark.parametrize(
    ("passed", "total", "low", "high"),
    [(0, 10, 0.0, 0.27753), (10, 10, 0.72247, 1.0), (8, 10, 0.49016, 0.94332), (50, 100, 0.40383, 0.59617)],
)
def test_the_wilson_interval_is_the_published_one(passed: int, total: int, low: float, high: float) -> None:
    interval = wilson(passed, total)

    assert [interval.low, interval.high] == pytest.approx([low, high], abs=1e-5)


@given(counts)
def test_the_interval_holds_the_rate_and_stays_within_zero_and_one(count: tuple[int, int]) -> None:
    passed, total = count

    interval = wilson(passed, total)

    assert 0 <= interval.low <= passed / total <= interval.high <= 1


@pytest.mark.parametrize(("passed", "total"), [(0, 0), (2, 1), (-1, 3)])
def test_an_interval_of_impossible_counts_is_an_error(passed: int, total: int) -> None:
    with pytest.raises(ValueError, match=f"{passed} of {total} were there"):
        wilson(passed, total)


@pytest.mark.parametrize(
    ("passed", "total", "k", "expected"),
    [(8, 10, 1, 0.8), (8, 10, 2, 28 / 45), (10, 10, 10, 1.0), (3, 10, 4, 0.0), (3, 3, 4, None), (3, 3, 0, None)],
)
def test_pass_hat_k_is_the_share_of_selections_that_all_passed(
    passed: int, total: int, k: int, expected: float | None
) -> None:
    assert pass_hat_k(passed, total, k) == (None if expected is None else pytest.approx(expected))


@given(counts)
def test_more_trials_in_a_row_are_never_likelier_to_pass(count: tuple[int, int]) -> None:
    passed, total = count
    estimates = [pass_hat_k(passed, total, k) or 0.0 for k in range(1, min(total, 20) + 1)]

    assert estimates == sorted(estimates, reverse=True)
    assert estimates[0] == pytest.approx(passed / total)


def test_a_quantile_is_interpolated() -> None:
    assert quantile([4, 1, 3, 2], 0.5) == 2.5
    assert quantile([1, 2, 3, 4, 5], 0.95) == pytest.approx(4.8)
    assert quantile([], 0.5) is None


def test_every_attempt_is_a_trial_and_only_the_last_one_counts() -> None:
    """A rerun that passed hides a failure from the counts; the pass rate must not."""
    rerun = cell(trial("failed", superseded=True), trial("passed"))

    assert (rerun.counts["passed"], rerun.counted) == (1, 1)
    assert rerun.pass_rate == 0.5
    assert rerun.flaky == ("test_a",)


def test_a_skipped_run_is_no_trial() -> None:
    skipped = cell(trial("skipped"), trial("passed"))

    assert (skipped.trials, skipped.pass_rate, skipped.counted) == (1, 1.0, 1)


def test_a_scenario_with_one_broken_test_is_not_flaky() -> None:
    broken = cell(
        trial("passed", case="test_a"),
        trial("passed", case="test_a"),
        trial("failed", case="test_b"),
        trial("failed", case="test_b"),
    )

    assert broken.flaky == ()
    assert broken.flakiness == 0.0


def test_cells_are_sorted_by_scenario_and_provider() -> None:
    cells = cells_of([trial(scenario_id="b"), trial(scenario_id="a", provider_id="z"), trial(scenario_id="a")])

    assert [(each.scenario_id, each.provider_id) for each in cells] == [("a", "gpt"), ("a", "z"), ("b", "gpt")]


def test_a_cell_measures_per_trial() -> None:
    measured = cell(
        trial(cost_usd=0.1, tokens=10, turns=1, tools={"search": 2}, duration_ns=10),
        trial(cost_usd=0.3, tokens=30, turns=3, duration_ns=30),
    )

    assert measured.mean_cost_usd == pytest.approx(0.2)
    assert (measured.mean_tokens, measured.mean_turns, measured.median_ns) == (20, 2, 20)
    assert measured.mean_calls == {"search": 1.0}


def test_numbers_of_any_size_are_summed_up() -> None:
    """Results may be anybody's; a summary is not the place to fail over them."""
    most = sys.float_info.max
    both = cell(trial(cost_usd=most, tokens=10**400, duration_ns=-(10**400)), *[trial(cost_usd=most)] * 2)

    assert both.mean_cost_usd == most
    assert both.mean_tokens is not None
    assert both.median_ns is not None
    assert exact_sum([0.1] * 10) == 1.0
    assert exact_sum([most] * 3) == math.inf
    assert exact_sum([most, most, -most]) == most


def test_a_cell_without_trials_measures_nothing() -> None:
    empty = cell(trial("skipped"))

    assert (empty.mean_cost_usd, empty.median_ns, empty.pass_rate, empty.interval) == (None, None, None, None)


def test_the_index_says_how_trials_went() -> None:
    """Repeats and reruns are trials; what was tried once, or was skipped, is none."""
    row = {**IndexRow().to_dict(), "scenario_id": "refund", "provider_id": "gpt"}
    rows = [
        {**row, "status": "passed"},
        {**row, "status": "failed", "superseded": True},
        {**row, "status": "skipped"},
        {**row, "status": "passed", "provider_id": "other"},
    ]

    index = make_index(
        [(str(n), each) for n, each in enumerate(rows)], prompt_packs=(), timestamp=None, completeness={}
    )

    [only] = index["trials"]
    assert (only["scenario_id"], only["provider_id"]) == ("refund", "gpt")
    assert {key: only["trial_results"][key] for key in ("trial_count", "passed", "pass_rate", "pass_hat_k")} == {
        "trial_count": 2,
        "passed": 1,
        "pass_rate": 0.5,
        "pass_hat_k": {"1": 0.5, "2": 0.0},
    }
