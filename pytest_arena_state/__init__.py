"""Keep the conversations that a pytest suite has with language models.

The pytest plugin records conversations while tests run and writes RunResult reports of
PromptKit Arena at session end: ``pytest --arena-results=arena-results``. The names below work
without pytest, too. They are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .capture import from_messages
    from .errors import (
        ArenaStateError,
        ConfigurationError,
        ConversationNotFoundError,
        InvalidStateError,
        JournalError,
        ResultsError,
        RunMetadataMissingError,
        UnrecognisedSourceError,
    )
    from .messages import (
        ContentPart,
        CostInfo,
        MediaContent,
        MediaItem,
        MediaSummary,
        Message,
        MessageValidation,
        OpaqueReasoning,
        Reasoning,
        ToolCall,
        ToolResult,
    )
    from .models import (
        ArenaConversationState,
        AssertionsSummary,
        ConversationState,
        ConversationValidationResult,
        ConversationViolation,
        Feedback,
        MediaOutput,
        RunMetadata,
        RunResult,
        SelfPlayRoleInfo,
        Summary,
        ToolStats,
        TurnValidation,
        Violation,
    )
    from .prices import Prices
    from .reading import read_media
    from .recorder import ArenaRun
    from .results import Completeness, Index, IndexRow, LostEntry, iterate_results, load_results, load_run, read_index
    from .store import ArenaStateStore
    from .trace import ExecutionTrace, LLMCall

__version__ = "0.1.0"

_HOMES = {
    "capture": ("from_messages",),
    "errors": (
        "ArenaStateError",
        "ConfigurationError",
        "ConversationNotFoundError",
        "InvalidStateError",
        "JournalError",
        "ResultsError",
        "RunMetadataMissingError",
        "UnrecognisedSourceError",
    ),
    "messages": (
        "ContentPart",
        "CostInfo",
        "MediaContent",
        "MediaItem",
        "MediaSummary",
        "Message",
        "MessageValidation",
        "OpaqueReasoning",
        "Reasoning",
        "ToolCall",
        "ToolResult",
    ),
    "models": (
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
    ),
    "prices": ("Prices",),
    "recorder": ("ArenaRun",),
    "reading": ("read_media",),
    "results": (
        "Completeness",
        "Index",
        "IndexRow",
        "LostEntry",
        "iterate_results",
        "iterate_results",
        "load_results",
        "load_run",
        "read_index",
    ),
    "store": ("ArenaStateStore",),
    "trace": ("ExecutionTrace", "LLMCall"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "ArenaConversationState",
    "ArenaRun",
    "ArenaStateError",
    "ArenaStateStore",
    "AssertionsSummary",
    "Completeness",
    "ConfigurationError",
    "ContentPart",
    "ConversationNotFoundError",
    "ConversationState",
    "ConversationValidationResult",
    "ConversationViolation",
    "CostInfo",
    "ExecutionTrace",
    "Feedback",
    "Index",
    "IndexRow",
    "InvalidStateError",
    "JournalError",
    "LLMCall",
    "LostEntry",
    "MediaContent",
    "MediaItem",
    "MediaOutput",
    "MediaSummary",
    "Message",
    "MessageValidation",
    "OpaqueReasoning",
    "Prices",
    "Reasoning",
    "ResultsError",
    "RunMetadata",
    "RunMetadataMissingError",
    "RunResult",
    "SelfPlayRoleInfo",
    "Summary",
    "ToolCall",
    "ToolResult",
    "ToolStats",
    "TurnValidation",
    "UnrecognisedSourceError",
    "Violation",
    "from_messages",
    "iterate_results",
    "load_results",
    "load_run",
    "read_index",
    "read_media",
]


def __getattr__(name: str) -> Any:
    try:
        home = _HOME_OF[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    value = globals()[name] = getattr(import_module(f".{home}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
