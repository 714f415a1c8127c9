"""Everything whose save returned is in the report, however a process ends."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import Suite, in_turn, row_of, send, send_group, wait_until
from pytest_arena_state.journal import encode_line

Check = Callable[[str], None]
Record = Callable[[str, object], None]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="these faults are made with POSIX signals")

DYING = """
import ctypes, os, resource, signal, sys, pytest

@pytest.mark.parametrize("i", range(6))
def test_before(talk, i):
    talk(f"before-{i}", turns=3)

def test_dies(talk):
    talk("dying", turns=5)
    %s

@pytest.mark.parametrize("i", range(6))
def test_after(talk, i):
    talk(f"after-{i}", turns=3)
"""

DEATHS = {
    "os._exit": "os._exit(1)",
    "SIGKILL": "os.kill(os.getpid(), signal.SIGKILL)",
    "segmentation fault": "ctypes.string_at(0)",
    "SIGABRT": "os.abort()",
}

LONG = """
import time, pytest

@pytest.mark.parametrize("i", range(6))
def test_before(talk, i):
    talk(f"before-{i}", turns=3)

@pytest.mark.parametrize("i", range(2))
def test_long(talk, i):
    talk(f"long-{i}", turns=4)
    time.sleep(600)
"""
SAVES_UNTIL_LONG = 6 * 3 + 4  # the second long test may stand behind the first on one worker


@pytest.mark.parametrize("death", DEATHS)
def test_a_death_costs_nothing(suite: Suite, kept_everything: Check, death: str) -> None:
    """The dying test's own saves are the ones that people want to see."""
    suite.write(DYING % DEATHS[death])

    ended = suite.run()

    if suite.mode == "serial":
        assert suite.recover().returncode == 0
    else:
        assert ended.line.endswith("3 workers (1 crashed), 0 lost -> results/index.json")
    kept_everything(death)
    runs = suite.reported()
    assert "died while it ran test_suite.py::test_dies" in runs["dying"].error
    assert runs["dying"].labels["pytest.nodeid"] == "test_suite.py::test_dies"
    assert [run_id for run_id, run in runs.items() if run.error] == ["dying"]


def test_a_death_among_fake_files_costs_nothing(suite: Suite, kept_everything: Check) -> None:
    """A fake file system replaces what a process writes with, and its descriptors have our journal's number."""
    pytest.importorskip("pyfakefs")
    suite.plugins = ("pyfakefs.pytest_plugin",)
    source = DYING % "os.kill(os.getpid(), signal.SIGKILL)"
    suite.write(
        source.replace(
            "def test_dies(talk):", "def test_dies(talk, fs):\n    files = [open(f'{i}', 'w') for i in range(20)]"
        )
    )

    suite.run()

    if suite.mode == "serial":
        assert suite.recover().returncode == 0
    kept_everything("SIGKILL while all files are fake (pyfakefs)")
    assert "died while it ran test_suite.py::test_dies" in suite.reported()["dying"].error


def test_a_lack_of_memory_is_a_failure_like_any_other(suite: Suite, kept_everything: Check) -> None:
    """A limit of the address space, as `ulimit -v` sets it: allocations fail, ours as well as the test's."""
    suite.write(
        DYING
        % """
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 100_000_000, resource.RLIM_INFINITY))
    try:
        blocks = []
        while True:
            blocks.append(bytearray(1_000_000))
    finally:
        blocks = []
"""
    )
    if not Path("/proc/self/statm").exists():
        pytest.skip("this system does not tell how much memory a process has")

    ended = suite.run()

    assert "1 failed" in ended.output, ended.output
    kept_everything("no memory: MemoryError")
    assert "MemoryError" in suite.reported()["dying"].error


class MemoryGroup:
    """A control group that takes a process and little memory, of whichever version the system has."""

    def __init__(self) -> None:
        second = Path("/sys/fs/cgroup/cgroup.controllers").exists()
        root = Path("/sys/fs/cgroup" if second else "/sys/fs/cgroup/memory")
        self.path = root / f"arena-{os.getpid()}"
        self._limits = ("memory.max", "memory.swap.max") if second else ("memory.limit_in_bytes",)
        self._events = "memory.events" if second else "memory.oom_control"

    def make(self) -> None:
        self.path.mkdir()
        limit, *swap = self._limits
        (self.path / limit).write_text("80000000")
        for each in swap:
            (self.path / each).write_text("0")

    def kills(self) -> int:
        text = (self.path / self._events).read_text()
        return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill "))


