"""Every source without its library: shapes that were recorded from the real ones."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_arena_state.capture import (
    UnrecognisedSourceError,
    collect,
    from_messages,
    new_messages,
    source_names,
    unmapped,
)
from pytest_arena_state.messages import Message
from pytest_arena_state.price_file import Price, PriceFile
from pytest_arena_state.prices import Prices

Shape = Callable[[str], Any]
Told = Callable[[list[Message]], list[dict[str, Any]]]
Expected = list[dict[str, Any]]

WITH_IDS = ("anthropic", "langchain", "openai_chat", "openai_responses", "otel", "pydantic_ai")
WITHOUT_IDS = ("google_genai", "ollama")


@pytest.mark.parametrize("source", [*WITH_IDS, *WITHOUT_IDS])
def test_every_source_tells_the_same_conversation(source: str, shape: Shape, told: Told, expected: Expected) -> None:
    """Whatever library a suite uses, its reports read the same."""
    messages = from_messages(shape(source)["conversation"])

    found, wanted = told(messages), [dict(entry) for entry in expected]
    if source in WITHOUT_IDS:
        wanted[2]["calls"] = [("call-1-get_weather", "get_weather", {"city": "Bern"})]
        wanted[3]["result"] = ("call-1-get_weather", *wanted[3]["result"][1:])
    if source == "ollama":
        wanted[2]["tokens"] = (50, 10, 0)  # knows of no cache
    if source == "otel":
        del wanted[2]["tokens"], wanted[4]["tokens"]  # usage is the span's, not the message's
    assert found == wanted


@pytest.mark.parametrize("source", WITH_IDS)
def test_a_source_can_be_forced(source: str, shape: Shape, told: Told) -> None:
    conversation = shape(source)["conversation"]

    assert told(from_messages(conversation, source)) == told(from_messages(conversation))


@pytest.mark.parametrize("source", ["anthropic", "google_genai", "langchain", "openai_chat", "openai_responses"])
def test_streamed_chunks_tell_the_same(source: str, shape: Shape, told: Told, expected: Expected) -> None:
    found = [collect(stream) for stream in shape(source)["streams"]]

    wanted = [dict(expected[2]), expected[4]]
    if source == "google_genai":
        wanted[0]["calls"] = [("call-1-get_weather", "get_weather", {"city": "Bern"})]
    assert [told(messages) for messages in found] == [[entry] for entry in wanted]


@pytest.mark.parametrize("grows", [True, False])
def test_a_stream_that_calls_functions_by_itself_tells_each_turn_once(grows: bool) -> None:
    """Each of its responses repeats what was streamed before it, in as many contents as there were chunks."""
    question = {"role": "user", "parts": [{"text": "Weather?"}]}
    thought = {"role": "model", "parts": [{"text": "Hm."}]}
    call = {"role": "model", "parts": [{"function_call": {"name": "look", "args": {"city": "Bern"}}}]}
    result = {"role": "user", "parts": [{"function_response": {"name": "look", "response": {"result": "sunny"}}}]}
    usage = {"prompt_token_count": 9, "candidates_token_count": 2}

    def chunk(id: str, content: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {"response_id": id, "candidates": [{"content": content, "index": 0}], **more}

    history = [question, thought, call, result]
    whole = [*history, call, result]
    again = {"automatic_function_calling_history": whole, "usage_metadata": usage}
    # The SDK's own history grows while the stream is read; a dump of it does not.
    found = collect(
        [
            chunk("r1", thought),
            chunk("r1", call, usage_metadata=usage),
            chunk("r2", call, automatic_function_calling_history=whole if grows else history, usage_metadata=usage),
            chunk("r3", {"role": "model", "parts": [{"text": "Sunny."}]}, **again),
        ]
    )

    assert [message.role for message in found] == ["assistant", "tool", "assistant", "tool", "assistant"]
    assert [call.id for message in found for call in message.tool_calls] == [
        message.tool_result.id for message in found if message.tool_result is not None
    ]
    assert sum(message.cost_info.input_tokens for message in found if message.cost_info is not None) == 27


def test_events_of_pydantic_ai_tell_what_was_said(shape: Shape, told: Told, expected: Expected) -> None:
    (stream,) = shape("pydantic_ai")["streams"]

    found = told(collect(stream))

    assert [entry.get("calls") for entry in found] == [expected[2]["calls"], None, None]
    assert found[1:] == [expected[3], {"role": "assistant", "text": expected[4]["text"]}]


def test_spans_give_usage_and_latency(shape: Shape, told: Told, expected: Expected) -> None:
    known: list[Message] = []
    for span in shape("otel")["spans"]:
        known += new_messages(known, from_messages(span))

    assert told(known) == expected
    assert known[4].latency_ms == 13
    assert known[4].cost_info is not None
    assert known[4].cost_info.provider_name == "openai"


@pytest.mark.parametrize(
    "mark", [{"gen_ai.request.choice.count": 2}, {"gen_ai.response.finish_reasons": ("stop", "length")}, {}]
)
def test_of_several_choices_of_a_span_the_first_is_the_answer(mark: dict[str, Any]) -> None:
    """Nobody said one after the other, and a conversation goes on with one of them."""
    told = [{"role": "assistant", "parts": [{"type": "text", "content": word}]} for word in ("heads", "tails")]
    usage = {"gen_ai.usage.input_tokens": 7, "gen_ai.usage.output_tokens": 3}

    first, *others = from_messages({"attributes": {"gen_ai.output.messages": json.dumps(told), **usage, **mark}})

    if not mark:  # one answer, told in two pieces
        assert [first.content, *(other.content for other in others)] == ["heads", "tails"]
        return
    assert (first.content, others, first.meta["further_choices"]) == ("heads", [], told[1:])
    assert first.cost_info is not None
    assert (first.cost_info.input_tokens, first.cost_info.output_tokens) == (7, 3)


@pytest.mark.parametrize(("answered", "model"), [("gpt-5-mini-2026", "gpt-5-mini-2026"), (None, "gpt-5-mini")])
def test_the_model_of_a_span_is_the_one_that_was_asked_where_none_is_said_to_have_answered(
    answered: str | None, model: str
) -> None:
    """Logfire does not look for it in streams, and without a model no answer has a price."""
    told = json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": "hi"}]}])
    models = {"gen_ai.request.model": "gpt-5-mini", "gen_ai.response.model": answered}

    (message,) = from_messages({"attributes": {"gen_ai.output.messages": told, **models}})

    assert message.meta["model"] == model


def test_a_reason_to_end_may_stand_in_the_messages_of_a_span_alone() -> None:
    """Logfire's spans have no attribute for it, and none for how many choices there are."""
    told = [
        {"role": "assistant", "parts": [{"type": "text", "content": word}], "finish_reason": "length"}
        for word in ("heads", "tails")
    ]

    one = from_messages({"attributes": {"gen_ai.output.messages": json.dumps(told[:1])}})
    first = from_messages({"attributes": {"gen_ai.output.messages": json.dumps(told)}})

    assert [message.finish_reason for message in (*one, *first)] == ["max_output_tokens", "max_output_tokens"]
    assert first[0].meta["further_choices"] == told[1:]


