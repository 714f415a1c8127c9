"""Staging: what a process wrote for the publication is what its journal says, or it is not used."""

from __future__ import annotations

import gc
import shutil
import signal
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from pytest_arena_state import Message, RunResult, document, load_results, read_index, staging
from pytest_arena_state._system import write_file
from pytest_arena_state._wire import dumps
from pytest_arena_state.journal import JournalFile
from pytest_arena_state.merge import MergedRun, SliceReader, merge_session
from pytest_arena_state.recording import Recording, StoreRecording, token_of
from pytest_arena_state.recovery import recover
from pytest_arena_state.redaction import RedactionRules
from pytest_arena_state.results import Target, publish, publish_lock
from pytest_arena_state.session import Session, Settings
from pytest_arena_state.staging import DiskStager
from pytest_arena_state.verdict import PhaseReport
from pytest_arena_state.worker import WorkerSession

FORMS = ("out", "out.jsonl", "out.json", "out.jsonl.gz", "out.jsonl.zst")
PASSED = tuple(PhaseReport(when=when, outcome="passed") for when in ("setup", "call", "teardown"))


RULES = RedactionRules(patterns=("code name [a-z]+",))


def begin(path: Path, on_run: Callable[[RunResult], None] | None = None) -> Session:
    return Session(Target(path, path.name), Settings(redaction=RULES), controls_workers=False, on_run=on_run)


def save(
    session: Session | WorkerSession, nodeid: str, *ids: str, outcome: str = "passed", text: str = "hello"
) -> None:
    """Run a test that saves conversations."""
    store = session.tests.store_for(session.tests.begin(nodeid, nodeid), {"labels": {"of": "the marker"}})
    for name in ids:
        message = {"role": "user", "content": text, "timestamp": "2025-01-01T00:00:00Z"}
        answer = {**message, "role": "assistant", "cost_info": {"input_tokens": 3}}
        store.save({"id": name, "messages": [message, answer], "metadata": {"system_prompt": f"of {name}"}})
    for report in PASSED:
        failed = report.when == "call" and outcome != "passed"
        session.tests.report(nodeid, PhaseReport("call", outcome, "it failed") if failed else report)


def suite(session: Session | WorkerSession) -> None:
    """Everything that makes runs differ: names, attempts, secrets, what is deleted, empty or said by no test."""
    save(session, "test_b", "b", "a")
    save(session, "test_a", "b", "B", outcome="failed")
    save(session, "test_rerun", "again", outcome="rerun")
    save(session, "test_rerun", "again")
    save(session, "test_secret[code name eagle]", "the code name eagle", "../../etc", text="sk-proj-" + "a1B2" * 12)
    save(session, "test_names", "index", "con", "ä" * 300, "x#2", "x")
    store = session.tests.session_store
    store.save({"id": "of the session", "messages": []})
    store.save({"id": "gone", "messages": []})
    store.delete("gone")
    store.save_metadata("b", {"run_id": "b", "params": {"temperature": 0.5, "said": "refused"}})


def refuse_a_text(text: str) -> str:
    """A hook of the user that fails now and then."""
    if text == "refused":
        raise ValueError(text)
    return text


