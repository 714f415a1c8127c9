"""Sessions at the same time into one results path keep each other's runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from harness import row_of, wait_until
from pytest_arena_state import iterate_results, read_index

SUITE = """
import glob, os, pytest, time

@pytest.mark.parametrize("i", range(4))
def test_it(arena_store, i):
    # A session replaces what was there when it began, so nobody may end before all have begun.
    deadline = time.monotonic() + 500
    while not os.path.exists("all-have-begun") and time.monotonic() < deadline:
        if len(glob.glob("out*.journals/*/session.token")) >= int(os.environ.get("SESSIONS", "1")):
            open("all-have-begun", "w").close()
        time.sleep(0.02)
    for turn in range(3):
        messages = [{"role": "user", "content": "x" * 500}] * (turn + 1)
        arena_store.save({"id": f"{os.environ['NAME']}-{i}", "messages": messages})
"""
SESSIONS = 16
Record = Callable[[str, object], None]


def _start(folder: Path, name: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "arena_state", *arguments],
        cwd=folder,
        env={**os.environ, "NAME": name, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.timeout(900)  # seconds: 16 sessions on a machine that is busy already
@pytest.mark.parametrize("results", ["out", "out.jsonl", "out.json"])
def test_sixteen_sessions_at_once_lose_nothing(
    tmp_path: Path, results: str, monkeypatch: pytest.MonkeyPatch, record_property: Record
) -> None:
    """Some have workers and some run the same tests, while a reader looks at every moment."""
    (tmp_path / "test_it.py").write_text(SUITE, encoding="utf-8")
    monkeypatch.setenv("SESSIONS", str(SESSIONS))
    names = [f"s{n}" if n % 4 else "same" for n in range(SESSIONS)]

    running = [
        _start(tmp_path, name, f"--arena-results={results}", *(("-p", "xdist", "-n2") if n % 5 == 0 else ()))
        for n, name in enumerate(names)
    ]
    looked = 0
    while any(process.poll() is None for process in running):
        for file in [*tmp_path.glob("out*.json"), *tmp_path.glob("out/*.json")]:
            with suppress(FileNotFoundError):  # a run of before was removed between the look and the reading
                json.loads(file.read_bytes())  # never half written
                looked += 1
        time.sleep(0.005)
    outputs = [process.communicate()[0] for process in running]

    assert [process.returncode for process in running] == [0] * SESSIONS, outputs
    assert looked > 0
    index = read_index(tmp_path / results)
    runs = list(iterate_results(tmp_path / results))
    kept = sum(len(run.messages) for run in runs)
    record_property(*row_of("16 sessions side by side, some with workers", "serial", kept, SESSIONS * 4 * 3))
    assert index.total_runs == len(runs) == len(set(index.run_ids))
    counts = {name: sum(run.run_id.startswith(f"{name}-") for run in runs) for name in set(names)}
    assert counts == {name: 4 * names.count(name) for name in set(names)}
    assert index.completeness.sessions == SESSIONS
    assert not list(tmp_path.glob("*.journals"))


def _wait_for_staging(folder: Path, process: subprocess.Popen[str]) -> None:
    wait_until(lambda: list(folder.glob("out.journals/*/staging/*")) or process.poll() is not None)


@pytest.mark.timeout(900)  # seconds: 14 sessions, one after the other
def test_a_session_that_is_killed_while_it_publishes_leaves_whole_files(tmp_path: Path) -> None:
    """At whatever moment: the old index or the new one, and the lock is free for the next session."""
    (tmp_path / "test_it.py").write_text(SUITE.replace("range(4)", "range(150)"), encoding="utf-8")
    _start(tmp_path, "old", "--arena-results=out", "-k", "1]").communicate()
    before = read_index(tmp_path / "out").run_ids

    for delay in range(12):
        process = _start(tmp_path, "new", "--arena-results=out")
        _wait_for_staging(tmp_path, process)
        time.sleep(delay * 0.004)
        process.send_signal(signal.SIGKILL)
        process.communicate()

        for file in (tmp_path / "out").glob("*.json"):
            json.loads(file.read_bytes())
        ids = read_index(tmp_path / "out").run_ids
        assert ids == before or sum(run_id.startswith("new-") for run_id in ids) >= 150
    last = _start(tmp_path, "last", "--arena-results=out")
    output = last.communicate()[0]

    assert last.returncode == 0, output
    assert sum(run.run_id.startswith("last-") for run in iterate_results(tmp_path / "out")) == 150


def test_a_living_session_is_not_taken_for_a_dead_one(tmp_path: Path) -> None:
    """While one session runs, another one ends and looks for journals that nobody holds."""
    waits = """
    deadline = time.monotonic() + 240
    while os.environ["NAME"] == "long" and not os.path.exists("short-has-ended") and time.monotonic() < deadline:
        time.sleep(0.01)
"""
    (tmp_path / "test_it.py").write_text(SUITE + waits, encoding="utf-8")
    long = _start(tmp_path, "long", "--arena-results=out")
    wait_until(lambda: list(tmp_path.glob("out.journals/*/main.journal.jsonl")))

    short = _start(tmp_path, "short", "--arena-results=out")
    output = short.communicate()[0]
    (tmp_path / "short-has-ended").touch()

    assert "recovered" not in output
    assert "recovered" not in long.communicate()[0]
    assert len(list(iterate_results(tmp_path / "out"))) == 8