def test_calls_of_tools_that_a_span_tells_one_by_one_are_all_calls() -> None:
    """OpenInference gives each call of an answer a message and a reason to end; none is a further choice."""
    told: list[dict[str, Any]] = [
        {"role": "assistant", "parts": [{"type": "tool_call", "id": id, "name": "f"}], "finish_reason": "tool_call"}
        for id in ("a", "b")
    ]
    told.insert(0, {"role": "assistant", "parts": [{"type": "text", "content": "hm"}], "finish_reason": "stop"})
    reasons = ("stop", "tool_call", "tool_call")

    (found,) = from_messages(
        {"attributes": {"gen_ai.output.messages": json.dumps(told), "gen_ai.response.finish_reasons": reasons}}
    )

    assert (found.content, [call.id for call in found.tool_calls]) == ("hm", ["a", "b"])
    assert found.finish_reason == "tool_use"


@pytest.mark.parametrize(
    ("raw", "counts"),
    [
        (
            {"prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 2}},
            (6, 4, 2),
        ),
        ({"input_tokens_details": {"cached_tokens": 4}, "output_tokens_details": {"reasoning_tokens": 2}}, (6, 4, 2)),
        ({"cache_read_input_tokens": 4, "cache_creation_input_tokens": 3}, (6, 4, None)),
        ({}, (10, 0, None)),
        ("{", (10, 0, None)),
    ],
)
def test_cached_tokens_may_stand_in_the_raw_usage_of_a_span_alone(
    raw: Any, counts: tuple[int, int, int | None]
) -> None:
    """Logfire tells sums, and what the provider said; tokens from a cache have a price of their own."""
    told = json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": "hi"}]}])
    usage = {"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5}
    written = raw if isinstance(raw, str) else json.dumps(raw)

    (message,) = from_messages({"attributes": {"gen_ai.output.messages": told, **usage, "gen_ai.usage.raw": written}})

    cost = message.cost_info
    assert cost is not None
    reasoning = message.meta.get("token_details", {}).get("reasoning_tokens")
    assert (cost.input_tokens, cost.cached_tokens, reasoning) == counts


def test_a_tool_that_the_provider_ran_is_part_of_its_answer() -> None:
    """Anthropic's spans tell of a search in the answer itself; the test's own record of it must be the same answer."""
    call = {"type": "tool_call", "id": "srv_1", "name": "web_search", "arguments": {"query": "Bern"}}
    result = {"type": "tool_call_response", "id": "srv_1", "response": [{"type": "web_search_result", "url": "u"}]}
    parts = [{"type": "text", "content": "I look."}, call, result, {"type": "text", "content": "So it is."}]
    told = {"gen_ai.output.messages": [{"role": "assistant", "parts": parts}], "gen_ai.usage.input_tokens": 7}

    (message,) = from_messages({**told, "anthropic.message.stop_reason": "end_turn"})

    assert (message.content, message.tool_calls, message.finish_reason) == ("I look.So it is.", [], "stop")
    assert message.meta["unmapped_parts"] == [call, result]
    assert message.cost_info is not None


def test_a_result_that_pydantic_ai_marks_as_the_providers_own_is_part_of_the_answer() -> None:
    """Its spans tell of the result without the call."""
    result = {"type": "tool_call_response", "id": "s", "name": "web_search", "builtin": True, "result": [{"url": "u"}]}
    parts = [{"type": "text", "content": "I look."}, result, {"type": "text", "content": "So it is."}]

    (message,) = from_messages({"gen_ai.output.messages": [{"role": "assistant", "parts": parts}]})

    assert (message.role, message.content, message.meta["unmapped_parts"]) == (
        "assistant",
        "I look.So it is.",
        [result],
    )


def test_what_the_providers_tools_did_is_no_message_of_its_own() -> None:
    """OpenAI's instrumentation tells of each item of a response in a piece, and gives each a reason to end."""
    search, run = ({"type": "server_tool_call", "id": id, "server_tool_call": {"type": id}} for id in ("ws", "ci"))
    said = {"type": "text", "content": "So it is."}
    call = {"type": "tool_call", "id": "c1", "name": "t", "arguments": {}}
    told = [
        {"role": "assistant", "parts": [part], "finish_reason": "stop"} for part in (search, run, said, search, call)
    ]

    (message,) = from_messages({"gen_ai.output.messages": told, "gen_ai.response.finish_reasons": ["stop"] * 5})

    assert message.content == "So it is."
    assert [each.id for each in message.tool_calls] == ["c1"]
    assert message.meta["unmapped_parts"] == [search, run, search]


def test_a_tool_span_gives_the_result() -> None:
    attributes = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "f",
        "gen_ai.tool.call.id": "c",
        "gen_ai.tool.call.result": '"fine"',
    }
    span = SimpleNamespace(attributes=attributes, start_time=10_000_000, end_time=35_000_000)

    (message,) = from_messages(span)

    assert message.tool_result is not None
    assert message.tool_result.to_dict() == {
        "id": "c",
        "name": "f",
        "content": "fine",
        "parts": [{"type": "text", "text": "fine"}],
        "latency_ms": 25,
    }


def test_mcp_results(shape: Shape) -> None:
    plain, structured, failed, media = (
        from_messages(result, tool_call_id="c", tool_name="t")[0] for result in shape("mcp")["results"]
    )

    assert (plain.role, plain.content) == ("tool", "18 °C, sunny")
    assert structured.meta == {"structured_content": {"temperature": 18}}
    assert failed.tool_result is not None
    assert (failed.tool_result.id, failed.tool_result.name, failed.tool_result.error) == ("c", "t", "no such city")
    assert media.tool_result is not None
    assert [part.type for part in media.tool_result.parts] == ["image", "document", "text"]


def test_messages_of_ours_pass_through() -> None:
    given = [Message.user("hi"), Message.tool("out", id="c", name="f")]

    found = from_messages(given)

    assert found == given
    assert found[0] is not given[0]
    assert from_messages([message.to_dict() for message in given]) == given
    assert from_messages(given[0]) == given[:1]


def test_a_list_may_mix_libraries(shape: Shape, told: Told, expected: Expected) -> None:
    """An agent may ask one provider and then another."""
    chat, anthropic = shape("openai_chat")["conversation"], shape("anthropic")["conversation"]["messages"]

    assert told(from_messages([*chat[:3], *anthropic[2:]])) == expected


def test_plain_objects_are_read_like_dicts() -> None:
    """Test doubles of a response are seldom more than a namespace."""
    message = SimpleNamespace(role="assistant", content="hi", tool_calls=None)
    response = SimpleNamespace(id="1", choices=[SimpleNamespace(message=message, finish_reason="stop")])

    (found,) = from_messages(response)

    assert (found.content, found.finish_reason) == ("hi", "stop")


def test_nothing_is_made_up() -> None:
    """A message of unknown time, cost and latency says so."""
    (message,) = from_messages({"role": "user", "content": "hi"})

    assert message.to_dict() == {"role": "user", "content": "hi", "timestamp": "0001-01-01T00:00:00Z"}


def test_times_of_responses_are_kept() -> None:
    response = {"object": "chat.completion", "created": 1767225600, "choices": [{"message": {"content": "hi"}}]}

    assert from_messages(response)[0].timestamp == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("arguments", "args", "flagged"),
    [
        ('{"a": 1}', {"a": 1}, False),
        ("", {}, False),
        (None, {}, False),
        ("[1]", [1], False),
        ('{"a": ', '{"a": ', True),
        ({"a": None}, {"a": None}, False),
    ],
)
def test_arguments_are_always_json(arguments: Any, args: Any, flagged: bool) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}

    (message,) = from_messages({"role": "assistant", "content": None, "tool_calls": [call]})

    assert message.tool_calls[0].args == args
    assert message.meta == ({"unparsed_tool_args": ["c"]} if flagged else {})


