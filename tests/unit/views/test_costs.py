from branchline.core.run_state import replay
from branchline.ledger.codec import Record
from branchline.views.costs import Costs, Used, costs, rows


def test_attempts_that_said_nothing_are_unknown(pipeline_run: list[Record]) -> None:
    found = costs(pipeline_run, replay(record.event for record in pipeline_run))
    assert found.cost_usd == Used(known=0.02, unknown_attempts=4)
    assert found.input_tokens == Used(known=1200, unknown_attempts=4)


def test_nothing_known_is_unknown_and_never_zero(pipeline_run: list[Record]) -> None:
    begun = pipeline_run[:14]
    found = costs(begun, replay(record.event for record in begun))
    assert found.cost_usd == Used(known=None, unknown_attempts=2)
    assert {shown for _, shown in rows(found)} == {"unknown"}


def test_a_known_zero_is_zero() -> None:
    free = Used(known=0.0, unknown_attempts=0)
    tokens = Used(known=12_345, unknown_attempts=1)
    assert rows(Costs(input_tokens=tokens, output_tokens=free, cost_usd=free)) == [
        ("cost", "$0.00"),
        ("input tokens", "12,345, unknown for 1 attempt"),
        ("output tokens", "0"),
    ]
