"""Results in an object store: uploaded whole, lost never, and no secret in what is said about it."""

from __future__ import annotations

import http.server
import json
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_arena_state import ResultsError, cloud, iterate_results, load_results, read_index, read_media
from pytest_arena_state.cli import main
from pytest_arena_state.cloud import Place
from pytest_arena_state.errors import ConfigurationError

if TYPE_CHECKING:
    from tests.conftest import Suite

FORMS = ("runs", "runs.jsonl", "runs.jsonl.gz", "runs.jsonl.zst", "runs.json")
SUITE = """
import os, pytest

@pytest.mark.parametrize("n", range(int(os.environ.get("RUNS", "3"))))
def test_it(arena_store, n):
    arena_store.save({"id": f"run-{n}", "messages": [{"role": "user", "content": os.environ.get("SAYS", "hello")}]})
"""
SERVER = """
import logging, sys
logging.disable()
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""
SECRET = "k3y-of-the-tests-only"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """A server that speaks S3."""
    if not (find_spec("moto") and find_spec("obstore")):
        pytest.skip("object stores are tested with the extra [cloud-dev]")
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        process.terminate()


class Bucket:
    """A bucket of a store that is the test's own."""

    def __init__(self, endpoint: str, name: str) -> None:
        self.endpoint = endpoint
        self.name = name
        self.url = f"s3://{name}/ci/main"

    def create(self) -> None:
        urllib.request.urlopen(urllib.request.Request(f"{self.endpoint}/{self.name}", method="PUT")).close()

    def names(self) -> set[str]:
        """Of everything that lies where the tests put results."""
        with urllib.request.urlopen(f"{self.endpoint}/{self.name}?list-type=2") as answer:
            found = re.findall(r"<Key>([^<]*)</Key>", answer.read().decode())
        return {name.removeprefix("ci/main/") for name in found}

    def put(self, name: str, content: bytes) -> None:
        request = urllib.request.Request(f"{self.endpoint}/{self.name}/ci/main/{name}", data=content, method="PUT")
        request.add_header("Content-Type", "application/json")
        urllib.request.urlopen(request).close()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")


