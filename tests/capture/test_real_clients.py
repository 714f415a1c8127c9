"""The real clients, answered by a local server: what is captured equals what was said.

Each test skips where its library is not installed; `test_recorded_shapes` needs none of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from pytest_arena_state.capture import collect, from_messages, new_messages, record_stream
from pytest_arena_state.messages import Message

pytest.importorskip("pytest_httpserver", reason="the real clients need pytest-httpserver to talk to")

# What the clients warn of is theirs.
pytestmark = pytest.mark.filterwarnings("ignore")

Shape = Callable[[str], Any]
Told = Callable[[list[Message]], list[dict[str, Any]]]
Serve = Callable[..., str]
Expected = list[dict[str, Any]]

WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def get_weather(city: str) -> str:
    """Tell the weather."""
    assert city == "Bern"
    return "18 °C, sunny"


class Thread:
    """What a store keeps: each add appends what is new."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def add(self, obj: object) -> None:
        self.messages += new_messages(self.messages, from_messages(obj))

    def append(self, messages: list[Message]) -> None:
        self.messages += new_messages(self.messages, messages)


@pytest.fixture
def thread() -> Thread:
    return Thread()


def test_openai_chat(serve: Serve, shape: Shape, told: Told, expected: Expected, thread: Thread) -> None:
    openai = pytest.importorskip("openai")
    recorded = shape("openai_chat")["conversation"]
    client = openai.OpenAI(base_url=serve(recorded[2], recorded[4]), api_key="none")
    messages: list[Any] = recorded[:2]

    first = client.chat.completions.create(model="m", messages=messages)
    thread.add(messages)
    thread.add(first)
    messages += [first.choices[0].message, recorded[3]]
    thread.add(messages)
    second = client.chat.completions.create(model="m", messages=messages)
    thread.add(second)

    assert told(thread.messages) == expected
    assert told(from_messages([*recorded[:2], first, recorded[3], second])) == expected
    assert [message.meta.get("response_id") for message in thread.messages[2::2]] == ["chatcmpl-1", "chatcmpl-2"]


@pytest.mark.parametrize("wrapped", [True, False], ids=["record_stream", "collect"])
def test_openai_chat_streamed(
    serve: Serve, shape: Shape, told: Told, expected: Expected, thread: Thread, wrapped: bool
) -> None:
    openai = pytest.importorskip("openai")
    recorded = shape("openai_chat")
    client = openai.OpenAI(base_url=serve(*recorded["streams"]), api_key="none")
    for given in (recorded["conversation"][:2], recorded["conversation"][3:4]):
        thread.add(given)
        stream = client.chat.completions.create(model="m", messages=given, stream=True)
        if wrapped:
            with record_stream(stream, thread.append) as watched:
                assert isinstance(watched, openai.Stream)
                assert watched.response.status_code == 200
                assert all(chunk.object == "chat.completion.chunk" for chunk in watched)
        else:
            thread.append(collect(stream))

    assert told(thread.messages) == expected


def test_openai_chat_streaming_helper(
    serve: Serve, shape: Shape, told: Told, expected: Expected, thread: Thread
) -> None:
    openai = pytest.importorskip("openai")
    recorded = shape("openai_chat")
    client = openai.OpenAI(base_url=serve(recorded["streams"][1]), api_key="none")

    with record_stream(client.chat.completions.stream(model="m", messages=[]), thread.append) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()

    assert {"chunk", "content.delta"} <= kinds
    assert told(thread.messages) == told(from_messages(final)) == expected[4:]


def test_openai_chat_streamed_async(serve: Serve, shape: Shape, told: Told, expected: Expected, thread: Thread) -> None:
    openai = pytest.importorskip("openai")
    recorded = shape("openai_chat")
    address = serve(*recorded["streams"])

    async def ask() -> None:
        async with openai.AsyncOpenAI(base_url=address, api_key="none") as client:
            for given in (recorded["conversation"][:2], recorded["conversation"][3:4]):
                thread.add(given)
                stream = await client.chat.completions.create(model="m", messages=given, stream=True)
                watched = record_stream(stream, thread.append)
                assert isinstance(watched, openai.AsyncStream)
                async for _chunk in watched:
                    pass

    asyncio.run(ask())

    assert told(thread.messages) == expected


def test_openai_responses(serve: Serve, shape: Shape, told: Told, expected: Expected, thread: Thread) -> None:
    openai = pytest.importorskip("openai")
    recorded = shape("openai_responses")["conversation"]
    question, first_body, output, second_body = recorded["input"]
    client = openai.OpenAI(base_url=serve(first_body, second_body), api_key="none")
    items: list[Any] = [question]

    first = client.responses.create(model="m", instructions=recorded["instructions"], input=items)
    thread.add({"instructions": recorded["instructions"], "input": items})
    thread.add(first)
    items += [*first.output, output]
    thread.add(items)
    second = client.responses.create(model="m", instructions=recorded["instructions"], input=items)
    thread.add(second)
    thread.add([*items, *second.output])

    assert told(thread.messages) == expected


