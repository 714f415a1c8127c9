"""The HTML report in a real browser: every control, and that nothing a model said ever runs.

Chromium is driven by playwright. Where one of them is missing the tests are skipped, unless
``ARENA_REQUIRE_BROWSER=1`` says that they must run.
"""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from pytest_arena_state.models import RunResult, ToolStats
from pytest_arena_state.reporters import write_report
from pytest_arena_state.reporters.source import Source

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
CHROMIUM = os.environ.get("ARENA_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
PATIENCE = 60_000  # milliseconds; only a test that fails waits so long


def missing(what: str) -> None:
    reason = f"browser tests need {what}"
    if os.environ.get("ARENA_REQUIRE_BROWSER") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason, allow_module_level=True)


if CHROMIUM is None or find_spec("playwright") is None:
    missing("playwright and chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, one for all tests of this module."""
    playwright: Any = import_module("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield running
        running.close()


class Report:
    """A page, and everything that it should not have done."""

    def __init__(self, page: Any, path: Path) -> None:
        self.page = page
        self.path = path
        self.faults: list[str] = []
        page.on("console", lambda said: self.faults.append(f"{said.type}: {said.text}"))
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("dialog", self._dialog)
        page.on("request", self._request)
        page.set_default_timeout(PATIENCE)

    def _dialog(self, dialog: Any) -> None:
        self.faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _request(self, request: Any) -> None:
        own = request.url.partition("#")[0] == self.path.as_uri()
        if not own and not request.url.startswith(("blob:", "data:")):
            self.faults.append(f"request: {request.url}")

    def open(self, address: str = "") -> Any:
        self.page.goto("about:blank")
        self.page.goto(f"{self.path.as_uri()}{address}")
        self.page.wait_for_selector("html[data-ready]")
        return self.page

    def listed(self) -> list[str]:
        stems: list[str] = self.page.eval_on_selector_all(".runs tbody tr", "rows => rows.map(row => row.dataset.stem)")
        return stems

    def wait_for_run(self, name: str) -> None:
        self.page.locator("#run-view:not([hidden]) #run-title").filter(has_text=name).wait_for()

    def wait_for_list(self, *stems: str) -> None:
        self.page.wait_for_function(
            "wanted => JSON.stringify([...document.querySelectorAll('.runs tbody tr')].map(row => row.dataset.stem))"
            " === JSON.stringify(wanted)",
            arg=list(stems),
        )

    def wait_for_images(self) -> None:
        """Until every image is drawn or has failed, and what it set off has run."""
        self.page.wait_for_function("[...document.images].every(each => each.complete)")
        self.page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")


@pytest.fixture
def context(browser: Any) -> Iterator[Any]:
    fresh = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    yield fresh
    fresh.close()


@pytest.fixture
def opened(context: Any, tmp_path: Path) -> Iterator[Callable[..., Report]]:
    """Write a report and give the page that will show it; afterwards it must have done nothing wrong."""
    reports: list[Report] = []

    def write(source: Source, **options: Any) -> Report:
        report = Report(context.new_page(), write_report(source, tmp_path / f"{len(reports)}.html", **options))
        reports.append(report)
        return report

    yield write
    assert [fault for report in reports for fault in report.faults] == []


@pytest.fixture
def report(opened: Callable[..., Report], source: Source) -> Report:
    return opened(source)


# --- overview --------------------------------------------------------------------------------


def test_it_opens_with_the_totals_and_the_failed_runs_first(report: Report) -> None:
    page = report.open()

    assert page.text_content(".headline").startswith("2 of 5 runs passed")
    assert report.listed() == ["third", "second", "with-tools", "fourth", "first", "fifth"]
    assert "RuntimeError: the shop is closed" in page.text_content(".runs tbody tr")


def test_status_is_told_in_words_too(report: Report) -> None:
    page = report.open()

    assert page.locator(".runs .status").all_text_contents() == [
        "!error",
        "✗failed",
        "✗failed",
        "–skipped",
        "✓passed",
        "✓passed",
    ]


def test_a_cell_of_the_matrix_lists_its_runs(report: Report) -> None:
    page = report.open()

    page.get_by_role("button", name="2/3").click()
    assert report.listed() == ["second", "fourth", "first", "fifth"]
    page.locator(".matrix button[aria-pressed=true]").click()
    assert len(report.listed()) == 6


@pytest.mark.parametrize(
    ("label", "choice", "stems"),
    [
        ("Scenario", "late-parcel", ["with-tools"]),
        ("Provider", "claude-haiku-4-5", ["third", "with-tools"]),
        ("Tool", "look_up", ["with-tools"]),
        ("Tag", "nightly", ["with-tools", "fifth"]),
    ],
)
def test_a_choice_filters_the_list(report: Report, label: str, choice: str, stems: list[str]) -> None:
    page = report.open()

    page.get_by_role("combobox", name=label, exact=True).select_option(label=choice)

    assert report.listed() == stems
    assert page.text_content("#count") == f"{len(stems)} of 6 runs"


def test_statuses_filter_together_and_clear_resets(report: Report) -> None:
    page = report.open()

    page.locator(".chip", has_text="error").locator("input").check()
    page.locator(".chip", has_text="skipped").locator("input").check()
    assert report.listed() == ["third", "fourth"]
    page.get_by_role("button", name="Clear").click()
    assert len(report.listed()) == 6


def test_search_looks_into_names_and_messages(report: Report) -> None:
    page = report.open()

    page.fill("#q", "zanzi")
    report.wait_for_list("fifth")
    assert page.text_content(".runs mark") == "Zanzi"
    page.get_by_label("within messages").uncheck()
    report.wait_for_list()
    page.fill("#q", "THIRD")
    report.wait_for_list("third")


@pytest.mark.parametrize(
    "words",
    [
        '"order": "T-1001"',
        '"order":"T-1001"',
        '"note": "left with the neighbour of number 7"',
        "look_up {",
        '"order": "T-1001", "note"',
    ],
)
def test_search_finds_arguments_as_they_are_written(
    opened: Callable[..., Report], make_run: Callable[..., RunResult], words: str
) -> None:
    """What is searched for was copied from the page, or from a log."""
    args = {"order": "T-1001", "note": "left with the neighbour of number 7"}
    call = {"id": "c", "name": "look_up", "args": args}
    runs = [make_run("other"), make_run("called", Messages=[{"role": "assistant", "tool_calls": [call]}])]
    runs[1].tool_stats = ToolStats(total_calls=1, by_tool={"look_up": 1})
    report = opened(Source.of(runs))
    page = report.open()

    page.fill("#q", words)
    report.wait_for_list("called")

    assert page.text_content(".runs mark") == words


def test_a_run_that_was_found_shows_where(report: Report) -> None:
    page = report.open("#q=zanzi")
    report.wait_for_list("fifth")

    page.locator(".runs a").click()

    report.wait_for_run("fifth")
    assert page.evaluate("CSS.highlights.get('found').size") == 1


def test_a_filter_that_nothing_passes_says_so(report: Report) -> None:
    page = report.open("#status=error&scenario=late-parcel")

    assert page.text_content("#list") == "No run matches these filters."


def test_headings_sort_both_ways(report: Report) -> None:
    page = report.open()
    heading = page.get_by_role("button", name="Cost")

    heading.click()
    assert report.listed()[:2] == ["with-tools", "second"]
    assert page.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"
    heading.click()
    assert report.listed()[-2:] == ["second", "with-tools"]
    assert page.evaluate("document.activeElement.dataset.sort") == "cost"


def test_many_runs_are_paged(opened: Callable[..., Report], make_run: Callable[..., RunResult]) -> None:
    report = opened(Source.of([make_run(f"run-{i:03d}") for i in range(230)]))
    page = report.open()

    assert len(report.listed()) == 100
    page.get_by_role("button", name="Last").click()
    assert report.listed()[-1] == "run-229"
    page.get_by_role("button", name="Previous").click()
    assert "101 to 200 of 230" in page.text_content(".pager")


def test_superseded_attempts_are_hidden_until_asked_for(
    opened: Callable[..., Report], make_run: Callable[..., RunResult]
) -> None:
    source = Source.of([make_run("old", "failed"), make_run("new")], superseded=frozenset({0}))
    report = opened(source)
    page = report.open()

    assert report.listed() == ["new"]
    page.get_by_label("superseded attempts").check()
    assert report.listed() == ["old", "new"]


def test_the_change_against_a_baseline_is_shown(
    opened: Callable[..., Report], make_run: Callable[..., RunResult]
) -> None:
    base = Source.of([make_run("first"), make_run("second", "failed"), make_run("third", ScenarioID="gone")], "main")
    report = opened(Source.of([make_run("first", "failed"), make_run("second", usd=0.03)], "branch"), baseline=base)
    page = report.open()

    assert "against main" in page.text_content("#subtitle")
    assert "cost +100%" in page.text_content("#matrix")
    assert "missing: gone with gpt-5-mini" in page.text_content("#completeness")
    page.get_by_role("combobox", name="Marked", exact=True).select_option(label="new failure")
    assert report.listed() == ["first"]


def test_a_long_matrix_shows_the_worst_and_unfolds(
    opened: Callable[..., Report], make_run: Callable[..., RunResult]
) -> None:
    runs = [make_run(f"run-{i}", "failed" if i == 14 else "passed", ScenarioID=f"scenario-{i:02d}") for i in range(15)]
    page = opened(Source.of(runs)).open()
    names = page.locator(".matrix tbody th")

    assert names.count() == 12
    assert names.first.text_content() == "scenario-14"
    page.get_by_role("button", name="Show 3 more scenarios").click()
    assert names.count() == 15
    assert page.get_by_role("button", name="more scenarios").count() == 0


def test_trials_that_disagree_are_marked(opened: Callable[..., Report], make_run: Callable[..., RunResult]) -> None:
    labels = {"pytest.nodeid": "test_shop.py::test_refund[1]"}
    runs = [make_run(f"run-{i}", "passed" if i else "failed", Labels=labels) for i in range(3)]
    page = opened(Source.of([*runs, make_run("steady", ScenarioID="other")])).open()

    cell = page.get_by_role("button", name="2/3")
    assert "flaky" in cell.text_content()
    assert "pass^3 0%" in cell.get_attribute("title")
    page.get_by_role("combobox", name="Marked", exact=True).select_option(label="flaky")
    assert page.text_content("#count") == "3 of 4 runs"


def test_the_plots_tell_their_numbers_and_follow_the_filter(report: Report) -> None:
    page = report.open()

    assert page.get_by_role("img", name="Cost per run of 6 runs: median $0.0100").count() == 1
    page.locator(".chip", has_text="failed").locator("input").check()
    assert page.get_by_role("img", name="Cost per run of 2 runs: median $0.0350").count() == 1


# --- one run ---------------------------------------------------------------------------------


def test_a_link_opens_a_run(report: Report) -> None:
    page = report.open("#run=with-tools")

    report.wait_for_run("with-tools")
    assert page.title().startswith("with-tools")
    assert not page.is_visible("#list")


def test_a_link_opens_a_turn(report: Report) -> None:
    page = report.open("#run=with-tools&turn=2")

    page.wait_for_selector(".turn.aimed")
    assert page.text_content(".turn.aimed h3") == "Turn 2"


def test_a_link_keeps_the_filter(report: Report) -> None:
    page = report.open("#status=failed&sort=cost-down&run=second")

    report.wait_for_run("second")
    page.get_by_role("link", name="All runs").click()
    report.wait_for_list("with-tools", "second")


def test_a_run_that_is_not_there_is_said(report: Report) -> None:
    page = report.open("#run=nowhere")

    assert page.text_content("#live") == "There is no such run in this report"
    assert page.is_visible("#list")


def test_a_transcript_shows_everything_in_its_place(report: Report) -> None:
    page = report.open("#run=with-tools")
    report.wait_for_run("with-tools")

    text = page.text_content("#run-view")
    wanted = [
        "AssertionError: 1 == 2",
        "Before the first turn",
        "Be brief.",
        "Turn 1",
        "Where is T-1002?",
        "a broken pot",
        "not shown: not an image that is safe to show",
        "The warehouse will know.",
        "look_up40 ms",
        '"order": "T-1002"',
        '"state": "lost"',
        "refundno result",
        "It is lost.",
        "Turn 2",
        "validation no_promises",
        "assertion contains",
        "At the end",
        "pytest.outcome",
    ]
    places = [text.index(each) for each in wanted]
    assert places == sorted(places)
    assert "105 tokens · $0.0500 · 1.5 s" in text


def test_a_call_and_its_result_stand_together(report: Report) -> None:
    page = report.open("#run=with-tools")

    call = page.get_by_role("group", name="Call of look_up")
    assert "lost" in call.text_content()
    assert page.locator(".message.tool").count() == 0


def test_reasoning_is_folded(report: Report) -> None:
    page = report.open("#run=with-tools")
    thought = page.get_by_text("The warehouse will know.")

    assert not thought.is_visible()
    page.get_by_text("Reasoning", exact=True).click()
    assert thought.is_visible()


def test_only_safe_images_are_shown(report: Report) -> None:
    page = report.open("#run=with-tools")
    page.wait_for_selector("#run-view img")
    page.locator("#run-view img").scroll_into_view_if_needed()
    report.wait_for_images()

    shown = page.eval_on_selector_all(
        "#run-view img", "all => all.map(i => [i.src.slice(0, 5), i.naturalWidth, i.alt])"
    )
    assert shown == [["blob:", 1, "a broken pot"]]


def test_a_run_is_copied_as_json(report: Report, context: Any, suite: list[RunResult]) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = report.open("#run=first")

    page.get_by_role("button", name="Copy as JSON").click()

    page.wait_for_selector("#live:text('copied')", state="attached")
    assert json.loads(page.evaluate("navigator.clipboard.readText()")) == suite[0].to_dict()


def test_long_numbers_keep_their_digits(opened: Callable[..., Report], make_run: Callable[..., RunResult]) -> None:
    """An order's id that ends in other digits than the test saw sends whoever looks for it astray."""
    call = {"id": "c", "name": "find", "args": {"order": 1234567890123456789, "weight": 1.5}}
    result = {"id": "c", "name": "find", "content": '{"parcel": 9007199254740993, "sum": 12.340000000000000001}'}
    messages = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_result": result}]
    page = opened(Source.of([make_run("ids", Messages=messages)])).open("#run=ids")
    page.wait_for_selector(".call")

    assert page.locator(".call pre").all_inner_texts() == [
        '{ "order": 1234567890123456789, "weight": 1.5 }',
        '{ "parcel": 9007199254740993, "sum": 12.340000000000000001 }',
    ]
    page.evaluate("navigator.clipboard.writeText = async (text) => { globalThis.copied = text; }")
    page.get_by_role("button", name="Copy as JSON").click()
    assert json.loads(page.evaluate("copied"))["Messages"][0]["tool_calls"][0]["args"] == call["args"]


def test_a_link_to_what_is_shown_is_copied(report: Report, context: Any) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = report.open("#run=with-tools&turn=2&status=failed")
    report.wait_for_run("with-tools")

    page.get_by_role("button", name="Copy link").click()

    page.wait_for_selector("#live:text('The link copied')", state="attached")
    link = page.evaluate("navigator.clipboard.readText()")
    assert link == page.url
    assert "run=with-tools&turn=2&status=failed" in link


def test_what_is_copied_without_a_clipboard_is_copied_all_the_same(report: Report) -> None:
    """A page from disk may not write to the clipboard; browsers copy what is selected."""
    page = report.open("#run=first")
    page.evaluate("document.addEventListener('copy', () => { window.taken = document.activeElement.value; })")
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('denied')); }")

    page.get_by_role("button", name="Copy as JSON").click()

    page.wait_for_selector("#live:text('copied')", state="attached")
    assert json.loads(page.evaluate("window.taken"))["RunID"] == "first"
    assert page.locator("textarea").count() == 0


