"""OpenTelemetry: GenAI spans, of the user's tracer providers and where there is none.

One processor of ours joins each tracer provider of the SDK: a new one when it is made, one
that was there before when a test begins. It cannot be taken off again, and outside a test it
does nothing.

Where no provider is set, OpenTelemetry's proxies do nothing; while a test runs they give spans
of ours instead, which nobody else sees, so that libraries that trace by themselves are captured
without a provider. The global provider stays unset: the user may set one at any time.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .._outside import is_from_signal
from ..capture import UnrecognisedSourceError, from_messages
from ..capture.draft import tool_draft
from .calls import UNTOLD_KEY, Call, Execution
from .observation import Observation, current

if TYPE_CHECKING:
    from ..messages import Message

_MARK = "_arena_joined"
_CALLS = ("chat", "text_completion", "generate_content")
_SENT = ("gen_ai.system_instructions", "gen_ai.input.messages")
_CAME = "gen_ai.output.messages"
_OF_A_SCOPE = ("record_exception", "set_status_on_exception", "end_on_exit")
_NOTHING = [{"role": "assistant", "parts": []}]


@dataclass(slots=True)
class _Open:
    observation: Observation
    parent: Any
    has_call: bool = False
    """A call to a model took place within it."""


@dataclass(slots=True)
class _Stream:
    """What Logfire tells of a stream when it begins: what was asked."""

    observation: Observation
    span: Any
    attributes: Mapping[str, Any]

    @property
    def asked(self) -> tuple[Any, ...]:
        """What the log that follows at the stream's end repeats."""
        return _asked(self.span, self.attributes)


def _asked(span: Any, attributes: Mapping[str, Any]) -> tuple[Any, ...]:
    return _door(span), *map(attributes.get, (*_SENT, "request_data"))


class Spans:
    """The spans that began in a test and have not ended yet."""

    def __init__(self) -> None:
        self._open: dict[Any, _Open] = {}
        self._streams: list[_Stream] = []

    def begin(self, key: Any, parent: Any) -> None:
        """A span began."""
        observation = current()
        if observation is not None:
            self._open[key] = _Open(observation, parent)

    def end(self, key: Any, span: Any) -> None:
        """A span ended; it has attributes, times, a status and a scope. Raises nothing of its own."""
        opened = self._open.pop(key, None)
        if opened is None:
            return
        try:
            attributes = span.attributes or {}
            operation = attributes.get("gen_ai.operation.name")
            if operation == "execute_tool":
                execution = _execution(span, attributes)
                if execution is not None:
                    opened.observation.execution(execution)
            elif operation in _CALLS or (operation is None and _CAME in attributes):
                self._mark(opened)
                self._tell(opened.observation, span, attributes)
            elif operation == "invoke_agent" and not opened.has_call and _CAME in attributes:
                # An agent that nobody instruments further: its span is all that there is.
                self._mark(opened)
                opened.observation.call(_call(span, attributes))
            elif opened.has_call:
                self._mark(opened)
        except UnrecognisedSourceError as error:
            opened.observation.problem(
                f"{_door(span)}: messages cannot be read (does OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT cut them?): {error}"
            )
        except Exception as error:
            if is_from_signal(error):
                raise
            opened.observation.problem(f"{_door(span)}: a span was not understood: {type(error).__name__}: {error}")

    def settle(self, observation: Observation) -> None:
        """Tell of streams of a test that were not read to their end. Never raises."""
        for stream in [stream for stream in self._streams if stream.observation is observation]:
            self._streams.remove(stream)
            try:
                observation.call(_call(stream.span, stream.attributes))
            except Exception as error:  # noqa: BLE001 - spans hold what anybody put into them
                observation.problem(f"{_door(stream.span)}: a span was not understood: {type(error).__name__}: {error}")

    def _tell(self, observation: Observation, span: Any, attributes: Mapping[str, Any]) -> None:
        kind = attributes.get("logfire.span_type") if _door(span).startswith("otel logfire.") else None
        if kind == "log":
            asked = _asked(span, attributes)
            stream = next((stream for stream in self._streams if stream.asked == asked), None)
            if stream is None:
                # Such as one that is closed when it is collected as garbage.
                observation.problem(f"{_door(span)}: a stream that did not begin in this test was not captured")
                return
            self._streams.remove(stream)
            stream.observation.call(_call(span, attributes, stream.span.start_time))
        elif kind == "span" and _begins_stream(span, attributes):
            self._streams.append(_Stream(observation, span, attributes))
        else:
            observation.call(_call(span, attributes))

    def _mark(self, opened: _Open) -> None:
        above = self._open.get(opened.parent)
        while above is not None and not above.has_call:
            above.has_call = True
            above = self._open.get(above.parent)


