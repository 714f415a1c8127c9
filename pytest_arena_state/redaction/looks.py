"""Quick looks: whether anything in the shape of a secret may stand in a text at all.

The engine searches for up to 64 literals at once, by their first four characters, and is slow where these are
found and what follows is something else. Text about passwords is full of ``password`` and has hardly a
``password=``. So a document is searched for the ends of telling names together with what comes next: ``ord=``.
"""

from __future__ import annotations

from functools import cache

from .fields import (
    BARE,
    FIELDS,
    GAP,
    HOLDS_BARE,
    HOLDS_BARE_OR_SCHEME,
    HOLDS_LIST,
    HOLDS_QUOTED,
    SIGN,
    spelled,
)
from .keys import PHRASES, WORDS
from .rules import BEFORE_WORD, Look, Rule, look_for

SHAPES: tuple[Rule, ...] = (*WORDS, *PHRASES, *FIELDS)

# In two: together their beginnings are more literals than are searched for at once, and that takes ten times as long.
_SOME_WORDS = tuple("|".join(rule.pattern for rule in half) for half in (WORDS[:13], WORDS[13:]))
_ANY_PHRASE = "|".join(rule.pattern for rule in PHRASES)
_FIELD = (
    f"(?:{spelled('cookie', 'key', 'passphrase', 'passwd', 'password', 'secret', 'token')})"
    f"(?:{HOLDS_LIST}|{HOLDS_BARE}|{HOLDS_QUOTED})"
    f"|(?:{spelled('authorization')})(?:{HOLDS_LIST}|{HOLDS_BARE_OR_SCHEME}|{HOLDS_QUOTED})"
)

# Where the literals end: the engine does not spell out so large a class. A character of it between a name and its
# value is let through, so that a look finds too much there and not too little.
_END = "[\ue000-\ue010]?"
# How a name goes on. Raw tabs and line ends are in no string of JSON, which these are for.
_WS = r"[ \t\r\n]*"
_ASSIGNED = f"{GAP}{SIGN}{BARE}"
_BY_DOUBLE_QUOTE = rf'"{_END}(?:{_WS}:{_WS}\[|{_ASSIGNED}|{_WS}{SIGN}{_WS}"[^"])'
_BY_SINGLE_QUOTE = f"'{_END}(?:{_ASSIGNED}|{_WS}{SIGN}{_WS}'[^'])"
_BY_BACKSLASH = rf"""\\{_END}\\*(?:["']{_ASSIGNED}|"{GAP}{SIGN}{GAP}\\+"[^"]|[nrt]{_ASSIGNED})"""
_BY_SIGN = f"[:=]{_END}>?{BARE}"
_BY_SPACE = rf" (?:[:=]{_END}>?{BARE}| {_END}{_ASSIGNED}|\\{_END}\\*[nrt]{_ASSIGNED})"
# The ends of cookie, key, passwd, password, secret and token, of three characters where one more makes four.
_THREE = "(?:kie|KIE|key|Key|KEY|swd|SWD|ord|ORD|ret|RET|ken|KEN)"
_TWO = "(?:ie|IE|ey|EY|wd|WD|rd|RD|et|ET|en|EN)"
_LONG = (  # names whose ends stand in too many other words
    f"(?:{spelled('passphrase')})(?:{_BY_DOUBLE_QUOTE}|{_BY_SINGLE_QUOTE}|{_BY_BACKSLASH}|{_BY_SIGN}|{_BY_SPACE})"
    f"|(?:{spelled('authorization')}){_END}(?:{HOLDS_LIST}|{HOLDS_BARE_OR_SCHEME}|{HOLDS_QUOTED})"
)


@cache
def _looks() -> tuple[Look, ...]:
    """At any text."""
    return *map(look_for, _SOME_WORDS), look_for(f"{_ANY_PHRASE}|{_FIELD}")


@cache
def _looks_at_json() -> tuple[Look, ...]:
    return (
        *map(look_for, _SOME_WORDS),
        look_for(f"{_ANY_PHRASE}|{_LONG}"),
        look_for(f"{_THREE}(?:{_BY_DOUBLE_QUOTE}|{_BY_SINGLE_QUOTE}|{_BY_SIGN})"),
        look_for(f"{_THREE}{_BY_BACKSLASH}|{_TWO}{_BY_SPACE}"),
    )


@cache
def _precise_look() -> Look:
    """Ten times slower than the quick looks, and ten times faster than taking a document apart."""
    return look_for(
        "|".join([f"{BEFORE_WORD}(?:{'|'.join(_SOME_WORDS)})", *(rule.pattern for rule in (*PHRASES, *FIELDS))])
    )


def may_hold_shape(text: str) -> bool:
    """Whether a quick look leaves a doubt; a long slug or a base64 image fools it now and then."""
    return any(look(text) for look in _looks())


def document_may_hold_shape(text: str, *, compact: bool = False) -> bool:
    """The same of JSON, where a doubt costs more: it is taken apart. In what is ``compact``, documents are lines."""
    raw = not compact and ("\n" in text or "\t" in text or "\r" in text)
    for look in _looks() if raw else _looks_at_json():
        if look(text):
            return _precise_look()(text)
    return False
