"""LangChain and LangGraph: messages, their dumps, results of models, states and streamed chunks.

Arguments of a call that do not parse come as ``invalid_tool_calls``; they are calls like
others, with their text kept. A graph's state is read by its ``messages``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .blocks import read_audio, read_block
from .draft import Draft, tool_draft
from .plain import attribute
from .shape import as_text, count, first, listed, mapping, mappings, text
from .source import Claim, Source

if TYPE_CHECKING:
    from ..messages import Message

_ROLES = {"human": "user", "ai": "assistant", "system": "system", "developer": "system", "tool": "tool",
          "function": "tool"}  # fmt: skip
_CLASSES = {"HumanMessage": "human", "AIMessage": "ai", "SystemMessage": "system", "ToolMessage": "tool",
            "FunctionMessage": "function", "ChatMessage": "chat"}  # fmt: skip
_READ = (
    "type", "role", "content", "name", "id", "tool_calls", "invalid_tool_calls", "tool_call_chunks", "usage_metadata",
    "response_metadata", "additional_kwargs", "tool_call_id", "status", "artifact", "chunk_position", "example",
)  # fmt: skip
_ARGUMENTS = "input_json_delta"  # of the block before it, in Anthropic's streams
# In a model's content these stand again in `tool_calls`.
_CALL_BLOCKS = {"tool_use", "tool_call", "tool_call_chunk", "invalid_tool_call", "function_call", _ARGUMENTS}
_RUN_ID = "lc_run-"
_TEXTS = ("text", "thinking", "reasoning")
# What comes piece by piece; of other texts each piece has the whole.
_STREAMED = {
    "text", "thinking", "reasoning", "reasoning_content", "signature", "refusal", "partial_json", "args", "arguments",
    "data", "transcript",
}  # fmt: skip
_READ_METADATA = ("model_name", "model", "finish_reason", "stop_reason", "done_reason", "id")


def claims(item: Any) -> Claim:
    """A message by its type, in any of its dumps."""
    fields = _unwrapped(item)
    kind = fields.get("type")
    if isinstance(kind, str) and _kind(kind) in (*_ROLES, "chat") and "content" in fields:
        return Claim.SURE
    return Claim.NO


def read(items: list[Any]) -> list[Message]:
    """The messages of messages."""
    return [_read_one(_unwrapped(item)).message() for item in items]


def opens(value: object) -> object | None:
    """What a model gave, as callbacks and ``generate`` see it: the first answer to each prompt."""
    if isinstance(value, dict):
        generations = value.get("generations")
    else:
        generations = attribute(value, "generations")
        if generations is None and attribute(value, "generation_info") is not None:
            generations = [value]  # a single one
    if not isinstance(generations, list):
        return None
    firsts = [row[0] if isinstance(row, list) and row else row for row in generations]
    messages = [entry.get("message") if isinstance(entry, dict) else attribute(entry, "message") for entry in firsts]
    return messages if messages and None not in messages else None


def _kind(kind: str) -> str:
    """The type of a message or of its chunk: a chunk's is the name of its class."""
    return _CLASSES.get(kind.removesuffix("Chunk"), kind)


def _unwrapped(item: Any) -> dict[str, Any]:
    fields = mapping(item)
    if fields.get("lc") == 1 and isinstance(fields.get("kwargs"), dict):
        name = listed(fields.get("id"))[-1:]
        return {"type": _CLASSES.get(text(name[0]).removesuffix("Chunk"), "") if name else "", **fields["kwargs"]}
    if isinstance(fields.get("data"), dict) and "content" not in fields:
        return {"type": fields.get("type"), **fields["data"]}
    return fields