def test_chosen_runs_can_be_forgotten(report: Report) -> None:
    page = report.open()
    page.get_by_label("Compare first").check()
    assert page.is_visible("#picked")

    page.get_by_role("button", name="Forget").click()

    assert not page.is_visible("#picked")
    assert not page.get_by_label("Compare first").is_checked()


def test_a_third_run_takes_the_place_of_the_first(report: Report) -> None:
    page = report.open()
    for stem in ("first", "second", "fifth"):
        page.get_by_label(f"Compare {stem}").check()

    page.get_by_role("button", name="Compare side by side").click()

    report.wait_for_run("Two runs side by side")
    assert page.locator(".sides thead th").all_text_contents() == ["second", "fifth"]


def test_two_runs_are_chosen_and_shown_side_by_side(report: Report) -> None:
    page = report.open()

    page.get_by_label("Compare first").check()
    page.get_by_label("Compare with-tools").check()
    page.get_by_role("button", name="Compare side by side").click()

    report.wait_for_run("Two runs side by side")
    assert page.locator(".sides thead th").all_text_contents() == ["first", "with-tools"]
    assert "No turn 2." in page.text_content("#run-view")
    page.get_by_role("button", name="Swap sides").click()
    page.locator(".sides thead th").first.filter(has_text="with-tools").wait_for()


