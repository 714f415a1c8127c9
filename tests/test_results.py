"""Publishing and reading back: whole files at every moment, and nobody's runs lost to somebody else."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_arena_state import ResultsError, RunMetadata, RunResult, index, load_results
from pytest_arena_state import results as results_module
from pytest_arena_state.cli import main
from pytest_arena_state.models import ConversationState
from pytest_arena_state.naming import digest
from pytest_arena_state.recovery import recover
from pytest_arena_state.results import Index, IndexRow, Target, go_duration, publish_lock, read_index
from pytest_arena_state.session import Outcome, Session, Settings
from pytest_arena_state.shards import merge
from pytest_arena_state.summary import summary_lines
from pytest_arena_state.verdict import PhaseReport

FORMS = ("out", "out.jsonl", "out.json", "out.jsonl.gz", "out.jsonl.zst")
LONG_AGO = datetime(2025, 1, 1, tzinfo=UTC)


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text, "timestamp": "2025-01-01T00:00:00Z"}


def begin(path: Path) -> Session:
    """A session of one process, without pytest."""
    return Session(Target(path, path.name), Settings(), controls_workers=False, on_run=None)


def say(session: Session, *ids: str, text: str = "hello", outcome: str = "passed", **metadata: Any) -> None:
    """Run a test that saves conversations."""
    nodeid = f"test_{ids[0][:10]}"
    store = session.tests.store_for(session.tests.begin(nodeid, nodeid), {})
    for name in ids:
        store.save(ConversationState.from_dict({"id": name, "messages": [user(text)]}))
        if metadata:
            store.save_metadata(name, RunMetadata(run_id=name, **metadata))
    session.tests.report(nodeid, PhaseReport(when="call", outcome=outcome, message=outcome))
    session.tests.report(nodeid, PhaseReport(when="teardown", outcome="passed"))


def publish(path: Path, *ids: str, text: str = "hello") -> Outcome:
    """A whole session."""
    session = begin(path)
    for name in ids:
        say(session, name, text=text)
    return session.finish()


def said(path: Path) -> dict[str, str]:
    """The first words of each run, by run id."""
    return {run.run_id: run.messages[0].content for run in load_results(path)}


def index_of(path: Path) -> Index:
    return read_index(path)


def snapshot(directory: Path) -> dict[str, bytes]:
    """Every file of the results, without journals."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and ".journals" not in path.as_posix()
    }


# --- the commit --------------------------------------------------------------------------------


@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_the_index_is_written_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, old: bool) -> None:
    """Whoever reads the index finds every file that it names."""
    if old:
        publish(tmp_path / form, "a")
    moved: list[str] = []

    def noting(name: str) -> Callable[[Path, Path], Path]:
        real = getattr(Path, name)

        def move(path: Path, target: Path) -> Path:
            if target.parent in (tmp_path, tmp_path / form):
                moved.append(target.name)
            moving: Path = real(path, target)
            return moving

        return move

    for name in ("replace", "rename"):
        monkeypatch.setattr(Path, name, noting(name))

    publish(tmp_path / form, "a", "b", "c")

    if form == "out" and not old:
        assert moved == ["out"]  # with everything in it
    else:
        assert moved[-1] == {"out": "index.json", "out.jsonl": "out.index.json", "out.json": "out.json"}.get(
            form, f"{form}.index.json"
        )
        assert len(moved) == {"out": 4, "out.json": 1}.get(form, 2)


@pytest.mark.parametrize("content", [b'{"name": "mine"}', b"notes", b"[1, 2]", b"5", b"\x1f\x8bno gzip", b"\xff\xfe{"])
@pytest.mark.parametrize("form", FORMS)
def test_what_is_no_results_is_renamed_and_named(tmp_path: Path, form: str, content: bytes) -> None:
    """Somebody gave the path of a file of their own, or a directory that has an ``index.json`` of its own."""
    there = tmp_path / form
    strange = [there] if form != "out" else [there / "index.json", there / "a.json"]
    there.mkdir() if form == "out" else None
    for file in strange:
        file.write_bytes(content)

    outcomes = [publish(there, "a"), publish(there, "a", text="again")]

    assert said(there) == {"a": "again"}
    assert [dict(outcome.merged.troubles) for outcome in outcomes] == [
        {f"{file.name} held no results, and is {file.name}.before now": 1 for file in strange},
        {},
    ]
    for file in strange:
        assert file.with_name(f"{file.name}.before").read_bytes() == content


def test_what_is_renamed_takes_no_name_that_there_is(tmp_path: Path) -> None:
    for content in ("one", "two", "three"):
        (tmp_path / "out.json").write_text(content, encoding="utf-8")
        publish(tmp_path / "out.json", "a")

    assert [(tmp_path / f"out.json.before{end}").read_text(encoding="utf-8") for end in ("", "1", "2")] == [
        "one",
        "two",
        "three",
    ]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("left", [0.0, 0.5])
def test_results_that_are_cut_off_are_replaced(tmp_path: Path, form: str, left: float) -> None:
    """A disk was full, or somebody emptied the file: nothing in it is anybody else's."""
    if left and form.endswith(("gz", "zst")):
        pytest.skip("what can be unpacked of so few bytes is chance")
    there = tmp_path / form
    publish(there, "a", "b")
    for file in [there] if form != "out" else [there / "index.json", there / "a.json"]:
        content = file.read_bytes()
        file.write_bytes(content[: int(len(content) * left)])

    outcome = publish(there, "a", "b", text="again")

    assert said(there) == {"a": "again", "b": "again"}
    assert not outcome.merged.troubles
    assert not list(tmp_path.rglob("*.before"))


