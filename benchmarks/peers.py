"""This package beside others that keep data from a pytest run, each in an environment of its own.

    python benchmarks/peers.py [--tests 5000] [--rounds 5] [--environments FOLDER] [--json FILE]

One suite: every test makes a conversation of 10 KB (eight messages) and keeps it with what its
package offers. Two questions: what does a package cost that is installed and not used, as
`pytest --collect-only` on one test over bare pytest, and what does keeping cost, as the suite over the same
suite that drops what it made. All of one round run one after the other, then the next round begins; printed are
medians of the ratios to the bare run of the same round, of wall and of CPU times of whole processes
(workers included). The others keep the same JSON text; this package validates it as messages first,
takes secrets out and journals it.
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
import venv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import peak

ROOT = Path(__file__).resolve().parent.parent

SUITE = """
import json, os, pytest

TEXT = "So it goes. " * 100

@pytest.mark.parametrize("i", range(int(os.environ["TESTS"])))
def test_it(i, keep):
    keep(f"run-{i}", [
        {"role": "assistant" if k % 2 else "user", "content": f"{i} {k} {TEXT}"} for k in range(8)
    ])
"""
ONE = "def test_it(): pass\n"

DROP = """
import json, pytest
@pytest.fixture
def keep():
    return lambda name, messages: json.dumps(messages)
"""
PROPERTY = """
import json, pytest
@pytest.fixture
def keep(record_property):
    return lambda name, messages: record_property("conversation", json.dumps(messages))
"""


class Peer(NamedTuple):
    """A package, and how a test keeps something with it."""

    requirement: str
    options: Sequence[str]
    conftest: str

    def name(self) -> str:
        """A folder's name that is no other peer's."""
        return "".join(each for each in "".join(self.options) if each.isalnum())


PEERS: dict[str, Peer] = {
    "pytest-arena-state, files": Peer(
        str(ROOT),
        ("--arena-results=out",),
        """
import pytest
@pytest.fixture
def keep(arena_store):
    return lambda name, messages: arena_store.save({"id": name, "messages": messages})
""",
    ),
    "pytest-arena-state, .jsonl": Peer(str(ROOT), ("--arena-results=out.jsonl",), ""),
    "junit (pytest's own)": Peer("", ("--junitxml=out.xml",), PROPERTY),
    "pytest-reportlog": Peer("pytest-reportlog", ("--report-log=out.jsonl",), PROPERTY),
    "pytest-json-report": Peer(
        "pytest-json-report",
        ("--json-report", "--json-report-file=out.json"),
        """
import json, pytest
@pytest.fixture
def keep(json_metadata):
    def keep(name, messages): json_metadata["conversation"] = json.dumps(messages)
    return keep
""",
    ),
    "pytest-json-ctrf": Peer("pytest-json-ctrf", ("--ctrf=out.json",), PROPERTY),
    "pytest-html": Peer(
        "pytest-html",
        ("--html=out.html", "--self-contained-html"),
        """
import json, pytest
from pytest_html import extras as kinds
@pytest.fixture
def keep(extras):
    return lambda name, messages: extras.append(kinds.json(messages))
""",
    ),
    "allure-pytest": Peer(
        "allure-pytest",
        ("--alluredir=out",),
        """
import allure, json, pytest
@pytest.fixture
def keep():
    return lambda name, messages: allure.attach(json.dumps(messages), name, allure.attachment_type.JSON)
""",
    ),
}
PEERS["pytest-arena-state, .jsonl"] = PEERS["pytest-arena-state, .jsonl"]._replace(
    conftest=PEERS["pytest-arena-state, files"].conftest
)


def python_of(environments: Path, requirement: str) -> Path | None:
    """The interpreter of a peer's environment, made when it is not there; None when it cannot be."""
    name = Path(requirement).name or "bare"
    folder = environments / name
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        venv.create(folder, with_pip=True)
        wanted = ["pytest", "pytest-xdist", *([requirement] if requirement else [])]
        if subprocess.run([python, "-m", "pip", "install", "-q", *wanted]).returncode:
            return None
    return python


class Cost(NamedTuple):
    """Seconds of a whole process with its children."""

    wall: float
    cpu: float
    memory: float


def run(python: Path, folder: Path, suite: str, conftest: str, options: Iterable[str], tests: int) -> Cost:
    """Run a suite in a folder of its own."""
    folder.mkdir()
    (folder / "test_suite.py").write_text(suite, encoding="utf-8")
    (folder / "conftest.py").write_text(peak.CONFTEST + conftest, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"TESTS": str(tests)}
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"the suite failed: {' '.join(command)}")
    return Cost(time.perf_counter() - started, usage.ru_utime + usage.ru_stime, peak.of(folder))


def least(kind: str, python: Path, place: Path, conftest: str, options: Sequence[str], tests: int) -> Cost:
    """What one measurement takes: the suite once, or the least of ten collections of one test."""
    if kind != "unused":
        return run(python, place, SUITE, conftest, (kind, *options), tests)
    costs = [run(python, place.with_name(f"{place.name} {n}"), ONE, "", ("--collect-only",), 1) for n in range(10)]
    return Cost(*map(min, zip(*costs, strict=True)))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tests", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--environments", type=Path, help="a folder for environments, kept for the next time")
    parser.add_argument("--json", type=Path, help="write the table there, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        environments = (options.environments or Path(scratch) / "environments").absolute()
        environments.mkdir(parents=True, exist_ok=True)
        pythons = {name: python_of(environments, peer.requirement) for name, peer in PEERS.items()}
        bare = python_of(environments, "")
        assert bare is not None
        ratios: dict[str, dict[str, list[float]]] = {name: {} for name, python in pythons.items() if python}
        for number in range(options.rounds + 1):
            for kind in ("unused", "-n0", "-n2"):
                place = Path(scratch) / f"{number} {kind}"
                place.mkdir()
                base = least(kind, bare, place / "bare", DROP, (), options.tests)
                for name, found in ratios.items():
                    peer = PEERS[name]
                    python = pythons[name] or bare
                    cost = least(kind, python, place / peer.name(), peer.conftest, peer.options, options.tests)
                    if number:  # the first round fills caches
                        found.setdefault(f"{kind} wall", []).append(cost.wall / base.wall)
                        found.setdefault(f"{kind} cpu", []).append(cost.cpu / base.cpu)
                        found.setdefault(f"{kind} MB", []).append(cost.memory - base.memory)
        rows = [
            {"package": name, **{key: statistics.median(values) for key, values in found.items()}}
            for name, found in ratios.items()
        ]
    show(rows, options)


def show(rows: list[dict[str, Any]], options: argparse.Namespace) -> None:
    """Print the table, and write it where that was asked for."""
    machine = f"Python {platform.python_version()}, {platform.system()}, {os.cpu_count()} cores"
    print(f"{options.tests:,} tests of 10 KB, {machine}, medians of {options.rounds} rounds, over bare pytest\n")
    columns = ["unused wall", "-n0 wall", "-n0 cpu", "-n0 MB", "-n2 wall", "-n2 cpu", "-n2 MB"]
    print(f"{'':<28}" + "".join(f"{column:>13}" for column in columns))
    for row in rows:
        print(f"{row['package']:<28}" + "".join(f"{row[column]:>13.2f}" for column in columns))
    if options.json:
        table = {"machine": machine, "tests": options.tests, "rounds": options.rounds, "rows": rows}
        options.json.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