def test_a_run_is_compared_with_another_of_its_scenario(report: Report) -> None:
    page = report.open("#run=first")

    page.get_by_role("combobox", name="Compare with").select_option(label="✗ gpt-5-mini: second")

    report.wait_for_run("Two runs side by side")
    assert "with=second" in page.url


# --- keyboard, theme, print ------------------------------------------------------------------


def test_a_run_is_opened_and_left_by_keys_alone(report: Report) -> None:
    page = report.open()

    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    report.wait_for_run("second")
    assert page.evaluate("document.activeElement.id") == "run-title"
    page.keyboard.press("j")
    report.wait_for_run("with-tools")
    page.keyboard.press("k")
    report.wait_for_run("second")
    page.keyboard.press("Escape")
    page.wait_for_selector("#run-view", state="hidden")
    assert page.evaluate("document.activeElement.textContent") == "second"
    page.keyboard.press("/")
    page.wait_for_selector("#q:focus")


def test_the_keys_are_listed_and_can_be_switched_off(report: Report) -> None:
    page = report.open()

    page.keyboard.press("?")
    assert page.is_visible("#keys")
    page.get_by_label("Single-letter keys are on").uncheck()
    page.get_by_role("button", name="Close").click()
    page.keyboard.press("?")
    assert not page.is_visible("#keys")


