"""Results to report: a small suite with every kind of run, and texts that mean harm."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import xmlschema

from pytest_arena_state.index import IndexRow
from pytest_arena_state.models import RunResult
from pytest_arena_state.reporters.source import Reported, Source

NOW = "2026-05-01T09:00:00Z"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="

RunMaker = Callable[..., RunResult]


def message(role: str, content: str = "", **fields: Any) -> dict[str, Any]:
    return {"role": role, "content": content, "timestamp": NOW, **fields}


def cost(usd: float, tokens: int = 10) -> dict[str, Any]:
    return {
        "input_tokens": tokens,
        "output_tokens": 5,
        "input_cost_usd": 0.0,
        "output_cost_usd": 0.0,
        "total_cost_usd": usd,
    }


def a_run(run_id: str, status: str = "passed", *, usd: float = 0.01, **fields: Any) -> RunResult:
    """A run that ended as ``status`` says; ``fields`` replace what it has by default."""
    outcome = {
        "type": "pytest.outcome",
        "passed": status in ("passed", "skipped"),
        "message": "passed" if status in ("passed", "skipped") else "AssertionError: 1 == 2\nassert 1 == 2",
    }
    document: dict[str, Any] = {
        "RunID": run_id,
        "ScenarioID": "refund",
        "ProviderID": "gpt-5-mini",
        "Labels": {"pytest.nodeid": f"test_shop.py::{run_id}", "pytest.attempt": "1"},
        "Messages": [
            message("user", "I want my money back"),
            message("assistant", "Within 30 days.", cost_info=cost(usd), latency_ms=900),
        ],
        "Cost": cost(usd),
        "StartTime": NOW,
        "EndTime": "2026-05-01T09:00:02Z",
        "Duration": 2_000_000_000,
        "conversation_assertions": {
            "failed": int(not outcome["passed"]),
            "passed": outcome["passed"],
            "results": [outcome],
            "total": 1,
        },
    }
    if status == "error":
        document["Error"] = "RuntimeError: the shop is closed"
    if status == "skipped":
        document |= {"Skipped": True, "SkipReason": "no key for this provider"}
    return RunResult.from_dict({**document, **fields})


def with_tools() -> RunResult:
    """A run with everything that a transcript can show."""
    return a_run(
        "with-tools",
        "failed",
        ScenarioID="late-parcel",
        ProviderID="claude-haiku-4-5",
        SessionTags=["nightly"],
        ToolStats={"total_calls": 2, "by_tool": {"look_up": 1, "refund": 1}},
        Cost=cost(0.05, 100),
        Messages=[
            message("system", "Be brief."),
            message(
                "user",
                "Where is T-1002?",
                parts=[
                    {"type": "text", "text": "Where is T-1002?"},
                    {"type": "image", "media": {"data": PIXEL, "mime_type": "image/png", "caption": "a broken pot"}},
                    {"type": "image", "media": {"data": "PHN2Zz48L3N2Zz4=", "mime_type": "image/svg+xml"}},
                ],
            ),
            message(
                "assistant",
                reasoning={"text": "The warehouse will know."},
                tool_calls=[
                    {"id": "1", "name": "look_up", "args": {"order": "T-1002", "deep": {"n": 1}}},
                    {"id": "2", "name": "refund", "args": {"usd": 48}},
                ],
            ),
            message(
                "tool", tool_result={"id": "1", "name": "look_up", "content": '{"state": "lost"}', "latency_ms": 40}
            ),
            message("assistant", "It is lost.", cost_info=cost(0.05, 100), latency_ms=1500),
            message("user", "And now?"),
            message(
                "assistant",
                "I am sorry.",
                validations=[
                    {"validator_type": "no_promises", "passed": False, "details": {"found": 1}, "timestamp": NOW}
                ],
                meta={
                    "assertions": {
                        "passed": False,
                        "results": [{"type": "contains", "passed": False, "message": "no date"}],
                    }
                },
            ),
        ],
    )


@pytest.fixture
def make_run() -> RunMaker:
    """Make a run that ended in some way."""
    return a_run


@pytest.fixture
def suite() -> list[RunResult]:
    """Six runs: every status, two scenarios, two providers."""
    return [
        a_run("first"),
        a_run("second", "failed", usd=0.02),
        a_run("third", "error", ProviderID="claude-haiku-4-5"),
        a_run("fourth", "skipped"),
        a_run(
            "fifth",
            SessionTags=["smoke", "nightly"],
            Messages=[message("user", "Zanzibar"), message("assistant", "hm")],
        ),
        with_tools(),
    ]


@pytest.fixture
def source(suite: list[RunResult]) -> Source:
    """The suite as a source."""
    return Source.of(suite, "results")


EVIL = (
    "<script>window.harmed=1</script><img src=x onerror=harmed=2>\"'--></script></style><svg onload=harmed=3>"
    "javascript:harmed=4 [x](javascript:harmed=5) \u202eevil\u202c \x1b[31mred\x1b[0m"
    " ```\n# title | a | b |\n<!-- \u200b"
)


@pytest.fixture
def evil() -> str:
    """Text that does harm where it is taken for markup."""
    return EVIL


@pytest.fixture
def hostile() -> Source:
    """A run in which every text that comes from outside means harm."""
    result = {"id": "1", "name": EVIL, "content": json.dumps({"a": [EVIL]}), "error": EVIL, "latency_ms": 44}
    media = [
        {"type": "image", "media": {"data": PIXEL, "mime_type": "image/png", "caption": EVIL}},
        {"type": "image", "media": {"data": "%%%", "mime_type": "image/png"}},
        {"type": "image", "media": {"url": "javascript:harmed=6", "mime_type": "image/png"}},
        {"type": EVIL, "media": {"file_path": "file:///etc/passwd", "mime_type": EVIL}},
    ]
    assertion = {"type": EVIL, "passed": False, "message": EVIL}
    violation = {"turn_index": 2, "description": EVIL, "evidence": {EVIL: EVIL}, "timestamp": NOW}
    run = a_run(
        EVIL,
        "error",
        ScenarioID=EVIL,
        ProviderID=EVIL,
        Region=EVIL,
        PersonaID=EVIL,
        Error=EVIL,
        Labels={EVIL: EVIL},
        Params={EVIL: EVIL},
        SessionTags=[EVIL],
        AssistantRole={"provider": EVIL, "model": EVIL},
        ToolStats={"total_calls": 1, "by_tool": {EVIL: 1}},
        Violations=[{"type": EVIL, "tool": EVIL, "detail": EVIL}],
        Messages=[
            message("system", EVIL),
            message("user", f"\u05e9\u05dc\u05d5\u05dd {EVIL}", parts=media),
            message(
                "assistant",
                reasoning={"text": EVIL},
                tool_calls=[{"id": "1", "name": EVIL, "args": {EVIL: EVIL}}, {"id": "2", "name": "x", "args": EVIL}],
                validations=[{"validator_type": EVIL, "passed": False, "details": {EVIL: EVIL}, "timestamp": NOW}],
                meta={"assertions": {"passed": False, "results": [assertion]}, EVIL: EVIL},
            ),
            message("tool", tool_result=result),
            message(EVIL, "A" * 1_000_000 + EVIL),
        ],
        conversation_assertions={
            "failed": 1,
            "passed": False,
            "total": 1,
            "results": [{**assertion, "details": {EVIL: EVIL}, "violations": [violation]}],
        },
    )
    return Source.of([run], EVIL)


@pytest.fixture
def strange(make_run: RunMaker) -> Source:
    """A run of which an index that somebody else wrote says a status that is none."""
    run = make_run("first")
    row = IndexRow(run_id=run.run_id, status=EVIL, scenario_id="refund", provider_id="gpt-5-mini")
    return Source(lambda: iter([Reported("first", row, run)]))


# The schema by which Jenkins' xUnit plugin refuses files, as pytest's sources have it too; under the MIT license.
JENKINS = Path(__file__).parents[1] / "data" / "junit-10.xsd"


@pytest.fixture(scope="session")
def schema() -> xmlschema.XMLSchema10:
    """What the strictest reader of JUnit files wants."""
    return xmlschema.XMLSchema10(JENKINS)


@pytest.fixture
def jenkins(schema: xmlschema.XMLSchema10) -> Callable[[str | bytes], ElementTree.Element]:
    """Reads a JUnit file as strictly as the strictest reader."""

    def read(content: str | bytes) -> ElementTree.Element:
        root = ElementTree.fromstring(content)
        assert [f"{error.path}: {error.reason}" for error in schema.iter_errors(root)] == []
        return root

    return read


@pytest.fixture
def on_disk(tmp_path: Path, suite: list[RunResult]) -> Path:
    """The suite as a `.jsonl` without an index."""
    path = tmp_path / "results.jsonl"
    path.write_bytes(b"".join(json.dumps(run.to_dict()).encode() + b"\n" for run in suite))
    return path