def disk_with_room_for(files: int, written: list[Path]) -> Callable[..., Any]:
    """A `Path.open` that notes what it wrote, on a disk that is full after so many files."""
    real = Path.open

    def opened(path: Path, mode: str = "r", *args: Any, **keywords: Any) -> Any:
        if "w" in mode:
            if len(written) >= files:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            written.append(path)
        return real(path, mode, *args, **keywords)

    return opened


def without_staging(session: Session) -> Session:
    """The runs of this session are merged from its journal."""
    session.tests.recording._reporter._stager = None
    return session


@pytest.mark.parametrize("staged", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_a_disk_that_is_full_leaves_the_old_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, staged: bool
) -> None:
    """Wherever in the publication it gets full."""
    publish(tmp_path / form, "a", "b", text="old")
    before = snapshot(tmp_path)
    session = begin(tmp_path / form) if staged else without_staging(begin(tmp_path / form))
    for name in ("a", "b", "c"):
        say(session, name, text="new")

    for room in range(20):
        written: list[Path] = []
        monkeypatch.setattr(Path, "open", disk_with_room_for(room, written))
        outcome = session.finish()
        monkeypatch.undo()
        if outcome.totals is not None:
            break
        assert os.strerror(errno.ENOSPC) in outcome.problem
        assert snapshot(tmp_path) == before
        session.outcome = None  # as if another one recovered it
    else:
        pytest.fail("it never succeeded")

    assert said(tmp_path / form) == {"a": "new", "b": "new", "c": "new"}
    assert room == ((1 if staged else 4) if form == "out" else 2)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no file that is always full")
