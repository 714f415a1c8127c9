"""OpenAI Responses: responses and items; the Agents SDK's inputs, items and results.

A model's turn is a row of items. Reasoning begins a message, calls join the one before them,
and a further text begins the next, so a response and the same items in a list give the same
messages. What belongs to a response as a whole (usage, id) stands in its last message. Tools
that the provider runs itself are kept as unmapped parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .blocks import media_part, read_content
from .draft import Draft, tool_draft
from .plain import attribute, called
from .responses_stream import joins
from .shape import as_text, count, first, kinds, listed, mapping, mappings, moment, text
from .source import Claim, Source

if TYPE_CHECKING:
    from ..messages import Message

_ROLES = {"system", "developer", "user", "assistant"}
_BLOCKS = {"input_text", "output_text", "input_image", "input_file"}
_CLIENT_CALLS = {
    "function_call", "custom_tool_call", "computer_call", "local_shell_call", "shell_call", "apply_patch_call",
}  # fmt: skip
_SERVER_ITEMS = {
    "web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call", "mcp_call",
    "mcp_list_tools", "mcp_approval_request", "mcp_approval_response", "compaction", "item_reference",
    "tool_search_call", "tool_search_output",
}  # fmt: skip
_UNFINISHED = ("in_progress", "queued")
_NO_ID = "__fake_id__"  # what the Agents SDK gives to answers of other interfaces: the same to each
# What a response repeats of its request.
_ECHOES = (
    "object", "output", "id", "model", "created_at", "status", "usage", "incomplete_details", "output_text",
    "tools", "tool_choice", "text", "temperature", "top_p", "top_logprobs", "parallel_tool_calls", "truncation",
    "background", "completed_at", "max_output_tokens", "max_tool_calls", "prompt_cache_key", "prompt_cache_retention",
    "response_id", "raw_usage", "request_id", "reasoning", "store", "frequency_penalty", "presence_penalty",
)  # fmt: skip


def claims(item: Any) -> Claim:
    """A response by its output, an item by its type."""
    if not isinstance(item, dict):
        return Claim.NO
    if isinstance(item.get("output"), list) and (
        item.get("object") == "response" or "response_id" in item or _has_usage(item)
    ):
        return Claim.SURE
    kind, role, content = item.get("type"), item.get("role"), item.get("content")
    if isinstance(kind, str) and kind != "message":
        if kind in _CLIENT_CALLS or kind.endswith("_call_output"):
            return Claim.SURE if isinstance(item.get("call_id"), str) else Claim.NO
        if kind in _SERVER_ITEMS:
            return Claim.SURE
        mine = kind == "reasoning" and any(key in item for key in ("summary", "encrypted_content"))
        return Claim.SURE if mine else Claim.NO
    if role not in _ROLES or "parts" in item or any(item.get(key) is not None for key in ("tool_calls", "choices")):
        return Claim.NO
    found = kinds(content)
    if kind == "message" and (isinstance(content, str) or found <= _BLOCKS | {"refusal"}):
        return Claim.NO if "stop_reason" in item or not isinstance(content, str | list) else Claim.SURE
    if kind is None and isinstance(content, list):
        return Claim.SURE if found & _BLOCKS else Claim.NO
    return Claim.MAYBE if kind is None and isinstance(content, str) else Claim.NO


def _has_usage(item: dict[str, Any]) -> bool:
    """As the Agents SDK has a response of another API, which has no id."""
    return isinstance(item.get("usage"), dict) and any(claims(each) is Claim.SURE for each in item["output"])


def opens(value: object) -> object | None:
    """A result or an item of the Agents SDK, or what a request is made of."""
    if isinstance(value, dict):
        if not isinstance(value.get("input"), str | list) or "role" in value or "type" in value:
            return None
        system = value.get("instructions")
        items = _as_items(value["input"])
        return [{"role": "system", "content": system}, *items] if isinstance(system, str) and system else items
    responses, new_items = attribute(value, "raw_responses"), attribute(value, "new_items")
    if isinstance(responses, list) and isinstance(new_items, list):
        return _opened_result(value, responses, new_items)
    raw = attribute(value, "raw_item")
    return raw if raw is not None and isinstance(attribute(value, "type"), str) else None


def _opened_result(result: object, responses: list[Any], new_items: list[Any]) -> object:
    """The input, each response, and after it the results of its calls.

    The result's own list of items is the same without usage and ids.
    """
    if not responses:
        items = called(result, "to_input_list")
        return items if isinstance(items, list) else None
    outputs = [raw for item in new_items if _is_output(raw := attribute(item, "raw_item"))]
    opened = [*_as_items(attribute(result, "input"))]
    for response in responses:
        opened.append(response)
        made = attribute(response, "output")
        calls = {_field(item, "call_id") for item in made} if isinstance(made, list) else set()
        opened += [output for output in outputs if _field(output, "call_id") in calls]
        outputs = [output for output in outputs if _field(output, "call_id") not in calls]
    return opened + outputs


def _field(item: object, name: str) -> str:
    return text(item.get(name) if isinstance(item, dict) else attribute(item, name))


def _is_output(item: object) -> bool:
    return _field(item, "type").endswith("_output") and bool(_field(item, "call_id"))


def _as_items(given: Any) -> list[Any]:
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    return list(given) if isinstance(given, list) else []


def read(items: list[Any]) -> list[Message]:
    """The messages of responses and items."""
    turn = _Turn()
    for item in items:
        fields = mapping(item)
        if isinstance(fields.get("output"), list) and "call_id" not in fields:
            turn.close()
            turn.response(fields)
            turn.close()
        else:
            turn.item(fields)
    turn.close()
    return turn.messages


class _Turn:
    """Folds a row of items into messages."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._drafts: list[Draft] = []  # the model's, until somebody else speaks

    def close(self) -> None:
        self.messages += [draft.message() for draft in self._drafts]
        self._drafts = []

    def response(self, response: dict[str, Any]) -> None:
        for item in listed(response["output"]):
            self.item(mapping(item))
        draft = self._model()
        status, why = response.get("status"), mapping(response.get("incomplete_details")).get("reason")
        draft.finish(why or (status if status not in _UNFINISHED else ""))
        response_id = first(response, "id", "response_id")
        for each in self._drafts:
            each.timestamp = moment(response.get("created_at"))
            each.note(model=response.get("model"), response_id=None if response_id == _NO_ID else response_id)
        draft.note_rest(response, _ECHOES)
        _read_usage(draft, response.get("usage"))

    def item(self, item: dict[str, Any]) -> None:
        kind = text(item.get("type")) or "message"
        if kind == "message":
            self._message(item)
        elif kind == "reasoning":
            self._reasoning(item)
        elif kind in _CLIENT_CALLS:
            self._call(item, kind)
        elif kind.endswith("_call_output"):
            self.close()
            self.messages.append(_read_output(item, kind).message())
        else:
            self._model().keep(item)

    def _model(self, *, fresh: bool = False) -> Draft:
        """The model's message that is being read; a fresh one where it has said or called something."""
        if not self._drafts or (fresh and (self._drafts[-1].parts or self._drafts[-1].calls)):
            self._drafts.append(Draft("assistant"))
        return self._drafts[-1]

    def _message(self, item: dict[str, Any]) -> None:
        role = text(item.get("role")) or "assistant"
        if role == "assistant":
            draft = self._model(fresh=True)
        else:
            self.close()
            draft = Draft("system" if role == "developer" else role)
            draft.note(role=role if role == "developer" else None)
        read_content(draft, item.get("content"))
        draft.note(message_id=None if item.get("id") == _NO_ID else item.get("id"))
        _note_provider(draft, item)
        draft.note_rest(item, ("type", "role", "content", "id", "status"))
        if role != "assistant":
            self.messages.append(draft.message())

    def _reasoning(self, item: dict[str, Any]) -> None:
        draft = self._model(fresh=True)
        for entry in [*listed(item.get("summary")), *listed(item.get("content"))]:
            draft.think(mapping(entry).get("text"))
        draft.think_opaquely(
            item.get("encrypted_content"), provider="openai", kind="encrypted_content", ref=item.get("id")
        )
        _note_provider(draft, item)
        draft.note_rest(item, ("type", "summary", "content", "encrypted_content", "id", "status"))

    def _call(self, item: dict[str, Any], kind: str) -> None:
        free = "arguments" not in item
        self._model().call(
            item.get("call_id"),
            item.get("name") or kind.removesuffix("_call"),
            first(item, "arguments", "input", "action", "operation", "actions"),
            free_text=free,
        )
        known = ("type", "id", "call_id", "name", "arguments", "input", "status", "action", "operation", "actions")
        self._model().detail_call(item, known)
        _note_provider(self._model(), item)