def test_every_control_is_reached_by_tab(report: Report) -> None:
    page = report.open()
    reached = set()

    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.tagName"))

    assert {"skip", "theme", "print", "help", "q", "within", "clear", "SELECT", "INPUT", "BUTTON", "A"} <= reached


def test_the_history_goes_back_to_the_list(report: Report) -> None:
    page = report.open()

    page.locator(".runs a").first.click()
    report.wait_for_run("third")
    page.go_back()

    page.wait_for_selector("#overview-view:not([hidden])")


def test_dark_follows_the_system_and_the_choice(report: Report) -> None:
    page = report.open()

    def background() -> int:
        red: str = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]")
        return int(red)

    assert background() > 200
    page.emulate_media(color_scheme="dark")
    assert background() < 60
    page.get_by_role("combobox", name="Theme").select_option("light")
    assert background() > 200
    page.get_by_role("combobox", name="Theme").select_option("dark")
    page.emulate_media(color_scheme="light")
    assert background() < 60


def test_the_button_prints(report: Report) -> None:
    page = report.open()
    page.evaluate("window.print = () => { window.printed = true; }")

    page.get_by_role("button", name="Print").click()

    assert page.evaluate("window.printed") is True


def test_a_print_has_a_white_page_and_no_controls(report: Report) -> None:
    page = report.open()
    page.emulate_media(media="print", color_scheme="dark")

    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.is_visible("#filters")
    assert not page.is_visible("#print")


