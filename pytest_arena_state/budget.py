"""Budgets: what conversations took, and whether that is within limits.

Counted are what reports count: dollars and tokens of every role, and of each message the
milliseconds that its source or its test told. A cost that nobody knows is no cost of zero: a
limit in dollars does not hold over answers whose price is unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ._text import plural, printable, usd
from .prices import ORIGIN_KEY, UNKNOWN, table_is_installed
from .telemetry import facts_of

if TYPE_CHECKING:
    from .messages import Message

_TOKENS = ("input_tokens", "output_tokens", "cached_tokens")
_SHOWN = 80  # characters of a turn
_ROUNDING = 1e-9  # a sum of floats may be over a limit that the numbers as people write them are not


@dataclass(frozen=True, slots=True)
class Turn:
    """One message, and what it took."""

    conversation: str
    number: int
    """In its conversation, from 1."""
    message: Message
    cost_usd: float
    tokens: int
    latency_ms: int

    @property
    def origin(self) -> str:
        """Where its cost is from; empty where its test gave it."""
        return str(self.message.meta.get(ORIGIN_KEY) or "")

    @property
    def unpriced(self) -> bool:
        """It has tokens that nobody had a price for."""
        return self.origin == UNKNOWN and not self.cost_usd


def turns_of(messages: Iterable[Message], conversation: str = "") -> list[Turn]:
    """The turns of a conversation."""
    turns = []
    for number, message in enumerate(messages, start=1):
        costs = facts_of(message.to_wire([], "")).costs if message.cost_info or message.meta else ()
        result = message.tool_result
        turns.append(
            Turn(
                conversation,
                number,
                message,
                cost_usd=sum(_number(cost.get("total_cost_usd")) for cost in costs),
                tokens=int(sum(_number(cost.get(kind)) for kind in _TOKENS for cost in costs)),
                # A tool's result may have it twice: of the message, and of the tool.
                latency_ms=max(message.latency_ms, result.latency_ms if result is not None else 0),
            )
        )
    return turns


def _number(value: object) -> float:
    return value if isinstance(value, int | float) else 0


@dataclass(frozen=True)
class Judgement:
    """Whether some turns are within a budget."""

    passed: bool
    message: str
    """In one line where it holds; otherwise each limit that does not, with the turn that took most."""
    details: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Limits on sums; None where there is none."""

    max_cost_usd: float | None = None
    max_latency_ms: float | None = None
    max_tokens: int | None = None

    def judge(self, turns: Sequence[Turn]) -> Judgement:
        """Hold turns, of one conversation or several, to the limits."""
        cost, latency = sum(turn.cost_usd for turn in turns), sum(turn.latency_ms for turn in turns)
        tokens = sum(turn.tokens for turn in turns)
        held: list[str] = []
        broken: list[str] = []
        details: dict[str, Any] = {}
        if self.max_cost_usd is not None:
            details |= {"max_cost_usd": self.max_cost_usd, "cost_usd": cost}
            text = f"{usd(cost)} of {usd(self.max_cost_usd)}"
            unpriced = [turn for turn in turns if turn.unpriced]
            if _exceeds(cost, self.max_cost_usd):
                most = max(turns, key=lambda turn: turn.cost_usd)
                broken.append(f"cost {text}, the most for {_shown(most, usd(most.cost_usd), turns)}")
            elif unpriced:
                broken.append(_about_unknown(text, unpriced))
            held.append(text)
        if self.max_latency_ms is not None:
            details |= {"max_latency_ms": self.max_latency_ms, "latency_ms": latency}
            text = f"{latency:,} ms of {self.max_latency_ms:,} ms"
            if _exceeds(latency, self.max_latency_ms):
                most = max(turns, key=lambda turn: turn.latency_ms)
                broken.append(f"latency {text}, the most for {_shown(most, f'{most.latency_ms:,} ms', turns)}")
            held.append(text)
        if self.max_tokens is not None:
            details |= {"max_tokens": self.max_tokens, "tokens": tokens}
            text = f"{tokens:,} of {plural(self.max_tokens, 'token')}"
            if tokens > self.max_tokens:
                most = max(turns, key=lambda turn: turn.tokens)
                broken.append(f"{text}, the most for {_shown(most, plural(most.tokens, 'token'), turns)}")
            held.append(text)
        if broken:
            return Judgement(False, "over budget: " + "\n  and ".join(broken), details)
        return Judgement(True, ", ".join(held), details)


def _exceeds(amount: float, limit: float) -> bool:
    return amount > limit + abs(limit) * _ROUNDING


def _shown(turn: Turn, amount: str, turns: Sequence[Turn]) -> str:
    origin = f", {printable(turn.origin, 60)}" if turn.origin and amount.startswith("$") else ""
    several = len({other.conversation for other in turns}) > 1
    where = f" of {printable(turn.conversation, 100)!r}" if several else ""
    said = printable(" ".join(turn.message.text.split()), _SHOWN)
    said = said or ", ".join(printable(call.name, 40) for call in turn.message.tool_calls[:3])
    return f"message {turn.number}{where} ({turn.message.role}, {amount}{origin}): {said}"


def _about_unknown(text: str, unpriced: Sequence[Turn]) -> str:
    models = sorted({str(turn.message.meta.get("model") or "a model without a name") for turn in unpriced})
    names = ", ".join(printable(model, 60) for model in models[:3]) + (" …" if len(models) > 3 else "")
    hint = "" if table_is_installed() else ", or: pip install 'pytest-arena-state[prices]'"
    return (
        f"cost {text} is not known: no price for {names} ({plural(len(unpriced), 'answer')}); "
        f"name it in a file for --arena-prices{hint}"
    )