@pytest.mark.parametrize("cut", [0, 1], ids=["whole", "without its end"])
def test_openai_responses_streamed(
    serve: Serve, shape: Shape, told: Told, expected: Expected, thread: Thread, cut: int
) -> None:
    """A stream that breaks off before its last event still has what was said."""
    openai = pytest.importorskip("openai")
    recorded = shape("openai_responses")
    question, _, output, _ = recorded["conversation"]["input"]
    client = openai.OpenAI(base_url=serve(*recorded["streams"], named_events=True, done=False), api_key="none")
    for given in ({**recorded["conversation"], "input": [question]}, [output]):
        thread.add(given)
        stream = client.responses.create(model="m", input=[], stream=True)
        events = list(stream)
        thread.append(collect(events[: len(events) - cut]))

    known = ("role", "text", "calls", "result") if cut else expected[2].keys() | expected[3].keys()
    assert [{key: entry[key] for key in entry if key in known} for entry in told(thread.messages)] == [
        {key: entry[key] for key in entry if key in known} for entry in expected
    ]


def test_openai_agents(serve: Serve, shape: Shape, told: Told, expected: Expected, thread: Thread) -> None:
    openai, agents = pytest.importorskip("openai"), pytest.importorskip("agents")
    agents.set_tracing_disabled(True)
    recorded = shape("openai_responses")
    _, first, _, second = recorded["conversation"]["input"]
    tool = agents.function_tool(get_weather)

    async def ask() -> tuple[Any, Any, list[Any]]:
        bodies = [first, second]
        client = openai.AsyncOpenAI(
            base_url=serve(*bodies, *recorded["streams"], named_events=True, done=False), api_key="none"
        )
        model = agents.OpenAIResponsesModel("m", client)
        agent = agents.Agent(name="a", instructions=recorded["conversation"]["instructions"], model=model, tools=[tool])
        plainly = await agents.Runner.run(agent, expected[1]["text"])
        streamed = agents.Runner.run_streamed(agent, expected[1]["text"])
        events = [event async for event in streamed.stream_events()]
        await client.close()
        return plainly, streamed, events

    result, streamed, events = asyncio.run(ask())

    thread.add(result)
    # A result tells neither the instructions nor why the model stopped.
    expected = [{key: value for key, value in entry.items() if key != "finish"} for entry in expected]
    assert told(thread.messages) == expected[1:]
    thread.add(result.to_input_list())
    thread.add(streamed)
    assert len(thread.messages) == 4
    without_usage = [{key: value for key, value in entry.items() if key != "tokens"} for entry in expected[1:]]
    assert told(from_messages(result.to_input_list())) == without_usage
    assert told(from_messages(result.new_items))[0]["calls"] == expected[2]["calls"]
    assert told(from_messages(result.raw_responses[0])) == expected[2:3]
    assert told(from_messages(streamed)) == expected[1:]
    assert [entry.get("tokens") for entry in told(collect(events))] == [(30, 10, 20), None, (80, 12, 0)]


def test_anthropic(serve: Serve, shape: Shape, told: Told, expected: Expected, thread: Thread) -> None:
    anthropic = pytest.importorskip("anthropic")
    recorded = shape("anthropic")["conversation"]
    question, first_body, output, second_body = recorded["messages"]
    client = anthropic.Anthropic(base_url=serve(first_body, second_body), api_key="none")
    asked: dict[str, Any] = {"system": recorded["system"], "messages": [question]}

    first = client.messages.create(model="m", max_tokens=9, **asked)
    thread.add(asked)
    thread.add(first)
    asked["messages"] += [{"role": "assistant", "content": first.content}, output]
    thread.add(asked)
    second = client.messages.create(model="m", max_tokens=9, **asked)
    thread.add(second)

    assert told(thread.messages) == expected


@pytest.mark.parametrize("how", ["raw", "helper", "text alone"])
def test_anthropic_streamed(
    serve: Serve, shape: Shape, told: Told, expected: Expected, thread: Thread, how: str
) -> None:
    anthropic = pytest.importorskip("anthropic")
    recorded = shape("anthropic")
    messages = recorded["conversation"]["messages"]
    address = serve(*recorded["streams"], named_events=True, done=False)
    client = anthropic.Anthropic(base_url=address, api_key="none")
    for given in ({**recorded["conversation"], "messages": messages[:1]}, messages[2:3]):
        thread.add(given)
        if how == "raw":
            stream = client.messages.create(model="m", max_tokens=9, messages=messages[:1], stream=True)
            for _event in record_stream(stream, thread.append):
                pass
        else:
            manager = client.messages.stream(model="m", max_tokens=9, messages=messages[:1])
            with record_stream(manager, thread.append) as watched:
                for _piece in watched.text_stream if how == "text alone" else watched:
                    pass

    assert told(thread.messages) == expected


