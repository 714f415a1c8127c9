"""A suite that knows nothing of us: one conversation through every library that capture observes.

Run by `test_doors`, in a process of its own, with ``--arena-capture``. Each test holds the same
conversation: a question, a tool call, its result, an answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("pytest_httpserver", reason="the real clients need pytest-httpserver to talk to")

Shape = Callable[[str], Any]
Serve = Callable[..., str]

SYSTEM = "You answer in one sentence."
QUESTION = "What is the weather in Bern?"
ANSWER = "It is 18 °C and sunny in Bern."


def get_weather(city: str) -> str:
    """Tell the weather."""
    assert city == "Bern"
    return "18 °C, sunny"


# --- OpenTelemetry ---------------------------------------------------------------------------------


@pytest.fixture
def instrumented() -> Iterator[None]:
    """The user's own provider, which is not the global one, and an instrumentation."""
    instrumentation = pytest.importorskip("opentelemetry.instrumentation.genai.openai")
    sdk = pytest.importorskip("opentelemetry.sdk.trace")
    instrumentor = instrumentation.OpenAIInstrumentor()
    instrumentor.instrument(tracer_provider=sdk.TracerProvider())
    yield
    instrumentor.uninstrument()


@pytest.mark.usefixtures("instrumented")
def test_openai(serve: Serve, shape: Shape) -> None:
    openai = pytest.importorskip("openai")
    recorded = shape("openai_chat")["conversation"]
    client = openai.OpenAI(base_url=serve(recorded[2], recorded[4]), api_key="none")
    messages: list[Any] = recorded[:2]

    first = client.chat.completions.create(model="m", messages=messages)
    messages += [first.choices[0].message, recorded[3]]
    second = client.chat.completions.create(model="m", messages=messages)

    assert second.choices[0].message.content == ANSWER


@pytest.mark.usefixtures("instrumented")
def test_openai_streamed(serve: Serve, shape: Shape) -> None:
    openai = pytest.importorskip("openai")
    recorded = shape("openai_chat")
    client = openai.OpenAI(base_url=serve(*recorded["streams"]), api_key="none")
    messages = recorded["conversation"]
    options = {"stream": True, "stream_options": {"include_usage": True}}

    list(client.chat.completions.create(model="m", messages=messages[:2], **options))
    called = messages[2]["choices"][0]["message"]
    list(client.chat.completions.create(model="m", messages=[*messages[:2], called, messages[3]], **options))


@pytest.mark.usefixtures("instrumented")
def test_openai_async(serve: Serve, shape: Shape) -> None:
    openai = pytest.importorskip("openai")
    recorded = shape("openai_chat")["conversation"]
    address = serve(recorded[2], recorded[4])

    async def ask() -> None:
        async with openai.AsyncOpenAI(base_url=address, api_key="none") as client:
            messages: list[Any] = recorded[:2]
            first = await client.chat.completions.create(model="m", messages=messages)
            messages += [first.choices[0].message, recorded[3]]
            await client.chat.completions.create(model="m", messages=messages)

    asyncio.run(ask())


@pytest.mark.usefixtures("instrumented")
def test_openai_responses(serve: Serve, shape: Shape) -> None:
    openai = pytest.importorskip("openai")
    recorded = shape("openai_responses")["conversation"]
    question, first_body, output, second_body = recorded["input"]
    client = openai.OpenAI(base_url=serve(first_body, second_body), api_key="none")
    asked: dict[str, Any] = {"model": "m", "instructions": recorded["instructions"]}

    first = client.responses.create(input=[question], **asked)
    second = client.responses.create(input=[question, *first.output, output], **asked)

    assert second.output_text == ANSWER


def test_anthropic(serve: Serve, shape: Shape) -> None:
    """It traces by itself; no provider is set."""
    anthropic = pytest.importorskip("anthropic", minversion="2")
    recorded = shape("anthropic")["conversation"]
    question, first_body, output, second_body = recorded["messages"]
    client = anthropic.Anthropic(base_url=serve(first_body, second_body), api_key="none")
    asked: dict[str, Any] = {"model": "m", "max_tokens": 9, "system": recorded["system"]}

    first = client.messages.create(messages=[question], **asked)
    called = {"role": "assistant", "content": first.content}
    second = client.messages.create(messages=[question, called, output], **asked)

    assert second.content[0].text == ANSWER


