"""Where a test keeps its conversations: the seed's store interface in Python's names.

Thread-safe, in memory. Everything is copied on the way in and on the way out. The copy is
the serialised form: each message is kept as the bytes of its JSON, which cannot change,
and is serialised again only when it is not what it was at the last save. So what `load`
returns has been through JSON: a tuple in ``metadata`` comes back as a list.

The store knows nothing of journals: it tells `on_change` what each operation added.
"""

from __future__ import annotations

import itertools
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import takewhile, zip_longest
from typing import TYPE_CHECKING, Any, TypeVar

from . import document, telemetry
from ._forks import tell_of_forks
from ._text import scrub_text
from ._wire import Problems, WireModel, dumps, jsonable, loads
from .budget import Turn, turns_of
from .conversation import Change, Conversation, grown, head_of, last_assistant_with, state_json
from .errors import ConversationNotFoundError, InvalidStateError, RunMetadataMissingError
from .fingerprints import fingerprint
from .kept import kept_form, kept_forms
from .messages import Message
from .models import ArenaConversationState, ConversationState, RunMetadata, RunResult
from .trace import ExecutionTrace, trace_meta

if TYPE_CHECKING:
    from .conversation import OnChange
    from .kept import Kept
    from .prices import Prices

M = TypeVar("M", bound=WireModel)

_LARGE = 1_000_000  # bytes of a message that is worth a look before another one


