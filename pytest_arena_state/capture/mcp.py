"""MCP: what a tool of a server returned.

A result knows neither the tool's name nor the call's id: they are the caller's to give, or
those of the first call in the conversation that has no result yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .blocks import read_content
from .draft import tool_draft
from .shape import as_text, mappings, snaked
from .source import Claim, Source

if TYPE_CHECKING:
    from ..messages import Message

_READ = ("content", "is_error", "structured_content", "result_type")
_FOREIGN = {"role", "type", "object", "kind", "tool_use_id", "tool_call_id"}


def claims(item: Any) -> Claim:
    """A list of content beside the mark of an error, which is always written."""
    fields = snaked(item)
    content = fields.get("content")
    if not isinstance(content, list) or _FOREIGN & fields.keys():
        return Claim.NO
    marked = "is_error" in fields or "structured_content" in fields or fields.get("result_type") == "complete"
    typed = all(isinstance(block.get("type"), str) for block in mappings(content))
    return Claim.SURE if marked and typed and len(mappings(content)) == len(content) else Claim.NO


def read(items: list[Any]) -> list[Message]:
    """A ``tool`` message for each result."""
    return [_read_one(snaked(item)) for item in items]


def _read_one(item: dict[str, Any]) -> Message:
    draft = tool_draft(failed=item.get("is_error") is True)
    read_content(draft, item.get("content"))
    structured = item.get("structured_content")
    draft.note(structured_content=structured)
    if not draft.parts and structured is not None:
        draft.say(as_text(structured))
    draft.note_rest(item, _READ)
    return draft.message()


SOURCE = Source(name="mcp", claims=claims, read=read)
