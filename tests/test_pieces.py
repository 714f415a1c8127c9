"""A large document, piece by piece: the same values as from reading it whole, in bounded memory."""

import io
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_arena_state.pieces import Where, pieces

documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


class Drip(io.BytesIO):
    """A stream that gives a few bytes at a time, so that every value lies across an edge."""

    def __init__(self, content: bytes, size: int) -> None:
        super().__init__(content)
        self.size = size

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(self.size)


def rebuilt(content: bytes, depth: int, size: int) -> Any:
    """The document from its pieces, entered to a depth."""

    def enter(where: Where) -> bool:
        return len(where) < depth

    root: list[Any] = []
    known: dict[Where, Any] = {}
    for piece in pieces(Drip(content, size), enter=enter):
        value: Any = ([] if piece.is_list else {}) if piece.text is None else json.loads(piece.text)
        known[piece.where] = value
        if not piece.where:
            root.append(value)
        elif isinstance(parent := known[piece.where[:-1]], list):
            parent.append(value)
        else:
            parent[piece.where[-1]] = value
    return root[0]


@given(documents, st.integers(0, 4), st.integers(1, 20), st.sampled_from([None, 2]), st.booleans())
def test_the_pieces_make_the_document(document: Any, depth: int, size: int, indent: int | None, ascii: bool) -> None:
    content = json.dumps(document, indent=indent, ensure_ascii=ascii).encode("utf-8", "surrogatepass")
    if b"\xed" in content:
        return  # half a letter, which is no UTF-8

    assert rebuilt(content, depth, size) == document


@given(documents, st.integers(0, 4), st.data())
def test_a_document_that_is_cut_off_is_an_error(document: Any, depth: int, data: st.DataObject) -> None:
    content = json.dumps({"a": [document]}).encode()
    cut = content[: data.draw(st.integers(0, len(content) - 1))]

    # Half a number is a piece like any other, and an error of whoever parses it.
    with pytest.raises(ValueError, match=r"cut off after \d+ bytes|Extra data|Expecting value"):
        rebuilt(cut, depth, 7)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"a": 1} x', "nothing more was wanted at byte 9, 'x' was there"),
        ('{"a" 1}', "':' was wanted at byte 5, '1' was there"),
        ("[1 2]", "',' or ']' was wanted at byte 3, '2' was there"),
        ("[1,]", "a value was wanted at byte 3, ']' was there"),
        ("{1: 2}", "a key was wanted at byte 1, '1' was there"),
        ("]", "a value was wanted at byte 0, ']' was there"),
        ("", "cut off after 0 bytes"),
    ],
)
def test_what_lies_between_the_pieces_must_be_json(content: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem.replace("[", r"\[")):
        rebuilt(content.encode(), 3, 3)


def test_memory_is_bounded_by_the_largest_piece() -> None:
    class Endless(io.RawIOBase):
        """40 MB of runs that are made while they are read."""

        left = 20_000
        begun = False

        def read(self, size: int = -1, /) -> bytes:
            count = min(self.left, max(1, size // 2_000))
            self.left -= count
            if not count:
                return b""
            text = b",".join([b'{"a": "' + b"x" * 1_990 + b'"}'] * count)
            begun, self.begun = self.begun, True
            return (b"," if begun else b"[") + text + (b"" if self.left else b"]")

    tracemalloc.start()
    count = sum(piece.text is not None for piece in pieces(Endless(), enter=lambda where: where == ()))  # type: ignore[arg-type]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert count == 20_000
    assert peak < 2_000_000


def test_a_long_value_is_not_looked_through_once_per_chunk() -> None:
    """Otherwise a video of 200 MB in one message would take an hour."""

    class Counting(io.BytesIO):
        reads = 0

        def read(self, size: int | None = -1, /) -> bytes:
            self.reads += 1
            return super().read(size)

    stream = Counting(b'{"a": "' + b"x" * 64_000_000 + b'"}')

    assert len(list(pieces(stream, enter=lambda where: where == ()))) == 2
    assert stream.reads < 20
