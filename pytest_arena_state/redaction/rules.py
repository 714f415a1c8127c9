"""What every rule of redaction is, and which texts none of them hides."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from pydantic_core import SchemaValidator, core_schema

Span: TypeAlias = tuple[int, int]
Look: TypeAlias = Callable[[str], bool]


@dataclass(frozen=True, kw_only=True)
class RedactionRules:
    """What to look for. Plain values, so that workers can be told."""

    env: bool = True
    """Values of environment variables whose names say that they are secret."""
    keys: bool = True
    """The shapes of well-known keys, and the values of fields that are named like secrets."""
    patterns: tuple[str, ...] = ()
    """Regular expressions of the user, from the ini value ``arena_redact``."""


WINDOW = 65_536  # characters; of a long text, only windows that a look has found are searched with `re`
REACH = 16_384  # characters beyond its window that a match may need to be recognised


def look_for(pattern: str) -> Look:
    """Whether a text without lone surrogates holds a match; linear in the text whatever the pattern.

    Patterns are written for two engines. ``x*+`` is possessive in `re`; in the other, which
    never backtracks, it is a repetition repeated, and accepts the same texts.
    """
    schema = core_schema.str_schema(pattern=pattern, strict=True, regex_engine="rust-regex")
    return SchemaValidator(schema).isinstance_python


# What may stand before a key: no part of a word, but an escape (`\n`, `%3D`) may end in a letter.
BEFORE_WORD = r"(?:\A|[^A-Za-z0-9_]|\\[bfnrt]|\\u[0-9A-Fa-f]{4}|%[0-9A-Fa-f]{2})[_-]?"
_WORD_START = re.compile(BEFORE_WORD + r"\Z")
_ENCODED = re.compile("[A-Za-z0-9_-]{64}")  # base64 of the kind for URLs


def word(match: re.Match[str]) -> Span | None:
    """The whole match, where it is a word of its own, or the last one of several with dashes between.

    So are the parameters of a test in its node id.
    """
    text, start = match.string, match.start()
    if not _WORD_START.search(text, max(0, start - 7), start) or _ENCODED.fullmatch(text, max(0, start - 64), start):
        return None
    return match.span()


@dataclass(frozen=True)
class Rule:
    """What to search for, in two steps: a quick look at a whole text, and a careful search."""

    name: str
    """What a replacement says."""
    pattern: str
    """Found wherever there is something to replace, and in few other places; for both engines."""
    part: Callable[[re.Match[str]], Span | None] = word
    """What of a match is secret, if anything."""
    rest: str = "(?![A-Za-z0-9])"
    """What follows the pattern, where a text is searched and not only looked at; `re` only."""
    window: int = WINDOW
    reach: int = REACH

    @cached_property
    def look(self) -> Look:
        """Whether it may be in a text."""
        return look_for(self.pattern)

    @cached_property
    def find(self) -> re.Pattern[str]:
        """Where it may be in a text."""
        return re.compile(self.pattern + self.rest)

    def judge(self, match: re.Match[str]) -> Span | None:
        """What of a match of `find` is secret, if anything."""
        return self.part(match)

    def judging(self) -> Callable[[re.Match[str]], Span | None]:
        """`judge`, for the matches of one search in their order."""
        return self.judge


# --- what is not worth hiding ----------------------------------------------

# Words that stand in variables and fields meant for secrets, and that a report needs to stay readable.
_COMMON = frozenset(
    (
        *("anonymous", "changeit", "changeme", "change-me", "default", "development", "disabled", "enabled"),
        *("external", "false", "guest", "inherited", "internal", "keychain", "keyring", "localhost", "none", "null"),
        *("optional", "pass", "passwd", "password", "placeholder", "postgres", "production", "redacted", "required"),
        *("secret", "standard", "string", "test", "token", "true", "undefined", "unlimited", "username"),
        # The vocabulary of conversations: a DB_PASSWORD of `assistant` must not take away every role.
        *("assistant", "content_filter", "developer", "document", "end_turn", "function", "image_url", "input_text"),
        *("max_tokens", "object", "output_text", "reasoning", "stop_sequence", "thinking", "tool_call", "tool_calls"),
        *("tool_result", "tool_use"),
    )
)
_PLACEHOLDER = re.compile(
    r"([xX*._•…-])\1*"  # ********
    r"|<[^<>]*>|\$\w+|\$?\{\{?[^{}]*\}?\}|%\(?\w+\)?s?"  # <key>, $KEY, ${KEY}, {{ key }}, %(key)s
    r"|your[-_ ][\w -]+"
)
NUMBER = re.compile(r"[-+]?[0-9][0-9_.,:]*(?:[eE][-+]?[0-9]+)?")
RUN = re.compile(r"[A-Za-z0-9]{6,}")
BASE64 = "[A-Za-z0-9+/_-]"
SHORTEST = 8  # characters: shorter values stand in too many other places


def is_harmless(value: str) -> bool:
    """Whether a value is a common word or stands for one, like ``<your key>``."""
    return value.lower() in _COMMON or _PLACEHOLDER.fullmatch(value) is not None


def looks_random(text: str, shortest: int = 12) -> bool:
    """Whether a run of letters and digits is there that no word, slug or date has."""
    for run in RUN.findall(text):
        one_kind = run.isdigit() or run.islower() or run.isupper() or run.istitle()
        if len(run) >= 20 or (len(run) >= shortest and not (one_kind and (run.isdigit() or run.isalpha()))):
            return True
    return False


def without_surrogates(text: str) -> str:
    """A text that can be looked at, as long as it was."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