def test_a_disk_that_is_full_leaves_no_file_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that Python closes by itself, and cannot, is a warning; with `-W error` it fails the session."""
    opened: list[IO[bytes]] = []

    def open_full(**_: object) -> IO[bytes]:
        opened.append(open("/dev/full", "w+b"))  # noqa: PTH123, SIM115 - closed by whom it is for
        return opened[-1]

    monkeypatch.setattr(index, "TemporaryFile", open_full)

    with index.IndexBuilder(tmp_path, lines=True) as builder:
        builder.add("run", IndexRow(run_id="run").to_dict())

    assert [file.closed for file in opened] == [True, True]


@pytest.mark.parametrize("form", FORMS)
def test_a_failed_publication_keeps_the_journals_and_says_where(tmp_path: Path, form: str) -> None:
    session = begin(tmp_path / form)
    say(session, "a")
    in_the_way = Target(tmp_path / form, form).index_path / "in the way"
    in_the_way.mkdir(parents=True)

    outcome = session.finish()

    assert outcome.totals is None
    assert Path(outcome.problem.split(": ")[0]).is_relative_to(tmp_path)
    assert list(Path(outcome.kept).glob("*.jsonl"))


@pytest.mark.parametrize(("fails", "said"), [("merge_session", ""), ("results.publish", "; 2 runs kept")])
def test_how_many_runs_are_kept_is_said_where_it_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str, said: str
) -> None:
    """Whatever a test left in place of something that the publication needs."""
    session = begin(tmp_path / "out")
    say(session, "a", "b")

    def fail(*_: object, **__: object) -> None:
        raise KeyError("boom")

    with monkeypatch.context() as patch:
        patch.setattr(f"pytest_arena_state.session.{fails}", fail)
        session.finish()

    first, *_, last = summary_lines(session)
    assert first == f"arena: no results: 'boom'{said}{', 0 lost' if said else ''} -> {session.directory}"
    assert last.endswith(f"arena-state recover {session.directory}")
    assert main(["recover", str(session.directory)]) == 0
    assert len(load_results(tmp_path / "out")) == 2


def test_results_that_are_there_do_not_depend_on_what_is_removed_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path / "out", "old")
    session = begin(tmp_path / "out")
    say(session, "new")

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("pytest_arena_state.session.rmtree", fail)
    monkeypatch.setattr("pytest_arena_state.results._DirectoryWriter.remove", fail)
    session.finish()

    first, trouble = summary_lines(session)
    assert first.startswith("arena: 1 run (1 passed)")
    assert trouble == f"arena: {session.directory}: its runs are published, and it cannot be removed"
    assert said(tmp_path / "out") == {"new": "hello"}


@pytest.mark.parametrize("form", FORMS)
def test_publishing_leaves_nothing_but_the_results(tmp_path: Path, form: str) -> None:
    publish(tmp_path / form, "a", "b")

    expected = {
        "out": {"out/a.json", "out/b.json", "out/index.json"},
        "out.jsonl": {"out.jsonl", "out.index.json"},
        "out.jsonl.gz": {"out.jsonl.gz", "out.jsonl.gz.index.json"},
        "out.jsonl.zst": {"out.jsonl.zst", "out.jsonl.zst.index.json"},
        "out.json": {"out.json"},
    }[form]
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()} == expected
    assert not list(tmp_path.glob("*.journals"))


@pytest.mark.parametrize("form", FORMS)
def test_the_end_of_a_session_can_be_called_again(tmp_path: Path, form: str) -> None:
    """By a second hook, if the first one did not get so far."""
    session = begin(tmp_path / form)
    say(session, "a")

    first = session.finish()
    before = snapshot(tmp_path)

    assert session.finish() is first
    assert snapshot(tmp_path) == before


# --- sessions side by side -----------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_a_session_replaces_exactly_what_was_there_when_it_began(tmp_path: Path, form: str) -> None:
    publish(tmp_path / form, "old", "again", text="old")

    publish(tmp_path / form, "again", "new", text="new")

    assert said(tmp_path / form) == {"again": "new", "new": "new"}


@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_gone_before_the_new_results_are_there(tmp_path: Path, form: str) -> None:
    publish(tmp_path / form, "old")
    before = snapshot(tmp_path)

    session = begin(tmp_path / form)
    say(session, "new")

    assert snapshot(tmp_path) == before
    session.finish()
    assert list(said(tmp_path / form)) == ["new"]


@pytest.mark.parametrize("form", FORMS)
def test_sessions_at_once_keep_each_others_runs(tmp_path: Path, form: str) -> None:
    publish(tmp_path / form, "old")
    one, other = begin(tmp_path / form), begin(tmp_path / form)
    say(one, "a", text="one")
    say(other, "b", text="other")

    one.finish()
    other.finish()

    assert said(tmp_path / form) == {"a": "one", "b": "other"}
    assert index_of(tmp_path / form).completeness.sessions == 2


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("earlier", [(), ("same", "old")])
@pytest.mark.parametrize(
    "times",
    [
        {},
        {"start_time": LONG_AGO, "end_time": LONG_AGO},
        {"start_time": LONG_AGO, "end_time": LONG_AGO + timedelta(microseconds=172)},
    ],
    ids=["", "no-time-passes", "as-much-time-passes"],
)
def test_sessions_at_once_with_the_same_ids_keep_each_others_runs(
    tmp_path: Path, form: str, earlier: tuple[str, ...], times: dict[str, Any]
) -> None:
    """The same suite, started twice: also where both found the results of an earlier run."""
    before = begin(tmp_path / form)
    for name in earlier:
        say(before, name, text="old", **times)
    before.finish()
    one, other = begin(tmp_path / form), begin(tmp_path / form)
    say(one, "same", text="one", **times)
    say(other, "same", text="other", **times)

    first = one.finish()
    second = other.finish()

    assert sorted(run.messages[0].content for run in load_results(tmp_path / form)) == ["one", "other"]
    assert [run.run_id for run in load_results(tmp_path / form)] == ["same", "same"]
    stems = index_of(tmp_path / form).run_ids
    assert stems[0] == "same"
    assert stems[1].startswith("same~")
    assert first.totals is not None
    assert second.totals is not None
    assert second.totals.runs == 1


@pytest.mark.parametrize("form", FORMS)
def test_a_later_session_replaces_all_that_came_before(tmp_path: Path, form: str) -> None:
    one, other = begin(tmp_path / form), begin(tmp_path / form)
    say(one, "same", text="one")
    say(other, "same", text="other")
    one.finish()
    other.finish()

    publish(tmp_path / form, "new")

    assert list(said(tmp_path / form)) == ["new"]
    assert len(snapshot(tmp_path)) == (1 if form == "out.json" else 2)
    assert index_of(tmp_path / form).completeness.sessions == 1


@pytest.mark.parametrize("form", FORMS)
def test_many_sessions_at_once_lose_nothing(tmp_path: Path, form: str) -> None:
    sessions = [begin(tmp_path / form) for _ in range(8)]
    for number, session in enumerate(sessions):
        say(session, "same", f"own-{number}", text=str(number))
    threads = [threading.Thread(target=session.finish) for session in sessions]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    runs = load_results(tmp_path / form)
    assert sorted(run.messages[0].content for run in runs if run.run_id == "same") == [str(n) for n in range(8)]
    assert sorted(run.run_id for run in runs if run.run_id != "same") == [f"own-{n}" for n in range(8)]
    assert not list(tmp_path.glob("*.journals"))


@pytest.mark.parametrize("form", FORMS)
def test_an_id_that_looks_like_the_name_of_another_run_takes_nobodys_file(tmp_path: Path, form: str) -> None:
    """Run ids are untrusted, and what tells runs of one id apart can be computed by anybody."""
    session = begin(tmp_path / form)
    first = f"same~{digest('test_a', 1, 'one')}"
    second = f"same~{digest('same', 'test_a', 1, 'one')}"
    ids = {"one": "same", "two": "same", "three": first, "four": second, "five": f"{second}~{digest(second)}"}
    store = session.tests.store_for(session.tests.begin("test_a", "test_a"), {})
    for name, run_id in ids.items():
        store.save(ConversationState.from_dict({"id": name, "messages": [user(name)]}))
        store.save_metadata(name, RunMetadata(run_id=run_id))
    session.tests.report("test_a", PhaseReport(when="call", outcome="passed"))
    session.tests.report("test_a", PhaseReport(when="teardown", outcome="passed"))

    session.finish()

    runs = load_results(tmp_path / form)
    assert sorted((run.messages[0].content, run.run_id) for run in runs) == sorted(ids.items())
    stems = index_of(tmp_path / form).run_ids
    assert len({stem.lower() for stem in stems}) == len(ids)


@pytest.mark.parametrize("form", FORMS)
def test_identical_bytes_are_one_run(tmp_path: Path, form: str) -> None:
    """A run that is published twice, because its process died in between, is there once."""
    moment = datetime(2025, 1, 1, tzinfo=UTC)
    one, other = begin(tmp_path / form), begin(tmp_path / form)
    for session in (one, other):
        say(session, "same", start_time=moment, end_time=moment, duration=timedelta(seconds=1))
        say(session, "other", text=session.id)

    one.finish()
    other.finish()

    assert [run.run_id for run in load_results(tmp_path / form)] == ["other", "other", "same"]
    assert index_of(tmp_path / form).total_runs == 3


@pytest.mark.parametrize("form", FORMS)
def test_a_session_that_is_recovered_twice_is_there_once(tmp_path: Path, form: str) -> None:
    """Whoever recovers it may be killed before its journals are gone; and its name may be another session's already."""
    dead = begin(tmp_path / form)
    say(dead, "same", text="of the dead")
    shutil.copytree(tmp_path / f"{form}.journals", tmp_path / "one")
    shutil.copytree(tmp_path / f"{form}.journals", tmp_path / "two")
    publish(tmp_path / form, "same", text="of another")

    for copy in ("one", "two"):
        recover(tmp_path / copy / dead.id, output=tmp_path / form)

    assert sorted(run.messages[0].content for run in load_results(tmp_path / form)) == ["of another", "of the dead"]
    assert index_of(tmp_path / form).total_runs == 2
    assert merge([tmp_path / form], tmp_path / "merged").problems == []


