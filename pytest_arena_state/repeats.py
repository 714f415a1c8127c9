"""``trial_results`` of runs that were repeated, in the shape that PromptKit Arena gives them.

A session that ran a scenario with a provider twice or more says how that went in one of the runs: as in
Arena in the first of them, and there in the first that counts. What went before in other sessions is not counted,
because it may be there today and gone tomorrow: what a run's file says depends on the runs of its own session alone,
so the same session always writes the same bytes, and nobody's published file is touched.

Where nothing was repeated, eight bytes for each run are all that this takes.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from itertools import chain, islice, pairwise
from typing import TYPE_CHECKING, Any, Self

from ._wire import dumps, loads
from .catalogue import KEPT, RUN
from .rates import rate_of

if TYPE_CHECKING:
    from .catalogue import Catalogue, Entry, Named
    from .merge import Merged, MergedRun, SliceReader
    from .staging import Ledger

_TYPES = 200  # kinds of assertions that are told apart; a name with a number in it may make a thousand
_NO_TRIAL = 0  # in place of a fingerprint: a run that skipped, that names no scenario or cannot be read


class Repeats:
    """What the runs that stand for their repeats say of them, by the number of their entry in the catalogue."""

    def __init__(self, results: Mapping[int, bytes]) -> None:
        self._results = results

    @classmethod
    def of(cls, merged: Merged, catalogue: Catalogue, reader: SliceReader, token: str) -> Self:
        """Find what was repeated.

        Args:
            merged: All runs that will be published.
            catalogue: The same, in their order.
            reader: Of their journals.
            token: Of the session that publishes; runs of sessions that it recovers have their own.

        Raises:
            OSError: A ledger cannot be read.
        """
        marks = [array("q", (_mark(key, token) for key in _staged_keys(ledger))) for ledger in merged.ledgers]
        read = array("q", (_mark(_key_of(run, reader), run.token or token) for run in merged.runs))
        repeated = _occurring_twice(chain(*marks, read))
        if not repeated:
            return cls({})
        tallies = {mark: _Tally() for mark in repeated}
        for ledger, of_ledger in zip(merged.ledgers, marks, strict=True):
            for place, status, assertions in _staged(ledger):
                if of_ledger[place] in tallies and not tallies[of_ledger[place]].add(status, assertions):
                    of_ledger[place] = _NO_TRIAL
        for place, run in enumerate(merged.runs):
            if read[place] in tallies and not _add_read(tallies[read[place]], run, reader):
                read[place] = _NO_TRIAL
        told = {mark: dumps(tally.results()) for mark, tally in tallies.items() if tally.trials > 1}

        def mark_of(entry: Entry) -> int:
            return (
                _NO_TRIAL
                if entry.source == KEPT
                else (read if entry.source == RUN else marks[entry.source])[entry.place]
            )

        return cls({number: told[mark] for mark, number in _standing_for(told.keys(), catalogue, mark_of).items()})

    def __contains__(self, number: int) -> bool:
        return number in self._results

    def told(self, number: int, body: bytes) -> bytes:
        """The JSON of a run with its trial results, unless it has some already: what a test wrote is left as it is."""
        results = self._results.get(number)
        if results is None or _has_some(body):
            return body
        # At the end, which is their place, in either of the layouts that `document` writes.
        if body.endswith(b"\n}\n"):
            return b'%b,\n  "trial_results": %b\n}\n' % (body[:-3], results)
        return b'%b,"trial_results":%b}' % (body[:-1], results) if body.endswith(b"}") else body


def _has_some(body: bytes) -> bool:
    try:
        return "trial_results" in loads(body)
    except (ValueError, TypeError):
        return True  # somebody has been at what was staged; it is not ours to mend


def _standing_for(told: Set[int], catalogue: Iterable[Named], mark_of: Callable[[Entry], int]) -> dict[int, int]:
    """For each mark the number of the first entry that counts, or of the first, should none count."""
    first: dict[int, int] = {}
    counting: dict[int, int] = {}
    for run in catalogue if told else ():
        mark = mark_of(run.entry)
        if mark in told:
            first.setdefault(mark, run.entry.number)
            if not run.superseded:
                counting.setdefault(mark, run.entry.number)
                if len(counting) == len(told):
                    break
    return first | counting


class _Tally:
    """The trials of one scenario with one provider in one session."""

    def __init__(self) -> None:
        self.trials = 0
        self._passed = 0
        self._assertions: dict[str, list[int]] = {}

    def add(self, status: str, assertions: Mapping[str, Any]) -> bool:
        """Count a run; says whether it is a trial, which a skipped one is not."""
        if status == "skipped":
            return False
        held: dict[str, bool] = {}
        for result in assertions.get("results") or ():
            kind = str(result.get("type") or "")  # left out where it is empty
            held[kind] = held.get(kind, True) and bool(result.get("passed"))
        self.trials += 1
        self._passed += status == "passed"
        for kind, passed in held.items():
            counts = self._assertions.setdefault(kind, [0, 0])
            counts[0] += passed
            counts[1] += 1
        return True

    def results(self) -> dict[str, Any]:
        """Arena's fields, and after them ours."""
        told: dict[str, Any] = {
            "trial_count": self.trials,
            "pass_rate": self._passed / self.trials,
            "flakiness_score": _flakiness(self._passed, self.trials),
        }
        if self._assertions:
            told["per_assertion_stats"] = {
                kind: {
                    "pass_rate": passed / total,
                    "pass_count": passed,
                    "fail_count": total - passed,
                    "flakiness_score": _flakiness(passed, total),
                }
                for kind, (passed, total) in sorted(self._assertions.items())[:_TYPES]
            }
        return told | rate_of(self._passed, self.trials)