def _read_one(item: dict[str, Any]) -> Draft:
    kind = _kind(text(item.get("type")))
    role = _ROLES.get(kind) or text(item.get("role")) or "user"
    content = item.get("content")
    if role == "tool":
        draft = tool_draft(id=item.get("tool_call_id"), name=item.get("name"), failed=item.get("status") == "error")
        draft.note(artifact=item.get("artifact"))
    else:
        draft = Draft(role)
        draft.note(name=item.get("name"))
    for block in content if isinstance(content, list) else [content]:
        if not (role == "assistant" and isinstance(block, dict) and block.get("type") in _CALL_BLOCKS):
            read_block(draft, block)
    for call in [*mappings(item.get("tool_calls")), *mappings(item.get("invalid_tool_calls"))]:
        draft.call(call.get("id"), call.get("name"), call.get("args"))
        draft.detail_call(call, ("id", "name", "args", "type", "index"))
    _read_metadata(draft, item)
    draft.note(message_id=item.get("id"))
    draft.note_rest(item, _READ)
    return draft


def _read_metadata(draft: Draft, item: dict[str, Any]) -> None:
    metadata, more = mapping(item.get("response_metadata")), {**mapping(item.get("additional_kwargs"))}
    refusal = more.get("refusal")
    if isinstance(refusal, str) and refusal:
        draft.refused = True
        draft.note(refusal=refusal)
        if not draft.parts:
            draft.say(refusal)
    draft.think(more.get("reasoning_content"))
    if isinstance(more.get("audio"), dict):
        read_audio(draft, more.pop("audio"))
    if mapping(more.get("reasoning")).get("type") == "reasoning":  # an item of OpenAI's, in the oldest of the formats
        read_block(draft, more.pop("reasoning"))
    draft.finish(
        mapping(metadata.get("incomplete_details")).get("reason")
        or first(metadata, "finish_reason", "stop_reason", "done_reason", "status")
    )
    draft.note(model=first(metadata, "model_name", "model"), response_id=metadata.get("id"))
    draft.note_rest(metadata, _READ_METADATA)
    draft.note_rest(more, ("tool_calls", "function_call", "refusal", "reasoning_content"))
    usage = mapping(item.get("usage_metadata"))
    # Zero for an answer from LangChain's own cache, which repeats the tokens of the one that was paid.
    draft.note(reported_cost_usd=usage.get("total_cost"))
    if usage:
        details = mapping(usage.get("input_token_details"))
        cached = count(details.get("cache_read"))
        draft.use(
            input=max(0, count(usage.get("input_tokens")) - cached),
            cached=cached,
            output=usage.get("output_tokens"),
            # Anthropic's writes come by how long they are kept.
            written=sum(
                count(details[key]) for key in details if key == "cache_creation" or key.startswith("ephemeral")
            ),
            reasoning=mapping(usage.get("output_token_details")).get("reasoning"),
            reported=usage,
        )


# --- streams -----------------------------------------------------------------------------


def joins(chunks: list[Any]) -> list[Any] | None:
    """The messages that streamed chunks amount to; a graph's ``messages`` stream pairs each with its place."""
    found: dict[str, dict[str, Any]] = {}
    aliases: dict[str, str] = {}
    last = ""
    seen = False
    for given in chunks:
        chunk = _unwrapped(given[0] if isinstance(given, list) and given else given)
        kind = text(chunk.get("type"))
        if claims(chunk) is Claim.NO:
            continue
        seen = seen or kind.endswith("Chunk") or isinstance(given, list)
        key = text(chunk.get("id")) or f"{kind}-{text(chunk.get('tool_call_id'))}"
        if not kind.endswith("Chunk"):
            found[key] = chunk  # whole, perhaps after its own chunks
            last = ""
            continue
        begun = found.get(last, {})
        if begun and not (begun["content"] or begun["_calls"]) and last.startswith(_RUN_ID) != key.startswith(_RUN_ID):
            # The first chunk may bear the provider's id of the answer, and the others that of the run.
            aliases.setdefault(key, last)
        last = key
        _add_chunk(found.setdefault(aliases.get(key, key), {"type": _kind(kind), "content": ""}), chunk)
    for whole in found.values():
        pieces = whole.pop("_calls", {})
        if pieces:
            whole["tool_calls"] = [pieces[place] for place in sorted(pieces)]
    return list(found.values()) if seen else None


