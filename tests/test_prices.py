"""What an answer cost: the user's word, the source's, a price file, genai-prices, unknown; never twice."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_arena_state import ArenaRun, ArenaStateStore, ConfigurationError, CostInfo, Message, Prices
from pytest_arena_state import prices as prices_module
from pytest_arena_state.price_file import Price, PriceFile, Usage

if TYPE_CHECKING:
    from tests.conftest import Suite

TOML = """
[[price]]
provider = "openai"
model = "gpt-5-mini*"
input = 0.25
output = 2
cached = 0.025

[[price]]
model = "claude-*"
input = 3
output = 15
cached = 0.3
cache_write = 3.75

[[price]]
model = "*"
input = 1
output = 10
reasoning = 20
"""
JSON_FILE = {"price": [{"model": "*", "input": 1, "output": 10, "reasoning": 20}]}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "prices.toml"
    path.write_text(TOML, encoding="utf-8")
    return path


@pytest.fixture
def no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where genai-prices is not installed."""
    monkeypatch.setitem(sys.modules, "genai_prices", None)


def answer(model: str = "gpt-5-mini", *, meta: Mapping[str, Any] | None = None, **cost: Any) -> Message:
    return Message.assistant("Yes.", cost_info=CostInfo(**cost), meta={"model": model, **(meta or {})})


def cost_of(message: Message) -> CostInfo:
    assert message.cost_info is not None
    return message.cost_info


def test_a_file_prices_what_went_in_came_out_and_was_cached(file: Path) -> None:
    problems: list[str] = []
    given = answer(input_tokens=1_000_000, output_tokens=500_000, cached_tokens=2_000_000, provider_name="openai")

    message = Prices(file).priced(given, problems)

    cost = cost_of(message)
    assert (cost.input_cost_usd, cost.output_cost_usd, cost.cached_cost_usd) == (0.25, 1.0, 0.05)
    assert cost.total_cost_usd == 1.3
    assert message.meta["cost_origin"] == "price file prices.toml"
    assert problems == []
    assert "cost_origin" not in given.meta


def test_tokens_written_to_a_cache_are_not_paid_twice(file: Path) -> None:
    """They are among the input tokens, and have a price of their own."""
    message = answer(
        "claude-sonnet-4-5", input_tokens=1_000_000, meta={"token_details": {"cache_write_tokens": 400_000}}
    )

    assert cost_of(Prices(file).priced(message, [])).total_cost_usd == 0.6 * 3 + 0.4 * 3.75


def test_reasoning_is_not_paid_twice(file: Path) -> None:
    message = answer("o9", output_tokens=1_000_000, meta={"token_details": {"reasoning_tokens": 300_000}})

    assert cost_of(Prices(file).priced(message, [])).total_cost_usd == 0.7 * 10 + 0.3 * 20


def test_a_part_that_is_more_than_its_whole_is_cut_to_it() -> None:
    """Counts come from outside and need not add up; a cost is never negative."""
    usage = Usage.of(
        CostInfo(input_tokens=10, output_tokens=5),
        {
            "token_details": {"cache_write_tokens": 99, "reasoning_tokens": 99},
            "usage": {"ephemeral_1h_input_tokens": 50},
        },
    )

    assert (usage.written, usage.written_for_an_hour, usage.reasoning) == (10, 10, 5)


def test_the_first_price_that_matches_counts(file: Path) -> None:
    prices = PriceFile.read(file)

    def model_of(model: str, provider: str) -> str:
        found = prices.find(model, provider)
        return found.model if found else ""

    assert model_of("gpt-5-mini-2025-08-07", "openai") == "gpt-5-mini*"
    assert model_of("GPT-5-Mini", "OpenAI") == "gpt-5-mini*"
    assert model_of("gpt-5-mini", "azure") == "*"
    assert model_of("gpt-5-mini", "") == "*"


