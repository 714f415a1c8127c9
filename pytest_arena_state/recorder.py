"""`ArenaRun`: the short way to write one conversation down, turn by turn.

Every call saves, and costs the same however long the conversation is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from ._wire import dumps, jsonable, loads, shortened
from .messages import ContentPart, CostInfo, Message, MessageValidation, ToolCall, milliseconds
from .models import ConversationValidationResult, Feedback, RunMetadata
from .store import ArenaStateStore

#: In a message's meta: ids of tool calls whose arguments were text that is not JSON.
UNPARSED_ARGS_KEY = "unparsed_tool_args"


class ArenaRun:
    """A recorder for one conversation of a store."""

    def __init__(self, store: ArenaStateStore, id: str) -> None:
        """Record into ``store`` under ``id``; the conversation begins with the first call."""
        self._store = store
        self._id = id
        self._calls = 0

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
                meta=dict(meta) if meta else {},
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
        self._calls += 1
        call_id = id if id is not None else f"call-{self._calls}-{name}"
        parsed, intact = _parsed_args(args)
        call = ToolCall(id=call_id, name=name, args=parsed)

        def add(message: Message) -> None:
            message.tool_calls.append(call)
            if not intact:
                message.meta.setdefault(UNPARSED_ARGS_KEY, []).append(call_id)

        self._edit_last("assistant", add)
        return call_id

    def tool_result(self, id: str, content: object, *, error: str = "", latency: timedelta | None = None) -> None:
        """What the tool returned; ``id`` is that of the call, which also gives the tool's name.

        What is not text is written as JSON.
        """
        text = content if isinstance(content, str) else dumps(jsonable(content)).decode("utf-8")
        self._append(Message.tool(text, id=id, name=self._tool_name(id), error=error, latency=latency))

    def validate(self, type: str, *, passed: bool, details: Mapping[str, Any] | None = None) -> None:
        """What a validator said of the last message; one that failed is a violation of the run."""
        validation = MessageValidation(
            validator_type=type, passed=passed, details=dict(details or {}), timestamp=datetime.now(timezone.utc)
        )
        self._edit_last(None, lambda message: message.validations.append(validation))

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
            type=name,
            passed=passed,
            message=message or ("holds" if passed else "does not hold"),
            details=dict(details or {}),
        )
        self._edit_metadata(lambda metadata: metadata.conv_assertions_results.append(result))
        return passed

    def param(self, key: str, value: object) -> None:
        """Note a parameter of the run, such as a temperature."""
        self._edit_metadata(lambda metadata: metadata.params.__setitem__(str(key), value))

    def label(self, key: str, value: object) -> None:
        """Put a label on the run; labels are text."""
        self._edit_metadata(lambda metadata: metadata.labels.__setitem__(str(key), str(value)))

    def tag(self, *tags: str) -> None:
        """Add tags to the run, each once."""

        def add(metadata: RunMetadata) -> None:
            metadata.session_tags.extend(
                tag for tag in dict.fromkeys(map(str, tags)) if tag not in metadata.session_tags
            )

        self._edit_metadata(add)

    def feedback(
        self, rating: int, comments: str = "", *, user_id: str = "", categories: Mapping[str, Any] | None = None
    ) -> None:
        """What a person said of the conversation; a later call replaces it."""
        feedback = Feedback(
            conversation_id=self._id,
            user_id=user_id,
            rating=rating,
            comments=comments,
            categories=dict(categories or {}),
            timestamp=datetime.now(timezone.utc),
        )
        self._edit_metadata(lambda metadata: setattr(metadata, "user_feedback", feedback))

    # --- inside --------------------------------------------------------------------------

    def _append(self, message: Message) -> None:
        with self._store._lock:
            self._store.log_append(self._id, self._store.log_len(self._id), [message])

    def _edit_last(self, role: str | None, edit: Any) -> None:
        """Edit the last message, or a new one where it does not have the role."""
        with self._store._lock:
            conversation = self._store._open(self._id)
            length = len(conversation.messages)
            if length and (role is None or conversation.facts[-1].role == role):
                message, index = Message.from_json(conversation.messages[-1]), length - 1
            else:
                message, index = Message._now("assistant", "", (), {}), length
            edit(message)
            self._store._put(conversation, [(index, message)], index + 1)
        self._store._tell_user(self._id)

    def _edit_metadata(self, edit: Any) -> None:
        with self._store._lock:
            wire = self._store._open(self._id).metadata
            metadata = RunMetadata.from_dict(wire) if wire is not None else RunMetadata()
            edit(metadata)
            self._store.save_metadata(self._id, metadata)

    def _tool_name(self, call_id: str) -> str:
        with self._store._lock:
            messages = self._store._open(self._id).messages
            facts = self._store._open(self._id).facts
            for text, fact in zip(reversed(messages), reversed(facts), strict=True):
                if fact.tools:
                    for call in loads(text).get("tool_calls") or ():
                        if call.get("id") == call_id:
                            return str(call.get("name") or "")
        return ""


def _parsed_args(args: object) -> tuple[object, bool]:
    if not isinstance(args, str):
        return args, True
    try:
        return loads(args), True
    except ValueError:
        return args, False
