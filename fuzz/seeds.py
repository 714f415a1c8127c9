"""Makes the seeds: small journals and results as the plugin writes them, and some that are wrong on purpose."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from targets import AS_BYTES, AS_RECORDS, FORMS, NEXT_JOURNAL

SEEDS = Path(__file__).parent / "seeds"
ARGUMENTS = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:randomly")
SUITE = """
import os, pytest

@pytest.mark.arena(scenario_id="teapot", labels={"team": "tea"})
@pytest.mark.parametrize("i", range(2))
def test_it(arena_store, arena_run, i):
    arena_run.user("hi")
    arena_run.assistant("hello", cost=0.01)
    messages = [{"role": "user", "content": "one"}]
    arena_store.save({"id": f"talk-{i}", "messages": messages})
    arena_store.save({"id": f"talk-{i}", "messages": [{"role": "user", "content": "1"}, {"role": "assistant"}]})
    arena_store.save_metadata(f"talk-{i}", {"run_id": f"talk-{i}", "scenario_id": "s"})
    arena_store.save({"id": "gone", "messages": []})
    arena_store.delete("gone")
    %s
    assert i == 0
"""
RECORDS = {
    "end": b'{"k":"end","interrupted":"","redacted":{"openai-key":1}}',
    "withdraw": b'{"k":"withdraw","c":1}',
    "trouble": b'{"k":"trouble","kind":"hook","count":2}',
    "huge-length": b'{"k":"save","len":[1],"c":1,"s":1,"v":0,"t":1,"n":1000000000000,"id":"x","from":0,"tail":[1]}',
    "version-is-text": b'{"k":"journal","version":"9","worker":"w","pid":1}',
    "number-is-a-list": b'{"k":"verdict","s":[],"verdict":{}}',
    "deep": b'{"k":"store","s":1,"context":' + b"[" * 3000 + b"]" * 3000 + b"}",
    "surrogate": b'{"k":"lost","what":"\\ud800","why":"\\u0000"}',
    "not-a-number": b'{"k":"metadata","c":1,"s":1,"v":0,"t":1e999,"metadata":{"run_id":"a"}}',
}


def journals() -> Iterator[tuple[str, bytes]]:
    """Of a session that died, of one that did not, and single records, most of them wrong."""
    with tempfile.TemporaryDirectory() as folder:
        suite = Path(folder) / "test_suite.py"
        suite.write_text(SUITE % "i and os._exit(1)", encoding="utf-8")
        arguments = [*ARGUMENTS, "--arena-results=results"]
        subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=folder, check=False, capture_output=True)
        (journal,) = Path(folder).glob("results.journals/*/*.jsonl")
        content = journal.read_bytes()
    records = b"\n".join(line[22:-1] for line in content.splitlines())
    yield "bytes", AS_BYTES + content
    yield "torn", AS_BYTES + content[: len(content) * 2 // 3]
    yield "records", AS_RECORDS + records
    yield "twice", AS_RECORDS + records + NEXT_JOURNAL + records
    for name, record in RECORDS.items():
        yield name, AS_RECORDS + records.split(b"\n")[0] + b"\n" + record


def results() -> Iterator[tuple[str, bytes]]:
    """In every form."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "test_suite.py").write_text(SUITE % "pass", encoding="utf-8")
        for path in ("results", "runs.json", "runs.jsonl"):
            arguments = [
                "-q",
                "-p",
                "no:cacheprovider",
                "-p",
                "no:xdist",
                "-p",
                "no:randomly",
                f"--arena-results={path}",
            ]
            subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=folder, check=False, capture_output=True)
        files = {
            "run.json": Path(folder) / "results" / "talk-0.json",
            "results/run.json": Path(folder) / "results" / "talk-1.json",
            "results/index.json": Path(folder) / "results" / "index.json",
            "runs.json": Path(folder) / "runs.json",
            "runs.jsonl": Path(folder) / "runs.jsonl",
        }
        for number, form in enumerate(FORMS):
            yield form.replace("/", "-"), bytes([number]) + files[form].read_bytes()


def main() -> None:
    """Write them all."""
    for folder, seeds in (("journals", journals()), ("results", results())):
        (SEEDS / folder).mkdir(parents=True, exist_ok=True)
        for name, content in seeds:
            (SEEDS / folder / name).write_bytes(content)


if __name__ == "__main__":
    main()
