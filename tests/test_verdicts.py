"""How a test ended is in its runs: one outcome, one message, and an error where something broke."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_arena_state import RunResult
    from tests.conftest import Suite

SUBTESTS_ARE_PYTESTS = pytest.version_tuple >= (9, 0)

# A helper that every suite below has: say something under an id.
SAY = """
import asyncio, sys, threading, unittest
import pytest

def say(store, id="run", text="hello"):
    store.save({"id": id, "messages": [{"role": "user", "content": text}]})
"""


def outcome_of(run: RunResult) -> tuple[str, bool]:
    """The outcome in the labels, and whether the assertion about it passed; there must be one."""
    (assertion,) = [each for each in run.conversation_assertions.results if each.type == "pytest.outcome"]
    return run.labels["pytest.outcome"], assertion.passed


def message_of(run: RunResult) -> str:
    (assertion,) = [each for each in run.conversation_assertions.results if each.type == "pytest.outcome"]
    return assertion.message


# id, source, outcome and whether it passed, status in the index, what the error says, what the message says
WAYS_TO_END = [
    ("pass", "def test_it(arena_store): say(arena_store)", ("passed", True), "passed", "", "passed"),
    (
        "assertion",
        "def test_it(arena_store):\n    say(arena_store)\n    assert 1 == 2",
        ("failed", False),
        "failed",
        "",
        "assert 1 == 2",
    ),
    (
        "pytest-fail",
        "def test_it(arena_store):\n    say(arena_store)\n    pytest.fail('not good')",
        ("failed", False),
        "failed",
        "",
        "not good",
    ),
    (
        "pytest-fail-without-trace",
        "def test_it(arena_store):\n    say(arena_store)\n    pytest.fail('not good', pytrace=False)",
        ("failed", False),
        "failed",
        "",
        "not good",
    ),
    (
        "raises-did-not",
        "def test_it(arena_store):\n    say(arena_store)\n    with pytest.raises(ValueError):\n        pass",
        ("failed", False),
        "failed",
        "",
        "DID NOT RAISE",
    ),
    (
        "exception",
        "def test_it(arena_store):\n    say(arena_store)\n    raise ConnectionError('gone')",
        ("error", False),
        "error",
        "ConnectionError: gone",
        "ConnectionError: gone",
    ),
    (
        "exception-without-text",
        "def test_it(arena_store):\n    say(arena_store)\n    raise KeyError",
        ("error", False),
        "error",
        "KeyError",
        "KeyError",
    ),
    (
        "system-exit",
        "def test_it(arena_store):\n    say(arena_store)\n    sys.exit(3)",
        ("error", False),
        "error",
        "SystemExit: 3",
        "SystemExit: 3",
    ),
    (
        "set-up",
        "@pytest.fixture\ndef broken(arena_store):\n    say(arena_store)\n    raise OSError('no port')\n"
        "def test_it(broken): pass",
        ("error", False),
        "error",
        "error in set-up: OSError: no port",
        "OSError: no port",
    ),
    (
        "set-up-assertion",
        "@pytest.fixture\ndef broken(arena_store):\n    say(arena_store)\n    assert not 'ready'\n"
        "def test_it(broken): pass",
        ("error", False),
        "error",
        "error in set-up: ",
        "assert not 'ready'",
    ),
    (
        "tear-down",
        "@pytest.fixture\ndef broken(arena_store):\n    say(arena_store)\n    yield\n    raise OSError('no port')\n"
        "def test_it(broken): pass",
        ("error", False),
        "error",
        "error in tear-down: OSError: no port",
        "OSError: no port",
    ),
    (
        "tear-down-assertion",
        "@pytest.fixture\ndef broken(arena_store):\n    say(arena_store)\n    yield\n    assert not 'done'\n"
        "def test_it(broken): pass",
        ("error", False),
        "error",
        "error in tear-down: ",
        "assert not 'done'",
    ),
    (
        "call-and-tear-down",
        "@pytest.fixture\ndef broken(arena_store):\n    say(arena_store)\n    yield\n    raise OSError('no port')\n"
        "def test_it(broken): assert 1 == 2",
        ("error", False),
        "error",
        "error in tear-down: OSError: no port",
        "assert 1 == 2",
    ),
    (
        "skip-in-call",
        "def test_it(arena_store):\n    say(arena_store)\n    pytest.skip('no key')",
        ("skipped", True),
        "skipped",
        "",
        "no key",
    ),
    (
        "skip-in-set-up",
        "@pytest.fixture\ndef needed(arena_store):\n    say(arena_store)\n    pytest.skip('no key')\n"
        "def test_it(needed): pass",
        ("skipped", True),
        "skipped",
        "",
        "no key",
    ),
    (
        "skip-of-unittest",
        "class TestIt(unittest.TestCase):\n"
        "    @pytest.fixture(autouse=True)\n    def store(self, arena_store): self.store = arena_store\n"
        "    def test_it(self):\n        say(self.store)\n        self.skipTest('no key')",
        ("skipped", True),
        "skipped",
        "",
        "no key",
    ),
    (
        "xfail",
        "@pytest.mark.xfail(reason='known')\ndef test_it(arena_store):\n    say(arena_store)\n    assert 1 == 2",
        ("xfailed", True),
        "passed",
        "",
        "known",
    ),
    (
        "xfail-in-call",
        "def test_it(arena_store):\n    say(arena_store)\n    pytest.xfail('known')",
        ("xfailed", True),
        "passed",
        "",
        "known",
    ),
    (
        "xfail-of-an-exception",
        "@pytest.mark.xfail\ndef test_it(arena_store):\n    say(arena_store)\n    raise OSError",
        ("xfailed", True),
        "passed",
        "",
        "xfailed",
    ),
    (
        "xfail-raises-another",
        "@pytest.mark.xfail(raises=OSError)\ndef test_it(arena_store):\n    say(arena_store)\n    raise KeyError('k')",
        ("error", False),
        "error",
        "KeyError: 'k'",
        "KeyError: 'k'",
    ),
    (
        "xpass",
        "@pytest.mark.xfail(reason='known')\ndef test_it(arena_store): say(arena_store)",
        ("xpassed", True),
        "passed",
        "",
        "known",
    ),
    (
        "xpass-strict",
        "@pytest.mark.xfail(reason='known', strict=True)\ndef test_it(arena_store): say(arena_store)",
        ("failed", False),
        "failed",
        "",
        "known",
    ),
    (
        "unittest-failure",
        "class TestIt(unittest.TestCase):\n"
        "    @pytest.fixture(autouse=True)\n    def store(self, arena_store): self.store = arena_store\n"
        "    def test_it(self):\n        say(self.store)\n        self.assertEqual(1, 2)",
        ("failed", False),
        "failed",
        "",
        "1 != 2",
    ),
    (
        "unittest-set-up",
        "class TestIt(unittest.TestCase):\n"
        "    @pytest.fixture(autouse=True)\n    def store(self, arena_store): self.store = arena_store\n"
        "    def setUp(self):\n        say(self.store)\n        raise OSError('no port')\n"
        "    def test_it(self): pass",
        ("error", False),
        "error",
        "OSError: no port",
        "OSError: no port",
    ),
]


@pytest.mark.parametrize(
    ("source", "outcome", "status", "error", "message"),
    [pytest.param(*rest, id=name) for name, *rest in WAYS_TO_END],
)
def test_a_run_says_how_its_test_ended(
    suite: Suite, source: str, outcome: tuple[str, bool], status: str, error: str, message: str
) -> None:
    suite.write(SAY + source)

    suite.run("-p", "no:xdist")

    run = suite.only_run()
    assert outcome_of(run) == outcome
    assert suite.rows["run"]["status"] == status
    assert error in run.error
    assert bool(run.error) == bool(error)
    assert message in message_of(run)
    assert run.skipped == (status == "skipped")
    assert run.skip_reason == (message if status == "skipped" else "")


def test_every_way_to_end_is_the_same_in_a_worker(suite: Suite) -> None:
    for name, source, *_ in WAYS_TO_END:
        suite.write(SAY + source.replace("say(arena_store)", f"say(arena_store, {name!r})"), f"test_{name}")

    suite.run("-p", "no:xdist", to="alone")
    suite.run("-n2", to="workers")

    assert suite.index_of("alone")["total_runs"] == len(WAYS_TO_END)
    assert suite.files("workers") == suite.files("alone")


def test_every_conversation_of_a_test_gets_its_verdict(suite: Suite) -> None:
    suite.write(
        SAY
        + """