def test_the_out_of_memory_killer_costs_nothing(suite: Suite, kept_everything: Check) -> None:
    """It sends SIGKILL, in the middle of whatever the process does."""
    group = MemoryGroup()
    try:
        group.make()
    except OSError as error:
        if group.path.exists():
            group.path.rmdir()
        pytest.skip(f"no control group for memory can be made here: {error.strerror}")
    try:
        suite.write(
            DYING
            % f"""
    open("{group.path}/cgroup.procs", "w").write(str(os.getpid()))
    blocks = [b"x" * 10_000_000 for _ in range(100)]
"""
        )

        suite.run()

        assert group.kills() == 1
    finally:
        group.path.rmdir()

    if suite.mode == "serial":
        assert suite.recover().returncode == 0
    kept_everything("no memory: the out-of-memory killer")
    assert "died while it ran test_suite.py::test_dies" in suite.reported()["dying"].error


def test_results_that_become_read_only_change_no_outcome(suite: Suite, kept_everything: Check) -> None:
    if os.geteuid() == 0:
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            pytest.skip("for root nothing is read-only, and there is no setpriv here")
        suite.prefix = (setpriv, "--bounding-set=-dac_override,-dac_read_search")
    journals = suite.folder / "results.journals"
    suite.write(
        DYING
        % """
    from pathlib import Path
    for folder in [Path("."), Path("results.journals"), *Path("results.journals").glob("*/")]:
        folder.chmod(0o555)
"""
    )

    ended = suite.run()
    for folder in [suite.folder, journals, *journals.glob("*/")]:
        folder.chmod(0o755)

    assert "13 passed" in ended.output
    assert ended.status == 0
    if "results/index.json" not in ended.line:
        assert "results.journals" in ended.line
        assert suite.recover().returncode == 0
    kept_everything("results directory read-only")


# What happened to a journal, what does it, and how many of its messages are gone with it.
DAMAGES: dict[str, tuple[Callable[[bytes], bytes], int]] = {
    "torn last line": (lambda content: content + b'{"crc":"00000000","r":{"k":"sa', 0),
    "another byte, named": (lambda content: content.replace(b"1 xxxxxxxx", b"1 xxxxxxxy", 1), 1),
    "newer format": (
        lambda content: (
            encode_line(b'{"k":"journal","version":99,"worker":"main","pid":1}')
            + encode_line(b'{"k":"unheard-of"}')
            + content
        ),
        0,
    ),
    "empty one beside it": (lambda content: content, 0),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_intact_of_a_journal_is_used_and_the_rest_is_named(
    tmp_path: Path, record_property: Record, damage: str
) -> None:
    suite = Suite(tmp_path / "suite", "serial")
    suite.write(DYING % "os._exit(1)")
    suite.run()
    (journal,) = suite.folder.glob("results.journals/*/*.journal.jsonl")
    change, gone = DAMAGES[damage]
    journal.write_bytes(change(journal.read_bytes()))
    if "empty" in damage:
        empty = journal.with_name("gw0.journal.jsonl")
        empty.touch()
        os.utime(empty, (0, 0))  # a new one might be about to be locked

    recovered = suite.recover()

    assert recovered.returncode == 0, recovered.stderr
    kept, saved = suite.kept()
    record_property(*row_of(f"damaged journal: {damage}", "serial", kept, saved))
    assert (kept, saved) == (23 - gone, 23)
    if gone:
        assert "lost" in " ".join(run.error for run in suite.reported().values()), suite.reported()


def test_ctrl_c_leaves_a_report(suite: Suite, kept_everything: Check) -> None:
    suite.write(LONG)

    ended = suite.run(hit=in_turn(suite.wait_for_saves(SAVES_UNTIL_LONG), send_group(signal.SIGINT)))

    assert ended.status == 2
    assert "0 lost -> results/index.json" in ended.line
    kept_everything("Ctrl-C")
    interrupted = [run.error for run in suite.reported().values() if run.run_id.startswith("long")]
    assert interrupted == ["interrupted: KeyboardInterrupt"] * len(interrupted) != []


def test_ctrl_c_twice_leaves_a_report_at_once(suite: Suite, kept_everything: Check) -> None:
    suite.write(LONG)

    def pause(process: object) -> None:
        time.sleep(0.3)  # a person's second Ctrl-C; whether it comes early or late, nothing may be lost

    suite.run(
        hit=in_turn(suite.wait_for_saves(SAVES_UNTIL_LONG), send_group(signal.SIGINT), pause, send_group(signal.SIGINT))
    )
    if not (suite.folder / "results").exists():
        assert suite.recover().returncode == 0

    kept_everything("Ctrl-C twice")


def test_sigterm_to_the_controller_leaves_a_report(suite: Suite, kept_everything: Check) -> None:
    """CI systems end a job that takes too long with SIGTERM."""
    suite.write(LONG)

    ended = suite.run(hit=in_turn(suite.wait_for_saves(SAVES_UNTIL_LONG), send(signal.SIGTERM)))

    assert ended.status == 143
    assert "0 lost -> results/index.json" in ended.line
    kept_everything("SIGTERM to the controller")


def test_sigterm_to_a_worker_is_a_death_of_its_own(suite: Suite, kept_everything: Check) -> None:
    if suite.mode == "serial":
        pytest.skip("there is no worker")
    suite.write(DYING % "os.kill(os.getpid(), signal.SIGTERM); time.sleep(600)".replace("time", "__import__('time')"))

    ended = suite.run()

    assert ended.line.endswith("3 workers (1 crashed), 0 lost -> results/index.json")
    kept_everything("SIGTERM to a worker")
    assert "died while it ran test_suite.py::test_dies" in suite.reported()["dying"].error


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 2)])
def test_a_signal_waits_for_the_publication(
    suite: Suite, kept_everything: Check, number: signal.Signals, status: int
) -> None:
    """It ends the session, as it should, when the report is whole; what was not begun then is named."""
    suite.write(
        DYING % "pass",
        conftest=f"""
import sys
sent = []
def send(event, arguments):
    publishes = event == "open" and "staging/index.json" in str(arguments[0])
    if publishes and not sent and not os.environ.get("PYTEST_XDIST_WORKER"):
        sent.append(os.kill(os.getpid(), {int(number)}))
sys.addaudithook(send)
""",
    )

    ended = suite.run("--arena-html=report.html")

    assert ended.status == status
    assert "Traceback" not in ended.output
    assert "0 lost -> results/index.json" in ended.output
    assert f"arena: no report.html: {'SIGTERM' if status == 143 else 'KeyboardInterrupt'}" in ended.output
    kept_everything("SIGTERM or Ctrl-C during publication")


