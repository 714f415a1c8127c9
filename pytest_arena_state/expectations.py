"""Expectations of a conversation: convenience on top of ``assert``.

A method looks, notes what it found as an assertion on the conversation, and raises an
`AssertionError` that shows the turns in question. What it looked for is returned, so that more
can be asked of it. Nothing here asks a model.

The types of the assertions are those of PromptKit Arena where it has one that means the same:
``tools_called``, ``tool_calls_with_args``, ``tools_not_called``, ``tools_not_called_with_args``,
``tool_call_sequence``, ``content_matches``, ``content_excludes``, ``cost_budget``,
``latency_budget``; and ``turn_count`` and ``tool_args_schema``, which it has not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from . import argument_schemas
from ._text import plural, printable
from .budget import Budget, turns_of
from .messages import CostInfo
from .telemetry import facts_of, total_cost
from .wanted import (
    Call,
    calls_in,
    check_limit,
    how_often,
    matches,
    shown,
    shown_pattern,
    shown_tool,
    speaker,
    spoken_in,
    text_of,
    told,
    told_args,
    violation,
)

if TYPE_CHECKING:
    from .messages import Message, ToolCall
    from .wanted import Args, Pattern


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one expectation found."""

    type: str
    passed: bool
    message: str
    details: dict[str, Any] = field(default_factory=dict)
    violations: list[dict[str, Any]] = field(default_factory=list)
    """Where the conversation broke it: ``turn_index`` (of the message, from 0), ``description``, ``evidence``."""


