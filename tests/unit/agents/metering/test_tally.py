import threading

import pytest

from branchline.agents.metering.counting import Counted
from branchline.agents.metering.tally import Tally
from branchline.core.agent import Usage
from branchline.core.pricing import Price

PRICES = {"gpt-*": Price(input=1.0, output=10.0, cached=0.1)}
KNOWN = Counted(model="gpt-x", input_tokens=1_000_000, output_tokens=100_000, cached_tokens=0)


def test_the_sum_is_metered() -> None:
    tally = Tally(PRICES, None)
    with tally.under_way():
        tally.add(KNOWN, "")
        tally.add(Counted(model="gpt-x", input_tokens=1_000_000, output_tokens=0, cached_tokens=1_000_000), "")
    assert tally.usage == Usage(
        input_tokens=2_000_000,
        output_tokens=100_000,
        cached_tokens=1_000_000,
        cost_usd=2.1,
        cost_source="metered",
    )


@pytest.mark.parametrize("unknown", [Counted(), Counted(model="other", input_tokens=1, output_tokens=1)])
def test_what_is_unknown_of_one_is_unknown_of_all(unknown: Counted) -> None:
    tally = Tally(PRICES, 1.5)
    with tally.under_way():
        tally.add(KNOWN, "")
        tally.add(unknown, "")
        tally.add(KNOWN, "")
    usage = tally.usage
    assert (usage.cost_usd, usage.cost_source) == (None, "unknown")
    assert usage.input_tokens == (None if unknown.input_tokens is None else 2_000_001)
    assert tally.spent_usd == pytest.approx(4.0)
    assert tally.over  # by what is known alone


def test_an_agent_that_never_came_is_unknown_but_refusals_are_free() -> None:
    tally = Tally(PRICES, None)
    assert tally.usage == Usage()
    with tally.under_way():
        pass
    assert tally.usage == Usage(input_tokens=0, output_tokens=0, cached_tokens=0, cost_usd=0.0, cost_source="metered")


def test_the_model_that_was_asked_for_gives_the_price_where_the_answers_has_none() -> None:
    tally = Tally(PRICES, None)
    counted = Counted(model="router/secret", input_tokens=1_000_000, output_tokens=0)
    assert tally.add(counted, "gpt-x").cost_usd == pytest.approx(1.0)
    assert tally.add(counted, "other").cost_usd is None


def test_the_limit_may_be_reached_but_not_passed() -> None:
    tally = Tally(PRICES, 2.0)
    tally.add(KNOWN, "")
    assert not tally.over
    tally.add(Counted(model="gpt-x", input_tokens=1, output_tokens=0), "")
    assert tally.over


def test_the_sum_does_not_depend_on_the_order() -> None:
    costs = [Counted(model="gpt-x", input_tokens=n, output_tokens=0, cached_tokens=n // 3) for n in (1, 10**15, 7, 33)]
    sums = set()
    for turn in range(len(costs)):
        tally = Tally(PRICES, None)
        for counted in costs[turn:] + costs[:turn]:
            tally.add(counted, "")
        sums.add(tally.spent_usd)
    assert len(sums) == 1


def test_usage_waits_for_an_answer_under_way() -> None:
    tally = Tally(PRICES, None)
    under_way = tally.under_way()
    under_way.__enter__()

    def end() -> None:
        tally.add(KNOWN, "")
        under_way.__exit__(None, None, None)

    later = threading.Timer(0.1, end)
    later.start()
    assert tally.usage.cost_usd == pytest.approx(2.0)
    later.join()


def test_an_answer_that_does_not_end_is_unknown() -> None:
    tally = Tally(PRICES, None)
    with tally.under_way():
        tally.add(KNOWN, "")
        assert tally.usage.cost_usd is None