def test_unparsed_arguments_are_flagged_under_an_id_that_was_made_up() -> None:
    call = {"function": {"name": "f", "arguments": "{oops"}}

    (message,) = from_messages({"role": "assistant", "tool_calls": [call]})

    assert message.meta["unparsed_tool_args"] == [message.tool_calls[0].id] == ["call-1-f"]


@pytest.mark.parametrize(
    ("reason", "normalised"),
    [
        ("stop", "stop"),
        ("length", "max_output_tokens"),
        ("content_filter", "safety"),
        ("tool_calls", "tool_use"),
        ("something_new", "something_new"),
    ],
)
def test_finish_reasons_are_in_one_vocabulary(reason: str, normalised: str) -> None:
    response = {"object": "chat.completion", "choices": [{"message": {"content": "x"}, "finish_reason": reason}]}

    (message,) = from_messages(response)

    assert message.finish_reason == normalised
    assert message.meta.get("finish_reason", normalised) == (reason if reason != normalised else normalised)


@pytest.mark.parametrize("said", [{"refusal": "I can't."}, {"provider_specific_fields": {"refusal": "I can't."}}])
def test_a_refusal_is_told_at_either_place(said: dict[str, Any]) -> None:
    """LiteLLM keeps what not all providers have in a field of its own."""
    choice = {"message": {"role": "assistant", "content": None, **said}, "finish_reason": "stop"}

    (message,) = from_messages({"object": "chat.completion", "choices": [choice]})

    assert (message.content, message.finish_reason, message.meta["refusal"]) == ("I can't.", "refusal", "I can't.")