def test_it(arena_store, arena_run):
    say(arena_store, "one")
    say(arena_store, "two")
    arena_run.user("three")
    assert 1 == 2
"""
    )

    suite.run()

    assert [outcome_of(run) for run in suite.runs()] == [("failed", False)] * 3


def test_a_test_that_only_saved_metadata_has_a_run(suite: Suite) -> None:
    """A run that fails before its first message is worth a report, too."""
    suite.write(
        'def test_it(arena_store):\n    arena_store.save_metadata("a", {"run_id": "a"})\n    raise OSError("x")'
    )

    suite.run()

    assert suite.only_run().messages == []
    assert suite.only_run().error == "OSError: x"


# --- async, threads, subtests, unittest ---------------------------------------------------------


def test_an_async_test_is_a_test(suite: Suite, run_args: list[str]) -> None:
    suite.write(
        SAY
        + """
@pytest.fixture
async def opened(arena_store):
    await asyncio.sleep(0)
    say(arena_store, "opened")
    yield
    say(arena_store, "closed")

@pytest.mark.asyncio
async def test_passes(arena_run):
    await asyncio.gather(*(asyncio.to_thread(arena_run.user, str(n)) for n in range(20)))

@pytest.mark.asyncio
async def test_fails(arena_store, opened):
    say(arena_store, "failed")
    await asyncio.sleep(0)
    assert 1 == 2
