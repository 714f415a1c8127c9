"""LiteLLM: a logger among its callbacks.

LiteLLM tells of a synchronous call from a pool of its own, after the call returned, so the end
of a test waits for that. Of an asynchronous call it tells in a task that may never run, because
the loop ends with the test; so its hooks that are awaited within the call are taken instead.

Of a synchronous stream that is left before its end it never tells, only of its pieces, and these
in any order. Such a stream is one of which nothing has been heard for a while.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic, time_ns
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .._forks import tell_of_forks
from ..capture import collect, from_messages
from .calls import Call
from .observation import Observation, current

if TYPE_CHECKING:
    from ..messages import Message

_DOOR = "litellm"
_MARK = "_arena_logger"
_QUIET = 0.5  # seconds without a word after which a stream counts as left
_NO_CONVERSATION = ("embedding", "rerank", "moderation", "image", "speech", "transcription")


@dataclass(slots=True)
class _Started:
    observation: Observation
    began: int
    history: Any
    awaited: bool
    """It is asynchronous, so it tells before it returns."""
    stream: bool = False
    heard: float = field(default_factory=monotonic)
    """When anything was last told of it."""
    chunks: list[Any] = field(default_factory=list)
    telling: bool = False
    """It is over, and the observation hears of it at this moment."""

    def may_be_told_until(self, deadline: float) -> float:
        """Until when, but for a deadline, LiteLLM may still tell of it."""
        if self.telling:
            return deadline
        if self.awaited:
            return 0.0
        return min(deadline, self.heard + _QUIET) if self.stream else deadline


_started: dict[Any, _Started] = {}
_changed = threading.Condition()


class _Forks:
    def _let_go_after_fork(self) -> None:
        global _changed
        _changed = threading.Condition()


_forks = _Forks()
tell_of_forks(_forks)


class _Events:
    """What LiteLLM calls; mixed into its base class, which we do not import."""

    def log_pre_api_call(self, model: Any, messages: Any, kwargs: Any) -> None:
        observation, key = current(), _key(kwargs)
        if observation is None or key is None:
            return
        if any(kind in str(kwargs.get("call_type")) for kind in _NO_CONVERSATION):
            return
        told = kwargs.get("litellm_params")
        options = {**(told if isinstance(told, dict) else {}), **kwargs}
        awaited = any(options.get(name) is True for name in ("acompletion", "aresponses", "atext_completion"))
        history = list(messages) if isinstance(messages, list) else messages
        with _changed:
            # A call that is tried again keeps its id.
            started = _Started(observation, time_ns(), history, awaited, kwargs.get("stream") is True)
            _started.setdefault(key, started)

    def log_stream_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        started = _started.get(_key(kwargs))
        if started is not None:
            started.heard = monotonic()

    def log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        whole = kwargs.get("complete_streaming_response") or kwargs.get("async_complete_streaming_response")
        if kwargs.get("stream") is True and whole is None:
            return  # a piece of it
        _finish(kwargs, whole or response_obj, start_time, end_time, cost=kwargs.get("response_cost"))

    async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        self.log_success_event(kwargs, response_obj, start_time, end_time)

    def log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        error = kwargs.get("exception")
        _finish(kwargs, None, start_time, end_time, f"{type(error).__name__}: {error}" if error else "failed")

    async def async_log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        self.log_failure_event(kwargs, response_obj, start_time, end_time)

    async def async_post_call_success_deployment_hook(self, request_data: Any, response: Any, call_type: Any) -> None:
        _finish(request_data, response, None, None, cost=_cost(request_data, response))

    async def async_post_call_streaming_deployment_hook(
        self, request_data: Any, response_chunk: Any, call_type: Any
    ) -> None:
        started = _started.get(_key(request_data))
        if started is not None:
            started.chunks.append(response_chunk)


def _key(kwargs: Any) -> Any:
    if not isinstance(kwargs, dict):
        return None
    # With fallbacks, the arguments of a call have another id than what is told of it.
    return getattr(_logging(kwargs), "litellm_call_id", None) or kwargs.get("litellm_call_id")


def _logging(kwargs: Any) -> Any:
    return kwargs.get("litellm_logging_obj") if isinstance(kwargs, dict) else None


def _cost(kwargs: Any, response: Any) -> Any:
    """What LiteLLM is about to write into the response, once its hooks have run; None where it cannot say."""
    try:
        return _logging(kwargs)._response_cost_calculator(result=response)
    except Exception:  # noqa: BLE001 - it is LiteLLM's own affair
        return None


def _finish(kwargs: Any, response: Any, start_time: Any, end_time: Any, error: str = "", cost: Any = None) -> None:
    """Tell of a call, the first time that anything says it is over. Never raises."""
    with _changed:
        started = _started.get(_key(kwargs))
        if started is None or started.telling:
            return
        started.telling = True
    try:
        began, ended = _nanoseconds(start_time) or started.began, _nanoseconds(end_time) or time_ns()
        _tell(started, response, began, ended, error, cost)
    finally:
        with _changed:
            _started.pop(_key(kwargs), None)
            _changed.notify_all()


def _tell(
    started: _Started,
    response: Any,
    began: int,
    ended: int,
    error: str = "",
    cost: Any = None,
    read: Callable[[Any], list[Message]] = from_messages,
) -> None:
    try:
        answers = [] if response is None else read(response)
        if answers and isinstance(cost, float | int) and cost > 0:
            answers[-1].meta.setdefault("reported_cost_usd", float(cost))
        call = Call(
            door=_DOOR,
            history=from_messages(started.history) if started.history else [],
            answers=answers,
            started=began,
            ended=ended,
            error=error,
        )
    except Exception as failed:  # noqa: BLE001 - LiteLLM speaks for a hundred providers
        started.observation.problem(f"{_DOOR}: a call was not understood: {type(failed).__name__}: {failed}")
    else:
        started.observation.call(call)


def _nanoseconds(time: Any) -> int:
    return round(time.timestamp() * 1e9) if isinstance(time, datetime) else 0


def settle(observation: Observation, timeout: float) -> None:
    """Wait, at most so many seconds, for what LiteLLM tells of a test's calls after they returned."""
    deadline = monotonic() + timeout
    with _changed:
        while True:
            mine = [started for started in _started.values() if started.observation is observation]
            wait = max((started.may_be_told_until(deadline) for started in mine), default=0.0) - monotonic()
            if wait <= 0:
                break
            _changed.wait(wait)
        left = [key for key, started in _started.items() if started.observation is observation]
        calls = [_started.pop(key) for key in left]
    for started in calls:
        if started.chunks:  # a stream of which only the pieces were told
            _tell(started, started.chunks, started.began, time_ns(), read=collect)
        elif not started.telling:
            unread = started.stream and not started.awaited
            why = "a stream was not read to its end" if unread else "a call did not end before its test"
            _tell(started, None, started.began, time_ns(), why)
            observation.problem(f"{_DOOR}: {why}")


def install(module: ModuleType) -> None:
    """Be among the callbacks; again, where the user has replaced them."""
    base = getattr(sys.modules.get("litellm.integrations.custom_logger"), "CustomLogger", None)
    callbacks = getattr(module, "callbacks", None)
    if base is None or not isinstance(callbacks, list):
        return  # somebody's own module of that name
    logger = getattr(module, _MARK, None)
    if logger is None:
        logger = type("ArenaLogger", (_Events, base), {})()
        setattr(module, _MARK, logger)
    if not any(callback is logger for callback in callbacks):
        callbacks.append(logger)


DOORS = {"litellm": install}