def test_what_has_no_field_is_kept_and_counted() -> None:
    search = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "Bern"}}
    response = {
        "type": "message",
        "role": "assistant",
        "stop_reason": "refusal",
        "content": [{"type": "text", "text": "a", "citations": [{"url": "u"}]}, search, {"type": "text", "text": "b"}],
        "usage": {"input_tokens": 1, "output_tokens": 2, "cache_creation_input_tokens": 4},
        "container": {"id": "k"},
    }

    messages = from_messages(response)

    (message,) = messages
    assert (message.content, message.finish_reason) == ("ab", "refusal")
    assert message.cost_info is not None
    assert message.cost_info.input_tokens == 5
    assert message.meta == {
        "citations": [{"url": "u"}],
        "extra": {"container": {"id": "k"}},
        "token_details": {"cache_write_tokens": 4},
        "unmapped_parts": [search],
        "usage": response["usage"],
    }
    assert unmapped(messages) == {"server_tool_use": 1}


def test_reasoning_is_reasoning_in_every_dialect() -> None:
    anthropic = {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "sig"},
            {"type": "redacted_thinking", "data": "xx"},
            {"type": "text", "text": "hi"},
        ],
    }
    responses = [
        {
            "type": "reasoning",
            "id": "rs",
            "summary": [{"type": "summary_text", "text": "hm"}],
            "encrypted_content": "e",
        },
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hi"}]},
    ]
    chat = {"role": "assistant", "content": "hi", "reasoning_content": "hm"}
    google = {"role": "model", "parts": [{"text": "hm", "thought": True}, {"text": "hi"}]}
    langchain = {"type": "ai", "content": [{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "hi"}]}
    found = [from_messages(shape)[0] for shape in (anthropic, responses, chat, google, langchain)]

    assert {(message.content, message.reasoning and message.reasoning.text) for message in found} == {("hi", "hm")}
    assert found[0].reasoning is not None
    assert found[0].reasoning.redacted
    assert [opaque.kind for opaque in found[0].reasoning.opaque] == ["signature", "redacted_thinking"]
    assert found[1].reasoning is not None
    assert found[1].reasoning.opaque[0].to_dict() == {
        "provider": "openai",
        "kind": "encrypted_content",
        "data": "e",
        "ref": "rs",
    }


