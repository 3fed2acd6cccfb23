"""What an attempt hands back: facts, never a decision."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from branchline.core.facts import ApprovalNeeded, Fact, StepFact
from branchline.errors import BranchlineError


@dataclass(frozen=True, slots=True)
class Success:
    """An attempt did what it should. `asks`: the next step waits for a person; `told`: facts from on the way.

    A step has a `fact`; a task of a plain graph has none, and may have `outputs`, which must be JSON values.
    """

    fact: StepFact | None = None
    asks: ApprovalNeeded | None = None
    told: tuple[Fact, ...] = ()
    outputs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failure:
    """The attempt failed. `error_class` is what the retry policy may name; `retryable`: the cause may pass by itself.

    `hint`: what to type; `fact`: what the step has come to all the same, such as a rejected batch. `asks`, `told` as for
    a success.
    """

    reason: str
    error_class: str = "error"
    retryable: bool = True
    hint: str = ""
    fact: StepFact | None = None
    asks: ApprovalNeeded | None = None
    told: tuple[Fact, ...] = ()
    traceback: str = ""


Result = Success | Failure


def facts_of(result: Result) -> tuple[Fact, ...]:
    """All facts of an attempt, in the order of the ledger."""
    return (*result.told, *(one for one in (result.fact, result.asks) if one is not None))


class StepFailed(BranchlineError):
    """Raised by a step to end its attempt as a `Failure`."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason, hint=failure.hint)
        self.failure = failure
