"""The summary and the transcript: what they say, and that hostile text stays text."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_arena_state.index import LostEntry
from pytest_arena_state.models import RunResult
from pytest_arena_state.reporters.markdown import render_summary
from pytest_arena_state.reporters.source import Source
from pytest_arena_state.reporters.text import code, fence, percent, seconds, table, usd, visible
from pytest_arena_state.reporters.transcript import render_transcript


def test_the_summary_begins_with_the_totals(source: Source) -> None:
    lines = render_summary(source).splitlines()

    assert lines[0] == "# Arena results"
    assert lines[2].startswith("6 runs (2 passed, 2 failed, 1 error, 1 skipped)")


def test_the_matrix_begins_with_what_did_worst(source: Source) -> None:
    text = render_summary(source)

    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert [re.split(r"\s*\|\s*", row)[1:4] for row in rows] == [
        ["`late-parcel`", "✗ 0/1, $0.05, 2.0 s", ""],
        ["`refund`", "✗ 0/1, $0.01, 2.0 s", "✗ 2/3, $0.0133, 2.0 s"],
    ]


def test_a_matrix_of_too_many_providers_shows_those_that_did_worst(make_run: Callable[..., RunResult]) -> None:
    """It says that what is left out did better."""
    runs = [make_run(f"r{n}", "failed" if n == 14 else "passed", ProviderID=f"p{n:02}") for n in range(15)]
    text = render_summary(Source.of(runs))

    header = next(line for line in text.splitlines() if line.startswith("| scenario"))
    assert re.findall(r"p\d\d", header) == ["p14", *(f"p{n:02}" for n in range(11))]
    assert "3 more providers not shown" in text


def test_a_matrix_in_which_each_scenario_has_its_own_provider_takes_no_longer_than_its_cells(
    calls_of: Callable[[Callable[[], object]], int],
) -> None:
    """A suite may have ten thousand of each; all pairs of them are a hundred million."""

    def calls(count: int) -> int:
        runs = [RunResult(run_id=f"run-{i}", scenario_id=f"s-{i}", provider_id=f"p-{i}") for i in range(count)]
        source = Source.of(runs)
        return calls_of(lambda: render_summary(source))

    assert calls(400) < 5 * calls(100)


def test_what_did_not_pass_is_listed_errors_first_with_the_reason(source: Source) -> None:
    text = render_summary(source)

    assert re.findall(r"^(?:## (.+)|- . `(.+?)`)", text, re.MULTILINE)[1:] == [
        ("Errors (1)", ""),
        ("", "third"),
        ("Failed (2)", ""),
        ("", "second"),
        ("", "with-tools"),
        ("Skipped (1)", ""),
        ("", "fourth"),
    ]
    assert "`RuntimeError: the shop is closed`" in text


def test_a_superseded_attempt_is_not_listed(make_run: Callable[..., RunResult]) -> None:
    source = Source.of([make_run("first", "failed"), make_run("again")], superseded=frozenset({0}))

    assert "## Failed" not in render_summary(source)
    assert "1/1, flaky" not in render_summary(source)


def test_the_change_against_a_baseline_stands_in_the_matrix(make_run: Callable[..., RunResult]) -> None:
    base = Source.of([make_run(f"run-{i}") for i in range(2)], "main")
    new = Source.of([make_run("run-0"), make_run("run-1", "failed", usd=0.05)], "branch")

    text = render_summary(new, baseline=base)

    assert "Against `main`: 1 new failure, 0 fixed, 0 flaky, 0 missing." in text
    assert "-50 pts (noise), cost +200%" in text


def test_trials_that_disagree_are_rated(make_run: Callable[..., RunResult]) -> None:
    labels = {"pytest.nodeid": "test_shop.py::test_refund[1]"}
    runs = [make_run(f"run-{i}", "passed" if i else "failed", Labels=labels) for i in range(4)]

    [row] = [line for line in render_summary(Source.of(runs)).splitlines() if "75%" in line]

    assert re.split(r"\s*\|\s*", row)[1:-1] == [
        "`refund`",
        "`gpt-5-mini`",
        "4",
        "75% [30% to 95%]",
        "50%",
        "25%",
        "-",
        "50%",
    ]


def test_a_summary_fits_where_it_must(make_run: Callable[..., RunResult]) -> None:
    """A step summary in GitHub Actions that is too long is not shown at all."""
    source = Source.of([make_run(f"run-{i:04d}", "failed") for i in range(150)])

    text = render_summary(source, limit_bytes=3000)

    assert 2500 < len(text.encode()) <= 3000
    assert re.fullmatch(r"\*Cut here: \d+ more parts did not fit\.\*", text.splitlines()[-1])


def test_what_is_lost_is_said_first(source: Source) -> None:
    source.completeness.crashed = 1
    source.completeness.troubles = {"a save was cut off": 2}

    text = render_summary(source)

    assert text.index("**Not complete:** 1 crashed worker, 2 troubles.") < text.index("## Scenarios")
    assert "- `a save was cut off` (2)" in text


def test_of_very_much_that_is_lost_some_is_named_and_all_is_counted(source: Source) -> None:
    """The summary stands in the log of a job, and the index has the whole list."""
    source.completeness.lost = [LostEntry(what=f"run-{n}", why="no journal") for n in range(1_000)]
    source.completeness.troubles = {f"trouble {n:03}": 1 for n in range(100)}

    text = render_summary(source)

    assert "1,000 lost runs, 100 troubles" in text
    assert (text.count("- lost: "), text.count("- `trouble ")) == (20, 20)


def test_a_cost_that_hardly_changed_is_not_worth_a_word(make_run: Callable[..., RunResult]) -> None:
    base, same, more = ([make_run(f"run-{i}", usd=usd) for i in range(2)] for usd in (1.0, 1.04, 1.05))

    assert "cost +" not in render_summary(Source.of(same), baseline=Source.of(base))
    assert "cost +5%" in render_summary(Source.of(more), baseline=Source.of(base))
    assert "cost was $0" in render_summary(Source.of(more), baseline=Source.of([make_run("run-0", usd=0.0)]))


def test_a_transcript_tells_everything_in_its_place(suite: list[RunResult]) -> None:
    text = render_transcript(suite[-1])

    wanted = [
        "# ✗ `with-tools`",
        "- scenario: `late-parcel`",
        "- tools: `look_up` 1, `refund` 1",
        "**failed:** `AssertionError: 1 == 2 assert 1 == 2`",
        "**system**",
        "## Turn 1",
        "- `image` `image/png`, 69 bytes `a broken pot`",
        "*reasoning*",
        "calls `look_up`",
        '"order": "T-1002"',
        "calls `refund` (no result)",
        "**tool** `look_up` returned, 40 ms",
        '{"state": "lost"}',
        "**assistant** (1.5 s, 105 tokens, $0.05)",
        "## Turn 2",
        '✗ validation `no_promises` `{"found": 1}`',
        "✗ assertions\n",
        "## Assertions (0% passed)",
    ]
    places = [text.index(each) for each in wanted]
    assert places == sorted(places)


def test_hostile_text_stands_in_code_only(hostile: Source, evil: str) -> None:
    [only] = hostile

    for text in (render_summary(hostile), render_transcript(only)):
        outside = without_code(text)
        assert "<" not in outside
        assert "javascript:" not in outside
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200b]", text)
    assert evil not in text


def test_a_status_that_is_none_stands_in_code_like_any_text(strange: Source, evil: str) -> None:
    """An index may come from anybody, and its text must not steer a terminal or write the summary of a job."""
    [only] = strange

    for text in (render_summary(strange), render_transcript(only)):
        outside = without_code(text)
        assert "<" not in outside
        assert "\x1b" not in text
        assert evil not in text


def without_code(markdown: str) -> str:
    """The text outside of code blocks and code spans, as CommonMark reads it."""
    lines, closing = [], ""
    for line in markdown.splitlines():
        opening = re.match(r"(`{3,})[a-z]*$", line)
        if closing:
            closing = "" if line == closing else closing
        elif opening:
            closing = opening[1]
        else:
            lines.append(line)
    return re.sub(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)", "", "\n".join(lines))


@given(st.text())
def test_a_code_span_holds_any_text(text: str) -> None:
    span = code(text, table=True)

    assert "\n" not in span
    assert without_code(span) in ("", "-")


@given(st.text(alphabet="`a|\n\\ ~"))
def test_a_code_block_holds_any_text(text: str) -> None:
    assert without_code(fence(text)) == ""


def test_a_table_has_as_many_cells_as_its_header() -> None:
    """A pipe in a name must not shift the row."""
    text = table(["a", "b"], [[code("x | y", table=True), "z"]])

    assert [len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines()] == [3, 3, 3]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "␛[31mred"),
        ("a\r\nb\tc", "a\nb\tc"),
        ("progress\rdone", "progress␍done"),
        ("\u202eevil", "⟨U+202E⟩evil"),
        ("\x7f\x85", "␡⟨U+0085⟩"),
        ("\ud800", "⟨U+D800⟩"),
        ("שלום 🫖", "שלום 🫖"),
    ],
)
def test_what_cannot_be_seen_is_shown(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_numbers_are_rounded_honestly() -> None:
    assert [percent(share) for share in (0.0, 0.001, 0.5, 0.999, 1.0, None)] == [
        "0%",
        "<1%",
        "50%",
        ">99%",
        "100%",
        "-",
    ]
    assert [seconds(ns) for ns in (0, 1500, 2_000_000, 1_500_000_000, 3_723e9, -3e9, None)] == [
        "0 s",
        "2 µs",
        "2 ms",
        "1.5 s",
        "1 h 02 min",
        "-3.0 s",
        "-",
    ]


def test_dollars_are_written_as_people_read_them() -> None:
    """A hundred tokens of a cheap model cost some millionths."""
    amounts = (0.0, 3.2e-9, 0.0000125, 0.00009999, 0.0004, 0.05, 12.5, -0.00002)
    assert [usd(amount) for amount in amounts] == [
        "$0.00",
        "$0.0000000032",
        "$0.000013",
        "$0.0001",
        "$0.0004",
        "$0.05",
        "$12.50",
        "$-0.00002",
    ]
