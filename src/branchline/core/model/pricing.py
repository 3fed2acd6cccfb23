"""What tokens cost, by a table of the user's own."""

from collections.abc import Mapping
from typing import Annotated

import msgspec

from branchline.core.model.agent import Usage
from branchline.core.model.plan import Model
from branchline.core.rules.globs import matches

Dollars = Annotated[float, msgspec.Meta(ge=0)]
MILLION = 1_000_000


class Price(Model, frozen=True, kw_only=True):
    """US dollars a million tokens; without `cached`, cached input costs what other input does."""

    input: Dollars
    output: Dollars
    cached: Dollars | None = None


def price_of(model: str, prices: Mapping[str, Price]) -> Price | None:
    """The price of a model: by its exact name, else by the longest glob that matches it."""
    if model in prices:
        return prices[model]
    found = sorted((name for name in prices if matches(name, model)), key=lambda name: (-len(name), name))
    return prices[found[0]] if found else None


def priced(usage: Usage, model: str, prices: Mapping[str, Price]) -> Usage:
    """The usage with its cost computed, where the agent named none and both its tokens and its model's price are known."""
    price = price_of(model, prices)
    if usage.cost_usd is not None or price is None or usage.input_tokens is None or usage.output_tokens is None:
        return usage
    cached = usage.cached_tokens or 0
    fresh = max(0, usage.input_tokens - cached)
    for_cached = price.input if price.cached is None else price.cached
    cost = (fresh * price.input + cached * for_cached + usage.output_tokens * price.output) / MILLION
    return msgspec.structs.replace(usage, cost_usd=cost, cost_source="computed")