def published(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def finish_both_ways(session: Session, other: Path) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """What comes out of what was staged, and out of the journals of the same session."""
    copy = other / "session"
    session.tests.end()
    shutil.copytree(session.directory, copy)
    outcome = session.finish()
    assert not outcome.problem
    target = Target(other / "results" / session.target.path.name, session.target.shown)
    target.path.parent.mkdir(exist_ok=True)
    if (backup := other / "before").exists():
        shutil.copytree(backup, target.path.parent, dirs_exist_ok=True)
    from pytest_arena_state.results import marks_of

    replaced = marks_of(target)
    with publish_lock(target):
        token = token_of(session.id)
        publish(target, merge_session(copy, token=token), replaced=replaced, token=token, staging=other / "staging")
    return published(session.target.path.parent), published(target.path.parent)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("old", [False, True], ids=["fresh", "over older results"])
def test_staged_runs_are_what_the_journal_says(tmp_path: Path, form: str, old: bool) -> None:
    path = tmp_path / "one" / form
    path.parent.mkdir()
    if old:
        before = begin(path)
        save(before, "test_a", "b", "again", "another", text="older")
        before.finish()
        shutil.copytree(path.parent, tmp_path / "two" / "before")
    session = begin(path)
    session.tests.recording.ask(None, refuse_a_text)
    session.tests.recording.trouble("something went wrong with code name eagle")
    suite(session)

    staged, merged = finish_both_ways(session, tmp_path / "two")

    assert len(load_results(path)) == 15
    prompts = [run.params["system_prompt"] for run in load_results(path) if run.run_id in ("again", "a")]
    assert prompts == ["of a", "of again", "of again"]
    assert read_index(path).completeness.troubles.keys() == {
        "redaction hook failed: ValueError",
        "something went wrong with [redacted:arena_redact[0]]",
    }
    assert [run.run_id for run in load_results(path) if run.trial_results] == ["B", "a", "con", "again", "../../etc"]
    assert sorted(staged) == sorted(merged)
    for name, content in staged.items():
        assert content == merged[name], name
    assert not any(b"eagle" in content or b"a1B2a1B2" in content for content in staged.values())


@pytest.mark.parametrize("form", FORMS)
def test_a_hook_that_changes_runs_changes_what_is_staged(tmp_path: Path, form: str) -> None:
    def on_run(run: RunResult) -> None:
        run.run_id = f"changed-{run.run_id}"
        run.messages[0].content = "changed"

    (tmp_path / "one").mkdir()
    session = begin(tmp_path / "one" / form, on_run)
    save(session, "test_a", "a")

    staged, merged = finish_both_ways(session, tmp_path / "two")

    assert staged == merged
    (run,) = load_results(tmp_path / "one" / form)
    assert (run.run_id, run.messages[0].content) == ("changed-a", "changed")


def damage_nothing(session: Session) -> None:
    pass


def cut_ledger(session: Session) -> None:
    ledger = session.directory / "main.ledger"
    ledger.write_bytes(ledger.read_bytes()[:-20])


def flip_ledger(session: Session) -> None:
    ledger = session.directory / "main.ledger"
    content = bytearray(ledger.read_bytes())
    content[10] ^= 1
    ledger.write_bytes(content)


def remove_ledger(session: Session) -> None:
    (session.directory / "main.ledger").unlink()


def remove_what_is_staged(session: Session) -> None:
    shutil.rmtree(session.directory / "staged", ignore_errors=True)
    (session.directory / "main.part").unlink(missing_ok=True)


def remove_some_of_it(session: Session) -> None:
    for path in (session.directory / "staged").glob("main/a*"):
        path.unlink()
    if (part := session.directory / "main.part").exists():
        part.write_bytes(part.read_bytes()[:-10])


def add_a_file(session: Session) -> None:
    folder = session.directory / "staged" / "main"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "stranger.json").write_text("{}")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "damage",
    [
        damage_nothing,
        cut_ledger,
        flip_ledger,
        remove_ledger,
        remove_what_is_staged,
        remove_some_of_it,
        add_a_file,
    ],
)
def test_whatever_became_of_it_the_report_has_every_run(
    tmp_path: Path, form: str, damage: Callable[[Session], None]
) -> None:
    path = tmp_path / form
    session = begin(path)
    suite(session)
    session.tests.end()

    damage(session)
    outcome = session.finish()

    assert not outcome.problem
    assert len(load_results(path)) == 15
    assert not (tmp_path / f"{form}.journals").exists()
    assert "stranger.json" not in published(tmp_path / form)


@pytest.mark.parametrize("form", FORMS)
def test_a_process_that_ended_as_it_should_needs_no_journal(tmp_path: Path, form: str) -> None:
    """This is what makes a publication fast."""
    session = begin(tmp_path / form)
    suite(session)
    session.tests.end()

    journal = session.directory / "main.journal.jsonl"
    journal.write_bytes(b"")
    outcome = session.finish()

    assert not outcome.problem
    assert not outcome.merged.lost
    assert len(load_results(tmp_path / form)) == 15


@pytest.mark.parametrize("form", FORMS)
def test_what_cannot_be_staged_is_published_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    from pytest_arena_state import staging

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    session = begin(tmp_path / form)
    save(session, "test_first", "first")
    monkeypatch.setattr(staging, "write_file", refuse)
    suite(session)
    session.tests.end()
    monkeypatch.undo()
    outcome = session.finish()

    assert not outcome.problem
    assert len(load_results(tmp_path / form)) == 16


