"""A support bot of a small tea shop, and a customer to talk to it.

Both stand in for language models: they match words instead of thinking, so that the suite beside
them runs offline, costs nothing and says the same thing every time. Neither knows that it is tested,
which is how it should be with yours.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

ORDERS = {
    "T-1001": {"item": "Assam, 250 g", "status": "delivered", "price_usd": "12.50"},
    "T-1002": {"item": "a teapot, blue", "status": "on its way", "price_usd": "48.00"},
}

USD_PER_TOKEN = {"gpt-5-mini": 4e-6, "claude-haiku-4-5": 5e-6, "leaf-7b": 0.0}
"""The shop tries out three models; the last one runs under the counter."""

ANSWERS = {
    "my card": "Please never send a card number. I have forgotten the one ending in 1111.",
    "open": "We are open from 9 to 17 o'clock, and closed on Sundays.",
    "thank": "You are welcome. Enjoy your tea!",
    # A model that wants to please: nobody delivers on Sundays. The suite knows.
    "sunday": "Of course, it will be there on Sunday!",
}


@dataclass(frozen=True)
class ToolUse:
    """A tool that the bot used on its way to an answer."""

    name: str
    arguments: dict[str, str]
    output: str = ""
    error: str = ""


@dataclass(frozen=True)
class Reply:
    """What the bot says, and what that took."""

    text: str
    tools: tuple[ToolUse, ...] = ()
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0

    @property
    def latency(self) -> timedelta:
        """How long one waited: 20 ms a token, as with many a model."""
        return timedelta(milliseconds=20 * self.output_tokens)


@dataclass
class SupportBot:
    """Answers one message at a time. It remembers the order that was spoken of last."""

    model: str = "gpt-5-mini"
    warehouse_answers: bool = True
    order_id: str = field(default="", init=False)

    def answer(self, text: str, *, images: int = 0) -> Reply:
        """The bot's answer to a message with so many images attached."""
        said = text.lower()
        self.order_id = next((order_id for order_id in ORDERS if order_id.lower() in said), self.order_id)

        tools: list[ToolUse] = []
        words = "Oh no. A new one leaves today, and you may keep the shards." if images else self._words(said, tools)

        read, written = len(text.split()), len(words.split())
        cost = round((read + 4 * written) * USD_PER_TOKEN[self.model], 6)  # what is written costs four times as much
        return Reply(words, tuple(tools), read, written, cost)

    def _words(self, said: str, tools: list[ToolUse]) -> str:
        for phrase, words in ANSWERS.items():
            if phrase in said:
                return words
        wants_money = "money back" in said
        if not self.order_id:
            return ("Of course, within 30 days. " if wants_money else "") + "What is the number of your order?"
        if wants_money:
            return self._refund(tools)
        if "where" in said or "late" in said:
            return self._look_up(tools)
        return f"That is {ORDERS[self.order_id]['item']}. What can I do about it?"

    def _look_up(self, tools: list[ToolUse]) -> str:
        order, arguments = ORDERS[self.order_id], {"order_id": self.order_id}
        if not self.warehouse_answers:
            tools.append(ToolUse("look_up_order", arguments, error="timeout after 5 s"))
            return "I cannot reach the warehouse just now. May I write to you in an hour?"
        tools.append(ToolUse("look_up_order", arguments, output=f"{order['item']}: {order['status']}"))
        return f"It is {order['status']}."

    def _refund(self, tools: list[ToolUse]) -> str:
        self._look_up(tools)
        amount = ORDERS[self.order_id]["price_usd"]
        tools.append(ToolUse("refund", {"order_id": self.order_id, "amount_usd": amount}, output="done"))
        return f"I have sent ${amount} back to you."


def impatient_customer(lines: Iterable[str]) -> Iterator[str]:
    """A customer who is played by a model: says her lines, each a little louder than the one before."""
    for loudness, line in enumerate(lines):
        yield line.upper() if loudness > 1 else line + "!" * loudness
