"""The shapes of well-known keys, and what stands behind telling phrases such as ``Bearer``."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable

from .rules import BASE64, Rule, Span, is_harmless, looks_random, word

_PEM_BODY = re.compile(r"[A-Za-z0-9+/=]{16}")
_BASE64_RUN = re.compile("[A-Za-z0-9+/]{64}")
_CAPITALS = 8
_PEM_LINES = re.compile(
    r"(?:(?:[ \t\r\n]|\\++[nr])*+[A-Za-z0-9+/=]{16,}+)++(?:(?:[ \t\r\n]|\\++[nr])++[A-Za-z0-9+/=]++)?"
)


def _random_word(match: re.Match[str]) -> Span | None:
    return word(match) if looks_random(match[0]) else None


def _word_with_digit(match: re.Match[str]) -> Span | None:
    return word(match) if any(map(str.isdigit, match[0])) else None  # not xoxo-gossip-girl


def _word_outside_base64(match: re.Match[str], since: int = 0) -> Span | None:
    # Once in some 660 MB of base64 something is in this shape, and an image would be damaged. A key may also stand
    # behind the path of a URL, which has few capitals; of 64 characters of base64, 26 are, give or take 4.
    before = match.string[max(since, match.start() - 64) : match.start()]
    in_base64 = _BASE64_RUN.fullmatch(before) and sum(map(str.isupper, before)) >= _CAPITALS
    return None if in_base64 else word(match)


class _OutsideBase64(Rule):
    def judging(self) -> Callable[[re.Match[str]], Span | None]:
        """`judge`, for which no base64 goes on behind what is replaced, as if that was done already."""
        last = 0

        def judge(match: re.Match[str]) -> Span | None:
            nonlocal last
            if span := _word_outside_base64(match, last):
                last = span[1]
            return span

        return judge


def _inner(match: re.Match[str]) -> Span:
    return match.span(1)


def _pem_block(match: re.Match[str]) -> Span | None:
    if match["end"]:
        return match.span() if _PEM_BODY.search(match["body"]) else None
    cut_off = _PEM_LINES.match(match.string, match.start("body"), match.endpos)
    return (match.start(), cut_off.end()) if cut_off else None


def _url_password(match: re.Match[str]) -> Span | None:
    scheme_end = match.string[max(0, match.start() - 1) : match.start()]
    return match.span(1) if scheme_end.isalnum() and not is_harmless(match[1]) else None


def _bearer(match: re.Match[str]) -> Span | None:
    return match.span(1) if looks_random(match[1]) else None


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
WORDS = (
    Rule("anthropic-key", f"sk-ant-{_W}{{16,}}+", _random_word),
    Rule("openai-key", f"sk-{_W}{{16,}}+", _random_word),  # and of everyone who took over the shape
    Rule("github-token", f"gh[pousr]_{_AN}{{30,}}+"),
    Rule("github-token", "github_pat_[A-Za-z0-9_]{22,}+"),
    Rule("gitlab-token", rf"gl(?:agent|cbt|dt|ft|imt|pat|ptt|rt|soat)-{_W}{{20,}}+(?:\.{_W}++)*+", _random_word),
    Rule("aws-access-key-id", "A[KS]IA[A-Z2-7]{16}"),
    _OutsideBase64("google-key", f"AIza{_W}{{30,}}+", _word_outside_base64),
    Rule("google-key", f"GOCSPX-{_W}{{20,}}+"),
    Rule("google-key", rf"ya29\.{_W}{{20,}}+"),
    Rule("slack-token", "xox[abeoprs]-[A-Za-z0-9-]{10,}+", _word_with_digit),
    Rule("slack-token", "xapp-[A-Za-z0-9-]{16,}+", _word_with_digit),
    Rule("huggingface-token", f"hf_{_AN}{{30,}}+"),
    Rule("stripe-key", f"sk_(?:live|test)_{_AN}{{16,}}+"),
    Rule("stripe-key", f"rk_(?:live|test)_{_AN}{{16,}}+"),
    Rule("sendgrid-key", rf"SG\.{_W}{{16,}}+\.{_W}{{16,}}+"),
    Rule("npm-token", f"npm_{_AN}{{30,}}+"),
    Rule("pypi-token", f"pypi-{_W}{{40,}}+", _random_word),
    Rule("groq-key", f"gsk_{_AN}{{30,}}+"),
    Rule("xai-key", f"xai-{_AN}{{30,}}+"),
    Rule("replicate-token", f"r8_{_AN}{{30,}}+"),
    Rule("perplexity-key", f"pplx-{_AN}{{30,}}+"),
    Rule("databricks-token", "dapi[0-9a-f]{32}(?:-[0-9])?"),
    Rule("jwt", rf"eyJ{_W}{{8,}}+\.{_W}*+\.{_W}{{8,}}+(?:\.{_W}++){{0,2}}+"),
)
PHRASES = (
    Rule(
        "private-key",
        r"-----BEGIN (?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----",
        _pem_block,
        r"(?P<body>[^-]*+(?:-(?!----)[^-]*+)*+)(?P<end>-----END [A-Z0-9 ]{1,40}-----)?",
    ),
    Rule("slack-webhook", r"hooks\.slack\.com/(?:services|triggers|workflows)/([A-Za-z0-9/_-]{20,}+)", _inner),
    Rule("url-password", r"""://[^ \t\r\n/:@"'<>]*+:([^ \t\r\n/"'<>]+)@""", _url_password, ""),
    Rule("authorization", r"(?:Bearer|bearer|BEARER) ++([A-Za-z0-9._~+/=-]{16,}+)", _bearer, ""),
    # A capital or a digit after the first letter: "basic understanding" is no base64.
    Rule("authorization", rf"[Bb]asic ++({BASE64}[a-z]*[A-Z0-9+/_-]{BASE64}{{4,}}+={{0,2}})", _basic, ""),
)