@pytest.mark.parametrize("form", FORMS)
def test_a_merge_into_its_own_input_loses_nothing_that_came_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """What is merged was read before, without the lock: a session would wait for it too long."""
    publish(tmp_path / form, "old")
    publish(tmp_path / "more", "more")
    session = begin(tmp_path / form)
    lock = results_module.publish_lock

    def late(target: Target) -> Any:
        monkeypatch.setattr(results_module, "publish_lock", lock)
        say(session, "new")
        session.finish()
        return lock(target)

    monkeypatch.setattr(results_module, "publish_lock", late)

    with pytest.raises(ResultsError, match="somebody has published there since it was read: merge again"):
        merge([tmp_path / form, tmp_path / "more"], tmp_path / form)

    assert sorted(said(tmp_path / form)) == ["new"]
    merge([tmp_path / form, tmp_path / "more"], tmp_path / form)
    assert sorted(said(tmp_path / form)) == ["more", "new"]


# --- what others wrote ---------------------------------------------------------------------------


def write_arena(directory: Path, *ids: str) -> None:
    """What Arena itself leaves: an index without rows, and a file for each run."""
    directory.mkdir()
    for name in ids:
        run = RunResult.from_dict({"RunID": name, "Messages": [user("of Arena")], "ScenarioID": "s"})
        (directory / f"{name}.json").write_text(run.to_json(indent=2), encoding="utf-8")
    index = {
        "total_runs": len(ids),
        "successful": len(ids),
        "errors": 0,
        "timestamp": "2025-01-01T00:00:00Z",
        "config_file": "arena.yaml",
        "run_ids": list(ids),
        "total_cost": 0.5,
        "average_cost": 0.25,
        "total_tokens": 10,
        "total_duration": "1.5s",
    }
    (directory / "index.json").write_text(json.dumps(index), encoding="utf-8")


def test_what_arena_wrote_reads_back(tmp_path: Path) -> None:
    write_arena(tmp_path / "out", "one", "two")

    assert said(tmp_path / "out") == {"one": "of Arena", "two": "of Arena"}
    index = index_of(tmp_path / "out")
    assert (index.total_runs, index.total_cost, index.total_duration) == (2, 0.5, "1.5s")
    assert index.format_version == 0


def test_what_arena_wrote_is_kept(tmp_path: Path) -> None:
    """It is not ours to replace."""
    write_arena(tmp_path / "out", "one", "two")
    of_arena = (tmp_path / "out" / "one.json").read_bytes()

    publish(tmp_path / "out", "ours", "two")

    assert sorted(run.run_id for run in load_results(tmp_path / "out")) == ["one", "ours", "two", "two"]
    assert (tmp_path / "out" / "one.json").read_bytes() == of_arena
    assert index_of(tmp_path / "out").config_file == "arena.yaml"
    assert index_of(tmp_path / "out").total_runs == 4


def test_the_labels_of_a_stranger_end_no_publication(tmp_path: Path) -> None:
    """A label that looks like ours may hold more digits than Python makes a number of."""
    write_arena(tmp_path / "out", "one")
    file = tmp_path / "out" / "one.json"
    run = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**run, "Labels": {"pytest.attempt": "9" * 5000}}), encoding="utf-8")

    outcome = publish(tmp_path / "out", "ours")

    assert outcome.problem == ""
    assert sorted(said(tmp_path / "out")) == ["one", "ours"]