def test_anthropic_streamed(serve: Serve, shape: Shape) -> None:
    anthropic = pytest.importorskip("anthropic", minversion="2")
    recorded = shape("anthropic")
    question, first, output, _ = recorded["conversation"]["messages"]
    address = serve(*recorded["streams"], named_events=True, done=False)
    client = anthropic.Anthropic(base_url=address, api_key="none")
    asked: dict[str, Any] = {"model": "m", "max_tokens": 9, "system": recorded["conversation"]["system"]}

    list(client.messages.create(messages=[question], stream=True, **asked))
    called = {"role": "assistant", "content": first["content"]}
    with client.messages.stream(messages=[question, called, output], **asked) as stream:
        assert stream.get_final_text() == ANSWER


def ask_pydantic_ai(address: str) -> None:
    pydantic_ai = pytest.importorskip("pydantic_ai")
    models = pytest.importorskip("pydantic_ai.models.openai")
    providers = pytest.importorskip("pydantic_ai.providers.openai")
    model = models.OpenAIChatModel("m", provider=providers.OpenAIProvider(base_url=address, api_key="none"))
    agent = pydantic_ai.Agent(model, instructions=SYSTEM, tools=[get_weather])
    pydantic_ai.Agent.instrument_all()
    try:
        assert agent.run_sync(QUESTION).output == ANSWER
    finally:
        pydantic_ai.Agent.instrument_all(False)


def test_pydantic_ai(serve: Serve, shape: Shape) -> None:
    recorded = shape("openai_chat")["conversation"]
    ask_pydantic_ai(serve(recorded[2], recorded[4]))


@pytest.mark.usefixtures("instrumented")
def test_pydantic_ai_with_its_client_instrumented(serve: Serve, shape: Shape) -> None:
    recorded = shape("openai_chat")["conversation"]
    ask_pydantic_ai(serve(recorded[2], recorded[4]))


# --- LangChain -------------------------------------------------------------------------------------


def ask_langchain(address: str) -> None:
    library = pytest.importorskip("langchain_openai")
    model = library.ChatOpenAI(model="m", base_url=address, api_key="none")
    messages: list[Any] = [("system", SYSTEM), ("user", QUESTION)]
    called = model.invoke(messages)
    messages += [called, {"role": "tool", "tool_call_id": "call_1", "content": get_weather("Bern")}]

    assert model.invoke(messages).content == ANSWER


def test_langchain(serve: Serve, shape: Shape) -> None:
    recorded = shape("openai_chat")["conversation"]
    ask_langchain(serve(recorded[2], recorded[4]))


@pytest.mark.usefixtures("instrumented")
def test_langchain_with_its_client_instrumented(serve: Serve, shape: Shape) -> None:
    recorded = shape("openai_chat")["conversation"]
    ask_langchain(serve(recorded[2], recorded[4]))


def test_langchain_streamed(serve: Serve, shape: Shape) -> None:
    library = pytest.importorskip("langchain_openai")
    address = serve(*shape("openai_chat")["streams"])
    model = library.ChatOpenAI(model="m", base_url=address, api_key="none", stream_usage=True)
    messages: list[Any] = [("system", SYSTEM), ("user", QUESTION)]
    called: Any = None
    for chunk in model.stream(messages):
        called = chunk if called is None else called + chunk
    messages += [called, {"role": "tool", "tool_call_id": "call_1", "content": get_weather("Bern")}]

    assert "".join(chunk.content for chunk in model.stream(messages)) == ANSWER


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
def test_langchain_with_anthropic(serve: Serve, shape: Shape, streamed: bool) -> None:
    """Its callbacks tell of each call, and so do the spans that Anthropic's client makes by itself."""
    library = pytest.importorskip("langchain_anthropic")
    recorded = shape("anthropic")
    if streamed:
        address = serve(*recorded["streams"], named_events=True, done=False)
    else:
        address = serve(*(recorded["conversation"]["messages"][place] for place in (1, 3)))
    model = library.ChatAnthropic(model="m", base_url=address, api_key="none", streaming=streamed)
    messages: list[Any] = [("system", SYSTEM), ("user", QUESTION)]
    called = model.invoke(messages)
    messages += [called, {"role": "tool", "tool_call_id": "call_1", "content": get_weather("Bern")}]

    assert model.invoke(messages).content == ANSWER