def test_sigkill_of_the_controller_leaves_the_journals(suite: Suite, kept_everything: Check) -> None:
    """The workers end by themselves, and then the report can be made."""
    if suite.mode == "two far workers":
        pytest.skip("what is on its way to a controller dies with it")
    suite.write(LONG.replace("600", "3"))

    suite.run(hit=in_turn(suite.wait_for_saves(SAVES_UNTIL_LONG), send(signal.SIGKILL)))
    wait_until(lambda: "nothing to recover" not in suite.recover().stdout)  # until then, a worker still lives

    kept_everything("SIGKILL of the controller")


@pytest.mark.parametrize("option", ["-x", "--maxfail=1"])
def test_a_session_that_stops_at_a_failure_has_a_report(suite: Suite, kept_everything: Check, option: str) -> None:
    suite.write(DYING % "assert False, 'as planned'")

    ended = suite.run(option)

    assert "0 lost -> results/index.json" in ended.line
    kept_everything(option)


def test_the_next_session_finds_a_dead_one(suite: Suite, kept_everything: Check) -> None:
    if suite.mode != "serial":
        pytest.skip("under xdist the session does not die with its test")
    suite.write(DYING % "os._exit(1)")
    suite.run()

    ended = suite.run("-k", "after")

    assert "arena: 7 runs recovered from 1 session that had died" in ended.output
    kept_everything("found by the next session")


@pytest.mark.parametrize("method", ["thread", "signal"])
def test_pytest_timeout_costs_nothing(suite: Suite, kept_everything: Check, method: str) -> None:
    pytest.importorskip("pytest_timeout")
    suite.plugins = ("timeout",)
    # The limit is that of one test, once it runs: the others may take their time.
    limited = f"@pytest.mark.timeout(2, method={method!r}, func_only=True)\ndef test_dies"
    suite.write(DYING.replace("def test_dies", limited) % "__import__('time').sleep(600)")

    ended = suite.run()

    if "results/index.json" not in ended.line:
        assert suite.recover().returncode == 0
    kept_everything(f"pytest-timeout, {method}")
    # The signal is a failure like any other; the thread ends the process.
    assert bool(suite.reported()["dying"].error) == (method == "thread")


