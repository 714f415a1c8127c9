"""What an answer cost, where nobody said: the source's word, then a price file, then genai-prices.

An answer is looked at when it enters a store, once, where it names a model or its source's
usage, and priced where it has no dollars. Where these are from stands in the message's
``meta`` as ``cost_origin``:

    source                  its library or provider reported them
    price file NAME         from the user's file
    genai-prices VERSION    from the table of that package, which is imported when it is first needed
    given                   the message came with them
    unknown                 nobody knows; the cost is 0
    (none)                  the message names neither a model nor usage; its dollars, if any, were given

A price is of the time of the message. Tokens are counted once: those read from a cache, those
written to one and those of reasoning have their own prices, and the rest the plain one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._text import shortened
from .messages import CostInfo, Message
from .price_file import MILLION, PriceFile, Usage, is_amount

if TYPE_CHECKING:
    from datetime import datetime

ORIGIN_KEY = "cost_origin"
SOURCE = "source"
GIVEN = "given"
UNKNOWN = "unknown"

DOLLARS = ("input_cost_usd", "output_cost_usd", "cached_cost_usd", "total_cost_usd")
"""The fields of a cost that are amounts."""


class Prices:
    """Gives messages their costs; for the stores of a session, or one of your own."""

    def __init__(self, file: PriceFile | str | Path | None = None) -> None:
        """Prices from a file, where there is one, and else from genai-prices, where it is installed.

        Raises:
            ConfigurationError: The file cannot be used.
        """
        self.file = file if file is None or isinstance(file, PriceFile) else PriceFile.read(file)
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
        usage = Usage.of(cost, meta)
        found: dict[str, float] | None = None
        if any(getattr(cost, name) for name in DOLLARS) or not cost.model_fields_set.isdisjoint(DOLLARS):
            origin = GIVEN
        elif reported is not None:
            found, origin = {"total_cost_usd": reported}, SOURCE
        elif usage.total:
            found, origin = self._looked_up(usage, model, cost.provider_name, message.timestamp, problems)
        else:
            return message
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


def forget_unknown(message: Message) -> bool:
    """Let a message whose cost nobody knew be priced anew; edits it, and tells whether it is one."""
    if message.meta.get(ORIGIN_KEY) != UNKNOWN:
        return False
    _forget(message)
    return True


def forget_looked_up(message: Message) -> None:
    """Let a message be priced anew whose tokens are others now, unless somebody gave its dollars; edits it."""
    if message.meta.get(ORIGIN_KEY, GIVEN) not in (GIVEN, SOURCE):
        _forget(message)


def _forget(message: Message) -> None:
    del message.meta[ORIGIN_KEY]
    if message.cost_info is not None:
        message.cost_info = CostInfo.model_validate(message.cost_info.model_dump(exclude={*DOLLARS}))


def _reported(meta: Mapping[str, Any]) -> float | None:
    """What the source says that the call cost, in US dollars."""
    value = meta.get("reported_cost_usd")
    usage = meta.get("usage")
    if value is None and isinstance(usage, Mapping):
        value = usage.get("cost")  # OpenRouter's, a number; Perplexity's, with its parts
        value = value.get("total_cost") if isinstance(value, Mapping) else value
    return float(value) if is_amount(value) else None


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


# Names of OpenTelemetry's conventions that the table does not know as they are.
_SELLERS = {"x_ai": "x-ai", "azure.ai.inference": "azure", "gcp.gen_ai": "google"}


def _spellings(model: str, provider: str) -> Iterable[tuple[str, str]]:
    provider = _SELLERS.get(provider.lower(), provider)
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
    return Decimal(rate) * usage.cached / MILLION