@pytest.fixture
def bucket(endpoint: str, environment: None, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Bucket:
    """One that does not exist yet."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    return Bucket(endpoint, f"b{abs(hash(request.node.nodeid)):x}")


def uploads(suite: Suite) -> Path:
    return suite.path / cloud.FOLDER


# --- sessions --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMS)
def test_a_session_uploads_its_results_and_leaves_nothing_behind(suite: Suite, bucket: Bucket, name: str) -> None:
    suite.write(SUITE)
    bucket.create()
    url = f"{bucket.url}/{name}"

    result = suite.run("-n0", to=url)

    result.assert_outcomes(passed=3)
    index = {"runs": "runs/index.json", "runs.jsonl": "runs.index.json", "runs.json": "runs.json"}
    (line,) = suite.lines(result)
    assert line.endswith(f"0 lost -> {bucket.url}/{index.get(name, name + '.index.json')}")
    assert [run.run_id for run in load_results(url)] == ["run-0", "run-1", "run-2"]
    assert [run.messages[0].content for run in iterate_results(url)] == ["hello"] * 3
    assert read_index(url).total_runs == 3
    assert not uploads(suite).exists()


def test_workers_need_to_know_nothing_of_the_store(suite: Suite, bucket: Bucket, run_args: list[str]) -> None:
    suite.write(SUITE)
    bucket.create()

    suite.run(*run_args, to=f"{bucket.url}/runs").assert_outcomes(passed=3)

    assert bucket.names() == {"runs/index.json", "runs/run-0.json", "runs/run-1.json", "runs/run-2.json"}
    assert not uploads(suite).exists()


def test_a_session_replaces_what_its_url_had(suite: Suite, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that are gone are removed; what is no run of the old index is not ours to touch."""
    suite.write(SUITE)
    bucket.create()
    suite.run("-n0", to=f"{bucket.url}/runs")
    bucket.put("runs/notes.json", b"{}")
    monkeypatch.setenv("RUNS", "1")
    monkeypatch.setenv("SAYS", "again")

    suite.run("-n0", to=f"{bucket.url}/runs")

    assert bucket.names() == {"runs/index.json", "runs/notes.json", "runs/run-0.json"}
    assert [run.messages[0].content for run in load_results(f"{bucket.url}/runs")] == ["again"]


@pytest.mark.parametrize("name", ["runs", "runs.jsonl.gz"])
def test_an_upload_that_fails_loses_nothing_and_can_be_finished(
    suite: Suite, bucket: Bucket, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The bucket is missing, the network is down, the credentials are old: the runs are there all the same."""
    suite.write(SUITE)
    url = f"{bucket.url}/{name}"

    result = suite.run("-n0", to=url)

    result.assert_outcomes(passed=3)
    assert result.ret == 0
    local = f"{cloud.FOLDER}/s3/{bucket.name}/ci/main/{name}"
    first, reason, command = suite.lines(result)
    assert f"0 lost -> {local}" in first.replace("\\", "/")
    assert reason.startswith(f"arena: not uploaded to {url}: ")
    assert "NoSuchBucket" in reason
    assert command.replace("\\", "/") == f"arena: to upload it: arena-state upload {local}"
    assert len(suite.runs(local)) == 3

    bucket.create()
    capsys.readouterr()
    monkeypatch.chdir(suite.path)
    assert main(["upload", local]) == 0

    assert capsys.readouterr().out.startswith(f"uploaded -> {url}")
    assert len(load_results(url)) == 3
    assert not uploads(suite).exists()


@pytest.mark.parametrize("name", ["runs", "runs.jsonl"])
def test_the_index_is_uploaded_last(suite: Suite, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Whoever reads it finds every run that it names, also while an upload runs."""
    suite.write(SUITE)
    bucket.create()
    put: list[str] = []
    real = cloud._put

    def noting(store: object, name: str, file: Path) -> None:
        real(store, name, file)
        put.append(name)

    monkeypatch.setattr(cloud, "_put", noting)

    suite.run("-n0", to=f"{bucket.url}/{name}")

    assert put[-1] == {"runs": "index.json", "runs.jsonl": "runs.index.json"}[name]
    assert len(put) == {"runs": 4, "runs.jsonl": 2}[name]


def test_the_next_session_uploads_what_a_dead_one_saved(suite: Suite, bucket: Bucket) -> None:
    suite.write(SUITE)
    bucket.create()
    suite.write(
        "import os\n\ndef test_dies(arena_store):\n"
        "    arena_store.save({'id': 'of-the-dead', 'messages': []})\n    os._exit(1)\n",
        "test_dying",
    )
    suite.run_apart("-n0", "test_dying.py", to=f"{bucket.url}/runs.jsonl")
    assert bucket.names() == set()

    suite.run("-n0", "test_suite.py", to=f"{bucket.url}/runs.jsonl").assert_outcomes(passed=3)

    assert {run.run_id for run in load_results(f"{bucket.url}/runs.jsonl")} == {
        "of-the-dead",
        "run-0",
        "run-1",
        "run-2",
    }
    assert not uploads(suite).exists()


def test_a_recovered_session_says_how_it_gets_to_its_url(
    suite: Suite, bucket: Bucket, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    suite.write("import os\n\ndef test_dies(arena_run):\n    arena_run.user('hello')\n    os._exit(1)\n")
    bucket.create()
    suite.run_apart("-n0", to=f"{bucket.url}/runs")
    local = f"{cloud.FOLDER}/s3/{bucket.name}/ci/main/runs"
    monkeypatch.chdir(suite.path)
    capsys.readouterr()

    assert main(["recover", local]) == 0
    assert f"arena-state upload {local}" in capsys.readouterr().out.replace("\\", "/")
    assert main(["upload", local]) == 0

    (run,) = load_results(f"{bucket.url}/runs")
    assert run.messages[0].content == "hello"


def test_reports_and_hooks_get_the_results_before_they_are_uploaded(suite: Suite, bucket: Bucket) -> None:
    suite.write(SUITE)
    suite.pytester.makeconftest(
        """
        def pytest_arena_results(config, path, index):
            print(f"here: {len(list(path.glob('run-*.json')))} of {index.total_runs}")
        """
    )
    bucket.create()

    result = suite.run("-n0", "-s", "--arena-markdown=summary.md", to=f"{bucket.url}/runs")

    result.stdout.fnmatch_lines(["*here: 3 of 3"])
    assert "3 runs" in (suite.path / "summary.md").read_text(encoding="utf-8")


def test_a_baseline_may_be_in_a_store(suite: Suite, bucket: Bucket) -> None:
    """Where the results of the main branch are kept."""
    suite.write(SUITE)
    bucket.create()
    suite.run("-n0", to=f"{bucket.url}/runs.jsonl.gz")

    result = suite.run("-n0", "--arena-markdown=summary.md", f"--arena-baseline={bucket.url}/runs.jsonl.gz")

    assert f"Against `{bucket.url}/runs.jsonl.gz`" in (suite.path / "summary.md").read_text(encoding="utf-8")
    assert not [line for line in suite.lines(result) if "no baseline" in line]


def test_results_that_arena_wrote_there_are_not_replaced(suite: Suite, bucket: Bucket) -> None:
    """Its index knows nothing of ours, and its runs would be lost to whoever reads by the index."""
    suite.write(SUITE)
    bucket.create()
    bucket.put("runs/index.json", json.dumps({"total_runs": 1, "run_ids": ["theirs"]}).encode())
    bucket.put("runs/theirs.json", b"{}")

    result = suite.run("-n0", to=f"{bucket.url}/runs")

    assert "Arena wrote are there" in suite.lines(result)[1]
    assert bucket.names() == {"runs/index.json", "runs/theirs.json"}


# --- usage, and what is said -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "s3://",
        "s3://bucket",
        "s3://bucket/",
        f"s3://someone:{SECRET}@bucket/runs",
        f"s3://bucket/runs?X-Amz-Signature={SECRET}",
        f"az://container/runs.jsonl?sig={SECRET}",
        f"gs://bucket/runs#{SECRET}",
        "s3://bucket/../runs",
        "s3://bucket/a\\b",
        "s3://bucket/a%2e%2e/b",
        f"https://bucket.example/runs?sig={SECRET}",
        "S3://bucket/runs",
        "file:///runs",
    ],
)
def test_a_url_that_is_none_is_refused_before_tests_run_and_never_repeated(suite: Suite, url: str) -> None:
    """A signed URL is a secret, and logs of CI jobs are public."""
    suite.write(SUITE)

    result = suite.run("-n0", to=url)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--arena-results: a URL of results is *"])
    assert SECRET not in result.stdout.str() + result.stderr.str()
    assert not uploads(suite).exists()


def test_a_missing_library_is_named_before_any_test_runs(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    suite.write(SUITE)
    monkeypatch.setitem(sys.modules, "obstore", None)

    result = suite.run("-n0", to="s3://bucket/runs")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["*--arena-results: object stores need obstore: pip install 'pytest-arena-state?cloud?'"]
    )
    assert not uploads(suite).exists()
    with pytest.raises(ConfigurationError, match="pip install"):
        load_results("s3://bucket/runs")


def test_results_on_disk_import_nothing_for_it(suite: Suite) -> None:
    suite.write(SUITE)
    suite.pytester.makeconftest(
        """
        import sys

        def pytest_unconfigure():
            print(f"loaded: {sorted({'obstore', 'pytest_arena_state.cloud'} & set(sys.modules))}", file=sys.stderr)
        """
    )

    result = suite.run_apart("-n0")

    result.stderr.fnmatch_lines(["loaded: []*"])


@contextmanager
def answering(status: int, body: str) -> Iterator[str]:
    """A server that refuses everything."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_POST = do_PUT  # noqa: N815 - names that the server looks up

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.skipif(not find_spec("obstore"), reason="object stores are tested with the extra [cloud-dev]")
def test_what_a_store_answers_is_redacted(
    suite: Suite, environment: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Some repeat what they were sent, with the key in it."""
    suite.write(SUITE)
    body = f"<Error><Code>No</Code><Message>signed with {SECRET} at http://x/?X-Amz-Signature=abc</Message></Error>"
    with answering(403, body) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)

        result = suite.run("-n0", to="s3://bucket/runs")
        with pytest.raises(ResultsError, match="signed with") as caught:
            load_results("s3://bucket/runs")

    said = result.stdout.str() + result.stderr.str() + str(caught.value)
    assert "signed with [redacted:AWS_SECRET_ACCESS_KEY] at http://x/?… (No)" in said
    assert SECRET not in said
    assert "abc" not in said
    assert result.ret == 0


