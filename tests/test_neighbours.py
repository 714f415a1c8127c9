"""Beside other plugins: the same outcomes as without results, the right runs, and not one warning."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

if TYPE_CHECKING:
    from tests.conftest import Suite

SUBTESTS = () if pytest.version_tuple >= (9, 0) else ("pytest_subtests.plugin",)  # a plugin of its own before

# From 3.12 on Python warns of a fork where there are threads, such as those of xdist.
FORKING = ("-W", "ignore:.*fork.*:DeprecationWarning")
# Children of pytest-forked leave files open.
FORKED = (
    "--forked",
    *FORKING,
    "-W",
    "ignore::ResourceWarning",
    "-W",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)

# A helper that every suite below has: say something under an id.
SAY = """
import os, time, unittest
import pytest

def say(store, id, text="hello"):
    store.save({"id": id, "messages": [{"role": "user", "content": text}]})
"""

# One test for each way to end.
EACH_WAY = (
    SAY
    + """
@pytest.fixture
def broken(arena_store):
    say(arena_store, "set-up")
    raise OSError("no server")

def test_passes(arena_store): say(arena_store, "passes")

def test_fails(arena_store):
    say(arena_store, "fails")
    assert 1 == 2

def test_breaks(arena_store):
    say(arena_store, "breaks")
    raise ValueError("odd")

def test_skips(arena_store):
    say(arena_store, "skips")
    pytest.skip("not today")

@pytest.mark.xfail(reason="known")
def test_xfails(arena_store):
    say(arena_store, "xfails")
    assert 1 == 2

def test_errs(broken): pass
"""
)
HOW_EACH_ENDS = {
    "passes": "passed",
    "fails": "failed",
    "breaks": "error",
    "skips": "skipped",
    "xfails": "xfailed",
    "set-up": "error",
}


class Street:
    """A suite and its neighbours, run in one of the two ways in which their hooks are called."""

    def __init__(self, suite: Suite, mode: Sequence[str]) -> None:
        self.suite = suite
        self.mode = mode

    def run_beside(self, *plugins: str, args: Sequence[str] = ()) -> pytest.RunResult:
        """Run the suite beside other plugins; the outcomes must be those without results.

        Args:
            plugins: Modules, because a name such as `html` is a module of the standard library as well.
            args: For pytest.
        """
        for module in plugins:
            if module != "pytester" and find_spec(module.partition(".")[0]) is None:
                pytest.skip(f"{module} is not installed")
        everything = (*self.mode, "-W", "error", *args)
        self.suite.load(*plugins, xdist="no:xdist" not in self.mode)
        without = self.suite.pytester.runpytest_subprocess(*everything)

        result = self.suite.run_apart(*everything, plugins=plugins)

        assert result.ret == without.ret
        assert result.parseoutcomes() == without.parseoutcomes()
        (line,) = self.suite.lines(result)  # and no further one, with a complaint
        assert " 0 lost -> " in line
        return result

    def outcomes(self) -> dict[str, str]:
        """How each run's test ended, by run id."""
        return {run_id: row["labels"]["pytest.outcome"] for run_id, row in self.suite.rows.items()}


@pytest.fixture(params=[("-p", "no:xdist"), ("-n2",)], ids=["alone", "two workers"])
def street(suite: Suite, request: pytest.FixtureRequest) -> Street:
    """A suite with room for neighbours."""
    return Street(suite, request.param)


# --- asynchronous tests --------------------------------------------------------------------


def test_pytest_asyncio(street: Street) -> None:
    street.suite.write(
        SAY
        + """
import asyncio, pytest_asyncio

@pytest_asyncio.fixture
async def greeted(arena_store):
    await asyncio.sleep(0)
    say(arena_store, "from the fixture")
    yield arena_store

async def test_tasks(greeted):
    async def talk(n):
        await asyncio.sleep(0)
        say(greeted, f"task {n}")
    await asyncio.gather(*map(talk, range(5)))

async def test_fails(arena_store):
    await asyncio.to_thread(say, arena_store, "thread")
    assert 1 == 2
"""
    )
    ini = ("-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function")

    street.run_beside("pytest_asyncio.plugin", args=ini).assert_outcomes(passed=1, failed=1)

    passed = dict.fromkeys(["from the fixture", *(f"task {n}" for n in range(5))], "passed")
    assert street.outcomes() == passed | {"thread": "failed"}


