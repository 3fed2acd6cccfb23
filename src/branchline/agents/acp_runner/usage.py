"""What an agent that speaks ACP says it used: the protocol leaves that open, so each says it in its own place."""

from typing import Any

from acp import schema
from pydantic import ValidationError


class Spent:
    """Adds up an attempt. None is unknown; a cost of 0 is, too: agents say so of models that they have no price for."""

    def __init__(self) -> None:
        self._input: int | None = None
        self._output: int | None = None
        self._cached: int | None = None
        self._usd: float | None = None

    def message(self, meta: dict[str, Any]) -> None:
        """The metadata of a message: Qwen tells what each call of the model used there."""
        usage = _usage(meta.get("usage"))
        if usage is not None:
            self._input = (self._input or 0) + _input(usage)
            self._output = (self._output or 0) + _output(usage)
            self._cached = (self._cached or 0) + (usage.cached_read_tokens or 0)

    def cost(self, cost: schema.Cost) -> None:
        """What the session has cost so far."""
        if cost.currency == "USD" and cost.amount > 0:
            self._usd = cost.amount

    def answered(self, answer: schema.PromptResponse, agent: str) -> None:
        """The answer to the prompt, which may tell what all of it used; Gemini does in its metadata."""
        counts = _members(_members((answer.field_meta or {}).get("quota")).get("token_count"))
        if answer.usage is not None and agent not in LAST_CALL_ONLY:
            self._input, self._output = _input(answer.usage), _output(answer.usage)
            self._cached = answer.usage.cached_read_tokens
        elif isinstance(counts.get("input_tokens"), int) and isinstance(counts.get("output_tokens"), int):
            self._input, self._output = counts["input_tokens"], counts["output_tokens"]

    def totals(self) -> dict[str, int | float | None]:
        """The members of an event."""
        return {
            "input_tokens": self._input,
            "output_tokens": self._output,
            "cached_tokens": self._cached,
            "cost_usd": self._usd,
        }


LAST_CALL_ONLY = frozenset({"OpenCode"})
"""Agents whose answer tells the tokens of the last call of the model for those of all: no figure is better than that."""


def _members(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _usage(value: object) -> schema.Usage | None:
    try:
        return schema.Usage.model_validate(value)
    except ValidationError:
        return None


def _apart(usage: schema.Usage) -> bool:
    """Whether cached and thought tokens are counted beside input and output, as the protocol has it, or within them."""
    return usage.total_tokens > usage.input_tokens + usage.output_tokens


def _input(usage: schema.Usage) -> int:
    cached = (usage.cached_read_tokens or 0) + (usage.cached_write_tokens or 0)
    return usage.input_tokens + (cached if _apart(usage) else 0)


def _output(usage: schema.Usage) -> int:
    return usage.output_tokens + ((usage.thought_tokens or 0) if _apart(usage) else 0)