def test_json_says_the_same_as_toml(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    path.write_text(json.dumps(JSON_FILE), encoding="utf-8")

    assert PriceFile.read(path).prices == (Price(model="*", input=1, output=10, reasoning=20),)


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("p.yaml", "", "ends in .toml or .json"),
        ("p.toml", "[[price]\n", "p.toml"),
        ("p.json", "{", "p.json"),
        ("p.json", "[" * 100_000, "p.json"),
        ("p.toml", "x = 1", "wanted a list of prices under 'price' ([[price]] in TOML) and nothing else, not 'x'"),
        ("p.json", "[1]", "and nothing else, not [1]"),
        ("p.json", "{}", "and nothing else, not nothing"),
        ("p.json", '{"price": 5}', "and nothing else, not 5"),
        ("p.json", '{"price": [5]}', "price 1: wanted a table with model, input and output, not 5"),
        ("p.toml", "[[price]]\nmodel='m'\ninput=1", "price 1: no 'output'; wanted model, input and output"),
        ("p.toml", "[[price]]\nmodel='m'\noutput=1", "price 1: no 'input'; wanted model, input and output"),
        ("p.toml", "[[price]]\ninput=1\noutput=1", "price 1: no 'model'; wanted model, input and output"),
        ("p.toml", "[[price]]\nmodel='m'\ninput=1\noutput=1\ncash=1", "price 1: unknown key 'cash'; there are model,"),
        ("p.toml", "[[price]]\nmodel=''\ninput=1\noutput=1", "'model' is a name or a pattern, not ''"),
        ("p.toml", "[[price]]\nmodel='m'\ninput=-1\noutput=1", "'input' is US dollars per million tokens, a number"),
        ("p.toml", "[[price]]\nmodel='m'\ninput=nan\noutput=1", "a number from 0 up, not nan"),
        ("p.toml", "[[price]]\nmodel='m'\ninput=1\noutput=inf", "'output' is US dollars per million tokens, a number"),
        ("p.json", '{"price": [{"model": "m", "input": 1e999, "output": 1}]}', "a number from 0 up, not inf"),
        (
            "p.json",
            f'{{"price": [{{"model": "m", "input": 1{"0" * 400}, "output": 1}}]}}',
            "a number from 0 up, not 100",
        ),
        ("p.toml", "[[price]]\nmodel='m'\nprovider=''\ninput=1\noutput=1", "'provider' is a name or a pattern, not ''"),
        ("p.toml", "[[price]]\nmodel='m'\ninput=true\noutput=1", "a number from 0 up, not True"),
    ],
)
def test_a_wrong_file_is_an_error_that_says_what_was_wanted(
    tmp_path: Path, name: str, text: str, complaint: str
) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")

    with pytest.raises(ConfigurationError) as raised:
        PriceFile.read(path)

    assert complaint in str(raised.value)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"gone\.toml'?: No such file"):
        PriceFile.read(tmp_path / "gone.toml")


# --- who is believed -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        answer(input_tokens=5, total_cost_usd=0.5),
        answer(input_tokens=5, output_cost_usd=0.5),
        answer(input_tokens=5, total_cost_usd=0.0),
        answer(input_tokens=5, total_cost_usd=0.5, meta={"reported_cost_usd": 0.1}),
    ],
    ids=["dollars", "part of them", "zero dollars", "over the source"],
)
def test_dollars_that_the_user_gave_are_believed(file: Path, message: Message) -> None:
    """Also zero dollars, where somebody wrote them: a model of one's own may be free."""
    priced = Prices(file).priced(message, [])

    assert priced.cost_info == message.cost_info
    assert priced.meta == {**message.meta, "cost_origin": "given"}


