r"""Secrets never reach a disk: what looks like one is replaced before it is written.

A `Redactor` replaces secrets in the string values of a JSON document and leaves keys, numbers
and layout alone, byte for byte; a document with nothing secret in it is returned as it is.
The replacement names the rule and never the value or its length: ``[redacted:OPENAI_API_KEY]``
for the value of that environment variable, ``[redacted:openai-key]`` for something in the
shape of one. What was redacted once stays as it is and is not counted again.

- ``env``: values of environment variables whose names say so, wherever they stand: as they
  are, JSON- or URL-escaped, and inside any base64. A value once seen stays secret.
- ``keys``: the shapes of well-known keys, ``Authorization`` headers, passwords in URLs, and
  string values of fields named ``api_key``, ``password``, ``client_secret`` and the like.
- ``patterns``: the user's regular expressions, tried on every string value. A rule is named by
  the pattern's first named group, else by its position, ``arena_redact[0]``; the whole match is
  replaced. A pattern that backtracks without end does so here as well: that is the user's care.
- a hook, last, which sees what the rules above have left. Where it fails, its text is withheld.

Most documents hold no secret, so a quick look at the whole document comes first. It uses the
regular expressions of pydantic-core, which search for many literals in one pass. A look may err
on one side only. It is taken at raw JSON too, where a newline is ``\n`` and a quote ``\"``.

Not found: a secret in an object key or in a number; one that is split, compressed, encrypted or
encoded in two ways at once; base64 with a line break inside the secret; a key of a shape that is
in no table below, in no field with a telling name and in no variable with a telling name.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from typing import TypeAlias

from pydantic_core import SchemaValidator, core_schema

from .errors import ConfigurationError

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


# --- rules -----------------------------------------------------------------

_WINDOW = 65_536  # characters; of a long text, only windows that a look has found are searched with `re`
_REACH = 16_384  # characters beyond its window that a match may need to be recognised


def _look(pattern: str) -> Look:
    """Whether a text without lone surrogates holds a match; linear in the text whatever the pattern.

    Patterns are written for two engines. ``x*+`` is possessive in `re`; in the other, which
    never backtracks, it is a repetition repeated, and accepts the same texts.
    """
    schema = core_schema.str_schema(pattern=pattern, strict=True, regex_engine="rust-regex")
    return SchemaValidator(schema).isinstance_python


# What may stand before a key: no part of a word, but an escape (`\n`, `%3D`) may end in a letter.
_BEFORE_WORD = r"(?:\A|[^A-Za-z0-9_-]|\\[bfnrt]|\\u[0-9A-Fa-f]{4}|%[0-9A-Fa-f]{2})[_-]?"
_WORD_START = re.compile(_BEFORE_WORD + r"\Z")


def _word(match: re.Match[str]) -> Span | None:
    return match.span() if _WORD_START.search(match.string, max(0, match.start() - 7), match.start()) else None


@dataclass(frozen=True)
class _Rule:
    name: str
    """What a replacement says."""
    pattern: str
    """Found wherever there is something to replace, and in few other places; for both engines."""
    part: Callable[[re.Match[str]], Span | None] = _word
    """What of a match is secret, if anything."""
    rest: str = "(?![A-Za-z0-9])"
    """What follows the pattern, where a text is searched and not only looked at; `re` only."""
    window: int = _WINDOW
    reach: int = _REACH

    @cached_property
    def look(self) -> Look:
        return _look(self.pattern)

    @cached_property
    def find(self) -> re.Pattern[str]:
        return re.compile(self.pattern + self.rest)

    def judge(self, match: re.Match[str]) -> Span | None:
        return self.part(match)


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
_NUMBER = re.compile(r"[-+]?[0-9][0-9_.,:]*(?:[eE][-+]?[0-9]+)?")
_RUN = re.compile(r"[A-Za-z0-9]{6,}")
_SHORTEST = 8  # characters: shorter values stand in too many other places


def _is_harmless(value: str) -> bool:
    return value.lower() in _COMMON or _PLACEHOLDER.fullmatch(value) is not None


def _looks_random(text: str, shortest: int = 12) -> bool:
    """Whether a run of letters and digits is there that no word, slug or date has."""
    for run in _RUN.findall(text):
        one_kind = run.isdigit() or run.islower() or run.isupper() or run.istitle()
        if len(run) >= 20 or (len(run) >= shortest and not (one_kind and (run.isdigit() or run.isalpha()))):
            return True
    return False


# --- environment variables -------------------------------------------------

_SECRET_NAME = re.compile(
    r"API_?KEY|SECRET|PASSWORD(?!LESS)|PASSWD|PASSPHRASE|CREDENTIAL|CONNECTION_?STRING"
    r"|(?<!EOS_)(?<!BOS_)(?<!PAD_)(?<!UNK_)(?<!SEP_)(?<!CLS_)(?<!MASK_)(?<!STOP_)TOKEN(?:_?[0-9]+)?\Z"
    r"|(?:\A|_)(?:PASS|PAT|DSN)\Z|_PWD\Z"
    r"|(?:ACCESS|ACCOUNT|ADMIN|APP|AUTH|CLIENT|DEPLOY|ENCRYPTION|FERNET|HMAC|JWT|LICENSE|MASTER|PRIVATE|SERVICE"
    r"|SESSION|SHARED|SIGNING|SSH|STORAGE|SUBSCRIPTION)_?KEY(?:_?[0-9]+)?\Z",
    re.IGNORECASE,
)
# OPENAI_KEY says it as well, but so does S3_KEY: the value has to look like one, too.
_MAYBE_SECRET_NAME = re.compile(
    r"(?<!PUBLIC)(?<!PRIMARY)(?<!FOREIGN)(?<!SORT)(?<!PARTITION)(?<!CACHE)_KEY\Z", re.IGNORECASE
)
# The name, place or size of a secret. A secret's id is one itself: Vault's SECRET_ID.
_ABOUT_A_SECRET = re.compile(
    r"_(?:ALGORITHM|ARN|BACKEND|COUNT|DIR|DIRECTORY|ENABLED|ENDPOINT|EXPIRY|FILE|FILENAME|HELPER|HOST|(?<!SECRET_)ID"
    r"|LEN|LENGTH|LIMIT|MANAGER|NAME|PATH|POLICY|PORT|PROVIDER|REGION|REQUIRED|SIZE|STORE|TIMEOUT|TTL|TYPE|URI|URL"
    r"|USER|USERNAME|VERSION)\Z",
    re.IGNORECASE,
)
_FILE_NAME = re.compile(r"[^\n]*\.[A-Za-z0-9]{1,5}")


@lru_cache(maxsize=4096)  # names; a process has a few hundred, and they are asked for after every test
def _says_secret(name: str) -> bool:
    named = _SECRET_NAME.search(name) or _MAYBE_SECRET_NAME.search(name)
    return named is not None and not _ABOUT_A_SECRET.search(name)


def _is_secret(name: str, value: str) -> bool:
    if len(value) < _SHORTEST or _is_harmless(value) or _NUMBER.fullmatch(value) or value.upper() == name.upper():
        return False
    if os.path.isabs(value) and (_FILE_NAME.fullmatch(value) or os.path.exists(value)):  # noqa: PTH110, PTH117 - NUL
        return False
    return _SECRET_NAME.search(name) is not None or (len(value) >= 16 and _looks_random(value))


def _utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _any_case(digits: str) -> str:
    return "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in digits)


@lru_cache(maxsize=1024)
def _spellings_of(character: str) -> str:
    """A pattern for a character as it is, percent-encoded, or JSON-escaped, however often."""
    if character.isascii() and character.isalnum():
        return character
    literal = f"\\x{ord(character):02x}" if character.isascii() else character
    spellings = [rf"\\*{literal}" if character in "\"'/" else literal]
    if character in "\b\f\n\r\t":
        spellings.append(r"\\+" + json.dumps(character)[2])
    if character == " ":
        spellings.append(r"\+")
    if "\ud800" <= character <= "\udfff":
        spellings += ["\N{REPLACEMENT CHARACTER}", r"\?"]  # what is left of it once somebody cleaned the text
    units = character.encode("utf-16-be", "surrogatepass")
    spellings.append("".join(r"\\+u" + _any_case(units[at : at + 2].hex()) for at in range(0, len(units), 2)))
    spellings.append("".join(f"%{_any_case(f'{byte:02x}')}" for byte in _utf8(character)))
    return f"(?:{'|'.join(spellings)})"


def _spellings(value: str) -> str:
    """A pattern for a value in plain text, in JSON, in JSON inside JSON and in a URL."""
    # Each level of JSON doubles a run of backslashes; as one repetition it cannot backtrack into itself.
    return "".join(
        rf"(?:\\{{{len(part)},}}|(?:%5[cC]){{{len(part)}}}|(?:\\+u005[cC]){{{len(part)}}})"
        if part.startswith("\\")
        else "".join(map(_spellings_of, part))
        for part in re.findall(r"\\+|[^\\]+", value)
    )


def _base64_spellings(value: bytes) -> list[str]:
    """Patterns for what is the same in every base64 text that holds the value, one for each alignment."""
    special = {"+": "(?:[+-]|%2[bB])", "/": r"(?:\\*/|_|%2[fF])"}
    patterns = []
    for before, first in enumerate((0, 2, 3)):  # bytes in front; characters that these have a part in
        encoded = base64.b64encode(b"\0" * before + value).decode()
        inner = encoded[first : (before + len(value)) * 8 // 6]
        patterns.append("".join(special.get(character, character) for character in inner))
    return patterns


_BASE64 = "[A-Za-z0-9+/_-]"
_BASE64_BEFORE = re.compile(_BASE64 + "{2}")


def _outline(value: str) -> str:
    """A pattern that is found wherever the value is; short, because there are many."""
    # Letters and digits have one spelling only, and what is literal is found fastest.
    run = max(_RUN.findall(value), key=len, default="")[:16]
    plain = run if len(run) >= _SHORTEST and not run.isalpha() else _spellings(value[:24])
    clean = re.sub("[\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", plain)
    return "|".join([clean, *_base64_spellings(_utf8(value)[:16])])


def _known_value(match: re.Match[str]) -> Span:
    """In base64, a character on either side may hold some bits of the value, too."""
    start, end = match.span()
    before = match.lastgroup and start >= 2 and _BASE64_BEFORE.match(match.string, start - 2)
    return (start - 1 if before else start), end


@dataclass(frozen=True, kw_only=True)
class _Secret(_Rule):
    """A value of the environment, under the name that it had when it was seen first."""

    value: str

    @classmethod
    def named(cls, name: str, value: str) -> _Secret:
        label = re.sub(r"[^A-Z0-9_]", "_", name.upper())[:128]
        reach = max(_REACH, 12 * len(value))  # a character is at most 12 long, as an escaped pair of surrogates
        return cls(label, _outline(value), _known_value, reach=reach, value=value)

    @cached_property
    def find(self) -> re.Pattern[str]:
        inside = "|".join(_base64_spellings(_utf8(self.value)))
        return re.compile(f"{_spellings(self.value)}|(?P<base64>(?:{inside}){_BASE64}?={{0,2}})")


@dataclass(frozen=True)
class _Group:
    secrets: Sequence[_Secret]

    @cached_property
    def look(self) -> Look:
        return _look("|".join(secret.pattern for secret in self.secrets))


class _Secrets:
    """The values that are secret in this process; the list only ever grows."""

    # Up to 64 literals are searched for at once; beyond, the search is ten times slower. A value has four.
    PER_GROUP = 12

    def __init__(self) -> None:
        self._judged = set[tuple[str, str]]()
        self._known = set[str]()
        self._groups: tuple[_Group, ...] = ()

    def learn(self, environ: Mapping[str, str]) -> None:
        learned = list[_Secret]()
        for name in sorted(name for name in list(environ) if _says_secret(name)):
            value = environ.get(name, "").strip()
            if (name, value) in self._judged:
                continue
            self._judged.add((name, value))
            if value not in self._known and _is_secret(name, value):
                self._known.add(value)
                learned.append(_Secret.named(name, value))
        if learned:
            *full, last = self._groups or (_Group(()),)
            together = [*last.secrets, *learned]
            starts = range(0, len(together), self.PER_GROUP)
            # Replaced at once: another thread may be looking.
            self._groups = (*full, *(_Group(together[start : start + self.PER_GROUP]) for start in starts))

    def suspected(self, text: str) -> bool:
        return any(group.look(text) for group in self._groups)

    def suspects(self, text: str) -> list[_Secret]:
        """The longest first: a secret may be the beginning of another one."""
        found = [secret for group in self._groups if group.look(text) for secret in group.secrets]
        return sorted(found, key=lambda secret: -len(secret.value))


# --- the shapes of keys ----------------------------------------------------

_PEM_BODY = re.compile(r"[A-Za-z0-9+/=]{16}")
_PEM_LINES = re.compile(
    r"(?:(?:[ \t\r\n]|\\++[nr])*+[A-Za-z0-9+/=]{16,}+)++(?:(?:[ \t\r\n]|\\++[nr])++[A-Za-z0-9+/=]++)?"
)


def _random_word(match: re.Match[str]) -> Span | None:
    return _word(match) if _looks_random(match[0]) else None


def _word_with_digit(match: re.Match[str]) -> Span | None:
    return _word(match) if any(map(str.isdigit, match[0])) else None  # not xoxo-gossip-girl


def _inner(match: re.Match[str]) -> Span:
    return match.span(1)


def _pem_block(match: re.Match[str]) -> Span | None:
    if match["end"]:
        return match.span() if _PEM_BODY.search(match["body"]) else None
    cut_off = _PEM_LINES.match(match.string, match.start("body"), match.endpos)
    return (match.start(), cut_off.end()) if cut_off else None


def _url_password(match: re.Match[str]) -> Span | None:
    scheme_end = match.string[max(0, match.start() - 1) : match.start()]
    return match.span(1) if scheme_end.isalnum() and not _is_harmless(match[1]) else None


def _bearer(match: re.Match[str]) -> Span | None:
    return match.span(1) if _looks_random(match[1]) else None


def _basic(match: re.Match[str]) -> Span | None:
    text = match[1].rstrip("=")
    try:
        decoded = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_")
    except binascii.Error:
        return None
    return match.span(1) if b":" in decoded and decoded.isascii() else None


_W = "[A-Za-z0-9_-]"
_AN = "[A-Za-z0-9]"
# Lengths are a little below the real ones: keys grow and shrink, words of 30 letters do not appear.
_WORDS = (
    _Rule("anthropic-key", f"sk-ant-{_W}{{16,}}+", _random_word),
    _Rule("openai-key", f"sk-{_W}{{16,}}+", _random_word),  # and of everyone who took over the shape
    _Rule("github-token", f"gh[pousr]_{_AN}{{30,}}+"),
    _Rule("github-token", "github_pat_[A-Za-z0-9_]{22,}+"),
    _Rule("gitlab-token", rf"gl(?:agent|cbt|dt|ft|imt|pat|ptt|rt|soat)-{_W}{{20,}}+(?:\.{_W}++)*+", _random_word),
    _Rule("aws-access-key-id", "A[KS]IA[A-Z2-7]{16}"),
    _Rule("google-key", f"AIza{_W}{{30,}}+"),
    _Rule("google-key", f"GOCSPX-{_W}{{20,}}+"),
    _Rule("google-key", rf"ya29\.{_W}{{20,}}+"),
    _Rule("slack-token", "xox[abeoprs]-[A-Za-z0-9-]{10,}+", _word_with_digit),
    _Rule("slack-token", "xapp-[A-Za-z0-9-]{16,}+", _word_with_digit),
    _Rule("huggingface-token", f"hf_{_AN}{{30,}}+"),
    _Rule("stripe-key", f"sk_(?:live|test)_{_AN}{{16,}}+"),
    _Rule("stripe-key", f"rk_(?:live|test)_{_AN}{{16,}}+"),
    _Rule("sendgrid-key", rf"SG\.{_W}{{16,}}+\.{_W}{{16,}}+"),
    _Rule("npm-token", f"npm_{_AN}{{30,}}+"),
    _Rule("pypi-token", f"pypi-{_W}{{40,}}+", _random_word),
    _Rule("groq-key", f"gsk_{_AN}{{30,}}+"),
    _Rule("xai-key", f"xai-{_AN}{{30,}}+"),
    _Rule("replicate-token", f"r8_{_AN}{{30,}}+"),
    _Rule("perplexity-key", f"pplx-{_AN}{{30,}}+"),
    _Rule("databricks-token", "dapi[0-9a-f]{32}(?:-[0-9])?"),
    _Rule("jwt", rf"eyJ{_W}{{8,}}+\.{_W}*+\.{_W}{{8,}}+(?:\.{_W}++){{0,2}}+"),
)
_PHRASES = (
    _Rule(
        "private-key",
        r"-----BEGIN (?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----",
        _pem_block,
        r"(?P<body>[^-]*+(?:-(?!----)[^-]*+)*+)(?P<end>-----END [A-Z0-9 ]{1,40}-----)?",
    ),
    _Rule("slack-webhook", r"hooks\.slack\.com/(?:services|triggers|workflows)/([A-Za-z0-9/_-]{20,}+)", _inner),
    _Rule("url-password", r"""://[^ \t\r\n/:@"'<>]*+:([^ \t\r\n/"'<>]+)@""", _url_password, ""),
    _Rule("authorization", r"(?:Bearer|bearer|BEARER) ++([A-Za-z0-9._~+/=-]{16,}+)", _bearer, ""),
    # A capital or a digit after the first letter: "basic understanding" is no base64.
    _Rule("authorization", rf"[Bb]asic ++({_BASE64}[a-z]*[A-Z0-9+/_-]{_BASE64}{{4,}}+={{0,2}})", _basic, ""),
)


