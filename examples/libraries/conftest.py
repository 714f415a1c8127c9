"""A model's server that runs here: offline, free, and always of the same opinion."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Answer each request with the next of some JSON bodies; returns the server's address."""
    waiting: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = json.dumps(waiting.pop(0)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def start(*bodies: Any) -> str:
        waiting.extend(bodies)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    server.shutdown()
    server.server_close()


def _completion(number: int, message: dict[str, Any], reason: str, read: int, written: int) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": reason}
    usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 1767225600,
        "model": "gpt-5-mini",
        "choices": [choice],
        "usage": usage,
    }


@pytest.fixture
def completions() -> list[dict[str, Any]]:
    """What a server of OpenAI's chat completions says: a tool call, then the answer."""
    call = {"name": "track_parcel", "arguments": '{"order_id": "T-1002"}'}
    return [
        _completion(
            1,
            {"content": None, "tool_calls": [{"id": "c1", "type": "function", "function": call}]},
            "tool_calls",
            60,
            12,
        ),
        _completion(2, {"content": "It is on its way to Lyon."}, "stop", 85, 9),
    ]