def without_ids(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is expected of a source without ids: they are made up from name and position."""
    made_up = "call-1-get_weather"
    out = [dict(entry) for entry in entries]
    for entry in out:
        entry.update({"calls": [(made_up, *call[1:]) for call in entry["calls"]]} if "calls" in entry else {})
        entry.update({"result": (made_up, *entry["result"][1:])} if "result" in entry else {})
    return out


def test_google_genai(serve: Serve, shape: Shape, told: Told, expected: Expected, thread: Thread) -> None:
    genai = pytest.importorskip("google.genai")
    recorded = shape("google_genai")["conversation"]
    question, first_body, output, second_body = recorded["contents"]
    address = serve(first_body, second_body)
    client = genai.Client(api_key="none", http_options={"base_url": address})
    config = genai.types.GenerateContentConfig(system_instruction=recorded["config"]["system_instruction"])
    contents = [genai.types.Content.model_validate(question)]

    first = client.models.generate_content(model="m", contents=contents, config=config)
    thread.add({"contents": contents, "config": config})
    thread.add(first)
    contents += [first.candidates[0].content, genai.types.Content.model_validate(output)]
    thread.add(contents)
    second = client.models.generate_content(model="m", contents=contents, config=config)
    thread.add(second)
    thread.add([*contents, second.candidates[0].content])

    assert told(thread.messages) == without_ids(expected)


def test_google_genai_runs_the_tool_itself(serve: Serve, shape: Shape, told: Told, expected: Expected) -> None:
    """The response's history, or the chat's, is the only place where the call and its result are seen."""
    genai = pytest.importorskip("google.genai")
    recorded = shape("google_genai")["conversation"]["contents"]
    bodies = (recorded[1], recorded[3])
    client = genai.Client(api_key="none", http_options={"base_url": serve(*bodies, *bodies)})
    config = genai.types.GenerateContentConfig(tools=[get_weather])

    response = client.models.generate_content(model="m", contents=expected[1]["text"], config=config)
    chat = client.chats.create(model="m", config=config)
    chat.send_message(expected[1]["text"])

    wanted = without_ids(expected)[1:]
    del wanted[1]["tokens"], wanted[1]["finish"]  # the SDK keeps the content of that answer only
    assert told(from_messages(response)) == wanted
    del wanted[3]["tokens"], wanted[3]["finish"]
    assert told(from_messages(chat)) == wanted


def test_google_genai_streamed(serve: Serve, shape: Shape, told: Told, expected: Expected, thread: Thread) -> None:
    genai = pytest.importorskip("google.genai")
    recorded = shape("google_genai")
    contents = recorded["conversation"]["contents"]
    client = genai.Client(api_key="none", http_options={"base_url": serve(*recorded["streams"], done=False)})
    for given in ({**recorded["conversation"], "contents": contents[:1]}, contents[2:3]):
        thread.add(given)
        stream = client.models.generate_content_stream(model="m", contents=contents[:1])
        for _chunk in record_stream(stream, thread.append):
            pass

    assert told(thread.messages) == without_ids(expected)


def test_mcp(shape: Shape, thread: Thread, expected: Expected, told: Told) -> None:
    """A server and a client in one process; the call's id is the one that waits for a result."""
    server_module, mcp = pytest.importorskip("mcp.server"), pytest.importorskip("mcp")
    server_class = getattr(server_module, "FastMCP", None) or server_module.MCPServer
    server = server_class("weather")
    server.tool()(get_weather)

    async def ask() -> Any:
        async with mcp.Client(server) as client:
            return await client.call_tool("get_weather", {"city": "Bern"})

    result = asyncio.run(ask())

    thread.add(shape("openai_chat")["conversation"][:3])
    thread.add(result)
    assert told(thread.messages) == expected[:4]
    assert from_messages(result, tool_call_id="c", tool_name="n")[0].tool_result.name == "n"  # type: ignore[union-attr]


def test_litellm(serve: Serve, shape: Shape, told: Told, expected: Expected, thread: Thread) -> None:
    litellm = pytest.importorskip("litellm")
    recorded = shape("openai_chat")
    messages = recorded["conversation"]
    address = serve(messages[2], messages[4], *recorded["streams"])
    for given in (messages[:2], messages[3:4]):
        thread.add(given)
        thread.add(litellm.completion(model="openai/gpt-4o", messages=messages[:2], api_base=address, api_key="none"))

    assert told(thread.messages) == expected
    assert thread.messages[2].meta["reported_cost_usd"] > 0
    streamed = Thread()
    for given in (messages[:2], messages[3:4]):
        streamed.add(given)
        stream = litellm.completion(
            model="openai/gpt-4o",
            messages=messages[:2],
            api_base=address,
            api_key="none",
            stream=True,
            stream_options={"include_usage": True},
        )
        for _chunk in record_stream(stream, streamed.append):
            pass
    assert told(streamed.messages) == expected
