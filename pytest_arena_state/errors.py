"""Every error that this package raises.

    ArenaStateError
    ├── ConversationNotFoundError (LookupError)   no conversation with this id in the store
    ├── RunMetadataMissingError (LookupError)     the conversation has no run metadata yet
    ├── InvalidStateError (ValueError)            what was given cannot be stored
    ├── ConfigurationError (ValueError)           an option, ini value or marker is wrong
    ├── JournalError (ValueError)                 a journal cannot be read
    ├── ResultsError (OSError, ValueError)        results cannot be read or written
    └── UnrecognisedSourceError (TypeError)       nobody knows the shape of what was given

A model that is built from a wrong value raises pydantic's own ``ValidationError``, which
names the field. All errors here keep their arguments, so they pickle across workers.
"""

from __future__ import annotations


class ArenaStateError(Exception):
    """Base of every error of this package."""


class ConversationNotFoundError(ArenaStateError, LookupError):
    """No conversation with this id was saved in this store."""

    def __init__(self, conversation_id: str, known: int) -> None:
        super().__init__(conversation_id, known)
        self.conversation_id = conversation_id
        self.known = known

    def __str__(self) -> str:
        return f"no conversation {self.conversation_id!r} in this store ({self.known} saved)"


class RunMetadataMissingError(ArenaStateError, LookupError):
    """The conversation exists, but `save_metadata` was not called for it."""

    def __init__(self, conversation_id: str) -> None:
        super().__init__(conversation_id)
        self.conversation_id = conversation_id

    def __str__(self) -> str:
        return f"conversation {self.conversation_id!r} has no run metadata: call save_metadata first"


class InvalidStateError(ArenaStateError, ValueError):
    """What was given to the store cannot be kept there."""

    def __init__(self, conversation_id: str, problem: str) -> None:
        super().__init__(conversation_id, problem)
        self.conversation_id = conversation_id
        self.problem = problem

    def __str__(self) -> str:
        return f"conversation {self.conversation_id!r}: {self.problem}"


class ConfigurationError(ArenaStateError, ValueError):
    """An option, an ini value or a marker cannot be used as it is given."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return self.problem


class JournalError(ArenaStateError, ValueError):
    """A journal cannot be read at all; damage inside one is reported, not raised."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"


class ResultsError(ArenaStateError, OSError, ValueError):
    """Results cannot be read or written; says which file and why."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"


class UnrecognisedSourceError(ArenaStateError, TypeError):
    """What was given is no conversation of any library that is known."""

    def __init__(self, seen: str, sources: tuple[str, ...], problem: str = "") -> None:
        super().__init__(seen, sources, problem)
        self.seen = seen
        """What was given, shortened."""
        self.sources = sources
        self.problem = problem
        """Which part of it, or why its source could not read it."""

    def __str__(self) -> str:
        why = f" ({self.problem})" if self.problem else ""
        return (
            f"wanted messages, a response or a list of them, not {self.seen}{why}; "
            f"source= is 'auto' or one of {', '.join(self.sources)}"
        )