def test_anyio(street: Street) -> None:
    backends = ["asyncio", *(["trio"] if find_spec("trio") else [])]
    street.suite.write(
        SAY
        + f"""
import anyio
pytestmark = pytest.mark.anyio

@pytest.fixture(params={backends})
def anyio_backend(request):
    return request.param

async def test_tasks(arena_store, anyio_backend_name):
    async def talk(n):
        await anyio.sleep(0)
        say(arena_store, f"{{anyio_backend_name}} {{n}}")
    async with anyio.create_task_group() as group:
        for n in range(3):
            group.start_soon(talk, n)

async def test_fails(arena_run):
    await anyio.sleep(0)
    arena_run.user("hello")
    assert 1 == 2
"""
    )

    street.run_beside("anyio.pytest_plugin").assert_outcomes(passed=len(backends), failed=len(backends))

    assert street.outcomes() == {
        **{f"{backend} {n}": "passed" for backend in backends for n in range(3)},
        **{f"test_suite.py::test_fails[{backend}]": "failed" for backend in backends},
    }


# --- how often, how long and in which order ---------------------------------------------------


def test_pytest_rerunfailures(street: Street) -> None:
    street.suite.write(
        SAY
        + """
def test_in_the_end(arena_store, tmp_path_factory, request):
    attempt = request.node.execution_count
    say(arena_store, f"attempt {attempt}")
    assert attempt == 3

def test_never(arena_run):
    arena_run.user("hello")
    assert 1 == 2

def test_at_once(arena_store): say(arena_store, "once")
"""
    )

    result = street.run_beside("pytest_rerunfailures", args=["--reruns=2"])

    assert result.parseoutcomes() == {"passed": 2, "failed": 1, "rerun": 4}
    runs = street.suite.index["runs"]
    assert [(row["run_id"], row["labels"]["pytest.outcome"], row["superseded"]) for row in runs] == [
        ("once", "passed", False),
        ("attempt 1", "rerun", True),
        ("attempt 2", "rerun", True),
        ("attempt 3", "passed", False),
        ("test_suite.py::test_never", "rerun", True),
        ("test_suite.py::test_never", "rerun", True),
        ("test_suite.py::test_never", "failed", False),
    ]


def test_pytest_repeat(street: Street) -> None:
    street.suite.write("def test_it(arena_run): arena_run.user('hello')\n")

    street.run_beside("pytest_repeat", args=["--count=3"]).assert_outcomes(passed=3)

    assert street.outcomes() == {f"test_suite.py::test_it[{n}-3]": "passed" for n in (1, 2, 3)}
    assert not any(row["superseded"] for row in street.suite.index["runs"])


@pytest.mark.skipif(os.name == "nt", reason="pytest-timeout has no signal to send there")
def test_pytest_timeout(street: Street) -> None:
    """Its other method ends the process; that is for the tests about deaths."""
    street.suite.write(
        SAY
        + """
@pytest.mark.timeout(2, method="signal", func_only=True)
def test_hangs(arena_store):
    say(arena_store, "hangs")
    time.sleep(600)

def test_next(arena_store): say(arena_store, "next")
"""
    )

    result = street.run_beside("pytest_timeout")

    result.assert_outcomes(passed=1, failed=1)

    assert street.outcomes() == {"hangs": "failed", "next": "passed"}
    (verdict,) = street.suite.run_named("hangs").conversation_assertions.results
    assert verdict.message.startswith("Failed: Timeout")


def test_pytest_randomly(street: Street) -> None:
    street.suite.write(EACH_WAY)
    street.run_beside("pytest_randomly", args=["--randomly-seed=1"])
    first = street.suite.files()

    street.run_beside("pytest_randomly", args=["--randomly-seed=2"])

    assert street.outcomes() == HOW_EACH_ENDS
    assert street.suite.files() == first, "the order of the tests is in the results"


# --- other files, other times ------------------------------------------------------------------


def test_pyfakefs(street: Street) -> None:
    """What is saved goes to the disk that there is, and not into a file of the test's that has our descriptor."""
    street.suite.write(
        SAY
        + """
import pathlib, pytest_arena_state

@pytest.mark.parametrize("n", range(4))
def test_faked(fs_module, arena_store, n):
    say(arena_store, f"before {n}")
    files = [open(f"/mine-{i}", "w") for i in range(20)]
    say(arena_store, f"while files are open {n}")
    for file in files:
        file.write("mine")
        file.close()
    say(arena_store, f"after {n}")
    image = pytest_arena_state.ContentPart.from_bytes(bytes(500_000), mime_type="image/png")
    arena_store.save({"id": f"after {n}", "messages": [{"role": "user", "parts": [image]}]})
    assert {file.read_text() for file in pathlib.Path("/").glob("mine-*")} == {"mine"}
    assert not [path for path in pathlib.Path("/").rglob("*") if "arena" in path.name]

def test_not_faked(arena_store): say(arena_store, "not faked")
"""
    )

    street.run_beside("pyfakefs.pytest_plugin").assert_outcomes(passed=5)

    assert len(list((street.suite.results / "media").iterdir())) == 1
    faked = {f"{when} {n}": "passed" for when in ("before", "while files are open", "after") for n in range(4)}
    assert street.outcomes() == faked | {"not faked": "passed"}


