import pytest

from branchline.core.model.agent import Usage
from branchline.core.model.pricing import Price, price_of, priced

PRICES = {
    "small": Price(input=1, output=4, cached=0.1),
    "claude-*": Price(input=3, output=15),
    "claude-opus-*": Price(input=15, output=75),
}


@pytest.mark.parametrize(
    ("model", "price"),
    [("small", 1), ("claude-sonnet-4-5", 3), ("claude-opus-4", 15), ("smaller", None), ("", None)],
)
def test_the_exact_name_then_the_longest_glob(model: str, price: float | None) -> None:
    found = price_of(model, PRICES)
    assert (found.input if found else None) == price


def test_cached_tokens_have_their_own_price() -> None:
    usage = priced(Usage(input_tokens=1_000_000, cached_tokens=500_000, output_tokens=250_000), "small", PRICES)
    assert usage.cost_usd == pytest.approx(0.5 + 0.05 + 1.0)
    assert usage.cost_source == "computed"


def test_without_a_price_of_their_own_cached_tokens_cost_what_others_do() -> None:
    usage = Usage(input_tokens=2_000_000, cached_tokens=1_000_000, output_tokens=0)
    assert priced(usage, "claude-x", PRICES).cost_usd == pytest.approx(6)


@pytest.mark.parametrize(
    "usage",
    [Usage(), Usage(input_tokens=5), Usage(output_tokens=5)],
)
def test_what_is_unknown_stays_unknown(usage: Usage) -> None:
    assert priced(usage, "small", PRICES) is usage
    assert priced(Usage(input_tokens=1, output_tokens=1), "other", PRICES).cost_usd is None


def test_the_agents_own_word_counts() -> None:
    told = Usage(input_tokens=1, output_tokens=1, cost_usd=0.5, cost_source="agent")
    assert priced(told, "small", PRICES) is told
