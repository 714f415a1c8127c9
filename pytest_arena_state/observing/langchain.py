"""LangChain and LangGraph: a callback handler, by way of ``register_configure_hook``.

The hook has a context variable whose default is the handler, so that it is there in every
thread and task. It is inherited by everything that a chain or a graph calls.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from time import time_ns
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..capture import from_messages
from ..capture.draft import tool_draft
from ..capture.plain import plain
from .calls import Call, Execution
from .observation import Observation, current

if TYPE_CHECKING:
    from .memory import Memory, Remembered

_DOOR = "langchain"
_MARK = "_arena_handler"
_KINDS = ("human", "ai", "system", "tool")
_EVENTS = (
    *("on_chat_model_start", "on_llm_start", "on_llm_end", "on_llm_error"),
    *("on_tool_start", "on_tool_end", "on_tool_error"),
)
_OF_A_GRAPH = ("GraphBubbleUp", "GraphInterrupt")  # by which LangGraph stops a tool, to run it again later


@dataclass(slots=True)
class _Started:
    observation: Observation
    began: int
    given: Any
    tool: bool = False
    name: str = ""
    provider: str = ""
    call_id: str = ""


_started: dict[Any, _Started] = {}


class _Events:
    """What LangChain calls; mixed into its base class, which we do not import."""

    # Beside one that runs inline, others are not told that an asynchronous call of a model of texts begins.
    run_inline = False
    raise_error = False  # never an error to the caller
    ignore_chain = ignore_retriever = ignore_retry = ignore_custom_event = True

    def on_chat_model_start(self, serialized: Any, messages: Any, *, run_id: Any, **more: Any) -> None:
        self._begin(run_id, messages[0] if messages else [], more)

    def on_llm_start(self, serialized: Any, prompts: Any, *, run_id: Any, **more: Any) -> None:
        self._begin(run_id, [{"role": "user", "content": prompt} for prompt in prompts], more)

    def _begin(self, run_id: Any, given: Any, more: dict[str, Any], *, tool: bool = False) -> None:
        observation = current()
        if observation is None:
            return
        metadata = more.get("metadata")
        provider = metadata.get("ls_provider") if isinstance(metadata, dict) else ""
        name, call_id = more.get("name"), more.get("tool_call_id")
        _started[run_id] = _Started(
            observation,
            time_ns(),
            # A list that the caller goes on to append to.
            list(given) if isinstance(given, list | tuple) else given,
            tool,
            name if isinstance(name, str) else "",
            provider if isinstance(provider, str) else "",
            call_id if isinstance(call_id, str) else "",
        )

    def on_llm_end(self, response: Any, *, run_id: Any, **_more: Any) -> None:
        self._finish(run_id, response, "")

    def on_llm_error(self, error: BaseException, *, run_id: Any, response: Any = None, **_more: Any) -> None:
        self._finish(run_id, response, _why(error))

    def _finish(self, run_id: Any, response: Any, error: str) -> None:
        started = _started.pop(run_id, None)
        if started is not None:
            _tell(started, response, error)

    def on_tool_start(self, serialized: Any, input_str: str, *, run_id: Any, **more: Any) -> None:
        name = more.get("name") or (serialized.get("name") if isinstance(serialized, dict) else "")
        self._begin(run_id, more.get("inputs"), {**more, "name": name}, tool=True)

    def on_tool_end(self, output: Any, *, run_id: Any, **_more: Any) -> None:
        self._finish_tool(run_id, output, "")

    def on_tool_error(self, error: BaseException, *, run_id: Any, **_more: Any) -> None:
        if any(kind.__name__ in _OF_A_GRAPH for kind in type(error).__mro__):
            _started.pop(run_id, None)
            return
        self._finish_tool(run_id, None, _why(error))

    def _finish_tool(self, run_id: Any, output: Any, error: str) -> None:
        ended = time_ns()
        started = _started.pop(run_id, None)
        if started is None:
            return
        returned = _tool_message(output, started.call_id)
        if returned is not None:
            message = from_messages(returned)[0]
        else:
            if isinstance(output, list | dict | str | int | float | bool | None):
                draft = tool_draft(id=started.call_id, name=started.name, output=output, error=error)
            else:
                return  # a command to the graph that says nothing about this call
            message = draft.message()
        result = message.tool_result
        if result is not None:
            result.latency_ms = message.latency_ms = round((ended - started.began) / 1e6)
            result.name = result.name or started.name
        started.observation.execution(Execution(door=_DOOR, message=message, args=started.given))


async def _like_this() -> None:
    """What a function looks like that can be awaited."""


class _Done:
    """Can be awaited, and is no coroutine, so that nobody has to."""

    def __await__(self) -> Iterator[Any]:
        return iter(())


class _AtOnce:
    """An event that is taken when it is told, in the thread and the context of the call, and can be awaited.

    LangChain would give a plain function to a pool of threads where the call is asynchronous, and a coroutine to an
    event loop of its own where it is not.
    """

    def __init__(self, take: Callable[..., None]) -> None:
        self._take = take
        for name in ("__name__", "__code__", "__defaults__", "__kwdefaults__", "__annotations__"):
            setattr(self, name, getattr(_like_this, name))

    def __call__(self, *args: Any, **more: Any) -> _Done:
        self._take(*args, **more)
        return _Done()


def _tell(started: _Started, response: Any, error: str) -> None:
    ended = time_ns()
    try:
        answers = [] if response is None else _answers(response)
        if error:
            # What arrived before it; or an empty message that only bears the error's own fields.
            answers = [answer for answer in answers if answer.text or answer.tool_calls or answer.reasoning]
        for answer in answers:
            if answer.cost_info is not None and not answer.cost_info.provider_name:
                answer.cost_info.provider_name = started.provider
        remembered = _remembered(started.observation.memory, started.given)
        call = Call(
            door=_DOOR,
            history=from_messages(started.given) if remembered is None else [message for message, _ in remembered],
            says=[says for _, says in remembered or ()],
            answers=answers,
            started=started.began,
            ended=ended,
            error=error,
        )
    except Exception as failed:  # noqa: BLE001 - whatever a model of the user's gives
        started.observation.problem(f"{_DOOR}: a call was not understood: {type(failed).__name__}: {failed}")
        return
    started.observation.call(call)


def _why(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".removesuffix(": ")


def _tool_message(output: Any, call_id: str) -> Any:
    """The message that a tool returned, by itself or in a command to the graph; None where it returned none."""
    if getattr(output, "type", None) == "tool":
        return output
    for command in output if isinstance(output, list) else [output]:
        update = getattr(command, "update", None)
        said = update.get("messages") if isinstance(update, dict) else [command]
        for message in said if isinstance(said, list) else [said]:
            if getattr(message, "type", None) == "tool" and getattr(message, "tool_call_id", None) == call_id:
                return message
    return None


def settle(observation: Observation) -> None:
    """Tell of what a test began and did not end."""
    for run_id in [run_id for run_id, started in [*_started.items()] if started.observation is observation]:
        started = _started.pop(run_id, None)
        if started is None:
            continue
        kind = "tool" if started.tool else "call"
        why = f"a {kind} did not end before its test"
        if not started.tool:
            _tell(started, None, why)
        observation.problem(f"{_DOOR}: {why}")


def _is_message(item: Any) -> bool:
    # Others may be read with the help of their neighbours.
    return hasattr(type(item), "__pydantic_fields__") and getattr(item, "type", None) in _KINDS


def _remembered(memory: Memory, given: Any) -> list[Remembered] | None:
    if not isinstance(given, list) or not all(map(_is_message, given)):
        return None
    contents = ((item, (vars(item), getattr(item, "__pydantic_extra__", None))) for item in given)
    return memory.history(contents, lambda item: from_messages(item, _DOOR))


def _answers(response: Any) -> Any:
    generations = getattr(response, "generations", None) or []
    if not (generations and generations[0]):
        return []
    told = getattr(response, "llm_output", None)
    told = told if isinstance(told, dict) else {}
    first, *others = [_said(generation, told) for generation in generations[0]]
    answers = from_messages(first)
    if answers:
        # Of several answers, these stand beside them and not in each.
        for key, name in (("model", "model_name"), ("response_id", "id")):
            if isinstance(told.get(name), str):
                answers[-1].meta.setdefault(key, told[name])
        if others:
            answers[-1].meta.setdefault("further_choices", plain(others))
    return answers


def _said(generation: Any, told: dict[str, Any]) -> Any:
    message = getattr(generation, "message", None)
    if message is not None:
        return message
    # A model of texts.
    choice = {"message": {"role": "assistant", "content": getattr(generation, "text", "")}}
    reason = plain(getattr(generation, "generation_info", None) or {}).get("finish_reason")
    choices = [{**choice, "finish_reason": reason}]
    return {"object": "chat.completion", "choices": choices, "usage": told.get("token_usage") or None}


def install(module: ModuleType) -> None:
    """Register the handler, once for the module."""
    if hasattr(module, _MARK):
        return
    base: Any = sys.modules["langchain_core.callbacks.base"].BaseCallbackHandler
    handler = type("ArenaCallbackHandler", (_Events, base), {})()
    for name in _EVENTS:
        setattr(handler, name, _AtOnce(getattr(handler, name)))
    module.register_configure_hook(ContextVar(_MARK, default=handler), inheritable=True)
    setattr(module, _MARK, handler)


#: Imported by LangChain itself when it configures its first call.
DOORS = {"langchain_core.tracers.context": install}
