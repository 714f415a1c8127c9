"""Runs a suite that is hit by a fault, and counts what was saved against what is in the report.

A save counts as soon as it has returned: the suite then appends a line to a witness file of
its own, unbuffered. Afterwards every line of the witness must be in the results.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pytest_arena_state import RunResult, iterate_results, read_index

PATIENCE_S = 240  # how long to wait for something that must come; only a broken machine or a bug needs it all

CONFTEST = """
import json, os, pytest, signal, threading

# A shell lets what runs in its background ignore Ctrl-C, and so would everything that this suite starts. A worker of
# execnet may run outside its process's main thread, where no handler can be set.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

@pytest.fixture
def talk(arena_store, request):
    witness = os.open(os.environ["WITNESS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)

    def say(conversation_id, turns=1, size=20, write=os.write):  # the real one, whatever a test replaces
        messages = []
        for turn in range(turns):
            messages.append({"role": "user", "content": f"{turn} " + "x" * size})
            arena_store.save({"id": conversation_id, "messages": messages})
            line = {"id": conversation_id, "nodeid": request.node.nodeid, "messages": len(messages)}
            write(witness, json.dumps(line).encode() + b"\\n")

    yield say
    os.close(witness)
"""

# A worker that cannot read the session's token believes that it is on another machine.
FAR = """
import os
if os.environ.get("PYTEST_XDIST_WORKER"):
    import pytest_arena_state.worker as worker
    worker._reads_token = lambda directory, token: False
"""

MODES: Mapping[str, Sequence[str]] = {
    "serial": ("-p", "no:xdist"),
    "two workers": ("-n2",),
    "two far workers": ("-n2",),
}


def wait_until(condition: Callable[[], object]) -> None:
    """Look again and again until something is so."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


# The rows of the table, which the README shows.
EVENTS = """
--maxfail=1
-x
16 sessions side by side, some with workers
Ctrl-C
Ctrl-C twice
SIGABRT
SIGKILL
SIGKILL at a random byte of a random write
SIGKILL before any step on disk
SIGKILL of the controller
SIGKILL while all files are fake (pyfakefs)
SIGTERM or Ctrl-C during publication
SIGTERM to a worker
SIGTERM to the controller
a save of 50 MB on another disk
a test that forks
crash of a --tx socket worker
damaged journal: another byte, named
damaged journal: empty one beside it
damaged journal: newer format
damaged journal: torn last line
failing pytest_sessionfinish elsewhere
file-size limit of 20 KB, rest named
found by the next session
full disk of 256 KB, rest named
internal error of another plugin
journals removed
no memory: MemoryError
no memory: the out-of-memory killer
os._exit
os._exit on another disk (mount namespace)
pytest-timeout, signal
pytest-timeout, thread
results directory read-only
results directory removed
results path becomes a file
segmentation fault
""".strip().splitlines()  # sorted


def row_of(event: str, mode: str, kept: int, saved: int) -> tuple[str, str]:
    """A property of a test's report, from which the table is made."""
    assert event in EVENTS, f"the README has no row {event!r}"
    return "fault", f"{event}|{mode}|{kept}/{saved}"


@dataclass
class Suite:
    """A suite in a folder of its own, run by a pytest of its own."""

    folder: Path
    mode: str
    plugins: Sequence[str] = ()
    arguments: Sequence[str] = ()
    environment: dict[str, str] = field(default_factory=dict)
    results: str = "results"
    prefix: Sequence[str] = ()
    """A command that starts the suite's."""

    def write(self, source: str, conftest: str = "") -> None:
        """Write the suite."""
        self.folder.mkdir(exist_ok=True)
        far = FAR if self.mode == "two far workers" else ""
        (self.folder / "conftest.py").write_text(CONFTEST + far + conftest, encoding="utf-8")
        (self.folder / "test_suite.py").write_text(source, encoding="utf-8")

    def start(self, *more: str) -> subprocess.Popen[str]:
        """Start the suite in a process group of its own, as a terminal would."""
        loaded = ["-p", "arena_state", *(() if self.mode == "serial" else ("-p", "xdist"))]
        for plugin in self.plugins:
            loaded += ["-p", plugin]
        return subprocess.Popen(
            [
                *self.prefix, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *loaded,
                *MODES.get(self.mode, ()), f"--arena-results={self.results}", *self.arguments, *more,
            ],
            cwd=self.folder,
            env={
                **{k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "COV_"))},
                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
                "PYTHONDONTWRITEBYTECODE": "1",
                "WITNESS": str(self.folder / "witness.jsonl"),
                **self.environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )  # fmt: skip

    def run(self, *more: str, hit: Callable[[subprocess.Popen[str]], None] | None = None) -> Ended:
        """Run the suite to its end, whatever that is."""
        process = self.start(*more)
        try:
            if hit is not None:
                hit(process)
            output, _ = process.communicate(timeout=PATIENCE_S)
        except BaseException as error:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # or what is left fails other tests
            error.add_note(f"the suite said:\n{process.communicate()[0]}")
            raise
        return Ended(process.returncode, output)

    def wait_for_saves(self, count: int) -> Callable[[subprocess.Popen[str]], None]:
        """Something to do to a process: wait until that many saves have returned."""

        def wait(process: subprocess.Popen[str]) -> None:
            wait_until(lambda: len(self.witnessed_lines()) >= count or process.poll() is not None)

        return wait

    def witnessed_lines(self) -> list[str]:
        """The witness, line by line."""
        try:
            return (self.folder / "witness.jsonl").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []

    def witnessed(self) -> dict[str, int]:
        """How many messages of each conversation were saved."""
        saved: dict[str, int] = {}
        for line in self.witnessed_lines():
            entry = json.loads(line)
            saved[entry["id"]] = max(saved.get(entry["id"], 0), entry["messages"])
        return saved

    def reported(self) -> dict[str, RunResult]:
        """The runs in the results, by id."""
        return {run.run_id: run for run in iterate_results(self.folder / self.results)}

    def kept(self) -> tuple[int, int]:
        """How many of the saved messages are in the results, and how many were saved."""
        saved = self.witnessed()
        try:
            reported = self.reported()
        except (OSError, ValueError):
            reported = {}
        kept = sum(min(count, _whole(reported[i])) for i, count in saved.items() if i in reported)
        return kept, sum(saved.values())

    def recover(self) -> subprocess.CompletedProcess[str]:
        """Run ``arena-state recover``."""
        return subprocess.run(
            [sys.executable, "-m", "pytest_arena_state.cli", "recover", self.results],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    def index_lost(self) -> list[str]:
        """What the index names as lost."""
        return [entry.what for entry in read_index(self.folder / self.results).completeness.lost]


def _whole(run: RunResult) -> int:
    return sum(not message.content.startswith("[this message was lost") for message in run.messages)


@dataclass(frozen=True)
class Ended:
    """How a suite ended."""

    status: int
    output: str

    @property
    def line(self) -> str:
        """The accounting line."""
        return next((line for line in self.output.splitlines() if line.startswith("arena: ")), "")


def send(number: signal.Signals) -> Callable[[subprocess.Popen[str]], None]:
    """Something to do to a process: send it a signal, and nobody else."""
    return lambda process: process.send_signal(number)


def send_group(number: signal.Signals) -> Callable[[subprocess.Popen[str]], None]:
    """Something to do to a process: send its group a signal, as a terminal does on Ctrl-C."""
    return lambda process: os.killpg(process.pid, number)


def in_turn(*steps: Callable[[subprocess.Popen[str]], None]) -> Callable[[subprocess.Popen[str]], None]:
    """Several things to do to a process."""

    def all_of_them(process: subprocess.Popen[str]) -> None:
        for step in steps:
            step(process)

    return all_of_them