def test_print_shows_all_runs_and_everything_that_is_folded(
    opened: Callable[..., Report], make_run: Callable[..., RunResult], suite: list[RunResult]
) -> None:
    report = opened(Source.of([suite[-1], *(make_run(f"run-{i}") for i in range(150))]))
    page = report.open()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert len(report.listed()) == 151
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert len(report.listed()) == 100

    page = report.open("#run=with-tools")
    report.wait_for_run("with-tools")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")

    assert page.get_by_text("The warehouse will know.").is_visible()
    assert not page.is_visible(".run-bar")


def test_a_narrow_window_does_not_scroll_sideways(report: Report) -> None:
    for address in ("", "#run=with-tools", "#run=with-tools&with=first"):
        report.page.set_viewport_size({"width": 390, "height": 800})
        page = report.open(address)

        # The picture of the whole page is as wide as one can scroll, whatever makes it so wide.
        assert int.from_bytes(page.screenshot(full_page=True)[16:20]) == 390


# --- hostile texts ---------------------------------------------------------------------------


def test_nothing_that_a_model_said_runs(opened: Callable[..., Report], hostile: Source, evil: str) -> None:
    """The fixture asserts that there was no dialog, no request, no error and no violation of the policy."""
    report = opened(hostile, baseline=hostile)
    page = report.open()
    page.fill("#q", "harmed")
    page.wait_for_selector("#progress:text('Found')")
    page.locator(".runs a").first.click()
    page.wait_for_selector("#run-view:not([hidden])")
    page.eval_on_selector_all("details", "all => all.forEach(each => { each.open = true; })")
    page.get_by_role("button", name="Show more").click()
    report.wait_for_images()

    assert page.evaluate("window.harmed") is None
    assert page.locator("#run-view script, #run-view iframe, #run-view [onerror], #run-view [onload]").count() == 0
    hrefs = page.eval_on_selector_all("a", "all => all.map(each => each.getAttribute('href'))")
    assert {href[:1] for href in hrefs} == {"#"}
    assert evil.partition("\u202e")[0] in page.text_content(".message.system .said")


