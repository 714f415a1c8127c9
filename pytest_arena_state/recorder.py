"""`ArenaRun`: the short way to write one conversation down, turn by turn.

Every call saves, and costs the same however long the conversation is; only a history, or the result of a tool, that
`ArenaRun.add` is given is compared with all of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ._text import as_text, shortened
from ._wire import dumps, jsonable, loads
from .expectations import Expectations, Finding
from .messages import ContentPart, CostInfo, Message, MessageValidation, ToolCall, milliseconds
from .models import ConversationValidationResult, Feedback, result_of
from .store import checked_id

if TYPE_CHECKING:
    from .store import ArenaStateStore

#: In a message's meta: ids of tool calls whose arguments were text that is not JSON.
UNPARSED_ARGS_KEY = "unparsed_tool_args"


class ArenaRun(Expectations):
    """A recorder for one conversation of a store; what is expected of it stands in its report."""

    def __init__(self, store: ArenaStateStore, id: str) -> None:
        """Record into ``store`` under ``id``; the conversation begins with the first call.

        Raises:
            InvalidStateError: The id is empty, or no text.
        """
        self._store = store
        self._id = checked_id(id)

    @property
    def id(self) -> str:
        """The id of the conversation; in a test, its node id."""
        return self._id

    @property
    def messages(self) -> list[Message]:
        """Copies of the messages so far."""
        return self._store.log_load(self._id)

    def user(self, content: str, *, parts: Iterable[ContentPart | Mapping[str, Any]] = ()) -> None:
        """What the user said."""
        self._append(Message.user(content, parts=parts))

    def system(self, content: str) -> None:
        """The instructions that the model was given."""
        self._append(Message.system(content))

    def assistant(
        self,
        content: str,
        *,
        parts: Iterable[ContentPart | Mapping[str, Any]] = (),
        cost: CostInfo | float | None = None,
        latency: timedelta | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        """What the model answered.

        Args:
            content: The text.
            parts: Further parts, such as media.
            cost: Tokens and dollars, or just US dollars.
            latency: How long the answer took; whole milliseconds are kept.
            meta: Anything worth keeping; what is not JSON is converted.
        """
        if isinstance(cost, int | float):
            cost = CostInfo(total_cost_usd=float(cost))
        self._append(
            Message.assistant(
                content,
                parts=parts,
                cost_info=cost,
                latency_ms=milliseconds(latency),
                meta=_mapping("meta", meta),
            )
        )

    def tool_call(self, name: str, args: object, *, id: str | None = None) -> str:
        """A tool call, in the assistant's message where that is the last one, else in a new one.

        Args:
            name: The tool.
            args: Any value that is JSON, or JSON text as providers send it. Text that does
                not parse is kept as it is and noted in the message's ``meta``.
            id: Made up from the name and its position when None.

        Returns:
            The id of the call, for `tool_result`.
        """
        number = self._store._next_call(self._id)
        call_id = id if id is not None else f"call-{number}-{as_text(name)}"
        parsed, intact = _parsed_args(args)
        call = ToolCall(id=call_id, name=name, args=parsed)

        def add(message: Message) -> None:
            message.tool_calls.append(call)
            if not intact:
                noted = message.meta.get(UNPARSED_ARGS_KEY, [])
                # The test may have put something of its own there.
                message.meta[UNPARSED_ARGS_KEY] = [*(noted if isinstance(noted, list) else [noted]), call_id]

        self._store._edit_last(self._id, "assistant", add)
        return call_id

    def tool_result(self, id: str, content: object, *, error: str = "", latency: timedelta | None = None) -> None:
        """What the tool returned; ``id`` is that of the call, which also gives the tool's name.

        What is not text is written as JSON.
        """
        text = content if isinstance(content, str) else dumps(jsonable(content)).decode("utf-8")
        self._append(Message.tool(text, id=id, name=self._store._tool_name(self._id, id), error=error, latency=latency))

    def add(self, obj: object, *, source: str = "auto") -> list[Message]:
        """Add what a client library gave or took; see `ArenaStateStore.add`."""
        return self._store.add(obj, self._id, source=source)

    def validate(self, type: str, *, passed: bool, details: Mapping[str, Any] | None = None) -> None:
        """What a validator said of the last message; one that failed is a violation of the run."""
        validation = MessageValidation(
            validator_type=type, passed=passed, details=_as_map(details), timestamp=datetime.now(UTC)
        )
        self._store._edit_last(self._id, None, lambda message: message.validations.append(validation))

    def check(self, name: str, condition: object, *, details: Mapping[str, Any] | None = None) -> bool:
        """Note whether a condition holds for the conversation; fails the run, never the test.

        Returns:
            The truth of the condition. A condition whose truth cannot be told is False.
        """
        try:
            passed = bool(condition)
            message = ""
        except Exception as error:  # noqa: BLE001 - check never raises, whatever __bool__ does
            passed, message = False, f"its truth cannot be told: {shortened(error)}"
        result = ConversationValidationResult(
            type=as_text(name),
            passed=passed,
            message=message or ("holds" if passed else "does not hold"),
            details=_as_map(details),
        )
        self._store._add_metadata(self._id, conv_assertions_results=[result])
        return passed

    def param(self, key: str, value: object) -> None:
        """Note a parameter of the run, such as a temperature."""
        self._store._add_metadata(self._id, params={as_text(key): value})

    def label(self, key: str, value: object) -> None:
        """Put a label on the run; labels are text."""
        self._store._add_metadata(self._id, labels={as_text(key): as_text(value)})

    def tag(self, *tags: str) -> None:
        """Add tags to the run, each once."""
        self._store._add_metadata(self._id, session_tags=[*dict.fromkeys(map(as_text, tags))])

    def feedback(
        self, rating: int, comments: str = "", *, user_id: str = "", categories: Mapping[str, Any] | None = None
    ) -> None:
        """What a person said of the conversation; a later call replaces it."""
        feedback = Feedback(
            conversation_id=self._id,
            user_id=user_id,
            rating=rating,
            comments=comments,
            categories=_mapping("categories", categories),
            timestamp=datetime.now(UTC),
        )
        self._store._add_metadata(self._id, user_feedback=feedback)

    # --- inside --------------------------------------------------------------------------

    def _heard(self) -> list[Message]:
        return self.messages

    def _note(self, finding: Finding) -> None:
        self._store._add_metadata(self._id, conv_assertions_results=[result_of(finding)])

    def _append(self, message: Message) -> None:
        self._store._append(self._id, [message])


def _parsed_args(args: object) -> tuple[object, bool]:
    if not isinstance(args, str):
        return args, True
    try:
        return loads(args), True
    except ValueError:
        return args, False


def _mapping(name: str, given: object) -> dict[str, Any]:
    if not given:
        return {}
    if not isinstance(given, Mapping):
        raise TypeError(f"{name} is a mapping, not {shortened(given)}")
    return dict(given)


def _as_map(details: object) -> dict[str, Any]:
    if details is None or isinstance(details, Mapping):
        return dict(details or {})
    return {"details": details}
