"""Takes documents and texts apart, where a look left a doubt, and puts marks in place of secrets."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property

from .._times import is_written_time
from ..errors import ConfigurationError
from .environment import Secrets
from .fields import Field, field_named
from .keys import WORDS
from .looks import SHAPES, document_may_hold_shape, may_hold_shape
from .rules import SHORTEST, Look, RedactionRules, Rule, Span, without_surrogates

# A JSON string, and the colon that makes it a key.
_STRING = re.compile(r'("[^"\\]*+(?:\\.[^"\\]*+)*+")([ \t\r\n]*+:)?', re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")
_MARK = "[redacted:"
_ALL_RULES = RedactionRules()
# Fields of ours that say when: nobody reads a run where one of them is no time. `started` stands in journals.
_TIMES = frozenset(
    (
        *("timestamp", "StartTime", "EndTime", "start_time", "end_time", "started"),
        *("created_at", "last_accessed_at", "started_at"),
    )
)
# The file of large media beside the results, which nobody finds under another name; elsewhere such a path is a text.
_PATHS = frozenset(("file_path", "FilePath"))
_MEDIA_FILE = re.compile(r"media/[0-9a-f]{64}\.[a-z0-9]{1,4}")
# Words of the format in their fields: what a run is counted as, and who speaks, hangs on them.
_OUTCOME = re.compile("passed|failed|error|skipped|xfailed|xpassed|rerun|interrupted|crashed")
_WORKER = re.compile("main|gw[0-9]{1,6}")
_OWN = {
    "role": re.compile("system|user|assistant|tool"),
    "type": re.compile(r"text|image|audio|video|document|pytest\.(?:outcome|budget)"),
    "status": _OUTCOME,
    "outcome": _OUTCOME,
    "pytest.outcome": _OUTCOME,
    "pytest.attempt": re.compile("[0-9]{1,6}"),
    "worker": _WORKER,
    "pytest.worker": _WORKER,
}


class _UserRule(Rule):
    """A pattern of the user: searched for everywhere, since it may mean a beginning, an end or anything between."""

    @classmethod
    def compiled(cls, pattern: str, position: int) -> _UserRule:
        try:
            # What `re` only warns of is no reason to end a suite that turns warnings into errors.
            with warnings.catch_warnings(action="ignore"):
                groups = re.compile(pattern).groupindex
        except (re.error, OverflowError, RecursionError) as error:
            raise ConfigurationError(f"arena_redact: {pattern!r} is not a regular expression: {error}") from error
        return cls(next(iter(groups), f"arena_redact[{position}]"), pattern, rest="", window=sys.maxsize)

    @cached_property
    def look(self) -> Look:
        return lambda _: True

    def judge(self, match: re.Match[str]) -> Span | None:
        # The end of what is searched may be an earlier replacement and not the end of the text that `$` means.
        if match.end() == match.endpos < len(match.string) and not match.re.match(match.string, match.start()):
            return None
        return match.span()


def _is_of_ours(name: str, value: str) -> bool:
    if name in _TIMES:
        return is_written_time(value)
    words = _MEDIA_FILE if name in _PATHS else _OWN.get(name)
    return words is not None and words.fullmatch(value) is not None


class Redactor:
    """Replaces the secrets in what is about to be written.

    Args:
        rules: What to look for.
        environ: Read at once and by `refresh`; by default `os.environ`. Values are taken without the white space
            around them, from 8 characters up, and never when they are numbers, placeholders, common words or files.
        hook: Given each string value as text, after all other rules; returns what to write instead, or None.
            When it raises or returns something else, the whole text is withheld: better a gap than a leak.
        salt: Of `mark_of`. All processes of a session have the same, and no file has it.

    Attributes:
        counts: How often each rule replaced something. Threads may cost it a count, never a replacement.
        troubles: How often the hook failed, by kind.

    Raises:
        ConfigurationError: A pattern is not a regular expression.
    """

    def __init__(
        self,
        rules: RedactionRules = _ALL_RULES,
        *,
        environ: Mapping[str, str] | None = None,
        hook: Callable[[str], str | None] | None = None,
        salt: str = "",
    ) -> None:
        # Counted without a lock: one that a thread holds while another forks would hang the child.
        self.counts = Counter[str]()
        self.troubles = Counter[str]()
        self._rules = rules
        self._environ = environ
        self._hook = hook
        self._salt = salt or secrets.token_hex(16)
        self._user_rules = [_UserRule.compiled(pattern, at) for at, pattern in enumerate(rules.patterns)]
        # Only names that a rule has: a key that somebody put into brackets is still a key.
        names = {"hook-failed", *(rule.name for rule in (*SHAPES, *self._user_rules))}
        any_name = "|".join([*map(re.escape, sorted(names)), "[A-Z_][A-Z0-9_]{0,127}"])
        self._marker = re.compile(rf"\[redacted:(?:{any_name})\]")
        self._only_marker = re.compile(rf"(?:[A-Za-z]+ )?{self._marker.pattern}")
        self._secrets = Secrets()
        self.refresh()

    def ask(self, hook: Callable[[str], str | None] | None) -> None:
        """Give each string value to this hook from now on, or to none."""
        self._hook = hook

    def refresh(self, environ: Mapping[str, str] | None = None) -> None:
        """Learn the secrets that came into the environment since; none is forgotten.

        Cheap enough for every test: tests set keys with ``monkeypatch.setenv``.
        """
        if self._rules.env:
            source = environ if environ is not None else self._environ
            self._secrets.learn(os.environ if source is None else source)

    def redact(self, document: bytes) -> bytes:
        """Replace the secrets in the string values of JSON, and nothing else.

        Times, roles, outcomes and the like in their fields and the names of media files are no texts of anybody: a
        pattern of the user, such as one for dates of birth, would leave a run that nobody can read or count.

        Args:
            document: JSON, or a part of it that cuts no string; UTF-8, where no ASCII letter is escaped.

        Returns:
            The document itself when nothing in it is secret.
        """
        try:
            text = document.decode()
        except UnicodeDecodeError:
            text = document.decode("utf-8", "surrogateescape")
            suspected = True  # such a text cannot be looked at
        else:
            suspected = self._suspected(text)
        if not (suspected or self._hook or self._user_rules):
            return document
        redacted = self._redact_values(text, suspected=suspected)
        return document if redacted is text else redacted.encode("utf-8", "surrogateescape")

    def clears(self, lines: bytes) -> bool:
        """Whether one look tells that nothing in JSON is secret; counts nothing.

        False leaves a doubt, and with a hook or patterns of the user there always is one.

        Args:
            lines: JSON documents, each on a line of its own.
        """
        if self._hook or self._user_rules:
            return False
        try:
            return not self._suspected(lines.decode(), compact=True)
        except UnicodeDecodeError:
            return False

    def redact_text(self, text: str) -> str:
        """Replace the secrets in plain text, such as an id before it becomes a file name."""
        return self._redact_string(text, suspected=True)

    def mark_of(self, text: str) -> str:
        """What tells a text that is redacted from others that become the same; says nothing of it to whoever reads it.

        The names of customers are few enough to try them all, so a digest without a salt would be one of them.
        """
        key = self._salt.encode()
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, key=key).hexdigest()

    def _suspected(self, text: str, *, compact: bool = False) -> bool:
        return (self._rules.keys and document_may_hold_shape(text, compact=compact)) or self._secrets.suspected(text)

    def _redact_values(self, text: str, *, suspected: bool) -> str:
        pieces = list[str]()
        done = last = 0
        field = None
        name = ""
        for match in _STRING.finditer(text):
            literal = match[1]
            if match[2]:
                name = literal[1:-1]
                field = field_named(name) if self._rules.keys else None
            elif not _is_of_ours(name, literal[1:-1]):
                # The value of the field, or one of its list; anything else in between ends the field.
                if field and text[last : match.start()].strip() not in ("", "[", ","):
                    field = None
                value = json.loads(literal, strict=False) if "\\" in literal else literal[1:-1]
                redacted = self._redact_string(value, field, suspected=suspected)
                if redacted != value:
                    # A lone surrogate can be written in JSON, but only as an escape.
                    written = json.dumps(redacted, ensure_ascii=bool(_SURROGATE.search(redacted)))
                    pieces += (text[done : match.start()], written)
                    done = match.end()
            last = match.end()
        return "".join([*pieces, text[done:]]) if pieces else text

    def _redact_string(self, text: str, field: Field | None = None, *, suspected: bool) -> str:
        # A replacement ends the word before it, so that a key may begin where none did. What is not replaced yet
        # gets shorter each time, which ends this.
        while (redacted := self._apply_rules(text, suspected=suspected)) != text:
            text, suspected = self._replace_behind_marks(redacted), True
        if field and field.holds(text) and not self._only_marker.fullmatch(text):
            text = self._mark(field.name)
        return self._ask_hook(self._hook, text) if self._hook else text

    def _apply_rules(self, text: str, *, suspected: bool) -> str:
        """Suspected: whether a look at the whole document left a doubt."""
        if suspected and len(text) >= SHORTEST:
            looked_at = without_surrogates(text)
            for secret in self._secrets.suspects(looked_at):
                if secret.look(looked_at):
                    text = self._replace(text, secret)
            if self._rules.keys and may_hold_shape(looked_at):
                for shape in SHAPES:
                    if shape.look(looked_at):
                        text = self._replace(text, shape)
        for rule in self._user_rules:
            if rule.find.search(text):
                text = self._replace(text, rule)
        return text

    def _replace(self, text: str, rule: Rule) -> str:
        pieces = list[str]()
        done = passed = 0
        judge = rule.judging()
        for start, end in self._unmarked(text):
            for at in range(start, end, rule.window):
                until, limit = at + rule.window, min(end, at + rule.window + rule.reach)
                if not rule.look(without_surrogates(text[at:limit])):
                    continue
                for match in rule.find.finditer(text, max(at, passed), limit):
                    if match.start() >= until:
                        break
                    whole = match if match.end() < limit else rule.find.match(text, match.start(), end) or match
                    passed = whole.end()
                    span = judge(whole)
                    # A field in the value of another one is gone with it.
                    if span and max(span[0], done) < span[1]:
                        pieces += (text[done : span[0]], self._mark(rule.name))
                        done = span[1]
        return "".join([*pieces, text[done:]]) if pieces else text

    def _replace_behind_marks(self, text: str) -> str:
        """Replace keys that stand one behind the other; to search the text again for each would take very long."""
        if not self._rules.keys:
            return text
        pieces = list[str]()
        done = 0
        for marker in self._marker.finditer(text):
            at = marker.end()
            while found := self._word_at(text, at):
                rule, (start, at) = found
                pieces += (text[done:start], self._mark(rule.name))
                done = at
        return "".join([*pieces, text[done:]]) if pieces else text

    def _word_at(self, text: str, at: int) -> tuple[Rule, Span] | None:
        for start in (at, at + 1) if text.startswith(("_", "-"), at) else (at,):
            for rule in WORDS:
                match = rule.find.match(text, start)
                # By itself: what stands before it is replaced, and no word that it could be a part of.
                alone = rule.find.match(text[at : match.end() + 1], start - at) if match else None
                if alone and rule.judge(alone):
                    return rule, (start, at + alone.end())
        return None

    def _unmarked(self, text: str) -> Iterator[Span]:
        """What stands between earlier replacements; inside them there is nothing to find."""
        start = 0
        if _MARK in text:
            for marker in self._marker.finditer(text):
                yield start, marker.start()
                start = marker.end()
        yield start, len(text)

    def _mark(self, name: str) -> str:
        self.counts[name] += 1
        return f"{_MARK}{name}]"

    def _ask_hook(self, hook: Callable[[str], str | None], text: str) -> str:
        if self._marker.fullmatch(text):
            return text
        try:
            answer: object = hook(text)
        except Exception as error:  # noqa: BLE001 - whatever a user's hook does, the suite goes on
            self.troubles[f"redaction hook failed: {type(error).__name__}"] += 1
            return self._mark("hook-failed")
        if answer is None or answer == text:
            return text
        if not isinstance(answer, str):
            self.troubles[f"redaction hook returned {type(answer).__name__}"] += 1
            return self._mark("hook-failed")
        self.counts["hook"] += 1
        return answer
