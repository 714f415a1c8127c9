"""Merging: journals in any order give the same runs, and every run that was saved is accounted for."""

from __future__ import annotations

import os
import shutil
from itertools import permutations
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_arena_state import ArenaRun
from pytest_arena_state._wire import loads
from pytest_arena_state.journal import SUFFIX, journal_paths
from pytest_arena_state.merge import Merged, MergedRun, SliceReader, merge_session
from pytest_arena_state.results import Target, publish
from pytest_arena_state.telemetry import OUTCOME_ASSERTION
from pytest_arena_state.verdict import PhaseReport

if TYPE_CHECKING:
    from pytest_arena_state import ArenaStateStore
    from tests.conftest import Process


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text, "timestamp": "2025-01-01T00:00:00Z"}


def said(run: MergedRun) -> list[str]:
    with SliceReader() as reader:
        return [loads(message).get("content", "") for message in reader.report(run)[1]]


def report_of(run: MergedRun) -> dict[str, Any]:
    """Before and after the messages."""
    with SliceReader() as reader:
        before, _, after, _ = reader.report(run)
    return {**before, **after}


def published(directory: Path, merged: Merged) -> dict[str, bytes]:
    """The files of a publication."""
    shutil.rmtree(directory, ignore_errors=True)
    publish(Target(directory / "results", "results"), merged, replaced={}, token="0000", staging=directory / "staging")
    return {path.name: path.read_bytes() for path in (directory / "results").iterdir()}


# --- order ---------------------------------------------------------------------------------------


def test_the_order_of_journals_does_not_matter(tmp_path: Path, process_type: type[Process]) -> None:
    """Workers begin, finish and are named in any order."""
    session = tmp_path / "session"
    session.mkdir()
    for worker in ("gw0", "gw1", "gw2"):
        process = process_type(session, worker)
        for name in ("same", f"own-{worker}", "same"):
            with process.test(f"test_{name}") as store:
                store.save({"id": name, "messages": [user(f"{name} of {worker}")]})
                store.save({"id": "of every test", "messages": [user(worker)]})
        process.recorder.session_store.save({"id": "session", "messages": [user(worker)]})
        if worker == "gw1":
            process.die()
        else:
            process.end()
    journals = {path.name: path.read_bytes() for path in journal_paths(session)}

    results = []
    for order in permutations(journals):
        for path in journal_paths(session):
            path.unlink()
        for place, name in enumerate(order):
            (session / f"{place}{SUFFIX}").write_bytes(journals[name])
        results.append(published(tmp_path / "out", merge_session(session)))

    assert len(results) == 6
    assert len(results[0]) == 3 * (2 + 2 + 2 + 1) + 1
    assert all(result == results[0] for result in results)


def test_runs_are_in_the_order_of_node_id_attempt_and_run_id(process: Process) -> None:
    for nodeid in ("test_b", "test_a", "test_b", "test_a"):
        with process.test(nodeid) as store:
            for name in ("z", "y"):
                store.save({"id": name, "messages": []})
    process.end()

    runs = merge_session(process.journal.parent).runs

    assert [(run.context.nodeid, run.context.attempt, run.run_id) for run in runs] == [
        (nodeid, attempt, name) for nodeid in ("test_a", "test_b") for attempt in (1, 2) for name in ("y", "z")
    ]


# --- what a journal says is what the store had ---------------------------------------------------

TEXTS = st.sampled_from(["a", "b", "c"])
OPERATIONS = st.one_of(
    st.tuples(st.just("save"), TEXTS, st.lists(TEXTS, max_size=5)),
    st.tuples(st.just("append"), TEXTS, st.lists(TEXTS, max_size=2)),
    st.tuples(st.just("metadata"), TEXTS, TEXTS),
    st.tuples(st.just("describe"), TEXTS, TEXTS),
    st.tuples(st.just("delete"), TEXTS, st.none()),
    st.tuples(st.just("branch"), TEXTS, TEXTS),
    st.tuples(st.just("clear"), st.none(), st.none()),
)


def apply(store: ArenaStateStore, kind: str, name: Any, value: Any) -> None:
    if kind == "save":
        store.save({"id": name, "messages": [user(text) for text in value], "metadata": {"texts": value}})
    elif kind == "append":
        store.log_append(name, store.log_len(name), [user(text) for text in value])
    elif kind == "metadata":
        store.save_metadata(name, {"run_id": name, "params": {"value": value}})
    elif kind == "describe":
        run = ArenaRun(store, name)
        run.check(value, name == value)
        run.tag(value, name)
        run.label(value, name)
        run.param(value, {"of": name})
        run.feedback(len(store.list_run_ids()), value)
    elif kind == "delete":
        store.delete(name)
    elif kind == "branch":
        if store.log_len(name) and name != value:
            store.branch(name, value)
    else:
        store.clear()


