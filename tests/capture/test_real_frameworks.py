"""Frameworks on top of the clients: LangChain, LangGraph, pydantic-ai, OpenTelemetry."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from pytest_arena_state.capture import collect, from_messages, new_messages, record_stream
from pytest_arena_state.messages import Message

pytest.importorskip("pytest_httpserver", reason="the real clients need pytest-httpserver to talk to")

# What the libraries warn of is theirs.
pytestmark = pytest.mark.filterwarnings("ignore")

Shape = Callable[[str], Any]
Told = Callable[[list[Message]], list[dict[str, Any]]]
Serve = Callable[..., str]
Expected = list[dict[str, Any]]


def get_weather(city: str) -> str:
    """Tell the weather."""
    assert city == "Bern"
    return "18 °C, sunny"


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_langgraph(serve: Serve, shape: Shape, told: Told, expected: Expected, provider: str) -> None:
    """The state after a run has the whole conversation; growing states add what is new."""
    pytest.importorskip("langgraph")
    prebuilt = pytest.importorskip("langgraph.prebuilt")
    if provider == "openai":
        recorded = shape("openai_chat")["conversation"]
        library = pytest.importorskip("langchain_openai")
        bodies = (recorded[2], recorded[4])
        model = library.ChatOpenAI(model="m", base_url=serve(*bodies, *bodies), api_key="none")
    else:
        recorded = shape("anthropic")["conversation"]["messages"]
        library = pytest.importorskip("langchain_anthropic")
        bodies = (recorded[1], recorded[3])
        model = library.ChatAnthropic(model="m", base_url=serve(*bodies, *bodies), api_key="none")
    agent = prebuilt.create_react_agent(model, [get_weather])
    asked = {"messages": [("system", expected[0]["text"]), ("user", expected[1]["text"])]}

    state = agent.invoke(asked)
    states = list(agent.stream(asked, stream_mode="values"))

    assert told(from_messages(state)) == expected
    known: list[Message] = []
    for each in [*states, state]:
        known += new_messages(known, from_messages(each))
    assert told(known) == expected
    assert told(collect(states)) == expected


def test_langchain_streamed(serve: Serve, shape: Shape, told: Told, expected: Expected) -> None:
    library = pytest.importorskip("langchain_openai")
    model = library.ChatOpenAI(
        model="m", base_url=serve(*shape("openai_chat")["streams"]), api_key="none", stream_usage=True
    )
    found: list[list[Message]] = []
    for _ in range(2):
        for _chunk in record_stream(model.stream("hi"), found.append):
            pass

    assert [told(messages) for messages in found] == [expected[2:3], expected[4:]]


def test_langchain_responses_streamed(serve: Serve, shape: Shape, told: Told, expected: Expected) -> None:
    """An answer begins under one id and goes on under another."""
    library = pytest.importorskip("langchain_openai")
    address = serve(*shape("openai_responses")["streams"], named_events=True, done=False)
    model = library.ChatOpenAI(model="m", base_url=address, api_key="none", use_responses_api=True)
    found = [collect(model.stream("hi")) for _ in range(2)]

    assert [told(messages) for messages in found] == [expected[2:3], expected[4:]]


@pytest.mark.parametrize("mode", ["updates", "values", "messages"])
def test_langgraph_streamed(serve: Serve, shape: Shape, told: Told, expected: Expected, mode: str) -> None:
    prebuilt, library = pytest.importorskip("langgraph.prebuilt"), pytest.importorskip("langchain_openai")
    model = library.ChatOpenAI(
        model="m", base_url=serve(*shape("openai_chat")["streams"]), api_key="none", streaming=True, stream_usage=True
    )
    agent = prebuilt.create_react_agent(model, [get_weather])

    chunks = list(agent.stream({"messages": [("user", expected[1]["text"])]}, stream_mode=mode))

    assert told(collect(chunks)) == expected[1 if mode == "values" else 2 :]


def test_langchain_results_of_generate(serve: Serve, shape: Shape, told: Told, expected: Expected) -> None:
    """What a callback sees at the end of a call."""
    library, messages = pytest.importorskip("langchain_openai"), pytest.importorskip("langchain_core.messages")
    model = library.ChatOpenAI(model="m", base_url=serve(shape("openai_chat")["conversation"][4]), api_key="none")

    assert told(from_messages(model.generate([[messages.HumanMessage("hi")]]))) == expected[4:]


def test_langchain_anthropic_streamed(serve: Serve, shape: Shape, told: Told, expected: Expected) -> None:
    library = pytest.importorskip("langchain_anthropic")
    model = library.ChatAnthropic(
        model="m", base_url=serve(*shape("anthropic")["streams"], named_events=True, done=False), api_key="none"
    )
    found = [collect(model.stream("hi")) for _ in range(2)]

    assert [told(messages) for messages in found] == [expected[2:3], expected[4:]]


@pytest.mark.parametrize("provider", ["openai", "responses", "anthropic"])
def test_pydantic_ai(serve: Serve, shape: Shape, told: Told, expected: Expected, provider: str) -> None:
    pydantic_ai = pytest.importorskip("pydantic_ai")
    model = _pydantic_ai_model(provider, serve, shape)
    agent = pydantic_ai.Agent(model, instructions=expected[0]["text"], tools=[get_weather])

    result = asyncio.run(agent.run(expected[1]["text"]))

    assert told(from_messages(result)) == expected
    assert told(from_messages(result.all_messages())) == expected
    dumped = json.loads(result.all_messages_json())
    assert told(from_messages(dumped)) == expected
    assert all(message.timestamp for message in from_messages(result) if message.role != "system")


def _pydantic_ai_model(provider: str, serve: Serve, shape: Shape) -> Any:
    if provider == "anthropic":
        models = pytest.importorskip("pydantic_ai.models.anthropic")
        providers = pytest.importorskip("pydantic_ai.providers.anthropic")
        recorded = shape("anthropic")["conversation"]["messages"]
        client = pytest.importorskip("anthropic").AsyncAnthropic(
            base_url=serve(recorded[1], recorded[3]), api_key="none"
        )
        return models.AnthropicModel("m", provider=providers.AnthropicProvider(anthropic_client=client))
    models = pytest.importorskip("pydantic_ai.models.openai")
    providers = pytest.importorskip("pydantic_ai.providers.openai")
    if provider == "openai":
        recorded = shape("openai_chat")["conversation"]
        address = serve(recorded[2], recorded[4])
        return models.OpenAIChatModel("m", provider=providers.OpenAIProvider(base_url=address, api_key="none"))
    items = shape("openai_responses")["conversation"]["input"]
    address = serve(items[1], items[3])
    return models.OpenAIResponsesModel("m", provider=providers.OpenAIProvider(base_url=address, api_key="none"))


def test_pydantic_ai_streamed(serve: Serve, shape: Shape, told: Told, expected: Expected) -> None:
    """Events give the conversation while it is under way, the event at the end gives it whole."""
    pydantic_ai = pytest.importorskip("pydantic_ai")
    models = pytest.importorskip("pydantic_ai.models.openai")
    providers = pytest.importorskip("pydantic_ai.providers.openai")
    streams = shape("openai_chat")["streams"]
    provider = providers.OpenAIProvider(base_url=serve(*streams, *streams), api_key="none")
    agent = pydantic_ai.Agent(
        models.OpenAIChatModel("m", provider=provider), instructions=expected[0]["text"], tools=[get_weather]
    )

    async def ask() -> tuple[list[Any], list[Message]]:
        events = agent.run_stream_events(expected[1]["text"])
        if hasattr(events, "__aenter__"):
            async with events as opened:
                seen = [event async for event in opened]
        else:
            seen = [event async for event in events]
        found: list[Message] = []
        async with agent.run_stream(expected[1]["text"]) as result:
            async for _text in result.stream_text():
                pass
            found = from_messages(result)
        return seen, found

    events, found = asyncio.run(ask())

    assert told(found) == expected
    assert told(collect(events)) == expected
    unfinished = told(collect(events[:-1]))
    assert [entry.get("text") for entry in unfinished] == [entry.get("text") for entry in expected[2:]]
    assert unfinished[0]["calls"] == expected[2]["calls"]


def test_opentelemetry_spans(
    serve: Serve, shape: Shape, told: Told, expected: Expected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every span repeats the history; together they give the conversation once."""
    openai = pytest.importorskip("openai")
    sdk = pytest.importorskip("opentelemetry.sdk.trace")
    export = pytest.importorskip("opentelemetry.sdk.trace.export")
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    instrumentation = pytest.importorskip("opentelemetry.instrumentation.genai.openai")
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY")
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "gen_ai_latest_experimental")
    exporter = memory.InMemorySpanExporter()
    provider = sdk.TracerProvider()
    provider.add_span_processor(export.SimpleSpanProcessor(exporter))
    instrumentor = instrumentation.OpenAIInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    recorded = shape("openai_chat")["conversation"]
    try:
        client = openai.OpenAI(base_url=serve(recorded[2], recorded[4]), api_key="none")
        first = client.chat.completions.create(model="m", messages=recorded[:2])
        client.chat.completions.create(model="m", messages=[*recorded[:2], first.choices[0].message, recorded[3]])
    finally:
        instrumentor.uninstrument()

    known: list[Message] = []
    for span in exporter.get_finished_spans():
        known += new_messages(known, from_messages(span))

    assert told(known) == expected
    assert known[2].latency_ms > 0
    assert known[2].meta["response_id"] == "chatcmpl-1"


def test_pydantic_ai_spans(serve: Serve, shape: Shape, told: Told, expected: Expected) -> None:
    pydantic_ai = pytest.importorskip("pydantic_ai")
    sdk = pytest.importorskip("opentelemetry.sdk.trace")
    export = pytest.importorskip("opentelemetry.sdk.trace.export")
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    exporter = memory.InMemorySpanExporter()
    provider = sdk.TracerProvider()
    provider.add_span_processor(export.SimpleSpanProcessor(exporter))
    settings = pytest.importorskip("pydantic_ai.models.instrumented").InstrumentationSettings(tracer_provider=provider)
    models = pytest.importorskip("pydantic_ai.models.instrumented")
    model = models.InstrumentedModel(_pydantic_ai_model("openai", serve, shape), settings)
    agent = pydantic_ai.Agent(model, instructions=expected[0]["text"], tools=[get_weather])
    asyncio.run(agent.run(expected[1]["text"]))

    known: list[Message] = []
    for span in exporter.get_finished_spans():
        if "gen_ai.input.messages" in span.attributes:
            known += new_messages(known, from_messages(span))

    assert told(known) == expected