# --- fields that are named like secrets ------------------------------------


def _names(*names: str) -> str:
    """A pattern for names in snake, kebab, camel and upper case."""
    return "|".join(
        "[-_. ]?".join(f"(?:{word}|{word.title()}|{word.upper()})" for word in name.split()) for name in names
    )


_GAP = r"(?:[ \t\r\n]|\\++[nrt])*+"
_QUOTE = r"""\\*+["']"""
_SIGN = "(?:=>|[:=])"
_VALUE = r"[A-Za-z0-9._~+/=:!@#$%^*-]"
_BARE_VALUE = re.compile(_VALUE + r"++(?![(\[])")  # a call or an index is code, no value
_PLAIN_WORD = re.compile(r"[A-Za-z]?[a-z]+[.:!]?")
_SCHEME = re.compile("(?:[Bb]earer|[Bb]asic|[Tt]oken) ++")
# After a name: a list in the document; a value in a header, in an .env file, in code; a quoted value in JSON.
_HOLDS_LIST = r'"[ \t\r\n]*:[ \t\r\n]*\['
_HOLDS_BARE = rf"(?:{_QUOTE})?{_GAP}{_SIGN}{_GAP}(?:{_QUOTE})?(?:[A-Za-z]{{5,6}} ++)?{_VALUE}{{6}}"
_HOLDS_QUOTED = rf'"[ \t\r\n]*{_SIGN}[ \t\r\n]*"[^"]|\\++"{_GAP}{_SIGN}{_GAP}\\++"[^"]'
_ASSIGNED = re.compile(rf"(?P<closing>{_QUOTE})?+{_GAP}{_SIGN}{_GAP}(?P<opening>{_QUOTE})?+")
_LONGEST_QUOTED = 10_000  # characters of a quoted value in a text, so that unclosed quotes cost no quadratic time


