"""What an agent that speaks ACP says it used: the protocol leaves that open, so each says it in its own place."""

from contextlib import suppress
from typing import Any

import msgspec
from acp import schema
from pydantic import ValidationError

from branchline.core.model.agent import Usage


class Spent:
    """Adds up an attempt. A cost of 0 is unknown: agents say so of models that they have no price for."""

    def __init__(self) -> None:
        self.usage = Usage()

    def message(self, meta: dict[str, Any]) -> None:
        """The metadata of a message: Qwen tells what each call of the model used there."""
        before = self.usage
        with suppress(ValidationError):  # most say nothing
            told = schema.Usage.model_validate(meta.get("usage"))
            self._know(
                input_tokens=(before.input_tokens or 0) + _input(told),
                output_tokens=(before.output_tokens or 0) + _output(told),
                cached_tokens=(before.cached_tokens or 0) + (told.cached_read_tokens or 0),
            )

    def cost(self, cost: schema.Cost) -> None:
        """What the session has cost so far."""
        if cost.currency == "USD" and cost.amount > 0:
            self._know(cost_usd=cost.amount)

    def answered(self, answer: schema.PromptResponse, agent: str) -> None:
        """The answer to the prompt, which may tell what all of it used; Gemini does in its metadata."""
        counts = _members(_members((answer.field_meta or {}).get("quota")).get("token_count"))
        told = answer.usage
        if told is not None and agent not in LAST_CALL_ONLY:
            self._know(input_tokens=_input(told), output_tokens=_output(told), cached_tokens=told.cached_read_tokens)
        elif isinstance(counts.get("input_tokens"), int) and isinstance(counts.get("output_tokens"), int):
            self._know(input_tokens=counts["input_tokens"], output_tokens=counts["output_tokens"])

    def _know(self, **counts: float | None) -> None:
        self.usage = msgspec.structs.replace(self.usage, **counts)


LAST_CALL_ONLY = frozenset({"OpenCode"})
"""Agents whose answer tells the tokens of the last call of the model for those of all: no figure is better than that."""


def _members(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _apart(usage: schema.Usage) -> bool:
    """Whether cached and thought tokens are counted beside input and output, as the protocol has it, or within them."""
    return usage.total_tokens > usage.input_tokens + usage.output_tokens


def _input(usage: schema.Usage) -> int:
    cached = (usage.cached_read_tokens or 0) + (usage.cached_write_tokens or 0)
    return usage.input_tokens + (cached if _apart(usage) else 0)


def _output(usage: schema.Usage) -> int:
    return usage.output_tokens + ((usage.thought_tokens or 0) if _apart(usage) else 0)
