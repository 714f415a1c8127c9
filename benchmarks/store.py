"""What saving and reading conversations costs, in one process and in memory.

    python benchmarks/store.py [--rounds 15]

The conversation: messages of 500 bytes with cost and timestamp, a tool call in every fifth, a
validation with details on every second. Prints the median and the minimum of the rounds, CPU time in
milliseconds, beside the figure that the project promises; a busy machine shows in the median
first.
"""

import argparse
import gc
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from pytest_arena_state import (
    ArenaRun,
    ArenaStateStore,
    ConversationState,
    CostInfo,
    Message,
    MessageValidation,
    RunResult,
    ToolCall,
    document,
)

TURNS = 200  # one message each
LONG = 1_000  # messages of the long run
START = datetime(2026, 2, 11, 8, 30, 1, 500_000, UTC)
TEXT = ("The parcel left Lyon this morning and is due tomorrow before noon. " * 8)[:500]


def message(number: int) -> Message:
    """The message at a position of the conversation."""
    return Message(
        role="assistant" if number % 2 else "user",
        content=f"{number:05d} {TEXT}"[:500],
        timestamp=START + timedelta(seconds=number, microseconds=number),
        cost_info=CostInfo(
            input_tokens=40 + number,
            output_tokens=9,
            input_cost_usd=4.1e-5,
            output_cost_usd=1.35e-4,
            total_cost_usd=1.76e-4,
        ),
        tool_calls=[ToolCall(id=f"call-{number}", name="lookup", args={"parcel": f"88-{number}", "deep": True})]
        if number % 5 == 0
        else [],
        validations=[
            MessageValidation(
                validator_type="banned_words", passed=True, details={"words": ["never"], "score": 0.25}, timestamp=START
            )
        ]
        if number % 2
        else [],
    )


def save_whole_every_turn(messages: list[Message]) -> None:
    """Save the whole conversation after each message, as a pipeline does."""
    store = ArenaStateStore()
    state = ConversationState(id="c")
    for each in messages:
        state.messages.append(each)
        store.save(state)


def append_every_turn(messages: list[Message]) -> None:
    """Append each message to the log."""
    store = ArenaStateStore()
    for number, each in enumerate(messages):
        store.log_append("c", number, [each])


def record_every_turn() -> None:
    """Write each message down with an `ArenaRun`."""
    run = ArenaRun(ArenaStateStore(), "c")
    for number in range(TURNS // 2):
        run.user(TEXT)
        run.assistant(TEXT, cost=CostInfo(input_tokens=40, output_tokens=9, total_cost_usd=1.76e-4))
        if number % 5 == 0:
            run.tool_call("lookup", {"parcel": f"88-{number}"})
        run.validate("banned_words", passed=True, details={"words": ["never"]})


def measure(work: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median and minimum in milliseconds of CPU time, so that waiting for a busy machine does not count."""
    times = []
    for _ in range(rounds):
        gc.collect()
        began = time.thread_time()
        work()
        times.append((time.thread_time() - began) * 1000)
    return statistics.median(times), min(times)


class Row(NamedTuple):
    """One line of the table, in milliseconds."""

    name: str
    median: float
    least: float
    limit: float | None


def measured(rounds: int) -> Iterator[Row]:
    """Each line, when it has been measured."""
    messages = [message(number) for number in range(TURNS)]
    store = ArenaStateStore()
    store.save(ConversationState(id="long", messages=[message(number) for number in range(LONG)]))
    store.save_metadata("long", {"run_id": "long"})
    file = document.lines_of(store.get_result("long").to_dict())
    assert len(json.loads(file)["Messages"]) == LONG
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run.json")

        def result_and_its_file() -> None:
            path.write_text(store.get_result("long").to_json(), encoding="utf-8")

        rows: list[tuple[str, Callable[[], object], float | None]] = [
            (f"save whole conversation at each of {TURNS} turns", lambda: save_whole_every_turn(messages), 60),
            (f"log_append, {TURNS} turns", lambda: append_every_turn(messages), 15),
            (f"ArenaRun, {TURNS} turns with tool calls and validations", record_every_turn, 15),
            (f"get_result of {LONG} messages and its file", result_and_its_file, 7),
            (f"get_result of {LONG} messages", lambda: store.get_result("long"), None),
            (f"read a file of {LONG} messages ({len(file) // 1000} kB)", lambda: RunResult.from_json(file), 8.8),
            (f"load {LONG} messages", lambda: store.load("long"), None),
        ]
        for name, work, limit in rows:
            yield Row(name, *measure(work, rounds), limit)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    print(f"{'milliseconds':58} {'median':>8} {'min':>8} {'at most':>8}")
    for row in measured(parser.parse_args().rounds):
        print(f"{row.name:58} {row.median:8.2f} {row.least:8.2f} {'' if row.limit is None else row.limit:>8}")


if __name__ == "__main__":
    main()