@pytest.mark.parametrize(
    "message",
    [
        answer(input_tokens=5, meta={"cost_origin": "my own"}),
        answer(),
        Message.assistant("Yes.", meta={"model": "gpt-5-mini"}),
        Message.assistant("Yes.", cost_info=CostInfo(input_tokens=5)),
        Message.assistant("Yes.", cost_info=CostInfo(total_cost_usd=5), meta={"finish": "stop"}),
    ],
    ids=["an origin", "no tokens", "no cost", "no model", "dollars alone"],
)
def test_a_message_with_nothing_to_price_is_left_as_it_is(file: Path, message: Message) -> None:
    assert Prices(file).priced(message, []) is message


@pytest.mark.parametrize(
    "meta",
    [
        {"reported_cost_usd": 0.125},
        {"usage": {"cost": 0.125}},
        {"usage": {"cost": {"total_cost": 0.125, "input_tokens_cost": 0.1}}},
    ],
)
def test_what_the_source_reported_goes_before_any_price(file: Path, meta: dict[str, Any]) -> None:
    message = Prices(file).priced(answer(input_tokens=5, meta=meta), [])

    assert cost_of(message).total_cost_usd == 0.125
    assert cost_of(message).input_tokens == 5
    assert message.meta["cost_origin"] == "source"


@pytest.mark.parametrize("reported", [-1, True, "0.1", float("nan"), None])
def test_a_report_that_is_no_amount_is_none(file: Path, reported: object) -> None:
    message = Prices(file).priced(answer(input_tokens=5, meta={"reported_cost_usd": reported}), [])

    assert message.meta["cost_origin"] == "price file prices.toml"


def test_a_reported_cost_needs_no_tokens() -> None:
    message = Prices().priced(Message.assistant("Yes.", meta={"reported_cost_usd": 0.25}), [])

    assert cost_of(message).total_cost_usd == 0.25


@pytest.mark.usefixtures("no_table")
def test_without_any_price_a_cost_is_unknown() -> None:
    message = Prices().priced(answer(input_tokens=5), [])

    assert (cost_of(message).total_cost_usd, message.meta["cost_origin"]) == (0.0, "unknown")


# --- genai-prices ----------------------------------------------------------------------------


@pytest.fixture
def table() -> str:
    return f"genai-prices {pytest.importorskip('genai_prices').__version__}"


def test_the_table_knows_a_model_by_its_name_alone(table: str) -> None:
    message = Prices().priced(answer("gpt-5-mini", input_tokens=800, cached_tokens=200, output_tokens=100), [])

    cost = cost_of(message)
    assert message.meta["cost_origin"] == table
    assert cost.cached_cost_usd == pytest.approx(200 * 0.025e-6)
    assert cost.input_cost_usd == pytest.approx(800 * 0.25e-6)
    assert cost.output_cost_usd == pytest.approx(100 * 2e-6)
    assert cost.total_cost_usd == pytest.approx(cost.cached_cost_usd + cost.input_cost_usd + cost.output_cost_usd)


def test_the_table_prices_cache_writes_once_and_by_how_long_they_are_kept(table: str) -> None:
    """Ours are among the input tokens, and so are theirs; theirs contain the cached ones, too."""
    meta = {
        "token_details": {"cache_write_tokens": 300},
        "usage": {"cache_creation": {"ephemeral_1h_input_tokens": 100, "ephemeral_5m_input_tokens": 200}},
    }
    given = answer("claude-sonnet-4-5", input_tokens=800, cached_tokens=200, output_tokens=100, meta=meta)

    cost = cost_of(Prices().priced(given, []))

    assert cost.total_cost_usd == pytest.approx((500 * 3 + 200 * 3.75 + 100 * 6 + 200 * 0.3 + 100 * 15) / 1e6)


def test_the_table_does_not_pay_for_reasoning_twice(table: str) -> None:
    plain = Prices().priced(answer("gemini-2.5-pro", output_tokens=500), [])
    thought = Prices().priced(
        answer("gemini-2.5-pro", output_tokens=500, meta={"token_details": {"reasoning_tokens": 400}}), []
    )

    assert cost_of(plain).total_cost_usd == cost_of(thought).total_cost_usd > 0


