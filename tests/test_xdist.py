"""Under xdist: every way to spread a suite, workers that die, and workers on other machines."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_arena_state._test_hooks import plain_nodeid

if TYPE_CHECKING:
    from tests.conftest import Suite

SPREAD = """
import pytest

def say(store, id):
    store.save({"id": id, "messages": [{"role": "user", "content": id}]})

@pytest.mark.xdist_group("database")
class TestOne:
    @pytest.mark.parametrize("n", range(4))
    def test_it(self, arena_store, n):
        say(arena_store, f"one-{n}")

@pytest.mark.xdist_group(name="queue")
@pytest.mark.parametrize("n", range(4))
def test_two(arena_run, n):
    arena_run.user(f"two-{n}")

@pytest.mark.parametrize("n", [0, 1])
def test_three(arena_store, n):
    say(arena_store, f"three-{n}")
    assert n == 0
"""
DIES = """
import os, pytest

def say(store, id, text="hello"):
    store.save({"id": id, "messages": [{"role": "user", "content": text}]})

@pytest.mark.parametrize("n", range(6))
def test_fine(arena_store, n):
    say(arena_store, f"fine-{n}")

def test_dies(arena_store):
    say(arena_store, "finished", "all said")
    say(arena_store, "last-words", "one")
    arena_store.save({"id": "last-words", "messages": [{"role": "user", "content": "one"},
                                                       {"role": "assistant", "content": "two"}]})
    os._exit(1)
