"""Workers that really are on another disk: everything goes over their channel at once."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import Suite, row_of
from pytest_arena_state.cli import main as arena_state

Record = Callable[[str, object], None]

SUITE = """
import os, pytest

@pytest.mark.parametrize("i", range(6))
def test_it(talk, i):
    assert not os.path.exists("results.journals"), "this worker must not see the controller's disk"
    talk(f"run-{i}", turns=3)

def test_dies(talk):
    talk("dying", turns=3)
    os._exit(1)
"""


def _own_disk(folder: Path) -> bool:
    """Whether this machine lets a process have a mount namespace of its own."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return False
    probe = subprocess.run(
        [unshare, "-m", "sh", "-c", f"mount -t tmpfs none '{folder}'"], capture_output=True, check=False
    )
    return probe.returncode == 0


def _wrapper(folder: Path, hidden: Path) -> Path:
    """A Python that sees an empty folder in place of the one that holds the journals."""
    wrapper = folder / "python-elsewhere"
    wrapper.write_text(
        "#!/bin/sh\n"
        f'exec unshare -m sh -c \'mount -t tmpfs none "{hidden}" && cd "{folder}" && '
        f'exec "{sys.executable}" "$@"\' sh "$@"\n',
        encoding="utf-8",
    )
    wrapper.chmod(0o755)
    return wrapper


@pytest.fixture
def far_suite(tmp_path: Path) -> Suite:
    """A suite whose results are in a folder that its workers cannot see."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    if not _own_disk(hidden):
        pytest.skip("no mount namespaces here")
    suite = Suite(tmp_path / "suite", "on another disk", results=str(hidden / "results"))
    suite.folder.mkdir()
    wrapper = _wrapper(suite.folder, hidden)
    suite.arguments = ("-p", "xdist", "-d", "--tx", f"2*popen//python={wrapper}//chdir={suite.folder}")
    return suite


def test_what_workers_on_another_disk_save_is_in_the_report(far_suite: Suite, record_property: Record) -> None:
    far_suite.write(SUITE)

    ended = far_suite.run()

    kept, saved = far_suite.kept()
    record_property(*row_of("os._exit on another disk (mount namespace)", "two far workers", kept, saved))
    assert kept == saved == 21, ended.output
    assert "3 workers (1 crashed), 0 lost" in ended.line
    assert "died while it ran" in far_suite.reported()["dying"].error


def test_a_save_of_fifty_megabytes_arrives(far_suite: Suite, record_property: Record) -> None:
    far_suite.write("def test_big(talk):\n    talk('big', turns=1, size=50_000_000)\n")

    ended = far_suite.run()

    kept, saved = far_suite.kept()
    record_property(*row_of("a save of 50 MB on another disk", "two far workers", kept, saved))
    assert kept == saved == 1, ended.output
    assert len(far_suite.reported()["big"].messages[0].content) > 50_000_000


@pytest.mark.parametrize("mode", ["serial", "two workers"])
def test_a_full_disk_changes_no_outcome_and_is_named(tmp_path: Path, mode: str, record_property: Record) -> None:
    """A file system of 256 KB holds the results; what it cannot take is counted as lost, with the reason."""
    small = tmp_path / "small"
    small.mkdir()
    if not _own_disk(small):
        pytest.skip("no mount namespaces here")
    suite = Suite(tmp_path / "suite", mode, results=str(small / "results"))
    suite.write(
        """
import pytest
@pytest.mark.parametrize("i", range(8))
def test_it(talk, i):
    talk(f"run-{i}", turns=1, size=60_000)
"""
    )
    command = (
        f"mount -t tmpfs -o size=256k none '{small}' && cd '{suite.folder}' && "
        f"WITNESS='{suite.folder}/witness.jsonl' PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 '{sys.executable}' -m pytest -q "
        f"-p no:cacheprovider -p arena_state {'-p no:xdist' if mode == 'serial' else '-p xdist -n2'} "
        f"--arena-results='{small}/results'; status=$?; cp -r '{small}' '{suite.folder}/small'; exit $status"
    )

    ended = subprocess.run(["unshare", "-m", "sh", "-c", command], capture_output=True, text=True, check=False)

    assert "8 passed" in ended.stdout
    assert ended.returncode == 0
    line = next(line for line in ended.stdout.splitlines() if line.startswith("arena: "))
    assert "No space left on device" in ended.stdout
    assert ", 0 lost" not in line
    assert len(suite.witnessed()) == 8
    suite.results = "small/results"
    if not (suite.folder / suite.results).exists():
        assert suite.recover().returncode == 0
    kept, saved = suite.kept()
    record_property(*row_of("full disk of 256 KB, rest named", mode, kept, saved))
    assert 0 < kept < saved == 8


# How large a disk is, and how many of its pages of 4 KB are taken.
FULL = {
    "no room": ("size=64k", 17),
    "room for the token": ("size=64k", 15),
    "no file but the token": ("size=64k,nr_inodes=5", 1),
}


@pytest.mark.parametrize("full", FULL)
@pytest.mark.parametrize("mode", ["serial", "two workers"])
def test_a_disk_that_is_full_from_the_start_costs_nothing(tmp_path: Path, mode: str, full: str) -> None:
    """The folder of a session can be made there, and nothing be written into it: journals go elsewhere."""
    size, pages = FULL[full]
    small, temporary = tmp_path / "small", tmp_path / "temporary"
    small.mkdir()
    temporary.mkdir()
    if not _own_disk(small):
        pytest.skip("no mount namespaces here")
    suite = Suite(tmp_path / "suite", mode, results=str(small / "results"))
    suite.write("def test_it(talk):\n    talk('run', turns=3)\n")
    command = (
        f"mount -t tmpfs -o {size} none '{small}' && cd '{suite.folder}' && "
        f"dd if=/dev/zero of='{small}/full' bs=4k count={pages} 2>/dev/null; TMPDIR='{temporary}' "
        f"WITNESS='{suite.folder}/witness.jsonl' PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 '{sys.executable}' -m pytest -q "
        f"-p no:cacheprovider -p arena_state {'-p no:xdist' if mode == 'serial' else '-p xdist -n2'} "
        f"--arena-results='{small}/results'; status=$?; ls '{small}'; exit $status"
    )

    ended = subprocess.run(["unshare", "-m", "sh", "-c", command], capture_output=True, text=True, check=False)
    [session] = temporary.glob("arena-state-*/*")
    recovered = arena_state(["recover", str(session), "-o", str(suite.folder / "recovered")])

    assert ended.returncode == 0
    assert "1 run kept" in ended.stdout
    assert ended.stdout.splitlines()[-1] == "full"
    assert recovered == 0
    suite.results = "recovered"
    kept, saved = suite.kept()
    assert kept == saved > 0
