"""The ``arena-state`` command: read results, and finish the work of sessions that died.

Exit status: 0 when all went well, 1 when something is wrong with the results, 2 when the
command could not be understood.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ._text import plural, printable
from .errors import ArenaStateError
from .schema import SCHEMAS, read_schema
from .summary import describe, describe_runs


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character must not end the command.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(arguments)
    try:
        return int(options.verb(options))
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has seen enough
        return 0
    except (OSError, ValueError) as error:
        sys.stderr.write(f"arena-state: {printable(_reason(error), 1000)}\n")
        return 1


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror and not isinstance(error, ArenaStateError):
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="arena-state", description="Read the results of pytest --arena-results.")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    show = verbs.add_parser("show", help="a summary of results, or the transcript of one run")
    show.add_argument("path", help="a results directory, a .jsonl (also .gz or .zst) or a .json")
    show.add_argument("run", nargs="?", help="a run id, or the stem of its file")
    show.set_defaults(verb=_show)
    report = verbs.add_parser("report", help="results as html, md, junit, jsonl, csv or parquet")
    report.add_argument("path", help="a results directory, a .jsonl or a .json")
    report.add_argument("-o", "--output", required=True, metavar="FILE", help="its ending tells the format")
    report.add_argument("--format", metavar="NAME", help="when the ending does not")
    report.add_argument("--baseline", metavar="PATH", help="results to show changes against")
    report.set_defaults(verb=_report)
    compare = verbs.add_parser("compare", help="what changed between two results")
    compare.add_argument("base", help="results of before")
    compare.add_argument("new", help="results of now")
    compare.add_argument(
        "--fail-on",
        metavar="CONDITIONS",
        default="",
        help="exit with 1 when one holds, such as new-failures,cost+10%%,latency+20%%,pass-rate-5%%",
    )
    compare.add_argument("--format", choices=("md", "json"), default="md")
    compare.add_argument("-o", "--output", metavar="FILE", help="write there, not to the terminal")
    compare.set_defaults(verb=_compare)
    recover = verbs.add_parser("recover", help="make the report of sessions that died")
    recover.add_argument("path", help="the results path of the session, or the folder of its journals")
    recover.add_argument("-o", "--output", metavar="OUT", help="where the results go, when not where they were wanted")
    recover.set_defaults(verb=_recover)
    validate = verbs.add_parser("validate", help="check every file against the format")
    validate.add_argument("path", help="a results directory, a .jsonl, a .json, or a session's journals")
    validate.set_defaults(verb=_validate)
    merge = verbs.add_parser("merge", help="several results into one")
    merge.add_argument("paths", nargs="+", metavar="PATH", help="results directories, .jsonl and .json files")
    merge.add_argument("-o", "--output", required=True, metavar="OUT", help="a directory, a .jsonl or a .json")
    merge.add_argument("--expect", type=int, metavar="N", help="fail unless there are N inputs, all of them whole")
    merge.add_argument(
        "--on-conflict", choices=("keep", "fail"), default="keep", help="different runs with one name (default: keep)"
    )
    merge.set_defaults(verb=_merge)
    schema = verbs.add_parser("schema", help="the JSON Schema of a run's report, of the index, or of a journal's line")
    schema.add_argument("name", nargs="?", choices=SCHEMAS, default=SCHEMAS[0], help="default: %(default)s")
    schema.set_defaults(verb=_schema)
    doctor = verbs.add_parser("doctor", help="which installed libraries --arena-capture observes, and why not others")
    doctor.set_defaults(verb=_doctor)
    return parser


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _show(options: argparse.Namespace) -> int:
    from .reporters.source import find_run, open_source

    if options.run is None:
        from .reporters.markdown import render_summary

        _say(render_summary(open_source(options.path)).rstrip("\n"))
    else:
        from .reporters.transcript import render_transcript

        _say(render_transcript(find_run(options.path, options.run)).rstrip("\n"))
    return 0


def _report(options: argparse.Namespace) -> int:
    from .reporters import write_report

    path = write_report(options.path, options.output, options.format, baseline=options.baseline)
    _say(f"wrote {printable(str(path), 1000)}")
    return 0


def _compare(options: argparse.Namespace) -> int:
    from .compare import compare_cells
    from .fail_on import parse_fail_on
    from .reporters import comparison as rendering
    from .reporters.source import open_source

    conditions = parse_fail_on(options.fail_on) if options.fail_on else ()
    outcome = compare_cells(open_source(options.base).cells(), open_source(options.new).cells())
    violated = [reason for condition in conditions if (reason := condition.violated(outcome))]
    if options.format == "json":
        text = rendering.render_json(outcome, violated)
    else:
        text = rendering.render_markdown(outcome, conditions)
    if options.output:
        Path(options.output).write_text(text, encoding="utf-8")
    else:
        _say(text.rstrip("\n"))
    for reason in violated:
        sys.stderr.write(f"arena-state: {printable(reason)}\n")
    return 1 if violated else 0


def _recover(options: argparse.Namespace) -> int:
    from .recovery import recover

    recovery = recover(options.path, output=options.output)
    if recovery.alive:
        _say(f"{plural(recovery.alive, 'session')} left alone: a process of theirs is alive")
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
    return 0


def _merge(options: argparse.Namespace) -> int:
    from .shards import merge

    outcome = merge(options.paths, options.output, fail_on_conflict=options.on_conflict == "fail")
    assert outcome.index is not None
    whole = sum(not shard.problems for shard in outcome.shards)
    _say(
        f"merged {plural(whole, 'input')}: {describe_runs(row.to_dict() for row in outcome.index.runs)} "
        f"-> {printable(outcome.target.shown_index, 1000)}"
    )
    if outcome.conflicts:
        _say(f"{plural(len(outcome.conflicts), 'name')} of different runs: all are kept under names of their own")
    for problem in outcome.problems:
        sys.stderr.write(f"arena-state: {printable(problem, 1000)}\n")
    if options.expect is not None and whole != options.expect:
        sys.stderr.write(f"arena-state: {options.expect} whole inputs were expected, {whole} were there\n")
        return 1
    return 1 if outcome.problems else 0


def _validate(options: argparse.Namespace) -> int:
    from .validation import validate

    checked = wrong = 0
    for finding in validate(options.path):
        checked += 1
        if finding.problem:
            wrong += 1
            _say(f"{printable(finding.file, 1000)}: {printable(finding.problem, 1000)}")
    _say(f"{plural(checked, 'file')} checked, {wrong:,} wrong")
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