def _note_provider(draft: Draft, item: dict[str, Any]) -> None:
    """What the Agents SDK knows of a response of another interface stands in each of its items."""
    told = mapping(item.get("provider_data"))
    draft.note(model=told.get("model"), response_id=told.get("response_id"))


def _read_output(item: dict[str, Any], kind: str) -> Draft:
    output = item.get("output")
    draft = tool_draft(id=item.get("call_id"))
    shown = media_part(output, "image") if isinstance(output, dict) and output.get("image_url") else None
    if shown is not None:
        draft.show(shown)
    elif isinstance(output, list) and output and len(mappings(output)) == len(output) and all(kinds(output)):
        read_content(draft, output)
    else:
        draft.say(as_text(output))
    if item.get("status") in ("failed", "incomplete"):
        draft.result_error = ""
    draft.note_rest(item, ("type", "call_id", "output", "status", "id"))
    return draft


def _read_usage(draft: Draft, usage: Any) -> None:
    if not isinstance(usage, dict):
        return
    # The second names are those of chat completions, in which LiteLLM tells its callbacks of these responses.
    details = first(usage, "input_tokens_details", "prompt_tokens_details")
    details = mapping(details[0] if isinstance(details, list) and details else details)
    cached = count(details.get("cached_tokens"))
    draft.use(
        input=max(0, count(first(usage, "input_tokens", "prompt_tokens")) - cached),
        cached=cached,
        output=first(usage, "output_tokens", "completion_tokens"),
        written=details.get("cache_write_tokens"),
        reasoning=mapping(first(usage, "output_tokens_details", "completion_tokens_details")).get("reasoning_tokens"),
        reported=usage,
    )


SOURCE = Source(name="openai_responses", claims=claims, read=read, opens=opens, joins=joins)
