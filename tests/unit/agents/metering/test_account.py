import json

import pytest

from branchline.agents.metering.account import Account
from branchline.agents.metering.api import question
from branchline.agents.metering.reply import Reply
from branchline.agents.metering.tally import Tally
from branchline.agents.metering.transcript import Exchange
from branchline.core.pricing import Price
from unit.agents.metering.provider import anthropic, event_bytes

PRICES = {"claude-x": Price(input=1_000_000, output=0)}
WHOLE = json.dumps({"model": "claude-x", "usage": {"input_tokens": 2, "output_tokens": 1}}).encode()


def account(path: str = "/v1/messages") -> tuple[Account, Tally, Exchange]:
    tally, line = Tally(PRICES, None), Exchange(at_ms=0, method="POST", path=path)
    return Account(tally, question("POST", path, b'{"model": "claude-x"}'), line), tally, line


def reply(status: int, kind: str, length: int | None) -> Reply:
    return Reply(status, "", [("content-type", kind)], length, iter(()))


def test_an_answer_is_counted_with_its_last_byte() -> None:
    own, tally, line = account()
    own.head(reply(200, "application/json", len(WHOLE)))
    own.take(WHOLE[:5])
    assert tally.spent_usd == 0
    own.take(WHOLE[5:])
    assert tally.spent_usd == line.cost_usd == 2
    own.settle(whole=True)
    assert tally.spent_usd == 2
    assert (line.status, line.answer_bytes, line.input_tokens) == (200, len(WHOLE), 2)


def test_a_stream_is_counted_with_its_last_event() -> None:
    own, tally, _ = account()
    own.head(reply(200, "text/event-stream", None))
    for event in anthropic():
        assert tally.spent_usd == 0
        own.take(event_bytes(event))
    assert tally.spent_usd == 18


@pytest.mark.parametrize(
    ("status", "path"), [(500, "/v1/messages"), (302, "/v1/messages"), (200, "/v1/messages/count_tokens")]
)
def test_what_costs_nothing_is_not_counted(status: int, path: str) -> None:
    own, tally, _ = account(path)
    own.head(reply(status, "application/json", None))
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
