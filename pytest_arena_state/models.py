"""Conversations, run metadata, and the report of one run.

`RunResult` is the document of one run: field order, names and empty values are those of
PromptKit Arena's ``RunResult``, v1.1.11, with the optional fields of newer versions.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import AliasChoices, Field, ValidationInfo, model_validator

from ._garbage import without_collections
from ._wire import (
    READING,
    FreeMap,
    Int,
    Nanoseconds,
    NoneIsEmptyList,
    NoneIsEmptyMap,
    Problems,
    Text,
    TextList,
    TextMap,
    Time,
    WireModel,
    dumps,
    loads,
    write_fields,
)
from .expectations import Expectations
from .messages import CostInfo, Message

if TYPE_CHECKING:
    from .expectations import Finding

_EVERYTHING = frozenset(("*",))


def _named(key: str, *spellings: str, **keywords: Any) -> Any:
    """A field whose JSON name is not its attribute's name."""
    return Field(validation_alias=AliasChoices(key, *spellings), serialization_alias=key, **keywords)


class Summary(WireModel):
    """A summary that stands for some turns of a conversation."""

    always_written: ClassVar[frozenset[str]] = _EVERYTHING

    start_turn: Int = 0
    end_turn: Int = 0
    content: Text = ""
    token_count: Int = 0
    created_at: Time = None


class ConversationState(Expectations, WireModel):
    """A conversation as a store keeps it. What is expected of one is asserted, and noted nowhere."""

    always_written: ClassVar[frozenset[str]] = _EVERYTHING

    id: Text = ""
    user_id: Text = ""
    messages: Annotated[list[Message], NoneIsEmptyList] = Field(default_factory=list)
    system_prompt: Text = ""
    summaries: Annotated[list[Summary], NoneIsEmptyList] = Field(default_factory=list)
    token_count: Int = 0
    last_accessed_at: Time = None
    metadata: FreeMap = Field(default_factory=dict)

    def _heard(self) -> list[Message]:
        return self.messages

    def _note(self, finding: Finding) -> None:
        pass


class SelfPlayRoleInfo(WireModel):
    """Which model plays a role, where a model plays the user too."""

    provider: Text = Field("", validation_alias=AliasChoices("provider", "Provider"))
    model: Text = Field("", validation_alias=AliasChoices("model", "Model"))
    region: Text = Field("", validation_alias=AliasChoices("region", "Region"))


class Feedback(WireModel):
    """What a person said of a conversation."""

    always_written: ClassVar[frozenset[str]] = _EVERYTHING

    conversation_id: Text = ""
    user_id: Text = ""
    rating: Int = 0
    comments: Text = ""
    categories: FreeMap = Field(default_factory=dict)
    timestamp: Time = None
    tags: TextList = Field(default_factory=list)


class ConversationViolation(WireModel):
    """One place where a conversation broke an assertion."""

    always_written: ClassVar[frozenset[str]] = frozenset(("turn_index", "description", "timestamp"))

    turn_index: Int = 0
    description: Text = ""
    evidence: FreeMap = Field(default_factory=dict)
    timestamp: Time = None


class ConversationValidationResult(WireModel):
    """The outcome of one assertion on a whole conversation."""

    always_written: ClassVar[frozenset[str]] = frozenset(("passed", "message"))

    type: Text = ""
    passed: bool = False
    message: Text = ""
    details: FreeMap = Field(default_factory=dict)
    violations: Annotated[list[ConversationViolation], NoneIsEmptyList] = Field(default_factory=list)


def result_of(finding: Finding) -> ConversationValidationResult:
    """What an expectation found, as it stands in a report."""
    now = datetime.now(UTC)
    return ConversationValidationResult(
        type=finding.type,
        passed=finding.passed,
        message=finding.message,
        details=finding.details,
        violations=[ConversationViolation(**violation, timestamp=now) for violation in finding.violations],
    )


class AssertionsSummary(WireModel):
    """The assertions on a whole conversation, counted."""

    always_written: ClassVar[frozenset[str]] = _EVERYTHING

    failed: Int = 0
    passed: bool = True
    """No assertion failed; also when there is none."""
    results: Annotated[list[ConversationValidationResult], NoneIsEmptyList] = Field(default_factory=list)
    total: Int = 0

    @model_validator(mode="after")
    def _read_as_go_does(self, info: ValidationInfo) -> Self:
        # A file that counts assertions and does not say that they passed says that they did not.
        if info.context is READING and "passed" not in self.model_fields_set and (self.total or self.results):
            self.__dict__["passed"] = False
        return self


