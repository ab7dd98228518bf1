"""What models cost: a dated list in USD, with where each price was read, and its digest.

Belongs here: reading `prices.toml`, working out what a call costs. Does not belong here: budgets (resources/gateway).
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processing.recipe import canonical

FILE = Path(__file__).parent / "prices.toml"
MILLION = 1_000_000


class PricesError(ValueError):
    """A price list that is not as it was released."""


@dataclass(frozen=True, slots=True)
class Price:
    """USD for a million tokens in and out, for a minute of media, for each call."""

    million_tokens_in_usd: float = 0.0
    million_tokens_out_usd: float = 0.0
    minute_usd: float = 0.0
    call_usd: float = 0.0

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} cannot be {getattr(self, name)}")

    def cost_usd(self, tokens_in: float, tokens_out: float, media_s: float, requests: int = 1) -> float:
        """What an answer costs that takes so many tokens, seconds of media and requests."""
        tokens = (tokens_in * self.million_tokens_in_usd + tokens_out * self.million_tokens_out_usd) / MILLION
        return tokens + media_s / 60 * self.minute_usd + requests * self.call_usd


@dataclass(frozen=True, slots=True)
class Listed:
    """One price of the list: the model as its provider names it, when and where it was read."""

    model: str
    price: Price
    read_on: dt.date
    source: str


@dataclass(frozen=True, slots=True)
class PriceList:
    """All list prices. `sha256` (hex) is over all that the file says but itself."""

    dated: dt.date
    sha256: str
    listed: Mapping[str, Listed]


@functools.cache
def price_list() -> PriceList:
    """The list of this package. Raises PricesError where it was changed without a new digest."""
    return read_prices(FILE.read_text(encoding="utf-8"))


def read_prices(text: str) -> PriceList:
    """A list from the text of its file. Raises PricesError."""
    table = tomllib.loads(text)
    stated = table.pop("sha256", None)
    found = hashlib.sha256(canonical(_plain(table))).hexdigest()
    if stated != found:
        raise PricesError(f"the price list is not the one that was dated {table.get('dated')}; set sha256 to {found}")
    listed = {}
    for each in table["price"]:
        price = Price(**{name: float(each[name]) for name in Price.__dataclass_fields__ if name in each})
        listed[each["model"]] = Listed(each["model"], price, each["read_on"], each["source"])
    return PriceList(table["dated"], found, listed)


def price_of(model: str) -> Price | None:
    """The list price of a model as its provider names it, or None."""
    found = price_list().listed.get(model)
    return found.price if found else None


def _plain(value: Any) -> Any:
    """A value of TOML as canonical JSON takes it: days as texts, prices as decimals in text."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, (dt.date, float)) else value
