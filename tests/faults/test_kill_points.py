"""SIGKILL at random bytes of random writes, and before every step of a session on disk.

The long form kills two hundred processes in each mode, and one at each step; the short one a
dozen. A kill point is a process: a session with workers has as many as workers die in it.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from harness import MODES, Ended, Suite, row_of, wait_until
from pytest_arena_state import read_index
from pytest_arena_state.recovery import recover

Record = Callable[[str, object], None]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")

SHORT, LONG = 12, 200
SEED = 20261122

TALKS = """
import pytest
@pytest.mark.parametrize("i", range(40))
def test_it(talk, i):
    talk(f"run-{i}", turns=5)
"""

# Each process draws the write at which it dies, and how much of it is still written. Writes are those into
# journals and staged files; of a far worker, all that it sends to its controller.
DIES_IN_A_WRITE = """
import os, random, signal
from pytest_arena_state._system import System

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
moments = random.Random(os.environ["SEED"] + WORKER)
left = moments.randrange(1, 60)

def die(write, content):
    global left
    left -= 1
    if left == 0:
        write(content[: moments.randrange(len(content) + 1)])
        os.write(kills, b"killed\\n")
        os.kill(os.getpid(), signal.SIGKILL)

def dying_write(descriptor, content):
    die(lambda part: os.write(descriptor, part), content)
    return os.write(descriptor, content)

def dying_send(self, data, send=None):
    die(lambda part: SEND(self, part), data)
    SEND(self, data)

