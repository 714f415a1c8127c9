"""Large media: in files of their own, once for each content, wherever the results go and whatever dies."""

from __future__ import annotations

import base64
import hashlib
import json
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_arena_state import (
    ContentPart,
    MediaContent,
    Message,
    ResultsError,
    RunResult,
    load_results,
    read_index,
    read_media,
)
from pytest_arena_state._system import System
from pytest_arena_state.cli import main
from pytest_arena_state.index import IndexBuilder
from pytest_arena_state.large_media import DEFAULT_LIMIT, LargeMedia, folder_of, sweep
from pytest_arena_state.recovery import recover
from pytest_arena_state.reporters.html import _MEDIA_LIMIT, _MEDIA_TOTAL, _slim
from pytest_arena_state.reporters.source import open_source
from pytest_arena_state.shards import merge
from pytest_arena_state.validation import validate

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Suite

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8
NAME = f"{hashlib.sha256(PICTURE).hexdigest()}.png"
LIMIT = "-oarena_media_limit=1000"
FORMS = ("out", "out.jsonl", "out.jsonl.gz", "out.json")
SUITE = """
import os
import pytest
from pytest_arena_state import ContentPart, Message

PICTURE = b"\\x89PNG\\r\\n\\x1a\\n" + bytes(range(256)) * 8

@pytest.mark.parametrize("n", range(int(os.environ.get("RUNS", "4"))))
def test_it(arena_store, n):
    seen = ContentPart.from_bytes(PICTURE)
    messages = [Message(role="user", parts=[seen])]
    arena_store.save({"id": f"run-{n}", "messages": messages})
    messages.append(Message(role="assistant", content=f"I see {n}", parts=[ContentPart.from_bytes(PICTURE)]))
    arena_store.save({"id": f"run-{n}", "messages": messages})
    assert arena_store.load(f"run-{n}").messages[0].parts[0].media.data == seen.media.data
"""


def contents(results: Path) -> list[bytes]:
    """What each piece of media of each run is."""
    return [
        read_media(results, part.media)
        for run in load_results(results)
        for message in run.messages
        for part in message.parts
        if part.media is not None
    ]


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize("name", FORMS)
def test_large_media_are_kept_once_beside_the_runs(suite: Suite, run_args: list[str], name: str) -> None:
    suite.write(SUITE)

    suite.run(*run_args, LIMIT, to=name).assert_outcomes(passed=4)

    results = suite.path / name
    assert files_in(folder_of(results)) == [NAME]
    assert contents(results) == [PICTURE] * 8
    run = load_results(results)[0]
    assert [part.media.file_path for message in run.messages for part in message.parts if part.media] == [
        f"media/{NAME}"
    ] * 2
    assert [output.file_path for output in run.media_outputs] == [f"media/{NAME}"]
    assert base64.b64encode(PICTURE) not in results.read_bytes() if results.is_file() else True
    assert not [finding for finding in validate(results) if finding.problem]
    assert not (suite.path / f"{name}.journals").exists()


def test_what_is_small_or_no_plain_base64_stays_in_its_run(tmp_path: Path) -> None:
    large = LargeMedia(tmp_path / "media", 1000)
    encoded = base64.b64encode(PICTURE).decode()
    for data in (
        base64.b64encode(b"x" * 1000).decode(),
        encoded.rstrip("=") + "?",
        encoded.rstrip("=") + "ß",
        f"data:image/png;base64,{encoded}",
    ):
        part = ContentPart(type="image", media=MediaContent(data=data, mime_type="image/png"))
        message = Message(role="user", content="x" * 2000, parts=[part]).to_json().encode()

        assert large.without(message) is message

    elsewhere = MediaContent(data=encoded, file_path="mine.png", mime_type="image/png")
    message = Message(role="user", parts=[ContentPart(type="image", media=elsewhere)]).to_json().encode()
    assert large.without(message) is message
    assert not (tmp_path / "media").exists()