def test_hidden_characters_are_shown(opened: Callable[..., Report], hostile: Source) -> None:
    """A text that turns the direction of what follows must not turn the report."""
    report = opened(hostile)
    page = report.open()

    text = page.text_content("#main")
    assert {"U+202E", "U+001B", "U+200B"} <= set(page.locator(".hidden-char").all_text_contents())
    assert not re.search("[\u202a-\u202e\x1b\u200b]", text)


def test_letters_that_only_programs_read_are_shown(
    opened: Callable[..., Report], make_run: Callable[..., RunResult]
) -> None:
    """Tag characters spell whole orders to a model, and nobody sees them; the Markdown shows them, too."""
    messages = [{"role": "user", "content": "hello" + "".join(chr(0xE0000 + ord(letter)) for letter in "hi") + " you"}]
    page = opened(Source.of([make_run("tags", Messages=messages)])).open("#run=tags")
    page.wait_for_selector(".said")

    assert page.text_content(".said") == "helloU+E0068U+E0069 you"


def test_no_letter_is_cut_in_two(opened: Callable[..., Report], make_run: Callable[..., RunResult]) -> None:
    """Japanese and Chinese have no spaces, and emoji stand anywhere in them."""
    text = "\u304a" + "\U0001f600" * 1500
    report = opened(Source.of([make_run("emoji", "error", Error=text, Messages=[{"role": "user", "content": text}])]))
    page = report.open("#q=" + "\U0001f600" * 2)
    page.wait_for_selector(".why mark")
    halves = (
        "[...document.querySelectorAll('main *')].flatMap(each => [...each.childNodes])"
        ".filter(each => each.nodeType === 3 && !each.data.isWellFormed()).map(each => each.data)"
    )

    assert page.evaluate(halves) == []
    page.locator(".runs a").first.click()
    page.wait_for_selector(".said")
    assert page.evaluate(halves) == []
    assert page.text_content(".said") == text


