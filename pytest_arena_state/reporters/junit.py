"""JUnit XML after Arena's mapping: a test suite per scenario, a test case per run.

A test case is named ``provider.region.run id`` and belongs to the class of its scenario. What Arena puts into
``system-out`` (run, provider, cost, tokens, tools) stands there too, because strict readers refuse properties of
a test case. Assertions that failed are failures here, not only violations: the status is the one of every report.

Attempts that a rerun superseded are skipped test cases: readers that know nothing of reruns would count them
as failures.
"""

from __future__ import annotations

import re
import tempfile
from array import array
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, BinaryIO
from xml.sax.saxutils import escape, quoteattr

from .._times import format_time
from .source import Reported, Source, reason_of

if TYPE_CHECKING:
    from datetime import datetime

    from ..models import RunResult

# Not in XML 1.0, not even as a reference.
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SPOOL_LIMIT = 1024 * 1024  # bytes of test cases in memory; more go to a temporary file
_TEXT_LIMIT = 2_000  # characters of an error or of a message


def write(source: Source, stream: BinaryIO, *, baseline: Source | None = None) -> None:
    """Write the test suites, sorted by scenario."""
    with tempfile.SpooledTemporaryFile(max_size=_SPOOL_LIMIT) as spool:
        suites = _spool(source, spool)
        total = Suite()
        for suite in suites.values():
            total.add(suite)
        stream.write(b'<?xml version="1.0" encoding="utf-8"?>\n')
        stream.write(f'<testsuites name="Arena Test Results" {total.attributes(skipped=False)}>\n'.encode())
        for scenario, suite in sorted(suites.items()):
            began = f" timestamp={_quoted(format_time(suite.began))}" if suite.began is not None else ""
            stream.write(f"  <testsuite name={_quoted(scenario)} {suite.attributes()}{began}>\n".encode())
            for offset, length in zip(suite.places[::2], suite.places[1::2], strict=True):
                spool.seek(offset)
                stream.write(spool.read(length))
            stream.write(b"  </testsuite>\n")
        stream.write(b"</testsuites>\n")


class Suite:
    """The counts of a test suite and where its test cases are."""

    def __init__(self) -> None:
        self.tests = self.failures = self.errors = self.skipped = 0
        self.nanoseconds = 0
        self.began: datetime | None = None
        self.places = array("q")  # an offset and a length for each

    def add(self, other: Suite) -> None:
        """Add the counts of another suite."""
        self.tests += other.tests
        self.failures += other.failures
        self.errors += other.errors
        self.skipped += other.skipped
        self.nanoseconds += other.nanoseconds

    def attributes(self, *, skipped: bool = True) -> str:
        """As XML."""
        more = f' skipped="{self.skipped}"' if skipped else ""
        counts = f'tests="{self.tests}" failures="{self.failures}" errors="{self.errors}"{more}'
        return f'{counts} time="{_seconds(self.nanoseconds)}"'


def _spool(source: Source, spool: IO[bytes]) -> dict[str, Suite]:
    suites: dict[str, Suite] = {}
    offset = 0
    for each in source:
        suite = suites.setdefault(each.row.scenario_id, Suite())
        status = "skipped" if each.row.superseded else each.row.status
        suite.tests += 1
        suite.failures += status == "failed"
        suite.errors += status not in ("passed", "failed", "skipped")
        suite.skipped += status == "skipped"
        suite.nanoseconds += each.row.duration_ns
        began = each.run.start_time
        if began is not None and (suite.began is None or began < suite.began):
            suite.began = began
        xml = "".join(_test_case(each)).encode("utf-8", "replace")
        spool.write(xml)
        suite.places.extend((offset, len(xml)))
        offset += len(xml)
    return suites


def _test_case(each: Reported) -> Iterator[str]:
    row, run = each.row, each.run
    name = ".".join((row.provider_id, row.region, row.run_id))
    time = _seconds(row.duration_ns)
    yield f"    <testcase classname={_quoted(row.scenario_id)} name={_quoted(name)} time={_quoted(time)}>\n"
    reason = reason_of(run)
    if row.superseded:
        attempt = row.labels.get("pytest.attempt", "?")
        message = f"attempt {attempt}, superseded by a later one: {row.status}"
        yield f'      <skipped type="superseded" message={_quoted(f"{message}: {reason}" if reason else message)}/>\n'
    elif row.status == "skipped":
        yield f'      <skipped type="skipped" message={_quoted(reason)}/>\n'
    elif row.status == "failed":
        kind = "ValidationError" if run.conversation_assertions.passed and run.violations else "AssertionError"
        text = _text("\n".join(_failure_details(run)))
        yield f'      <failure type="{kind}" message={_quoted(reason)}>{text}</failure>\n'
    elif row.status != "passed":  # a status that is not ours counts as broken
        text = _text("\n".join(_error_details(run)))
        yield f'      <error type="ExecutionError" message={_quoted(reason or row.status)}>{text}</error>\n'
    yield f"      <system-out>{_text(chr(10).join(_metadata(each)))}\n</system-out>\n    </testcase>\n"


def _error_details(run: RunResult) -> Iterator[str]:
    yield f"Error: {run.error[:_TEXT_LIMIT]}"
    if run.messages:
        yield "\nRecent conversation:"
    for message in run.messages[-3:]:
        said = message.text
        yield f"  [{message.role}]: {said[:200]}{'...' if len(said) > 200 else ''}"


def _failure_details(run: RunResult) -> Iterator[str]:
    for result in run.conversation_assertions.results:
        if not result.passed:
            yield f"{result.type or 'assertion'}: {result.message[:_TEXT_LIMIT]}"
    for number, violation in enumerate(run.violations, 1):
        yield f"Violation {number}: {violation.type}: {violation.detail[:_TEXT_LIMIT]}"


def _metadata(each: Reported) -> Iterator[str]:
    row, run = each.row, each.run
    yield f"Run ID: {row.run_id}"
    yield f"Provider: {row.provider_id}"
    yield f"Region: {row.region}"
    yield f"Duration: {_seconds(row.duration_ns)}s"
    yield f"Cost: ${row.cost_usd:.6f}"
    yield f"Input Tokens: {row.input_tokens}"
    yield f"Output Tokens: {row.output_tokens}"
    if row.cached_tokens:
        yield f"Cached Tokens: {row.cached_tokens}"
    if run.tool_stats is not None:
        yield f"Tool Calls: {run.tool_stats.total_calls}"
    if run.self_play:
        yield "Self-Play: true"
    if run.persona_id:
        yield f"Persona: {run.persona_id}"


def _seconds(nanoseconds: int) -> str:
    return f"{max(0, nanoseconds) / 1e9:.3f}"


def _legal(text: str) -> str:
    return _ILLEGAL.sub("\N{REPLACEMENT CHARACTER}", text)


def _text(text: str) -> str:
    return escape(_legal(text), {"\r": "&#13;"})


def _quoted(text: str) -> str:
    return quoteattr(_legal(text))
