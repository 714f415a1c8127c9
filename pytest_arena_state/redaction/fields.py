"""The values of fields that are named like secrets, in JSON and in text."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial

from .rules import RUN, SHORTEST, Rule, Span, is_harmless, looks_random


def spelled(*names: str) -> str:
    """A pattern for names in snake, kebab, camel and upper case."""
    return "|".join(
        "[-_. ]?".join(f"(?:{word}|{word.title()}|{word.upper()})" for word in name.split()) for name in names
    )


GAP = r"(?:[ \t\r\n]|\\++[nrt])*+"
QUOTE = r"""\\*+["']"""
SIGN = "(?:=>|[:=])"
VALUE = r"[A-Za-z0-9._~+/=:!@#$%^*-]"
_WORD = re.compile(VALUE + "++")
_BARE_VALUE = re.compile(VALUE + r"++(?![(\[])")  # a call or an index is code, no value
_PLAIN_WORD = re.compile(r"[A-Za-z]?[a-z]+[.:!]?")
_SCHEME = re.compile("(?:[Bb]earer|[Bb]asic|[Tt]oken) ++")
# After a name: a list in the document; a value in a header, in an .env file, in code; a quoted value in JSON or Python.
HOLDS_LIST = r'"[ \t\r\n]*:[ \t\r\n]*\['
# A bare value is one by its digit or its length; behind a scheme, as in `Authorization: Bearer …`, it needs neither.
BARE = rf"{GAP}(?:{QUOTE})?(?:{VALUE}*[0-9]|{VALUE}{{32}})"
BARE_OR_SCHEME = rf"{GAP}(?:{QUOTE})?(?:[A-Za-z]{{5,6}} ++)?{VALUE}{{6}}"
HOLDS_BARE = rf"(?:{QUOTE})?{GAP}{SIGN}{BARE}"
HOLDS_BARE_OR_SCHEME = rf"(?:{QUOTE})?{GAP}{SIGN}{BARE_OR_SCHEME}"
HOLDS_QUOTED = (
    rf'"[ \t\r\n]*{SIGN}[ \t\r\n]*"[^"]|\\++"{GAP}{SIGN}{GAP}\\++"[^"]'
    rf"|'[ \t\r\n]*{SIGN}[ \t\r\n]*'[^']"  # the repr of a dict, as failed assertions have it
)
_ASSIGNED = re.compile(rf"(?P<closing>{QUOTE})?+{GAP}{SIGN}{GAP}(?P<opening>{QUOTE})?+")
_LONGEST_QUOTED = 10_000  # characters of a quoted value in a text, so that unclosed quotes cost no quadratic time


@dataclass(frozen=True, kw_only=True)
class Field(Rule):
    """The value of a field with one of some names."""

    names: str
    shortest_random: int = 0
    """Set where the name has other uses, too: the value has to look like a secret of this length."""

    @classmethod
    def named(cls, rule: str, *names: str, shortest_random: int = 0) -> Field:
        """A rule for fields with these names, or with names that end in one of them."""
        pattern = spelled(*names)
        bare = HOLDS_BARE_OR_SCHEME if rule == "authorization" else HOLDS_BARE
        holds = f"{HOLDS_LIST}|{bare}" + ("" if shortest_random else f"|{HOLDS_QUOTED}")
        return cls(rule, f"(?:{pattern})(?:{holds})", names=pattern, shortest_random=shortest_random)

    @cached_property
    def find(self) -> re.Pattern[str]:
        """The name; what follows is for `judge`."""
        # Of a name with other uses, only the whole word: `page_token` is none of ours.
        return re.compile(rf"(?:(?<![A-Za-z0-9_-])(?:{self.names}))" if self.shortest_random else self.names)

    @cached_property
    def names_key(self) -> re.Pattern[str]:
        """Found in keys of JSON that are such a name."""
        return re.compile(rf"(?:{self.find.pattern})\Z")

    def holds(self, value: str) -> bool:
        """Whether this, the whole value of a field, is a secret."""
        if self.shortest_random:
            return _BARE_VALUE.fullmatch(value) is not None and self._looks_like_one(value)
        if self.name == "cookie":
            return "=" in value
        return len(value) >= 4 and not is_harmless(value)

    def judging(self) -> Callable[[re.Match[str]], Span | None]:
        """`judge`, which looks once at a word that holds name after name."""
        return partial(self._judge, settled={})

    def judge(self, match: re.Match[str]) -> Span | None:
        """The value of a field in a text, if it is one and not the next word of a sentence."""
        return self._judge(match, {})

    def _judge(self, match: re.Match[str], settled: dict[int, Span]) -> Span | None:
        text, limit = match.string, match.endpos
        assigned = _ASSIGNED.match(text, match.end(), limit)
        if not assigned:
            return None
        opening, start = assigned["opening"], assigned.end()
        if opening and opening == assigned["closing"]:
            quote = re.compile(r"(?<!\\)" + re.escape(opening))
            if closing := quote.search(text, start, min(start + _LONGEST_QUOTED, limit)):
                return (start, closing.start()) if self.holds(text[start : closing.start()]) else None
        scheme = _SCHEME.match(text, start, limit) if self.name == "authorization" else None
        start = scheme.end() if scheme else start
        first, last = settled.get(limit, (0, 0))
        if first <= start < last:
            return None  # the end of a word that was replaced already, or in which there is no secret
        word = _WORD.match(text, start, limit)
        if not word:
            return None
        settled[limit] = word.span()
        bare = _BARE_VALUE.match(text, start, limit)
        if not bare:
            return None
        value = bare[0]
        if scheme:
            secret = len(value) >= 6 and (len(value) >= 16 or not _PLAIN_WORD.fullmatch(value))
        else:
            secret = self._looks_like_one(value)
        return bare.span() if secret else None

    def _looks_like_one(self, value: str) -> bool:
        # The digit tells it from code: `token: Token.Name.Builtin`, `password: SecretStr`.
        if not any(map(str.isdigit, value)):
            return any(len(run) >= 32 for run in RUN.findall(value))
        shortest = self.shortest_random or SHORTEST
        return len(value) >= shortest and looks_random(value, min(shortest, 12))


FIELDS = (
    Field.named("authorization", "authorization"),
    Field.named(
        "secret",
        *("api secret", "app secret", "client secret", "consumer secret", "secret access key", "secret key"),
        *("shared secret", "signing secret", "webhook secret"),
    ),
    Field.named(
        "api-key",
        *("access key", "account key", "api key", "encryption key", "private key", "signing key", "subscription key"),
    ),
    Field.named("password", "passphrase", "passwd", "password"),
    Field.named(
        "token",
        *("access token", "api token", "auth token", "bearer token", "bot token", "csrf token", "private token"),
        *("refresh token", "security token", "session token", "xsrf token"),
    ),
    Field.named("cookie", "cookie"),
    Field.named("secret", "secret", shortest_random=8),  # also a word to guess
    Field.named("token", "token", shortest_random=16),  # also a piece of a word, with its probability
)


@lru_cache(maxsize=4096)
def field_named(key: str) -> Field | None:
    """The rule for the value of a key of JSON, if there is one."""
    return next((field for field in FIELDS if field.names_key.search(key)), None)
