"""Spans are captured whoever has the tracer provider, and whether or not there is one."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_arena_state import ArenaStateStore
from pytest_arena_state.observing import Observation
from pytest_arena_state.observing.otel import Spans

if TYPE_CHECKING:
    from pytest_arena_state import RunResult
    from tests.conftest import Suite
    from tests.observing.conftest import Observed

Captured = Callable[..., "list[RunResult]"]

LIBRARY = """
import json, os
import pytest
from opentelemetry import trace

def parts(role, text):
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}])

def chat(tracer=None, question="Where?", answer="Lyon", **more):
    "What a library does: ask for a tracer, make a span."
    tracer = tracer or trace.get_tracer("a.library")
    with tracer.start_as_current_span("chat m", attributes={"gen_ai.operation.name": "chat"}) as span:
        span.set_attribute("gen_ai.input.messages", parts("user", question))
        span.set_attributes({"gen_ai.output.messages": parts("assistant", answer), "gen_ai.response.id": "r"})
        span.set_attributes({"gen_ai.usage.input_tokens": 7, "gen_ai.usage.output_tokens": 3, **more})
    return answer
"""


def said(runs: list[RunResult]) -> dict[str, list[str]]:
    return {run.run_id.partition("::")[2]: [message.text for message in run.messages] for run in runs}


def needs(name: str) -> None:
    pytest.importorskip(name)


def test_providers_of_the_user_are_joined(captured: Captured) -> None:
    """Made at import, in a fixture, in a test; global or not; each call once, and their exporters as ever."""
    needs("opentelemetry.sdk.trace")
    runs = captured(
        LIBRARY
        + """
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

EARLY = TracerProvider()
module_tracer = trace.get_tracer("a.library")

@pytest.fixture
def exported():
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter

def test_before_it_is_set():
    chat(module_tracer)

def test_at_import():
    chat(EARLY.get_tracer("a.library"))

def test_in_a_test():
    chat(TracerProvider().get_tracer("a.library"))

def test_global_in_a_fixture(exported):
    assert trace.get_tracer_provider().__class__ is TracerProvider
    chat()
    chat(module_tracer, "When?", "Monday")
    assert [span.name for span in exported.get_finished_spans()] == ["chat m", "chat m"]

def test_global_since_then():
    chat(module_tracer)
    processors = trace.get_tracer_provider()._active_span_processor._span_processors
    assert [type(each).__name__ for each in processors] == ["ArenaSpanProcessor", "SimpleSpanProcessor"]
""",
        "-p",
        "no:randomly",
        passed=5,
    )

    assert said(runs) == {
        "test_before_it_is_set": ["Where?", "Lyon"],
        "test_at_import": ["Where?", "Lyon"],
        "test_in_a_test": ["Where?", "Lyon"],
        "test_global_in_a_fixture": ["Where?", "Lyon"],
        "test_global_in_a_fixture#2": ["When?", "Monday"],
        "test_global_since_then": ["Where?", "Lyon"],
    }
    assert all(run.cost.input_tokens == 7 for run in runs)


def test_a_provider_that_was_there_before_us_is_joined(captured: Captured, suite: Suite) -> None:
    """Plugins are loaded in any order, and one of them may have set it."""
    needs("opentelemetry.sdk.trace")
    suite.write(
        "from opentelemetry import trace\n"
        "from opentelemetry.sdk.trace import TracerProvider\n"
        "trace.set_tracer_provider(TracerProvider())\n",
        name="early",
    )
    (run,) = captured(LIBRARY + "\ndef test_it():\n    chat()", "-p", "early")

    assert [message.text for message in run.messages] == ["Where?", "Lyon"]


def test_without_a_provider_the_global_one_stays_unset(captured: Captured) -> None:
    """Instrumentations ask whether there is one, and it can be set once in a process."""
    needs("opentelemetry.trace")
    runs = captured(
        LIBRARY
        + """
tracer = trace.get_tracer("a.library")
with tracer.start_as_current_span("at import") as span:
    assert not span.is_recording()

def test_it():
    with tracer.start_as_current_span("around") as span:
        assert trace.get_current_span() is span
        assert not span.get_span_context().is_valid
        chat(tracer)
    assert type(trace.get_tracer_provider()) is trace.ProxyTracerProvider
    with pytest.raises(KeyError), tracer.start_as_current_span("fails") as span:
        raise KeyError("passed on")
