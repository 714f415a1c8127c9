"""Budgets: a test that takes more than its marker allows fails, and says which turn took most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_arena_state import CostInfo, Message
from pytest_arena_state.budget import Budget, turns_of

if TYPE_CHECKING:
    from tests.conftest import Suite

TALK = """
from datetime import timedelta
import pytest
from pytest_arena_state import CostInfo

@pytest.mark.arena({marker})
def test_it(arena_run):
    arena_run.user("Where is my parcel?")
    arena_run.assistant("Let me look.", cost=CostInfo(input_tokens=20, output_tokens=4, total_cost_usd=0.001),
                        latency=timedelta(milliseconds=300))
    arena_run.assistant("It is in Lyon.", cost=CostInfo(input_tokens=50, output_tokens=6, cached_tokens=20,
                        total_cost_usd=0.004), latency=timedelta(milliseconds=900))
"""


@pytest.mark.parametrize(
    ("marker", "says"),
    [
        (
            "max_cost_usd=0.004",
            "over budget: cost $0.005 of $0.004, the most for message 3 (assistant, $0.004): It is in Lyon.",
        ),
        (
            "max_latency_ms=1000.5",
            "over budget: latency 1,200 ms of 1,000.5 ms, the most for message 3 (assistant, 900 ms): It is in Lyon.",
        ),
        (
            "max_tokens=99",
            "over budget: 100 of 99 tokens, the most for message 3 (assistant, 76 tokens): It is in Lyon.",
        ),
    ],
)
def test_a_test_over_its_budget_fails_with_the_sum_and_the_turn_that_took_most(
    suite: Suite, run_args: list[str], marker: str, says: str
) -> None:
    suite.write(TALK.format(marker=marker))

    result = suite.run(*run_args)

    result.assert_outcomes(failed=1)
    assert says in result.stdout.str()
    run = suite.only_run()
    budget, outcome = run.conversation_assertions.results
    assert (budget.type, budget.passed, budget.message) == ("pytest.budget", False, says)
    assert (outcome.type, outcome.passed) == ("pytest.outcome", False)
    assert outcome.message.endswith(says)
    assert run.error == ""


def test_a_test_within_its_budget_passes_and_its_run_says_what_it_took(suite: Suite, run_args: list[str]) -> None:
    suite.write(TALK.format(marker="max_cost_usd=0.005, max_latency_ms=1200, max_tokens=100"))

    suite.run(*run_args).assert_outcomes(passed=1)

    budget = suite.only_run().conversation_assertions.results[0]
    assert (budget.type, budget.passed) == ("pytest.budget", True)
    assert budget.message == "$0.005 of $0.005, 1,200 ms of 1,200 ms, 100 of 100 tokens"
    assert budget.details == {
        "max_cost_usd": 0.005,
        "cost_usd": 0.005,
        "max_latency_ms": 1200,
        "latency_ms": 1200,
        "max_tokens": 100,
        "tokens": 100,
    }


def test_every_limit_that_is_exceeded_is_named(suite: Suite) -> None:
    suite.write(TALK.format(marker="max_cost_usd=0, max_latency_ms=0, max_tokens=0"))

    result = suite.run()

    result.stdout.fnmatch_lines(
        ["*over budget: cost $0.005 of $0.00,*", "* and latency 1,200 ms of 0 ms,*", "* and 100 of 0 tokens,*"]
    )


def test_a_budget_holds_without_results_too(suite: Suite, run_args: list[str]) -> None:
    suite.write(TALK.format(marker="max_tokens=99"))
    suite.load(xdist="no:xdist" not in run_args)

    result = suite.pytester.runpytest(*run_args)

    result.assert_outcomes(failed=1)
    assert "over budget: 100 of 99 tokens" in result.stdout.str()


def test_the_closest_marker_sets_each_limit_and_none_lifts_it(suite: Suite, run_args: list[str]) -> None:
    suite.write(
        """
        import pytest
        from pytest_arena_state import CostInfo

        pytestmark = pytest.mark.arena(max_tokens=5, max_cost_usd=1)

        @pytest.fixture(autouse=True)
        def talk(arena_run):
            arena_run.assistant("x" , cost=CostInfo(input_tokens=10, total_cost_usd=0.5))

        def test_too_many_tokens():
            pass

        class TestWider:
            pytestmark = pytest.mark.arena(max_tokens=10)

            def test_enough(self):
                pass

            @pytest.mark.arena(max_cost_usd=0.1)
            def test_too_dear(self):
                pass

        @pytest.mark.arena(max_tokens=None, scenario_id="any")
        def test_as_many_as_it_takes():
            pass

        @pytest.mark.parametrize("n", [pytest.param(1, marks=pytest.mark.arena(max_tokens=10))])
        def test_with_parameters(n):
            pass
        """
    )

    result = suite.run(*run_args, "-v")

    result.assert_outcomes(passed=3, failed=2)
    failed = {line.partition("::")[2].split(" ")[0] for line in result.outlines if line.startswith("FAILED")}
    assert failed == {"test_too_many_tokens", "TestWider::test_too_dear"}
    assert not suite.index["completeness"]["troubles"]


def test_all_conversations_of_a_test_share_its_budget(suite: Suite) -> None:
    """A test that talks to two agents pays for both; those of wider fixtures belong to no test."""
    suite.write(
        """
        import pytest

        def state(id):
            cost = {"input_tokens": 60, "total_cost_usd": 0.1}
            return {"id": id, "messages": [{"role": "assistant", "content": f"of {id}", "cost_info": cost}]}

        @pytest.mark.arena(max_tokens=100)
        def test_it(arena_store, arena_session_store):
            arena_session_store.save(state("wider"))
            arena_store.save(state("a"))
            arena_store.save(state("b"))
        """
    )

    result = suite.run()

    result.assert_outcomes(failed=1)
    assert "120 of 100 tokens, the most for message 1 of 'a' (assistant, 60 tokens): of a" in result.stdout.str()
    budgets = {run.run_id: [a.type for a in run.conversation_assertions.results] for run in suite.runs()}
    assert budgets == {"a": ["pytest.budget", "pytest.outcome"], "b": ["pytest.budget", "pytest.outcome"], "wider": []}


def test_usage_that_comes_in_late_is_an_error_of_the_tear_down(suite: Suite, run_args: list[str]) -> None:
    """Some clients tell what a call took when it is over, on another thread."""
    suite.write(
        """
        import pytest
        from pytest_arena_state import CostInfo

        @pytest.fixture
        def late(arena_run):
            yield
            arena_run.assistant("late", cost=CostInfo(input_tokens=10))

        @pytest.mark.arena(max_tokens=5)
        def test_it(late):
            pass
        """
    )

    result = suite.run(*run_args)

    result.assert_outcomes(passed=1, errors=1)
    assert "over budget: 10 of 5 tokens" in result.stdout.str()
    run = suite.only_run()
    assert [(a.type, a.passed) for a in run.conversation_assertions.results] == [
        ("pytest.budget", False),
        ("pytest.outcome", False),
    ]


@pytest.mark.parametrize(
    ("body", "outcomes"),
    [
        ("assert False", {"failed": 1}),
        ("pytest.skip('not today')", {"skipped": 1}),
        ("raise RuntimeError", {"failed": 1}),
    ],
)
def test_a_test_that_ended_otherwise_is_not_failed_twice(suite: Suite, body: str, outcomes: dict[str, int]) -> None:
    """Its run has the finding nevertheless."""
    suite.write(TALK.format(marker="max_tokens=5") + f"    {body}\n")

    suite.run().assert_outcomes(**outcomes)

    assert not suite.only_run().conversation_assertions.results[0].passed


def test_an_expected_failure_may_be_that_of_a_budget(suite: Suite) -> None:
    suite.write(TALK.format(marker="max_tokens=5").replace("@pytest", "@pytest.mark.xfail(strict=True)\n@pytest", 1))

    suite.run().assert_outcomes(xfailed=1)


def test_each_attempt_has_the_budget_to_itself(suite: Suite) -> None:
    suite.write(
        """
        import pytest
        from pytest_arena_state import CostInfo

        attempts = []

        @pytest.mark.arena(max_tokens=15)
        def test_it(arena_run):
            attempts.append(1)
            arena_run.assistant("x", cost=CostInfo(input_tokens=20 if len(attempts) == 1 else 10))
        """
    )

    result = suite.run("--reruns=1", plugins=["rerunfailures"])

    result.assert_outcomes(passed=1)
    assert [row["status"] for row in suite.index["runs"]] == ["failed", "passed"]


def test_a_budget_accounts_for_no_violation(suite: Suite) -> None:
    """A guard's finding still fails its run, though the conversation was cheap."""
    suite.write(
        """
        import pytest

        @pytest.mark.arena(max_tokens=5)
        def test_it(arena_run):
            arena_run.assistant("my card is 4111 …")
            arena_run.validate("no_card_number", passed=False)
        """
    )

    suite.run().assert_outcomes(passed=1)

    assert [row["status"] for row in suite.index["runs"]] == ["failed"]


