"""The journal: what a save returned from can be read back after any death and most harm."""

from __future__ import annotations

import errno
import os
import time
from array import array
from collections.abc import Callable, Iterator
from itertools import groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pytest_arena_state._system import System
from pytest_arena_state._wire import dumps, loads
from pytest_arena_state.journal import (
    JOURNAL_VERSION,
    JournalFile,
    JournalWriter,
    encode_line,
    is_held,
    record_line,
)
from pytest_arena_state.journal_reading import Damage, Record, read_records
from pytest_arena_state.merge import Merged, MergedRun, SliceReader, merge_session

if TYPE_CHECKING:
    from tests.conftest import Process

Write = Callable[[int, bytes], int]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.dictionaries(st.text(), JSON, min_size=1, max_size=4).filter(lambda fields: not {"k", "len"} & set(fields))


def said(run: MergedRun) -> list[str]:
    """What was said in a run."""
    with SliceReader() as reader:
        _, messages, _, _ = reader.report(run)
    return [loads(message).get("content", "") for message in messages]


def error_of(run: MergedRun) -> str:
    with SliceReader() as reader:
        _, _, after, _ = reader.report(run)
    return str(after["Error"])


def status_of(run: MergedRun) -> str:
    with SliceReader() as reader:
        return str(reader.report(run)[3]["status"])


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def merged(process: Process) -> Merged:
    return merge_session(process.journal.parent)


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def is_kind(line: bytes, kind: str) -> bool:
    return b'"k":"%b"' % kind.encode() in line[:60]


# --- lines ------------------------------------------------------------------------------------


@given(st.lists(st.tuples(FIELDS, st.none() | st.lists(JSON, max_size=4)), max_size=5))
def test_what_is_written_is_read(tmp_path: Path, written: list[tuple[dict[str, object], list[object] | None]]) -> None:
    path = tmp_path / "journal"
    path.write_bytes(
        b"".join(
            record_line("thing", dumps(fields), None if values is None else [dumps(value) for value in values])
            for fields, values in written
        )
    )
    damage = Damage()

    records = list(read_records(path, damage))

    content = path.read_bytes()
    assert damage == Damage()
    assert [
        (
            {key: value for key, value in record.fields.items() if key not in ("k", "len")},
            [content[part.offset : part.offset + part.length] for part in record.values],
        )
        for record in records
    ] == [(fields, [dumps(value) for value in values or ()]) for fields, values in written]


def test_every_line_is_json_by_itself(process: Process) -> None:
    """Whoever has to rescue a journal by hand can."""
    import json

    with process.test() as store:
        store.save({"id": "a", "messages": [user("hello\n\N{SNOWMAN}")]})
    process.end()

    kinds = [json.loads(line)["r"]["k"] for line in lines_of(process.journal)]
    assert kinds[0] == "journal"
    assert kinds[-1] == "end"
    assert {"store", "save", "verdict", "report"} <= set(kinds)