"""
DISTS = ("load", "loadscope", "loadfile", "loadgroup", "worksteal", "no")


@pytest.mark.parametrize("dist", DISTS)
def test_how_tests_are_spread_does_not_matter(suite: Suite, dist: str) -> None:
    suite.write(SPREAD)

    suite.run("-p", "no:xdist", to="alone")
    result = suite.run("-n2", f"--dist={dist}", to="spread")

    result.assert_outcomes(passed=9, failed=1)
    assert suite.files("spread") == suite.files("alone")


def test_the_group_is_no_part_of_a_node_id(suite: Suite) -> None:
    """It is there for the scheduler of xdist; the same test has one name in every report."""
    suite.write(SPREAD)

    suite.run("-n2", "--dist=loadgroup")

    labels = [row["labels"]["pytest.nodeid"] for row in suite.index["runs"]]
    assert len(labels) == 10
    assert not [label for label in labels if "@" in label]
    assert "test_suite.py::test_two[0]" in suite.rows
    assert suite.rows["test_suite.py::test_two[0]"]["scenario_id"] == "test_suite.py::test_two"


@pytest.mark.parametrize(
    ("nodeid", "groups"),
    [
        ("t.py::test_it@db", [pytest.mark.xdist_group("db")]),
        ("t.py::test_it@db", [pytest.mark.xdist_group(name="db")]),
        ("t.py::test_it@default", [pytest.mark.xdist_group()]),
        ("t.py::test_it@3", [pytest.mark.xdist_group(3)]),
        ("t.py::test_it@a_b", [pytest.mark.xdist_group("b"), pytest.mark.xdist_group("a")]),
        ("t.py::test_it@b", [pytest.mark.xdist_group("b"), pytest.mark.xdist_group("a")]),
        ("t.py::test_it", [pytest.mark.xdist_group("db")]),
        ("t.py::test_it", []),
    ],
)
def test_the_group_is_cut_off_whatever_version_of_xdist_put_it_there(
    nodeid: str, groups: list[pytest.MarkDecorator]
) -> None:
    """With the newest pytest none does, so the test above shows it for some versions only."""
    item: Any = SimpleNamespace(nodeid=nodeid, iter_markers=lambda name: [group.mark for group in groups])

    assert plain_nodeid(item) == "t.py::test_it"


def test_when_every_worker_runs_every_test_all_of_them_count(suite: Suite) -> None:
    suite.write(SPREAD)

    result = suite.run("-n2", "--dist=each")

    result.assert_outcomes(passed=18, failed=2)
    index = suite.index
    assert (index["total_runs"], index["successful"], index["errors"]) == (20, 18, 2)
    assert not any(row["superseded"] for row in index["runs"])
    assert {row["labels"]["pytest.worker"] for row in index["runs"]} == {"gw0", "gw1"}
    assert len({name.lower() for name in suite.files()}) == 21


def test_the_first_failure_stops_the_workers_and_loses_nothing(suite: Suite) -> None:
    suite.write(SPREAD)

    result = suite.run("-n2", "-x")

    assert result.ret != 0
    statuses = [row["status"] for row in suite.index["runs"]]
    assert statuses.count("failed") + statuses.count("error") == 1
    assert ", 2 workers, " in suite.lines(result)[0]
    assert ", 0 lost -> " in suite.lines(result)[0]
    assert suite.index["completeness"]["crashed"] == 0


@pytest.mark.skipif(os.name == "nt", reason="names of files are text there")
@pytest.mark.parametrize("option", ["results", "html"])
def test_a_name_that_workers_cannot_be_told_is_an_error_of_usage(suite: Suite, option: str) -> None:
    """xdist would stop with an internal error, and the results that were there would be replaced by none."""
    suite.write(SPREAD)
    suite.run("-p", "no:xdist")
    before = suite.index

    result = suite.run_apart("-n1", f"--arena-{option}=caf\udce9.html")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --arena-{option}: 'caf*udce9.html' is not UTF-8, *"])
    assert suite.index == before
    assert sorted(path.name for path in suite.path.glob("*arena*")) == ["arena-results"]


# --- workers that die ----------------------------------------------------------------------------


def assert_that_what_the_dead_worker_saved_is_there(suite: Suite, result: pytest.RunResult) -> None:
    assert {name: said for name, said in suite.said().items() if not name.startswith("fine")} == {
        "finished": ["all said"],
        "last-words": ["one", "two"],
    }
    assert sorted(name for name in suite.rows if name.startswith("fine")) == [f"fine-{n}" for n in range(6)]
    for name, row in suite.rows.items():
        died = not name.startswith("fine")
        assert row["status"] == ("error" if died else "passed"), name
        assert row["labels"]["pytest.outcome"] == ("crashed" if died else "passed")
    run = suite.run_named("last-words")
    assert run.labels["pytest.nodeid"] == "test_suite.py::test_dies"
    assert "died" in run.error
    assert "test_suite.py::test_dies" in run.error
    assert run.labels["pytest.worker"] in run.error
    assert suite.index["completeness"]["crashed"] == 1
    assert "(1 crashed)" in suite.lines(result)[0]
    assert ", 0 lost -> " in suite.lines(result)[0]


def test_what_a_worker_saved_survives_its_death(suite: Suite) -> None:
    suite.write(DIES)

    result = suite.run_apart("-n2")

    result.assert_outcomes(passed=6, failed=1)
    assert_that_what_the_dead_worker_saved_is_there(suite, result)
    assert not (suite.path / "arena-results.journals").exists()


@pytest.mark.parametrize("option", ["-x", "--maxfail=1"])
def test_the_worker_whose_death_ends_the_session_died_and_was_not_interrupted(suite: Suite, option: str) -> None:
    """It is the failure that somebody with ``-x`` looks for."""
    suite.write(DIES)

    result = suite.run_apart("-n1", option)

    run = suite.run_named("last-words")
    assert run.labels["pytest.outcome"] == "crashed"
    assert run.error == "worker 'gw0' died while it ran test_suite.py::test_dies"
    completeness = suite.index["completeness"]
    assert (completeness["crashed"], completeness["interrupted"]) == (1, 0)
    assert "(1 crashed)" in suite.lines(result)[0]


def test_a_worker_that_dies_while_a_fixture_is_set_up_leaves_what_that_saved(suite: Suite) -> None:
    suite.write(
        """
        import os, pytest

        @pytest.fixture
        def fatal(arena_run):
            arena_run.user("hello")
            os._exit(1)

        def test_it(fatal):
            pass
        """
    )

    suite.run_apart("-n2")

    run = suite.only_run()
    assert run.run_id == "test_suite.py::test_it"
    assert run.messages[0].content == "hello"
    assert "died" in run.error


def test_a_test_that_is_run_again_after_its_worker_died_counts_once(suite: Suite) -> None:
    suite.write(
        """
        import os, pathlib, pytest

        @pytest.mark.flaky(reruns=2)
        def test_it(arena_store, request):
            first = not pathlib.Path("been-here").exists()
            pathlib.Path("been-here").touch()
            arena_store.save({"id": "run", "messages": [{"role": "user", "content": "1" if first else "2"}]})
            if first:
                # A question to the controller: once it answers, it knows that this test may be run again.
                assert request.config.failures_db.get_test_reruns(request.node.nodeid) == 2
                os._exit(1)
        """
    )

    suite.run_apart("-n2", plugins=["rerunfailures"])

    rows = suite.index["runs"]
    assert sorted(run.messages[0].content for run in suite.runs()) == ["1", "2"]
    # A worker that waits for work takes the test before pytest-rerunfailures counts: then both are attempt 1.
    assert sorted((row["status"], row["superseded"]) for row in rows) == [("error", True), ("passed", False)]


def test_of_a_test_whose_worker_dies_every_time_the_last_attempt_counts(suite: Suite) -> None:
    suite.write(
        """
        import os

        def test_it(arena_store, request):
            arena_store.save({"id": "run", "messages": []})
            # A question to the controller: once it answers, it knows that this test may be run again.
            assert request.config.failures_db.get_test_reruns(request.node.nodeid) == 2
            os._exit(1)
        """
    )

    suite.run_apart("-n1", "--reruns=2", plugins=["rerunfailures"])

    attempts = [(row["labels"]["pytest.attempt"], row["superseded"]) for row in suite.index["runs"]]
    assert attempts == [("1", True), ("2", True), ("3", False)]


def test_an_alone_process_that_dies_leaves_its_journal_to_the_next(suite: Suite) -> None:
    """Nobody is left to publish; the next session recovers the runs as its own and says so."""
    suite.write(DIES)
    suite.run_apart("-p", "no:xdist")
    assert not suite.results.exists()
    suite.write(DIES.replace("os._exit(1)", "pass").replace('"fine-', '"new-'))

    result = suite.run_apart("-p", "no:xdist")

    assert any(line.startswith("arena: 8 runs recovered from 1 session") for line in suite.lines(result))
    contents = [(run.run_id, run.error) for run in suite.runs()]
    assert len([run_id for run_id, _ in contents if run_id.startswith(("fine-", "new-"))]) == 12
    errors = [error for run_id, error in contents if run_id == "last-words"]
    assert len(errors) == 2
    assert sorted(bool(error) for error in errors) == [False, True]
    assert not (suite.path / "arena-results.journals").exists()


def test_workers_do_not_import_what_publishes(suite: Suite) -> None:
    """Each of them would wait for it before its first test."""
    suite.write(
        """