class RunMetadata(WireModel):
    """What is known of a run beside what was said."""

    always_written: ClassVar[frozenset[str]] = frozenset(
        ("run_id", "region", "scenario_id", "provider_id", "start_time", "end_time", "duration")
    )

    run_id: Text = ""
    prompt_pack: Text = ""
    region: Text = ""
    scenario_id: Text = ""
    provider_id: Text = ""
    labels: TextMap = Field(default_factory=dict)
    params: FreeMap = Field(default_factory=dict)
    commit: FreeMap = Field(default_factory=dict)
    start_time: Time = None
    end_time: Time = None
    duration: Nanoseconds = timedelta(0)
    error: Text = ""
    skipped: bool = False
    skip_reason: Text = ""
    self_play: bool = False
    persona_id: Text = ""
    assistant_role: SelfPlayRoleInfo | None = None
    user_role: SelfPlayRoleInfo | None = None
    user_feedback: Feedback | None = None
    session_tags: TextList = Field(default_factory=list)
    recording_path: Text = ""
    conv_assertions_results: Annotated[list[ConversationValidationResult], NoneIsEmptyList] = Field(
        default_factory=list
    )
    eval_results: Annotated[list[Any], NoneIsEmptyList] = Field(default_factory=list)
    a2a_agents: Annotated[list[Any], NoneIsEmptyList] = Field(default_factory=list)
    trial_results: Any = None


class ArenaConversationState(ConversationState):
    """A conversation together with its run metadata, in which expectations note what they found."""

    always_written: ClassVar[frozenset[str]] = frozenset(ConversationState.model_fields)

    run_metadata: RunMetadata | None = None

    def _note(self, finding: Finding) -> None:
        if self.run_metadata is None:
            self.run_metadata = RunMetadata(run_id=self.id)
        self.run_metadata.conv_assertions_results.append(result_of(finding))


class ToolStats(WireModel):
    """How often each tool was called."""

    always_written: ClassVar[frozenset[str]] = _EVERYTHING

    total_calls: Int = 0
    by_tool: Annotated[dict[Text, Int], NoneIsEmptyMap] = Field(default_factory=dict)


class Violation(WireModel):
    """A validation that failed (``types.ValidationError`` in Go)."""

    always_written: ClassVar[frozenset[str]] = _EVERYTHING

    type: Text = ""
    tool: Text = ""
    detail: Text = ""
    """The validation's details as compact JSON."""


class TurnValidation(WireModel):
    """What a validator said of a message, with the turn in which it stands."""

    always_written: ClassVar[frozenset[str]] = frozenset(("turn_index", "timestamp", "validator_type", "passed"))

    turn_index: Int = 0
    """How many user messages have been seen up to the message."""
    timestamp: Time = None
    validator_type: Text = ""
    passed: bool = False
    details: FreeMap = Field(default_factory=dict)


class MediaOutput(WireModel):
    """A media part that the assistant produced; derived from the messages."""

    always_written: ClassVar[frozenset[str]] = _EVERYTHING

    type: Text = _named("Type", "type", default="")
    mime_type: Text = _named("MIMEType", "mime_type", default="")
    size_bytes: Int = _named("SizeBytes", "size_bytes", default=0)
    duration: Int | None = _named("Duration", "duration", default=None)
    """Seconds."""
    width: Int | None = _named("Width", "width", default=None)
    height: Int | None = _named("Height", "height", default=None)
    file_path: Text = _named("FilePath", "file_path", default="")
    thumbnail: Text = _named("Thumbnail", "thumbnail", default="")
    """Base64 data of a small image."""
    message_idx: Int = _named("MessageIdx", "message_index", "message_idx", default=0)
    part_idx: Int = _named("PartIdx", "part_index", "part_idx", default=0)


class _Unread:
    """The messages of a report as the bytes that a store keeps, until somebody looks at them."""

    def __init__(self, texts: Sequence[bytes]) -> None:
        self.texts = tuple(texts)


