"""Prices of the user's own: a file of dollars per million tokens, and what tokens cost by it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeGuard

from ._text import shortened
from .errors import ConfigurationError

if TYPE_CHECKING:
    from .messages import CostInfo

_RATES = ("input", "output", "cached", "cache_write", "reasoning")
MILLION = 1_000_000  # tokens that a price is for


# --- what was used -------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Usage:
    """The tokens of one answer; each is in one of the first three."""

    input: int
    """Not from a cache; those that were written to one are among them."""
    cached: int
    output: int
    """Reasoning among them."""
    written: int = 0
    """Those of ``input`` that were written to a cache."""
    written_for_an_hour: int = 0
    """Those of ``written`` that the cache keeps for an hour, which some providers charge more for."""
    reasoning: int = 0
    """Those of ``output``."""

    @classmethod
    def of(cls, cost: CostInfo, meta: Mapping[str, Any]) -> Self:
        """What a message tells; a part that is more than its whole is cut to it."""
        details = meta.get("token_details")
        given = details if isinstance(details, Mapping) else {}
        written = min(_count(given.get("cache_write_tokens")), cost.input_tokens)
        return cls(
            input=max(0, cost.input_tokens),
            cached=max(0, cost.cached_tokens),
            output=max(0, cost.output_tokens),
            written=written,
            written_for_an_hour=min(written, _written_for_an_hour(meta.get("usage"))),
            reasoning=min(_count(given.get("reasoning_tokens")), max(0, cost.output_tokens)),
        )

    @property
    def total(self) -> int:
        """All tokens."""
        return self.input + self.cached + self.output


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _written_for_an_hour(usage: object) -> int:
    """As Anthropic has it, in its own response or one level further in somebody else's."""
    if not isinstance(usage, Mapping):
        return 0
    places = [usage, *(usage.get(key) for key in ("cache_creation", "input_token_details"))]
    return max(_count(place.get("ephemeral_1h_input_tokens")) for place in places if isinstance(place, Mapping))


# --- the user's file -------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Price:
    """US dollars per million tokens, for the models and providers that match."""

    model: str
    """A pattern as in file names, such as ``gpt-5*``; upper and lower case are the same."""
    provider: str = "*"
    input: float
    output: float
    cached: float | None = None
    """Tokens read from a cache; as ``input`` when None."""
    cache_write: float | None = None
    """Tokens written to a cache; as ``input`` when None."""
    reasoning: float | None = None
    """As ``output`` when None."""

    def matches(self, model: str, provider: str) -> bool:
        """Whether this is the price of a model; a provider that is not known matches ``*`` alone."""
        return fnmatchcase(model.lower(), self.model.lower()) and fnmatchcase(provider.lower(), self.provider.lower())

    def cost(self, usage: Usage) -> tuple[Decimal, Decimal, Decimal]:
        """Dollars for what went in, came out and was read from a cache."""
        went_in = self._of(usage.input - usage.written, self.input) + self._of(
            usage.written, self.input if self.cache_write is None else self.cache_write
        )
        came_out = self._of(usage.output - usage.reasoning, self.output) + self._of(
            usage.reasoning, self.output if self.reasoning is None else self.reasoning
        )
        return went_in, came_out, self._of(usage.cached, self.input if self.cached is None else self.cached)

    @staticmethod
    def _of(tokens: int, rate: float) -> Decimal:
        return Decimal(tokens) * Decimal(str(rate)) / MILLION


@dataclass(frozen=True)
class PriceFile:
    """Prices of the user's; the first that matches counts."""

    name: str
    prices: tuple[Price, ...]

    @classmethod
    def read(cls, path: str | Path, shown: str = "") -> Self:
        """Read a TOML file with a table ``[[price]]`` for each price, or a JSON file that says the same.

        Args:
            path: The file.
            shown: How errors name it, where that is not its path.

        Raises:
            ConfigurationError: The file cannot be read, or one of its prices is wrong.
        """
        file = Path(path)
        shown = shown or str(path)
        if file.suffix.lower() not in (".toml", ".json"):
            raise ConfigurationError(f"{shown!r}: a price file ends in .toml or .json")
        try:
            text = file.read_text(encoding="utf-8")
            if file.suffix.lower() == ".json":
                data = json.loads(text)
            else:
                import tomllib  # here, because few sessions have prices of their own

                data = tomllib.loads(text)
        except OSError as error:
            raise ConfigurationError(f"{shown!r}: {error.strerror or error}") from None
        except (ValueError, RecursionError) as error:
            raise ConfigurationError(f"{shown!r}: {shortened(str(error))}") from None
        return cls.from_dict({"name": file.name, **_only_prices(data, shown)}, shown)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str = "prices") -> Self:
        """From plain values, as `to_dict` gives them."""
        return cls(str(data["name"]), tuple(_price(item, f"{where!r}: price {i}") for i, item in _listed(data)))

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for a worker that does not see the file."""
        return {
            "name": self.name,
            "price": [{k: v for k, v in asdict(p).items() if v is not None} for p in self.prices],
        }

    def find(self, model: str, provider: str) -> Price | None:
        """The price of a model; None when there is none."""
        return next((price for price in self.prices if price.matches(model, provider)), None)


def _listed(data: Mapping[str, Any]) -> Iterable[tuple[int, Any]]:
    return enumerate(data["price"], start=1)


def _only_prices(data: object, where: str) -> dict[str, Any]:
    wanted = "wanted a list of prices under 'price' ([[price]] in TOML) and nothing else"
    if not isinstance(data, Mapping) or set(data) != {"price"}:
        there = ", ".join(map(repr, list(data)[:5])) or "nothing" if isinstance(data, Mapping) else shortened(data)
        raise ConfigurationError(f"{where!r}: {wanted}, not {there}")
    if not isinstance(data["price"], list):
        raise ConfigurationError(f"{where!r}: {wanted}, not {shortened(data['price'])}")
    return {"price": data["price"]}


def _price(item: object, where: str) -> Price:
    if not isinstance(item, Mapping):
        raise ConfigurationError(f"{where}: wanted a table with model, input and output, not {shortened(item)}")
    unknown = sorted(map(str, set(item) - {"model", "provider", *_RATES}))
    if unknown:
        raise ConfigurationError(f"{where}: unknown key {unknown[0]!r}; there are model, provider, {', '.join(_RATES)}")
    for key in ("model", "input", "output"):
        if key not in item:
            raise ConfigurationError(f"{where}: no {key!r}; wanted model, input and output")
    for key in ("model", "provider"):
        if key in item and not (isinstance(item[key], str) and item[key]):
            raise ConfigurationError(f"{where}: {key!r} is a name or a pattern, not {shortened(item[key])}")
    for key in _RATES:
        if key in item and not is_amount(item[key]):
            raise ConfigurationError(
                f"{where}: {key!r} is US dollars per million tokens, a number from 0 up, not {shortened(item[key])}"
            )
    return Price(**item)


def is_amount(value: object) -> TypeGuard[int | float]:
    """Whether a value is a finite number from 0 up."""
    # Compared, because an integer may be too large for a float.
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= sys.float_info.max
