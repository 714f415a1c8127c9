"""What the plugin does to suites that are not ours: nothing, and what that costs.

Run it with ``python benchmarks/other_suites.py [--rounds N] [--folder FOLDER] [PROJECT …]``. Each project comes from
its source distribution, into two environments: one without the plugin, one with it. Its own suite is run without the
plugin, with the plugin installed, and with ``--arena-results``; alone and with two workers. What every phase of every
test came to is compared, and the processor time of each run (all its processes, user and system) is divided by that
of the run without the plugin that stood before it.

The exit status is 1 where an outcome differs that does not differ between two runs without the plugin, either.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tarfile
import time
import venv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]

RECORDER = """
def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(), "outcomes-recorder")

class Recorder:
    def __init__(self):
        import os
        self.file = open(os.environ.pop("OUTCOMES"), "w", encoding="utf-8", errors="backslashreplace")

    def pytest_runtest_logreport(self, report):
        words = report.nodeid, report.when, report.outcome, "x" if hasattr(report, "wasxfail") else "-"
        self.file.write("\\t".join(words).replace("\\n", " ") + "\\n")

    def pytest_unconfigure(self):
        self.file.close()
"""


@dataclass(frozen=True)
class Project:
    """A suite of somebody else."""

    name: str
    tests: str
    """Where its tests are, in its source distribution."""
    needs: tuple[str, ...] = ()
    """What its tests need beside it."""
    arguments: tuple[str, ...] = ()


PROJECTS = {
    project.name: project
    for project in (
        Project("attrs", "tests", ("hypothesis", "cloudpickle", "psutil", "pympler")),
        Project("click", "tests"),
        Project("jinja2", "tests", ("trio",)),
        Project("werkzeug", "tests", ("ephemeral-port-reserve", "pytest-timeout", "watchdog", "cryptography")),
        Project("jsonschema", "jsonschema", ("jsonpath-ng", "jsonschema-specifications")),
        Project("packaging", "tests", ("pretend", "tomli-w", "hypothesis")),
        Project("python-dateutil", "tests", ("freezegun", "hypothesis", "pytest-subtests<1")),
        Project(
            "anyio", "tests", ("trio", "hypothesis", "psutil", "trustme", "truststore", "blockbuster", "exceptiongroup")
        ),
        Project(
            "httpx", "tests", ("anyio", "trio", "trustme", "uvicorn", "chardet", "brotli", "zstandard", "h2", "socksio")
        ),
        Project("pluggy", "testing"),
        Project(
            "pytest", "testing", ("attrs", "hypothesis", "mock", "requests", "setuptools", "xmlschema", "argcomplete")
        ),
    )
}


@dataclass
class Run:
    """What one run of a suite came to."""

    status: int
    outcomes: Counter[str]
    counts: str
    seconds: float
    results: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Way:
    """One way to run a suite."""

    name: str
    arguments: tuple[str, ...] = ()
    installed: bool = True


WITHOUT = Way("without the plugin", installed=False)
WAYS = (
    WITHOUT,
    Way("installed"),
    Way("--arena-results", ("--arena-results=RESULTS",)),
)


class Bench:
    """A project, unpacked and installed twice."""

    def __init__(self, project: Project, folder: Path) -> None:
        self.project = project
        self.folder = folder / project.name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.source = self._unpack()
        self.pythons = {installed: self._environment(installed) for installed in (False, True)}
        (self.folder / "outcomes_recorder.py").write_text(RECORDER, encoding="utf-8")

    def _unpack(self) -> Path:
        if not list(self.folder.glob("*.tar.gz")):
            pip = [
                sys.executable,
                "-m",
                "pip",
                "download",
                "-q",
                "--no-deps",
                "--no-binary",
                ":all:",
                self.project.name,
            ]
            subprocess.run(pip, cwd=self.folder, check=True)
        (archive,) = self.folder.glob("*.tar.gz")
        source = self.folder / archive.name.removesuffix(".tar.gz")
        if not source.exists():
            with tarfile.open(archive) as opened:
                opened.extractall(self.folder, filter="data")
        return source

    def _environment(self, installed: bool) -> Path:
        folder = self.folder / ("with" if installed else "without")
        python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        if not folder.exists():
            venv.create(folder, with_pip=True)
            needs = [*self.project.needs, "pydantic>=2.7", "filelock>=3.16", "pytest-xdist>=3.6"]
            ours = [str(REPOSITORY)] if installed else []
            subprocess.run([python, "-m", "pip", "install", "-q", self.source, *needs, *ours], check=True)
        return python

    def run(self, way: Way, workers: Sequence[str]) -> Run:
        """Run the suite once."""
        results, outcomes = self.folder / "results", self.folder / "outcomes.txt"
        shutil.rmtree(results, ignore_errors=True)
        arguments = [argument.replace("RESULTS", str(results)) for argument in way.arguments]
        process = subprocess.Popen(
            [
                self.pythons[way.installed], "-m", "pytest", "-q", "-p", "outcomes_recorder", "-p", "no:cacheprovider",
                *self.project.arguments, *workers, *arguments, self.project.tests,
            ],
            cwd=self.source,
            env={**os.environ, "PYTHONPATH": str(self.folder), "OUTCOMES": str(outcomes)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert process.stdout is not None
        output = process.stdout.read().decode(errors="replace")
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        (self.folder / "output.txt").write_text(output, encoding="utf-8")
        index = results / "index.json"
        return Run(
            process.returncode,
            Counter(outcomes.read_text(encoding="utf-8").splitlines()) if outcomes.exists() else Counter(),
            counts_of(output),
            usage.ru_utime + usage.ru_stime,
            json.loads(index.read_bytes())["completeness"] if index.exists() else {},
        )


def counts_of(output: str) -> str:
    """The last line of pytest's summary, without the time."""
    lines = [line for line in output.splitlines() if re.search(r"\d+ (passed|failed|error)", line)]
    return re.sub(r" in [0-9.]+s.*", "", lines[-1]).strip("= ") if lines else "no summary"