"""
    )

    assert said(runs) == {"test_it": ["Where?", "Lyon"]}


def test_a_tracer_of_opentelemetry_that_makes_no_span_of_its_own_is_no_hindrance(captured: Captured) -> None:
    """Until some version, the one that stands where no provider is set gave one span to everybody."""
    needs("opentelemetry.trace")
    runs = captured(
        LIBRARY
        + """
from contextlib import contextmanager

@contextmanager
def one_span(self, *args, **more):
    yield trace.INVALID_SPAN

trace.NoOpTracer.start_as_current_span = one_span

def test_it():
    chat()
    with pytest.raises(KeyError), trace.get_tracer("a.library").start_as_current_span("x", record_exception=False):
        raise KeyError
"""
    )

    assert said(runs) == {"test_it": ["Where?", "Lyon"]}


def test_who_switches_opentelemetry_off_gets_no_spans(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    needs("opentelemetry.trace")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    suite.write(LIBRARY + "\ndef test_it():\n    chat()")

    suite.run_apart("--arena-capture", "-p", "no:xdist").assert_outcomes(passed=1)

    assert suite.runs() == []


def test_content_that_is_missing_or_cut_is_named(suite: Suite) -> None:
    """An empty report must say why it is empty."""
    needs("opentelemetry.sdk.trace")
    suite.write(
        LIBRARY
        + """
from opentelemetry.sdk.trace import SpanLimits, TracerProvider

def test_missing():
    with trace.get_tracer("a.library").start_as_current_span("chat m") as span:
        span.set_attributes({"gen_ai.operation.name": "chat", "gen_ai.usage.output_tokens": 3})

def test_cut():
    limits = SpanLimits(max_span_attribute_length=20)
    chat(TracerProvider(span_limits=limits).get_tracer("a.library"))
"""
    )

    suite.run_apart("--arena-capture", "-p", "no:xdist").assert_outcomes(passed=2)

    missing, cut = sorted(suite.index["completeness"]["troubles"])
    assert missing == "otel a.library: a call was told without its content"
    assert cut.startswith("otel a.library: messages cannot be read (does OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT cut them?)")


def test_the_span_of_an_agent_counts_only_where_its_calls_are_not_told(captured: Captured) -> None:
    needs("opentelemetry.trace")
    runs = captured(
        LIBRARY
        + """
AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.input.messages": parts("user", "Where?")}

def agent(inner):
    with trace.get_tracer("an.agent").start_as_current_span("invoke_agent a", attributes=AGENT) as span:
        inner()
        span.set_attribute("gen_ai.output.messages", parts("assistant", "LYON"))

def test_with_its_calls():
    def inner():
        with trace.get_tracer("other").start_as_current_span("between"):
            chat(answer="Lyon or Bern?")
            chat(question="Which?", answer="Lyon")
    agent(inner)

def test_alone():
    agent(lambda: None)
""",
        passed=2,
    )

    assert said(runs) == {
        "test_with_its_calls": ["Where?", "Lyon or Bern?"],
        "test_with_its_calls#2": ["Which?", "Lyon"],
        "test_alone": ["Where?", "LYON"],
    }


def test_the_environment_is_that_of_the_user_before_and_after(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Content is asked for during the session alone, and never where the user has decided."""
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "http")
    monkeypatch.delenv("ANTHROPIC_OPEN_TELEMETRY_TRACES_CONTENT_MODE", raising=False)
    suite.write(
        """
        import json, os, pathlib
        def test_it():
            pathlib.Path("environ.json").write_text(json.dumps(dict(os.environ)), encoding="utf-8")
        """
    )

    suite.run("--arena-capture", "-p", "no:xdist").assert_outcomes(passed=1)

    seen = json.loads((suite.path / "environ.json").read_text(encoding="utf-8"))
    assert seen["OTEL_SEMCONV_STABILITY_OPT_IN"] == os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] == "http"
    assert seen["ANTHROPIC_OPEN_TELEMETRY_TRACES_CONTENT_MODE"] == "content"
    assert "ANTHROPIC_OPEN_TELEMETRY_TRACES_CONTENT_MODE" not in os.environ


# --- whatever stands on a span -------------------------------------------------------------------

