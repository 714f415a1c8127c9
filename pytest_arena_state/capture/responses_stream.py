"""Streamed events of OpenAI Responses and of the Agents SDK, put together into items.

An event that carries the whole response wins. A stream that was cut off before it still gives
its finished items, and the text and arguments of those that were under way.
"""

from __future__ import annotations

from typing import Any

from .shape import count, listed, mapping, mappings, text

_WHOLE = ("response.completed", "response.incomplete", "response.failed", "response.done")


def joins(chunks: list[Any]) -> list[Any] | None:
    """The items that streamed events amount to; None when there is no such event."""
    found: list[Any] = []
    under_way: dict[str, Any] | None = None  # the response, its output a dict by index
    seen = False
    for event in mappings(chunks):
        kind = text(event.get("type"))
        if kind == "raw_response_event":
            event = mapping(event.get("data"))
            kind = text(event.get("type"))
            seen = True
        elif kind == "run_item_stream_event":
            seen = True
            raw = mapping(mapping(event.get("item")).get("raw_item"))
            if text(raw.get("type")).endswith("_output"):
                found.append(raw)
            continue
        if not kind.startswith("response."):
            continue
        seen = True
        if kind == "response.created":
            if under_way is not None:
                found.append(_closed(under_way))
            under_way = {**mapping(event.get("response")), "object": "response", "output": {}}
        elif kind in _WHOLE and isinstance(event.get("response"), dict):
            response = {**event["response"], "object": "response"}
            if not listed(response.get("output")) and under_way is not None:
                response["output"] = _closed(under_way)["output"]
            found.append(response)
            under_way = None
        else:
            under_way = under_way or {"object": "response", "output": {}}
            _add_event(under_way["output"], kind, event)
    if under_way is not None:
        found.append(_closed(under_way))
    return found if seen else None


def _closed(response: dict[str, Any]) -> dict[str, Any]:
    output = response["output"]
    return {**response, "output": [output[index] for index in sorted(output)]}


def _add_event(output: dict[int, dict[str, Any]], kind: str, event: dict[str, Any]) -> None:
    index = count(event.get("output_index"))
    if kind in ("response.output_item.added", "response.output_item.done"):
        output[index] = {**mapping(event.get("item"))}
        return
    piece = event.get("delta")
    if not isinstance(piece, str):
        return
    if kind == "response.output_text.delta":
        item = output.setdefault(index, {"type": "message", "role": "assistant"})
        _add_text(item, "content", "output_text", piece)
    elif kind == "response.refusal.delta":
        item = output.setdefault(index, {"type": "message", "role": "assistant"})
        _add_text(item, "content", "refusal", piece)
    elif kind == "response.reasoning_summary_text.delta":
        _add_text(output.setdefault(index, {"type": "reasoning"}), "summary", "summary_text", piece)
    elif kind in ("response.function_call_arguments.delta", "response.custom_tool_call_input.delta"):
        field = "arguments" if "arguments" in kind else "input"
        if index in output:
            output[index][field] = text(output[index].get(field)) + piece


def _add_text(item: dict[str, Any], field: str, kind: str, piece: str) -> None:
    blocks = [*listed(item.get(field))]
    key = "refusal" if kind == "refusal" else "text"
    if blocks and isinstance(blocks[-1], dict) and blocks[-1].get("type") == kind:
        blocks[-1] = {**blocks[-1], key: text(blocks[-1].get(key)) + piece}
    else:
        blocks.append({"type": kind, key: piece})
    item[field] = blocks