@pytest.mark.parametrize(
    ("limit", "complaint"),
    [
        ("max_cost_usd='cheap'", "max_cost_usd is US dollars, a number from 0 up, not 'cheap'"),
        ("max_cost_usd=-1", "max_cost_usd is US dollars, a number from 0 up, not -1"),
        ("max_cost_usd=float('nan')", "max_cost_usd is US dollars, a number from 0 up, not nan"),
        ("max_latency_ms=float('inf')", "max_latency_ms is milliseconds, a number from 0 up, not inf"),
        ("max_tokens=1.5", "max_tokens is a whole number from 0 up, not 1.5"),
        ("max_tokens=True", "max_tokens is a whole number from 0 up, not True"),
    ],
)
def test_a_limit_that_is_none_is_a_collection_error(suite: Suite, limit: str, complaint: str) -> None:
    """A budget with a typo would never be exceeded."""
    suite.write(f"import pytest\n@pytest.mark.arena({limit})\ndef test_it():\n    pass")

    result = suite.pytester.runpytest()

    result.assert_outcomes(errors=1)
    assert f"@pytest.mark.arena: {complaint}" in result.stdout.str()


def test_a_limit_that_nobody_could_check_before_fails_the_set_up(suite: Suite) -> None:
    suite.write(
        """
        import unittest
        import pytest

        @pytest.mark.arena(max_tokens="few")
        class TestIt(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def run(self, arena_run):
                pass

            def test_it(self):
                pass
        """
    )

    result = suite.pytester.runpytest()

    result.assert_outcomes(errors=1)
    assert "max_tokens is a whole number from 0 up, not 'few'" in result.stdout.str()


