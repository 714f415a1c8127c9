"""The pieces of a large JSON document, one at a time, in memory that is bounded by the largest of them.

A results file of one piece may be larger than memory; each of its runs is not. So the containers that
are asked for are entered, and every value within them comes as its bytes, not parsed. What lies
between the pieces is checked to be JSON; what is in a piece is checked by whoever parses it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, TypeAlias

from ._wire import loads, problem_of_encoding

Where: TypeAlias = tuple[str | int, ...]
"""The keys and places that lead to a value; empty for the whole document."""

_CHUNK = 64 * 1024  # bytes that are read at a time, at least
# Possessive, so that a string that is not all there yet is no match instead of a slow search for another one.
_SPACE = re.compile(rb"[ \t\r\n]*+")
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_BARE = re.compile(rb'[^\s,:\[\]{}"]++(?=[\s,:\[\]{}"])')
_TO_BRACKET = re.compile(rb'(?:[^"\[\]{}]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+([\[\]{}])', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Piece:
    """A value of the document, or the beginning of a container that was entered."""

    where: Where
    text: bytes | None
    """Its JSON; None where a container is entered, whose pieces follow."""
    is_list: bool = False


def pieces(stream: BinaryIO, *, enter: Callable[[Where], bool]) -> Iterator[Piece]:
    """Every value of a document, in its order.

    Args:
        stream: The document in UTF-8.
        enter: Whether to enter the list or map at a place; otherwise it comes whole.

    Raises:
        ValueError: It is not JSON; the place is named in bytes.
    """
    reader = _Reader(stream)
    reader.check_encoding()
    yield from _value(reader, (), enter)
    reader.skip_space()
    if not reader.ended:
        raise reader.problem("nothing more")


def _value(reader: _Reader, where: Where, enter: Callable[[Where], bool]) -> Iterator[Piece]:
    sign = reader.peek()
    if sign not in b"{[" or not enter(where):
        yield Piece(where, reader.take_value())
        return
    is_list = sign == b"["
    yield Piece(where, None, is_list)
    reader.take(sign)
    closing = b"]" if is_list else b"}"
    place = 0
    if reader.peek() == closing:
        reader.take(closing)
        return
    while True:
        key: str | int = place
        if not is_list:
            if reader.peek() != b'"':
                raise reader.problem("a key")
            key = loads(reader.take_value())
            reader.expect(b":")
        yield from _value(reader, (*where, key), enter)
        place += 1
        if reader.expect(b"," + closing) == closing:
            return


class _Reader:
    """A window on the stream, from the first byte that nobody took."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._window = b""
        self._at = 0
        self._before = 0  # bytes of the stream before the window
        self.ended = False

    def _more(self) -> bool:
        """Read on, at least as much as there is: a long value is looked through a few times, not once per chunk."""
        kept = self._window[self._at :]
        more = self._stream.read(max(_CHUNK, len(kept)))
        self._before += self._at
        self._window, self._at = kept + more, 0
        return bool(more)

    def check_encoding(self) -> None:
        """See that the document is not in another encoding, as far as its first bytes tell."""
        self.skip_space()
        if problem := problem_of_encoding(self._window):
            raise ValueError(problem)

    def skip_space(self) -> None:
        while True:
            found = _SPACE.match(self._window, self._at)
            assert found is not None
            self._at = found.end()
            if self._at < len(self._window):
                return
            if not self._more():
                self.ended = True
                return

    def peek(self) -> bytes:
        self.skip_space()
        if self.ended:
            raise ValueError(f"the document is cut off after {self._before + self._at} bytes")
        return self._window[self._at : self._at + 1]

    def take(self, sign: bytes) -> None:
        self._at += len(sign)

    def expect(self, signs: bytes) -> bytes:
        sign = self.peek()
        if sign not in signs:
            raise self.problem(" or ".join(repr(chr(each)) for each in signs))
        self._at += 1
        return sign

    def problem(self, wanted: str) -> ValueError:
        there = self._window[self._at : self._at + 1]
        return ValueError(f"{wanted} was wanted at byte {self._before + self._at}, {chr(there[0])!r} was there")

    def take_value(self) -> bytes:
        """The bytes of the value that begins here."""
        sign = self.peek()
        if sign in b"{[":
            return self._take_container()
        if sign in b",:]}":
            raise self.problem("a value")
        pattern = _STRING if sign == b'"' else _BARE
        while (found := pattern.match(self._window, self._at)) is None:
            if not self._more():
                if pattern is _BARE:  # nothing stands behind the last one
                    text, self._at = self._window[self._at :], len(self._window)
                    return text
                raise ValueError(f"the document is cut off after {self._before + len(self._window)} bytes")
        self._at = found.end()
        return found[0]

    def _take_container(self) -> bytes:
        depth, looked = 0, self._at
        while True:
            found = _TO_BRACKET.match(self._window, looked)
            if found is None:
                # What was looked through already is not looked through again, but a string that is not whole.
                looked -= self._at
                if not self._more():
                    raise ValueError(f"the document is cut off after {self._before + len(self._window)} bytes")
                continue
            looked = found.end()
            depth += 1 if found[1] in b"{[" else -1
            if not depth:
                text = self._window[self._at : looked]
                self._at = looked
                return text


__all__ = ["Piece", "Where", "pieces"]