@pytest.mark.parametrize(
    ("module", "frozen"),
    [("freezegun", "freezegun.freeze_time"), ("time_machine", "functools.partial(time_machine.travel, tick=False)")],
)
def test_frozen_time(street: Street, module: str, frozen: str) -> None:
    """Messages have the test's time, and the run its own: a test of 2012 took no minus eighty thousand hours."""
    pytest.importorskip(module)
    street.suite.write(
        SAY
        + f"""
import functools, {module}
frozen = {frozen}

@pytest.fixture(scope="module")
def past():
    with frozen("2012-01-14"):
        yield

@frozen("2112-01-14")
def test_in_the_future(arena_run): arena_run.user("hello")

def test_begins_in_the_present(arena_run, past): arena_run.user("hello")

def test_begins_in_the_past(past, arena_run): arena_run.user("hello")
"""
    )

    street.run_beside().assert_outcomes(passed=3)

    for run in street.suite.runs():
        (message,) = run.messages
        assert message.timestamp is not None
        assert run.start_time is not None
        assert message.timestamp.year == (2112 if "future" in run.run_id else 2012)
        assert run.start_time.year not in (2012, 2112)
        assert timedelta() <= run.duration < timedelta(hours=1)


@pytest.mark.skipif(os.name == "nt", reason="there is no other clock to ask there")
def test_time_that_is_frozen_for_good(street: Street) -> None:
    """By a conftest, before anything of ours is loaded."""
    pytest.importorskip("freezegun")
    pytest.importorskip("time_machine")
    street.suite.pytester.makeconftest("import freezegun, time_machine\nfreezegun.freeze_time('2012-01-14').start()")
    street.suite.write("def test_it(arena_run):\n    arena_run.user('hello')\n")

    street.run_beside().assert_outcomes(passed=1)

    run = street.suite.only_run()
    assert run.start_time is not None
    assert run.start_time.year != 2012
    assert timedelta() < run.duration < timedelta(hours=1)


# --- other reports -------------------------------------------------------------------------


def test_pytest_html(street: Street) -> None:
    street.suite.write(EACH_WAY)

    plugins = ("pytest_html.plugin", "pytest_metadata.plugin")
    street.run_beside(*plugins, args=["--html=report.html", "--self-contained-html"])

    assert street.outcomes() == HOW_EACH_ENDS
    report = (street.suite.path / "report.html").read_text(encoding="utf-8")
    assert "test_suite.py::test_passes" in report


def test_pytest_json_report(street: Street) -> None:
    street.suite.write(EACH_WAY)

    plugins = ("pytest_jsonreport.plugin", "pytest_metadata.plugin")
    street.run_beside(*plugins, args=["--json-report", "--json-report-file=report.json"])

    assert street.outcomes() == HOW_EACH_ENDS
    summary = json.loads((street.suite.path / "report.json").read_bytes())["summary"]
    assert {kind: summary[kind] for kind in ("passed", "failed", "skipped", "xfailed", "error", "total")} == {
        "passed": 1,
        "failed": 2,
        "skipped": 1,
        "xfailed": 1,
        "error": 1,
        "total": 6,
    }


def test_pytest_cov(street: Street) -> None:
    street.suite.write(EACH_WAY)

    result = street.run_beside("pytest_cov.plugin", args=["--cov=.", "--cov-report=term", "--cov-report=json"])

    assert street.outcomes() == HOW_EACH_ENDS
    result.stdout.fnmatch_lines(["test_suite.py * 100%"])
    measured = json.loads((street.suite.path / "coverage.json").read_bytes())["files"]
    assert list(measured) == ["test_suite.py"]


# --- tests of another make -------------------------------------------------------------------


def test_subtests(street: Street) -> None:
    street.suite.write(
        SAY
        + """
def test_part(arena_store, subtests):
    say(arena_store, "part")
    with subtests.test("right"): pass
    with subtests.test("wrong"): assert 1 == 2
    with subtests.test("right again"): pass

def test_whole(arena_store, subtests):
    say(arena_store, "whole")
    with subtests.test("right"): pass
"""
    )

    street.run_beside(*SUBTESTS)

    assert street.outcomes() == {"part": "failed", "whole": "passed"}