PIXEL = "iVBORw0KGgo="


def test_thoughts_of_mistral_are_texts_in_a_list() -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    message = {"role": "assistant", "content": [thought, {"type": "text", "text": "It rains."}]}

    (found,) = from_messages({"object": "chat.completion", "choices": [{"message": message}]})

    assert (found.reasoning and found.reasoning.text, found.content, found.meta) == ("hm", "It rains.", {})


@pytest.mark.parametrize(
    "answer",
    [
        {"role": "assistant", "blocks": [{"block_type": "text", "text": "hello"}], "additional_kwargs": {}},
        {"role": "assistant", "items": [{"content_type": "text", "text": "hello"}], "content_type": "message"},
    ],
    ids=["llama_index", "semantic_kernel"],
)
def test_an_answer_that_nobody_can_read_is_not_an_empty_one(answer: dict[str, Any]) -> None:
    """Where what was said stands is known to no source, so a test that looks for it must hear of that."""
    with pytest.raises(UnrecognisedSourceError):
        from_messages(SimpleNamespace(**answer))

    assert from_messages(SimpleNamespace(role="assistant", content=None))[0].content == ""
    assert from_messages({"role": "assistant", "images": [{"image_url": {"url": "https://e.example"}}]})[0].parts


def test_a_response_that_was_cut_off_has_no_reason_to_end() -> None:
    """That it is under way is none."""
    begun = {"id": "resp_1", "object": "response", "status": "in_progress", "model": "gpt-5", "output": []}
    events = [
        {"type": "response.created", "response": begun},
        {"type": "response.output_text.delta", "output_index": 0, "delta": "It rai"},
    ]

    (message,) = collect(events)

    assert (message.content, message.finish_reason, message.meta["response_id"]) == ("It rai", "", "resp_1")


def test_log_probabilities_of_a_stream_are_those_of_all_its_words() -> None:
    chunks = [
        {"object": "chat.completion.chunk", "choices": [{"delta": {"content": word}, "logprobs": probability}]}
        for word, probability in (
            ("It ", {"content": [{"token": "It "}], "refusal": None}),
            ("rains.", {"content": [{"token": "rains."}], "refusal": None}),
            ("", None),
        )
    ]

    (message,) = collect(chunks)

    assert message.content == "It rains."
    probabilities = {"content": [{"token": "It "}, {"token": "rains."}], "refusal": None}
    assert message.meta["extra"] == {"logprobs": probabilities}


def test_an_answer_from_the_cache_of_langchain_costs_nothing() -> None:
    """LangChain repeats its tokens, and says that they were not paid again."""
    usage = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10, "total_cost": 0}
    answer = {"type": "ai", "content": "hi", "usage_metadata": usage, "response_metadata": {"model_name": "m"}}
    prices = Prices(PriceFile("prices.toml", (Price(model="m", input=1, output=1),)))

    found = prices.priced(from_messages(answer)[0], [])

    assert found.cost_info is not None
    assert (found.cost_info.input_tokens, found.cost_info.total_cost_usd) == (7, 0)
    assert found.meta["cost_origin"] == "source"