def test_text_from_right_to_left_is_set_so(opened: Callable[..., Report], hostile: Source) -> None:
    page = opened(hostile).open()
    page.locator(".runs a").first.click()

    said = page.locator(".message.user .said")
    assert said.evaluate("each => getComputedStyle(each).direction") == "rtl"


def test_a_megabyte_of_text_unfolds_piece_by_piece(opened: Callable[..., Report], hostile: Source) -> None:
    """A million letters without a space would keep the browser busy for a minute."""
    page = opened(hostile).open()
    page.locator(".runs a").first.click()
    long = page.locator(".message.other .said")

    assert len(long.text_content()) < 10_000
    more = page.get_by_role("button", name="Show more")
    more.click()
    assert 60_000 < len(long.text_content()) < 70_000
    while more.count():
        more.click()
    assert len(long.text_content()) > 1_000_000


def test_a_block_that_is_damaged_is_said(opened: Callable[..., Report], source: Source) -> None:
    report = opened(source)
    html = report.path.read_text(encoding="utf-8")
    report.path.write_text(re.sub(r'(id="chunk-0">).{40}', r"\1" + "A" * 40, html), encoding="utf-8")

    page = report.open("#run=first")

    page.locator("#run-view", has_text="This conversation cannot be read").wait_for()


# --- accessibility ---------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("address", ["", "#run=with-tools", "#run=with-tools&with=first", "#status=error&tag=nightly"])
def test_axe_finds_nothing(browser: Any, source: Source, tmp_path: Path, address: str, scheme: str) -> None:
    if find_spec("axe_playwright_python") is None:
        missing("axe-playwright-python")
    axe: Any = import_module("axe_playwright_python.sync_playwright").Axe()
    path = write_report(source, tmp_path / "report.html", baseline=source)
    # The checker's own script is not one that the policy lets run.
    context = browser.new_context(bypass_csp=True, color_scheme=scheme)
    page = Report(context.new_page(), path).open(address)
    page.eval_on_selector_all("details", "all => all.forEach(each => { each.open = true; })")

    found = [(each["id"], [node["html"] for node in each["nodes"]]) for each in axe.run(page).response["violations"]]

    context.close()
    assert found == []


# --- size ------------------------------------------------------------------------------------


@pytest.mark.long
def test_20_000_runs_open_within_a_second(opened: Callable[..., Report], make_run: Callable[..., RunResult]) -> None:
    report = opened(Source.of([make_run(f"run-{i}", "passed" if i % 9 else "failed") for i in range(20_000)]))

    page = report.open()
    page = report.open()

    assert page.evaluate("performance.getEntriesByType('mark').find(e => e.name === 'arena-ready').startTime") < 1000
    assert report.path.stat().st_size < 30 * 1024 * 1024
