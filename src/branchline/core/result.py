"""What an attempt hands back: facts, never a decision."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from branchline.core.facts import Fact
from branchline.errors import BranchlineError


@dataclass(frozen=True, slots=True)
class Success:
    """The attempt did what it should. `outputs` must be JSON values."""

    outputs: Mapping[str, Any] = field(default_factory=dict)
    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """The attempt failed. `error_class` is what the retry policy may name; `retryable`: the cause may pass by itself."""

    reason: str
    error_class: str = "error"
    retryable: bool = True
    outputs: Mapping[str, Any] = field(default_factory=dict)
    facts: tuple[Fact, ...] = ()


Result = Success | Failure


class StepFailed(BranchlineError):
    """Raised by a step to end its attempt as a `Failure`."""

    def __init__(self, failure: Failure, *, hint: str = "") -> None:
        super().__init__(failure.reason, hint=hint)
        self.failure = failure