def test_more_runs_than_are_sorted_in_memory_come_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pytest_arena_state import catalogue

    monkeypatch.setattr(catalogue, "_CHUNK", 4)
    monkeypatch.setattr(catalogue, "_BATCH", 3)
    (tmp_path / "one").mkdir()
    session = begin(tmp_path / "one" / "out")
    suite(session)
    for number in range(30):
        save(session, f"test_more[{number * 7 % 30:02}]", "b" if number % 3 else f"more-{number}")

    staged, merged = finish_both_ways(session, tmp_path / "two")

    assert staged == merged
    nodeids = [run.labels.get("pytest.nodeid", "") for run in load_results(tmp_path / "one" / "out")]
    assert len(nodeids) == 45
    assert nodeids == sorted(nodeids)


# --- what goes wrong in between ------------------------------------------------------------------


def contents_of(runs: Sequence[MergedRun]) -> dict[str, dict[str, Any]]:
    """The reports of a merge, as plain values."""
    with SliceReader() as reader:
        parts = [reader.report(run) for run in runs]
    return {
        before["RunID"]: RunResult.from_json(document.compact(before, messages, after)).to_dict()
        for before, messages, after, _ in parts
    }


def contents(session: Session) -> dict[str, list[str]]:
    """Publish; what each run holds."""
    outcome = session.finish()
    assert not outcome.problem
    return {run.run_id: [message.content for message in run.messages] for run in load_results(session.target.path)}


def test_a_thousand_runs_of_one_name_are_staged_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each needs a file of its own, and must not try the names of all that were there before it."""
    tried: list[str] = []

    def write(path: str, flags: int, content: bytes) -> None:
        tried.append(path)
        write_file(path, flags, content)

    monkeypatch.setattr(staging, "write_file", write)
    session = begin(tmp_path / "out")

    store = session.tests.store_for(session.tests.begin("test_a", "test_a"), {})
    for number in range(1000):
        store.save({"id": f"{number}", "messages": []})
        store.save_metadata(f"{number}", {"run_id": "same"})
    for report in PASSED:
        session.tests.report("test_a", report)

    assert session.finish().problem == ""
    assert len(tried) < 2500
    assert len({name for name in read_index(tmp_path / "out").run_ids if name.startswith("same~")}) == 1000


def test_a_test_that_ended_well_is_known_for_it_though_its_report_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The merge composes the report from the saves, and needs to be told how the test ended."""
    session = begin(tmp_path / "out")

    def fail(*_: object, **__: object) -> None:
        raise MemoryError("as it may happen anywhere")

    with monkeypatch.context() as broken:
        broken.setattr("pytest_arena_state.reporting.fill_in", fail)
        save(session, "test_a", "a", "b")
        session.tests.recording._reporter.write()
    save(session, "test_c", "c")
    session.finish()

    runs = load_results(tmp_path / "out")
    assert {run.run_id: run.labels["pytest.outcome"] for run in runs} == dict.fromkeys("abc", "passed")
    assert [run.error for run in runs] == ["", "", ""]
    (trouble,) = read_index(tmp_path / "out").completeness.troubles
    assert "a report was left to the merge: MemoryError" in trouble


@pytest.mark.parametrize("tests", [1, 20])
def test_whoever_dies_later_takes_no_ended_test_along(tmp_path: Path, tests: int) -> None:
    """Reports wait for each other; how their tests ended does not."""
    session = begin(tmp_path / "out")
    for number in range(tests):
        save(session, f"test_{number}", f"run-{number}", outcome="failed" if number % 2 else "passed")
    save_metadata = session.tests.store_for(session.tests.begin("test_open", "test_open"), {}).save_metadata
    save_metadata("open", {"run_id": "open"})

    died = merge_session(shutil.copytree(session.directory, tmp_path / "left behind"))
    rows = {run.run_id: (run.composed is not None, run.crashed) for run in died.runs}
    copy = contents_of(died.runs)
    session.finish()

    # The last were not reported yet and are composed from their saves; only over the open test did a process die.
    assert sum(composed for composed, _ in rows.values()) == (tests % 16) + 1
    assert [run_id for run_id, (_, crashed) in rows.items() if crashed] == ["open"]
    del copy["open"]
    assert copy == {run.run_id: run.to_dict() for run in load_results(tmp_path / "out") if run.run_id != "open"}


