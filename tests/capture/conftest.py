"""One conversation, as every source tells it: recorded shapes, a fake server, what must come out.

The shapes are what the providers' servers answer and what the libraries dump, with a tool call,
its result and an answer. The same files are served to the real clients.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_arena_state.messages import Message

SHAPES = Path(__file__).parent / "shapes"
SYSTEM = "You answer in one sentence."
QUESTION = "What is the weather in Bern?"
OUTPUT = "18 °C, sunny"
ANSWER = "It is 18 °C and sunny in Bern."
#: Role, text, calls, result, why the model stopped, tokens (input, output, cached).
EXPECTED: list[dict[str, Any]] = [
    {"role": "system", "text": SYSTEM},
    {"role": "user", "text": QUESTION},
    {
        "role": "assistant",
        "calls": [("call_1", "get_weather", {"city": "Bern"})],
        "finish": "tool_use",
        "tokens": (30, 10, 20),
    },
    {"role": "tool", "text": OUTPUT, "result": ("call_1", "get_weather", OUTPUT, "", [OUTPUT])},
    {"role": "assistant", "text": ANSWER, "finish": "stop", "tokens": (80, 12, 0)},
]


def told(messages: list[Message]) -> list[dict[str, Any]]:
    """What was said, without times, ids of responses and whatever else only some sources know."""
    return [{key: value for key, value in _told(message).items() if value} for message in messages]


def _told(message: Message) -> dict[str, Any]:
    result, cost = message.tool_result, message.cost_info
    return {
        "role": message.role,
        "text": message.content,
        "parts": [part.to_dict() for part in message.parts],
        "calls": [(call.id, call.name, call.args) for call in message.tool_calls],
        "result": result
        and (result.id, result.name, result.content, result.error, [part.text for part in result.parts]),
        "finish": message.finish_reason,
        "tokens": cost and (cost.input_tokens, cost.output_tokens, cost.cached_tokens),
    }


@pytest.fixture
def shape() -> Callable[[str], Any]:
    """A recorded shape, read anew."""
    return lambda name: json.loads((SHAPES / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture
def expected() -> list[dict[str, Any]]:
    """The one conversation."""
    return [dict(entry) for entry in EXPECTED]


@pytest.fixture(name="told")
def told_fixture() -> Callable[[list[Message]], list[dict[str, Any]]]:
    """What was said."""
    return told


@pytest.fixture
def serve(httpserver: Any) -> Callable[..., str]:
    """Answer each request with the next of some bodies: a dict as JSON, a list as server-sent events.

    Returns the server's address.
    """
    response = pytest.importorskip("werkzeug").Response

    def start(*bodies: Any, named_events: bool = False, done: bool = True) -> str:
        waiting = list(bodies)

        def answer(_request: Any) -> Any:
            body = waiting.pop(0)
            if isinstance(body, dict):
                return response(json.dumps(body), content_type="application/json")
            lines = []
            for event in body:
                lines += [f"event: {event['type']}"] if named_events else []
                lines += [f"data: {json.dumps(event)}", ""]
            lines += ["data: [DONE]", ""] if done else []
            return response("\n".join(lines) + "\n", content_type="text/event-stream")

        httpserver.expect_request(re.compile(".*")).respond_with_handler(answer)
        return str(httpserver.url_for("")).rstrip("/")

    return start