@pytest.mark.parametrize(
    ("model", "provider", "known"),
    [
        ("openai/gpt-5-mini", "", True),
        ("models/gemini-2.5-pro", "", True),
        ("gpt-5-mini", "openai", True),
        ("gemini-2.5-pro", "gcp.gen_ai", True),
        ("gemini-2.5-pro", "google_genai", True),
        ("grok-4", "x_ai", True),
        ("gpt-5-mini", "ollama", False),
        ("a-model-of-mine", "", False),
        ("", "openai", False),
        ("\N{SNOWMAN}/" * 50, "\x00", False),
    ],
)
def test_a_model_is_looked_up_where_it_was_bought(table: str, model: str, provider: str, known: bool) -> None:
    """A model that runs on one's own machine has no price, though somebody sells one of its name."""
    problems: list[str] = []

    message = Prices().priced(answer(model, input_tokens=5, provider_name=provider, meta={"usage": {}}), problems)

    assert message.meta["cost_origin"] == (table if known else "unknown")
    assert problems == []


def test_a_price_is_that_of_the_day(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import genai_prices

    asked: list[datetime | None] = []
    real: Callable[..., Any] = genai_prices.calc_price

    def calc_price(*args: Any, genai_request_timestamp: datetime | None = None, **more: Any) -> Any:
        asked.append(genai_request_timestamp)
        return real(*args, genai_request_timestamp=genai_request_timestamp, **more)

    monkeypatch.setattr(genai_prices, "calc_price", calc_price)
    when = datetime(2026, 1, 2, tzinfo=UTC)

    Prices().priced(answer(input_tokens=5).model_copy(update={"timestamp": when}), [])

    assert asked == [when]


def test_a_table_that_fails_costs_the_test_nothing_and_is_named(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def calc_price(*args: object, **more: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr("genai_prices.calc_price", calc_price)
    problems: list[str] = []

    message = Prices().priced(answer(input_tokens=5), problems)

    assert message.meta["cost_origin"] == "unknown"
    assert problems == ["no price: genai-prices raised RuntimeError: 'broken'"]


def test_a_message_that_cannot_be_priced_is_kept_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prices_module, "_reported", lambda meta: 1 / 0)
    problems: list[str] = []
    message = answer(input_tokens=5)

    assert Prices().priced(message, problems) is message
    assert problems == ["no price: ZeroDivisionError: 'division by zero'"]


# --- stores --------------------------------------------------------------------------------

RESPONSE: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "gpt-5-mini",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "It is in Lyon."}}],
    "usage": {"prompt_tokens": 30, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 10}},
}
DOLLARS = (20 * 1 + 10 * 1 + 5 * 10) / 1e6  # by the last price of the file: its provider is not told


def test_what_a_client_gave_is_priced_when_it_is_added(file: Path) -> None:
    store = ArenaStateStore(prices=Prices(file))

    (added,) = ArenaRun(store, "run").add(RESPONSE)
    store.save_metadata("run", {"run_id": "run"})

    assert cost_of(added).total_cost_usd == pytest.approx(DOLLARS)
    assert added == store.load("run").messages[0]
    assert store.get_result("run").cost.total_cost_usd == pytest.approx(DOLLARS)


def test_a_conversation_that_is_saved_again_keeps_its_price(file: Path) -> None:
    """Also the one that was loaded: it carries its price and where that is from."""
    store = ArenaStateStore(prices=Prices(file))
    state: Any = {"id": "c", "messages": [answer("m", input_tokens=1_000_000)]}

    store.save(state)
    told: list[object] = []
    store._on_change = lambda change, _: told.append(change.indexes)
    store.save(state)
    store.save(store.load("c"))

    assert cost_of(store.load("c").messages[0]).total_cost_usd == 1.0
    assert told == [[], []]