@pytest.mark.parametrize("at_the_end", [True, False])
def test_a_change_that_could_not_be_noted_is_in_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_the_end: bool
) -> None:
    """Near the end of the stack a save may be the store's alone: the next one writes it, or the end of the test."""
    session = begin(tmp_path / "out")
    store = session.tests.store_for(session.tests.begin("test_a", "test_a"), {})
    store.save({"id": "grows", "messages": [{"role": "user", "content": "1"}]})
    store.save({"id": "goes", "messages": [{"role": "user", "content": "gone"}]})

    def fail(self: Recording) -> None:
        raise RecursionError

    with monkeypatch.context() as deep:
        deep.setattr(Recording, "_learn_secrets", fail)
        store.log_append("grows", 1, [{"role": "user", "content": "2"}])
        store.save({"id": "new", "messages": [{"role": "user", "content": "x"}]})
        store.delete("goes")
    if not at_the_end:
        store.log_append("grows", 2, [{"role": "user", "content": "3"}])
    for report in PASSED:
        session.tests.report("test_a", report)

    assert contents(session) == {"grows": ["1", "2"] if at_the_end else ["1", "2", "3"], "new": ["x"]}


def test_messages_that_change_in_any_order_stay_in_theirs(tmp_path: Path) -> None:
    """A history that is given again may fill in its messages in the order in which it recognised them."""
    session = begin(tmp_path / "out")
    store = session.tests.store_for(session.tests.begin("test_a", "test_a"), {})
    store.save({"id": "a", "messages": [{"role": "user", "content": "1"}, {"role": "user", "content": "2"}]})
    store._put("a", [(1, Message(role="user", content="second")), (0, Message(role="user", content="first"))])
    for report in PASSED:
        session.tests.report("test_a", report)

    assert contents(session) == {"a": ["first", "second"]}


# --- a worker on another disk --------------------------------------------------------------------


class LookedUp(dict[int, Any]):
    """Whoever goes through all of it at every save takes quadratic time."""

    def items(self) -> Any:
        raise AssertionError


def test_a_save_goes_through_nothing_that_grows_with_what_was_redacted(tmp_path: Path) -> None:
    session = begin(tmp_path / "out")
    store = session.tests.store_for(session.tests.begin("test_it", "test_it"), {})
    store.log_append("c", 0, [Message(role="user", content="code name tea")])
    recorded = store._on_change
    assert isinstance(recorded, StoreRecording)
    (log,) = recorded.logs.values()
    log.clean = LookedUp(log.clean)

    for number in range(1, 4):
        store.log_append("c", number, [Message(role="user", content="code name tea" if number < 3 else "hello")])

    assert sorted(log.clean) == [0, 1, 2]
    assert not session.tests.recording.troubles
    store.save({"id": "c", "messages": [{"role": "user", "content": "hello"}]})
    assert 0 not in log.clean


class Channel:
    """To a controller that takes everything at once, unless it is told to refuse."""

    def __init__(self, receive: Callable[[object], None]) -> None:
        self._receive = receive
        self.refuses = False

    def send(self, item: object) -> None:
        if self.refuses:
            raise OSError("cannot send (already closed?)")
        self._receive(item)


def begin_far(path: Path, on_run: Callable[[RunResult], None] | None = None) -> tuple[Session, WorkerSession, Channel]:
    session = Session(Target(path, path.name), Settings(redaction=RULES), controls_workers=True)
    channel = Channel(session.receiver("gw0"))
    told = session.for_worker() | {"directory": str(path.parent / "on another disk")}
    return session, WorkerSession(told, "gw0", channel, on_run=on_run, on_text=None), channel


def edits(worker: WorkerSession) -> None:
    """A test that puts messages of many saves into one conversation, changes some and drops others."""
    store = worker.tests.store_for(worker.tests.begin("test_edits", "test_edits"), {})
    messages = [{"role": "user", "content": f"message {number}"} for number in range(6)]
    for length in (2, 5, 6):
        store.save({"id": "edited", "messages": messages[:length]})
    messages[1] = {"role": "user", "content": "another one"}
    store.save({"id": "edited", "messages": messages[:4]})
    store.log_append("edited", 4, [{"role": "assistant", "content": "the last"}])
    store.save_metadata("nothing said", {"run_id": "nothing said"})
    for report in PASSED:
        worker.tests.report("test_edits", report)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("hook", [False, True], ids=["plain", "with a hook"])