def known(store: ArenaStateStore) -> dict[str, tuple[list[str], dict[str, Any]]]:
    """What a store has, by id."""
    found = {}
    for name in "abc":
        try:
            state = store.get_arena_state(name)
        except LookupError:
            continue
        metadata = state.run_metadata.to_dict() if state.run_metadata else {}
        found[name] = (
            [message.content for message in state.messages],
            {key: metadata.get(key) or None for key in TOLD},
        )
    return found


#: Of run metadata, and where it is in a report.
TOLD = {"params": "Params", "labels": "Labels", "session_tags": "SessionTags", "user_feedback": "UserFeedback"} | {
    "conv_assertions_results": "conversation_assertions"
}


def told(run: MergedRun) -> dict[str, Any]:
    """The same of a report, without what is ours."""
    report = report_of(run)
    found = {key: report.get(name) or None for key, name in TOLD.items()}
    found["labels"] = {key: value for key, value in report["Labels"].items() if "pytest." not in key} or None
    found["conv_assertions_results"] = [
        result for result in report["conversation_assertions"]["results"] if result["type"] != OUTCOME_ASSERTION
    ] or None
    return found


@given(st.lists(OPERATIONS, max_size=15), st.booleans())
@settings(max_examples=150)
def test_the_report_has_what_the_store_had(
    tmp_path: Path, process_type: type[Process], operations: list[tuple[str, Any, Any]], dies: bool
) -> None:
    """Whatever was done to it, and whether or not its process lived to finish the runs."""
    session = Path(mkdtemp(dir=tmp_path))
    process = process_type(session)
    deleted = 0

    with process.test() as store:
        for operation in operations:
            before = len(known(store))
            apply(store, *operation)
            deleted += max(0, before - len(known(store)))
        expected = known(store)
        if dies:
            process.die()
    if not dies:
        process.end()
    merged = merge_session(session)

    assert {run.run_id: (said(run), told(run)) for run in merged.runs} == expected
    assert merged.deleted == deleted
    assert merged.lost == []
    assert not merged.troubles


# --- identity ------------------------------------------------------------------------------------


def test_the_last_save_of_a_run_wins(process: Process) -> None:
    with process.test() as store:
        store.save({"id": "a", "messages": [user("one"), user("two"), user("three")]})
        store.save({"id": "a", "messages": [user("ONE")]})
    process.end()

    (run,) = merge_session(process.journal.parent).runs

    assert said(run) == ["ONE"]


def test_a_conversation_that_was_deleted_and_saved_again_is_one_run(process: Process) -> None:
    with process.test() as store:
        store.save({"id": "a", "messages": [user("one"), user("two")]})
        store.save_metadata("a", {"run_id": "a", "params": {"old": True}})
        store.delete("a")
        store.save({"id": "a", "messages": [user("again")]})
    process.end()

    merged = merge_session(process.journal.parent)

    (run,) = merged.runs
    assert said(run) == ["again"]
    assert report_of(run)["Params"] == {}
    assert merged.deleted == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing can be forked here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_what_a_forked_child_saves_is_in_the_runs_of_its_test(process: Process) -> None:
    """It must not write into its parent's journal, and the parent's verdict holds for it, too."""
    with process.test(outcome="failed") as store:
        store.save({"id": "of the parent", "messages": [user("parent")]})
        store.save({"id": "of both", "messages": [user("parent")]})
        child = os.fork()
        if child == 0:
            try:
                store.save({"id": "of both", "messages": [user("parent"), user("child")]})
                store.save({"id": "of the child", "messages": [user("child")]})
            finally:
                os._exit(0)
        os.waitpid(child, 0)
    process.end()

    merged = merge_session(process.journal.parent)

    assert {run.run_id: said(run) for run in merged.runs} == {
        "of the parent": ["parent"],
        "of both": ["parent", "child"],
        "of the child": ["child"],
    }
    assert {run.run_id: report_of(run)["Labels"]["pytest.outcome"] for run in merged.runs} == dict.fromkeys(
        ("of the parent", "of both", "of the child"), "failed"
    )
    assert merged.crashed == []
    assert len(journal_paths(process.journal.parent)) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing can be forked here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_that_can_open_no_file_for_a_while_loses_nothing(process: Process) -> None:
    """It has no journal of its own then, and its parent's is none of its business: records of both would mix."""
    import resource

    with process.test() as store:
        store.save({"id": "of both", "messages": [user("parent")]})
        child = os.fork()
        if child == 0:
            try:
                limits = resource.getrlimit(resource.RLIMIT_NOFILE)
                resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
                store.save({"id": "of both", "messages": [user("parent"), user("no file")]})
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
                store.save({"id": "of both", "messages": [user("parent"), user("no file"), user("child")]})
                store.save({"id": "of the child", "messages": [user("child")]})
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        store.save({"id": "of the parent", "messages": [user("parent")]})
    process.end()

    merged = merge_session(process.journal.parent)

    assert {run.run_id: said(run) for run in merged.runs} == {
        "of the parent": ["parent"],
        "of both": ["parent", "no file", "child"],
        "of the child": ["child"],
    }
    assert not any(b"at once" in line for line in process.journal.read_bytes().splitlines())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing can be forked here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_trouble_of_a_forked_child_is_told_though_it_saves_nothing(process: Process) -> None:
    child = os.fork()
    if child == 0:
        try:
            process.recorder.recording.trouble("of the child")
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    process.end()

    assert b"of the child" not in process.journal.read_bytes()
    assert merge_session(process.journal.parent).troubles == {"of the child": 1}


