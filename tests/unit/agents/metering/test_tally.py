import json
import threading

import pytest

from branchline.agents.metering.api import question
from branchline.agents.metering.counting import Account, Exchange, Tally
from branchline.core.model.agent import Usage
from branchline.core.model.pricing import Price
from unit.agents.metering.provider import anthropic, event_bytes

PRICES = {"gpt-*": Price(input=1.0, output=10.0, cached=0.1)}
KNOWN = Usage(input_tokens=1_000_000, output_tokens=100_000, cached_tokens=0)


def test_the_sum_is_metered() -> None:
    tally = Tally(PRICES, None)
    with tally.under_way():
        tally.add(KNOWN, "gpt-x")
        tally.add(Usage(input_tokens=1_000_000, output_tokens=0, cached_tokens=1_000_000), "gpt-x")
    assert tally.usage == Usage(
        input_tokens=2_000_000,
        output_tokens=100_000,
        cached_tokens=1_000_000,
        cost_usd=2.1,
        cost_source="metered",
    )


@pytest.mark.parametrize(("unknown", "model"), [(Usage(), "gpt-x"), (Usage(input_tokens=1, output_tokens=1), "other")])
def test_what_is_unknown_of_one_is_unknown_of_all(unknown: Usage, model: str) -> None:
    tally = Tally(PRICES, 1.5)
    with tally.under_way():
        tally.add(KNOWN, "gpt-x")
        tally.add(unknown, model)
        tally.add(KNOWN, "gpt-x")
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
    used = Usage(input_tokens=1_000_000, output_tokens=0)
    assert tally.add(used, "router/secret", "gpt-x").cost_usd == pytest.approx(1.0)
    assert tally.add(used, "router/secret", "other").cost_usd is None


def test_the_limit_may_be_reached_but_not_passed() -> None:
    tally = Tally(PRICES, 2.0)
    tally.add(KNOWN, "gpt-x")
    assert not tally.over
    tally.add(Usage(input_tokens=1, output_tokens=0), "gpt-x")
    assert tally.over


def test_the_sum_does_not_depend_on_the_order() -> None:
    costs = [Usage(input_tokens=n, output_tokens=0, cached_tokens=n // 3) for n in (1, 10**15, 7, 33)]
    sums = set()
    for turn in range(len(costs)):
        tally = Tally(PRICES, None)
        for used in costs[turn:] + costs[:turn]:
            tally.add(used, "gpt-x")
        sums.add(tally.spent_usd)
    assert len(sums) == 1


def test_usage_waits_for_an_answer_under_way() -> None:
    tally = Tally(PRICES, None)
    under_way = tally.under_way()
    under_way.__enter__()

    def end() -> None:
        tally.add(KNOWN, "gpt-x")
        under_way.__exit__(None, None, None)

    later = threading.Timer(0.1, end)
    later.start()
    assert tally.usage.cost_usd == pytest.approx(2.0)
    later.join()


def test_an_answer_that_does_not_end_is_unknown() -> None:
    tally = Tally(PRICES, None)
    with tally.under_way():
        tally.add(KNOWN, "gpt-x")
        assert tally.usage.cost_usd is None


CLAUDE = {"claude-x": Price(input=1_000_000, output=0)}
WHOLE = json.dumps({"model": "claude-x", "usage": {"input_tokens": 2, "output_tokens": 1}}).encode()


def account(path: str = "/v1/messages") -> tuple[Account, Tally, Exchange]:
    tally, line = Tally(CLAUDE, None), Exchange(at_ms=0, method="POST", path=path)
    return Account(tally, question("POST", path, b'{"model": "claude-x"}'), line), tally, line


def test_an_answer_is_counted_with_its_last_byte() -> None:
    own, tally, line = account()
    own.head(200, len(WHOLE), "application/json")
    own.take(WHOLE[:5])
    assert tally.spent_usd == 0
    own.take(WHOLE[5:])
    assert tally.spent_usd == line.cost_usd == 2
    own.settle(whole=True)
    assert tally.spent_usd == 2
    assert (line.status, line.answer_bytes, line.input_tokens) == (200, len(WHOLE), 2)


def test_a_stream_is_counted_with_its_last_event() -> None:
    own, tally, _ = account()
    own.head(200, None, "text/event-stream")
    for event in anthropic():
        assert tally.spent_usd == 0
        own.take(event_bytes(event))
    assert tally.spent_usd == 18


@pytest.mark.parametrize(
    ("status", "path"), [(500, "/v1/messages"), (302, "/v1/messages"), (200, "/v1/messages/count_tokens")]
)
def test_what_costs_nothing_is_not_counted(status: int, path: str) -> None:
    own, tally, _ = account(path)
    own.head(status, None, "application/json")
    own.take(WHOLE)
    own.settle(whole=True)
    with tally.under_way():
        pass
    assert tally.usage.cost_usd == 0


def test_a_question_that_was_given_up_is_unknown() -> None:
    own, tally, _ = account()
    own.settle(whole=False)
    with tally.under_way():
        pass
    assert tally.usage.cost_usd is None


def test_the_model_that_answers_gives_the_price() -> None:
    tally, line = Tally(CLAUDE, None), Exchange(at_ms=0, method="POST", path="/v1/messages")
    own = Account(tally, question("POST", "/v1/messages", b'{"model": "best"}'), line)
    own.head(200, len(WHOLE), "application/json")
    own.take(WHOLE)
    assert (line.model, line.cost_usd) == ("claude-x", 2)