def test_a_far_worker_says_where_in_its_journal_the_runs_are(tmp_path: Path, form: str, hook: bool) -> None:
    def on_run(run: RunResult) -> None:
        run.session_tags = ["seen"]
        if run.messages:
            run.messages[-1].content += " and seen"

    (tmp_path / "one").mkdir()
    session, worker, _ = begin_far(tmp_path / "one" / form, on_run if hook else None)
    suite(worker)
    edits(worker)
    for number in range(20):
        save(worker, f"test_more[{number}]", f"more-{number}")
    worker.finish()
    assert merge_session(session.directory, staged_as=session.target.form).ledgers

    by_place, merged = finish_both_ways(session, tmp_path / "two")

    assert sorted(by_place) == sorted(merged)
    for name, content in by_place.items():
        assert content == merged[name], name
    runs = {run.run_id: [message.content for message in run.messages] for run in load_results(tmp_path / "one" / form)}
    end = " and seen" if hook else ""
    assert runs["edited"] == ["message 0", "another one", "message 2", "message 3", f"the last{end}"]
    assert runs["nothing said"] == []


@pytest.mark.parametrize("form", ["out", "out.jsonl"])
def test_nobody_reads_the_journal_of_a_far_worker_that_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """A session would wait for that, run by run, where workers on this disk have done the work before."""
    from pytest_arena_state import merge

    session, worker, _ = begin_far(tmp_path / form)
    suite(worker)
    worker.finish()
    read, read_journal = list[str](), merge.read_journal

    def note(path: Path) -> merge.JournalContents:
        read.append(path.name)
        return read_journal(path)

    monkeypatch.setattr(merge, "read_journal", note)
    outcome = session.finish()

    assert read == ["controller.journal.jsonl"]
    assert len(load_results(tmp_path / form)) == 15
    assert (outcome.merged.workers, outcome.merged.deleted, outcome.merged.lost) == (["gw0"], 1, [])


def cut_far_ledger(session: Session) -> None:
    ledger = session.directory / "gw0.ledger"
    ledger.write_bytes(ledger.read_bytes()[:-20])


def remove_far_ledger(session: Session) -> None:
    (session.directory / "gw0.ledger").unlink()


def repeat_a_line(session: Session) -> None:
    journal = session.directory / "gw0.journal.jsonl"
    first, rest = journal.read_bytes().split(b"\n", 1)
    journal.write_bytes(b"%b\n%b\n%b" % (first, first, rest))


@pytest.mark.parametrize("damage", [cut_far_ledger, remove_far_ledger, repeat_a_line])
def test_the_journal_of_a_far_worker_is_read_where_its_ledger_does_not_fit(
    tmp_path: Path, damage: Callable[[Session], None]
) -> None:
    session, worker, _ = begin_far(tmp_path / "out.jsonl")
    for name in "abc":
        save(worker, f"test_{name}", name, text=f"hello {name}")
    worker.finish()

    damage(session)

    assert contents(session) == {name: [f"hello {name}"] * 2 for name in "abc"}
    assert not read_index(tmp_path / "out.jsonl").completeness.lost


def test_a_far_worker_that_was_refused_once_does_not_say_where_its_runs_are(tmp_path: Path) -> None:
    """What was refused comes later, and then everything is elsewhere."""
    session, worker, channel = begin_far(tmp_path / "out.jsonl")
    save(worker, "test_a", "a")
    channel.refuses = True
    save(worker, "test_b", "b")
    channel.refuses = False
    save(worker, "test_c", "c")
    worker.finish()

    assert not (session.directory / "gw0.ledger").exists()
    assert contents(session) == {name: ["hello", "hello"] for name in "abc"}


# --- after the end of a test ----------------------------------------------------------------------


