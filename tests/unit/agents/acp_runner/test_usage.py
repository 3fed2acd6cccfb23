import pytest

pytest.importorskip("acp", reason="the extra acp is not installed")

from acp import schema

from branchline.agents.acp_runner.client import Spent
from branchline.core.model.agent import Usage


def usage(total: int, thought: int = 0, cached: int = 0, written: int = 0) -> dict[str, int]:
    beside = {"thoughtTokens": thought, "cachedReadTokens": cached, "cachedWriteTokens": written}
    told = {name: count for name, count in beside.items() if count}
    return {"totalTokens": total, "inputTokens": 100, "outputTokens": 10, **told}


def answer(**members: object) -> schema.PromptResponse:
    return schema.PromptResponse.model_validate({"stopReason": "end_turn", **members})


def test_nothing_told_is_nothing_known() -> None:
    spent = Spent()
    spent.answered(answer(), "x")
    spent.message({"usage": {"inputTokens": "many"}})
    spent.answered(answer(_meta={"quota": {"token_count": {"input_tokens": "many"}}}), "x")
    assert spent.usage == Usage()


def test_the_answer_tells_what_all_of_it_used() -> None:
    spent = Spent()
    spent.answered(answer(usage=usage(110)), "x")
    assert spent.usage == Usage(input_tokens=100, output_tokens=10)


def test_cached_and_thought_tokens_belong_to_input_and_output() -> None:
    beside = usage(100 + 10 + 7 + 30 + 5, thought=7, cached=30, written=5)
    spent = Spent()
    spent.answered(answer(usage=beside), "x")
    assert spent.usage == Usage(input_tokens=135, output_tokens=17, cached_tokens=30)


def test_who_tells_the_last_calls_tokens_for_all_of_them_is_not_believed() -> None:
    spent = Spent()
    spent.answered(answer(usage=usage(110)), "OpenCode")
    assert spent.usage == Usage()


def test_tokens_told_with_each_message_are_added_up() -> None:
    spent = Spent()
    for _ in range(2):
        spent.message({"usage": usage(110, thought=3, cached=40)})
    spent.answered(answer(), "qwen-code")
    assert spent.usage == Usage(input_tokens=200, output_tokens=20, cached_tokens=80)


def test_geminis_place() -> None:
    spent = Spent()
    spent.answered(answer(_meta={"quota": {"token_count": {"input_tokens": 5, "output_tokens": 6}}}), "gemini-cli")
    assert spent.usage == Usage(input_tokens=5, output_tokens=6)


def test_a_cost_of_nothing_is_not_known() -> None:
    spent = Spent()
    spent.cost(schema.Cost(amount=0, currency="USD"))
    spent.cost(schema.Cost(amount=2, currency="EUR"))
    assert spent.usage == Usage()
    spent.cost(schema.Cost(amount=0.5, currency="USD"))
    assert spent.usage.cost_usd == 0.5