"""
    )
    suite.pytester.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function")

    suite.run(*run_args, plugins=["asyncio"]).assert_outcomes(passed=1, failed=1)

    assert {run.run_id: outcome_of(run)[0] for run in suite.runs()} == {
        "closed": "failed",
        "failed": "failed",
        "opened": "failed",
        "test_suite.py::test_passes": "passed",
    }
    assert sorted(suite.said()["test_suite.py::test_passes"], key=int) == [str(n) for n in range(20)]


def test_threads_of_a_test_write_into_its_runs(suite: Suite, run_args: list[str]) -> None:
    suite.write(
        SAY
        + """
def test_it(arena_store, arena_run):
    def work(n):
        for turn in range(10):
            say(arena_store, f"run-{n}", str(turn))
            arena_run.user(f"{n}.{turn}")
    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
"""
    )

    suite.run(*run_args).assert_outcomes(passed=1)

    said = suite.said()
    assert [said[f"run-{n}"] for n in range(8)] == [["9"]] * 8
    assert sorted(said["test_suite.py::test_it"]) == sorted(f"{n}.{turn}" for n in range(8) for turn in range(10))


def test_a_failed_subtest_fails_the_run(suite: Suite, run_args: list[str]) -> None:
    """The report of the test itself says that it passed."""
    if not SUBTESTS_ARE_PYTESTS:
        pytest.importorskip("pytest_subtests")
    suite.write(
        SAY
        + """
def test_it(arena_store, subtests):
    say(arena_store)
    for n in range(3):
        with subtests.test(n=n):
            assert n != 1

def test_passes(arena_store, subtests):
    say(arena_store, "fine")
    with subtests.test(n=1):
        pass

def test_skips_a_part(arena_store, subtests):
    say(arena_store, "part")
    with subtests.test(n=1):
        pytest.skip("a part")

def test_breaks(arena_store, subtests):
    say(arena_store, "broken")
    with subtests.test(n=1):
        raise OSError("no port")
"""
    )

    suite.run(*run_args, plugins=() if SUBTESTS_ARE_PYTESTS else ("pytest_subtests.plugin",))

    assert outcome_of(suite.run_named("run")) == ("failed", False)
    assert "assert 1 != 1" in message_of(suite.run_named("run"))
    assert outcome_of(suite.run_named("fine")) == ("passed", True)
    assert outcome_of(suite.run_named("part")) == ("passed", True)
    assert suite.run_named("broken").error == "OSError: no port"


def test_subtests_of_unittest_count_too(suite: Suite) -> None:
    suite.write(
        SAY
        + """