def test_a_fixture_that_is_asked_for_in_the_test_has_the_budget_too(suite: Suite) -> None:
    suite.write(
        """
        import pytest
        from pytest_arena_state import CostInfo

        @pytest.mark.arena(max_tokens=5)
        def test_it(request):
            request.getfixturevalue("arena_run").assistant("x", cost=CostInfo(input_tokens=10))
        """
    )

    suite.pytester.runpytest().assert_outcomes(failed=1)


def test_asking_for_the_store_again_starts_no_second_budget(suite: Suite) -> None:
    """Capturing asks for it whenever a call comes in, which may be when the test is torn down."""
    suite.write(
        """
        import pytest
        from pytest_arena_state import CostInfo, _budgets

        @pytest.fixture
        def late(arena_run, request):
            yield
            arena_run.assistant("late", cost=CostInfo(input_tokens=10))
            _budgets.watch(request.node, arena_run._store)

        @pytest.mark.arena(max_tokens=5)
        def test_it(late):
            pass
        """
    )

    suite.run().assert_outcomes(passed=1, errors=1)


# --- the judgement -------------------------------------------------------------------------


def answer(text: str = "Yes.", *, meta: dict[str, Any] | None = None, **cost: Any) -> Message:
    return Message.assistant(text, cost_info=CostInfo(**cost), meta=meta or {})


UNKNOWN = {"cost_origin": "unknown", "model": "llama\x1b[31m"}


def test_a_limit_in_dollars_does_not_hold_over_answers_whose_price_is_unknown() -> None:
    """It would hold whatever they cost."""
    turns = turns_of([answer(total_cost_usd=0.1), answer(input_tokens=5, meta=UNKNOWN)])

    judgement = Budget(max_cost_usd=1).judge(turns)

    assert not judgement.passed
    assert judgement.message.startswith(
        "over budget: cost $0.10 of $1.00 is not known: no price for llama\N{REPLACEMENT CHARACTER}[31m (1 answer); "
        "name it in a file for --arena-prices"
    )
    assert Budget(max_tokens=5).judge(turns).passed


def test_without_the_table_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_arena_state.budget.table_is_installed", lambda: False)

    judgement = Budget(max_cost_usd=1).judge(turns_of([answer(input_tokens=5, meta=UNKNOWN)]))

    assert judgement.message.endswith("or: pip install 'pytest-arena-state[prices]'")


def test_a_sum_that_is_over_by_rounding_alone_is_not_over() -> None:
    assert sum([0.1] * 3) > 0.3

    assert Budget(max_cost_usd=0.3).judge(turns_of([answer(total_cost_usd=0.1)] * 3)).passed


def test_costs_beside_the_answers_count_as_they_do_in_a_report() -> None:
    speech = {"tts_cost": {"input_tokens": 3, "total_cost_usd": 0.5}}

    (turn,) = turns_of([answer(input_tokens=4, total_cost_usd=0.25, meta=speech)])

    assert (turn.cost_usd, turn.tokens) == (0.75, 7)


def test_a_tools_time_counts_once() -> None:
    result = Message.tool("out", id="1", latency_ms=40)
    assert result.tool_result is not None
    result.tool_result.latency_ms = 40

    assert [turn.latency_ms for turn in turns_of([result])] == [40]


def test_where_a_cost_is_from_is_said() -> None:
    turns = turns_of([answer("A\nB" * 100, total_cost_usd=2.0, meta={"cost_origin": "genai-prices 0.2.3"})])

    message = Budget(max_cost_usd=1).judge(turns).message

    assert message.startswith(
        "over budget: cost $2.00 of $1.00, the most for message 1 (assistant, $2.00, genai-prices 0.2.3): A BA B"
    )
    assert len(message) < 200


def test_a_conversation_of_nothing_is_within_any_budget() -> None:
    assert Budget(max_cost_usd=0, max_latency_ms=0, max_tokens=0).judge([]).passed