# --- reading and the command ---------------------------------------------------------------------------


def test_every_verb_reads_a_url(suite: Suite, bucket: Bucket, capsys: pytest.CaptureFixture[str]) -> None:
    suite.write(SUITE)
    bucket.create()
    for name in ("a", "b.jsonl.gz"):
        suite.run("-n0", to=f"{bucket.url}/{name}")
    a, b = f"{bucket.url}/a", f"{bucket.url}/b.jsonl.gz"
    capsys.readouterr()

    assert main(["show", a]) == 0
    assert main(["show", b, "run-1"]) == 0
    assert main(["report", a, "-o", str(suite.path / "report.csv"), "--baseline", b]) == 0
    assert main(["compare", a, b]) == 0
    assert main(["validate", b]) == 0
    assert main(["merge", a, b, "-o", str(suite.path / "merged"), "--expect=2"]) == 0

    out = capsys.readouterr().out
    assert "3 runs" in out
    assert "hello" in out
    assert len(load_results(suite.path / "merged")) == 6
    assert (suite.path / "report.csv").read_text(encoding="utf-8").count("run-") >= 3


def test_what_is_not_there_is_named_by_its_url(bucket: Bucket, capsys: pytest.CaptureFixture[str]) -> None:
    bucket.create()

    for name in ("nothing", "nothing.jsonl"):
        assert main(["show", f"{bucket.url}/{name}"]) == 1
        assert f"{bucket.url}/{name}: " in capsys.readouterr().err