@pytest.mark.parametrize("form", ["out", "out.jsonl"])
@pytest.mark.parametrize("tests", [0, 20], ids=["before its report is written", "after"])
def test_what_is_changed_after_its_test_is_in_the_report(tmp_path: Path, form: str, tests: int) -> None:
    """By a thread, or by a fixture of wider scope that still has the store."""
    session = begin(tmp_path / form)
    save(session, "test_a", "grows", "goes", "stays")
    store = session.tests.recording
    late = session.tests.store_for(session.tests.begin("test_late", "test_late"), {})
    late.save({"id": "a", "messages": [{"role": "user", "content": "1"}]})
    late.save({"id": "b", "messages": [{"role": "user", "content": "gone"}]})
    late.save({"id": "c", "messages": [{"role": "user", "content": "same"}]})
    for report in PASSED:
        session.tests.report("test_late", report)
    for number in range(tests):
        save(session, f"test_{number}", f"run-{number}")

    late.log_append("a", 1, [{"role": "assistant", "content": "2"}])
    late.save({"id": "new", "messages": [{"role": "user", "content": "x"}]})
    late.delete("b")
    late.save_metadata("c", {"run_id": "c", "labels": {"late": "yes"}})

    found = contents(session)
    assert {name: found.get(name) for name in ("a", "b", "c", "new")} == {
        "a": ["1", "2"],
        "b": None,
        "c": ["same"],
        "new": ["x"],
    }
    assert len(found) == 6 + tests
    assert {run.labels["pytest.outcome"] for run in load_results(session.target.path)} == {"passed"}
    (relabelled,) = [run for run in load_results(session.target.path) if run.run_id == "c"]
    assert relabelled.labels["late"] == "yes"
    assert (store.troubles, store.late) == ({}, 0)


def test_a_hook_sees_what_was_changed_after_the_test(tmp_path: Path) -> None:
    def on_run(run: RunResult) -> None:
        run.messages[-1].content += " and seen"

    session = begin(tmp_path / "out", on_run)
    store = session.tests.store_for(session.tests.begin("test_a", "test_a"), {})
    store.save({"id": "a", "messages": [{"role": "user", "content": "1"}]})
    for report in PASSED:
        session.tests.report("test_a", report)
    store.log_append("a", 1, [{"role": "user", "content": "2"}])

    assert contents(session) == {"a": ["1", "2 and seen"]}


def test_what_is_changed_after_the_session_is_counted(tmp_path: Path) -> None:
    session = begin(tmp_path / "out")
    store = session.tests.session_store
    session.finish()

    store.save({"id": "a", "messages": []})

    assert session.tests.recording.late == 1


# --- what is not ours to swallow -------------------------------------------------------------------


class TimeIsUp(Exception):  # noqa: N818 - as somebody may have named theirs
    """Of a library that limits the time of tests."""


def raise_from_a_signal() -> None:
    def handler(number: int, frame: object) -> None:
        raise TimeoutError("time is up")

    signal.signal(signal.SIGTERM, handler)
    signal.raise_signal(signal.SIGTERM)


def raise_from_a_thread() -> None:
    raise TimeIsUp


def raise_our_own() -> None:
    raise TimeoutError("of the disk")


@pytest.mark.parametrize(
    ("act", "reaches"), [(raise_from_a_signal, True), (raise_from_a_thread, True), (raise_our_own, False)]
)
@pytest.mark.parametrize("place", ["a save", "the end of a test"])
def test_a_time_limit_reaches_the_test_though_it_comes_into_our_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: Callable[[], None], reaches: bool, place: str
) -> None:
    session = begin(tmp_path / "out")
    store = session.tests.store_for(session.tests.begin("test_a", "test_a"), {})
    store.save({"id": "a", "messages": [{"role": "user", "content": "1"}]})
    before = signal.getsignal(signal.SIGTERM)
    try:
        with monkeypatch.context() as cut_short:
            method = "_learn_secrets" if place == "a save" else "_ended_run"
            cut_short.setattr(Recording, method, lambda *_: act())
            with pytest.raises((TimeoutError, TimeIsUp)) if reaches else nullcontext():
                if place == "a save":
                    store.log_append("a", 1, [{"role": "user", "content": "2"}])
                else:
                    session.tests.recording.finish(next(iter(session.tests.recording._stores.values())), None)
    finally:
        signal.signal(signal.SIGTERM, before)
    if place == "a save":
        for report in PASSED:
            session.tests.report("test_a", report)

    assert contents(session) == {"a": ["1", "2"] if place == "a save" else ["1"]}