@dataclass(frozen=True, kw_only=True)
class _Field(_Rule):
    names: str
    shortest_random: int = 0
    """Set where the name has other uses, too: the value has to look like a secret of this length."""

    @classmethod
    def named(cls, rule: str, *names: str, shortest_random: int = 0) -> _Field:
        pattern = _names(*names)
        holds = f"{_HOLDS_LIST}|{_HOLDS_BARE}" + ("" if shortest_random else f"|{_HOLDS_QUOTED}")
        return cls(rule, f"(?:{pattern})(?:{holds})", names=pattern, shortest_random=shortest_random)

    @cached_property
    def find(self) -> re.Pattern[str]:
        # Of a name with other uses, only the whole word: `page_token` is none of ours.
        return re.compile(rf"(?:(?<![A-Za-z0-9_-])(?:{self.names}))" if self.shortest_random else self.names)

    @cached_property
    def names_key(self) -> re.Pattern[str]:
        return re.compile(rf"(?:{self.find.pattern})\Z")

    def holds(self, value: str) -> bool:
        """Whether this, the whole value of a field, is a secret."""
        if self.shortest_random:
            return _BARE_VALUE.fullmatch(value) is not None and self._looks_like_one(value)
        if self.name == "cookie":
            return "=" in value
        return len(value) >= 4 and not _is_harmless(value)

    def judge(self, match: re.Match[str]) -> Span | None:
        """The value of a field in a text, if it is one and not the next word of a sentence."""
        text, limit = match.string, match.endpos
        assigned = _ASSIGNED.match(text, match.end(), limit)
        if not assigned:
            return None
        opening, start = assigned["opening"], assigned.end()
        if opening and opening == assigned["closing"] and opening[-1] == '"':
            quote = re.compile(r"(?<!\\)" + re.escape(opening))
            if closing := quote.search(text, start, min(start + _LONGEST_QUOTED, limit)):
                return (start, closing.start()) if self.holds(text[start : closing.start()]) else None
        scheme = _SCHEME.match(text, start, limit) if self.name == "authorization" else None
        bare = _BARE_VALUE.match(text, scheme.end() if scheme else start, limit)
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
            return any(len(run) >= 32 for run in _RUN.findall(value))
        shortest = self.shortest_random or _SHORTEST
        return len(value) >= shortest and _looks_random(value, min(shortest, 12))


