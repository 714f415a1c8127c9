"""The HTML report as a file: what is in it, and what cannot be. How it behaves is in test_browser."""

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pytest_arena_state.models import RunResult
from pytest_arena_state.reporters import write_report
from pytest_arena_state.reporters.html import SCRIPTS, TEXT_MARK
from pytest_arena_state.reporters.source import Source

ASSETS = Path(write_report.__code__.co_filename).parent / "html"


class Page(HTMLParser):
    """The tags of a page and the contents of its scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.blocks: dict[str, str] = {}
        self.script = self.style = self.inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        block = self.tags[-1][1].get("id") if self.tags else None
        if self.inside == "script" and block:
            self.blocks[block] = self.blocks.get(block, "") + data
        elif self.inside == "script":
            self.script += data
        elif self.inside == "style":
            self.style += data

    def decoded(self, block: str) -> str:
        return gzip.decompress(base64.b64decode(self.blocks[block])).decode("utf-8")

    def documents(self, block: str) -> list[Any]:
        """The runs of a block, as the script of the page makes them."""
        lines = self.decoded(block).split("\n")
        half = len(lines) // 2
        pairs = zip(lines[:half], lines[half:], strict=True)
        return [restored(json.loads(frame), json.loads(texts)) for frame, texts in pairs]

    @property
    def overview(self) -> dict[str, Any]:
        overview: dict[str, Any] = json.loads(self.decoded("overview"))
        return overview

    @property
    def policy(self) -> str:
        return next(attrs["content"] or "" for tag, attrs in self.tags if tag == "meta" and "http-equiv" in attrs)


def restored(value: Any, texts: list[str]) -> Any:
    if isinstance(value, str):
        return texts[int(value[1:])] if value.startswith(TEXT_MARK) else value
    if isinstance(value, dict):
        return {key: restored(item, texts) for key, item in value.items()}
    return [restored(item, texts) for item in value] if isinstance(value, list) else value


def page_of(source: Source, folder: Path, **options: Any) -> Page:
    return Page(write_report(source, folder / "report.html", **options).read_text(encoding="utf-8"))


def test_the_overview_has_a_row_for_each_run(source: Source, tmp_path: Path) -> None:
    overview = page_of(source, tmp_path).overview

    statuses = overview["statuses"]
    assert [(row[0], statuses[row[2]]) for row in overview["rows"]] == [(each.stem, each.row.status) for each in source]


def test_costs_add_up_to_what_every_report_says(make_run: Callable[..., RunResult], tmp_path: Path) -> None:
    costs = [1_000_003.33, 12.345678, 0.00001234]
    runs = [make_run(f"r{n}", usd=cost) for n, cost in enumerate(costs)]

    page = page_of(Source.of(runs), tmp_path)

    assert [row[7] for row in page.overview["rows"]] == costs


def test_the_conversations_are_in_blocks_of_their_own(source: Source, suite: list[RunResult], tmp_path: Path) -> None:
    page = page_of(source, tmp_path)

    documents = page.documents("chunk-0")
    assert [document["RunID"] for document in documents] == [run.run_id for run in suite]
    assert documents[0] == suite[0].to_dict()


@pytest.mark.parametrize("text", ["\x7f", "\x7f0", "\x7f9", "x" * 100, "", "\x7fx\n"])
def test_any_text_comes_back_from_a_block(make_run: Callable[..., RunResult], tmp_path: Path, text: str) -> None:
    """Texts stand apart from what they are in, behind a sign; a model may say that sign."""
    run = make_run("run", Params={text: text, "list": [text, {"deep": text}]}, Error=text)

    [document] = page_of(Source.of([run]), tmp_path).documents("chunk-0")

    assert document == run.to_dict()


def test_many_runs_are_in_many_blocks(make_run: Callable[..., RunResult], tmp_path: Path) -> None:
    """Looking at one run must not cost the decoding of all."""
    page = page_of(Source.of([make_run(f"run-{i}") for i in range(450)]), tmp_path)

    assert sorted(page.blocks) == ["chunk-0", "chunk-1", "chunk-2", "overview"]
    for row in page.overview["rows"]:
        assert page.documents(f"chunk-{row[16]}")[row[17]]["RunID"] == row[0]


def test_the_policy_runs_this_script_and_nothing_else(source: Source, tmp_path: Path) -> None:
    page = page_of(source, tmp_path)

    def sha(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    assert page.policy.split("; ") == [
        "default-src 'none'",
        f"script-src {sha(page.script)}",
        f"style-src {sha(page.style)}",
        "img-src blob: data:",
        "base-uri 'none'",
        "form-action 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]


def test_the_page_has_no_handlers_no_styles_and_no_addresses(hostile: Source, tmp_path: Path) -> None:
    page = page_of(hostile, tmp_path)

    scripts = [attrs for tag, attrs in page.tags if tag == "script" and attrs.get("type") != "text/plain"]
    assert scripts == [{}]
    for _tag, attributes in page.tags:
        assert not {name for name in attributes if name.startswith("on") or name in ("style", "src")}
        assert attributes.get("href") in (None, "#", "data:,")


def test_no_text_of_a_model_is_in_the_page_itself(hostile: Source, tmp_path: Path) -> None:
    html = write_report(hostile, tmp_path / "report.html").read_text(encoding="utf-8")

    assert "<script>window.harmed" not in html
    assert "&lt;script&gt;window.harmed=1" in html  # the title, escaped


def test_the_script_never_parses_markup() -> None:
    script = "".join((ASSETS / name).read_text(encoding="utf-8") for name in SCRIPTS)

    assert not re.findall(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|srcdoc"
        r"|\beval\b|new Function",
        script,
    )
    assert not re.findall(r"\bfetch\(|XMLHttpRequest|WebSocket|EventSource|sendBeacon|\bimport\b", script)


def test_data_that_is_not_shown_is_left_out(make_run: Callable[..., RunResult], tmp_path: Path) -> None:
    """A report with a hundred videos must still open."""
    large, svg = "A" * 600_000, "PHN2Zz4="
    parts = [
        {"type": "image", "media": {"data": large, "mime_type": "image/png"}},
        {"type": "image", "media": {"data": svg, "mime_type": "image/svg+xml"}},
        {"type": "image", "media": {"data": "aGk=", "mime_type": "image/png"}},
    ]
    run = make_run("run", Messages=[{"role": "user", "timestamp": "2026-05-01T09:00:00Z", "parts": parts}])

    [document] = page_of(Source.of([run]), tmp_path).documents("chunk-0")

    media = [part["media"] for part in document["Messages"][0]["parts"]]
    assert [each.get("left_out") for each in media] == [
        "too large for this report",
        "not an image that is safe to show",
        None,
    ]
    assert media[2]["data"] == "aGk="


def test_the_change_against_a_baseline_is_in_the_overview(make_run: Callable[..., RunResult], tmp_path: Path) -> None:
    base = Source.of([make_run("first"), make_run("second", "failed"), make_run("third", ScenarioID="gone")], "main")
    new = Source.of([make_run("first", "failed"), make_run("second")], "branch")

    change = page_of(new, tmp_path, baseline=base).overview["baseline"]

    assert (change["name"], change["new_failures"], change["fixed"]) == ("main", ["first"], ["second"])
    assert change["missing"] == [["gone", "gpt-5-mini"]]
    assert change["cells"] == [[0, 0, 0.5, "noise", 0.01, 2000.0]]


def test_no_runs_at_all_is_a_report_too(tmp_path: Path) -> None:
    page = page_of(Source.of([]), tmp_path)

    assert (page.overview["rows"], page.overview["chunks"]) == ([], 0)


@pytest.mark.parametrize("name", ["template.html", "report.css", *SCRIPTS])
def test_the_assets_are_plain_text_without_addresses(name: str) -> None:
    text = (ASSETS / name).read_text(encoding="utf-8")

    assert set(re.findall(r"https?://[^\s\"')]+", text)) <= {"http://www.w3.org/2000/svg"}