import sys

def test_it(arena_run):
    arena_run.user("hello")
    for module in ("index", "journal_reading", "merge", "results", "session"):
        assert f"pytest_arena_state.{module}" not in sys.modules
    assert "filelock" not in sys.modules
"""
    )

    suite.run_apart("-n1").assert_outcomes(passed=1)

    assert suite.only_run().messages[0].content == "hello"


# --- workers on other machines --------------------------------------------------------------------


@pytest.mark.usefixtures("far_workers")
def test_far_workers_report_the_same_as_near_ones(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    suite.write(SPREAD)

    suite.run("-n2", to="far")
    monkeypatch.delenv("FAR")
    suite.run("-n2", to="near")

    assert suite.files("far") == suite.files("near")
    assert len(suite.files("far")) == 11


@pytest.mark.usefixtures("far_workers")
def test_far_workers_write_no_file_of_their_own(suite: Suite) -> None:
    """On another machine the path of the results means nothing."""
    suite.pytester.makeconftest(
        suite.FAR_AWAY
        + """
import sys

opened = []
sys.addaudithook(lambda event, args: event in ("open", "os.mkdir") and opened.append(str(args[0])))

@pytest.fixture
def opened_results():
    return [path for path in opened if "arena-results" in path]
"""
    )
    suite.write("def test_it(arena_run, opened_results):\n    arena_run.user('hello')\n    assert opened_results == []")

    suite.run("-n1").assert_outcomes(passed=1)

    assert suite.only_run().messages[0].content == "hello"


@pytest.mark.usefixtures("far_workers")
def test_what_a_far_worker_saved_survives_its_death(suite: Suite) -> None:
    suite.write(DIES)

    result = suite.run_apart("-n2")

    result.assert_outcomes(passed=6, failed=1)
    assert_that_what_the_dead_worker_saved_is_there(suite, result)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.usefixtures("far_workers")
@pytest.mark.parametrize("forks", [False, True])
def test_far_workers_leave_no_folder_behind(suite: Suite, monkeypatch: pytest.MonkeyPatch, forks: bool) -> None:
    """Neither one that ends, nor one that is killed; only a killed one whose children saved leaves what these saved."""
    temporary = suite.path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    suite.pytester.makeconftest(suite.FAR_AWAY)
    suite.write(
        f"""
import os, pytest

@pytest.mark.parametrize("n", range(3))
def test_it(arena_store, n):
    arena_store.save({{"id": f"run {{n}}", "messages": [{{"role": "user", "content": "hello"}}]}})
    child = os.fork() if {forks} else -1
    if child == 0:
        arena_store.save({{"id": f"child {{n}}", "messages": [{{"role": "user", "content": "hello"}}]}})
        os._exit(0)
    if {forks}:
        os.waitpid(child, 0)
    if n == 1 and not {forks}:
        os._exit(1)
