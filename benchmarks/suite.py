"""What saving costs a suite: 5,000 tests that each save a 10 KB conversation.

    python benchmarks/suite.py [--tests 5000] [--rounds 5] [--only TEXT] [--json FILE] [--fail-above RATIO]

Each variant is run in turn with the bare suite: the same tests, which build the same
conversations and hand them to a store that drops them, without the plugin. Printed are medians
over the pairs: the ratio of wall times and of CPU times of whole processes (children
included), and how much more memory the process needs that writes the report. Redaction and
checksums are on. A busy machine shows in the wall times first.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import peak

SUITE = """
import os, pytest
from pytest_arena_state import ConversationState, CostInfo, Message, RunMetadata

TEXT = "So it goes. " * 100  # eight messages of 1.2 KB make a conversation of 10 KB

@pytest.mark.parametrize("i", range(int(os.environ["TESTS"])))
def test_it(i, arena_store):
    messages = [
        Message(role="assistant" if k % 2 else "user", content=f"{i} {k} {TEXT}",
                cost_info=CostInfo(input_tokens=21, output_tokens=7, total_cost_usd=0.0004) if k % 2 else None)
        for k in range(8)
    ]
    arena_store.save(ConversationState(id=f"run-{i}", messages=messages))
    arena_store.save_metadata(f"run-{i}", RunMetadata(run_id=f"run-{i}", scenario_id="b", provider_id="none"))
"""
STUB = """
import pytest

class Stub:
    def save(self, state): pass
    def save_metadata(self, conversation_id, metadata): pass

@pytest.fixture
def arena_store():
    return Stub()
"""
VARIANTS: dict[str, Sequence[str]] = {
    "-n0, a file per run": ("-n0", "--arena-results=out"),
    "-n0, .jsonl": ("-n0", "--arena-results=out.jsonl"),
    "-n2, a file per run": ("-n2", "--arena-results=out"),
    "-n2, .jsonl": ("-n2", "--arena-results=out.jsonl"),
}
TARGETS = {
    "-n0, a file per run": 1.30,
    "-n0, .jsonl": 1.20,
    "-n2, a file per run": 1.30,
    "-n2, .jsonl": 1.30,
}


# Workers that read no disk of the controller send it what they write.
FAR = """
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    if hasattr(config, "workerinput"):
        import pytest_arena_state.worker as worker
        worker._reads_token = lambda *args: False
"""


class Cost(NamedTuple):
    """Of one run of the suite."""

    wall: float
    """Seconds."""
    cpu: float
    """Seconds, with those of workers."""
    memory: float
    """Peak of the main process, in MB."""


def run(folder: Path, arguments: Sequence[str], tests: int, *, save: bool, conftest: str = "") -> Cost:
    """Run the suite in a folder of its own."""
    folder.mkdir()
    (folder / "test_suite.py").write_text(SUITE, encoding="utf-8")
    (folder / "conftest.py").write_text(peak.CONFTEST + (conftest or ("" if save else STUB)), encoding="utf-8")
    environment = {**os.environ, "TESTS": str(tests), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # modules are compiled once, as everywhere
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "xdist"]
    command += ["-p", "arena_state" if save else "no:arena_state"]
    started = time.perf_counter()
    process = subprocess.Popen([*command, *arguments], cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"the suite failed: {arguments}")
    return Cost(time.perf_counter() - started, usage.ru_utime + usage.ru_stime, peak.of(folder))


def compared(folder: Path, arguments: Sequence[str], tests: int, rounds: int) -> dict[str, float]:
    """Medians over pairs of the bare suite and one that saves."""
    pairs = []
    for number in range(rounds):
        # Folders are new each time and removed in the end: a file system is slow to reuse what was just deleted.
        bare = run(folder / f"bare-{number}", arguments[:1], tests, save=False)
        saving = run(folder / f"saving-{number}", arguments, tests, save=True)
        pairs.append((bare, saving))
    return {
        "wall": statistics.median(saving.wall / bare.wall for bare, saving in pairs),
        "cpu": statistics.median(saving.cpu / bare.cpu for bare, saving in pairs),
        "us_per_test": statistics.median((saving.cpu - bare.cpu) / tests * 1e6 for bare, saving in pairs),
        "mb": statistics.median(saving.memory - bare.memory for bare, saving in pairs),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tests", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="variants whose name contains this")
    parser.add_argument("--json", type=Path, help="write the table there, too")
    parser.add_argument("--fail-above", type=float, help="exit with 1 where a ratio of CPU times is larger")
    options = parser.parse_args()
    machine = f"Python {platform.python_version()}, {platform.system()}, {os.cpu_count()} cores"
    print(f"{options.tests:,} tests of 10 KB, {machine}, medians of {options.rounds} pairs\n")
    print(f"{'':<24}{'wall':>7}{'cpu':>7}{'target':>8}{'µs a test':>11}{'MB more':>9}")
    rows: list[dict[str, Any]] = []
    for variant, arguments in VARIANTS.items():
        if options.only in variant:
            with tempfile.TemporaryDirectory() as folder:
                row = compared(Path(folder), arguments, options.tests, options.rounds)
            rows.append({"variant": variant, "target": TARGETS[variant], **row})
            print(
                f"{variant:<24}{row['wall']:>7.2f}{row['cpu']:>7.2f}{TARGETS[variant]:>8.2f}"
                f"{row['us_per_test']:>11.0f}{row['mb']:>9.1f}"
            )
    if options.json:
        table = {"machine": machine, "tests": options.tests, "rounds": options.rounds, "rows": rows}
        options.json.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    slow = [row["variant"] for row in rows if options.fail_above and row["cpu"] > options.fail_above]
    if slow:
        raise SystemExit(f"more than {options.fail_above} times the CPU time of the bare suite: {'; '.join(slow)}")


if __name__ == "__main__":
    main()