@pytest.mark.parametrize(("hidden", "dollars"), [({}, 0.5), ({"cache_hit": True}, 0.0)], ids=["asked", "cached"])
def test_an_answer_from_the_cache_of_litellm_costs_nothing(hidden: dict[str, Any], dollars: float) -> None:
    """Its response keeps the cost of the call that was paid."""
    choice = SimpleNamespace(message={"role": "assistant", "content": "hi"})
    told = {"usage": {"prompt_tokens": 7, "completion_tokens": 3}, "_hidden_params": {"response_cost": 0.5, **hidden}}
    response = SimpleNamespace(model="m", choices=[choice], **told)

    found = Prices().priced(from_messages(response)[0], [])

    assert found.cost_info is not None
    assert (found.cost_info.total_cost_usd, found.meta["cost_origin"]) == (dollars, "source")


def test_what_langchain_keeps_beside_an_answer_is_part_of_it() -> None:
    """OpenAI's answers that are spoken have no text, and its oldest format has reasoning outside the content."""
    thought = {"id": "rs", "type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}
    spoken = {"id": "audio_1", "data": "UklGRgAAAABXQVZF", "transcript": "It rains."}
    beside = {"reasoning": thought, "audio": spoken, "more": 1}

    (message,) = from_messages({"type": "ai", "content": "", "additional_kwargs": beside})

    assert message.reasoning is not None
    assert message.reasoning.text == "hm"
    media = message.parts[0].media
    assert media is not None
    assert (media.data, media.mime_type, media.caption) == (spoken["data"], "audio/wav", "It rains.")
    assert message.meta["extra"] == {"more": 1}


def test_a_streamed_answer_of_langchain_keeps_what_comes_piece_by_piece() -> None:
    """Summaries of reasoning, citations, the arguments of a search: each chunk has one piece of a list."""

    def chunk(*content: dict[str, Any], id: str = "lc_run--1", **more: Any) -> dict[str, Any]:
        return {"type": "AIMessageChunk", "id": id, "content": list(content), **more}

    def thought(index: int, words: str) -> dict[str, Any]:
        summary = [{"index": index, "type": "summary_text", "text": words}]
        return chunk({"type": "reasoning", "index": 0, "summary": summary})

    def cited(url: str) -> dict[str, Any]:
        return chunk({"type": "text", "index": 2, "text": "", "annotations": [{"url": url}]})

    def image(data: str) -> dict[str, Any]:
        return chunk({"type": "image", "base64": data, "mime_type": "image/png"})

    search = {"type": "server_tool_use", "index": 1, "id": "s", "name": "web_search", "input": {}}
    chunks = [
        chunk(id="resp_1"),
        *(thought(0, "I "), thought(0, "see."), thought(1, "So "), thought(1, "be it.")),
        *(chunk(search), chunk({"type": "input_json_delta", "index": 1, "partial_json": '{"query":'})),
        chunk({"type": "input_json_delta", "index": 1, "partial_json": '"x"}'}),
        chunk({"type": "text", "index": 2, "text": "It rains."}),
        *(cited("u1"), cited("u2")),
        *(image(PIXEL), image("iVBORw0KGgp=")),
        chunk(response_metadata={"logprobs": {"content": [{"token": "It"}]}}),
        chunk(response_metadata={"logprobs": {"content": [{"token": " rains."}]}}),
    ]

    (message,) = collect(chunks)

    assert message.reasoning is not None
    assert message.reasoning.text == "I see.\nSo be it."
    assert message.content == "It rains."
    assert message.meta["citations"] == [{"url": "u1"}, {"url": "u2"}]
    assert message.meta["unmapped_parts"] == [{**search, "partial_json": '{"query":"x"}'}]
    assert [part.media.data for part in message.parts if part.media] == [PIXEL, "iVBORw0KGgp="]
    assert message.meta["extra"] == {"logprobs": {"content": [{"token": "It"}, {"token": " rains."}]}}
    assert message.meta["message_id"] == "resp_1"


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}]},
        {"role": "user", "content": [{"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"}]},
        {
            "role": "user",
            "content": [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}],
        },
        {"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": PIXEL}}]},
        {"role": "user", "parts": [{"type": "blob", "modality": "image", "mime_type": "image/png", "content": PIXEL}]},
        {"type": "human", "content": [{"type": "image", "base64": PIXEL, "mime_type": "image/png"}]},
        {
            "kind": "request",
            "parts": [
                {
                    "part_kind": "user-prompt",
                    "content": [{"kind": "binary", "data": PIXEL, "media_type": "image/png"}, "x"][:1],
                }
            ],
        },
    ],
    ids=["openai_chat", "openai_responses", "anthropic", "google_genai", "otel", "langchain", "pydantic_ai"],
)
def test_an_image_is_the_same_part_in_every_dialect(message: dict[str, Any]) -> None:
    (found,) = from_messages(message)

    assert [part.to_dict() for part in found.parts] == [
        {"type": "image", "media": {"data": PIXEL, "mime_type": "image/png"}}
    ]
    assert found.content == ""