def test_a_store_without_prices_leaves_messages_as_they_are() -> None:
    store = ArenaStateStore()
    message = answer(input_tokens=5)

    store.save({"id": "c", "messages": [message]})

    assert store.load("c").messages == [message]


# --- in pytest -----------------------------------------------------------------------------

SUITE = f"""
import pytest

RESPONSE = {RESPONSE!r}

@pytest.fixture(scope="session")
def talked(arena_session_store):
    arena_session_store.add(RESPONSE, "of-session")

def test_it(arena_run, talked):
    arena_run.add(RESPONSE)
    assert arena_run.messages[-1].meta["cost_origin"] == "price file prices.toml"
"""


def test_a_price_file_reaches_every_report(suite: Suite, run_args: list[str]) -> None:
    suite.write(SUITE)
    (suite.path / "prices.toml").write_text(TOML, encoding="utf-8")

    suite.run(*run_args, "--arena-prices=prices.toml").assert_outcomes(passed=1)

    assert [row["cost_usd"] for row in suite.index["runs"]] == [pytest.approx(DOLLARS)] * 2
    assert suite.index["total_cost"] == pytest.approx(2 * DOLLARS)
    assert [run.cost.total_cost_usd for run in suite.runs()] == [pytest.approx(DOLLARS)] * 2


def test_a_price_file_is_used_without_results_too(suite: Suite, run_args: list[str]) -> None:
    suite.write(SUITE)
    (suite.path / "prices.toml").write_text(TOML, encoding="utf-8")
    suite.pytester.makeini("[pytest]\narena_prices = prices.toml")
    suite.pytester.mkdir("below")
    suite.load(xdist="no:xdist" not in run_args)

    suite.pytester.runpytest(*run_args).assert_outcomes(passed=1)


def test_workers_need_not_see_the_file(suite: Suite) -> None:
    """A worker may run on another machine; here the file is gone when the workers start."""
    suite.write(SUITE)
    (suite.path / "prices.toml").write_text(TOML, encoding="utf-8")
    suite.pytester.makeconftest(
        """
        import os
        import pytest

        @pytest.hookimpl(tryfirst=True)
        def pytest_sessionstart(session):
            if not hasattr(session.config, "workerinput"):
                os.remove("prices.toml")
        """
    )

    suite.run("-n2", "--arena-prices=prices.toml").assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("args", "ini", "complaint"),
    [
        (["--arena-prices=gone.toml"], "", "ERROR: --arena-prices: 'gone.toml': No such file or directory"),
        (
            [],
            "arena_prices = wrong.toml",
            "ERROR: arena_prices: 'wrong.toml': price 1: no 'input'; wanted",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_an_error_of_usage(
    suite: Suite, args: list[str], ini: str, complaint: str
) -> None:
    (suite.path / "wrong.toml").write_text("[[price]]\nmodel = 'm'\n", encoding="utf-8")
    suite.pytester.makeini(f"[pytest]\n{ini}")

    result = suite.pytester.runpytest(*args)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"{complaint.replace('[', '[[]')}*"])


def test_prices_that_are_no_file_are_refused() -> None:
    """They would be taken for no price at all, and every answer be free."""
    with pytest.raises(TypeError, match="dict"):
        Prices({"price": []})  # type: ignore[arg-type]


def test_nothing_is_imported_where_nothing_is_to_be_priced() -> None:
    """The table takes a while to import, and most suites have costs or none at all."""
    script = """
import sys
from pytest_arena_state import ArenaRun, ArenaStateStore, CostInfo, Prices
run = ArenaRun(ArenaStateStore(prices=Prices()), "r")
run.user("hello")
run.assistant("hi", cost=CostInfo(input_tokens=5, total_cost_usd=0.1), meta={"model": "gpt-5-mini"})
run.assistant("hi", meta={"model": "gpt-5-mini", "reported_cost_usd": 0.1})
print("genai_prices" in sys.modules)
"""

    printed = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout

    assert printed.split() == ["False"]
