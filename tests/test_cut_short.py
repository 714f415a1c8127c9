"""A Ctrl-C, or a failure of our own, at each line that writes down how tests end: no run is lost, no test harmed.

And a save at each line of another.
"""

from __future__ import annotations

import gc
import linecache
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import pytest

import pytest_arena_state
from pytest_arena_state import ArenaStateStore, load_results, read_index
from pytest_arena_state._wire import loads
from pytest_arena_state.merge import SliceReader, merge_session
from pytest_arena_state.redaction import RedactionRules
from pytest_arena_state.results import Target
from pytest_arena_state.session import Session, Settings
from pytest_arena_state.verdict import PhaseReport

PACKAGE = Path(pytest_arena_state.__file__).parent
WATCHED = {str(PACKAGE / name) for name in ("recording.py", "reporting.py", "staging.py", "journal.py", "document.py")}
TESTS = 16  # so many reports wait for each other

Line = tuple[str, int]
T = TypeVar("T")

# Of what is outside of every `try`: there is nothing in it that could fail.
CANNOT_FAIL = {"with self._lock:", "self.recording.take(self, change, conversation)"}


def text_of(line: Line) -> str:
    return linecache.getline(*line).strip()


@contextmanager
def traced(on_line: Callable[[Line], object]) -> Iterator[None]:
    """Hear of every line of the watched modules before it runs."""

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename not in WATCHED:
            return None
        line = (frame.f_code.co_filename, frame.f_lineno)
        if event == "line" and text_of(line) != "try:":  # there, Python looks for no signal and does nothing
            on_line(line)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


class CutShort:
    """Raises at the first time that a line runs."""

    def __init__(self, line: Line, error: type[BaseException]) -> None:
        self.line = line
        self.error: type[BaseException] | None = error

    def __call__(self, line: Line) -> None:
        if self.error is not None and line == self.line:
            error, self.error = self.error, None
            raise error("here")


def apart(action: Callable[[], T]) -> T:
    """Do something where Python keeps to itself which exception is being handled.

    From 3.14 on, what a trace function raises at the end of a handler leaves that of the handler behind, and whatever
    is raised later in the thread, in any other test, would have come from it.
    """

    def steps() -> Iterator[T]:
        yield action()

    return next(steps())


def run(session: Session, number: int, saved: list[str], on_line: Callable[[Line], object] | None = None) -> None:
    """A test with a conversation, whose lines are followed from its save on."""
    nodeid, name = f"test_{number}", f"run-{number}"
    store = session.tests.store_for(session.tests.begin(nodeid, nodeid), {})
    with traced(on_line) if on_line is not None else nullcontext():
        store.save({"id": name, "messages": [{"role": "user", "content": f"the code name {number}"}]})
        store.log_append(name, 1, [{"role": "assistant", "content": "hello"}])
        saved.append(name)
        for when in ("setup", "call", "teardown"):
            session.tests.report(nodeid, PhaseReport(when, "passed"))


def session_in(folder: Path, form: str, *, secret: bool) -> Session:
    folder.mkdir()
    rules = RedactionRules(patterns=("code name [0-9]+",) if secret else ())
    return Session(Target(folder / form, form), Settings(redaction=rules), controls_workers=False)


def lines_of_the_last_test(folder: Path, form: str, *, secret: bool) -> list[Line]:
    """The lines that run in the test with which the reports of all are written."""
    lines: dict[Line, None] = {}
    session = session_in(folder, form, secret=secret)
    for number in range(TESTS - 1):
        run(session, number, [])
    run(session, TESTS - 1, [], lines.setdefault)
    session.finish()
    return list(lines)


def lines_of_the_end(folder: Path, form: str) -> list[Line]:
    """The lines that run when a session ends."""
    lines: dict[Line, None] = {}
    session = session_in(folder, form, secret=False)
    run(session, 0, [])
    with traced(lines.setdefault):
        session.finish()
    return list(lines)


def check(session: Session, saved: list[str], where: str) -> None:
    """All that was saved is in the report, and of all tests but perhaps one it is known that they passed."""
    runs = {run.run_id: run for run in load_results(session.target.path)}
    assert runs.keys() >= set(saved), where
    for name in saved:
        assert len(runs[name].messages) == 2, where
    for name in saved[: TESTS - 1]:
        assert (runs[name].labels["pytest.outcome"], runs[name].error) == ("passed", ""), where


