"""google-genai: it runs the tool itself, and its response has the whole history."""

from collections.abc import Callable
from typing import Any

import pytest

from pytest_arena_state import ArenaRun
from shop import ANSWER, QUESTION, track_parcel

genai = pytest.importorskip("google.genai", reason="needs google-genai: pip install google-genai")


def response(part: dict[str, Any], read: int, written: int) -> dict[str, Any]:
    """What the model's server says."""
    return {
        "candidates": [{"content": {"role": "model", "parts": [part]}, "index": 0, "finishReason": "STOP"}],
        "modelVersion": "gemini-2.5-flash",
        "usageMetadata": {"promptTokenCount": read, "candidatesTokenCount": written, "totalTokenCount": read + written},
    }


@pytest.mark.arena(scenario_id="late-parcel", provider_id="google")
def test_the_parcel_is_looked_up(arena_run: ArenaRun, serve: Callable[..., str]) -> None:
    address = serve(
        response({"functionCall": {"name": "track_parcel", "args": {"order_id": "T-1002"}}}, 60, 12),
        response({"text": ANSWER}, 85, 9),
    )
    client = genai.Client(api_key="none", http_options={"base_url": address})
    config = {"tools": [track_parcel]}

    answered = client.models.generate_content(model="gemini-2.5-flash", contents=QUESTION, config=config)
    arena_run.add(answered)

    arena_run.called("track_parcel", {"order_id": "T-1002"}, times=1)
    arena_run.said("on its way")
