"""The ``arena-state`` command: read results, and finish the work of sessions that died.

Exit status: 0 when all went well, 1 when something is wrong with the results or a condition of ``--fail-on`` holds,
2 when the command could not be understood. Output that nobody reads any more ends the command quietly, and with the
status that it would have had.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from . import __version__
from ._text import plural, printable
from .errors import ArenaStateError, ConfigurationError
from .reporters import FORMATS
from .schema import SCHEMAS, read_schema
from .summary import describe
from .target import Target, is_url

if TYPE_CHECKING:
    from .cloud import Fetched


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - closed by the shell
    sys.stderr = sys.stderr or sys.stdout
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character must not end the command.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    options, unknown = _parser().parse_known_args(arguments)
    if unknown:
        # By the verb's own parser, which shows how that is used.
        options.parser.error(f"unrecognized arguments: {printable(' '.join(unknown), 200)}")
    try:
        status = int(options.verb(options))
        _write(sys.stdout, "")
    except ConfigurationError as error:
        return _complain(error, status=2)
    except (OSError, ValueError) as error:
        return _complain(error, status=1)
    except MemoryError:
        return _complain(MemoryError("there is not enough memory for this; a smaller part of it may do"), status=1)
    except KeyboardInterrupt:
        return 130
    return status


def _complain(error: BaseException, *, status: int) -> int:
    with suppress(OSError):
        _warn(printable(_reason(error), 1000))
    return status


def _write(stream: TextIO, text: str) -> bool:
    """Write, and say whether anybody still reads; a condition that holds must fail the command even so."""
    try:
        stream.write(text)
        stream.flush()
    except OSError as error:
        if not _is_left(error):
            raise
        # The interpreter would complain when it flushes at its end.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return False
    return True


def _is_left(error: OSError) -> bool:
    """Whether an error says that nobody reads a pipe any more."""
    return isinstance(error, BrokenPipeError) or (os.name == "nt" and error.errno == errno.EINVAL)


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror and not isinstance(error, ArenaStateError):
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


_FORMS = "a results directory, a .jsonl (also .gz or .zst), a .json, or a folder of journals; ours or Arena's"
_STATUS = """exit status:
  0  all is well
  1  something is wrong with the results, or a condition of --fail-on holds
  2  the command was not understood, or needs an extra that is not installed"""


def _natural(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"wanted a whole number from 0 on, not {printable(text, 40)!r}")
    return int(text)


def _path(text: str) -> str:
    if not text:
        # A variable that a script did not set; it would mean the folder that the command runs in.
        raise argparse.ArgumentTypeError("wanted a path, not ''")
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="arena-state",
        description="Read the results of pytest --arena-results, or of PromptKit Arena.",
        epilog=f"`arena-state VERB --help` says more of each.\n\n{_STATUS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    def add(name: str, verb: Callable[[argparse.Namespace], int], help: str, *examples: str) -> argparse.ArgumentParser:
        lines = "".join(f"\n  arena-state {name} {example}".rstrip() for example in examples)
        added = verbs.add_parser(
            name,
            help=help,
            description=f"{help[0].upper()}{help[1:]}.",
            epilog=f"examples:{lines}\n\n{_STATUS}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added.set_defaults(verb=verb, parser=added)
        return added

    show = add(
        *("show", _show, "a summary of results, or the transcript of one run"),
        *("arena-results", "arena-results refund-1"),
    )
    show.add_argument("path", type=_path, metavar="PATH", help=_FORMS)
    show.add_argument("run", metavar="RUN", nargs="?", help="a run id, or the stem of its file")

    report = add(
        *("report", _report, f"results as {', '.join(FORMATS)}"),
        *("arena-results -o arena.html", "arena-results -o arena.html --baseline main-results"),
    )
    report.add_argument("path", type=_path, metavar="PATH", help=_FORMS)
    report.add_argument("-o", "--output", required=True, type=_path, metavar="FILE", help="its ending tells the format")
    report.add_argument("--format", metavar="NAME", choices=FORMATS, help=f"one of {', '.join(FORMATS)}")
    report.add_argument(
        "--baseline", type=_path, metavar="PATH", help="results to show changes against, in html and md"
    )

    compare = add(
        *("compare", _compare, "what changed between two results, per scenario and provider"),
        *("main-results arena-results", "main-results arena-results --fail-on new-failures,cost+10%,latency+20%"),
    )
    compare.add_argument("base", type=_path, metavar="BASE", help=f"results of before: {_FORMS}")
    compare.add_argument("new", type=_path, metavar="NEW", help="results of now")
    compare.add_argument(
        "--fail-on",
        metavar="CONDITIONS",
        help="exit with 1 when one holds: new-failures, flaky, missing, pass-rate-5%%, and NAME+10%% or NAME-10%% for "
        "cost, tokens, latency, latency-p95, turns, tool-calls; separated by commas",
    )
    compare.add_argument("--format", choices=("md", "json"), default="md", help="default: %(default)s")
    compare.add_argument("-o", "--output", type=_path, metavar="FILE", help="write there, not to the terminal")
    compare.add_argument(
        "--max-bytes", type=_natural, metavar="N", help="leave out of the Markdown what does not fit, and say so"
    )

    merge = add(
        *("merge", _merge, "several results into one: in any order, inputs untouched, equal runs are one"),
        *("job-1/arena-results job-2/arena-results -o all-results --expect 2",),
    )
    merge.add_argument("paths", nargs="+", type=_path, metavar="PATH", help=_FORMS)
    merge.add_argument(
        "-o",
        "--output",
        required=True,
        type=_path,
        metavar="OUT",
        help="a directory, a .jsonl (also .gz or .zst) or a .json",
    )
    merge.add_argument("--expect", type=_natural, metavar="N", help="fail unless N inputs are there, and whole")
    merge.add_argument(
        "--on-conflict",
        choices=("keep", "fail"),
        default="keep",
        help="different runs of one name: default keep",
    )

    recover = add(
        *("recover", _recover, "the report of sessions that died, made from their journals"),
        *("arena-results", "arena-results.journals -o elsewhere"),
    )
    recover.add_argument(
        "path", type=_path, metavar="PATH", help="the results path of the session, or the folder of its journals"
    )
    recover.add_argument(
        "-o", "--output", type=_path, metavar="OUT", help="where the results go, when not where they were wanted"
    )

    upload = add(
        *("upload", _upload, "results into an object store: what a session could not upload, or others"),
        *("arena-results-upload/s3/bucket/name", "arena-results s3://bucket/name"),
    )
    upload.add_argument("path", type=_path, metavar="PATH", help="results on disk")
    upload.add_argument(
        "url", metavar="URL", nargs="?", help="s3://, gs:// or az://; where their session wanted them when left out"
    )

    validate = add(
        *("validate", _validate, "every file checked against the format"),
        *("arena-results", "arena-results.journals"),
    )
    validate.add_argument("path", type=_path, metavar="PATH", help=_FORMS)

    schema = add(
        *("schema", _schema, "the JSON Schema of a run's report, of the index, or of a journal's line"),
        *("", "index"),
    )
    schema.add_argument(
        "name",
        metavar="NAME",
        nargs="?",
        choices=SCHEMAS,
        default=SCHEMAS[0],
        help=f"one of {', '.join(SCHEMAS)}; default: %(default)s",
    )

    add(
        *("doctor", _doctor, "which installed libraries --arena-capture observes, and why not others"),
        *("",),
    )
    return parser


def _say(text: str) -> bool:
    return _write(sys.stdout, f"{text}\n")


def _warn(text: str) -> bool:
    return _write(sys.stderr, f"arena-state: {text}\n")


def _show(options: argparse.Namespace) -> int:
    from .reporters.source import find_run, open_source

    if options.run is None:
        from .reporters.markdown import render_summary

        broken: dict[str, Exception] = {}
        source = open_source(options.path, broken=broken)
        if source.notes.totals.runs or not broken:
            _say(render_summary(source).rstrip("\n"))
        for error in broken.values():
            _complain(error, status=1)
        return 1 if broken else 0
    from .reporters.transcript import render_transcript

    _say(render_transcript(find_run(options.path, options.run)).rstrip("\n"))
    return 0


def _report(options: argparse.Namespace) -> int:
    from .reporters import format_of, is_stream, write_report

    try:
        path = write_report(options.path, options.output, options.format, baseline=options.baseline)
    except BrokenPipeError:
        return 0  # whoever read the report at the other end has seen enough
    if not is_stream(path):  # else it may be our own output that has the report
        _say(f"wrote {printable(str(path), 1000)}")
    if options.baseline and format_of(path, options.format).module not in ("html", "markdown"):
        _warn("only html and md show changes against a baseline")
    return 0


def _compare(options: argparse.Namespace) -> int:
    from .compare import compare_cells
    from .fail_on import parse_fail_on
    from .reporters import comparison as rendering
    from .reporters import refuse_url, write_whole
    from .reporters.source import open_source

    refuse_url(options.output)
    conditions = parse_fail_on(options.fail_on) if options.fail_on is not None else ()
    outcome = compare_cells(open_source(options.base).cells(), open_source(options.new).cells())
    violated = [reason for condition in conditions if (reason := condition.violated(outcome))]
    if options.format == "json":
        text = rendering.render_json(outcome, violated)
    else:
        text = rendering.render_markdown(outcome, conditions, limit_bytes=options.max_bytes)
    if options.output:
        with suppress(BrokenPipeError):  # whoever read it at the other end has seen enough
            write_whole(Path(options.output), lambda stream: stream.write(text.encode("utf-8", "replace")))
    else:
        _say(text.rstrip("\n"))
    for reason in violated:
        _warn(printable(reason))
    return 1 if violated else 0


def _recover(options: argparse.Namespace) -> int:
    from .cloud import noted_url
    from .recovery import recover

    recovery = recover(options.path, output=options.output)
    if recovery.alive:
        living = "it still runs" if recovery.alive == 1 else "they still run"
        _say(f"{plural(recovery.alive, 'session')} left alone: {living}")
    if recovery.totals is None:
        _say("nothing to recover")
        return 0
    merged = recovery.merged
    _say(
        f"recovered {plural(recovery.sessions, 'session')}: {describe(recovery.totals)}, "
        f"{len(merged.lost):,} lost -> {printable(recovery.target.shown_index, 1000)}"
    )
    for entry in merged.lost:
        _say(f"lost: {printable(entry['what'])}: {printable(entry['why'])}")
    for kind, count in sorted(merged.troubles.items()):
        _say(f"{printable(kind)}" + (f" ({count} times)" if count > 1 else ""))
    if noted_url(recovery.target.path):
        _say(f"to upload it: arena-state upload {printable(recovery.target.shown, 1000)}")
    return 0


def _merge(options: argparse.Namespace) -> int:
    from .shards import merge

    copies = [_copy_of(path) for path in options.paths]
    paths = [path if copy is None else copy.path for path, copy in zip(options.paths, copies, strict=True)]
    outcome = merge(paths, options.output, fail_on_conflict=options.on_conflict == "fail")
    whole = sum(not shard.problems for shard in outcome.shards)
    _say(
        f"merged {plural(whole, 'input')}: {describe(outcome.totals)} -> {printable(outcome.target.shown_index, 1000)}"
    )
    if outcome.conflicts:
        _say(f"{plural(outcome.conflicts, 'name')} of different runs: all are kept under names of their own")
    for problem in outcome.problems:
        for copy in copies:
            problem = problem if copy is None else copy.shown(problem)
        _warn(printable(problem, 1000))
    if options.expect is not None and whole != options.expect:
        _warn(f"{plural(options.expect, 'whole input')} expected, {whole} there")
        return 1
    return 1 if outcome.problems else 0


def _copy_of(path: str) -> Fetched | None:
    if not is_url(path):
        return None
    from .cloud import Fetched

    copy = Fetched(path)
    copy.fetch_media()
    return copy


def _upload(options: argparse.Namespace) -> int:
    from . import cloud

    path = Path(options.path)
    noted = cloud.noted_url(path)
    url = options.url or noted
    if not url:
        raise ConfigurationError(f"{options.path}: nothing says where it belongs: name a URL")
    index = cloud.upload(path, url)
    if url == noted:
        cloud.forget(Target(path.absolute(), options.path, url))
    _say(f"uploaded -> {printable(index, 1000)}")
    return 0


def _validate(options: argparse.Namespace) -> int:
    from .validation import validate

    runs = files = wrong = 0
    for finding in validate(options.path):
        runs += finding.of_run
        files += not finding.of_run
        if finding.problem:
            wrong += 1
            if not _say(f"{printable(finding.file, 1000)}: {printable(finding.problem, 1000)}"):
                return 1  # nobody wants to know what else is wrong
    within = f" and {plural(runs, 'run')} within" if runs else ""
    _say(f"{plural(files, 'file')}{within} checked, {wrong:,} wrong")
    return 1 if wrong else 0


def _doctor(_options: argparse.Namespace) -> int:
    from .observing import doctor

    for line in doctor.describe(*doctor.examine()):
        _say(printable(line, 1000))
    return 0


def _schema(options: argparse.Namespace) -> int:
    _say(read_schema(options.name).rstrip("\n"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