class RunResult(WireModel):
    """The report of one run: what was said, what it cost, and whether it passed.

    The messages of a report that a store made are read when they are first looked at, so that a report
    that is only written costs what its bytes cost.
    """

    always_written: ClassVar[frozenset[str]] = frozenset(
        (
            "RunID",
            "PromptPack",
            "Region",
            "ScenarioID",
            "ProviderID",
            "Params",
            "Messages",
            "Commit",
            "Cost",
            "ToolStats",
            "Violations",
            "StartTime",
            "EndTime",
            "Duration",
            "Error",
            "SelfPlay",
            "PersonaID",
            "MediaOutputs",
            "UserFeedback",
            "SessionTags",
            "AssistantRole",
            "UserRole",
            "conversation_assertions",
        )
    )

    run_id: Text = _named("RunID", default="")
    prompt_pack: Text = _named("PromptPack", default="")
    region: Text = _named("Region", default="")
    scenario_id: Text = _named("ScenarioID", default="")
    provider_id: Text = _named("ProviderID", default="")
    labels: TextMap = _named("Labels", default_factory=dict)
    params: FreeMap = _named("Params", default_factory=dict)
    messages: Annotated[list[Message], NoneIsEmptyList] = _named("Messages", default_factory=list)
    commit: FreeMap = _named("Commit", default_factory=dict)
    cost: CostInfo = _named("Cost", default_factory=CostInfo)
    tool_stats: ToolStats | None = _named("ToolStats", default=None)
    violations: Annotated[list[Violation], NoneIsEmptyList] = _named("Violations", default_factory=list)
    start_time: Time = _named("StartTime", default=None)
    end_time: Time = _named("EndTime", default=None)
    duration: Nanoseconds = _named("Duration", default=timedelta(0))
    error: Text = _named("Error", default="")
    skipped: bool = _named("Skipped", default=False)
    skip_reason: Text = _named("SkipReason", default="")
    self_play: bool = _named("SelfPlay", default=False)
    persona_id: Text = _named("PersonaID", default="")
    media_outputs: Annotated[list[MediaOutput], NoneIsEmptyList] = _named("MediaOutputs", default_factory=list)
    user_feedback: Feedback | None = _named("UserFeedback", default=None)
    session_tags: TextList = _named("SessionTags", default_factory=list)
    # v1.1.11 reads these as any value, so its files may hold, say, a text.
    assistant_role: SelfPlayRoleInfo | Any = _named("AssistantRole", default=None)
    user_role: SelfPlayRoleInfo | Any = _named("UserRole", default=None)
    recording_path: Text = _named("RecordingPath", default="")
    conversation_assertions: AssertionsSummary = Field(default_factory=AssertionsSummary)
    eval_results: Annotated[list[Any], NoneIsEmptyList] = Field(default_factory=list)
    a2a_agents: Annotated[list[Any], NoneIsEmptyList] = _named("A2AAgents", default_factory=list)
    trial_results: Any = None

    @classmethod
    def spliced(cls, fields: bytes, messages: Sequence[bytes]) -> Self:
        """A report from the JSON of all its fields but the messages, and the JSON of each message."""
        run = cls.from_json(fields)
        run.__dict__["messages"] = _Unread(messages)
        return run

    if not TYPE_CHECKING:

        def __getattribute__(self, name: str) -> Any:
            # Every way to the messages leads through one of these two names, pydantic's own included.
            if name == "messages" or name == "__dict__":
                values = _attributes(self)
                unread = values.get("messages")
                if type(unread) is _Unread:
                    with without_collections():
                        read = [Message.from_json(text) for text in unread.texts]
                    if values.get("messages") is unread:  # else another thread was first
                        values["messages"] = read
            return super().__getattribute__(name)

    def message_texts(self) -> list[bytes]:
        """The compact JSON of each message."""
        unread = _attributes(self).get("messages")
        if type(unread) is _Unread:
            return list(unread.texts)
        return [dumps(message) for message in self.to_wire([], "")["Messages"]]

    def to_json(self, indent: int | None = None) -> str:
        """The wire form as text; ``indent`` in spaces, None for one compact line."""
        unread = _attributes(self).get("messages")
        if indent is not None or type(unread) is not _Unread:
            return super().to_json(indent)
        fields = self._without_messages([], "")
        before, after = dict[str, Any](), dict[str, Any]()
        side = before
        for key, value in fields.items():
            if key == "Messages":
                side = after
            else:
                side[key] = value
        texts = b",".join(unread.texts)
        return b'%b,"Messages":[%b],%b'.__mod__((dumps(before)[:-1], texts, dumps(after)[1:])).decode("utf-8")

    def _write(self, problems: Problems, where: str) -> dict[str, Any]:
        unread = _attributes(self).get("messages")
        if type(unread) is not _Unread:
            return super()._write(problems, where)
        wire = self._without_messages(problems, where)
        with without_collections():
            wire["Messages"] = loads(b"[%b]" % b",".join(unread.texts))
        return wire

    def _without_messages(self, problems: Problems, where: str) -> dict[str, Any]:
        values = {**_attributes(self), "messages": []}
        return write_fields(type(self), values, self.__pydantic_extra__, problems, where)


def _attributes(run: RunResult) -> dict[str, Any]:
    """The attributes as they are, messages that nobody looked at included."""
    return object.__getattribute__(run, "__dict__")  # type: ignore[no-any-return]  # what every object has


__all__ = [
    "ArenaConversationState",
    "AssertionsSummary",
    "ConversationState",
    "ConversationValidationResult",
    "ConversationViolation",
    "Feedback",
    "MediaOutput",
    "RunMetadata",
    "RunResult",
    "SelfPlayRoleInfo",
    "Summary",
    "ToolStats",
    "TurnValidation",
    "Violation",
]
