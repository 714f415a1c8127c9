"""Which of the installed libraries ``--arena-capture`` would observe, through what, and why not others.

Nothing is imported: what is told is read from the metadata of the installed packages and from
the environment. Whether code switches an instrumentation on is known only when it runs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata

_OFF = ("0", "false", "no", "off", "none", "no_content", "")
_INSTRUMENTATION = "opentelemetry-instrumentation"
_OPENINFERENCE = "openinference-instrumentation"
_OPENINFERENCE_NAMES = "OPENINFERENCE_ENABLE_GENAI_SEMCONV"
_BY_LOGFIRE = {"anthropic": "instrument_anthropic", "openai": "instrument_openai"}


class Verdict(StrEnum):
    """Whether calls of a library are captured."""

    YES = "yes"
    IF = "if"
    """When the code under test does something that cannot be seen from here."""
    NO = "no"


@dataclass(frozen=True)
class Finding:
    """What is known of one library."""

    library: str
    version: str
    verdict: Verdict
    why: str


Installed = Callable[[str], str | None]
"""The installed version of a distribution."""


def examine(
    environment: Mapping[str, str] = os.environ, installed: Installed | None = None
) -> tuple[list[Finding], list[str]]:
    """Look at what is installed.

    Args:
        environment: Environment variables.
        installed: Gives the version of a distribution, or None; by default, of those that are installed.

    Returns:
        What is known of each library that is installed, and remarks on the environment.
    """
    version = installed or _version
    findings = [
        Finding(name, found, *judge(environment, version))
        for name, judge in _LIBRARIES.items()
        if (found := version(name)) is not None
    ]
    return findings, list(_remarks(environment, version))


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _is_off(value: str) -> bool:
    return value.strip().lower() in _OFF


# --- libraries -----------------------------------------------------------------------------------

_Judge = Callable[[Mapping[str, str], Installed], tuple[Verdict, str]]


def _callbacks(environment: Mapping[str, str], version: Installed) -> tuple[Verdict, str]:
    return Verdict.YES, "through its callbacks"


def _langgraph(environment: Mapping[str, str], version: Installed) -> tuple[Verdict, str]:
    return Verdict.YES, "through the callbacks of langchain-core, where its nodes call LangChain's models and tools"


def _agents(environment: Mapping[str, str], version: Installed) -> tuple[Verdict, str]:
    if not _is_off(environment.get("OPENAI_AGENTS_DISABLE_TRACING", "")):
        return Verdict.NO, "OPENAI_AGENTS_DISABLE_TRACING switches its tracing off"
    if _is_off(environment.get("OPENAI_AGENTS_TRACE_INCLUDE_SENSITIVE_DATA", "1")):
        return Verdict.NO, "OPENAI_AGENTS_TRACE_INCLUDE_SENSITIVE_DATA keeps what was said out of its traces"
    return Verdict.YES, "through its trace processors, unless the code calls set_tracing_disabled(True)"


def _pydantic_ai(environment: Mapping[str, str], version: Installed) -> tuple[Verdict, str]:
    if _otel_is_off(environment):
        return Verdict.NO, "OTEL_SDK_DISABLED switches spans off"
    return Verdict.IF, "through its spans, when the code calls Agent.instrument_all()"


def _anthropic(environment: Mapping[str, str], version: Installed) -> tuple[Verdict, str]:
    major = (version("anthropic") or "").partition(".")[0]
    if not (major.isdigit() and int(major) >= 2):
        verdict, why = _instrumented("anthropic", "genai-anthropic")(environment, version)
        return verdict, f"{why}; from version 2 on it makes spans by itself"
    if environment.get("ANTHROPIC_OPEN_TELEMETRY", "").lower() == "false":
        return Verdict.NO, "ANTHROPIC_OPEN_TELEMETRY=false switches its spans off"
    if _otel_is_off(environment):
        return Verdict.NO, "OTEL_SDK_DISABLED switches spans off"
    return Verdict.YES, "through the spans that it makes by itself"


def _mcp(environment: Mapping[str, str], version: Installed) -> tuple[Verdict, str]:
    return Verdict.IF, "its results come with the calls of the model that is given them"


def _instrumented(library: str, *names: str) -> _Judge:
    """A library whose spans are made by one of several instrumentations, named without what all names begin with."""

    def judge(environment: Mapping[str, str], version: Installed) -> tuple[Verdict, str]:
        if _otel_is_off(environment):
            return Verdict.NO, "OTEL_SDK_DISABLED switches spans off"
        refused: list[str] = []
        for name in (f"{_INSTRUMENTATION}-{name}" for name in names):
            if version(name) is None:
                continue
            unsupported = _unsupported(name, library, version)
            if unsupported:
                refused.append(unsupported)
                continue
            return Verdict.IF, f"through {name}, when the code switches it on"
        if library in _BY_LOGFIRE and version("logfire") is not None:
            return Verdict.IF, f"through logfire, when the code calls logfire.{_BY_LOGFIRE[library]}()"
        name = f"{_OPENINFERENCE}-{library}"
        if version(name) is not None:
            if environment.get(_OPENINFERENCE_NAMES, "").strip().lower() == "true":
                return Verdict.IF, f"through {name}, when the code switches it on"
            refused.append(f"{name} has names of its own for what was said: set {_OPENINFERENCE_NAMES}=true")
        if refused:
            return Verdict.NO, "; ".join(refused)
        return Verdict.NO, f"no instrumentation is installed: pip install {_INSTRUMENTATION}-{names[0]}"

    return judge


def _unsupported(instrumentation: str, library: str, version: Installed) -> str:
    """Why an instrumentation refuses the installed library, as its metadata says; empty when it does not."""
    found = version(library)
    try:
        from packaging.requirements import Requirement

        requirements = [Requirement(text) for text in metadata.requires(instrumentation) or ()]
    except Exception:  # noqa: BLE001 - metadata of anybody's package; nothing is known then
        return ""
    for requirement in requirements:
        if requirement.name == library and found and not requirement.specifier.contains(found, prereleases=True):
            return f"{instrumentation} is for {library} {requirement.specifier}"
    return ""


_LIBRARIES: dict[str, _Judge] = {
    "anthropic": _anthropic,
    "cohere": _instrumented("cohere", "cohere"),
    "google-genai": _instrumented("google-genai", "google-genai", "google-generativeai"),
    "groq": _instrumented("groq", "groq"),
    "langchain-core": _callbacks,
    "langgraph": _langgraph,
    "litellm": _callbacks,
    "mcp": _mcp,
    "mistralai": _instrumented("mistralai", "mistralai"),
    "ollama": _instrumented("ollama", "ollama"),
    "openai": _instrumented("openai", "genai-openai", "openai-v2", "openai"),
    "openai-agents": _agents,
    "pydantic-ai-slim": _pydantic_ai,
}


# --- the environment -------------------------------------------------------------------------------


def _otel_is_off(environment: Mapping[str, str]) -> bool:
    return environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


def _remarks(environment: Mapping[str, str], version: Installed) -> Iterator[str]:
    name = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
    if name in environment and environment[name].strip().lower() not in ("span_only", "span_and_event", "true"):
        yield f"{name}={environment[name]}: instrumentations do not put what was said on their spans"
    name = "ANTHROPIC_OPEN_TELEMETRY_TRACES_CONTENT_MODE"
    if name in environment and environment[name].strip().lower() != "content":
        yield f"{name}={environment[name]}: Anthropic's client does not put what was said on its spans"
    name = "OTEL_SEMCONV_STABILITY_OPT_IN"
    if name in environment and "gen_ai_latest_experimental" not in environment[name]:
        yield f"{name}={environment[name]}: without gen_ai_latest_experimental, some instrumentations tell no content"
    for name in ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT"):
        if environment.get(name, "").strip():
            yield f"{name}={environment[name]}: longer messages are cut, and cannot be read then"
    if environment.get("OTEL_TRACES_SAMPLER", "").strip().lower().endswith("always_off"):
        yield f"OTEL_TRACES_SAMPLER={environment['OTEL_TRACES_SAMPLER']}: the SDK's providers record no spans"
    if version("opentelemetry-sdk") is None and version("opentelemetry-api") is not None:
        yield "opentelemetry-sdk is not installed: needed only by instrumentations that want a provider of their own"


def describe(findings: Iterable[Finding], remarks: Iterable[str]) -> list[str]:
    """The lines of a table, and the remarks under it."""
    rows = [(finding.verdict.value, f"{finding.library} {finding.version}", finding.why) for finding in findings]
    if not rows:
        return ["no library is installed that --arena-capture knows", *remarks]
    width = max(len(name) for _verdict, name, _why in rows)
    table = [f"{verdict:<4} {name:<{width}}  {why}" for verdict, name, why in rows]
    if any(verdict == Verdict.NO for verdict, _name, _why in rows):
        remarks = [*remarks, "what is not captured is taken in one line: arena_run.add(response)"]
    return [*table, *remarks]