@pytest.mark.parametrize("secret", [False, True], ids=["", "secrets"])
@pytest.mark.parametrize("form", ["out", "out.jsonl"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_the_end_of_a_test(tmp_path: Path, error: type[BaseException], form: str, secret: bool) -> None:
    lines = lines_of_the_last_test(tmp_path / "whole", form, secret=secret)
    assert {Path(file).name for file, _ in lines} == {Path(file).name for file in WATCHED}

    for at, line in enumerate(lines):
        if error is MemoryError and text_of(line) in CANNOT_FAIL:
            continue
        session = session_in(tmp_path / str(at), form, secret=secret)
        where = f"{error.__name__} at {Path(line[0]).name}:{line[1]}"
        saved: list[str] = []
        for number in range(TESTS - 1):
            run(session, number, saved)
        cut_short = CutShort(line, error)
        try:
            apart(partial(run, session, TESTS - 1, saved, cut_short))
        except KeyboardInterrupt:
            session.interrupted_by = "KeyboardInterrupt"
        except MemoryError:
            pytest.fail(f"it reached a test: {where}")
        else:
            run(session, TESTS, saved)
        outcome = session.finish()

        assert not outcome.problem, where
        check(session, saved, where)
        if error is MemoryError and cut_short.error is None:
            assert read_index(session.target.path).completeness.troubles, where
    assert sys.exception() is None


@pytest.mark.skipif(os.name == "nt", reason="what was just opened there is in the way of the second try")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of files that were just opened
@pytest.mark.parametrize("form", ["out", "out.jsonl"])
def test_the_end_of_a_session(tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """pytest ends it a second time after a Ctrl-C; nobody waits for a lock that this process has itself."""
    monkeypatch.setattr("pytest_arena_state.results._LOCK_TIMEOUT", 0.0)
    monkeypatch.setattr(f"{__name__}.WATCHED", {str(path) for path in PACKAGE.glob("*.py")})
    for at, line in enumerate(lines_of_the_end(tmp_path / "whole", form)):
        session = session_in(tmp_path / str(at), form, secret=False)
        saved: list[str] = []
        for number in range(3):
            run(session, number, saved)
        try:
            with traced(CutShort(line, KeyboardInterrupt)):
                outcome = apart(session.finish)
        except KeyboardInterrupt:
            session.interrupted_by = "KeyboardInterrupt"
            outcome = session.finish()

        where = f"{Path(line[0]).name}:{line[1]}"
        assert not outcome.problem, where
        check(session, saved, where)
    gc.collect()  # such files, while their warnings are expected
    assert sys.exception() is None


class BreaksIn:
    """Does something at the first time that a line runs."""

    def __init__(self, line: Line, action: Callable[[], object]) -> None:
        self.line = line
        self.action: Callable[[], object] | None = action

    def __call__(self, line: Line) -> None:
        if self.action is not None and line == self.line:
            action, self.action = self.action, None
            action()


FIRST, SECOND, THIRD = ({"role": "user", "content": text} for text in ("one", "two", "in between"))
CHANGES: dict[str, Callable[[ArenaStateStore], object]] = {
    "a message": lambda store: store.log_append("run", store.log_len("run"), [THIRD]),
    "messages that were edited": lambda store: store.save({"id": "run", "messages": [THIRD, SECOND, FIRST]}),
    "metadata": lambda store: store.save_metadata("run", {"run_id": "run", "scenario_id": "in between"}),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_save_in_the_middle_of_another(tmp_path: Path, kind: str) -> None:
    """What handles a signal may save, and so may a finaliser. Should the process die then, its journal has both."""

    def save(session: Session, breaks_in: Callable[[ArenaStateStore], Callable[[Line], object]]) -> ArenaStateStore:
        store = session.tests.store_for(session.tests.begin("test_it", "test_it"), {})
        store.save({"id": "run", "messages": [FIRST]})
        with traced(breaks_in(store)):
            store.save({"id": "run", "messages": [FIRST, SECOND]})
        return store

    lines: dict[Line, None] = {}
    session = session_in(tmp_path / "whole", "out", secret=False)
    save(session, lambda _: lines.setdefault)
    session.finish()
    assert {Path(file).name for file, _ in lines} >= {"recording.py", "journal.py"}

    for at, line in enumerate(lines):
        session = session_in(tmp_path / str(at), "out", secret=False)
        store = save(session, lambda store, line=line: BreaksIn(line, partial(CHANGES[kind], store)))  # type: ignore[misc]
        [dead] = merge_session(session.directory).runs
        with SliceReader() as reader:
            before, messages, *_ = reader.report(dead)
        outcome = session.finish()

        where = f"{Path(line[0]).name}:{line[1]}"
        kept = [message.content for message in store.log_load("run")]
        assert [loads(message)["content"] for message in messages] == kept, where
        assert before["ScenarioID"] == ("in between" if kind == "metadata" else "test_it"), where
        [run] = load_results(session.target.path)
        assert [message.content for message in run.messages] == kept, where
        assert run.scenario_id == before["ScenarioID"], where
        assert not outcome.merged.troubles, where