_FIELDS = (
    _Field.named("authorization", "authorization"),
    _Field.named(
        "secret",
        *("api secret", "app secret", "client secret", "consumer secret", "secret access key", "secret key"),
        *("shared secret", "signing secret", "webhook secret"),
    ),
    _Field.named(
        "api-key",
        *("access key", "account key", "api key", "encryption key", "private key", "signing key", "subscription key"),
    ),
    _Field.named("password", "passphrase", "passwd", "password"),
    _Field.named(
        "token",
        *("access token", "api token", "auth token", "bearer token", "bot token", "csrf token", "private token"),
        *("refresh token", "security token", "session token", "xsrf token"),
    ),
    _Field.named("cookie", "cookie"),
    _Field.named("secret", "secret", shortest_random=8),  # also a word to guess
    _Field.named("token", "token", shortest_random=16),  # also a piece of a word, with its probability
)
_SHAPES: tuple[_Rule, ...] = (*_WORDS, *_PHRASES, *_FIELDS)
_LAST_WORDS = _names("authorization", "cookie", "key", "passphrase", "passwd", "password", "secret", "token")


@lru_cache(maxsize=4096)
def _field_named(key: str) -> _Field | None:
    return next((field for field in _FIELDS if field.names_key.search(key)), None)


@cache
def _quick_looks() -> tuple[Look, ...]:
    """Each few enough literals to be searched for at once; fooled by a long slug or a base64 image now and then."""
    fields = f"(?:{_LAST_WORDS})(?:{_HOLDS_LIST}|{_HOLDS_BARE}|{_HOLDS_QUOTED})"
    return (
        _look("|".join(rule.pattern for rule in _WORDS)),
        _look("|".join([*(rule.pattern for rule in _PHRASES), fields])),
    )