def _flakiness(passed: int, total: int) -> float:
    """As Arena has it: 0 where all trials went the same way, 1 where half of them passed."""
    return 1.0 - abs(2 * passed / total - 1)


# --- what was saved of each run ------------------------------------------------------------------


def _occurring_twice(marks: Iterable[int]) -> set[int]:
    return {one for one, other in pairwise(sorted(marks)) if one == other != _NO_TRIAL}


def _mark(key: bytes, token: str) -> int:
    return hash((key, token)) if key else _NO_TRIAL


def _key(row: Mapping[str, Any]) -> bytes:
    scenario = row.get("scenario_id")
    return b'%b,"provider_id":%b' % (dumps(scenario), dumps(row.get("provider_id"))) if scenario else b""


# To parse every row of a large session is spared: this package writes these keys in this order, and a quote within a
# text is escaped, so what lies between them is the status, or scenario and provider.


def _staged_keys(ledger: Ledger) -> Iterator[bytes]:
    with ledger.path.open("rb") as stream:
        for line in islice(stream, ledger.count):
            begin = line.find(b',"scenario_id":', line.find(b"\t"))
            text = line[begin + 15 : line.find(b',"region":', begin)]
            yield b"" if begin < 0 or text.startswith(b'""') else text


def _staged(ledger: Ledger) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Of each run its place, status and assertions."""
    last, assertions = b"", {}
    with ledger.path.open("rb") as stream:
        for place, line in enumerate(islice(stream, ledger.count)):
            _, row, text, *_ = line.rstrip(b"\n").split(b"\t", 3)
            if text != last:  # most tests assert nothing here, or the same as the one before
                last, assertions = text, loads(text)
            begin = row.find(b',"status":"') + 11
            yield place, row[begin : row.find(b'"', begin)].decode(), assertions


# A journal may be anybody's, so anything may be in it; what cannot be read is named where it is published.
_DAMAGE = (OSError, ValueError, TypeError, KeyError, AttributeError)


def _key_of(run: MergedRun, reader: SliceReader) -> bytes:
    try:
        return _key(_part(run, reader, 2))
    except _DAMAGE:
        return b""


def _add_read(tally: _Tally, run: MergedRun, reader: SliceReader) -> bool:
    try:
        return tally.add(_part(run, reader, 2)["status"], _part(run, reader, 1)["conversation_assertions"])
    except _DAMAGE:
        return False


def _part(run: MergedRun, reader: SliceReader, number: int) -> dict[str, Any]:
    if run.composed is not None:
        return run.composed.row if number == 2 else run.composed.after
    assert run.report is not None
    found: dict[str, Any] = loads(reader.read(run.journal, *run.report[2 * number : 2 * number + 2]))
    return found


__all__ = ["Repeats"]