class Expectations:
    """What can be expected of a conversation; mixed into whatever has messages."""

    def _heard(self) -> Sequence[Message]:
        raise NotImplementedError

    def _note(self, finding: Finding) -> None:
        raise NotImplementedError

    # --- tools -----------------------------------------------------------------------------

    def called(self, tool: str, args: Args | None = None, *, times: int | None = None) -> list[ToolCall]:
        """A tool was called, with these arguments.

        Args:
            tool: Its name.
            args: What some of its arguments must be; others do not matter. A value is compared
                with ``==``, so `unittest.mock.ANY` and `pytest.approx` work, and as the JSON that is
                made of it, so a tuple is a list; mappings inside are looked at in the same way; a
                compiled pattern is searched for; a type is that of the value; a function is asked
                with it; ``...`` stands for anything. A function in place of all is asked with all
                arguments.
            times: How often, exactly; at least once when None.

        Returns:
            The calls that match, in order.

        Raises:
            AssertionError: It was not; the message shows the calls that there were.
        """
        __tracebackhide__ = True
        messages = self._heard()
        calls = calls_in(messages)
        found = [each for each in calls if matches(each.call, tool, args)]
        wanted = f"{shown_tool(tool)}{told_args(args)}"
        often = "" if times is None else f" {how_often(times)}"
        self._settle(
            bool(found) if times is None else len(found) == times,
            "tools_called" if args is None else "tool_calls_with_args",
            held=f"{wanted} was called {how_often(len(found))}",
            broken=f"expected a call of {wanted}{often}, found {'none' if not found else len(found)}",
            details={"tool": tool, "calls": len(found)} | ({} if args is None else {"args": told(args)}),
            show=lambda: shown(messages, {each.place for each in calls}, "no tool was called"),
        )
        return [each.call for each in found]

    def not_called(self, tool: str, args: Args | None = None) -> None:
        """A tool was not called, or not with these arguments; see `called`.

        Raises:
            AssertionError: It was.
        """
        __tracebackhide__ = True
        messages = self._heard()
        found = [each for each in calls_in(messages) if matches(each.call, tool, args)]
        wanted = f"{shown_tool(tool)}{told_args(args)}"
        self._settle(
            not found,
            "tools_not_called" if args is None else "tools_not_called_with_args",
            held=f"{wanted} was not called",
            broken=f"expected no call of {wanted}, found {len(found)}",
            details={"tool": tool} | ({} if args is None else {"args": told(args)}),
            violations=[violation(each, f"{tool} was called") for each in found],
            show=lambda: shown(messages, {each.place for each in found}),
        )

    def called_in_order(self, *tools: str) -> list[ToolCall]:
        """Tools were called one after the other; calls of others may lie between.

        Returns:
            The calls that make up the order.

        Raises:
            AssertionError: They were not; the message shows the calls that there were.
        """
        __tracebackhide__ = True
        messages = self._heard()
        calls = calls_in(messages)
        found: list[Call] = []
        rest = iter(calls)
        for tool in tools:
            call = next((each for each in rest if each.call.name == tool), None)
            if call is None:
                break
            found.append(call)
        wanted = printable(", then ".join(map(shown_tool, tools)))
        missing = printable(tools[len(found)], 60) if len(found) < len(tools) else ""
        after = f" after {printable(tools[len(found) - 1], 60)}" if found else ""
        self._settle(
            not missing,
            "tool_call_sequence",
            held=f"called in order: {wanted}",
            broken=f"expected calls in the order {wanted}; found no {missing}{after}",
            details={"sequence": list(tools), "called": [each.call.name for each in calls]},
            show=lambda: shown(messages, {each.place for each in calls}, "no tool was called"),
        )
        return [each.call for each in found]

    def matches_schema(self, tool: Any, schema: Any = None) -> list[ToolCall]:
        """The arguments of every call of a tool are what its JSON Schema says; needs the extra ``[schema]``.

        Args:
            tool: Its name, or its descriptor as a client takes it (OpenAI, Anthropic, google-genai,
                MCP, LangChain), which has a name and a schema.
            schema: A JSON Schema, a pydantic model, a descriptor, or a list of descriptors. When
                None, it is looked for in what the conversation's responses say of their tools.

        Returns:
            The calls of the tool; there is at least one.

        Raises:
            AssertionError: A call does not fit, or there is none.
            ConfigurationError: There is no schema for the tool, or jsonschema is not installed.
        """
        __tracebackhide__ = True
        messages = self._heard()
        name, found_schema = argument_schemas.find(tool, schema, messages)
        calls = [each for each in calls_in(messages) if each.call.name == name]
        problems = [argument_schemas.problem(each.call.args, found_schema) for each in calls]
        wrong = [(each, problem) for each, problem in zip(calls, problems, strict=True) if problem]
        shown_name = printable(name, 60)
        if not calls:
            broken = f"expected calls of {shown_name} that fit its schema, found none"
        else:
            first = f": {printable(wrong[0][1], 200)}" if wrong else ""
            broken = f"expected calls of {shown_name} that fit its schema; {len(wrong)} of {len(calls)} do not{first}"
        self._settle(
            bool(calls) and not wrong,
            "tool_args_schema",
            held=f"{plural(len(calls), 'call')} of {shown_name} fit its schema",
            broken=broken,
            details={"tool": name, "calls": len(calls)},
            violations=[violation(each, problem) for each, problem in wrong],
            show=lambda: shown(messages, {each.place for each, _ in wrong}),
        )
        return [each.call for each in calls]

    # --- words -----------------------------------------------------------------------------

    def said(self, pattern: Pattern, *, role: str | None = "assistant") -> list[Message]:
        """Somebody said this.

        Args:
            pattern: A regular expression, searched for as by ``pytest.raises(match=…)``; plain
                text with special characters in it goes through `re.escape`.
            role: Who; anybody when None.

        Returns:
            The messages in which it is.

        Raises:
            AssertionError: Nobody did; the message shows what was said.
            ConfigurationError: There is no such role.
        """
        __tracebackhide__ = True
        messages = self._heard()
        spoken = spoken_in(messages, role)
        places = [place for place in spoken if re.search(pattern, messages[place].text)]
        who, what = speaker(role), shown_pattern(pattern)
        hint = ""
        if not places and isinstance(pattern, str) and any(pattern in messages[place].text for place in spoken):
            hint = "; the text itself is there: did you mean re.escape?"
        self._settle(
            bool(places),
            "content_matches",
            held=f"{who} said {what}",
            broken=f"expected {who} to say {what}{hint}",
            details={"pattern": text_of(pattern), "role": role or ""},
            show=lambda: shown(messages, set(spoken), f"{who} said nothing"),
        )
        return [messages[place] for place in places]

    def never_said(self, pattern: Pattern, *, role: str | None = "assistant") -> None:
        """Nobody said this; see `said`.

        Raises:
            AssertionError: Somebody did.
        """
        __tracebackhide__ = True
        messages = self._heard()
        places = [place for place in spoken_in(messages, role) if re.search(pattern, messages[place].text)]
        who, what = speaker(role), shown_pattern(pattern)
        self._settle(
            not places,
            "content_excludes",
            held=f"{who} never said {what}",
            broken=f"expected {who} never to say {what}, found {plural(len(places), 'message')}",
            details={"pattern": text_of(pattern), "role": role or ""},
            violations=[{"turn_index": place, "description": f"{who} said {what}"} for place in places],
            show=lambda: shown(messages, set(places)),
        )

    # --- sums ------------------------------------------------------------------------------

    def turns(self, *, max: int | None = None, min: int | None = None) -> int:
        """How often the user spoke; with limits, that it was within them.

        Raises:
            AssertionError: It was not.
        """
        __tracebackhide__ = True
        messages = self._heard()
        count = sum(message.role == "user" for message in messages)
        if max is not None or min is not None:
            limits = [f"at least {min}" if min is not None else "", f"at most {max}" if max is not None else ""]
            wanted = " and ".join(filter(None, limits))
            self._settle(
                (min is None or count >= min) and (max is None or count <= max),
                "turn_count",
                held=f"{plural(count, 'turn')}, {wanted}",
                broken=f"expected {wanted} turns, found {count}",
                details={"turns": count}
                | ({} if max is None else {"max": max})
                | ({} if min is None else {"min": min}),
                show=lambda: shown(messages, {i for i, message in enumerate(messages) if message.role == "user"}),
            )
        return count

    def cost(self, *, max_usd: float | None = None, max_tokens: int | None = None) -> CostInfo:
        """What the conversation took in tokens and dollars; with limits, that it was within them.

        A limit in dollars does not hold over answers whose price is unknown.

        Raises:
            AssertionError: It was not; the message names the turn that took most.
            ConfigurationError: A limit is none.
        """
        __tracebackhide__ = True
        check_limit("max_usd", max_usd, "US dollars")
        check_limit("max_tokens", max_tokens, "tokens")
        messages = self._heard()
        self._hold("cost_budget", Budget(max_cost_usd=max_usd, max_tokens=max_tokens), messages)
        return CostInfo.from_dict(total_cost(facts_of(message.to_wire([], "")) for message in messages))

    def latency(self, *, max_ms: float | None = None) -> timedelta:
        """How long answers and tools took together, where that is known; with a limit, that it was within it.

        Raises:
            AssertionError: It was not; the message names the slowest turn.
            ConfigurationError: The limit is none.
        """
        __tracebackhide__ = True
        check_limit("max_ms", max_ms, "milliseconds")
        messages = self._heard()
        self._hold("latency_budget", Budget(max_latency_ms=max_ms), messages)
        return timedelta(milliseconds=sum(turn.latency_ms for turn in turns_of(messages)))

    # --- inside ----------------------------------------------------------------------------

    def _hold(self, type: str, budget: Budget, messages: Sequence[Message]) -> None:
        __tracebackhide__ = True
        if budget == Budget():
            return
        judgement = budget.judge(turns_of(messages))
        self._settle(
            judgement.passed, type, held=judgement.message, broken=judgement.message, details=judgement.details
        )

    def _settle(
        self,
        passed: bool,
        type: str,
        *,
        held: str,
        broken: str,
        details: dict[str, Any],
        violations: list[dict[str, Any]] | None = None,
        show: Callable[[], str] = str,
    ) -> None:
        __tracebackhide__ = True
        self._note(
            Finding(
                type=type,
                passed=passed,
                message=held if passed else broken,
                details=details,
                violations=violations or [],
            )
        )
        if not passed:
            raise AssertionError(broken + show())