def test_what_goes_wrong_is_told_without_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", "correct-horse-battery")
    session = begin(tmp_path / "out")

    session.tests.recording.trouble(f"{'x' * 290} correct-horse-battery and the code name eagle")
    session.tests.recording.trouble("not understood: sk-proj-" + "a1B2" * 12)
    outcome = session.finish()

    told = "".join([*outcome.merged.troubles, (tmp_path / "out" / "index.json").read_text(encoding="utf-8")])
    assert "not understood: [redacted:" in told
    assert not any(secret in told for secret in ("correct-h", "eagle", "a1B2a1B2"))


def test_what_the_journal_of_a_worker_did_not_take_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends when its last test has ended, and again when it is stopped."""
    session = Session(Target(tmp_path / "out", "out"), Settings(), controls_workers=True)
    channel = Channel(session.receiver("gw0"))
    worker = WorkerSession(session.for_worker(), "gw0", channel, on_run=None, on_text=None)

    def refuse(*_: object) -> None:
        raise OSError("full")

    with monkeypatch.context() as full:
        full.setattr(JournalFile, "write_line", refuse)
        full.setattr(DiskStager, "_write", refuse)
        edits(worker)
        worker.finish()
        worker.finish("the worker was stopped")
    outcome = session.finish()

    (loss,) = outcome.merged.lost
    assert (loss["what"].rpartition(" of ")[2], loss["why"]) == ("gw0", "full")
    assert outcome.merged.crashed == []


def test_a_time_limit_reaches_the_test_while_reports_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = begin(tmp_path / "out")
    save(session, "test_a", "a", "b")

    def time_is_up(*_: object, **__: object) -> None:
        raise TimeIsUp

    with monkeypatch.context() as cut_short:
        cut_short.setattr("pytest_arena_state.reporting.fill_in", time_is_up)
        with pytest.raises(TimeIsUp):
            session.tests.recording._reporter.write()

    assert contents(session) == {"a": ["hello", "hello"], "b": ["hello", "hello"]}
    assert session.tests.recording.troubles == {}
    assert {run.labels["pytest.outcome"] for run in load_results(tmp_path / "out")} == {"passed"}


def test_a_note_of_what_was_published_removes_nothing_elsewhere(tmp_path: Path) -> None:
    """It lies beside journals, which may be anybody's."""
    (tmp_path / "x.json").write_text("mine", encoding="utf-8")
    session = begin(tmp_path / "out")
    save(session, "test_a", "a")
    session.tests.end()
    left = tmp_path / "out.journals" / session.directory.name
    shutil.copytree(session.directory, tmp_path / "copy")
    session.finish()
    left.parent.mkdir()
    (tmp_path / "copy").rename(left)
    noted = [["test_a", 1, "a", "a", "main", name, None] for name in ("../x", "..", "a/b", 3)]
    (left / "published.json").write_bytes(dumps(noted))

    recover(tmp_path / "out")

    assert (tmp_path / "x.json").read_text(encoding="utf-8") == "mine"
    assert (tmp_path / "out" / "a.json").exists()


# --- what it costs ----------------------------------------------------------------------------------------


def test_reports_do_not_start_the_garbage_collector(tmp_path: Path) -> None:
    """Many runs are composed at once, and are gone right after: a collection each time would find nothing."""
    session = begin(tmp_path / "out.jsonl")
    starts: list[int] = []

    def count(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            starts.append(info["generation"])

    said = [{"role": "assistant", "content": "hello", "cost_info": {"input_tokens": 3}}] * 8
    threshold = gc.get_threshold()
    gc.collect()
    gc.set_threshold(600, 10, 10)  # less than it is by default, as pytest keeps something of each test, too
    gc.callbacks.append(count)
    try:
        for number in range(320):
            nodeid = f"test_{number}"
            session.tests.store_for(session.tests.begin(nodeid, nodeid), {}).save({"id": nodeid, "messages": said})
            for report in PASSED:
                session.tests.report(nodeid, report)
    finally:
        gc.callbacks.remove(count)
        gc.set_threshold(*threshold)
        session.finish()

    assert len(starts) < 320 / 16 / 2