_spans = Spans()


def settle(observation: Observation) -> None:
    """Tell of what a test began and did not end."""
    _spans.settle(observation)


def _door(span: Any) -> str:
    # An instrumentation and the library itself may both tell of a call; each does it once.
    return f"otel {getattr(getattr(span, 'instrumentation_scope', None), 'name', '')}".rstrip()


def _begins_stream(span: Any, attributes: Mapping[str, Any]) -> bool:
    """Logfire's span of a stream ends when the stream begins; what came back follows in a log."""
    told = _CAME in attributes or "gen_ai.usage.output_tokens" in attributes
    return not (told or _failure(span, attributes))


def _failure(span: Any, attributes: Mapping[str, Any]) -> str:
    status = getattr(span, "status", None)
    if getattr(getattr(status, "status_code", None), "name", "") != "ERROR" and "error.type" not in attributes:
        return ""
    described = getattr(status, "description", None)
    return str(described or _raised(span) or attributes.get("error.type") or "failed")


def _raised(span: Any) -> str:
    """The last exception that was recorded; not everybody describes it in the status, too."""
    for event in reversed(getattr(span, "events", None) or ()):
        told = event.attributes or {}
        if event.name == "exception" and "exception.type" in told:
            kind = str(told["exception.type"]).rpartition(".")[2]
            try:
                return f"{kind}: {told.get('exception.message', '')}".removesuffix(": ")
            except Exception:  # noqa: BLE001 - an exception may be unable to say what it is
                return kind
    return ""


def _call(span: Any, attributes: Mapping[str, Any], began: int = 0) -> Call:
    began = began or span.start_time or 0
    sent = {key: attributes[key] for key in _SENT if key in attributes}
    came = {key: value for key, value in attributes.items() if key not in _SENT}
    answered = {"attributes": came, "start_time": began, "end_time": span.end_time}
    answers: list[Message] = []
    error = _failure(span, attributes)
    if _CAME in attributes:
        answers = from_messages(answered)
    elif not error or "gen_ai.response.id" in attributes or "gen_ai.usage.output_tokens" in attributes:
        # Content is off, or the library has none of a response or a stream that it did not read itself.
        answered["attributes"] = {**came, _CAME: _NOTHING}
        answers = from_messages(answered)
        answers[-1].meta[UNTOLD_KEY] = _door(span)
    return Call(
        door=_door(span),
        history=from_messages(sent) if sent else [],
        answers=answers,
        started=began,
        ended=span.end_time or 0,
        error=error,
    )


def _execution(span: Any, attributes: Mapping[str, Any]) -> Execution | None:
    result = attributes.get("gen_ai.tool.call.result", attributes.get("anthropic.tool_result.content"))
    error = _failure(span, attributes)
    named = {"id": attributes.get("gen_ai.tool.call.id"), "name": attributes.get("gen_ai.tool.name")}
    if result is not None:
        told = {**attributes, "gen_ai.tool.call.result": result}
        message = from_messages({"attributes": told, "start_time": span.start_time, "end_time": span.end_time})[0]
        if error and message.tool_result is not None:
            message.tool_result.error = error
    else:
        message = tool_draft(**named, failed=bool(error), error=error).message()
    if message.tool_result is None or not (message.tool_result.id or message.tool_result.name):
        return None
    if span.start_time and span.end_time:
        took = round((span.end_time - span.start_time) / 1e6)
        message.latency_ms = message.tool_result.latency_ms = took
    return Execution(
        door=_door(span),
        message=message,
        args=attributes.get("gen_ai.tool.call.arguments"),
        mute=result is None and not error,
    )


# --- the SDK's providers -----------------------------------------------------------------------


class _Joins:
    """What a tracer provider calls; mixed into the SDK's base class, which we do not import."""

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        parent = getattr(span, "parent", None)
        _spans.begin(span.context.span_id, parent.span_id if parent is not None else None)

    def on_end(self, span: Any) -> None:
        _spans.end(span.context.span_id, span)


def _join(provider: Any, processor: Any) -> None:
    if not hasattr(provider, _MARK) and hasattr(provider, "add_span_processor"):
        setattr(provider, _MARK, True)
        provider.add_span_processor(processor)