def test_a_save_is_one_write(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that is written in two pieces can be torn by the death of its process."""
    with process.test() as store:
        store.save({"id": "a", "messages": [user("one")]})
        writes: list[bytes] = []
        real = os.write

        def write(descriptor: int, data: bytes) -> int:
            writes.append(bytes(data))
            return real(descriptor, data)

        monkeypatch.setattr(System, "write", write)

        store.save({"id": "a", "messages": [user("one"), user("two")]})

        monkeypatch.undo()
    assert len(writes) == 1
    assert process.journal.read_bytes().count(writes[0]) == 1


# --- deaths -----------------------------------------------------------------------------------


def test_a_torn_last_line_costs_its_save_and_nothing_else(process: Process) -> None:
    """A process that is killed in mid-write."""
    with process.test() as store:
        store.save({"id": "a", "messages": [user("one")]})
        store.save({"id": "a", "messages": [user("one"), user("two")]})
        process.die()
        whole = process.journal.read_bytes()
        process.journal.write_bytes(whole[:-10])

        result = merged(process)

    (run,) = result.runs
    assert said(run) == ["one"]
    assert result.troubles == {"save cut off by the death of its process": 1}
    assert "died while it ran test_it" in error_of(run)


def test_a_journal_that_ends_anywhere_has_everything_before(process: Process) -> None:
    with process.test() as store:
        for turn in range(1, 5):
            store.save({"id": "a", "messages": [user(str(n)) for n in range(turn)]})
        process.die()
        whole = process.journal.read_bytes()
        lengths = []

        for end in range(len(whole) + 1):
            process.journal.write_bytes(whole[:end])
            result = merged(process)
            lengths.append(len(said(result.runs[0])) if result.runs else 0)
            assert result.lost == []

    assert lengths == sorted(lengths)
    assert set(lengths) == {0, 1, 2, 3, 4}


def test_a_journal_without_a_byte_is_no_error(process: Process) -> None:
    process.die()
    process.journal.write_bytes(b"")

    result = merged(process)

    assert result.runs == []
    assert result.lost == []
    assert result.troubles == {"empty journal": 1}


# --- harm -----------------------------------------------------------------------------------------


@pytest.fixture
def three_runs(process: Process) -> Process:
    """A finished journal of three conversations."""
    for name in "abc":
        with process.test(f"test_{name}") as store:
            store.save({"id": name, "messages": [user(f"{name}1")]})
            store.save({"id": name, "messages": [user(f"{name}1"), user(f"{name}2")]})
            store.save_metadata(name, {"run_id": name, "params": {"x": name}})
            store.save({"id": name, "messages": [user(f"{name}1"), user(f"{name}2"), user(f"{name}3")]})
    process.end()
    return process


def test_a_flipped_byte_costs_one_run_at_most_and_that_one_says_so(three_runs: Process) -> None:
    whole = three_runs.journal.read_bytes()
    contents = {f"{name}{n}" for name in "abc" for n in (1, 2, 3)}

    last = len(whole) - 1
    for place in [*range(0, last, 7), last]:
        three_runs.journal.write_bytes(whole[:place] + bytes([whole[place] ^ 0x01]) + whole[place + 1 :])
        result = merged(three_runs)

        whole_runs = [run for run in result.runs if said(run) == [f"{run.run_id}{n}" for n in (1, 2, 3)]]
        assert len(whole_runs) >= 2, place
        # Without its end the last line is that of a save which did not return.
        assert result.troubles if place == last else result.lost, place
        for run in result.runs:
            if run not in whole_runs:
                assert error_of(run), place
                assert status_of(run) == "error"
            assert {text for text in said(run) if not text.startswith("[this message")} <= contents


@pytest.mark.parametrize(
    ("lost_save", "what_is_left"), [(0, ["[", "a2", "a3"]), (1, ["a1", "[", "a3"]), (2, ["a1", "a2", "["])]
)
def test_a_lost_message_is_named_in_its_run(three_runs: Process, lost_save: int, what_is_left: list[str]) -> None:
    lines = lines_of(three_runs.journal)
    saves = [line for line in lines if is_kind(line, "save")]
    lines[lines.index(saves[lost_save])] = b"harm\n"
    three_runs.journal.write_bytes(b"".join(lines))

    result = merged(three_runs)

    run = result.runs[0]
    assert [text if len(text) < 3 else text[0] for text in said(run)] == what_is_left
    assert error_of(run) == "1 of 3 messages are lost: their journal records are damaged"
    assert status_of(run) == "error"
    assert [status_of(other) for other in result.runs[1:]] == ["passed", "passed"]
    assert result.lost == [{"what": "1 records of main.journal.jsonl", "why": "they are damaged"}]


def test_a_lost_edit_is_an_error_of_its_run(process: Process) -> None:
    """Every message is there, and one of them is not what it was in the end."""
    with process.test() as store:
        store.save({"id": "a", "messages": [user("one")]})
        store.save({"id": "a", "messages": [user("ONE")]})
        store.save({"id": "a", "messages": [user("ONE"), user("two")]})
    process.end()
    lines = lines_of(process.journal)
    edit = [line for line in lines if is_kind(line, "save")][1]
    lines.remove(edit)
    process.journal.write_bytes(b"".join(lines))

    (run,) = merged(process).runs

    assert said(run) == ["one", "two"]
    assert "damaged" in error_of(run)
    assert status_of(run) == "error"


def test_metadata_that_is_lost_is_an_error_of_its_run(process: Process) -> None:
    with process.test() as store:
        store.save({"id": "a", "messages": [user("one")]})
        store.save_metadata("a", {"run_id": "a", "params": {"x": 1}})
        store.save({"id": "a", "messages": [user("one"), user("two")]})
        process.die()
        process.journal.write_bytes(
            b"".join(line for line in lines_of(process.journal) if not is_kind(line, "metadata"))
        )

    (run,) = merged(process).runs

    assert said(run) == ["one", "two"]
    assert "journal records of this run are damaged" in error_of(run)


def test_a_run_of_which_only_the_end_is_left_is_in_the_report(process: Process) -> None:
    """Most runs are one save; it must not vanish with its record."""
    with process.test() as store:
        store.save({"id": "a", "messages": [user("one"), user("two")]})
    process.end()
    process.journal.write_bytes(b"".join(line for line in lines_of(process.journal) if not is_kind(line, "save")))

    (run,) = merged(process).runs

    assert run.run_id == "a"
    assert run.context.nodeid == "test_it"
    assert error_of(run) == "2 of 2 messages are lost: their journal records are damaged"


def test_a_save_that_a_dead_process_lost_is_named_beside_its_death(process: Process) -> None:
    """It wrote no report of the run, so the merge has to say both."""
    with process.test() as store:
        for count in (1, 2, 3):
            store.save({"id": "a", "messages": [user(f"{n}") for n in range(count)]})
        lines = lines_of(process.journal)
        process.die()
    saves = [line for line in lines if is_kind(line, "save")]
    process.journal.write_bytes(b"".join(line for line in lines if line != saves[1]))

    (run,) = merged(process).runs

    assert said(run) == ["0", said(run)[1], "2"]
    died, lost = error_of(run).splitlines()
    assert died == "the process died while it ran test_it"
    assert lost == "1 of 3 messages are lost: their journal records are damaged"
    assert status_of(run) == "error"


def test_the_system_prompt_of_a_conversation_outlives_its_process(process: Process) -> None:
    """It is said once, with the first save, and not with those that add messages."""
    with process.test() as store:
        state = {"id": "a", "metadata": {"system_prompt": "Be brief."}}
        store.save({**state, "messages": [user("one")]})
        store.save({**state, "messages": [user("one"), user("two")]})
        process.die()

    (run,) = merged(process).runs

    with SliceReader() as reader:
        assert reader.report(run)[0]["Params"] == {"system_prompt": "Be brief."}
    assert said(run) == ["one", "two"]


def test_lines_that_others_wrote_are_passed_over(three_runs: Process) -> None:
    lines = lines_of(three_runs.journal)
    foreign = [
        b"\n",
        b"hello\n",
        b"{}\n",
        b"\xff\xfe\x00\n",
        b'{"crc":"00000000","r":{}}\n',
        encode_line(b"[]"),
        encode_line(b"not json"),
        encode_line(b'{"k":"save"}'),
        encode_line(b'{"k":"save","len":[],"c":"x","s":1,"v":0,"t":1,"n":0,"id":"q","from":0,"tail":[]}'),
        encode_line(b'{"k":"metadata","c":null,"s":1,"v":0,"t":1,"metadata":{"run_id":"q"}}'),
        encode_line(b'{"k":"metadata","c":77,"s":[1],"v":0,"t":1,"metadata":{"run_id":"q"}}'),
        encode_line(b'{"k":"store","s":{},"context":{}}'),
        encode_line(b'{"k":"delete","c":[]}'),
        encode_line(b'{"k":"save","len":[999999999],"c":1,"tail":[1]}'),
        encode_line(b'{"k":"report","len":[1,1,1],"c":77,"v":0,"tail":[1,2,3]}'),
        encode_line(b"[" * 5000),
    ]
    three_runs.journal.write_bytes(b"".join([lines[0], *foreign, *lines[1:]]))

    result = merged(three_runs)

    assert [said(run) for run in result.runs] == [[f"{name}{n}" for n in (1, 2, 3)] for name in "abc"]
    assert len(result.lost) == 1


@pytest.mark.parametrize("record", [b'{"k":"save"}', b'{"k":"verdict","s":1,"verdict":5}', b"{}"])
def test_an_intact_line_that_says_nothing_is_named(three_runs: Process, record: bytes) -> None:
    """It may have said of a run what no other line says."""
    three_runs.journal.write_bytes(three_runs.journal.read_bytes() + encode_line(record))

    result = merged(three_runs)

    assert result.lost == [{"what": f"1 records of {three_runs.journal.name}", "why": "they are damaged"}]
    assert [said(run) for run in result.runs] == [[f"{name}{n}" for n in (1, 2, 3)] for name in "abc"]


def test_a_run_whose_id_is_no_text_costs_the_others_nothing(process: Process) -> None:
    """A file cannot be named after it, and that must not end the publication of all runs."""
    with process.test() as store:
        store.save({"id": "a", "messages": [user("one")]})
        store.save({"id": "b", "messages": [user("two")]})
        process.die()
        foreign = encode_line(b'{"k":"metadata","c":2,"v":1,"t":1,"metadata":{"run_id":[1]}}')
        process.journal.write_bytes(process.journal.read_bytes() + foreign)

    result = merged(process)

    assert [said(run) for run in result.runs] == [["two"]]
    assert result.lost == [{"what": "a", "why": "TypeError: a run id is a text, not list"}]


def test_a_newer_version_is_read_as_far_as_it_is_known(three_runs: Process) -> None:
    lines = lines_of(three_runs.journal)
    version = b'"version":%d' % JOURNAL_VERSION
    header = lines[0][22:-2].replace(version, b'"version":%d' % (JOURNAL_VERSION + 1))
    assert version in lines[0]
    new_kind = record_line("hologram", dumps({"of": "princess"}))
    three_runs.journal.write_bytes(b"".join([encode_line(header), new_kind, *lines[1:]]))

    result = merged(three_runs)

    assert [said(run) for run in result.runs] == [[f"{name}{n}" for n in (1, 2, 3)] for name in "abc"]
    assert result.troubles == {"journal of a newer version": 1}
    assert result.lost == []


@given(st.data())
@settings(max_examples=60)
def test_replaying_records_twice_changes_nothing(three_runs: Process, data: st.DataObject) -> None:
    whole = three_runs.journal.read_bytes()
    expected = [(run.run_id, said(run), error_of(run), status_of(run)) for run in merged(three_runs).runs]
    lines = whole.splitlines(keepends=True)
    twice: list[bytes] = []
    for number, line in enumerate(lines):
        twice.append(line)
        earlier = data.draw(st.integers(-1, number), label=f"after {number}")
        if earlier >= 0 and not is_kind(lines[earlier], "delete"):
            twice.append(lines[earlier])
    three_runs.journal.write_bytes(b"".join(twice))

    try:
        result = merged(three_runs)

        assert [(run.run_id, said(run), error_of(run), status_of(run)) for run in result.runs] == expected
        assert result.lost == []
    finally:
        three_runs.journal.write_bytes(whole)


def test_a_line_that_is_there_twice_brings_nothing_back_that_was_deleted(process: Process) -> None:
    with process.test() as store:
        store.save({"id": "gone", "messages": [user("one")]})
        store.save_metadata("gone", {"run_id": "gone"})
        store.save({"id": "kept", "messages": [user("two")]})
        store.delete("gone")
    process.end()
    again = [line for line in lines_of(process.journal) if is_kind(line, "save") or is_kind(line, "metadata")]
    process.journal.write_bytes(process.journal.read_bytes() + b"".join(again))

    result = merged(process)

    assert [said(run) for run in result.runs] == [["two"]]
    assert (result.deleted, result.lost) == (1, [])


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)), max_size=6))
@example([(0, 3), (4, 2), (7, 5)])  # side by side, as in a record
@example([(4, 2), (0, 1), (9, 3)])  # together as long as if they stood so
@example([(4, 2), (12, 1), (9, 3)])
def test_pieces_of_a_file_are_those_that_were_wanted(tmp_path: Path, places: list[tuple[int, int]]) -> None:
    """A conversation that was edited has its messages in any order, and some of them are read at once."""
    content = bytes(range(80))
    path = tmp_path / "journal"
    path.write_bytes(content)

    with SliceReader() as reader:
        found = reader.pieces(path, array("q", [number for place in places for number in place]))

    assert found == [content[offset : offset + length] for offset, length in places]


# --- disks that refuse -------------------------------------------------------------------------------


class Disk:
    """Takes what `os.write` is given, or not: each answer is how many bytes it takes, None for all."""

    def __init__(self, answers: list[int | None]) -> None:
        self.answers = answers
        self._write = os.write

    def write(self, descriptor: int, data: bytes) -> int:
        answer = self.answers.pop(0) if self.answers else None
        if answer == -1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._write(descriptor, bytes(data) if answer is None else bytes(data)[:answer])


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[JournalWriter]:
    opened = JournalWriter(JournalFile(tmp_path / "journal"))
    yield opened
    opened.close()


def numbers(path: Path, damage: Damage) -> list[int]:
    return [record.fields["n"] for record in read_records(path, damage)]


def record(n: int) -> bytes:
    return record_line("thing", dumps({"n": n}))


@pytest.mark.parametrize(
    "answers",
    [
        [10],
        [1, 1, 1, 1],
        [0, 0, 5],
        [-1],
        [10, -1],
        [10, -1, -1],
        [10, -1, 5, -1],
        [10, -1, 20, -1],
        [-1, 10, -1, None, 3, -1],
    ],
)
def test_a_short_write_loses_nothing(
    tmp_path: Path, writer: JournalWriter, monkeypatch: pytest.MonkeyPatch, answers: list[int | None]
) -> None:
    """A file-size limit, or a disk that is full for a while."""
    writer.append(record(0))
    refusals = answers.count(-1)
    monkeypatch.setattr(System, "write", Disk(answers).write)

    for n in range(1, 6):
        writer.append(record(n))
    damage = Damage()

    assert numbers(tmp_path / "journal", damage) == [0, 1, 2, 3, 4, 5]
    assert damage == Damage()
    assert (writer.refusals, writer.waiting, writer.lost) == (refusals, 0, 0)


def test_records_that_are_written_together_are_torn_like_single_ones(
    tmp_path: Path, writer: JournalWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the disk gets full within them, each is in the journal, and nothing counts as damage."""
    whole = len(record(0) + record(1))
    expected = []
    for taken in range(1, whole):
        monkeypatch.setattr(System, "write", Disk([taken, -1, -1, None]).write)
        for _ in range(3):
            writer.append(record(0) + record(1))
            expected += [0, 1]
        monkeypatch.undo()
    damage = Damage()

    # One of which only the newline was missing is there twice; reading it again changes nothing.
    assert [n for n, _ in groupby(numbers(tmp_path / "journal", damage))] == expected
    assert damage == Damage()
    assert (writer.waiting, writer.lost) == (0, 0)


def test_what_a_full_disk_refuses_waits_for_room(
    tmp_path: Path, writer: JournalWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk([-1] * 10)
    monkeypatch.setattr(System, "write", disk.write)

    for n in range(4):
        writer.append(record(n))
    assert (writer.waiting, writer.refusals) == (4, 4)
    assert writer.last_error == os.strerror(errno.ENOSPC)
    disk.answers = []
    writer.close()

    assert numbers(tmp_path / "journal", Damage()) == [0, 1, 2, 3]


def test_no_error_of_the_journal_reaches_a_test(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even one that nobody thought of, and that meets the note about itself as well."""

    def broken(descriptor: int, data: bytes) -> int:
        raise TypeError("not the function that it was")

    with process.test() as store:
        monkeypatch.setattr(System, "write", broken)
        store.save({"id": "a", "messages": [user("one")]})
        monkeypatch.undo()

    (kind,) = process.recorder.recording.troubles
    assert kind == "a save was not journaled at once: TypeError: not the function that it was"
    assert [said(run) for run in merged(process).runs] == [["one"]]


def test_what_waits_has_a_limit(writer: JournalWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that stays full must not take the memory, too; what is given up is counted."""
    monkeypatch.setattr("pytest_arena_state.journal._KEPT_BACK_LIMIT", 100)
    monkeypatch.setattr(System, "write", Disk([-1] * 100).write)

    for n in range(10):
        writer.append(record(n))

    assert writer.waiting + writer.lost == 10
    assert writer.waiting < 4


class Room:
    """A sink that refuses everything until there is room."""

    def __init__(self) -> None:
        self.there = False

    def write_line(self, line: bytes) -> None:
        if not self.there:
            raise OSError(errno.ENOSPC, "no room")

    def close(self) -> None:
        """Nothing is open."""


def test_much_that_waited_is_written_as_fast_as_little() -> None:
    """64 MB may be half a million records, and they are written in the middle of a save."""

    def seconds(records: int) -> float:
        room = Room()
        writer = JournalWriter(room)
        for _ in range(records):
            writer.append(b"{}\n")
        room.there = True
        begin = time.process_time()
        writer.retry()
        assert writer.waiting == 0
        return time.process_time() - begin

    assert min(seconds(200_000) for _ in range(3)) < 40 * max(
        seconds(20_000) for _ in range(3)
    )  # ten, and not a hundred


# --- size -----------------------------------------------------------------------------------------------


def test_the_journal_grows_with_the_conversation_and_not_with_its_square(process: Process) -> None:
    """Saved at every one of 200 turns, by a suite that gives the whole conversation each time."""
    text = "This is what people say to each other, more or less. " * 4
    messages: list[dict[str, str]] = []
    with process.test() as store:
        for turn in range(200):
            messages.append({"role": "user", "content": f"{turn}: {text}", "timestamp": "2025-01-01T00:00:00Z"})
            messages.append({"role": "assistant", "content": f"{turn}: {text}", "timestamp": "2025-01-01T00:00:00Z"})
            store.save({"id": "long", "messages": messages})
        conversation = len(store.load("long").to_json())
    process.end()

    ratio = process.journal.stat().st_size / conversation
    assert ratio <= 1.3
    (run,) = merged(process).runs
    assert len(said(run)) == 400


def test_saving_what_did_not_change_adds_next_to_nothing(process: Process) -> None:
    messages = [user("x" * 10_000) for _ in range(10)]
    with process.test() as store:
        store.save({"id": "a", "messages": messages})
        sizes = [process.journal.stat().st_size]
        for _ in range(5):
            store.save({"id": "a", "messages": messages})
            sizes.append(process.journal.stat().st_size)

    assert all(after - before < 500 for before, after in pairwise(sizes))


# --- locks -------------------------------------------------------------------------------------------------


def test_a_journal_is_held_while_its_process_lives(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = JournalFile(path)

    held = is_held(path)
    journal.close()

    assert held
    assert not is_held(path)


def test_a_journal_that_is_not_there_is_held_by_nobody(tmp_path: Path) -> None:
    assert not is_held(tmp_path / "journal")


@pytest.mark.skipif(os.name == "nt", reason="locks are others there")
def test_without_locks_a_journal_is_held_while_its_process_can_be_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import subprocess
    import sys

    def none(*_: object) -> None:
        raise OSError(errno.ENOSYS, "no locks")

    monkeypatch.setattr("fcntl.flock", none)
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    session = tmp_path / f"20260101T000000-{process.pid}-0123abcd"
    session.mkdir()
    journal, token, broken = session / "main.journal.jsonl", session / "session.token", session / "gw0.journal.jsonl"
    journal.write_bytes(record_line("journal", b'{"pid":%d}' % process.pid))
    token.write_bytes(b"token")
    broken.write_bytes(b"?\n")
    elsewhere = session / "gw1.journal.jsonl"
    elsewhere.write_bytes(record_line("journal", b'{"pid":%d,"host":"-"}' % process.pid))

    living = is_held(journal), is_held(token)
    process.communicate(b"\n")
    dead = is_held(journal), is_held(token)

    assert living == (True, True)
    assert dead == (False, False)
    assert is_held(broken)  # it cannot be told
    assert is_held(elsewhere)  # nor can it of another machine, with which the disk may be shared


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing can be forked here")
def test_the_lock_of_a_process_is_gone_when_it_dies_though_its_child_lives(tmp_path: Path) -> None:
    import subprocess
    import sys

    script = """
import os, sys, time, pathlib
from pytest_arena_state.journal import JournalFile
journal = JournalFile(pathlib.Path(sys.argv[1]))
begun, begin = os.pipe()
if os.fork() == 0:
    os.write(begin, b".")
    os.close(1)
    time.sleep(60)
    os._exit(0)
os.read(begun, 1)
print("locked", flush=True)
sys.stdin.readline()
os._exit(1)
"""
    path = tmp_path / "journal"
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdin is not None
        assert parent.stdout.readline() == b"locked\n"
        held = is_held(path)
        parent.stdin.write(b"\n")
        parent.stdin.flush()
        parent.wait(120)

    assert held
    assert not is_held(path)


def test_a_record_is_its_fields_and_where_its_values_are(tmp_path: Path) -> None:
    """So that a reader of a large journal holds none of the messages in memory."""
    path = tmp_path / "journal"
    path.write_bytes(record_line("thing", b'{"n":1}', [b'"a, \\"len\\":[1]"', b"22"]))

    (read,) = read_records(path, Damage())

    assert isinstance(read, Record)
    assert read.fields["n"] == 1
    content = path.read_bytes()
    assert [content[part.offset : part.offset + part.length] for part in read.values] == [
        b'"a, \\"len\\":[1]"',
        b"22",
    ]