if WORKER or os.environ["MODE"] == "serial":
    kills = os.open("kills", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    if os.environ["MODE"] == "two far workers":
        import execnet.gateway_base
        SEND = execnet.gateway_base.Popen2IO.write
        execnet.gateway_base.Popen2IO.write = dying_send
    else:
        System.write = staticmethod(dying_write)
"""


@pytest.mark.parametrize("mode", MODES)
def test_a_dozen_processes_that_are_killed_while_they_write_lose_nothing(
    tmp_path: Path, mode: str, record_property: Record
) -> None:
    _kill_in_writes(tmp_path, mode, SHORT, record_property)


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("mode", MODES)
def test_two_hundred_processes_that_are_killed_while_they_write_lose_nothing(
    tmp_path: Path, mode: str, record_property: Record
) -> None:
    _kill_in_writes(tmp_path, mode, LONG, record_property)


def _kill_in_writes(folder: Path, mode: str, count: int, record_property: Record) -> None:
    killed = all_kept = all_saved = number = 0
    while killed < count:
        number += 1
        suite = Suite(folder / f"{number}", mode)
        suite.environment = {"MODE": mode, "SEED": f"{SEED}-{number}-"}
        suite.write(TALKS, conftest=DIES_IN_A_WRITE)
        ended = suite.run(*(() if mode == "serial" else ("--max-worker-restart=1000",)))
        deaths = len((suite.folder / "kills").read_bytes().splitlines())
        assert deaths > 0, ended.output
        if mode == "serial":
            recover(suite.folder / suite.results)
        kept, saved = suite.kept()
        assert (kept, saved) == (saved, saved), (number, ended.output)
        killed, all_kept, all_saved = killed + deaths, all_kept + kept, all_saved + saved
        shutil.rmtree(suite.folder)
    print(f"{mode}: {killed} processes killed in {number} sessions")
    record_property(*row_of("SIGKILL at a random byte of a random write", mode, all_kept, all_saved))


# --- every step ------------------------------------------------------------------------------

# Python tells of every file that is opened, moved or removed before it is done, and what a test
# saves is written through `System`; the process dies before step KILL_AT, or in the middle of it where it is a write.
DIES_AT_A_STEP = """
import os, signal, sys
from pytest_arena_state._system import System

KILL_AT = int(os.environ["KILL_AT"])
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
steps = open("steps", "a", buffering=1)
step = 0

def next_step(what, first_half=lambda: None):
    global step
    step += 1
    steps.write(what + "\\n")
    if step == KILL_AT:
        first_half()
        os.kill(os.getpid(), signal.SIGKILL)

HERE = os.path.realpath(os.getcwd())

def is_of_results(path, descriptor=-1):
    # Under a folder that is removed, paths are names relative to a descriptor. pytest removes others' there, by chance.
    folder = HERE if descriptor == -1 else folder_of(descriptor)
    path = os.path.join(folder, os.fsdecode(path)) if isinstance(path, str | bytes | os.PathLike) else ""
    return path.startswith(HERE + os.sep) and "results" in path[len(HERE):]

def folder_of(descriptor):
    if sys.platform == "darwin":
        import fcntl
        return os.fsdecode(fcntl.fcntl(descriptor, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\\0"))
    return os.readlink(f"/proc/self/fd/{descriptor}")

def watch(event, arguments):
    if event == "open":
        path, _, flags = arguments
        # How often it looks whether workers still write is chance, and so would be the number of steps.
        if is_of_results(path) and flags & WRITING and not os.path.basename(str(path)).startswith("gw"):
            next_step(f"open {path}")
    elif event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir"):
        if is_of_results(arguments[0], arguments[-1]):
            next_step(f"{event} {arguments[0]}")

def write(descriptor, content):
    next_step("write", lambda: os.write(descriptor, content[: len(content) // 2]))
    return os.write(descriptor, content)

if not os.environ.get("PYTEST_XDIST_WORKER"):
    System.write = staticmethod(write)
    sys.addaudithook(watch)
"""

FEW_TALKS = """
import os, pytest
@pytest.mark.parametrize("i", range(4))
def test_it(talk, i):
    talk(f"{os.environ['NAME']}-{i}", turns=2)
"""

NEW_IDS = [f"new-{i}" for i in range(4)]


class Stepwise:
    """A suite with results of an earlier session, run anew from there for each step."""

    def __init__(self, folder: Path, mode: str, results: str) -> None:
        self.mode, self.results = mode, results
        self._first = Suite(folder / "first", mode, results=results)
        self._first.write(FEW_TALKS)
        self._run(self._first, "old", 0)
        (self._first.folder / "witness.jsonl").unlink()
        self._first.write(FEW_TALKS, conftest=DIES_AT_A_STEP)
        self.old_ids = read_index(self._first.folder / results).run_ids

    def _run(self, suite: Suite, name: str, kill_at: int) -> Ended:
        suite.environment = {"NAME": name, "KILL_AT": str(kill_at)}
        return suite.run()

    def steps(self) -> list[str]:
        """What a session that nobody kills does on disk."""
        suite, _ = self.killed_at(0)
        return (suite.folder / "steps").read_text(encoding="utf-8").splitlines()

    def killed_at(self, step: int) -> tuple[Suite, Ended]:
        """A session that dies before this step."""
        suite = Suite(self._first.folder.with_name(f"{step}"), self.mode, results=self.results)
        shutil.copytree(self._first.folder, suite.folder)
        return suite, self._run(suite, "new", step)


@pytest.mark.parametrize("mode", ["serial", "two workers"])
def test_a_dozen_steps_of_a_session_at_which_it_may_die(tmp_path: Path, mode: str, record_property: Record) -> None:
    stepwise = Stepwise(tmp_path, mode, "results")
    steps = range(1, 1 + len(stepwise.steps()))
    count = SHORT if mode == "serial" else SHORT // 2  # each takes three processes
    _kill_at_steps(stepwise, sorted(random.Random(SEED).sample(steps, count)), record_property)


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("results", ["results", "results.jsonl", "results.json"])
@pytest.mark.parametrize("mode", ["serial", "two workers"])
def test_every_step_of_a_session_at_which_it_may_die(
    tmp_path: Path, mode: str, results: str, record_property: Record
) -> None:
    stepwise = Stepwise(tmp_path, mode, results)
    _kill_at_steps(stepwise, list(range(1, 1 + len(stepwise.steps()))), record_property)


def _whole_runs(results: Path) -> list[str]:
    """The ids in the files of the results, each of which must be JSON; a directory has those that its index names."""
    if results.is_dir():
        known = {json.loads(file.read_bytes()).get("RunID") for file in results.glob("*.json")}
        return [run_id for run_id in read_index(results).run_ids if run_id in known]
    text = results.read_text(encoding="utf-8")
    runs = json.loads(text)["runs"] if results.suffix == ".json" else [json.loads(line) for line in text.splitlines()]
    return sorted(run["RunID"] for run in runs)


def _is_recovered(results: Path) -> bool:
    return not recover(results).alive  # workers end a moment after their controller


def _kill_at_steps(stepwise: Stepwise, steps: list[int], record_property: Record) -> None:
    all_kept = all_saved = 0
    for step in steps:
        suite, ended = stepwise.killed_at(step)
        where = (step, (suite.folder / "steps").read_text(encoding="utf-8").splitlines()[-1], ended.output)
        assert ended.status == -9, where
        results = suite.folder / suite.results

        # As a reader finds it: the old results or the new ones, and nothing half written.
        ids = read_index(results).run_ids
        assert ids == stepwise.old_ids or ids == NEW_IDS, where
        assert _whole_runs(results) in ([*ids], NEW_IDS if results.suffix == ".jsonl" else [*ids]), where

        if results.with_name(f"{results.name}.journals").exists():
            wait_until(partial(_is_recovered, results))
        kept, saved = suite.kept()
        assert (kept, saved) == (saved, saved), where
        all_kept, all_saved = all_kept + kept, all_saved + saved
        shutil.rmtree(suite.folder)
    print(f"{stepwise.mode}, {stepwise.results}: killed at {len(steps)} steps")
    record_property(*row_of("SIGKILL before any step on disk", stepwise.mode, all_kept, all_saved))
