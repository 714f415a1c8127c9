"""Files of runs, a line each, that may be compressed: ``.jsonl``, ``.jsonl.gz``, ``.jsonl.zst``.

A compressed file may be of any number of members or frames, so files can be joined by putting one
behind the other. It is read a line at a time, in memory that is bounded whatever it claims to
hold. The same lines give the same bytes: no name and no time is in them.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from .errors import ConfigurationError, ResultsError
from .target import Packing, packing_of

if TYPE_CHECKING:
    from types import ModuleType

_BUFFER = 256 * 1024  # bytes
_LINE_LIMIT = 1 << 30  # bytes of a line that was compressed: a small file can claim to hold a line of any length
_GZIP_LEVEL = 6  # gzip's own default: 9 takes twice the time for a hundredth less
_ZSTD_LEVEL = 3  # zstd's own default


@cache
def _zstd() -> ModuleType:
    for name in ("compression.zstd", "backports.zstd"):  # the first is of Python 3.14
        with suppress(ImportError):
            return import_module(name)
    raise ConfigurationError(".jsonl.zst needs backports.zstd: pip install 'pytest-arena-state[zstd]'")


def require(packing: Packing) -> None:
    """Find out whether files can be packed this way.

    Raises:
        ConfigurationError: A library is missing; says how to install it.
    """
    if packing == "zst":
        _zstd()
    elif packing == "gz":
        import_module("gzip")  # now: when it is needed, a test may have left nothing to import it from


def read_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, each with its end; unpacked by the ending of its name.

    Raises:
        OSError: It cannot be read.
        ConfigurationError: A library that unpacks it is missing.
        ResultsError: It is cut off, is not what its name says, or has a line of more than 1 GiB.
            What stands before that has been given.
    """
    packing = packing_of(path)
    with path.open("rb") as stream:
        if not packing:
            yield from stream
            return
        try:
            yield from _split(_unpacked(stream, packing), path)
        except EOFError:
            raise ResultsError(str(path), "it is cut off: the end of its compressed data is missing") from None
        except Exception as error:
            if isinstance(error, zlib.error) or type(error).__name__ in ("BadGzipFile", "ZstdError"):
                raise ResultsError(str(path), f"it cannot be unpacked: {error}") from None
            raise


def first_line(path: Path, limit: int) -> bytes:
    """The first line of a file that is not blank, unpacked, as far as ``limit`` bytes go.

    Raises:
        OSError: It cannot be read, or is not what its name says.
        EOFError: It is cut off.
        ConfigurationError: A library that unpacks it is missing.
    """
    packing = packing_of(path)
    with path.open("rb") as stream:
        start: bytes = (_unpacked(stream, packing) if packing else stream).read(limit)
    return start.lstrip().partition(b"\n")[0]


def _unpacked(stream: IO[bytes], packing: Packing) -> Any:
    if packing == "gz":
        import gzip

        return gzip.GzipFile(fileobj=stream, mode="rb")
    return _zstd().ZstdFile(stream, "rb")


def _split(unpacked: Any, path: Path) -> Iterator[bytes]:
    number = size = 0
    parts: list[bytes] = []
    while chunk := unpacked.read1(_BUFFER):
        *whole, rest = chunk.split(b"\n")
        for line in whole:
            number += 1
            yield b"".join((*parts, line, b"\n"))
            parts, size = [], 0
        parts.append(rest)
        size += len(rest)
        if size > _LINE_LIMIT:
            raise ResultsError(str(path), f"line {number + 1} is longer than {_LINE_LIMIT:,} bytes: no run is")
    if size:
        yield b"".join(parts)


def open_packed(path: Path, packing: Packing) -> IO[bytes]:
    """Open a file for writing, packed.

    Raises:
        OSError: It cannot be opened.
        ConfigurationError: A library is missing.
    """
    if not packing:
        return path.open("wb", buffering=_BUFFER)
    require(packing)
    raw = path.open("wb")
    if packing == "gz":
        import gzip

        # The name and the time would differ from one publication to the next.
        return _Writer(gzip.GzipFile("", "wb", _GZIP_LEVEL, raw, mtime=0), raw)
    zstd = _zstd()
    parameter = zstd.CompressionParameter
    options = {parameter.compression_level: _ZSTD_LEVEL, parameter.checksum_flag: 1}
    return _Writer(zstd.ZstdFile(raw, "wb", options=options), raw)


class _Writer(io.BufferedWriter):
    def __init__(self, packed: Any, file: IO[bytes]) -> None:
        super().__init__(packed, _BUFFER)
        self._file = file

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._file.close()


__all__ = ["first_line", "open_packed", "read_lines", "require"]
