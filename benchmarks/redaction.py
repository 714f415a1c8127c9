"""What redaction costs for each save: the time of one `Redactor.redact`, in a small table.

Run it with ``python benchmarks/redaction.py``. Times are medians of several runs.
"""

from __future__ import annotations

import random
import statistics
import string
import timeit
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic_core import to_json

from pytest_arena_state.redaction import RedactionRules, Redactor

RUNS = 9
LETTERS = string.ascii_letters + string.digits
PROSE = (
    "the assistant should answer questions about state-of-the-art systems and task-oriented dialogue; ask for the "
    "risk-free plan: sk-learn is a class of business processes, uses snake_case_names and http://example.com/docs, "
    "and San Francisco is sunny today"
)
SECURITY = (
    "Please reset my password because the old password was stolen; the access token and the API key are secret, so "
    "keep each token, cookie and Password safe. An authorization needs a secret key, a credential and a passphrase"
)
CODE = """
def log_in(user: User, password: str, token: str | None = None) -> Session:
    if user.password == password and token is not None:
        secret = self.secrets.get(key)
        return Session(api_key=self.api_key, cookie=request.cookies[key])
"""


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    name: str
    redactor: Redactor
    document: bytes


def conversation(chance: random.Random, size_bytes: int, *, insert: str = "", prose: str = PROSE) -> bytes:
    """A conversation as it is saved: prose, calls of tools, times and costs."""
    messages: list[object] = [{"role": "user", "content": insert}]
    while len(to_json(messages)) < size_bytes:
        call = {"id": "call_" + "".join(chance.choices(LETTERS, k=24)), "name": "weather", "args": '{"city": "Paris"}'}
        messages.append(
            {
                "role": "assistant",
                "content": " ".join(chance.choices(prose.split(" "), k=60)),
                "tool_calls": [call],
                "timestamp": "2024-05-01T12:00:00.123456Z",
                "latency_ms": 123,
                "cost_info": {"input_tokens": 1200, "output_tokens": 80, "total_cost_usd": 0.0012},
            }
        )
    return to_json({"messages": messages})


def environment(chance: random.Random, secrets: int) -> dict[str, str]:
    """What a developer's shell holds, with some keys in it."""
    keys = {f"SERVICE_{number}_API_KEY": "".join(chance.choices(LETTERS, k=48)) for number in range(secrets)}
    return {f"VARIABLE_{number}": "some value" for number in range(80)} | keys


def cases() -> Iterator[Case]:
    """The table: the usual save first, then what makes it slower."""
    chance = random.Random(3)
    clean = conversation(chance, 10_000)
    key = "sk-" + "proj-" + "F4kE" * 12
    image = to_json({"data": "".join(chance.choices(LETTERS + "+/", k=1_000_000))})
    url_image = to_json({"data": "".join(chance.choices(LETTERS + "-_", k=1_000_000))})
    few, many = environment(chance, 3), environment(chance, 30)
    patterns = RedactionRules(patterns=(r"ACME-\d{6}",))

    yield Case("10 KB, clean, 3 secrets in the environment", Redactor(environ=few), clean)
    yield Case("10 KB, clean, 30 secrets in the environment", Redactor(environ=many), clean)
    yield Case("10 KB, one hit", Redactor(environ=few), conversation(chance, 10_000, insert=f"my key is {key}"))
    yield Case("10 KB about passwords, clean", Redactor(environ=few), conversation(chance, 10_000, prose=SECURITY))
    yield Case("10 KB of code about passwords, clean", Redactor(environ=few), to_json([{"content": CODE}] * 30))
    yield Case("10 KB, clean, one pattern of the user", Redactor(patterns, environ=few), clean)
    yield Case("1 MB image in base64, clean", Redactor(environ=few), image)
    yield Case("1 MB image in URL-safe base64, clean", Redactor(environ=few), url_image)
    yield Case("1 MB conversation, clean", Redactor(environ=few), conversation(chance, 1_000_000))
    yield Case("1 MB conversation, one hit", Redactor(environ=few), conversation(chance, 1_000_000, insert=key))


def median_ns(case: Case) -> float:
    """The median of some runs of at least 0.1 s, in nanoseconds for each call."""
    case.redactor.redact(case.document)  # the first call compiles
    timer = timeit.Timer(lambda: case.redactor.redact(case.document))
    number = max(1, int(0.1 / max(timer.timeit(3) / 3, 1e-7)))
    return statistics.median(timer.repeat(RUNS, number)) / number * 1e9


def main() -> None:
    """Print the table."""
    print(f"{'redact()':45} {'bytes':>9} {'ns per call':>13}")
    for case in cases():
        print(f"{case.name:45} {len(case.document):9,} {median_ns(case):13,.0f}")
    shell = Redactor(environ=environment(random.Random(3), 30))
    unchanged_ns = statistics.median(timeit.Timer(shell.refresh).repeat(RUNS, 1000)) * 1e6
    print(f"{'refresh(), nothing new in 110 variables':45} {'':9} {unchanged_ns:13,.0f}")


if __name__ == "__main__":
    main()