def test_an_internal_error_of_another_plugin_leaves_a_report(suite: Suite, kept_everything: Check) -> None:
    suite.write(
        DYING % "pass",
        conftest="""
import pytest
def pytest_runtest_logfinish(nodeid):
    if "after-3" in nodeid or "after[3]" in nodeid:
        raise RuntimeError("a plugin with a bug")
""",
    )

    ended = suite.run()

    assert ended.status != 0
    assert "results/index.json" in ended.line
    kept_everything("internal error of another plugin")


def test_a_failing_sessionfinish_elsewhere_leaves_a_report(suite: Suite, kept_everything: Check) -> None:
    suite.write(
        DYING % "pass",
        conftest="""
import pytest
@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session):
    raise RuntimeError("a plugin with a bug")
""",
    )

    ended = suite.run()

    assert "0 lost -> results/index.json" in ended.output
    kept_everything("failing pytest_sessionfinish elsewhere")


def test_what_a_forked_child_saves_arrives(suite: Suite, kept_everything: Check) -> None:
    suite.write(
        DYING
        % """
    child = os.fork()
    if not child:
        for i in range(6):
            talk(f"child-{i}", turns=2)
        os._exit(0)
    os.waitpid(child, 0)
    talk("dying", turns=6)
"""
    )

    ended = suite.run()

    assert "0 lost -> results/index.json" in ended.line
    kept_everything("a test that forks")
    assert suite.reported()["child-5"].labels["pytest.outcome"] == "passed"


def test_a_file_size_limit_changes_no_outcome(suite: Suite, record_property: Record) -> None:
    """A full disk, as a process sees it: writes fail, and the suite must not notice."""
    limit = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
"""
    suite.write(DYING % "talk('big', turns=3, size=9_000)", conftest=limit)

    ended = suite.run()

    assert "13 passed" in ended.output
    assert "arena: " in ended.line
    if "no results" in ended.line:
        resource_free = suite.recover()
        assert resource_free.returncode == 0, resource_free.stderr
    kept, saved = suite.kept()
    record_property(*row_of("file-size limit of 20 KB, rest named", suite.mode, kept, saved))
    assert kept == saved or ", 0 lost" not in ended.line


HARMS = {
    "results path becomes a file": "open('results', 'w').close()",
    "results directory removed": "__import__('shutil').rmtree('results', ignore_errors=True)",
    "journals removed": "__import__('shutil').rmtree('results.journals', ignore_errors=True)",
    "a journal becomes a directory": "[(p.unlink(), p.mkdir()) for p in "
    "list(__import__('pathlib').Path('results.journals').glob('*/*.journal.jsonl'))]",
}


@pytest.mark.parametrize("harm", HARMS)
def test_harm_to_the_results_changes_no_outcome(suite: Suite, harm: str, kept_everything: Check) -> None:
    """What the disk cannot take is kept as long as possible, and then named; the suite does not notice."""
    suite.write(DYING % HARMS[harm])

    ended = suite.run()

    assert "13 passed" in ended.output
    assert ended.status == 0
    kept, saved = suite.kept()
    if "no results" in ended.line:
        (suite.folder / "results").unlink()
        assert suite.recover().returncode == 0
    if harm == "a journal becomes a directory":  # of a worker, nobody can tell any more whether it lives
        assert kept == saved or ", 0 lost" not in ended.line
        assert kept == saved or suite.mode != "serial"
    else:
        kept_everything(harm)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_worker_on_a_socket_that_dies_leaves_a_report(tmp_path: Path, record_property: Record) -> None:
    """In xdist, the crash of such a worker ends the whole session with exit status 3."""
    import execnet

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    script = os.path.join(os.path.dirname(execnet.__file__), "script", "socketserver.py")  # noqa: PTH118,PTH120 - a str for argv
    server = subprocess.Popen(
        [sys.executable, script, f"127.0.0.1:{port}"],
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # the worker's environment is the server's
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: server.poll() is not None or _listens(port))
        suite = Suite(tmp_path / "suite", "socket worker")
        suite.write(DYING % "os._exit(1)")
        witness = suite.folder / "witness.jsonl"
        source = (suite.folder / "conftest.py").read_text(encoding="utf-8")
        (suite.folder / "conftest.py").write_text(source.replace('os.environ["WITNESS"]', repr(str(witness))))
        suite.arguments = ("-p", "xdist", "-d", "--tx", f"socket=127.0.0.1:{port}//chdir={suite.folder}")

        ended = suite.run()
    finally:
        server.kill()
        server.wait()

    assert "results/index.json" in ended.line, ended.output
    assert ended.status == 3
    kept, saved = suite.kept()
    record_property(*row_of("crash of a --tx socket worker", "two workers", kept, saved))
    assert kept == saved > 0, ended.output