@pytest.mark.parametrize("ours", [False, True])
def test_the_index_of_a_stranger_leads_nowhere(tmp_path: Path, ours: bool) -> None:
    """It may have come with somebody's pull request: nothing outside is read, written or removed."""
    private = tmp_path / "private.json"
    private.write_text(RunResult(run_id="private").to_json(), encoding="utf-8")
    out = tmp_path / "out"
    out.mkdir()
    index: dict[str, Any] = {"run_ids": ["../private", "..", "", "a/../../private", str(tmp_path / "private"), "a\0b"]}
    if ours:
        index["format_version"] = 1
        index["runs"] = [{"run_id": "x", "file": f"{stem}.json", "labels": {}} for stem in index["run_ids"]]
    (out / "index.json").write_text(json.dumps(index), encoding="utf-8")

    with pytest.raises(ResultsError, match="cannot be the name of a run's file"):
        list(load_results(out))
    outcome = publish(out, "a")

    assert outcome.problem == ""
    assert private.exists()
    assert list(said(out)) == ["a"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"run_ids": 3}', b"\xff\xfe", b"[" * 100_000])
def test_an_index_that_is_none_is_replaced(tmp_path: Path, form: str, content: bytes) -> None:
    target = Target(tmp_path / form, form)
    target.index_path.parent.mkdir(exist_ok=True)
    target.index_path.write_bytes(content)

    outcome = publish(tmp_path / form, "a")

    assert outcome.problem == ""
    assert list(said(tmp_path / form)) == ["a"]


def test_other_files_in_the_directory_stay(tmp_path: Path) -> None:
    publish(tmp_path / "out", "a")
    (tmp_path / "out" / "notes.json").write_text("{}", encoding="utf-8")

    publish(tmp_path / "out", "b")

    assert sorted(snapshot(tmp_path / "out")) == ["b.json", "index.json", "notes.json"]


# --- the index ------------------------------------------------------------------------------------


def test_the_index_adds_up(tmp_path: Path) -> None:
    session = begin(tmp_path / "out")
    cost = {"input_tokens": 10, "output_tokens": 5, "cached_tokens": 3, "total_cost_usd": 0.25}
    store = session.tests.store_for(session.tests.begin("t", "t"), {})
    for name in ("a", "b"):
        message = {"role": "assistant", "content": "hi", "cost_info": cost}
        store.save(ConversationState.from_dict({"id": name, "messages": [message]}))
        store.save_metadata(
            name,
            RunMetadata(run_id=name, provider_id=f"p-{name}", scenario_id="s", region="eu", prompt_pack=f"pack-{name}"),
        )
    session.tests.report("t", PhaseReport(when="call", outcome="passed"))
    session.tests.report("t", PhaseReport(when="teardown", outcome="passed"))
    say(session, "failed", outcome="failed")
    say(session, "skipped", outcome="skipped")
    session.finish()

    index = index_of(tmp_path / "out")

    assert (index.total_runs, index.successful, index.errors, index.skipped) == (4, 2, 1, 1)
    assert (index.total_cost, index.average_cost) == (0.5, 0.125)
    assert (index.total_tokens, index.cached_tokens) == (30, 6)
    assert index.providers == ["p-a", "p-b", "unknown"]
    assert index.scenarios == ["s", "test_failed", "test_skipped"]
    assert (index.regions, index.prompt_packs) == (["eu"], ["pack-a", "pack-b"])
    assert index.timestamp == max(run.end_time for run in load_results(tmp_path / "out") if run.end_time)
    assert [row.file for row in index.runs] == [f"{stem}.json" for stem in index.run_ids]
    assert index.run_ids == ["a", "b", "failed", "skipped"]


def test_the_index_has_a_line_for_each_run(tmp_path: Path) -> None:
    publish(tmp_path / "out", "a", "b", "c")

    lines = (tmp_path / "out" / "index.json").read_text(encoding="utf-8").splitlines()

    assert sum(line.lstrip().startswith('{"run_id":') for line in lines) == 3


def test_a_row_of_the_index_has_the_keys_that_are_promised(tmp_path: Path) -> None:
    publish(tmp_path / "out", "a")

    document = json.loads((tmp_path / "out" / "index.json").read_bytes())

    assert list(document["runs"][0]) == [
        "run_id",
        "file",
        "status",
        "superseded",
        "scenario_id",
        "provider_id",
        "region",
        "cost_usd",
        "input_tokens",
        "output_tokens",
        "cached_tokens",
        "duration_ns",
        "labels",
    ]
    assert sorted(document["completeness"]) == [
        "crashed",
        "deleted",
        "interrupted",
        "lost",
        "redacted",
        "sessions",
        "troubles",
        "workers",
    ]


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_500, "1.5\u00b5s"),
        (2_000_000, "2ms"),
        (999_999_999, "999.999999ms"),
        (1_000_000_000, "1s"),
        (22_750_000_000, "22.75s"),
        (60_000_000_000, "1m0s"),
        (3_602_000_000_000, "1h0m2s"),
        (90_061_000_000_001, "25h1m1.000000001s"),
        (-1_500_000_000, "-1.5s"),
        (2**63 - 1, "2562047h47m16.854775807s"),
    ],
)
def test_a_duration_is_written_as_go_writes_it(nanoseconds: int, text: str) -> None:
    assert go_duration(nanoseconds) == text