def test_results_inside_a_users_message_come_before_what_the_user_says() -> None:
    content = [
        {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "1"}], "is_error": True},
        {"type": "tool_result", "tool_use_id": "b", "content": "2"},
        {"type": "text", "text": "go on"},
    ]

    found = from_messages({"role": "user", "content": content})

    assert [(message.role, message.content) for message in found] == [("tool", "1"), ("tool", "2"), ("user", "go on")]
    assert [message.tool_result.error for message in found[:2] if message.tool_result] == ["1", ""]


def test_instructions_that_repeat_are_said_once(shape: Shape) -> None:
    requests = [
        {"kind": "request", "instructions": text, "parts": [{"part_kind": "user-prompt", "content": text}]}
        for text in ("a", "a", "b")
    ]

    found = from_messages(requests)

    assert [message.content for message in found if message.role == "system"] == ["a", "b"]


def test_contents_of_a_request_are_what_the_sdk_makes_of_them() -> None:
    """google-genai takes texts and parts for contents; those that follow each other are one content."""
    image = {"inline_data": {"data": "aGk=", "mime_type": "image/png"}}
    answer = {"role": "model", "parts": [{"text": "A cat."}]}
    file = SimpleNamespace(name="files/1", uri="https://example.org/1", mime_type="audio/wav")

    messages = from_messages({"contents": ["What", "is it?", image, answer, [file, "And this?"], "Well?"]})
    instructed = [
        from_messages({"contents": given, "config": SimpleNamespace(system_instruction=system)})
        for given, system in [
            ("Hi", ["Be brief.", {"text": "Be kind."}]),
            ({"text": "Hi"}, {"parts": [{"text": "Be brief.\nBe kind."}]}),
            ([{"role": "user", "parts": [{"text": "Hi"}]}], "Be brief.\nBe kind."),
        ]
    ]

    assert [(message.role, message.content, [part.type for part in message.parts]) for message in messages] == [
        ("user", "What\nis it?", ["text", "text", "image"]),
        ("assistant", "A cat.", []),
        ("user", "And this?", ["audio", "text"]),
        ("user", "Well?", []),
    ]
    for said in instructed:
        assert [(message.role, message.content) for message in said] == [
            ("system", "Be brief.\nBe kind."),
            ("user", "Hi"),
        ]


def test_what_is_not_recognised_says_what_was_seen_and_lists_the_sources() -> None:
    with pytest.raises(UnrecognisedSourceError) as caught:
        from_messages([{"role": "user", "content": "hi"}, {"colour": "red"}])

    assert str(caught.value) == (
        "wanted messages, a response or a list of them, not {'colour': 'red'} (nobody recognises item 2 of 2); "
        f"source= is 'auto' or one of {', '.join(source_names())}"
    )


def test_a_source_that_does_not_exist_is_named() -> None:
    with pytest.raises(UnrecognisedSourceError, match=r"there is no source 'opanai'"):
        from_messages([], source="opanai")


def test_no_library_is_imported() -> None:
    """A suite that tests without them must not pay for them."""
    script = (
        "import json, sys\n"
        "from pytest_arena_state.capture import from_messages\n"
        "from_messages(json.loads(sys.argv[1]))\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    conversation = json.dumps([{"role": "user", "content": "hi"}])

    loaded = subprocess.run(
        [sys.executable, "-c", script, conversation], capture_output=True, text=True, check=True
    ).stdout

    libraries = (
        "agents",
        "anthropic",
        "google",
        "langchain_core",
        "litellm",
        "mcp",
        "openai",
        "opentelemetry",
        "pydantic_ai",
    )
    assert [name for name in libraries if f"'{name}'" in loaded] == []
