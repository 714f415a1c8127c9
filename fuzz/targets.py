"""What is fuzzed: a function per target, from bytes to nothing, that raises what no reader may raise."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from pytest_arena_state.errors import ArenaStateError
from pytest_arena_state.journal import SUFFIX, encode_line
from pytest_arena_state.reading import iterate_results, read_index
from pytest_arena_state.recovery import recover
from pytest_arena_state.validation import validate

AS_BYTES, AS_RECORDS = b"B", b"R"  # how the first byte of an input says that journals are to be made of the others
NEXT_JOURNAL = b"\n\n"
FORMS = ("run.json", "runs.json", "runs.jsonl", "results/index.json", "results/run.json")


def read_journals(content: bytes) -> None:
    """Journals of one dead session: they are validated and recovered, and the results are read back."""
    # Checksums keep a fuzzer out, so most inputs are records, of which lines are made here.
    written = _lines if content[:1] == AS_RECORDS else bytes
    with _Folder() as folder:
        session = folder / "results.journals" / "session"
        session.mkdir(parents=True)
        for number, part in enumerate(content[1:].split(NEXT_JOURNAL)[:3]):
            (session / f"gw{number}{SUFFIX}").write_bytes(written(part))
        with suppress(ArenaStateError):
            list(validate(session))
        with suppress(ArenaStateError):
            recover(folder / "results")
            findings = list(validate(folder / "results"))
            # Values are spliced as they are: only somebody who makes checksums can have anything else than JSON there.
            assert written is _lines or not any(finding.problem for finding in findings), findings
            runs = list(iterate_results(folder / "results"))
            assert len(runs) == read_index(folder / "results").total_runs


def _lines(records: bytes) -> bytes:
    return b"".join(encode_line(record) for record in records.split(b"\n"))


def read_results(content: bytes) -> None:
    """A file of results: the first byte says of which form, the others are in it."""
    with _Folder() as folder:
        path = folder / FORMS[(content[0] if content else 0) % len(FORMS)]
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content[1:])
        results = path if path.parent == folder else path.parent
        with suppress(ArenaStateError):
            list(validate(results))
        with suppress(ArenaStateError, FileNotFoundError):
            read_index(path)
        with suppress(ArenaStateError, FileNotFoundError):  # an index names files
            for run in iterate_results(results):
                again = run.to_json()
                assert type(run).from_json(again).to_json() == again
                json.loads(again)


class _Folder:
    """A folder of its own, gone afterwards."""

    def __enter__(self) -> Path:
        self._path = Path(tempfile.mkdtemp(dir=_FAST))
        return self._path

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._path)


_FAST = "/dev/shm" if Path("/dev/shm").is_dir() else None  # a fuzzer writes thousands of files a minute
TARGETS: Mapping[str, Callable[[bytes], None]] = {"journals": read_journals, "results": read_results}