"""
    )

    suite.run_apart("-n1", "-W", "ignore:.*fork.*:DeprecationWarning")

    expected = {f"run {n}" for n in range(3)} | ({f"child {n}" for n in range(3)} if forks else set())
    assert set(suite.rows) == expected
    assert [path.name for path in temporary.iterdir() if path.name.startswith("arena-state")] == []


@pytest.mark.parametrize("far", [False, True])
def test_the_failure_of_another_plugin_at_the_end_loses_nothing(
    suite: Suite, monkeypatch: pytest.MonkeyPatch, far: bool
) -> None:
    """A plain hook at the end of a session never runs when another plugin's fails."""
    suite.write(SPREAD)
    suite.pytester.makeconftest(
        suite.FAR_AWAY
        + """
@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session):
    if not hasattr(session.config, "workerinput"):
        raise RuntimeError("another plugin")
"""
    )
    if far:
        monkeypatch.setenv("FAR", "1")

    result = suite.run_apart("-n2")

    assert suite.index["total_runs"] == 10
    assert len(suite.lines(result)) == 1


def test_the_results_of_a_relative_path_do_not_follow_a_test_that_changes_directory(
    suite: Suite, run_args: list[str]
) -> None:
    suite.write(
        """
        def test_it(arena_run, tmp_path, monkeypatch):
            monkeypatch.chdir(tmp_path)
            arena_run.user("hello")

        def test_for_good(arena_run, tmp_path):
            import os
            os.chdir(tmp_path)
            arena_run.user("hello")
        """
    )
    here = Path.cwd()

    suite.run_apart(*run_args).assert_outcomes(passed=2)

    assert Path.cwd() == here
    assert len(suite.runs()) == 2


def test_a_worker_whose_python_lacks_a_library_runs_its_tests_and_is_named(suite: Suite) -> None:
    """As with ``--tx popen//python=…``: its Python looks for libraries where the controller's are."""
    suite.write(
        """
        import pytest

        @pytest.mark.parametrize("n", range(4))
        def test_plain(n):
            pass

        @pytest.mark.arena(scenario_id="s")
        def test_saves(arena_run):
            arena_run.user("hello")
        """
    )
    suite.write(
        """
        import os, sys

        if os.environ.get("PYTEST_XDIST_WORKER") == "gw0":
            sys.modules["pydantic_core"] = None
        """,
        "conftest",
    )

    result = suite.run_apart("-n2", "--dist=each")

    result.assert_outcomes(passed=9, errors=1)
    result.stdout.fnmatch_lines(["E *ModuleNotFoundError: *pydantic_core*"])
    assert suite.index["completeness"]["lost"] == [
        {
            "what": "everything of gw0",
            "why": "no journal: ModuleNotFoundError: import of pydantic_core halted; None in sys.modules",
        }
    ]
    assert [run.scenario_id for run in suite.runs()] == ["s"]


# --- disks without locks ----------------------------------------------------------------------------

NO_LOCKS = """
import errno, fcntl, os

def flock(*_):
    number = getattr(errno, os.environ["NO_LOCKS"])
    raise OSError(number, os.strerror(number))

fcntl.flock = flock
"""


@pytest.mark.skipif(os.name == "nt", reason="locks are others there")
@pytest.mark.parametrize("says", ["ENOSYS", "ENOLCK", "ENOTSUP"])
@pytest.mark.parametrize("args", [("-p", "no:xdist"), ("-n2",)], ids=" ".join)
def test_a_disk_without_locks_has_results_at_once(
    suite: Suite, monkeypatch: pytest.MonkeyPatch, says: str, args: Sequence[str]
) -> None:
    """Those of clusters and of object stores may have none, and nobody's process is then taken for a living one."""
    suite.pytester.makeconftest(NO_LOCKS)
    monkeypatch.setenv("NO_LOCKS", says)
    suite.write(DIES.replace("os._exit(1)", "pass"))

    result = suite.run_apart(*args, "-W", "error")

    line, *others = suite.lines(result)
    assert line.startswith("arena: 8 runs (8 passed)")
    assert line.endswith("0 lost -> arena-results/index.json")
    assert not others
    assert not (suite.path / "arena-results.journals").exists()
    assert result.duration < 30


@pytest.mark.skipif(os.name == "nt", reason="locks are others there")
def test_a_process_that_died_on_a_disk_without_locks_leaves_its_journal_to_the_next(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite.pytester.makeconftest(NO_LOCKS)
    monkeypatch.setenv("NO_LOCKS", "ENOSYS")
    suite.write(DIES)
    suite.run_apart("-p", "no:xdist")
    suite.write(DIES.replace("os._exit(1)", "pass").replace('"fine-', '"new-'))

    result = suite.run_apart("-n2")

    assert any(line.startswith("arena: 8 runs recovered from 1 session") for line in suite.lines(result))
    assert not (suite.path / "arena-results.journals").exists()