def install_sdk(module: ModuleType) -> None:
    """Join every provider that is made from now on, and the global one."""
    processor = getattr(module, _MARK, None)
    if processor is None:
        processor = type("ArenaSpanProcessor", (_Joins, module.SpanProcessor), {})()
        provider_class: Any = module.TracerProvider
        make = provider_class.__init__

        @functools.wraps(make)
        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - it stands in the class
            make(self, *args, **kwargs)
            _join(self, processor)

        provider_class.__init__ = __init__
        setattr(module, _MARK, processor)
    api = sys.modules.get("opentelemetry.trace")
    # Not by get_tracer_provider(), which may make one.
    provider = getattr(api, "_TRACER_PROVIDER", None)
    if provider is not None:
        _join(provider, processor)


# --- where there is no provider ------------------------------------------------------------------


def install_api(module: ModuleType) -> None:
    """Give spans of ours where no provider is set and a test runs."""
    if hasattr(module, _MARK) or os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return
    proxy: Any = module.ProxyTracer
    given = proxy._tracer.fget
    make_tracer = _tracer_class(module)

    def _tracer(self: Any) -> Any:
        tracer = given(self)
        if tracer is self._noop_tracer and current() is not None:
            return make_tracer(self._instrumenting_module_name)
        return tracer

    proxy._tracer = property(_tracer)
    setattr(module, _MARK, True)


class _Scope:
    def __init__(self, name: str) -> None:
        self.name = name


class _Event:
    def __init__(self, name: str, attributes: Any) -> None:
        self.name = name
        self.attributes = attributes


def _tracer_class(api: Any) -> Any:
    class ArenaSpan(api.Span):  # type: ignore[misc]  # its base is known when OpenTelemetry is there
        """Keeps what it is told; not sampled, so that no request gets a header for it."""

        def __init__(self, name: str, scope: str, attributes: Any, parent: Any, start_time: int | None) -> None:
            from time import time_ns

            self.name, self.instrumentation_scope = name, _Scope(scope)
            self.attributes = dict(attributes or {})
            self.start_time, self.end_time = start_time or time_ns(), 0
            self.status: Any = None
            self.events: list[_Event] = []
            _spans.begin(id(self), id(parent))

        def end(self, end_time: int | None = None) -> None:
            from time import time_ns

            if not self.end_time:
                self.end_time = end_time or time_ns()
                _spans.end(id(self), self)

        def get_span_context(self) -> Any:
            return api.INVALID_SPAN_CONTEXT

        def is_recording(self) -> bool:
            return not self.end_time

        def set_attribute(self, key: str, value: Any) -> None:
            self.attributes[key] = value

        def set_attributes(self, attributes: Mapping[str, Any]) -> None:
            self.attributes.update(attributes)

        def set_status(self, status: Any, description: str | None = None) -> None:
            self.status = status if hasattr(status, "status_code") else api.Status(status, description)

        def update_name(self, name: str) -> None:
            self.name = name

        def add_event(self, name: str, attributes: Any = None, *_args: Any, **_more: Any) -> None:
            if name == "exception":
                self.events.append(_Event(name, attributes))

        def add_link(self, *_args: Any, **_more: Any) -> None:
            pass

        def record_exception(self, exception: BaseException, *_args: Any, **_more: Any) -> None:
            # Not made text here, in the user's code: an exception's own text may raise another.
            self.add_event("exception", {"exception.type": type(exception).__name__, "exception.message": exception})

    class ArenaTracer(api.NoOpTracer):  # type: ignore[misc]  # the same
        """As the tracer that does nothing, with spans that do something."""

        def __init__(self, scope: str) -> None:
            self._scope = scope

        def start_span(
            self, name: str, context: Any = None, kind: Any = None, attributes: Any = None, *args: Any, **more: Any
        ) -> Any:
            parent = api.get_current_span(context)
            return ArenaSpan(name, self._scope, attributes, parent, more.get("start_time"))

        # That of OpenTelemetry's own tracer made no span at all, up to some version.
        @contextmanager
        def start_as_current_span(self, *args: Any, **more: Any) -> Iterator[Any]:
            options = {name: more.pop(name) for name in _OF_A_SCOPE if name in more}
            with api.use_span(self.start_span(*args, **more), **{"end_on_exit": True, **options}) as span:
                yield span

    return ArenaTracer


DOORS = {"opentelemetry.trace": install_api, "opentelemetry.sdk.trace": install_sdk}
