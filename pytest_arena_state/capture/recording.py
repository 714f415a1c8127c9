"""`record_stream`: watch a stream while the user reads it.

The wrapper behaves as the stream does: iteration, ``with``, attributes, `isinstance`, errors.
What was seen is handed over once, when the stream ends, fails or is closed; a stream that is
dropped half-way is handed over when it is collected as garbage. Nothing that goes wrong in
recording reaches the user of the stream.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import UnrecognisedSourceError
from .plain import attribute
from .reading import collect, from_messages
from .recognition import AUTO

if TYPE_CHECKING:
    from ..messages import Message

# Where helpers keep what they have added up; asked when the user read the stream past the wrapper.
_SNAPSHOTS = ("current_message_snapshot", "current_completion_snapshot")


def record_stream(
    stream: Any,
    on_done: Callable[[list[Message]], None],
    source: str = AUTO,
    *,
    on_error: Callable[[Exception], None] | None = None,
) -> Any:
    """Wrap a stream, so that its messages are known at its end.

    Args:
        stream: An iterator or async iterator, an iterable of either kind, or a context manager for one.
        on_done: Called once with the messages of the chunks that were read.
        source: The name of a source, or ``auto``.
        on_error: Called instead, once, when the chunks cannot be read or ``on_done`` raises.

    Returns:
        What the user reads instead of the stream.
    """
    return _kind_of(stream)(stream, _Tape(on_done, source, on_error))


class _Tape:
    """The chunks that were seen, and whom to tell about them, once."""

    def __init__(
        self, on_done: Callable[[list[Message]], None], source: str, on_error: Callable[[Exception], None] | None
    ) -> None:
        self._chunks: list[object] = []
        self._on_done = on_done
        self._source = source
        self._on_error = on_error
        self._done = False

    def add(self, chunk: object) -> None:
        self._chunks.append(chunk)

    def finish(self, stream: object) -> None:
        if self._done:
            return
        self._done = True
        chunks, self._chunks = self._chunks, []
        try:
            self._on_done(self._messages(chunks, stream))
        except Exception as error:  # noqa: BLE001 - the user reads a stream and knows nothing of us
            if self._on_error is not None:
                try:
                    self._on_error(error)
                except Exception:  # noqa: BLE001 - nor of whoever is told
                    return

    def _messages(self, chunks: list[object], stream: object) -> list[Message]:
        if not chunks:
            for name in _SNAPSHOTS:
                snapshot = attribute(stream, name)
                if snapshot is not None:
                    return from_messages(snapshot, self._source)
            return []
        try:
            return collect(chunks, self._source)
        except UnrecognisedSourceError:
            # Text alone: the stream itself may know the conversation.
            if callable(attribute(stream, "all_messages")):
                return from_messages(stream, self._source)
            raise


class RecordedStream:
    """Stands for a stream; see `record_stream`."""

    def __init__(self, stream: Any, tape: _Tape) -> None:
        self._arena_manager = self._arena_stream = stream
        self._arena_tape = tape
        self._arena_iterator: Any = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_arena_"):
            raise AttributeError(name)  # a copy that was never initialised would ask itself for ever
        value = getattr(self._arena_stream, name)
        # How helpers read their stream to its end; they would do it past the wrapper.
        if (name == "until_done" or name.startswith("get_final_")) and callable(value):
            return self._arena_reading(value)
        return value

    def _arena_reading(self, method: Any) -> Any:
        """The same method, for which the stream is read here before."""
        return method

    def _arena_named(self, value: Any) -> Any:
        return self if value is self._arena_stream else value

    @property  # type: ignore[misc]  # what isinstance asks, so that checks for the library's own class hold
    def __class__(self) -> Any:
        return type(self._arena_stream)

    def __repr__(self) -> str:
        return repr(self._arena_stream)

    def close(self) -> Any:
        """Close the stream and hand over what was seen; in async libraries, to be awaited."""
        try:
            return self._arena_stream.close()
        finally:
            self._arena_tape.finish(self._arena_stream)

    def __del__(self) -> None:
        tape = self.__dict__.get("_arena_tape")
        if tape is not None:
            tape.finish(self.__dict__.get("_arena_stream"))


class _SyncStream(RecordedStream):
    def _arena_reading(self, method: Any) -> Any:
        if inspect.iscoroutinefunction(method):
            return super()._arena_reading(method)

        @functools.wraps(method)
        def read(*args: Any, **kwargs: Any) -> Any:
            for _chunk in self:
                pass
            return self._arena_named(method(*args, **kwargs))

        return read

    def __iter__(self) -> Any:
        if self._arena_iterator is None:
            self._arena_iterator = iter(self._arena_stream)
        return self

    def __next__(self) -> Any:
        if self._arena_iterator is None:
            self._arena_iterator = iter(self._arena_stream)
        try:
            chunk = next(self._arena_iterator)
        except BaseException:
            self._arena_tape.finish(self._arena_stream)
            raise
        self._arena_tape.add(chunk)
        return chunk

    def __enter__(self) -> Any:
        # A context manager may give another object: that is the stream, and this stands for it from now on.
        self._arena_stream = self._arena_manager.__enter__()
        return self

    def __exit__(self, *why: Any) -> Any:
        try:
            return self._arena_manager.__exit__(*why)
        finally:
            self._arena_tape.finish(self._arena_stream)


class _AsyncStream(RecordedStream):
    def _arena_reading(self, method: Any) -> Any:
        if not inspect.iscoroutinefunction(method):
            return super()._arena_reading(method)

        @functools.wraps(method)
        async def read(*args: Any, **kwargs: Any) -> Any:
            async for _chunk in self:
                pass
            return self._arena_named(await method(*args, **kwargs))

        return read

    def __aiter__(self) -> Any:
        if self._arena_iterator is None:
            self._arena_iterator = aiter(self._arena_stream)
        return self

    async def __anext__(self) -> Any:
        if self._arena_iterator is None:
            self._arena_iterator = aiter(self._arena_stream)
        try:
            chunk = await anext(self._arena_iterator)
        except BaseException:
            self._arena_tape.finish(self._arena_stream)
            raise
        self._arena_tape.add(chunk)
        return chunk

    async def __aenter__(self) -> Any:
        self._arena_stream = await self._arena_manager.__aenter__()
        return self

    async def __aexit__(self, *why: Any) -> Any:
        try:
            return await self._arena_manager.__aexit__(*why)
        finally:
            self._arena_tape.finish(self._arena_stream)

    async def aclose(self) -> Any:
        """Close the stream and hand over what was seen."""
        try:
            return await self._arena_stream.aclose()
        finally:
            self._arena_tape.finish(self._arena_stream)


class _BothStream(_SyncStream, _AsyncStream):
    """Some wrappers of libraries can be read either way."""


def _kind_of(stream: object) -> type[RecordedStream]:
    # By the class, as the language looks special methods up; and by one that the stream has, so
    # that nobody who asks how it can be read gets another answer than before.
    kind = type(stream)
    sync = any(hasattr(kind, name) for name in ("__iter__", "__next__", "__enter__"))
    both = any(hasattr(kind, name) for name in ("__aiter__", "__anext__", "__aenter__"))
    return _BothStream if sync and both else _AsyncStream if both else _SyncStream