def test_a_message_without_its_media_is_written_as_it_is_read(tmp_path: Path) -> None:
    """Also in what a tool returned, whose media newer Arena keeps there."""
    part = {"type": "image", "media": {"data": base64.b64encode(PICTURE).decode(), "mime_type": "image/png"}}
    given = {"role": "tool", "tool_result": {"id": "1", "name": "look", "content": "seen", "parts": [part]}}
    messages = [Message.from_dict(given), Message(role="user", parts=[ContentPart.from_bytes(PICTURE)])]

    of_tool, of_user = (LargeMedia(tmp_path, 1000).without(message.to_json().encode()) for message in messages)

    assert len(of_tool) < 600
    for slim in (of_tool, of_user):
        assert Message.from_json(slim).to_json().encode() == slim
    assert files_in(tmp_path) == [NAME]
    assert json.loads(of_user)["media_summary"]["media_items"][0]["source"] == f"media/{NAME}"
    assert json.loads(of_user)["parts"][0]["media"]["size_kb"] == 2


@pytest.mark.parametrize(("mime_type", "ending"), [("image/svg+xml", "bin"), ("text/html", "bin"), ("../x", "bin")])
def test_a_file_has_no_ending_that_a_browser_would_run(tmp_path: Path, mime_type: str, ending: str) -> None:
    part = ContentPart.from_bytes(PICTURE, mime_type=mime_type)

    LargeMedia(tmp_path, 1000).without(Message(role="user", parts=[part]).to_json().encode())

    assert [name.partition(".")[2] for name in files_in(tmp_path)] == [ending]


def test_zero_leaves_all_in_the_runs(suite: Suite) -> None:
    suite.write(SUITE)

    suite.run("-n0", "-oarena_media_limit=0")

    assert not (suite.results / "media").exists()
    assert contents(suite.results) == [PICTURE] * 8


@pytest.mark.parametrize("given", ["1 MB", "-1"])
def test_a_limit_that_is_no_number_of_bytes_is_an_error_of_usage(suite: Suite, given: str) -> None:
    suite.write(SUITE)

    result = suite.run("-n0", f"-oarena_media_limit={given}")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*arena_media_limit: '{given}' is not a number of bytes"])


def test_the_default_is_what_the_html_report_still_shows(pytestconfig: pytest.Config) -> None:
    assert int(pytestconfig.getini("arena_media_limit")) == DEFAULT_LIMIT == _MEDIA_LIMIT * 3 // 4