@given(st.integers(0, 2**62))
def test_a_duration_says_every_nanosecond(nanoseconds: int) -> None:
    units = {"h": 3_600 * 10**9, "m": 60 * 10**9, "s": 10**9, "ms": 10**6, "\u00b5s": 10**3, "ns": 1}
    total, number, unit = 0, "", ""
    for character in go_duration(nanoseconds) + "0":
        if character in "0123456789." and unit:
            whole, _, part = number.partition(".")
            total += int(whole) * units[unit] + int(part or "0") * units[unit] // 10 ** len(part)
            number, unit = "", ""
        if character in "0123456789.":
            number += character
        else:
            unit += character

    assert total == nanoseconds


# --- targets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "form", "index", "shown"),
    [
        ("out", "directory", "out/index.json", "out/index.json"),
        ("out/", "directory", "out/index.json", "out/index.json"),
        ("out.d", "directory", "out.d/index.json", "out.d/index.json"),
        ("a/out.jsonl", "jsonl", "a/out.index.json", "a/out.index.json"),
        ("a/out.jsonl.gz", "jsonl", "a/out.jsonl.gz.index.json", "a/out.jsonl.gz.index.json"),
        ("a/out.jsonl.zst", "jsonl", "a/out.jsonl.zst.index.json", "a/out.jsonl.zst.index.json"),
        ("a/out.json", "json", "a/out.json", "a/out.json"),
    ],
)
def test_the_ending_of_a_path_says_the_form(tmp_path: Path, path: str, form: str, index: str, shown: str) -> None:
    target = Target(tmp_path / path, path)

    assert target.form == form
    assert target.index_path == tmp_path / index
    assert target.shown_index == shown
    assert target.journals.parent == target.path.parent


def test_the_lock_leaves_nothing_behind(tmp_path: Path) -> None:
    with publish_lock(Target(tmp_path / "out", "out")):
        pass

    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_is_not_given_back_is_no_reason_to_wait_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = begin(tmp_path / "out")
    say(session, "a")
    monkeypatch.setattr(results_module, "_LOCK_TIMEOUT", 0.1)

    with publish_lock(session.target):
        outcomes: list[Outcome] = []
        thread = threading.Thread(target=lambda: outcomes.append(session.finish()))
        thread.start()
        thread.join(10)

    assert "is locked by another session" in outcomes[0].problem
    assert Path(outcomes[0].kept).is_dir()


@pytest.mark.skipif(os.name == "nt", reason="links are for administrators there")
def test_a_lock_that_cannot_be_made_is_no_reason_to_try_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = begin(tmp_path / "out")
    say(session, "a")
    monkeypatch.setattr(results_module, "_LOCK_TIMEOUT", 0.1)
    (session.target.journals / "publish.lock").symlink_to(tmp_path / "nowhere" / "lock")

    assert "publish.lock" in session.finish().problem


# --- reading back ------------------------------------------------------------------------------------


def test_a_directory_without_an_index_is_read_file_by_file(tmp_path: Path) -> None:
    publish(tmp_path / "out", "b", "a")
    (tmp_path / "out" / "index.json").unlink()

    assert [run.run_id for run in load_results(tmp_path / "out")] == ["a", "b"]


def test_the_file_of_one_run_reads_back(tmp_path: Path) -> None:
    publish(tmp_path / "out", "a")

    (run,) = load_results(tmp_path / "out" / "a.json")

    assert run.run_id == "a"


@pytest.mark.parametrize("form", FORMS)
def test_a_run_reads_back_as_the_same_bytes(tmp_path: Path, form: str) -> None:
    publish(tmp_path / form, "a", "b")

    for run in load_results(tmp_path / form):
        again = RunResult.from_json(run.to_json())
        assert again == run
        assert again.to_json() == run.to_json()
        if form == "out":
            written = json.loads((tmp_path / "out" / f"{run.run_id}.json").read_bytes())
            assert json.loads(run.to_json()) == written
            assert list(json.loads(run.to_json())) == list(written)


NOT_RESULTS: list[tuple[str, Callable[[Path], object], str]] = [
    ("missing.json", lambda path: None, "missing.json"),
    ("broken.json", lambda path: path.write_text("{"), "not JSON"),
    ("text.json", lambda path: path.write_text('{"RunID": 3}'), "not a RunResult: RunID"),
    ("some.jsonl", lambda path: path.write_text('{"RunID": "a"}\n\n{\n'), "some.jsonl:3"),
    ("log.jsonl", lambda path: path.write_text('{"level": "info", "text": "up"}\n'), "log.jsonl:1: .*'level', 'text'"),
    ("many.json", lambda path: path.write_text('{"index": {}, "runs": [{}, {"RunID": 1}]}'), "run 1"),
]


@pytest.mark.parametrize(("name", "make", "named"), NOT_RESULTS, ids=[name for name, _, _ in NOT_RESULTS])
def test_what_is_no_result_is_named(tmp_path: Path, name: str, make: Callable[[Path], object], named: str) -> None:
    make(tmp_path / name)

    with pytest.raises(OSError, match=named) as caught:
        list(load_results(tmp_path / name))

    assert name in str(caught.value)


def test_a_run_that_the_index_names_and_that_is_gone_is_an_error(tmp_path: Path) -> None:
    publish(tmp_path / "out", "a", "b")
    (tmp_path / "out" / "a.json").unlink()

    with pytest.raises(FileNotFoundError, match=r"a\.json"):
        list(load_results(tmp_path / "out"))


