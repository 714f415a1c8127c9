"""A stream that is watched behaves as it did, and its messages are known at its end."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_arena_state.capture import UnrecognisedSourceError, record_stream

if TYPE_CHECKING:
    from pytest_arena_state.messages import Message

Shape = Callable[[str], Any]


@pytest.fixture
def chunks(shape: Shape) -> list[Any]:
    streams: list[list[Any]] = shape("openai_chat")["streams"]
    return streams[1]


class Heard:
    """Counts how often it is told."""

    def __init__(self) -> None:
        self.calls: list[list[Message]] = []
        self.errors: list[Exception] = []

    def __call__(self, messages: list[Message]) -> None:
        self.calls.append(messages)

    @property
    def texts(self) -> list[str]:
        (messages,) = self.calls
        return [message.content for message in messages]


class Stream:
    """What SDKs give: an iterator that is a context manager and has attributes."""

    response = "headers"

    def __init__(self, chunks: list[Any], fail: bool = False) -> None:
        self._chunks = iter(chunks)
        self._fail = fail
        self.closed = 0

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return next(self._chunks)
        except StopIteration:
            if self._fail:
                raise ConnectionError from None
            raise

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *why: object) -> None:
        self.close()

    def close(self) -> None:
        self.closed += 1


def test_the_user_sees_what_the_stream_gives(chunks: list[Any]) -> None:
    heard = Heard()
    stream = Stream(chunks)

    with record_stream(stream, heard) as watched:
        seen = list(watched)

    assert all(given is expected for given, expected in zip(seen, chunks, strict=True))
    assert isinstance(watched, Stream)
    assert (watched.response, watched.closed, repr(watched)) == ("headers", 1, repr(stream))
    assert heard.texts == ["It is 18 °C and sunny in Bern."]


class Helper(Stream):
    """What SDKs give beside it: it reads itself to its end, past whatever stands for it."""

    def until_done(self) -> Helper:
        self.left = len(list(self))
        return self

    def get_final_text(self, mark: str) -> str:
        self.until_done()
        return f"done{mark}"


class AsyncHelper:
    def __init__(self, chunks: list[Any]) -> None:
        self._chunks = iter(chunks)

    def __aiter__(self) -> AsyncHelper:
        return self

    async def __anext__(self) -> Any:
        try:
            return next(self._chunks)
        except StopIteration:
            raise StopAsyncIteration from None

    async def until_done(self) -> AsyncHelper:
        async for _chunk in self:
            pass
        return self

    def get_final_count(self) -> int:
        return 1


@pytest.mark.parametrize("read_before", [0, 1])
def test_a_helper_that_reads_its_stream_to_its_end_is_watched(chunks: list[Any], read_before: int) -> None:
    finished, asked = Heard(), Heard()
    helper = Helper(chunks)
    watched = record_stream(helper, finished)
    other = record_stream(Helper(chunks), asked)
    for _ in range(read_before):
        next(watched)
        next(other)

    assert watched.until_done() is watched
    assert helper.left == 0
    assert other.get_final_text("!") == "done!"
    assert finished.texts == asked.texts == ["It is 18 °C and sunny in Bern."]


def test_an_async_helper_that_reads_its_stream_to_its_end_is_watched(chunks: list[Any]) -> None:
    heard = Heard()

    async def read() -> None:
        watched = record_stream(AsyncHelper(chunks), heard)
        assert watched.get_final_count() == 1
        assert await watched.until_done() is watched

    asyncio.run(read())

    assert heard.texts == ["It is 18 °C and sunny in Bern."]


def test_a_helper_that_fails_gives_what_arrived(chunks: list[Any]) -> None:
    heard = Heard()

    with pytest.raises(ConnectionError):
        record_stream(Helper(chunks[:2], fail=True), heard).until_done()

    assert heard.texts == ["It is 18 °C "]


def test_a_stream_that_fails_gives_what_arrived(chunks: list[Any]) -> None:
    heard = Heard()

    with pytest.raises(ConnectionError):
        list(record_stream(Stream(chunks[:2], fail=True), heard))

    assert heard.texts == ["It is 18 °C "]


def test_a_stream_that_is_left_gives_what_arrived(chunks: list[Any]) -> None:
    heard = Heard()

    with record_stream(Stream(chunks), heard) as watched:
        next(watched)
        next(watched)

    assert heard.texts == ["It is 18 °C "]


def test_a_stream_that_is_dropped_gives_what_arrived(chunks: list[Any]) -> None:
    heard = Heard()
    watched = record_stream(Stream(chunks), heard)
    next(watched)
    next(watched)

    del watched
    gc.collect()

    assert heard.texts == ["It is 18 °C "]


def test_a_generator_is_watched(chunks: list[Any]) -> None:
    heard = Heard()
    watched = record_stream((chunk for chunk in chunks), heard)

    assert list(watched) == chunks
    watched.close()
    assert heard.texts == ["It is 18 °C and sunny in Bern."]


def test_an_async_stream_is_watched(chunks: list[Any]) -> None:
    heard = Heard()

    async def give() -> AsyncIterator[Any]:
        for chunk in chunks:
            yield chunk

    async def read() -> list[Any]:
        watched = record_stream(give(), heard)
        assert not hasattr(type(watched), "__iter__")
        return [chunk async for chunk in watched]

    assert asyncio.run(read()) == chunks
    assert heard.texts == ["It is 18 °C and sunny in Bern."]


def test_a_cancelled_stream_gives_what_arrived(chunks: list[Any]) -> None:
    heard = Heard()

    async def give(hangs: asyncio.Event) -> AsyncIterator[Any]:
        for chunk in chunks[:2]:
            yield chunk
        hangs.set()
        await asyncio.Event().wait()

    async def read(hangs: asyncio.Event) -> None:
        async for _chunk in record_stream(give(hangs), heard):
            pass

    async def cancel() -> None:
        hangs = asyncio.Event()
        task = asyncio.create_task(read(hangs))
        await hangs.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())

    assert heard.texts == ["It is 18 °C "]


def test_what_cannot_be_read_is_told_and_does_not_reach_the_user() -> None:
    heard = Heard()

    seen = list(record_stream(iter([1, 2]), heard, on_error=heard.errors.append))

    assert seen == [1, 2]
    assert heard.calls == []
    assert [type(error) for error in heard.errors] == [UnrecognisedSourceError]


def test_a_listener_that_fails_does_not_reach_the_user(chunks: list[Any]) -> None:
    errors: list[Exception] = []

    def fail(_: object) -> None:
        raise RuntimeError("no")

    def fail_again(error: Exception) -> None:
        errors.append(error)
        raise error

    assert list(record_stream(iter(chunks), fail, on_error=fail_again)) == chunks
    assert list(record_stream(iter(chunks), fail)) == chunks
    assert len(errors) == 1