class TestIt(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def store(self, arena_store):
        self.store = arena_store

    def test_it(self):
        say(self.store)
        for n in range(3):
            with self.subTest(n=n):
                self.assertNotEqual(n, 1)
"""
    )

    suite.run()

    assert outcome_of(suite.only_run()) == ("failed", False)


@pytest.mark.parametrize("process", ["-n0", "-n1"])
def test_a_thread_that_saves_after_its_test_is_in_its_report(suite: Suite, process: str) -> None:
    suite.write(
        SAY
        + """
has_ended = threading.Event()

def test_first(arena_store):
    global thread
    say(arena_store, "first", "in time")
    def late():
        has_ended.wait(120)
        say(arena_store, "first", "too late")
    thread = threading.Thread(target=late)
    thread.start()

def test_second(arena_store):
    has_ended.set()
    say(arena_store, "second")
    thread.join()
"""
    )

    suite.run(process).assert_outcomes(passed=2)

    assert suite.said() == {"first": ["too late"], "second": ["hello"]}
    assert outcome_of(suite.run_named("first")) == ("passed", True)


# --- checks ------------------------------------------------------------------------------------


def test_a_check_fails_the_run_and_not_the_test(suite: Suite, run_args: list[str]) -> None:
    suite.write(
        """
        class Undecided:
            def __bool__(self):
                raise ValueError("who knows")

        def test_it(arena_run):
            arena_run.assistant("no")
            assert arena_run.check("short", True) is True
            assert arena_run.check("says sorry", "sorry" in "no", details={"said": "no"}) is False
            assert arena_run.check("undecided", Undecided()) is False

        def test_fine(arena_run):
            arena_run.assistant("yes")
            arena_run.check("short", True)
        """
    )

    result = suite.run(*run_args)

    result.assert_outcomes(passed=2)
    assert result.ret == 0
    rows = suite.rows
    assert rows["test_suite.py::test_it"]["status"] == "failed"
    assert rows["test_suite.py::test_fine"]["status"] == "passed"
    run = suite.run_named("test_suite.py::test_it")
    assert [(each.type, each.passed) for each in run.conversation_assertions.results] == [
        ("short", True),
        ("says sorry", False),
        ("undecided", False),
        ("pytest.outcome", True),
    ]
    assert "(1 passed, 1 failed)" in suite.lines(result)[0]
    assert "1 failed by its checks alone" in suite.lines(result)[0]


def test_a_violation_fails_the_run_unless_an_assertion_accounts_for_it(suite: Suite) -> None:
    """The verdict is no such assertion: it says how the test ended, and nothing of the conversation."""
    suite.write(
        """
        def test_alone(arena_run):
            arena_run.assistant("no")
            arena_run.validate("polite", passed=False)

        def test_accounted_for(arena_run):
            arena_run.assistant("no")
            arena_run.validate("polite", passed=False)
            arena_run.check("rude on purpose", True)
        """
    )

    suite.run().assert_outcomes(passed=2)

    assert {run_id: row["status"] for run_id, row in suite.rows.items()} == {
        "test_suite.py::test_accounted_for": "passed",
        "test_suite.py::test_alone": "failed",
    }


# --- reruns -----------------------------------------------------------------------------------------


def test_each_attempt_is_a_run_and_the_last_one_counts(suite: Suite, run_args: list[str]) -> None:
    suite.write(
        SAY
        + """
attempts = []

@pytest.mark.flaky(reruns=3)
def test_it(arena_store):
    attempts.append(1)
    say(arena_store, text=f"attempt {len(attempts)}")
    assert len(attempts) == 3

def test_other(arena_store):
    say(arena_store, "other")
"""
    )

    result = suite.run(*run_args, plugins=["rerunfailures"])

    assert result.ret == 0
    rows = [row for row in suite.index["runs"] if row["run_id"] == "run"]
    assert [(row["labels"]["pytest.attempt"], row["superseded"], row["status"]) for row in rows] == [
        ("1", True, "failed"),
        ("2", True, "failed"),
        ("3", False, "passed"),
    ]
    runs = [run for run in suite.runs() if run.run_id == "run"]
    assert [run.messages[0].content for run in runs] == ["attempt 1", "attempt 2", "attempt 3"]
    assert [outcome_of(run) for run in runs] == [("rerun", False), ("rerun", False), ("passed", True)]
    assert (suite.index["total_runs"], suite.index["successful"], suite.index["errors"]) == (4, 2, 0)
    assert "arena: 2 runs (2 passed), 2 superseded, " in suite.lines(result)[0]


def test_an_attempt_that_fails_in_set_up_is_one_as_well(suite: Suite) -> None:
    suite.write(
        SAY
        + """
attempts = []

@pytest.fixture
def server(arena_store):
    attempts.append(1)
    say(arena_store, text=f"attempt {len(attempts)}")
    if len(attempts) == 1:
        raise OSError("no port")

@pytest.mark.flaky(reruns=1)
def test_it(server):
    pass
"""
    )

    suite.run(plugins=["rerunfailures"])

    first, second = suite.runs()
    assert first.error == "error in set-up: OSError: no port"
    assert outcome_of(second) == ("passed", True)
    assert [row["superseded"] for row in suite.index["runs"]] == [True, False]


def test_a_test_that_never_passes_counts_once(suite: Suite) -> None:
    suite.write(SAY + "def test_it(arena_store):\n    say(arena_store)\n    assert 1 == 2")

    suite.run("--reruns", "2", plugins=["rerunfailures"])

    assert (suite.index["total_runs"], suite.index["successful"], suite.index["errors"]) == (3, 0, 1)
    assert [row["superseded"] for row in suite.index["runs"]] == [True, True, False]
    assert outcome_of(suite.runs()[-1]) == ("failed", False)


# --- interruptions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "reason"),
    [("pytest.exit('enough')", "enough"), ("raise KeyboardInterrupt", "KeyboardInterrupt")],
)
def test_an_interrupted_test_is_in_the_report(suite: Suite, statement: str, reason: str) -> None:
    suite.write(
        SAY
        + f"""
def test_before(arena_store):
    say(arena_store, "before")

def test_it(arena_store):
    say(arena_store)
    {statement}

def test_after(arena_store):
    say(arena_store, "after")
"""
    )

    result = suite.run_apart("-p", "no:xdist")

    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert sorted(suite.rows) == ["before", "run"]
    assert outcome_of(suite.run_named("before")) == ("passed", True)
    assert outcome_of(suite.run_named("run")) == ("interrupted", False)
    assert suite.run_named("run").error == f"interrupted: {reason}"
    assert suite.index["completeness"]["interrupted"] == 1
    assert "1 interrupted, 0 lost" in suite.lines(result)[0]


@pytest.mark.parametrize(
    ("hook", "ran", "outcomes"),
    [
        ("pytest_runtest_teardown(item)", 1, ["interrupted"]),
        ("pytest_runtest_logfinish(nodeid)", 1, ["passed"]),
        ("pytest_sessionfinish()", 3, ["passed"] * 3),
        ("pytest_terminal_summary()", 3, ["passed"] * 3),
    ],
)
def test_a_plugin_that_ends_the_session_leaves_a_report(suite: Suite, hook: str, ran: int, outcomes: list[str]) -> None:
    """With the exit status that it wants, and what was open marked."""
    suite.pytester.makeconftest(f"import pytest\ndef {hook}:\n    pytest.exit('enough', returncode=7)\n")
    suite.write(
        SAY
        + """
@pytest.mark.parametrize("n", range(3))
def test_it(arena_store, n):
    arena_store.save({"id": f"run {n}", "messages": [{"role": "user", "content": "hello"}]})
"""
    )

    result = suite.run_apart("-p", "no:xdist")

    assert result.ret == 7
    assert [suite.rows[f"run {n}"]["labels"]["pytest.outcome"] for n in range(ran)] == outcomes
    (line,) = suite.lines(result)
    assert line.startswith(f"arena: {ran} run")
    assert line.endswith(" 0 lost -> arena-results/index.json")


@pytest.mark.skipif(os.name == "nt", reason="both streams into one pipe, by a shell")
def test_the_summary_stands_on_a_line_of_its_own_when_the_end_is_cut_short(suite: Suite) -> None:
    suite.pytester.makeconftest("def pytest_sessionfinish():\n    raise KeyboardInterrupt\n")
    suite.write(SAY + "\ndef test_it(arena_store):\n    say(arena_store)\n")

    command = f"{sys.executable} -m pytest -p no:xdist --arena-results=arena-results 2>&1"
    result = suite.pytester.run("sh", "-c", command)

    (line,) = [line for line in result.outlines if "arena: " in line]
    assert line.startswith("arena: 1 run (1 passed)")


@pytest.mark.parametrize("statement", ["pytest.exit('enough')", "raise KeyboardInterrupt"])
def test_an_interruption_within_a_worker_loses_nothing(suite: Suite, statement: str) -> None:
    suite.write(
        SAY
        + f"""
def test_it(arena_store):
    say(arena_store)
    {statement}
"""
    )

    suite.run_apart("-n2")

    run = suite.run_named("run")
    assert run.messages[0].content == "hello"
    assert run.error != ""
    assert suite.rows["run"]["status"] == "error"


def test_an_interruption_in_tear_down_keeps_the_run(suite: Suite) -> None:
    suite.write(
        SAY
        + """
@pytest.fixture
def slow(arena_store):
    yield
    say(arena_store)
    raise KeyboardInterrupt

def test_it(slow):
    pass
"""
    )

    suite.run_apart("-p", "no:xdist")

    assert suite.rows["run"]["status"] == "error"
    assert suite.only_run().messages[0].content == "hello"


# --- what others put into reports --------------------------------------------------------------


def test_a_context_of_somebody_elses_makes_no_subtest_of_a_report(suite: Suite) -> None:
    suite.pytester.makeconftest(
        """
import pytest

@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    report.context = {"user": "x"}
    return report
"""
    )
    suite.write(SAY + "\ndef test_it(arena_store):\n    say(arena_store)\n")

    suite.run("-n0").assert_outcomes(passed=1)

    assert outcome_of(suite.only_run()) == ("passed", True)


# --- children and signals --------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_of_a_test_ends_when_it_is_told_to(suite: Suite) -> None:
    """One that runs C code waits for no handler in Python, and a handler of ours is not what it had without us."""
    suite.write(
        """
import os, signal

def test_it(arena_store):
    begun, tell = os.pipe()
    child = os.fork()
    if not child:
        os.write(tell, signal.getsignal(signal.SIGTERM).name.encode())
        signal.pause()
    assert os.read(begun, 100) == b"SIG_DFL"
    os.kill(child, signal.SIGTERM)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGTERM
"""
    )

    suite.run_apart("-n0").assert_outcomes(passed=1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_saves_though_another_thread_was_saving_at_the_fork(suite: Suite) -> None:
    suite.write(
        SAY
        + """
import os

def test_it(arena_store):
    inside, done = threading.Event(), threading.Event()
    def hold():
        with arena_store._lock:  # as a save has it
            inside.set()
            done.wait(60)
    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait()
    child = os.fork()
    if not child:
        import faulthandler
        faulthandler.dump_traceback_later(30, exit=True)  # instead of hanging for ever
        say(arena_store, "of the child")
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    done.set()
    thread.join()
    assert status == 0
"""
    )

    suite.run_apart("-n0", "-W", "ignore::DeprecationWarning").assert_outcomes(passed=1)

    assert suite.said() == {"of the child": ["hello"]}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_an_error_output_that_takes_nothing_does_not_fail_the_session(suite: Suite) -> None:
    suite.write(SAY + "\ndef test_it(arena_store):\n    say(arena_store)\n")
    command = [sys.executable, "-m", "pytest", "-p", "arena_state", "-p", "no:terminal", "--arena-results=out"]

    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(command, cwd=suite.path, stderr=full, check=False)

    assert ended.returncode == 0
    assert suite.index_of("out")["total_runs"] == 1


# --- who else runs tests again ----------------------------------------------------------------------

#: As plugins do it that run a failed test again: some tell of the first failure in an outcome of their own and of no
#: other one, some tell of nothing but set-ups and tear-downs.
RETRYING = {
    "in one report": """
import pytest

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    report = yield
    hook, told = item.ihook, False
    while call.when == "call" and call.excinfo is not None:
        hook.pytest_runtest_teardown(item=item, nextitem=pytest.Class.from_parent(item.session, name="another"))
        if not told:
            report.outcome, told = "retried", True
            hook.pytest_runtest_logreport(report=report)
        item._initrequest()
        hook.pytest_runtest_setup(item=item)
        call = pytest.CallInfo.from_call(lambda: hook.pytest_runtest_call(item=item), when="call")
        again = pytest.TestReport.from_item_and_call(item, call)
        if call.excinfo is not None:
            hook.pytest_exception_interact(node=item, call=call, report=again)
        report.outcome, report.longrepr = again.outcome, again.longrepr
    return report
""",
    "without a report of the failure": """
from _pytest.runner import call_and_report

def pytest_runtest_protocol(item, nextitem):
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    failed = True
    while failed:
        item._initrequest()
        call_and_report(item, "setup")
        report = call_and_report(item, "call", log=False)
        failed = report.failed
        if not failed:
            item.ihook.pytest_runtest_logreport(report=report)
        call_and_report(item, "teardown", nextitem=nextitem)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True
""",
}


@pytest.mark.parametrize("how", RETRYING)
def test_attempts_are_told_apart_whoever_runs_a_test_again(suite: Suite, how: str) -> None:
    suite.pytester.makeconftest(RETRYING[how])
    suite.write(
        SAY
        + """
attempts = []

def test_it(arena_store):
    attempts.append(1)
    say(arena_store, text=f"attempt {len(attempts)}")
    assert len(attempts) == 3
"""
    )

    suite.run("-n0")

    ended = {
        run.labels["pytest.attempt"]: (run.messages[0].content, outcome_of(run), run.error) for run in suite.runs()
    }
    assert ended == {
        "1": ("attempt 1", ("rerun", False), ""),
        "2": ("attempt 2", ("rerun", False), ""),
        "3": ("attempt 3", ("passed", True), ""),
    }
    assert [row["superseded"] for row in suite.index["runs"]] == [True, True, False]
    assert suite.index["completeness"]["interrupted"] == 0


def test_a_failure_that_is_never_reported_is_no_interruption(suite: Suite) -> None:
    """As flaky does it: of what it runs again, only the tear-down is heard, and of some tests nothing else ever."""
    suite.pytester.makeconftest(
        """
from _pytest.runner import call_and_report

def pytest_runtest_protocol(item, nextitem):
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for _ in range(2):
        item._initrequest()
        report = call_and_report(item, "setup", log=False)
        if report.passed:
            item.ihook.pytest_runtest_logreport(report=report)
            report = call_and_report(item, "call", log=False)
        if report.passed:
            item.ihook.pytest_runtest_logreport(report=report)
        call_and_report(item, "teardown", nextitem=nextitem)
        if report.passed:
            break
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True
"""
    )
    suite.write(
        SAY
        + """
attempts = []

@pytest.fixture
def server(arena_store):
    attempts.append(1)
    say(arena_store, text="set-up")
    if len(attempts) == 1:
        raise OSError("no server")

def test_it(server): pass

@pytest.mark.xfail(strict=True, reason="known")
def test_passes(arena_store): say(arena_store, text="strict")
"""
    )

    suite.run("-n0")

    ended = [
        (run.messages[0].content, run.labels["pytest.attempt"], outcome_of(run), run.error) for run in suite.runs()
    ]
    assert sorted(ended) == [
        ("set-up", "1", ("rerun", False), "error in set-up: OSError: no server"),
        ("set-up", "2", ("passed", True), ""),
        ("strict", "1", ("rerun", False), ""),
        ("strict", "2", ("rerun", False), ""),
    ]
    assert suite.index["completeness"]["interrupted"] == 0