@pytest.mark.parametrize(("content", "named"), [("{", "not JSON"), ("[1]", "not an index"), ("{}", "'run_ids'")])
def test_what_is_no_index_is_named(tmp_path: Path, content: str, named: str) -> None:
    (tmp_path / "index.json").write_text(content, encoding="utf-8")

    with pytest.raises(ResultsError, match=named) as caught:
        read_index(tmp_path)

    assert "index.json" in str(caught.value)


# --- other disks, and links --------------------------------------------------------------------


@pytest.fixture
def other_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that nothing can be moved into from outside."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def within(name: str) -> Callable[[Path, Path], Path]:
        real = getattr(Path, name)

        def move(path: Path, target: Path) -> Path:
            ends = {Path(os.path.realpath(each.parent)).is_relative_to(disk) for each in (path, target)}
            if len(ends) > 1:
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(path))
            moved: Path = real(path, target)
            return moved

        return move

    for name in ("replace", "rename"):
        monkeypatch.setattr(Path, name, within(name))
    return disk


def link(path: Path, to: Path) -> None:
    try:
        path.symlink_to(to)
    except OSError:
        pytest.skip("this system makes no links")


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_results_where_a_link_leads_are_published_there(
    tmp_path: Path, other_disk: Path, form: str, there: bool
) -> None:
    """Onto another disk, too, and where nothing is yet."""
    place = other_disk / "below" / form
    if there:
        place.parent.mkdir()
        place.mkdir() if form == "out" else place.touch()
    link(tmp_path / form, place)

    for words in ("first", "second"):
        assert publish(tmp_path / form, "a", "b", text=words).problem == ""
        assert said(tmp_path / form) == {"a": words, "b": words}
        assert index_of(tmp_path / form).run_ids == ["a", "b"]

    assert (tmp_path / form).is_symlink()
    assert said(place) == {"a": "second", "b": "second"}
    of_runs = {"a.json", "b.json", "index.json"} if form == "out" else set()
    assert {path.name for path in place.parent.rglob("*")} == {form} | of_runs
    assert not list(tmp_path.glob("*.journals"))


def test_journals_on_another_disk_than_the_results_are_published(tmp_path: Path, other_disk: Path) -> None:
    link(tmp_path / "out.journals", other_disk)

    assert publish(tmp_path / "out", "a", "b").problem == ""

    assert said(tmp_path / "out") == {"a": "hello", "b": "hello"}
    assert index_of(tmp_path / "out").run_ids == ["a", "b"]


@pytest.mark.parametrize("form", FORMS)
def test_another_disk_that_is_full_leaves_the_old_results(
    tmp_path: Path, other_disk: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    place = other_disk / form
    if form == "out":
        place.mkdir()
    link(tmp_path / form, place)
    publish(tmp_path / form, "a", "b", text="old")
    before = snapshot(tmp_path)
    session = begin(tmp_path / form)
    say(session, "a", "b", text="new")
    room = 0

    def copy(file: Path, draft: Path) -> None:
        nonlocal room
        room -= 1
        draft.write_bytes(b"{" if room < 0 else file.read_bytes())
        if room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(draft))

    monkeypatch.setattr("shutil.copyfile", copy)
    for files in range(5):
        room = files
        outcome = session.finish()
        if outcome.totals is not None:
            break
        assert os.strerror(errno.ENOSPC) in outcome.problem
        assert snapshot(tmp_path) == before
        session.outcome = None

    assert files == {"out": 3, "out.json": 1}.get(form, 2)
    assert said(tmp_path / form) == {"a": "new", "b": "new"}


@pytest.mark.parametrize("form", FORMS)
def test_sessions_are_recovered_and_merged_onto_another_disk(tmp_path: Path, other_disk: Path, form: str) -> None:
    session = begin(tmp_path / form)
    say(session, "a")
    session.tests.recording.writer.abandon()
    session._held.release()
    for name in (form, f"merged-{form}"):
        if form == "out":
            (other_disk / name).mkdir()
        link(tmp_path / name, other_disk / name)

    recover(tmp_path / form)
    merge([tmp_path / form], tmp_path / f"merged-{form}")

    for name in (form, f"merged-{form}"):
        assert said(other_disk / name) == {"a": "hello"}
        assert index_of(tmp_path / name).run_ids == ["a"]


# --- sessions that died ---------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_a_session_that_finds_a_dead_one_recovers_its_runs(tmp_path: Path, form: str) -> None:
    dead = begin(tmp_path / form)
    say(dead, "same", "of the dead", text="dead")
    dead.tests.recording.writer.abandon()
    dead._held.release()
    living = begin(tmp_path / form)
    say(living, "same", text="living")

    outcome = living.finish()

    assert outcome.recovered_sessions == 1
    assert outcome.merged.recovered == 2
    runs = load_results(tmp_path / form)
    assert sorted((run.run_id, run.messages[0].content) for run in runs) == [
        ("of the dead", "dead"),
        ("same", "dead"),
        ("same", "living"),
    ]
    stems = dict(zip(index_of(tmp_path / form).run_ids, runs, strict=True))
    assert stems["same"].messages[0].content == "living"
    assert not list(tmp_path.glob("*.journals"))