def test_a_wrong_run_is_named_by_its_url(bucket: Bucket) -> None:
    bucket.create()
    bucket.put("runs/broken.json", b"{")

    with pytest.raises(ResultsError, match=rf"{bucket.url}/runs/broken\.json: not a RunResult"):
        list(iterate_results(f"{bucket.url}/runs"))


def test_names_in_a_store_do_not_lead_out_of_the_copy(bucket: Bucket) -> None:
    """Whoever can write to the bucket must not write to the disks of those who read it."""
    bucket.create()
    bucket.put("runs/a/deeper.json", b"{}")
    bucket.put("runs/..%5C..%5Cout.json", b"{}")
    bucket.put("runs/run.json", b'{"RunID": "run", "Messages": []}')

    assert [run.run_id for run in iterate_results(f"{bucket.url}/runs")] == ["run"]


def test_a_copy_is_removed_when_nobody_holds_it(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.create()
    bucket.put("runs/run.json", b'{"RunID": "run", "Messages": []}')
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    runs = iterate_results(f"{bucket.url}/runs")
    next(runs)
    assert list(tmp_path.iterdir())
    runs.close()  # type: ignore[attr-defined]
    del runs

    assert not list(tmp_path.iterdir())


def test_results_of_another_form_are_not_uploaded_under_a_name_that_misleads(
    suite: Suite, bucket: Bucket, capsys: pytest.CaptureFixture[str]
) -> None:
    suite.write(SUITE)
    bucket.create()
    suite.run("-n0", to="out.jsonl")
    capsys.readouterr()

    assert main(["upload", str(suite.path / "out.jsonl"), f"{bucket.url}/runs"]) == 1
    assert main(["upload", str(suite.path / "nothing"), f"{bucket.url}/runs"]) == 1
    assert main(["upload", str(suite.path / "out.jsonl")]) == 2
    assert bucket.names() == set()
    assert main(["upload", str(suite.path / "out.jsonl"), f"{bucket.url}/mine.jsonl"]) == 0

    assert bucket.names() == {"mine.jsonl", "mine.index.json"}
    assert len(suite.runs("out.jsonl")) == 3
    (suite.path / "out.index.json").unlink()
    assert main(["upload", str(suite.path / "out.jsonl"), f"{bucket.url}/mine.jsonl"]) == 1
    err = capsys.readouterr().err
    assert "out.index.json is missing; `arena-state merge` makes results with an index of these" in err
    assert "'runs' is no name for results of this form" in err
    assert "there are no results to upload" in err
    assert "nothing says where it belongs: name a URL" in err


def test_what_only_a_session_uploads_is_refused_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or there would be a folder `s3:` where somebody expects a bucket to be filled."""
    monkeypatch.chdir(tmp_path)
    Path("run.json").write_text('{"RunID": "run", "Messages": []}', encoding="utf-8")

    assert main(["merge", "run.json", "-o", "s3://bucket/merged"]) == 1
    assert main(["report", "run.json", "-o", "s3://bucket/report.csv"]) == 2

    assert "and then `arena-state upload` it" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_a_rootdir_that_takes_nothing_is_no_reason_to_lose_results(
    suite: Suite, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Containers are often read-only, and that is why their results go into a store."""
    suite.write(SUITE)
    bucket.create()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("os.access", lambda path, mode: False)

    suite.run("-n0", to=f"{bucket.url}/runs")

    assert bucket.names() == {"runs/index.json", "runs/run-0.json", "runs/run-1.json", "runs/run-2.json"}
    assert not uploads(suite).exists()


@pytest.mark.parametrize("url", ["s3://bucket/ci/main/runs", "gs://bucket/runs.jsonl", "az://container/a b/runs.json"])
def test_a_place_in_a_store_has_one_url(url: str, tmp_path: Path) -> None:
    place = Place.of(url)

    assert place.url == url
    assert Place.of(url.replace("bucket/", "bucket//")) == place
    assert place.target(tmp_path).url == url
    assert place.target(tmp_path).path.is_relative_to(tmp_path / cloud.FOLDER)


# --- media -----------------------------------------------------------------------------------------

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(2000)
WITH_MEDIA = """
import os, pytest
from pytest_arena_state import ContentPart, Message

@pytest.mark.parametrize("n", range(2))
def test_it(arena_store, n):
    picture = ContentPart.from_bytes(b"\\x89PNG\\r\\n\\x1a\\n" + bytes(int(os.environ.get("SIZE", "2000"))))
    arena_store.save({"id": f"run-{n}", "messages": [Message(role="user", parts=[picture])]})
"""


@pytest.mark.parametrize("name", ["runs", "runs.jsonl.gz"])
def test_large_media_go_with_their_results(
    suite: Suite, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, name: str, tmp_path: Path
) -> None:
    """Up, down, into a merge, and away when nothing names them any more."""
    suite.write(WITH_MEDIA)
    bucket.create()
    url = f"{bucket.url}/{name}"
    folder = {"runs": "runs/media", "runs.jsonl.gz": "runs.jsonl.gz.media"}[name]

    suite.run("-n0", "-oarena_media_limit=1000", to=url).assert_outcomes(passed=2)

    (file,) = [each for each in bucket.names() if each.startswith(folder)]
    assert not uploads(suite).exists()
    media = load_results(url)[1].messages[0].parts[0].media
    assert media is not None
    assert read_media(url, media) == PICTURE
    assert main(["validate", url]) == 0
    assert main(["merge", url, "-o", str(tmp_path / "all")]) == 0
    assert read_media(tmp_path / "all", media) == PICTURE

    monkeypatch.setenv("SIZE", "3000")
    suite.run("-n0", "-oarena_media_limit=1000", to=url).assert_outcomes(passed=2)
    (left,) = [each for each in bucket.names() if each.startswith(folder)]
    assert left != file
    assert main(["validate", url]) == 0


def test_files_that_runs_point_at_go_with_a_directory(suite: Suite, bucket: Bucket, tmp_path: Path) -> None:
    """A recording, or a picture that a test put there itself."""
    bucket.create()
    suite.write(
        """
        from pytest_arena_state import ContentPart

        def test_it(arena_run):
            arena_run.user("", parts=[ContentPart.from_url("https://example.org/picture.png")])
        """
    )
    suite.run("-n0", to="mine")
    (run,) = (path for path in (suite.path / "mine").glob("*.json") if path.name != "index.json")
    run.write_text(run.read_text().replace('"url":"https://example.org/picture.png"', '"file_path":"sent/50% #1.png"'))
    (suite.path / "mine" / "sent").mkdir()
    (suite.path / "mine" / "sent" / "50% #1.png").write_bytes(PICTURE)
    (suite.path / "mine" / "sent" / "unnamed.png").write_bytes(PICTURE)

    assert main(["upload", str(suite.path / "mine"), f"{bucket.url}/mine"]) == 0

    assert {name for name in bucket.names() if "/sent/" in name} == {"mine/sent/50% #1.png"}
    assert main(["merge", f"{bucket.url}/mine", "-o", str(tmp_path / "all")]) == 0
    assert (tmp_path / "all" / "sent" / "50% #1.png").read_bytes() == PICTURE


def test_media_that_are_not_what_they_were_stay_here(suite: Suite, bucket: Bucket) -> None:
    """Results may be a stranger's, and what is named like media a link to a file of this machine."""
    bucket.create()
    suite.write(WITH_MEDIA)
    suite.run("-n0", "-oarena_media_limit=1000", to="mine.jsonl")
    folder = suite.path / "mine.jsonl.media"
    (media,) = folder.iterdir()
    (suite.path / "secret").write_text("of this machine", encoding="utf-8")
    (folder / f"{'0' * 64}.txt").symlink_to(suite.path / "secret")

    assert main(["upload", str(suite.path / "mine.jsonl"), f"{bucket.url}/mine.jsonl"]) == 0

    assert {name for name in bucket.names() if "media" in name} == {f"mine.jsonl.media/{media.name}"}