class ArenaStateStore:
    """A store of conversations and their run metadata.

    Works without pytest. Mappings are accepted wherever a model is, with attribute names or
    JSON names; an unknown key in one is an error that names it.
    """

    def __init__(self, *, prices: Prices | None = None) -> None:
        """An empty store.

        Args:
            prices: Give answers that tell their tokens and model a cost. A test's store has those of its session.
        """
        self._prices = prices
        self._lock = threading.RLock()
        self._conversations: dict[str, Conversation] = {}
        self._saved_last: dict[str, None] = {}  # ids in the order of their last save
        self._call_numbers: dict[str, Iterator[int]] = {}  # for ids of tool calls that nobody named
        self._on_save: Callable[[ConversationState], object] | None = None
        self._on_change: OnChange | None = None
        self._default_id = ""  # of the conversation that `add` means without an id
        # Told, outside the lock, of the conversation into which the user is about to write messages.
        self._before_write: Callable[[str], None] | None = None
        # Told, outside the lock, that it matters now whether a conversation stands here twice.
        self._settle: Callable[[], None] | None = None
        tell_of_forks(self)

    def _let_go_after_fork(self) -> None:
        """Another thread of the parent may have been saving at the fork; nobody would release its lock here."""
        self._lock = threading.RLock()

    # --- saving ------------------------------------------------------------------------

    def save(self, state: ConversationState | Mapping[str, Any]) -> None:
        """Keep a conversation as it is now, replacing an earlier one with its id.

        Run metadata that was saved for the id stays. Only messages that differ from the
        last save are serialised again; a nested value that was edited in place is noticed.

        Args:
            state: Copied.

        Raises:
            InvalidStateError: There is no state, or its id is empty.
            pydantic.ValidationError: A field has a wrong value; it is named.

        Follows ``Save`` of PromptKit's statestore, v1.1.11.
        """
        self._save(self._state(state), {})

    def save_with_trace(
        self, state: ConversationState | Mapping[str, Any], trace: ExecutionTrace | Mapping[str, Any] | None
    ) -> None:
        """Keep a conversation, with each LLM call of the trace noted in its message's ``meta``.

        The caller's messages are not changed. An index outside the conversation is passed
        over; of several calls with one index the last is kept.

        Raises:
            InvalidStateError: There is no state, or its id is empty.
            pydantic.ValidationError: A field has a wrong value; it is named.

        Follows ``SaveWithTrace`` of PromptKit's statestore, v1.1.11.
        """
        checked = self._state(state)
        added: dict[int, dict[str, Any]] = {}
        if trace is not None:
            for call in _coerced(ExecutionTrace, trace).llm_calls:
                added.setdefault(call.message_index, {}).update(trace_meta(call))
        self._save(checked, added)

    def save_metadata(self, conversation_id: str, metadata: RunMetadata | Mapping[str, Any]) -> None:
        """Attach run metadata to a conversation, creating the conversation if needed.

        A run that fails before its first message still has metadata worth reporting, so
        an unknown id starts an empty conversation. Saving again replaces it whole.

        Args:
            conversation_id: For arena runs, equal to ``metadata.run_id``.
            metadata: Copied. ``duration`` is a `timedelta`; in JSON, integer nanoseconds.

        Raises:
            InvalidStateError: The id is empty, or there is no metadata.

        Follows ``SaveMetadata`` of PromptKit's statestore, v1.1.11.
        """
        conversation_id = checked_id(conversation_id)
        if metadata is None:
            raise InvalidStateError(conversation_id, "the metadata cannot be None")
        problems: Problems = []
        wire = _coerced(RunMetadata, metadata).to_wire(problems, "metadata")
        with self._lock:
            conversation = self._open(conversation_id)
            conversation.metadata = wire
            self._changed(Change("metadata", conversation_id, metadata=wire, problems=problems), conversation)

    def log_append(self, conversation_id: str, start_seq: int, messages: Iterable[Message | Mapping[str, Any]]) -> int:
        """Append messages, of which the first has the position ``start_seq``; cheap however long the log is.

        Messages before the current length are skipped, so a replay changes nothing. An
        unknown id is created.

        Returns:
            The new length.

        Raises:
            InvalidStateError: The id is empty, or ``start_seq`` leaves a gap or is negative.

        Follows ``LogAppend`` of newer PromptKit.
        """
        conversation_id = checked_id(conversation_id)
        given = [_coerced(Message, message) for message in messages]
        self._announce_write(conversation_id)
        with self._lock:
            conversation = self._conversations.get(conversation_id)
            length = len(conversation.messages) if conversation else 0
            if not 0 <= start_seq <= length:
                raise InvalidStateError(
                    conversation_id, f"start_seq is from 0 to the log's length of {length}, not {start_seq}"
                )
            fresh = given[length - start_seq :]
            self._put(conversation_id, [(length + i, message) for i, message in enumerate(fresh)])
            length += len(fresh)
        self._tell_user(conversation_id)
        return length

    def add(self, obj: object, conversation_id: str | None = None, *, source: str = "auto") -> list[Message]:
        """Add what a client library gave or took: a response, a message, or a list of messages.

        It is recognised by its shape. A history that is given again adds only what is new in
        it; a message whose usage is known only now gets it. Messages that tell no time get
        the present one. What an answer cost is looked up where the store has prices.

        Args:
            obj: Of OpenAI, Anthropic, google-genai, LangChain, pydantic-ai, MCP, OpenTelemetry …
            conversation_id: Where to; in a test, the conversation of ``arena_run`` when None.
            source: Which library it is from, when its shape does not tell.

        Returns:
            Copies of the messages that were new.

        Raises:
            UnrecognisedSourceError: It is of no known shape; what was seen is shown.
            InvalidStateError: There is no id.
        """
        from .capture import align, from_messages, repeats_the_last_or_nothing, told_unmapped

        given = from_messages(obj, source=source)
        target = checked_id(self._default_id if conversation_id is None else conversation_id)
        self._announce_write(target)
        with self._lock:
            first = self._last_said(target) if repeats_the_last_or_nothing(given) else 0
            length = self.log_len(target)
            alignment = align(self.log_load(target, length - first) if first < length else [], given)
            now = datetime.now(UTC)
            for message in alignment.new:
                if message.timestamp is None:
                    message.timestamp = now
            enriched = [(first + place, message) for place, message in alignment.enriched.items()]
            changed = [*enriched, *enumerate(alignment.new, start=length)]
            if changed:
                self._put(target, changed, problems=told_unmapped(alignment.new))
            added = self.log_load(target, len(alignment.new)) if alignment.new else []
        if changed:
            self._tell_user(target)
        return added

    def update_last_assistant_message(
        self, message: Message | Mapping[str, Any], *, conversation_id: str | None = None
    ) -> None:
        """Merge a message's ``meta`` into the last assistant message that has its content.

        Nothing happens when no assistant message has it. The next `save` of the whole
        conversation replaces what was merged.

        Args:
            message: Its role does not matter.
            conversation_id: Where to look; without it, in the conversation saved last, then in the one before,
                and so on.

        Raises:
            ConversationNotFoundError: ``conversation_id`` is not in this store.

        Follows ``UpdateLastAssistantMessage`` of PromptKit's statestore, v1.1.11.
        """
        update = _coerced(Message, message)
        problems: Problems = []
        added = update.to_wire(problems, "").get("meta") or {}
        with self._lock:
            if conversation_id is not None:
                candidates = [self._get(conversation_id)]
            else:
                candidates = [self._conversations[key] for key in reversed(self._saved_last)]
            for conversation in candidates:
                index = last_assistant_with(conversation, update.content)
                if index is not None:
                    break
            else:
                return
            wire = _with_meta(loads(conversation.messages[index]), added)
            text = dumps(wire)
            conversation.messages[index] = text
            conversation.facts[index] = telemetry.facts_of(wire)
            conversation.fingerprints[index] = object()  # the next save of the whole conversation takes it away
            length = len(conversation.messages)
            self._changed(Change("save", conversation.id, length, [index], [text], problems=problems), conversation)

    def delete(self, conversation_id: str) -> None:
        """Forget a conversation and its metadata; it leaves the report and is counted there.

        An unknown id is no error.
        """
        conversation_id = known_id(conversation_id)
        with self._lock:
            conversation = self._conversations.pop(conversation_id, None)
            self._saved_last.pop(conversation_id, None)
            if conversation is not None:
                self._changed(Change("delete", conversation_id), conversation)

    def clear(self) -> None:
        """Forget every conversation; each leaves the report and is counted there."""
        with self._lock:
            for conversation_id in list(self._conversations):
                self.delete(conversation_id)

    def fork(self, source_id: str, new_id: str) -> None:
        """Do nothing, as in the reference: Arena forks at its pipeline.

        For a copy of a conversation under a new id, use `branch`.
        """

    def branch(self, source_id: str, new_id: str) -> None:
        """Copy a conversation, without its run metadata, to a new id.

        Raises:
            ConversationNotFoundError: ``source_id`` is not in this store.
            InvalidStateError: ``new_id`` is empty.
        """
        new_id = checked_id(new_id)
        with self._lock:
            source = self._get(source_id)
            copy = self._open(new_id)
            copy.messages, copy.facts = list(source.messages), list(source.facts)
            copy.fingerprints, copy.head = list(source.fingerprints), source.head
            length = len(copy.messages)
            self._saved_last.pop(new_id, None)
            self._saved_last[new_id] = None
            self._changed(Change("save", new_id, length, range(length), list(copy.messages), copy.head), copy)
        self._tell_user(new_id)

    def set_on_save(self, callback: Callable[[ConversationState], object] | None) -> None:
        """Call ``callback`` with a copy of the conversation after every save; None stops that.

        It is called outside the store's lock. What it raises reaches the caller of `save`;
        the conversation is saved by then.
        """
        self._on_save = callback

    def set_trial_results(self, run_id: str, value: object) -> None:
        """Note the outcome of repeated trials in a run's metadata; any JSON value.

        Raises:
            ConversationNotFoundError: No conversation with this id.
            RunMetadataMissingError: It has no run metadata.
        """
        problems: Problems = []
        more = {"trial_results": jsonable(value, problems, "metadata.trial_results")}
        with self._lock:
            conversation = self._get(run_id)
            self._metadata(conversation)
            self._grow_metadata(conversation, more, problems)

    # --- lists beside a conversation ----------------------------------------------------

    def append_list(self, conversation_id: str, name: str, items: Iterable[bytes]) -> None:
        """Append byte strings to a named list beside a conversation, creating both if needed.

        Lists have no field in a report; they live as long as the store.

        Raises:
            InvalidStateError: The id or the name is empty.
            TypeError: An item is no byte string.
        """
        conversation_id = checked_id(conversation_id)
        _check_list_name(conversation_id, name)
        copies = [bytes(memoryview(item)) for item in items]
        with self._lock:
            self._open(conversation_id).lists.setdefault(name, []).extend(copies)

    def load_list(self, conversation_id: str, name: str) -> list[bytes]:
        """The items of a named list; an unknown list is empty.

        Raises:
            ConversationNotFoundError: No conversation with this id.
            InvalidStateError: The name is empty.
        """
        _check_list_name(conversation_id, name)
        with self._lock:
            return list(self._get(conversation_id).lists.get(name, ()))

    def list_len(self, conversation_id: str, name: str) -> int:
        """How many items a named list has; see `load_list` for errors."""
        return len(self.load_list(conversation_id, name))

    # --- reading -----------------------------------------------------------------------

    def load(self, conversation_id: str) -> ConversationState:
        """A copy of a conversation.

        Raises:
            ConversationNotFoundError: No conversation with this id.

        Follows ``Load`` of PromptKit's statestore, v1.1.11.
        """
        with self._lock:
            text = state_json(self._get(conversation_id))
        return ConversationState.from_json(text)

    def get_arena_state(self, conversation_id: str) -> ArenaConversationState:
        """A copy of a conversation together with its run metadata, which may be None.

        Raises:
            ConversationNotFoundError: No conversation with this id.
        """
        with self._lock:
            conversation = self._get(conversation_id)
            text = state_json(conversation)
            if conversation.metadata is not None:
                text = b'%b,"run_metadata":%b}' % (text[:-1], dumps(conversation.metadata))
        return ArenaConversationState.from_json(text)

    def get_result(self, run_id: str) -> RunResult:
        """The report of a run as it would be written now.

        Raises:
            ConversationNotFoundError: No conversation with this id.
            RunMetadataMissingError: It has no run metadata.

        Follows ``GetResult`` of PromptKit's statestore, v1.1.11.
        """
        with self._lock:
            conversation = self._get(run_id)
            composed = document.compose(
                self._metadata(conversation), conversation.head.get("metadata") or {}, conversation.facts
            )
            texts = tuple(conversation.messages)
        return RunResult.spliced(dumps({**composed.before, **composed.after}), texts)

    def dump_to_json(self, conversation_id: str) -> str:
        """Everything about a conversation as indented JSON, for people.

        With run metadata: the report's document, with ``Params`` as the run metadata has
        them, plus the conversation's ``metadata``. Without: ``conversation_id``,
        ``messages``, ``metadata``, ``cost``, ``tool_stats``, ``validations``.

        Raises:
            ConversationNotFoundError: No conversation with this id.
        """
        with self._lock:
            conversation = self._get(conversation_id)
            messages = [loads(message) for message in conversation.messages]
            state_metadata = conversation.head.get("metadata") or {}
            if conversation.metadata is not None:
                composed = document.compose(conversation.metadata, {}, conversation.facts)
                out = {**composed.before, "Messages": messages, **composed.after, "metadata": state_metadata}
            else:
                out = {
                    "conversation_id": conversation_id,
                    "messages": messages,
                    "metadata": state_metadata,
                    "cost": telemetry.total_cost(conversation.facts),
                    "tool_stats": telemetry.tool_stats(conversation.facts),
                    "validations": telemetry.turn_validations(messages),
                }
        return dumps(out, indent=2).decode("utf-8")

    def list_run_ids(self) -> list[str]:
        """The ids of the conversations that have run metadata, in the order of their first save."""
        with self._lock:
            return [key for key, conversation in self._conversations.items() if conversation.metadata is not None]

    def log_load(self, conversation_id: str, recent: int = 0) -> list[Message]:
        """Copies of the last ``recent`` messages, all for 0; empty for an unknown id."""
        with self._lock:
            conversation = self._conversations.get(known_id(conversation_id))
            texts = list(conversation.messages) if conversation else []
        return [Message.from_json(text) for text in (texts[-recent:] if recent > 0 else texts)]

    def log_len(self, conversation_id: str) -> int:
        """How many messages a conversation has; 0 for an unknown id."""
        with self._lock:
            conversation = self._conversations.get(known_id(conversation_id))
            return len(conversation.messages) if conversation else 0

    # --- deprecated names ----------------------------------------------------------------

    def save_run_metadata(self, conversation_id: str, metadata: RunMetadata | Mapping[str, Any]) -> None:
        """Deprecated: `save_metadata`."""
        warnings.warn("save_run_metadata is deprecated: use save_metadata", DeprecationWarning, stacklevel=2)
        self.save_metadata(conversation_id, metadata)

    def get_run_result(self, run_id: str) -> RunResult:
        """Deprecated: `get_result`."""
        warnings.warn("get_run_result is deprecated: use get_result", DeprecationWarning, stacklevel=2)
        return self.get_result(run_id)

    # --- inside --------------------------------------------------------------------------

    def _state(self, state: ConversationState | Mapping[str, Any] | None) -> ConversationState:
        if state is None:
            raise InvalidStateError("", "the state cannot be None")
        checked = _coerced(ConversationState, state)
        messages: object = checked.messages
        if not isinstance(messages, list | tuple):  # it came past validation, as with `model_copy`
            checked = ConversationState.model_validate(dict(checked.__dict__))
        checked_id(checked.id)
        return checked

    def _get(self, conversation_id: str) -> Conversation:
        try:
            return self._conversations[known_id(conversation_id)]
        except KeyError:
            raise ConversationNotFoundError(conversation_id, len(self._conversations)) from None

    def _metadata(self, conversation: Conversation) -> dict[str, Any]:
        if conversation.metadata is None:
            raise RunMetadataMissingError(conversation.id)
        return conversation.metadata

    def _open(self, conversation_id: str) -> Conversation:
        return self._conversations.setdefault(conversation_id, Conversation(conversation_id))

    def _save(self, state: ConversationState, added: Mapping[int, dict[str, Any]]) -> None:
        self._announce_write(state.id)
        with self._lock:
            conversation = self._conversations.get(state.id)
            if conversation is None and not added:
                self._save_first(state)
            else:
                self._save_again(state, conversation, added)
        self._tell_user(state.id)

    def _save_first(self, state: ConversationState) -> None:
        # Most conversations are saved once, and then nothing is ever compared: the first save takes no fingerprints,
        # so the second one serialises the messages again to see what is new.
        problems: Problems = []
        messages: Sequence[Message] = state.messages
        plain = all(type(message) is Message and not message.meta for message in messages)
        if not plain:  # a mapping that was put there, or something to price
            messages = [self._priced(_coerced(Message, message), problems) for message in messages]
        texts, facts = kept_forms(messages, problems)
        length = len(texts)
        head = head_of(state, problems)
        conversation = Conversation(state.id, texts, facts, [None] * length, head)
        self._conversations[state.id] = conversation
        self._saved_last[state.id] = None
        change = Change("save", state.id, length, range(length), texts[:], head, problems=problems)
        self._changed(change, conversation, plain=plain)

    def _save_again(
        self, state: ConversationState, conversation: Conversation | None, added: Mapping[int, dict[str, Any]]
    ) -> None:
        problems: Problems = []
        known: Sequence[Any] = conversation.fingerprints if conversation else ()
        written: list[tuple[int, Any, Kept]] = []
        texts: Sequence[bytes] = conversation.messages if conversation else ()
        for i, (message, last) in enumerate(zip_longest(state.messages, known[: len(state.messages)])):
            print_ = fingerprint(message, careful=i >= len(texts) or len(texts[i]) > _LARGE)
            if print_ == last and i not in added:
                continue
            kept = self._kept_form(i, _coerced(Message, message), problems)
            if i in added:
                wire = _with_meta(loads(kept[0]), added[i])
                kept = dumps(wire), telemetry.facts_of(wire)
                print_ = object()  # what is kept is not what was given: a plain save takes it away again
            written.append((i, print_, kept))
        head_wire = head_of(state, problems)
        # Nothing is changed until everything could be converted.
        conversation = self._open(state.id)
        length = len(state.messages)
        del conversation.messages[length:], conversation.facts[length:], conversation.fingerprints[length:]
        head = None if head_wire == conversation.head else head_wire
        conversation.head = head_wire
        self._set(conversation, written, problems, head)

    def _kept_form(self, index: int, message: Message, problems: Problems) -> Kept:
        return kept_form(self._priced(message, problems), index, problems)

    def _priced(self, message: Message, problems: Problems) -> Message:
        if self._prices is not None and message.meta:  # what is to be priced says its model or its usage there
            return self._prices.priced(message, problems)
        return message

    def _append(self, conversation_id: str, messages: Sequence[Message]) -> None:
        """Append to a log, whatever its length."""
        self._announce_write(conversation_id)
        with self._lock:
            length = self.log_len(conversation_id)
            self._put(conversation_id, [(length + i, message) for i, message in enumerate(messages)])
        self._tell_user(conversation_id)

    def _edit_last(self, conversation_id: str, role: str | None, edit: Callable[[Message], object]) -> None:
        """Edit the last message, or a new one of the assistant where there is none or it does not have the role."""
        if role is not None:
            self._announce_write(conversation_id)
        with self._lock:
            conversation = self._conversations.get(conversation_id)
            length = len(conversation.messages) if conversation else 0
            if conversation and length and (role is None or conversation.facts[-1].role == role):
                index, message = length - 1, Message.from_json(conversation.messages[-1])
            else:
                index, message = length, Message.assistant()
            edit(message)
            self._put(conversation_id, [(index, message)])
        self._tell_user(conversation_id)

    def _announce_write(self, conversation_id: str) -> None:
        if self._before_write is not None:
            self._before_write(conversation_id)

    def _truncate(self, conversation_id: str) -> None:
        """Take all messages out of a conversation; its metadata stays."""
        with self._lock:
            conversation = self._conversations.get(conversation_id)
            if conversation is not None and conversation.messages:
                for entries in (conversation.messages, conversation.facts, conversation.fingerprints):
                    entries.clear()
                self._changed(Change("save", conversation_id), conversation)

    def _withdraw(self, conversation_id: str) -> None:
        """Forget the messages of a conversation that was never the user's, and itself if it has no metadata."""
        with self._lock:
            conversation = self._conversations.get(conversation_id)
            if conversation is None or conversation.metadata is not None:
                self._truncate(conversation_id)
                return
            del self._conversations[conversation_id]
            self._saved_last.pop(conversation_id, None)
            self._changed(Change("withdraw", conversation_id), conversation)

    def _add_metadata(self, conversation_id: str, **fields: Any) -> None:
        """Add to run metadata; see `grown`. It takes as long however much there is."""
        conversation_id = checked_id(conversation_id)
        problems: Problems = []
        wire = RunMetadata(**fields).to_wire(problems, "metadata")
        with self._lock:
            conversation = self._open(conversation_id)
            if conversation.metadata is not None:
                self._grow_metadata(conversation, {key: wire[key] for key in fields if key in wire}, problems)
                return
            conversation.metadata = wire
            self._changed(Change("metadata", conversation_id, metadata=wire, problems=problems), conversation)

    def _grow_metadata(self, conversation: Conversation, more: dict[str, Any], problems: Problems) -> None:
        # A new one: of what it was, somebody may be making a report.
        conversation.metadata = metadata = grown(conversation.metadata or {}, more)
        self._changed(
            Change("metadata", conversation.id, metadata=metadata, problems=problems, more=more), conversation
        )

    def _ids(self) -> list[str]:
        with self._lock:
            return list(self._conversations)

    def _turns(self) -> list[Turn]:
        """What each message of each conversation took."""
        return [turn for key in self._ids() for turn in turns_of(self.log_load(key), key)]

    def _last_said(self, conversation_id: str) -> int:
        """The position of the last message that is no instruction; the start where there is none."""
        conversation = self._conversations.get(conversation_id)
        facts = conversation.facts if conversation else ()
        return next((place for place in range(len(facts) - 1, -1, -1) if facts[place].role != "system"), 0)

    def _next_call(self, conversation_id: str) -> int:
        """The position of the next tool call, whichever recorder asks."""
        with self._lock:
            numbers = self._call_numbers.get(conversation_id)
            if numbers is None:
                conversation = self._conversations.get(conversation_id)
                known = sum(len(fact.tools) for fact in conversation.facts) if conversation else 0
                numbers = self._call_numbers[conversation_id] = itertools.count(known + 1)
            return next(numbers)

    def _tool_name(self, conversation_id: str, call_id: str) -> str:
        """The name that the last call with this id has; empty when there is none."""
        with self._lock:
            conversation = self._conversations.get(conversation_id)
            if conversation is None:
                return ""
            for text, fact in zip(reversed(conversation.messages), reversed(conversation.facts), strict=True):
                if fact.tools:
                    for call in loads(text).get("tool_calls") or ():
                        if call.get("id") == call_id:
                            return str(call.get("name") or "")
        return ""

    def _put(
        self, conversation_id: str, messages: Sequence[tuple[int, Message]], *, problems: Problems | None = None
    ) -> None:
        """Set messages at positions of a conversation or at its end; the caller holds the lock.

        Args:
            conversation_id: Which conversation.
            messages: Each with its position.
            problems: What the listener is to be told went wrong with them.
        """
        problems = [] if problems is None else problems
        written = [(i, None, self._kept_form(i, message, problems)) for i, message in messages]
        self._set(self._open(conversation_id), written, problems)

    def _set(
        self,
        conversation: Conversation,
        written: Iterable[tuple[int, Any, Kept]],
        problems: Problems,
        head: dict[str, Any] | None = None,
    ) -> None:
        """Keep messages, and tell of those whose bytes are not what they were."""
        indexes: list[int] = []
        texts: list[bytes] = []
        messages = conversation.messages
        for index, print_, (text, facts) in written:
            if index == len(messages):
                messages.append(text)
                conversation.facts.append(facts)
                conversation.fingerprints.append(print_)
            else:
                conversation.fingerprints[index] = print_
                if messages[index] == text:
                    continue
                messages[index] = text
                conversation.facts[index] = facts
            indexes.append(index)
            texts.append(text)
        self._saved_last.pop(conversation.id, None)
        self._saved_last[conversation.id] = None
        length = len(messages)
        self._changed(Change("save", conversation.id, length, indexes, texts, head, problems=problems), conversation)

    def _changed(self, change: Change, conversation: Conversation, *, plain: bool = False) -> None:
        conversation.plain = plain
        if self._on_change is not None:
            self._on_change(change, conversation)

    def _tell_user(self, conversation_id: str) -> None:
        callback = self._on_save
        if callback is not None:
            callback(self.load(conversation_id))