@pytest.mark.parametrize("form", FORMS)
def test_all_sessions_that_died_are_recovered_and_those_that_live_are_left_alone(tmp_path: Path, form: str) -> None:
    dead, living = [begin(tmp_path / form) for _ in range(2)], begin(tmp_path / form)
    for number, session in enumerate(dead):
        say(session, f"of the dead {number}")
        session.tests.recording.writer.abandon()
        session._held.release()
    say(living, "living")

    recovery = recover(tmp_path / form)

    assert (recovery.sessions, recovery.alive) == (2, 1)
    assert sorted(said(tmp_path / form)) == ["of the dead 0", "of the dead 1"]
    assert index_of(tmp_path / form).completeness.sessions == 2
    living.finish()
    assert sorted(said(tmp_path / form)) == ["living", "of the dead 0", "of the dead 1"]
    assert index_of(tmp_path / form).completeness.sessions == 3


@pytest.mark.parametrize("form", FORMS)
def test_what_a_full_disk_did_not_take_is_lost_and_nobody_died(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """It takes neither journal nor results. Who makes the report later says what the session said."""
    session = begin(tmp_path / form)
    say(session, "before")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr("pytest_arena_state.journal.JournalFile.write_line", refuse)
        full.setattr("pytest_arena_state.staging.DiskStager._write", refuse)
        full.setattr("pytest_arena_state.results.publish", refuse)
        say(session, "after")
        first = session.finish()
    recovery = recover(tmp_path / form)

    (loss,) = first.merged.lost
    assert loss["why"] == os.strerror(errno.ENOSPC)
    assert re.fullmatch(r"\d+ records of main", loss["what"])
    completeness = index_of(tmp_path / form).completeness
    assert [entry.to_dict() for entry in completeness.lost] == recovery.merged.lost == [loss]
    assert (completeness.crashed, first.merged.crashed) == (0, [])
    (run,) = load_results(tmp_path / form)
    assert (run.run_id, run.labels["pytest.outcome"]) == ("before", "passed")


@pytest.mark.skipif(os.name == "nt", reason="this system lets nobody remove an open file")
def test_journals_that_somebody_replaced_go_where_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    tmp_path.joinpath("temporary").mkdir()
    session = begin(tmp_path / "out")
    say(session, "before")
    shutil.rmtree(tmp_path / "out.journals")
    (tmp_path / "out.journals").touch()
    say(session, "after")

    session.finish()
    first, last = summary_lines(session)
    kept = last.removesuffix(" -o OUT").rpartition(" ")[2]
    recover(kept, output=tmp_path / "elsewhere")

    assert "File exists; 2 runs kept, 0 lost -> " in first
    assert last.endswith(" -o OUT")
    assert said(tmp_path / "elsewhere") == {"after": "hello", "before": "hello"}
    assert not list(tmp_path.glob("temporary/*"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("by_next", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_what_a_child_saved_after_the_publication_replaces_what_was_published(
    tmp_path: Path, form: str, by_next: bool
) -> None:
    publish(tmp_path / form, "of before")
    session = begin(tmp_path / form)
    session._replaced = {}
    next_one = begin(tmp_path / form)
    say(session, "other")
    store = session.tests.store_for(session.tests.begin("test_child", "test_child"), {})
    store.save({"id": "a", "messages": [user("one")]})
    saved, may_go_on = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        store.save({"id": "a", "messages": [user("one"), user("two")]})
        os.write(saved[1], b"!")
        os.read(may_go_on[0], 1)
        store.save({"id": "a", "messages": [user("one"), user("two"), user("three")]})
        os._exit(0)
    os.read(saved[0], 1)
    for when in ("call", "teardown"):
        session.tests.report("test_child", PhaseReport(when=when, outcome="passed"))

    assert session.finish().kept
    first = {run.run_id: len(run.messages) for run in load_results(tmp_path / form)}
    os.write(may_go_on[1], b"!")
    os.waitpid(child, 0)
    if by_next:
        next_one.finish()
    else:
        recover(tmp_path / form)
        next_one.finish()
    for end in (*saved, *may_go_on):
        os.close(end)

    assert first == {"of before": 1, "other": 1, "a": 2}
    runs = [(run.run_id, len(run.messages)) for run in load_results(tmp_path / form)]
    assert sorted(runs) == [("a", 3), ("other", 1)]
    assert not list(tmp_path.glob("*.journals"))


def test_what_was_recovered_leaves_no_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    tmp_path.joinpath("temporary").mkdir()
    (tmp_path / "in the way.journals").touch()
    publish(tmp_path / "in the way", "a")
    dead = begin(tmp_path / "out")
    say(dead, "b")
    dead.tests.recording.writer.abandon()
    dead._held.release()
    (elsewhere,) = tmp_path.glob("temporary/*/*")

    recover(elsewhere, output=tmp_path / "first.jsonl")
    recover(tmp_path / "out", output=tmp_path / "second.jsonl")

    assert said(tmp_path / "first.jsonl") == {"a": "hello"}
    assert said(tmp_path / "second.jsonl") == {"b": "hello"}
    assert not list(tmp_path.glob("temporary/*"))
    assert not (tmp_path / "out.journals").exists()


def test_a_living_session_is_not_taken_for_a_dead_one(tmp_path: Path) -> None:
    living = begin(tmp_path / "out")
    say(living, "a")

    outcome = publish(tmp_path / "out", "b")
    living.finish()

    assert outcome.recovered_sessions == 0
    assert sorted(said(tmp_path / "out")) == ["a", "b"]
