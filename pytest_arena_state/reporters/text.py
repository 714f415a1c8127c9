"""Text from models, made safe for a terminal and for Markdown.

What a model said is shown, never obeyed: it cannot move a cursor, colour a line, turn the direction of
the text around it, close a code block, make a link, mention a person or add a row to a table. Everything
stays readable, because untrusted text stands in code, where Markdown and HTML mean nothing.
"""

from __future__ import annotations

import re

from .._text import plural, usd

# Controls but tab and newline, and what turns the direction of text or cannot be seen.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_BACKTICKS = re.compile("`+")
_CODE_LIMIT = 160  # characters; names longer than that are cut


def visible(text: str) -> str:
    """The text with everything that cannot be seen, or that a terminal would obey, made visible."""
    return _HIDDEN.sub(_show, text.replace("\r\n", "\n"))


def _show(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return (
        "\N{SYMBOL FOR DELETE}"
        if code == 0x7F
        else f"\N{MATHEMATICAL LEFT ANGLE BRACKET}U+{code:04X}" + ("\N{MATHEMATICAL RIGHT ANGLE BRACKET}")
    )


def code(text: str, *, table: bool = False, limit: int = _CODE_LIMIT) -> str:
    """The text as a code span on one line; a dash where there is none."""
    flat = " ".join(visible(text).split())
    if not flat:
        return "-"
    if len(flat) > limit:
        flat = f"{flat[: limit - 1]}\N{HORIZONTAL ELLIPSIS}"
    longest = max((len(run) for run in _BACKTICKS.findall(flat)), default=0)
    quote = "`" * (longest + 1)
    pad = " " if flat.startswith("`") or flat.endswith("`") else ""
    span = f"{quote}{pad}{flat}{pad}{quote}"
    # Within a table a pipe ends the cell even inside code.
    return span.replace("|", "\\|") if table else span


def fence(text: str, language: str = "text") -> str:
    """The text as a code block that it cannot close."""
    shown = visible(text)
    longest = max((len(run) for run in _BACKTICKS.findall(shown)), default=0)
    quote = "`" * max(3, longest + 1)
    return f"{quote}{language}\n{shown.rstrip(chr(10))}\n{quote}"


def table(header: list[str], rows: list[list[str]], *, right: frozenset[int] = frozenset()) -> str:
    """A Markdown table whose columns line up in a terminal, too; cells are Markdown already."""
    widths = [max(3, *(len(row[place]) for row in [header, *rows])) for place in range(len(header))]

    def line(cells: list[str]) -> str:
        pairs = zip(cells, widths, strict=True)
        padded = [
            cell.rjust(width) if place in right else cell.ljust(width) for place, (cell, width) in enumerate(pairs)
        ]
        return f"| {' | '.join(padded)} |"

    rule = [f"{'-' * (width - 1)}:" if place in right else "-" * width for place, width in enumerate(widths)]
    return "\n".join([line(header), line(rule), *map(line, rows)])


def percent(share: float | None) -> str:
    """A share as per cent, rounded so that only everything is 100 % and only nothing is 0 %."""
    if share is None:
        return "-"
    if 0 < share < 0.01:
        return "<1%"
    return ">99%" if 0.99 < share < 1 else f"{share * 100:.0f}%"


def seconds(nanoseconds: float | None) -> str:
    """A time in the unit that suits it."""
    if nanoseconds is None:
        return "-"
    if nanoseconds < 0:  # a clock was set back
        return f"-{seconds(-nanoseconds)}"
    if nanoseconds < 1e6:
        return f"{nanoseconds / 1e3:.0f} \N{MICRO SIGN}s" if nanoseconds else "0 s"
    if nanoseconds < 1e9:
        return f"{nanoseconds / 1e6:.0f} ms"
    if nanoseconds < 120e9:
        return f"{nanoseconds / 1e9:.1f} s"
    minutes, rest = divmod(round(nanoseconds / 1e9), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def points(difference: float) -> str:
    """A difference of shares in percentage points."""
    return f"{difference * 100:+.0f} pts"


__all__ = ["code", "fence", "percent", "plural", "points", "seconds", "table", "usd", "visible"]