NAMES = (
    "gen_ai.operation.name", "gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions",
    "gen_ai.response.id", "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "gen_ai.tool.call.id",
    "gen_ai.tool.name", "gen_ai.tool.call.result", "gen_ai.tool.call.arguments", "gen_ai.response.finish_reasons",
    "error.type", "anthropic.tool_result.content", "gen_ai.provider.name",
)  # fmt: skip
VALUES = (
    st.sampled_from(
        ["chat", "execute_tool", "invoke_agent", "[]", "[{}]", "{", "null", '[{"role":"user","parts":[1]}]']
    )
    | st.text(max_size=5)
    | st.integers()
    | st.booleans()
    | st.none()
    | st.lists(st.text(max_size=3) | st.integers(), max_size=3)
    | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)
)


@given(
    spans=st.lists(
        st.tuples(
            st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=8),
            st.sampled_from([0, 1, 10**18, 10**30, -5, None]),
            st.sampled_from([0, 2, 10**18, 10**30, None]),
        ),
        max_size=4,
    )
)
def test_nothing_on_a_span_reaches_the_code_under_test(spans: list[tuple[dict[str, Any], Any, Any]]) -> None:
    """A span is ended in the user's code, which must not see an error of ours."""
    store = ArenaStateStore()
    troubles: list[str] = []
    observation = Observation(lambda: store, "test_it", troubles.append)
    observation.begin()
    try:
        open_spans = Spans()
        for number, (attributes, start, end) in enumerate(spans):
            open_spans.begin(number, number - 1)
            open_spans.end(number, SimpleNamespace(attributes=attributes, start_time=start, end_time=end))
    finally:
        observation.end()

    for conversation_id in store._conversations:
        assert all(json.loads(message.to_json()) for message in store.log_load(conversation_id))


def test_an_error_in_a_call_is_in_its_history(observed: Observed) -> None:
    spans = Spans()
    sent = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "Where?"}]}])
    status = SimpleNamespace(status_code=SimpleNamespace(name="ERROR"), description="no route")
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.input.messages": sent}

    spans.begin(1, None)
    spans.end(1, SimpleNamespace(attributes=attributes, start_time=1, end_time=2, status=status))

    (message,) = observed.store.log_load("test_it")
    assert message.meta["call_error"] == "no route"


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there is no SIGALRM")
@pytest.mark.parametrize("at", ["otel.from_messages", "threads.Threads.take"])
def test_a_time_limit_that_ends_meanwhile_reaches_the_test(
    observed: Observed, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """An alarm's exception is meant for the test, which would run on without its limit."""

    def alarm(*_: object) -> None:
        raise TimeoutError("limit")

    monkeypatch.setattr(f"pytest_arena_state.observing.{at}", lambda *_: signal.raise_signal(signal.SIGALRM))
    spans = Spans()
    sent = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "Where?"}]}])
    before = signal.signal(signal.SIGALRM, alarm)

    try:
        spans.begin(1, None)
        told = {"gen_ai.operation.name": "chat", "gen_ai.input.messages": sent, "gen_ai.output.messages": sent}
        with pytest.raises(TimeoutError):
            spans.end(1, SimpleNamespace(attributes=told, start_time=1, end_time=2))
    finally:
        signal.signal(signal.SIGALRM, before)

    assert observed.troubles == []


def test_an_answer_of_which_nothing_is_told_is_named(observed: Observed) -> None:
    """Anthropic's client tells nothing of a response that its caller reads later."""
    spans = Spans()
    sent = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "Where?"}]}])
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.input.messages": sent}

    spans.begin(1, None)
    spans.end(1, SimpleNamespace(attributes=attributes, start_time=1, end_time=3_000_001))

    assert observed.end() == {"test_it": [("user", "Where?"), ("assistant", "")]}
    assert observed.store.log_load("test_it")[1].latency_ms == 3
    assert observed.troubles == ["otel: a call was told without its content"]


LOGFIRE = SimpleNamespace(name="logfire.openai")
NS = 1_000_000


def of_logfire(spans: Spans, number: int, question: str, answer: str = "", *, at: int, took: int = 0) -> None:
    """A span of a stream that begins, or with an answer the log at its end; times in milliseconds."""
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": question}]}]),
        "logfire.span_type": "log" if answer else "span",
    }
    if answer:
        told = [{"role": "assistant", "parts": [{"type": "text", "content": answer}]}]
        attributes |= {"gen_ai.output.messages": json.dumps(told), "gen_ai.usage.output_tokens": 3, "duration": 0.05}
    spans.begin(number, None)
    spans.end(
        number,
        SimpleNamespace(
            attributes=attributes, start_time=at * NS, end_time=(at + took) * NS, instrumentation_scope=LOGFIRE
        ),
    )


