"""How this suite talks to the bot and writes it down: the only place that knows both."""

from dataclasses import dataclass

from pytest_arena_state import ArenaRun, ContentPart, CostInfo
from support_bot import Reply, SupportBot


def cost_of(reply: Reply, model: str) -> CostInfo:
    """What a reply cost, in the words of a report."""
    return CostInfo(
        input_tokens=reply.input_tokens,
        output_tokens=reply.output_tokens,
        total_cost_usd=reply.cost_usd,
        provider_name=model,
    )


@dataclass(frozen=True)
class Talk:
    """Says something to the bot; both sides, and the tools between, are in the report."""

    bot: SupportBot
    run: ArenaRun

    def __call__(self, text: str, *pictures: ContentPart) -> Reply:
        """Say this, show these pictures, and hear the answer."""
        self.run.user(text, parts=pictures)
        reply = self.bot.answer(text, images=len(pictures))
        for used in reply.tools:
            call = self.run.tool_call(used.name, used.arguments)
            self.run.tool_result(call, used.output, error=used.error)
        self.run.assistant(reply.text, cost=cost_of(reply, self.bot.model), latency=reply.latency)
        return reply