_BEFORE_META = [*takewhile("meta".__ne__, Message.model_fields)]


def _with_meta(message: Mapping[str, Any], added: Mapping[str, Any]) -> dict[str, Any]:
    """A message's wire form with more in its ``meta``, which stands in its place, or is left out when empty."""
    meta = {**(message.get("meta") or {}), **added}
    if not meta:
        return dict(message)
    before = {key: message[key] for key in _BEFORE_META if key in message}
    return {**before, "meta": meta, **{key: message[key] for key in message if key != "meta" and key not in before}}


def _coerced(model: type[M], value: M | Mapping[str, Any]) -> M:
    return value if isinstance(value, model) else model.model_validate(value)


def checked_id(conversation_id: object) -> str:
    """An id as a store has it, if it is one."""
    if not isinstance(conversation_id, str):
        raise InvalidStateError(str(conversation_id), f"an id is a str, not {type(conversation_id).__name__}")
    if not conversation_id:
        raise InvalidStateError("", "an id cannot be empty")
    return known_id(conversation_id)


def known_id(conversation_id: str) -> str:
    """An id as a store has it: lone surrogates, which no file can hold, are U+FFFD there, as in all text."""
    try:
        return conversation_id if conversation_id.isascii() else scrub_text(conversation_id)
    except AttributeError:  # no str, so nothing is known by it
        return conversation_id


def _check_list_name(conversation_id: str, name: str) -> None:
    if not name:
        raise InvalidStateError(conversation_id, "a list's name cannot be empty")