def test_a_stream_that_logfire_tells_in_two_pieces_is_one_call(observed: Observed) -> None:
    """Its span ends when the stream begins, and what came back stands in a log at the stream's end."""
    spans = Spans()
    for number, question in enumerate(("Where?", "When?")):
        of_logfire(spans, number, question, at=10, took=5)
    for number, (question, answer) in enumerate((("When?", "Monday"), ("Where?", "Lyon"))):
        of_logfire(spans, 2 + number, question, answer, at=70)
    spans.settle(observed.observation)

    assert observed.end() == {
        "test_it": [("user", "When?"), ("assistant", "Monday")],
        "test_it#2": [("user", "Where?"), ("assistant", "Lyon")],
    }
    assert observed.store.log_load("test_it")[1].latency_ms == 60
    assert observed.troubles == []


def test_a_stream_that_logfire_tells_no_end_of_is_named(observed: Observed) -> None:
    """Nobody read it; its end comes when it is collected as garbage, in any other test."""
    spans = Spans()
    of_logfire(spans, 1, "Where?", at=10, took=5)
    spans.settle(observed.observation)
    of_logfire(spans, 2, "Where?", "Ly", at=70)

    assert observed.end() == {"test_it": [("user", "Where?"), ("assistant", "")]}
    assert observed.troubles == [
        "otel logfire.openai: a stream that did not begin in this test was not captured",
        "otel logfire.openai: a call was told without its content",
    ]


class UnspeakableError(RuntimeError):
    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize("result", [None, "try another"])
@pytest.mark.parametrize(
    ("description", "told", "error"),
    [
        (None, {"exception.type": "a.library.Retry", "exception.message": "try another"}, "Retry: try another"),
        (None, {"exception.type": "KeyboardInterrupt", "exception.message": ""}, "KeyboardInterrupt"),
        (None, {"exception.type": "UnspeakableError", "exception.message": UnspeakableError()}, "UnspeakableError"),
        (None, None, "failed"),
        ("no route", {"exception.type": "Retry", "exception.message": "try another"}, "no route"),
    ],
)
def test_a_tool_that_failed_says_why(
    observed: Observed, result: str | None, description: str | None, told: Any, error: str
) -> None:
    """Also where it returned something: the words for the model are no sign of success."""
    asked = [{"role": "assistant", "parts": [{"type": "tool_call", "id": "c1", "name": "find", "arguments": {}}]}]
    named = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.call.id": "c1", "gen_ai.tool.name": "find"}
    spans = Spans()
    for number, (attributes, status) in enumerate(
        [
            ({"gen_ai.operation.name": "chat", "gen_ai.output.messages": json.dumps(asked)}, None),
            (
                {**named, **({"gen_ai.tool.call.result": result} if result else {})},
                SimpleNamespace(status_code=SimpleNamespace(name="ERROR"), description=description),
            ),
        ]
    ):
        events = [SimpleNamespace(name="other", attributes=None), SimpleNamespace(name="exception", attributes=told)]
        spans.begin(number, None)
        spans.end(
            number, SimpleNamespace(attributes=attributes, start_time=1, end_time=2, status=status, events=events)
        )

    returned = observed.store.log_load("test_it")[1].tool_result
    assert returned is not None
    assert (returned.content, returned.error) == (result or "", error)
    assert observed.troubles == []


def test_without_a_provider_exceptions_are_heard_of(captured: Captured) -> None:
    """Of a library that records them and sets a status without words."""
    needs("opentelemetry.trace")
    (run,) = captured(
        LIBRARY
        + """
def test_it():
    tracer = trace.get_tracer("a.library")
    asked = [{"role": "assistant", "parts": [{"type": "tool_call", "id": "c1", "name": "find", "arguments": {}}]}]
    chat(**{"gen_ai.output.messages": json.dumps(asked)})
    named = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.call.id": "c1", "gen_ai.tool.name": "find"}
    with tracer.start_as_current_span("find", attributes=named) as span:
        span.add_event("began", {"at": 1})
        span.record_exception(LookupError("no such parcel"))
        span.set_status(trace.StatusCode.ERROR)
"""
    )

    result = run.messages[-1].tool_result
    assert result is not None
    assert result.error == "LookupError: no such parcel"
