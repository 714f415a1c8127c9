"""What saving costs a suite: 5,000 tests that each save a 10 KB conversation.

Run it with ``python benchmarks/suite.py [TESTS]``. Each variant is run in turn with the bare
suite, which builds the same conversations and saves none; printed are medians of the ratios
of whole processes and the peak memory of the process that writes the report.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

SUITE = """
import os, pytest
from pytest_arena_state import ConversationState, CostInfo, Message, RunMetadata

TEXT = "So it goes. " * 100  # eight messages of 1.2 KB make a conversation of 10 KB

@pytest.fixture
def save(request):
    if not os.environ.get("SAVE"):
        return lambda state, metadata: None
    store = request.getfixturevalue("arena_store")
    return lambda state, metadata: (store.save(state), store.save_metadata(state.id, metadata))

@pytest.mark.parametrize("i", range(int(os.environ["TESTS"])))
def test_it(i, save):
    messages = [
        Message(role="assistant" if k % 2 else "user", content=f"{i} {k} {TEXT}",
                cost_info=CostInfo(input_tokens=21, output_tokens=7, total_cost_usd=0.0004) if k % 2 else None)
        for k in range(8)
    ]
    save(
        ConversationState(id=f"run-{i}", messages=messages),
        RunMetadata(run_id=f"run-{i}", scenario_id="benchmark", provider_id="none"),
    )
"""
ROUNDS = 3
VARIANTS: dict[str, Sequence[str]] = {
    "-n0, a file per run": ("-n0", "--arena-results=out"),
    "-n0, .jsonl": ("-n0", "--arena-results=out.jsonl"),
    "-n2, a file per run": ("-n2", "--arena-results=out"),
    "-n2, .jsonl": ("-n2", "--arena-results=out.jsonl"),
}


def run(folder: Path, arguments: Sequence[str], tests: int, *, save: bool) -> tuple[float, int]:
    """Run the suite; returns wall seconds and the peak memory of its main process in KiB."""
    for old in folder.glob("out*"):
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    environment = {
        **os.environ,
        "TESTS": str(tests),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "SAVE": "1" if save else "",
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "xdist", "-p", "arena_state"]
    started = time.perf_counter()
    process = subprocess.Popen([*command, *arguments], cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"the suite failed: {arguments}")
    return time.perf_counter() - started, usage.ru_maxrss


def main() -> None:
    """Print the table and write it as JSON beside this file's folder."""
    tests = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    rows = []
    print(f"{tests} tests, Python {platform.python_version()}, {os.cpu_count()} cores, median of {ROUNDS} pairs")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "test_suite.py").write_text(SUITE, encoding="utf-8")
        for variant, arguments in VARIANTS.items():
            pairs = []
            for _ in range(ROUNDS):
                bare = run(folder, arguments[:1], tests, save=False)
                saving = run(folder, arguments, tests, save=True)
                pairs.append((saving[0] / bare[0], saving[0] - bare[0], (saving[1] - bare[1]) / 1024))
            ratio, seconds, megabytes = (statistics.median(column) for column in zip(*pairs, strict=True))
            rows.append({"variant": variant, "ratio": ratio, "ms_per_test": seconds / tests * 1e3, "mb": megabytes})
            print(f"{variant:<24}{ratio:>6.2f} x bare{seconds / tests * 1e3:>8.3f} ms a test{megabytes:>8.1f} MB more")
    Path("benchmark-suite.json").write_text(json.dumps(rows, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
