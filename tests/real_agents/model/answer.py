"""What a dialect must tell of a request, and be able to say in return."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

Json = dict[str, Any]
Event = tuple[str, Json | str]
"""The name (empty: none) and the data of an event of a stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """What was said so far. `text` is what was given to the model to read; `results` are those of its tools.

    `tools` maps each tool's name to its arguments' schema; `freeform` are those that take plain text. `turns`: the model's own.
    """

    model: str
    text: str
    tools: Mapping[str, Json]
    freeform: frozenset[str] = frozenset()
    results: int = 0
    turns: int = 0
    stream: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A tool that the model uses; plain text for a freeform one."""

    name: str
    arguments: Json | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens; `cached` is part of `input`."""

    input: int
    output: int
    cached: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The model's turn: pieces of text (one, unless they are to come slowly), or a call; a refusal is a text."""

    model: str
    serial: str
    usage: Usage
    pieces: tuple[str, ...] = field(default=())
    call: Call | None = None
    refused: bool = False

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.pieces)


class Dialect(Protocol):
    """An API: how requests are read and answers written. Pure."""

    def conversation(self, body: Json, path: str) -> Conversation:
        """What a request's body says; its path may name the model."""

    def document(self, answer: Answer) -> Json:
        """The answer at once."""

    def events(self, answer: Answer) -> Iterable[Event]:
        """The answer as a stream."""

    def error(self, status: int, kind: str, message: str) -> Json:
        """An error; an empty kind or message: what the provider itself says with that status."""


def strings(value: object) -> list[str]:
    """Every `text` in a message's content: a string, or parts of several kinds; what tools printed is left out."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for part in value for text in strings(part)]
    if isinstance(value, dict) and value.get("type") not in {"tool_result", "function_call_output"}:
        return strings(value.get("text", value.get("content", "")))
    return []