def differences(first: Run, second: Run) -> set[str]:
    """Tests, with their phases, that came to something else."""
    changed = (first.outcomes - second.outcomes) + (second.outcomes - first.outcomes)
    found = {"\t".join(line.split("\t")[:2]) for line in changed}
    return found | ({f"exit status {first.status} and {second.status}"} if first.status != second.status else set())


def compare(bench: Bench, workers: Sequence[str], rounds: int) -> Iterator[str]:
    """Run a suite in every way, in turn, and yield the lines of its table."""
    title = f"{bench.source.name}{' ' if workers else ''}{' '.join(workers)}"
    ratios: dict[str, list[float]] = {way.name: [] for way in WAYS}
    different: dict[str, set[str]] = {way.name: set() for way in WAYS}
    by_itself = set[str]()
    base: Run | None = None
    for _ in range(rounds):
        for way in WAYS:
            run = bench.run(way, workers)
            if way is WITHOUT:
                if base:
                    by_itself |= differences(base, run)
                base = run
                if not run.outcomes:
                    raise SystemExit(f"{title}: no test ran; see {bench.folder / 'output.txt'}")
            assert base is not None
            ratios[way.name].append(run.seconds / base.seconds)
            different[way.name] |= differences(base, run)
            if "--arena-results" in way.name and run.results.get("lost") != []:
                different[way.name].add(f"results: {run.results}")
    assert base is not None
    yield f"{title}: {base.outcomes.total()} phases, {base.counts}, {base.seconds:.1f} s of processor time"
    for way in WAYS[1:]:
        real = different[way.name] - by_itself
        said = "same outcomes" if not real else f"{len(real)} DIFFERENT: {sorted(real)[:5]}"
        times = ratios[way.name]
        yield f"  {way.name:18} {statistics.median(times):5.2f} x ({min(times):.2f} to {max(times):.2f})  {said}"
    if by_itself:
        yield f"  different without the plugin, too: {sorted(by_itself)[:3]}"


def main() -> int:
    """Print a table for each project."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("projects", nargs="*", default=["attrs", "click", "pytest"], metavar="PROJECT")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("build/other-suites"), help="kept, for the next time")
    parser.add_argument("--workers", nargs="*", default=["0", "2"])
    options = parser.parse_args()
    print(f"Python {sys.version.split()[0]}, pydantic {version('pydantic')}, {time.strftime('%Y-%m-%d')}")
    failed = False
    for name in options.projects:
        bench = Bench(PROJECTS[name], options.folder.absolute())
        for count in options.workers:
            for line in compare(bench, ("-n", count) if count != "0" else (), options.rounds):
                print(line, flush=True)
                failed |= "DIFFERENT" in line
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