@cache
def _precise_look() -> Look:
    """Ten times slower than the quick looks, and ten times faster than taking a document apart."""
    words = "|".join(rule.pattern for rule in _WORDS)
    return _look("|".join([f"{_BEFORE_WORD}(?:{words})", *(rule.pattern for rule in (*_PHRASES, *_FIELDS))]))


# --- the redactor ----------------------------------------------------------

# A JSON string, and the colon that makes it a key.
_STRING = re.compile(r'("[^"\\]*+(?:\\.[^"\\]*+)*+")([ \t\r\n]*+:)?', re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")
_MARK = "[redacted:"


class _UserRule(_Rule):
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


class Redactor:
    """Replaces the secrets in what is about to be written.

    Args:
        rules: What to look for.
        environ: Read at once and by `refresh`; by default `os.environ`. Values are taken without the white space
            around them, from 8 characters up, and never when they are numbers, placeholders, common words or files.
        hook: Given each string value as text, after all other rules; returns what to write instead, or None.
            When it raises or returns something else, the whole text is withheld: better a gap than a leak.

    Attributes:
        counts: How often each rule replaced something. Threads may cost it a count, never a replacement.
        troubles: How often the hook failed, by kind.

    Raises:
        ConfigurationError: A pattern is not a regular expression.
    """

    def __init__(
        self,
        rules: RedactionRules = RedactionRules(),
        *,
        environ: Mapping[str, str] | None = None,
        hook: Callable[[str], str | None] | None = None,
    ) -> None:
        # Counted without a lock: one that a thread holds while another forks would hang the child.
        self.counts = Counter[str]()
        self.troubles = Counter[str]()
        self._rules = rules
        self._environ = environ
        self._hook = hook
        self._quick_looks = _quick_looks() if rules.keys else ()
        self._user_rules = [_UserRule.compiled(pattern, at) for at, pattern in enumerate(rules.patterns)]
        # Only names that a rule has: a key that somebody put into brackets is still a key.
        names = {"hook-failed", *(rule.name for rule in (*_SHAPES, *self._user_rules))}
        any_name = "|".join([*map(re.escape, sorted(names)), "[A-Z_][A-Z0-9_]{0,127}"])
        self._marker = re.compile(rf"\[redacted:(?:{any_name})\]")
        self._only_marker = re.compile(rf"(?:[A-Za-z]+ )?{self._marker.pattern}")
        self._secrets = _Secrets()
        self.refresh()

    def refresh(self, environ: Mapping[str, str] | None = None) -> None:
        """Learn the secrets that came into the environment since; none is forgotten.

        Cheap enough for every test: tests set keys with ``monkeypatch.setenv``.
        """
        if self._rules.env:
            source = environ if environ is not None else self._environ
            self._secrets.learn(os.environ if source is None else source)

    def redact(self, document: bytes) -> bytes:
        """Replace the secrets in the string values of JSON, and nothing else.

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

    def clears(self, document: bytes) -> bool:
        """Whether one look tells that nothing in JSON is secret; counts nothing.

        False leaves a doubt, and with a hook or patterns of the user there always is one.
        """
        if self._hook or self._user_rules:
            return False
        try:
            return not self._suspected(document.decode())
        except UnicodeDecodeError:
            return False

    def redact_text(self, text: str) -> str:
        """Replace the secrets in plain text, such as an id before it becomes a file name."""
        return self._redact_string(text, suspected=True)

    def _suspected(self, text: str) -> bool:
        if any(look(text) for look in self._quick_looks) and _precise_look()(text):
            return True
        return self._secrets.suspected(text)

    def _redact_values(self, text: str, *, suspected: bool) -> str:
        pieces = list[str]()
        done = last = 0
        field = None
        for match in _STRING.finditer(text):
            literal = match[1]
            if match[2]:
                field = _field_named(literal[1:-1]) if self._rules.keys else None
            else:
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

    def _redact_string(self, text: str, field: _Field | None = None, *, suspected: bool) -> str:
        # A replacement ends the word before it, so that a key may begin where none did. What is not replaced yet
        # gets shorter each time, which ends this.
        while (redacted := self._apply_rules(text, suspected=suspected)) != text:
            text, suspected = redacted, True
        if field and field.holds(text) and not self._only_marker.fullmatch(text):
            text = self._mark(field.name)
        return self._ask_hook(self._hook, text) if self._hook else text

    def _apply_rules(self, text: str, *, suspected: bool) -> str:
        """Suspected: whether a look at the whole document left a doubt."""
        if suspected and len(text) >= _SHORTEST:
            looked_at = _without_surrogates(text)
            for secret in self._secrets.suspects(looked_at):
                if secret.look(looked_at):
                    text = self._replace(text, secret)
            if any(look(looked_at) for look in self._quick_looks):
                for shape in _SHAPES:
                    if shape.look(looked_at):
                        text = self._replace(text, shape)
        for rule in self._user_rules:
            if rule.find.search(text):
                text = self._replace(text, rule)
        return text

    def _replace(self, text: str, rule: _Rule) -> str:
        pieces = list[str]()
        done = passed = 0
        for start, end in self._unmarked(text):
            for at in range(start, end, rule.window):
                until, limit = at + rule.window, min(end, at + rule.window + rule.reach)
                if not rule.look(_without_surrogates(text[at:limit])):
                    continue
                for match in rule.find.finditer(text, max(at, passed), limit):
                    if match.start() >= until:
                        break
                    whole = match if match.end() < limit else rule.find.match(text, match.start(), end) or match
                    passed = whole.end()
                    span = rule.judge(whole)
                    # A field in the value of another one is gone with it.
                    if span and max(span[0], done) < span[1]:
                        pieces += (text[done : span[0]], self._mark(rule.name))
                        done = span[1]
        return "".join([*pieces, text[done:]]) if pieces else text

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


def _without_surrogates(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