def graph(address: str) -> Any:
    library, graphs = pytest.importorskip("langchain_openai"), pytest.importorskip("langgraph.graph")
    prebuilt, tools = pytest.importorskip("langgraph.prebuilt"), pytest.importorskip("langchain_core.tools")
    model = library.ChatOpenAI(model="m", base_url=address, api_key="none")

    def ask(state: Any) -> Any:
        return {"messages": [model.invoke([("system", SYSTEM), *state["messages"]])]}

    async def aask(state: Any) -> Any:
        return {"messages": [await model.ainvoke([("system", SYSTEM), *state["messages"]])]}

    lambdas = pytest.importorskip("langchain_core.runnables")
    building = graphs.StateGraph(graphs.MessagesState)
    building.add_node("ask", lambdas.RunnableLambda(ask, afunc=aask))
    building.add_node("tools", prebuilt.ToolNode([tools.tool(get_weather)]))
    building.set_entry_point("ask")
    building.add_conditional_edges("ask", prebuilt.tools_condition)
    building.add_edge("tools", "ask")
    return building.compile()


def test_langgraph(serve: Serve, shape: Shape) -> None:
    recorded = shape("openai_chat")["conversation"]
    state = graph(serve(recorded[2], recorded[4])).invoke({"messages": [("user", QUESTION)]})

    assert state["messages"][-1].content == ANSWER


def test_langgraph_async(serve: Serve, shape: Shape) -> None:
    recorded = shape("openai_chat")["conversation"]
    state = asyncio.run(graph(serve(recorded[2], recorded[4])).ainvoke({"messages": [("user", QUESTION)]}))

    assert state["messages"][-1].content == ANSWER


# --- the OpenAI Agents SDK -------------------------------------------------------------------------


def ask_agent(address: str, model: str, *, streamed: bool = False) -> None:
    agents, openai = pytest.importorskip("agents"), pytest.importorskip("openai")

    async def ask() -> str:
        async with openai.AsyncOpenAI(base_url=address, api_key="none") as client:
            agent = agents.Agent(
                name="a",
                instructions=SYSTEM,
                model=getattr(agents, model)("m", client),
                tools=[agents.function_tool(get_weather)],
            )
            if not streamed:
                return str((await agents.Runner.run(agent, QUESTION)).final_output)
            result = agents.Runner.run_streamed(agent, QUESTION)
            async for _event in result.stream_events():
                pass
            return str(result.final_output)

    assert asyncio.run(ask()) == ANSWER


def test_agents(serve: Serve, shape: Shape) -> None:
    recorded = shape("openai_responses")["conversation"]["input"]
    ask_agent(serve(recorded[1], recorded[3]), "OpenAIResponsesModel")


def test_agents_streamed(serve: Serve, shape: Shape) -> None:
    address = serve(*shape("openai_responses")["streams"], named_events=True, done=False)
    ask_agent(address, "OpenAIResponsesModel", streamed=True)


def test_agents_with_chat_completions(serve: Serve, shape: Shape) -> None:
    recorded = shape("openai_chat")["conversation"]
    ask_agent(serve(recorded[2], recorded[4]), "OpenAIChatCompletionsModel")


@pytest.mark.usefixtures("instrumented")
def test_agents_with_their_client_instrumented(serve: Serve, shape: Shape) -> None:
    recorded = shape("openai_responses")["conversation"]["input"]
    ask_agent(serve(recorded[1], recorded[3]), "OpenAIResponsesModel")


# --- LiteLLM ---------------------------------------------------------------------------------------


def litellm_messages(shape: Shape) -> tuple[list[Any], list[Any]]:
    recorded = shape("openai_chat")["conversation"]
    return recorded[:2], [*recorded[:2], recorded[2]["choices"][0]["message"], recorded[3]]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_litellm(serve: Serve, shape: Shape, stream: bool) -> None:
    litellm = pytest.importorskip("litellm")
    recorded = shape("openai_chat")
    bodies = recorded["streams"] if stream else (recorded["conversation"][2], recorded["conversation"][4])
    address = serve(*bodies)
    for messages in litellm_messages(shape):
        answer = litellm.completion("openai/m", messages, api_base=address, api_key="none", stream=stream)
        if stream:
            list(answer)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_litellm_async(serve: Serve, shape: Shape, stream: bool) -> None:
    litellm = pytest.importorskip("litellm")
    recorded = shape("openai_chat")
    bodies = recorded["streams"] if stream else (recorded["conversation"][2], recorded["conversation"][4])
    address = serve(*bodies)

    async def ask() -> None:
        for messages in litellm_messages(shape):
            answer = await litellm.acompletion("openai/m", messages, api_base=address, api_key="none", stream=stream)
            if stream:
                async for _chunk in answer:
                    pass

    asyncio.run(ask())