def _add_chunk(whole: dict[str, Any], chunk: dict[str, Any]) -> None:
    whole["content"] = _added(whole["content"], chunk.get("content"))
    for key in ("id", "name"):
        # The provider's id of an answer stays; that of the run may come before it and after it.
        if chunk.get(key) is not None and not (whole.get(key) and text(chunk[key]).startswith(_RUN_ID)):
            whole[key] = chunk[key]
    for key in ("response_metadata", "additional_kwargs"):
        whole[key] = _grown(mapping(whole.get(key)), mapping(chunk.get(key)))
    usage = mapping(chunk.get("usage_metadata"))
    if usage:
        whole["usage_metadata"] = _summed(mapping(whole.get("usage_metadata")), usage)
    pieces = whole.setdefault("_calls", {})
    for number, piece in enumerate(mappings(chunk.get("tool_call_chunks"))):
        place = piece.get("index")
        call = pieces.setdefault(as_text(len(pieces) + number if place is None else place).zfill(6), {"args": ""})
        for key in ("id", "name"):
            if isinstance(piece.get(key), str) and piece[key]:
                call[key] = piece[key]
        call["args"] += text(piece.get("args"))
    if not chunk.get("tool_call_chunks"):
        for call in mappings(chunk.get("tool_calls")):
            pieces[f"{len(pieces):06d}"] = call


def _added(said: Any, more: Any) -> Any:
    if more is None or more in ("", []):
        return said
    if isinstance(said, str) and isinstance(more, str):
        return said + more
    blocks = [*(said if isinstance(said, list) else [said] if said else [])]
    for block in more if isinstance(more, list) else [more]:
        last = blocks[-1] if blocks else None
        if isinstance(block, str) and isinstance(last, str):
            blocks[-1] = last + block
        elif isinstance(block, dict) and isinstance(last, dict) and _continues(last, block):
            blocks[-1] = _grown(last, {**block, "type": last["type"]})
        else:
            blocks.append(block)
    return blocks


def _continues(last: dict[str, Any], block: dict[str, Any]) -> bool:
    index, kind = block.get("index"), block.get("type")
    if index is None and kind not in _TEXTS:
        return False  # another image, say
    return bool(kind) and index == last.get("index") and kind in (last.get("type"), _ARGUMENTS) and "type" in last


def _grown(known: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Two pieces of one block or of one answer's fields: what streams is joined, all else is replaced."""
    out = {**known}
    for key, value in more.items():
        before = out.get(key)
        if isinstance(before, str) and isinstance(value, str):
            out[key] = before + value if key in _STREAMED else value
        elif isinstance(before, dict) and isinstance(value, dict):
            out[key] = _grown(before, value)
        elif isinstance(before, list) and isinstance(value, list):
            out[key] = _lengthened(before, value)
        elif value is not None or before is None:
            out[key] = value
    return out


def _lengthened(known: list[Any], more: list[Any]) -> list[Any]:
    """A list with what follows: summaries and log probabilities come piece by piece, citations one by one."""
    out = [*known]
    for entry in more:
        index = mapping(entry).get("index")
        at = next((at for at, old in enumerate(out) if index is not None and mapping(old).get("index") == index), None)
        if at is None:
            out.append(entry)
        else:
            out[at] = _grown(out[at], entry)
    return out


def _summed(known: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    out = {**known}
    for key, value in more.items():
        if isinstance(value, dict):
            out[key] = _summed(mapping(known.get(key)), value)
        elif key == "total_cost":
            out[key] = value  # dollars, which are no count
        else:
            out[key] = count(known.get(key)) + count(value)
    return out


SOURCE = Source(name="langchain", claims=claims, read=read, opens=opens, joins=joins)
