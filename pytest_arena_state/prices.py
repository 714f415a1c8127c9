"""What an answer cost, where nobody said: the source's word, then a price file, then genai-prices.

An answer is priced when it enters a store, once, where it names a model or its source's usage
and no dollars. Where the dollars are from stands in the message's ``meta`` as ``cost_origin``:

    source                  its library or provider reported them
    price file NAME         from the user's file
    genai-prices VERSION    from the table of that package, which is imported when it is first needed
    unknown                 nobody knows; the cost is 0
    (none)                  the message came with them, or with nothing to price

A price is of the time of the message. Tokens are counted once: those read from a cache, those
written to one and those of reasoning have their own prices, and the rest the plain one.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeGuard

from ._wire import shortened
from .errors import ConfigurationError
from .messages import CostInfo, Message

if TYPE_CHECKING:
    from datetime import datetime

ORIGIN_KEY = "cost_origin"
SOURCE = "source"
UNKNOWN = "unknown"

_DOLLARS = ("input_cost_usd", "output_cost_usd", "cached_cost_usd", "total_cost_usd")
_RATES = ("input", "output", "cached", "cache_write", "reasoning")
_MILLION = 1_000_000  # tokens that a price is for


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
        return Decimal(tokens) * Decimal(str(rate)) / _MILLION


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
            data = json.loads(text) if file.suffix.lower() == ".json" else tomllib.loads(text)
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
        if key in item and not _is_rate(item[key]):
            raise ConfigurationError(
                f"{where}: {key!r} is US dollars per million tokens, a number from 0 up, not {shortened(item[key])}"
            )
    return Price(**item)


def _is_rate(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


# --- pricing -----------------------------------------------------------------------------------


class Prices:
    """Gives messages their costs; for the stores of a session, or one of your own."""

    def __init__(self, file: PriceFile | str | Path | None = None) -> None:
        """Prices from a file, where there is one, and else from genai-prices, where it is installed.

        Raises:
            ConfigurationError: The file cannot be used.
        """
        self.file = PriceFile.read(file) if isinstance(file, str | Path) else file
        self._table: _Table | None = None

    def priced(self, message: Message, problems: list[str]) -> Message:
        """The message with its cost and where that is from; itself, where there is nothing to add.

        Never raises. What went wrong is added to ``problems``, and the cost is then unknown.
        """
        try:
            return self._priced(message, problems)
        except Exception as error:  # noqa: BLE001 - a test must not fail because of its telemetry
            problems.append(f"no price: {type(error).__name__}: {shortened(str(error))}")
            return message

    def _priced(self, message: Message, problems: list[str]) -> Message:
        meta = message.meta
        if not meta or ORIGIN_KEY in meta:
            return message
        cost = message.cost_info
        reported = _reported(meta)
        model = meta.get("model")
        if (cost is None and reported is None) or not (reported is not None or model or "usage" in meta):
            return message
        cost = cost or CostInfo()
        if any(getattr(cost, name) for name in _DOLLARS) or not cost.model_fields_set.isdisjoint(_DOLLARS):
            return message
        usage = Usage.of(cost, meta)
        if reported is None and not usage.total:
            return message
        if reported is not None:
            found: dict[str, float] | None = {"total_cost_usd": reported}
            origin = SOURCE
        else:
            found, origin = self._looked_up(usage, model, cost.provider_name, message.timestamp, problems)
        return message.model_copy(
            update={
                "cost_info": cost.model_copy(update=found or {}),
                "meta": {**meta, ORIGIN_KEY: origin},
            }
        )

    def _looked_up(
        self, usage: Usage, model: object, provider: str, when: datetime | None, problems: list[str]
    ) -> tuple[dict[str, float] | None, str]:
        if not isinstance(model, str) or not model:
            return None, UNKNOWN
        price = self.file.find(model, provider) if self.file is not None else None
        if self.file is not None and price is not None:
            return _costs(*price.cost(usage)), f"price file {self.file.name}"
        if self._table is None:
            self._table = _Table()
        costs = self._table.costs(usage, model, provider, when, problems)
        return (costs, self._table.name) if costs is not None else (None, UNKNOWN)


def _reported(meta: Mapping[str, Any]) -> float | None:
    """What the source says that the call cost, in US dollars."""
    value = meta.get("reported_cost_usd")
    usage = meta.get("usage")
    if value is None and isinstance(usage, Mapping):
        value = usage.get("cost")  # OpenRouter's, a number; Perplexity's, with its parts
        value = value.get("total_cost") if isinstance(value, Mapping) else value
    return float(value) if _is_rate(value) else None


def _costs(went_in: Decimal, came_out: Decimal, cached: Decimal, total: Decimal | None = None) -> dict[str, float]:
    whole = went_in + came_out + cached if total is None else total
    return dict(
        zip(
            ("input_cost_usd", "output_cost_usd", "cached_cost_usd", "total_cost_usd"),
            map(float, (went_in, came_out, cached, whole)),
            strict=True,
        )
    )


def table_is_installed() -> bool:
    """Whether genai-prices can be imported; it is not imported for that."""
    try:
        metadata.version("genai-prices")
    except metadata.PackageNotFoundError:
        return False
    return True


class _Counts:
    """Usage as genai-prices reads it, by attributes; what was not counted is None, in each of its versions."""

    def __init__(self, usage: Usage) -> None:
        self.input_tokens = usage.input + usage.cached  # theirs contain the cache
        self.cache_read_tokens = usage.cached
        self.cache_write_tokens = usage.written
        self.cache_write_1h_tokens = usage.written_for_an_hour or None
        self.output_tokens = usage.output
        self.output_reasoning_tokens = usage.reasoning or None

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


class _Table:
    """The table of genai-prices; without the package, nothing is found in it."""

    def __init__(self) -> None:
        try:
            self._package: Any = import_module("genai_prices")
            self.name = f"genai-prices {metadata.version('genai-prices')}"
        except (ImportError, metadata.PackageNotFoundError):
            self._package = None

    def costs(
        self, usage: Usage, model: str, provider: str, when: datetime | None, problems: list[str]
    ) -> dict[str, float] | None:
        if self._package is None:
            return None
        for name, seller in _spellings(model, provider):
            try:
                found = self._package.calc_price(
                    _Counts(usage), name, provider_id=seller or None, genai_request_timestamp=when
                )
            except LookupError:
                continue
            except Exception as error:  # noqa: BLE001 - somebody else's table may hold anything
                problems.append(f"no price: genai-prices raised {type(error).__name__}: {shortened(str(error))}")
                return None
            cached = min(_price_of_cached(usage, found.model_price), found.input_price)
            return _costs(found.input_price - cached, found.output_price, cached, found.total_price)
        return None


def _spellings(model: str, provider: str) -> Iterable[tuple[str, str]]:
    yield model, provider
    prefix, slash, rest = model.partition("/")
    if slash and rest:  # "openai/gpt-5-mini", "models/gemini-2.5-pro"
        yield rest, provider or ("" if prefix == "models" else prefix)


def _price_of_cached(usage: Usage, price: Any) -> Decimal:
    """The part of what went in that was read from a cache."""
    rate = getattr(price, "cache_read_mtok", None)
    if rate is None:
        rate = getattr(price, "input_mtok", None)
    if rate is None or not usage.cached:
        return Decimal(0)
    if hasattr(rate, "tiers"):
        rate = next((t.price for t in reversed(rate.tiers) if usage.input + usage.cached > t.start), rate.base)
    return Decimal(rate) * usage.cached / _MILLION