def test_unittest(street: Street) -> None:
    street.suite.write(
        SAY
        + """
class TestTalk(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def take_store(self, arena_store):
        self.store = arena_store

    def setUp(self):
        say(self.store, f"set-up of {self._testMethodName}")

    def test_whole(self):
        for n in range(3):
            with self.subTest(n=n):
                say(self.store, f"whole {n}")

    def test_part(self):
        for n in range(3):
            with self.subTest(n=n):
                say(self.store, "part")
                self.assertNotEqual(n, 2)

    @unittest.skip("not today")
    def test_skipped(self): pass
"""
    )

    street.run_beside()

    assert street.outcomes() == {
        "set-up of test_whole": "passed",
        **{f"whole {n}": "passed" for n in range(3)},
        "set-up of test_part": "failed",
        "part": "failed",
    }


@pytest.mark.parametrize("continuing", [(), ("--doctest-continue-on-failure",)], ids=["first failure", "all failures"])
def test_doctests(street: Street, continuing: Sequence[str]) -> None:
    street.suite.write(
        '''
def greet(name):
    """
    >>> run = getfixture("arena_run")
    >>> run.user(greet("Ada"))
    >>> [message.content for message in run.messages]
    ['hello Ada']
    """
    return f"hello {name}"

def part(name):
    """
    >>> getfixture("arena_store").save({"id": "part", "messages": []})
    >>> part("Ada")
    'hello Ada'
    """
    return f"goodbye {name}"
'''
    )
    street.suite.pytester.maketxtfile(test_text=""">>> getfixture("arena_run").user("from a text")\n""")

    args = ["--doctest-modules", *continuing]

    street.run_beside(args=args).assert_outcomes(passed=2, failed=1)

    assert street.outcomes() == {
        "test_suite.py::test_suite.greet": "passed",
        "part": "failed",
        "test_text.txt::test_text.txt": "passed",
    }
    assert street.suite.said()["test_suite.py::test_suite.greet"] == ["hello Ada"]


def test_hypothesis(street: Street) -> None:
    """The last example that ran is the one in the report: for a failure, the smallest."""
    street.suite.write(
        SAY
        + """
from hypothesis import HealthCheck, given, settings, strategies as st

settings.register_profile(
    "calm",
    derandomize=True,
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("calm")

@given(number=st.integers(0, 1000))
def test_holds(arena_store, number): say(arena_store, "holds", str(number))

@given(number=st.integers(0, 1000))
def test_fails(arena_store, number):
    say(arena_store, "fails", str(number))
    assert number < 17
"""
    )

    street.run_beside("_hypothesis_pytestplugin").assert_outcomes(passed=1, failed=1)

    assert street.outcomes() == {"holds": "passed", "fails": "failed"}
    assert street.suite.said()["fails"] == ["17"]


# --- processes and sessions in between ---------------------------------------------------------


@pytest.fixture
def able(street: Street) -> bool:
    """Whether pytest-forked can report that a test passed. Those of pytest 9.2 hold what 1.7.5 cannot write."""
    if find_spec("pytest_forked") is None or not hasattr(os, "fork"):
        pytest.skip("pytest-forked is not installed")
    street.suite.write("def test_it(): pass")
    street.suite.load("pytest_forked", xdist=False)
    return street.suite.pytester.runpytest_subprocess("--forked").ret == pytest.ExitCode.OK


@pytest.fixture
def forked(street: Street, able: bool) -> Street:
    """A street where it can."""
    if not able:
        pytest.skip("this pytest-forked does not work with this pytest")
    return street


def test_a_pytest_forked_that_cannot_report(street: Street, able: bool) -> None:
    """With such a pair every test fails, with us and without us. What the tests saved is there all the same."""
    if able:
        pytest.skip("this pytest-forked works with this pytest")
    street.suite.write(SAY + "def test_it(arena_store): say(arena_store, 'said')\ndef test_other(): pass")

    street.run_beside("pytest_forked", args=FORKED).assert_outcomes(failed=2)

    assert street.suite.said() == {"said": ["hello"]}
    assert street.outcomes() == {"said": "crashed"}