# --- whatever dies -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("far_workers")
@pytest.mark.parametrize("name", ["near", "near.jsonl"])
def test_workers_on_another_disk_report_the_same(suite: Suite, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Their files would be on the wrong disk, so the bytes come with the journal and are put aside here."""
    suite.write(SUITE)
    suite.run("-n2", LIMIT, to=f"far-{name}").assert_outcomes(passed=4)
    monkeypatch.delenv("FAR")
    suite.run("-n2", LIMIT, to=name).assert_outcomes(passed=4)

    near, far = ([run.messages for run in suite.runs(path)] for path in (name, f"far-{name}"))

    assert near == far
    assert [run.media_outputs for run in suite.runs(name)] == [run.media_outputs for run in suite.runs(f"far-{name}")]
    assert files_in(folder_of(suite.path / f"far-{name}")) == [NAME]
    assert contents(suite.path / f"far-{name}") == [PICTURE] * 8


DIES = SUITE + "\n    if n == 3: os._exit(1)\n"


def test_media_of_a_worker_that_died_are_there(suite: Suite) -> None:
    suite.write(DIES)

    suite.run_apart("-n2", LIMIT)

    assert contents(suite.results) == [PICTURE] * 8
    assert suite.index["completeness"]["crashed"] == 1
    assert files_in(suite.results / "media") == [NAME]


@pytest.mark.parametrize("name", ["arena-results", "elsewhere.jsonl"])
def test_media_of_a_session_that_died_are_recovered(suite: Suite, name: str) -> None:
    suite.write(DIES)
    suite.run_apart("-p", "no:xdist", LIMIT)
    journals = suite.path / "arena-results.journals"
    assert contents(journals) == [PICTURE] * 8

    recover(journals, output=suite.path / name)

    assert contents(suite.path / name) == [PICTURE] * 8
    assert files_in(folder_of(suite.path / name)) == [NAME]


def test_what_cannot_be_put_aside_stays_in_its_run(suite: Suite) -> None:
    """A full disk, or somebody's file where the folder should be."""
    suite.pytester.makeconftest(
        """
        def pytest_runtest_setup(item):
            from pathlib import Path
            for session in Path("arena-results.journals").iterdir():
                if session.is_dir():
                    (session / "media").touch()
        """
    )
    suite.write(SUITE)

    suite.run("-n0", LIMIT).assert_outcomes(passed=4)

    assert contents(suite.results) == [PICTURE] * 8
    (trouble,) = suite.index["completeness"]["troubles"]
    assert trouble.startswith("large media were left in their run: ")


@pytest.mark.parametrize("is_there", [True, False])
def test_a_file_that_another_process_has_just_made_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    """Windows does not let it be replaced while it is open."""
    message = Message(role="user", parts=[ContentPart.from_bytes(PICTURE)]).to_json().encode()

    def refuse(_: str, place: str) -> None:
        if is_there:
            Path(place).write_bytes(PICTURE)
        raise PermissionError(13, "Access is denied", place)

    monkeypatch.setattr(System, "replace", refuse)
    with nullcontext() if is_there else pytest.raises(PermissionError):
        assert NAME.encode() in LargeMedia(tmp_path, 1000).without(message)
    assert files_in(tmp_path) == [NAME] * is_there


def test_a_file_that_is_gone_when_results_are_published_is_named(suite: Suite) -> None:
    suite.pytester.makeconftest(
        """
        import shutil
        from pathlib import Path

        def pytest_sessionfinish():
            for folder in Path("arena-results.journals").glob("*/media"):
                shutil.rmtree(folder)
        """
    )
    suite.write(SUITE)

    suite.run("-n0", LIMIT).assert_outcomes(passed=4)

    assert suite.index["completeness"]["lost"] == [{"what": f"media/{NAME}", "why": "the file is missing"}]
    assert suite.index["total_runs"] == 4


def test_a_pattern_that_happens_to_match_a_files_name_does_not_lose_it(suite: Suite) -> None:
    """Of 64 hex digits, some look like anything; the file would have been removed as one that nobody names."""
    suite.pytester.makeini(f"[pytest]\narena_redact =\n    {NAME[:6]}")
    suite.write(SUITE)

    suite.run("-n0", LIMIT)

    assert contents(suite.results) == [PICTURE] * 8


def test_a_secret_within_media_is_not_put_aside(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of its own would not be redacted; base64 is."""
    monkeypatch.setenv("TEA_API_KEY", "o0long-and-secret")
    suite.write(SUITE.replace("bytes(range(256)) * 8", "b'..o0long-and-secret' + bytes(range(256)) * 8"))

    suite.run("-n0", LIMIT).assert_outcomes(passed=4)

    assert not (suite.results / "media").exists()
    assert suite.index["completeness"]["redacted"]["TEA_API_KEY"] == 8  # the thumbnail is made of that
    assert "[redacted:TEA_API_KEY]" in (suite.results / "run-1.json").read_text()
    assert b"long-and-secret" not in b"".join(path.read_bytes() for path in suite.results.rglob("*.*"))


def test_a_file_that_could_not_be_finished_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal names what is whole, and the next message with the same picture must not believe in half of it."""
    write, written = System.write, 0

    def fill(descriptor: int, content: bytes) -> int:
        nonlocal written
        if written:
            raise OSError(28, "No space left on device")
        written = write(descriptor, content[:100])
        return written

    message = Message(role="user", parts=[ContentPart.from_bytes(PICTURE)]).to_json().encode()
    with monkeypatch.context() as full:
        full.setattr(System, "write", staticmethod(fill))
        with pytest.raises(OSError, match="No space left"):
            LargeMedia(tmp_path, 1000).without(message)

    assert written == 100
    assert files_in(tmp_path) == []
    LargeMedia(tmp_path, 1000).without(message)
    assert (tmp_path / NAME).read_bytes() == PICTURE


def test_a_publication_that_failed_can_be_tried_again(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when somebody has published there since, who knows nothing of these media."""
    suite.write(DIES)
    suite.run_apart("-p", "no:xdist", LIMIT)

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(IndexBuilder, "write", fail)
        with pytest.raises(OSError, match="No space left"):
            recover(suite.results)
    sweep(folder_of(suite.results), set())

    recover(suite.results)

    assert contents(suite.results) == [PICTURE] * 8


# --- what changes, and what is replaced ----------------------------------------------------------------


def test_a_hook_sees_the_media_and_may_take_them_out(suite: Suite) -> None:
    suite.pytester.makeconftest(
        """
        import base64

        def pytest_arena_run(run):
            for message in run.messages:
                assert all(base64.b64decode(part.media.data) for part in message.parts)
            if run.run_id == "run-1":
                for message in run.messages:
                    message.parts = []
        """
    )
    suite.write(SUITE)

    result = suite.run("-n0", LIMIT)

    result.assert_outcomes(passed=4)
    assert contents(suite.results) == [PICTURE] * 6
    assert suite.run_named("run-1").media_outputs == []
    assert suite.run_named("run-2").media_outputs[0].file_path == f"media/{NAME}"
    assert suite.index["completeness"]["troubles"] == {}
    assert not [finding for finding in validate(suite.results) if finding.problem]


@pytest.mark.parametrize("name", ["out", "out.jsonl"])
def test_media_that_no_run_names_any_more_go(suite: Suite, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    suite.write(SUITE)
    suite.run("-n0", LIMIT, to=name)
    suite.write(SUITE.replace("* 8", "* 9"))

    suite.run("-n0", LIMIT, to=name)

    (left,) = files_in(folder_of(suite.path / name))
    assert left != NAME
    monkeypatch.setenv("RUNS", "0")
    suite.run("-n0", LIMIT, to=name)
    assert not folder_of(suite.path / name).exists()


@pytest.mark.parametrize("name", ["out", "out.jsonl"])
def test_media_of_runs_that_stay_stay(suite: Suite, name: str) -> None:
    """A session that published in between keeps its runs, and what they show."""
    suite.write(SUITE)
    suite.pytester.makeconftest(
        f"""
        import os, subprocess, sys

        def pytest_sessionfinish():
            if "INNER" not in os.environ:
                arguments = ["-p", "xdist", "-p", "arena_state", "inner.py", "{LIMIT}", "--arena-results={name}"]
                subprocess.run([sys.executable, "-m", "pytest", *arguments], env=dict(os.environ, INNER="1"))
        """
    )
    suite.pytester.makepyfile(inner=SUITE.replace("* 8", "* 9").replace("run-", "other-"))

    suite.run("-n0", "test_suite.py", LIMIT, to=name)

    results = suite.path / name
    assert read_index(results).total_runs == 8
    assert len(files_in(folder_of(results))) == 2
    assert set(contents(results)) == {PICTURE, PICTURE + bytes(range(256))}


def test_only_files_with_names_of_this_kind_are_removed(suite: Suite) -> None:
    suite.write(SUITE)
    (suite.results / "media").mkdir(parents=True)
    (suite.results / "media" / "mine.png").touch()
    suite.run("-n0", LIMIT)
    suite.write("def test_it(arena_run):\n    arena_run.user('hello')")

    suite.run("-n0", LIMIT)

    assert files_in(suite.results / "media") == ["mine.png"]


# --- merging, checking -----------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["out", "out.jsonl.gz", "out.json"])
@pytest.mark.parametrize("output", ["all", "all.jsonl", "all.json"])
def test_a_merge_takes_media_along(suite: Suite, source: str, output: str) -> None:
    suite.write(SUITE)
    suite.run("-n0", LIMIT, to=source)
    suite.write(SUITE.replace("* 8", "* 9").replace("run-", "other-"))
    suite.run("-n0", LIMIT, to=f"second-{source}")

    outcome = merge([suite.path / source, suite.path / f"second-{source}"], suite.path / output)

    assert outcome.problems == []
    assert set(contents(suite.path / output)) == {PICTURE, PICTURE + bytes(range(256))}
    assert len(files_in(folder_of(suite.path / output))) == 2
    assert not [finding for finding in validate(suite.path / output) if finding.problem]
    merge([suite.path / output, suite.path / source], suite.path / output)
    assert len(contents(suite.path / output)) == 16


def test_the_media_of_one_run_are_found_from_its_file(suite: Suite) -> None:
    """Who has opened one file of a directory, or merges it, has the folder beside it."""
    suite.write(SUITE)
    suite.run("-n0", LIMIT)
    file = suite.results / "run-0.json"

    assert contents(file) == [PICTURE, PICTURE]
    assert merge([file], suite.path / "all").problems == []
    assert contents(suite.path / "all") == [PICTURE, PICTURE]


def test_a_merge_names_media_that_are_missing(suite: Suite) -> None:
    suite.write(SUITE)
    suite.run("-n0", LIMIT)
    (suite.results / "media" / NAME).unlink()

    outcome = merge([suite.results], suite.path / "all.jsonl")

    assert outcome.problems == [f"media/{NAME}: a run names it, and it is missing"]
    assert read_index(suite.path / "all.jsonl").total_runs == 4


def test_a_merge_does_not_change_with_what_a_link_leads_to(suite: Suite) -> None:
    """A folder of media may be linked together from a cache, which is somebody else's."""
    suite.write(SUITE)
    suite.run("-n0", LIMIT)
    file = suite.results / "media" / NAME
    cached = file.rename(suite.path / "cached.png")
    file.symlink_to(cached)

    merge([suite.results], suite.path / "all.jsonl")
    with cached.open("r+b") as stream:
        stream.write(b"overwritten")

    assert contents(suite.path / "all.jsonl") == [PICTURE] * 8


@pytest.mark.parametrize("harm", ["changed", "a link to elsewhere"])
def test_a_merge_takes_no_media_that_are_not_what_they_were(suite: Suite, harm: str) -> None:
    """Shards come from anywhere, and what is merged may be uploaded."""
    suite.write(SUITE)
    suite.run("-n0", LIMIT)
    file = suite.results / "media" / NAME
    file.unlink()
    if harm == "changed":
        file.write_bytes(b"something else")
    else:
        (suite.path / "secret").write_text("of this machine")
        file.symlink_to(suite.path / "secret")

    outcome = merge([suite.results], suite.path / "all.jsonl")

    assert outcome.problems == [f"{file}: it is not what it was: its name is another checksum"]
    assert not folder_of(suite.path / "all.jsonl").exists()


@pytest.mark.parametrize("output", ["all", "first"])
def test_a_merge_takes_media_from_the_shard_that_has_them_whole(suite: Suite, output: str) -> None:
    """One shard's upload was cut short; the same picture is whole in another one."""
    suite.write(SUITE)
    suite.run("-n0", LIMIT, to="first")
    suite.run("-n0", LIMIT, to="second")
    (suite.path / "first" / "media" / NAME).write_bytes(PICTURE[:100])

    outcome = merge([suite.path / "first", suite.path / "second"], suite.path / output)

    assert outcome.problems == []
    assert (suite.path / output / "media" / NAME).read_bytes() == PICTURE


@pytest.mark.parametrize("encode", [base64.b64encode, base64.encodebytes, base64.urlsafe_b64encode])
def test_media_in_a_run_are_read_in_every_spelling_of_base64(tmp_path: Path, encode: Callable[[bytes], bytes]) -> None:
    """Runs come from anywhere: a picture that is another one than was sent would be worse than an error."""
    media = MediaContent(mime_type="image/png", data=encode(PICTURE).decode())

    assert read_media(tmp_path, media) == PICTURE
    for data in ("%%%%", "data:,abcd", "abc"):
        with pytest.raises(ResultsError, match="its media are not base64"):
            read_media(tmp_path, MediaContent(mime_type="image/png", data=data))


@pytest.mark.parametrize("name", ["out", "out.jsonl"])
def test_validate_names_media_that_are_missing_or_changed(
    suite: Suite, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    suite.write(SUITE)
    suite.run("-n0", LIMIT, to=name)
    results = suite.path / name
    file = folder_of(results) / NAME
    media = load_results(results)[0].messages[0].parts[0].media
    assert media is not None
    capsys.readouterr()

    file.write_bytes(b"another picture")
    assert main(["validate", str(results)]) == 1
    assert f"{file}: it is not what it was: its name is another checksum" in capsys.readouterr().out
    with pytest.raises(ResultsError, match="its name is another checksum"):
        read_media(results, media)

    file.unlink()
    assert main(["validate", str(results)]) == 1
    assert f"{file}: a run names it, and it is missing" in capsys.readouterr().out
    with pytest.raises(ResultsError, match="it is missing"):
        read_media(results, media)


def test_the_html_report_shows_an_image_from_its_file(suite: Suite) -> None:
    """Where the limit is lower than the default, pages look as they did."""
    suite.write(SUITE)
    suite.run("-n0", LIMIT, to="slim.jsonl")
    suite.run("-n0", to="whole.jsonl")
    slim, whole = (
        [_slim(each.run.to_dict(), 0, source.results) for each in source]
        for source in (open_source(suite.path / name) for name in ("slim.jsonl", "whole.jsonl"))
    )

    data = [
        [part["media"]["data"] for document, _ in runs for message in document["Messages"] for part in message["parts"]]
        for runs in (slim, whole)
    ]

    assert data[0] == data[1]
    assert [spent for _, spent in slim] == [spent for _, spent in whole]
    assert main(["report", str(suite.path / "slim.jsonl"), "-o", str(suite.path / "page.html")]) == 0


def test_a_page_holds_no_more_media_than_a_browser_takes() -> None:
    """A suite that looks at pictures has thousands, and the page is one file."""
    picture = ContentPart.from_bytes(PICTURE.ljust(_MEDIA_LIMIT * 3 // 4, b"x"))
    document = RunResult(messages=[Message(role="user", parts=[picture])]).to_dict()
    spent, told = 0, []
    for _ in range(_MEDIA_TOTAL // _MEDIA_LIMIT + 2):
        slim, spent = _slim(json.loads(json.dumps(document)), spent, None)
        told.append(slim["Messages"][0]["parts"][0]["media"].get("left_out"))

    assert spent == _MEDIA_TOTAL
    assert told == [None] * (_MEDIA_TOTAL // _MEDIA_LIMIT) + ["too large for this report"] * 2


def test_a_page_holds_images_that_are_safe_and_nothing_else() -> None:
    """Also what stands behind one of them; a drawing may be a program."""
    data = base64.b64encode(PICTURE).decode()
    kinds = ["image/png", "image/svg+xml", "IMAGE/GIF", "text/html", "application/pdf", "image/jpeg"]
    parts = [ContentPart(type="image", media=MediaContent(data=data, mime_type=kind)) for kind in kinds]

    slim, spent = _slim(RunResult(messages=[Message(role="user", parts=parts)]).to_dict(), 0, None)

    shown = [part["media"]["mime_type"] for part in slim["Messages"][0]["parts"] if part["media"]["data"]]
    assert shown == ["image/png", "IMAGE/GIF", "image/jpeg"]
    assert spent == 3 * len(data)


@pytest.mark.parametrize("path", ["media/../secret", "/etc/passwd", "media/x.png", f"other/{NAME}", ""])
def test_media_that_are_elsewhere_are_not_read(tmp_path: Path, path: str) -> None:
    """A run may come from anybody."""
    with pytest.raises(ResultsError, match="not kept with their run"):
        read_media(tmp_path, MediaContent(file_path=path, mime_type="image/png"))
