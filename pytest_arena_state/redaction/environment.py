"""The values of environment variables whose names say that they are secret."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from .rules import BASE64, NUMBER, REACH, RUN, SHORTEST, Look, Rule, Span, is_harmless, look_for, looks_random

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
    if len(value) < SHORTEST or is_harmless(value) or NUMBER.fullmatch(value) or value.upper() == name.upper():
        return False
    if os.path.isabs(value) and (_FILE_NAME.fullmatch(value) or os.path.exists(value)):  # noqa: PTH110, PTH117 - NUL
        return False
    return _SECRET_NAME.search(name) is not None or (len(value) >= 16 and looks_random(value))


def _utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _any_case(digits: str) -> str:
    return "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in digits)


@lru_cache(maxsize=1024)
def _spellings_of(character: str) -> str:
    """A pattern for a character as it is, percent-encoded, or escaped as in JSON or Python, however often."""
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
    if not " " <= character <= "~":  # pytest has such characters escaped in node ids, and a repr of bytes each byte
        escaped = character.encode("unicode_escape").decode()
        spellings.append(r"\\+" + escaped[1:])
        spellings.append("".join(rf"\\+x{byte:02x}" for byte in _utf8(character)))
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


_BASE64_BEFORE = re.compile(BASE64 + "{2}")


def _outline(value: str) -> str:
    """A pattern that is found wherever the value is; short, because there are many."""
    # Letters and digits have one spelling only, and what is literal is found fastest.
    run = max(RUN.findall(value), key=len, default="")[:16]
    plain = run if len(run) >= SHORTEST and not run.isalpha() else _spellings(value[:24])
    clean = re.sub("[\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", plain)
    return "|".join([clean, *_base64_spellings(_utf8(value)[:16])])


def _known_value(match: re.Match[str]) -> Span:
    """In base64, a character on either side may hold some bits of the value, too."""
    start, end = match.span()
    before = match.lastgroup and start >= 2 and _BASE64_BEFORE.match(match.string, start - 2)
    return (start - 1 if before else start), end


@dataclass(frozen=True, kw_only=True)
class Secret(Rule):
    """A value of the environment, under the name that it had when it was seen first."""

    value: str

    @classmethod
    def named(cls, name: str, value: str) -> Secret:
        """The value of a variable."""
        label = re.sub(r"[^A-Z0-9_]", "_", name.upper())[:128]
        reach = max(REACH, 16 * len(value))  # a character is at most 16 long, as four escaped bytes
        return cls(label, _outline(value), _known_value, reach=reach, value=value)

    @cached_property
    def find(self) -> re.Pattern[str]:
        """All spellings of the whole value."""
        inside = "|".join(_base64_spellings(_utf8(self.value)))
        return re.compile(f"{_spellings(self.value)}|(?P<base64>(?:{inside}){BASE64}?={{0,2}})")


@dataclass(frozen=True)
class _Group:
    secrets: Sequence[Secret]

    @cached_property
    def look(self) -> Look:
        return look_for("|".join(secret.pattern for secret in self.secrets))


class Secrets:
    """The values that are secret in this process; the list only ever grows."""

    # Up to 64 literals are searched for at once; beyond, the search is ten times slower. A value has four.
    PER_GROUP = 12

    def __init__(self) -> None:
        self._judged = set[tuple[str, str]]()
        self._known = set[str]()
        self._groups: tuple[_Group, ...] = ()

    def learn(self, environ: Mapping[str, str]) -> None:
        """Add what is secret in an environment."""
        learned = list[Secret]()
        for name in sorted(name for name in list(environ) if _says_secret(name)):
            value = environ.get(name, "").strip()
            if (name, value) in self._judged:
                continue
            self._judged.add((name, value))
            if value not in self._known and _is_secret(name, value):
                self._known.add(value)
                learned.append(Secret.named(name, value))
        if learned:
            *full, last = self._groups or (_Group(()),)
            together = [*last.secrets, *learned]
            starts = range(0, len(together), self.PER_GROUP)
            # Replaced at once: another thread may be looking.
            self._groups = (*full, *(_Group(together[start : start + self.PER_GROUP]) for start in starts))

    def suspected(self, text: str) -> bool:
        """Whether any of them may be in a text."""
        for group in self._groups:  # noqa: SIM110 - mostly there is none, and to make a generator takes longer
            if group.look(text):
                return True
        return False

    def suspects(self, text: str) -> list[Secret]:
        """Those that may be in a text, the longest first: a secret may be the beginning of another one."""
        found = [secret for group in self._groups if group.look(text) for secret in group.secrets]
        return sorted(found, key=lambda secret: -len(secret.value))