def test_pytest_forked(forked: Street) -> None:
    """What a child saves is in a journal of its own; how its test ended, only its parent knows."""
    forked.suite.write(EACH_WAY)

    forked.run_beside("pytest_forked", args=FORKED).assert_outcomes(passed=1, failed=2, skipped=1, xfailed=1, errors=1)

    assert forked.outcomes() == HOW_EACH_ENDS
    fails, breaks = forked.suite.run_named("fails"), forked.suite.run_named("breaks")
    assert (fails.error, breaks.error) == ("", "ValueError: odd")


@pytest.mark.parametrize("family", ["xunit1", "xunit2"])
def test_the_junit_file_tells_what_a_forked_test_saved(forked: Street, family: str) -> None:
    """Only the child knows it, and only its parent writes the file."""
    forked.suite.write(SAY + "def test_it(arena_store): say(arena_store, 'said')\ndef test_other(): pass")

    forked.run_beside("pytest_forked", args=[*FORKED, "--junitxml=junit.xml", "-o", f"junit_family={family}"])

    [suite] = ElementTree.parse(forked.suite.path / "junit.xml").getroot()
    case = next(case for case in suite.iter("testcase") if case.get("name") == "test_it")
    place, suffix = (case, "") if family == "xunit1" else (suite, ":test_suite.py::test_it")
    found = {each.get("name", ""): each.get("value", "") for each in place.findall("properties/property")}
    assert (found[f"arena.runs{suffix}"], found[f"arena.run_id{suffix}"]) == ("1", "said")


def test_a_forked_test_that_dies(forked: Street) -> None:
    forked.suite.write(
        SAY
        + """
def test_dies(arena_store):
    say(arena_store, "dies")
    os.kill(os.getpid(), 9)

@pytest.mark.forked
def test_next(arena_store): say(arena_store, "next")

def test_in_the_parent_again(arena_store): say(arena_store, "again")
"""
    )

    forked.run_beside("pytest_forked", args=FORKED).assert_outcomes(passed=2, failed=1)

    assert forked.outcomes() == {"dies": "crashed", "next": "passed", "again": "passed"}
    assert "signal 9" in forked.suite.run_named("dies").error
    assert forked.suite.run_named("dies").labels["pytest.nodeid"] == "test_suite.py::test_dies"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_alone_saves(street: Street) -> None:
    """The verdict is its parent's, which has nothing else to write down."""
    street.suite.write(
        SAY
        + """
def test_forks(arena_store):
    child = os.fork()
    if not child:
        say(arena_store, "child")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0

def test_stops_its_child(arena_store):
    import signal
    child = os.fork()
    if not child:
        say(arena_store, "stopped")
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
"""
    )
    street.run_beside(args=FORKING).assert_outcomes(passed=2)

    assert street.outcomes() == {"child": "passed", "stopped": "passed"}


def test_pytester_inside_a_suite(street: Street) -> None:
    """Sessions inside this process leave the one around them, and its journal, as they were."""
    street.suite.write(
        SAY
        + """
import signal
INNER = "def test_inner(arena_run):\\n    arena_run.user('inside')\\n    assert 1 == 2\\n"

@pytest.mark.parametrize("args", [(), ("--arena-results=inner",), ("--arena-results=inner.jsonl", "-x")])
def test_outer(pytester, arena_store, monkeypatch, args):
    number = len(args)
    handlers = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
    say(arena_store, f"before {number}")
    pytester.makepyfile(INNER)
    for _ in range(2):
        pytester.runpytest("-p", "arena_state", *args).assert_outcomes(failed=1)
    say(arena_store, f"after {number}")
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)] == handlers
    assert (pytester.path / "inner").exists() == (number == 1)

def test_other(arena_store): say(arena_store, "other")
"""
    )

    street.run_beside("pytester", args=["test_suite.py"]).assert_outcomes(passed=4)

    around = {f"{when} {number}": "passed" for when in ("before", "after") for number in range(3)}
    assert street.outcomes() == {**around, "other": "passed"}


def test_a_suite_without_results_has_inner_sessions_with_them(street: Street) -> None:
    """Modules that the first inner session imported are imported anew by the second."""
    street.suite.write(
        """
INNER = "def test_inner(arena_run):\\n    arena_run.user('inside')\\n"

def test_outer(pytester):
    pytester.makepyfile(INNER)
    for _ in range(3):
        result = pytester.runpytest("-p", "arena_state", "-W", "error", "--arena-results=inner")
        result.assert_outcomes(passed=1)
        result.stdout.fnmatch_lines(["arena: 1 run (1 passed), 0 tokens, $0.00, 0 lost -> inner/index.json"])
"""
    )

    street.run_beside("pytester", args=["test_suite.py"]).assert_outcomes(passed=1)