# --- attempts ---------------------------------------------------------------------------------------


def attempt(process: Process, nodeid: str, number: int, *, dies: bool = False) -> None:
    begun = process.recorder.begin(nodeid, nodeid, at_least=number)
    process.recorder.store_for(begun, {}).save({"id": "a", "messages": [user(f"attempt {number}")]})
    if not dies:
        process.recorder.report(nodeid, PhaseReport(when="call", outcome="passed"))
        process.recorder.report(nodeid, PhaseReport(when="teardown", outcome="passed"))


@pytest.fixture
def workers(tmp_path: Path, process_type: type[Process]) -> list[Process]:
    directory = tmp_path / "session"
    directory.mkdir()
    return [process_type(directory, name) for name in ("gw0", "gw1")]


def test_earlier_attempts_of_a_test_are_superseded(workers: list[Process]) -> None:
    one, other = workers
    for number in (1, 2, 3):
        attempt(one, "test_it", number)
    attempt(other, "test_other", 1)
    one.end()
    other.end()

    runs = merge_session(one.journal.parent).runs

    assert [(run.context.nodeid, run.context.attempt, run.superseded) for run in runs] == [
        ("test_it", 1, True),
        ("test_it", 2, True),
        ("test_it", 3, False),
        ("test_other", 1, False),
    ]


def test_an_attempt_over_which_a_worker_died_is_superseded_by_that_of_another(workers: list[Process]) -> None:
    one, other = workers
    attempt(one, "test_it", 1, dies=True)
    one.die()
    attempt(other, "test_it", 2)
    other.end()

    merged = merge_session(one.journal.parent)

    assert [(run.context.worker, run.superseded) for run in merged.runs] == [("gw0", True), ("gw1", False)]
    assert merged.crashed == ["gw0"]


def test_when_every_worker_runs_every_test_none_supersedes_another(workers: list[Process]) -> None:
    one, other = workers
    attempt(one, "test_it", 1)
    for number in (1, 2):
        attempt(other, "test_it", number)
    one.end()
    other.end()

    runs = merge_session(one.journal.parent).runs

    assert [(run.context.worker, run.context.attempt, run.superseded) for run in runs] == [
        ("gw0", 1, False),
        ("gw1", 1, True),
        ("gw1", 2, False),
    ]


# --- what became of the rest -------------------------------------------------------------------------


def test_a_dead_worker_is_named_in_the_error_of_its_open_runs_alone(workers: list[Process]) -> None:
    one, other = workers
    with one.test("test_before") as store:
        store.save({"id": "before", "messages": []})
    attempt(one, "test_it", 1, dies=True)
    one.recorder.session_store.save({"id": "session", "messages": []})
    one.die()
    other.end()

    merged = merge_session(one.journal.parent)

    assert {run.run_id: report_of(run)["Error"] for run in merged.runs} == {
        "a": "worker 'gw0' died while it ran test_it",
        "before": "",
        "session": "",
    }
    assert merged.workers == ["gw0", "gw1"]


def test_an_interruption_is_no_death(workers: list[Process]) -> None:
    one, other = workers
    attempt(one, "test_it", 1, dies=True)
    one.die()
    other.end()

    merged = merge_session(one.journal.parent, interrupted_by="KeyboardInterrupt")

    (run,) = merged.runs
    assert report_of(run)["Error"] == "interrupted: KeyboardInterrupt"
    assert report_of(run)["Labels"]["pytest.outcome"] == "interrupted"
    assert merged.crashed == []


def test_a_test_that_was_open_when_its_process_ended_was_interrupted(process: Process) -> None:
    begun = process.recorder.begin("test_it", "test_it")
    process.recorder.store_for(begun, {}).save({"id": "a", "messages": []})
    process.recorder.end("time is up")

    (run,) = merge_session(process.journal.parent).runs

    assert report_of(run)["Error"] == "interrupted: time is up"


def test_a_journal_that_cannot_be_read_is_lost_by_name(workers: list[Process], monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = workers
    attempt(one, "test_it", 1)
    attempt(other, "test_other", 1)
    one.end()
    other.end()
    real = Path.open

    def refuse(path: Path, *args: Any, **keywords: Any) -> Any:
        if path == one.journal:
            raise PermissionError(13, "Permission denied")
        return real(path, *args, **keywords)

    monkeypatch.setattr(Path, "open", refuse)
    merged = merge_session(one.journal.parent)

    assert [run.context.nodeid for run in merged.runs] == ["test_other"]
    assert merged.lost == [{"what": f"gw0{SUFFIX}", "why": "Permission denied"}]


def test_an_empty_session_has_no_runs(tmp_path: Path) -> None:
    assert merge_session(tmp_path) == Merged()
