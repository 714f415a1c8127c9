"""`arena-state doctor`: what would be captured here, through what, and why not the rest."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from pytest_arena_state import cli
from pytest_arena_state.observing import doctor
from pytest_arena_state.observing.doctor import Verdict, describe, examine

EVERYTHING = {
    "anthropic": "2.12.0",
    "langchain-core": "1.7.2",
    "langgraph": "1.2.0",
    "litellm": "1.106.2",
    "openai": "3.54.0",
    "openai-agents": "0.24.0",
    "opentelemetry-api": "1.45.0",
    "opentelemetry-sdk": "1.45.0",
    "pydantic-ai-slim": "2.68.0",
}


def verdicts(installed: dict[str, str], environment: dict[str, str] | None = None) -> dict[str, tuple[Verdict, str]]:
    found, _remarks = examine(environment or {}, installed.get)
    return {finding.library: (finding.verdict, finding.why) for finding in found}


def test_what_tells_by_itself_is_captured() -> None:
    found = verdicts(EVERYTHING)

    assert {name for name, (verdict, _why) in found.items() if verdict is Verdict.YES} == {
        "anthropic",
        "langchain-core",
        "langgraph",
        "litellm",
        "openai-agents",
    }
    assert found["pydantic-ai-slim"] == (Verdict.IF, "through its spans, when the code calls Agent.instrument_all()")


def test_a_client_without_an_instrumentation_says_what_to_install() -> None:
    assert verdicts({"openai": "3.54.0"})["openai"] == (
        Verdict.NO,
        "no instrumentation is installed: pip install opentelemetry-instrumentation-genai-openai",
    )
    with_one = {"openai": "3.54.0", "opentelemetry-instrumentation-openai": "0.62"}
    assert verdicts(with_one)["openai"][0] is Verdict.IF


def test_logfire_and_openinference_are_instrumentations_too() -> None:
    """Who has one of them is not to install another, by which each call is told twice."""
    openai, name = {"openai": "3.54.0"}, "openinference-instrumentation-openai"
    variable = "OPENINFERENCE_ENABLE_GENAI_SEMCONV"

    assert verdicts({**openai, "logfire": "5.2.0"})["openai"] == (
        Verdict.IF,
        "through logfire, when the code calls logfire.instrument_openai()",
    )
    assert verdicts({"anthropic": "1.0.0", "logfire": "5.2.0"})["anthropic"][0] is Verdict.IF
    assert verdicts({**openai, name: "0.1"}, {variable: "true"})["openai"] == (
        Verdict.IF,
        f"through {name}, when the code switches it on",
    )
    assert verdicts({**openai, name: "0.1"})["openai"] == (
        Verdict.NO,
        f"{name} has names of its own for what was said: set {variable}=true",
    )


def test_an_instrumentation_that_refuses_the_client_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is installed and switched on, and still there is no span."""
    needs: Callable[[str], list[str]] = lambda _name: ["google-genai<3,>=1; extra == 'instruments'"]  # noqa: E731
    monkeypatch.setattr("importlib.metadata.requires", needs)
    name = "opentelemetry-instrumentation-google-genai"

    assert verdicts({"google-genai": "3.4.0", name: "1"})["google-genai"] == (
        Verdict.NO,
        f"{name} is for google-genai <3,>=1",
    )
    assert verdicts({"google-genai": "2.0.0", name: "1"})["google-genai"][0] is Verdict.IF


@pytest.mark.parametrize(
    ("library", "variable", "value"),
    [
        ("openai-agents", "OPENAI_AGENTS_DISABLE_TRACING", "1"),
        ("openai-agents", "OPENAI_AGENTS_TRACE_INCLUDE_SENSITIVE_DATA", "false"),
        ("anthropic", "ANTHROPIC_OPEN_TELEMETRY", "false"),
        ("anthropic", "OTEL_SDK_DISABLED", "true"),
        ("pydantic-ai-slim", "OTEL_SDK_DISABLED", "true"),
    ],
)
def test_what_switches_a_library_off_is_named(library: str, variable: str, value: str) -> None:
    verdict, why = verdicts(EVERYTHING, {variable: value})[library]

    assert verdict is Verdict.NO
    assert variable in why


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "no_content"),
        ("ANTHROPIC_OPEN_TELEMETRY_TRACES_CONTENT_MODE", "none"),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "100"),
        ("OTEL_TRACES_SAMPLER", "always_off"),
        ("OTEL_SEMCONV_STABILITY_OPT_IN", "http"),
    ],
)
def test_what_keeps_content_from_spans_is_named(variable: str, value: str) -> None:
    _found, remarks = examine({variable: value}, EVERYTHING.get)

    assert [remark for remark in remarks if remark.startswith(f"{variable}={value}")]


def test_the_command_prints_a_table_and_imports_no_library() -> None:
    script = (
        "import sys; from pytest_arena_state import cli; code = cli.main(['doctor'])\n"
        "libraries = {'agents', 'anthropic', 'langchain_core', 'litellm', 'openai', 'opentelemetry'}\n"
        "print(sorted(libraries & {*sys.modules}))\n"
        "sys.exit(code)"
    )

    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert ended.stdout.splitlines()[-1] == "[]"


def test_where_nothing_is_installed_it_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_version", lambda _name: None)

    assert cli.main(["doctor"]) == 0

    assert capsys.readouterr().out == "no library is installed that --arena-capture knows\n"


def test_what_is_not_captured_can_be_added() -> None:
    lines = describe(*examine({}, {"openai": "3.54.0", "litellm": "1.0"}.get))

    assert lines[0] == "yes  litellm 1.0    through its callbacks"
    assert lines[-1] == "what is not captured is taken in one line: arena_run.add(response)"
