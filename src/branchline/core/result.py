"""What an attempt hands back: facts, never a decision."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from branchline.core.facts import ApprovalNeeded, Fact, StepFact
from branchline.errors import BranchlineError


@dataclass(frozen=True, slots=True)
class Returned:
    """A task of a plain graph did what it should. `outputs` must be JSON values."""

    outputs: Mapping[str, Any] = field(default_factory=dict)
    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True, slots=True)
class Success:
    """A step did what it should. `asks`: the next step waits for a person; `told`: facts from on the way."""

    fact: StepFact
    asks: ApprovalNeeded | None = None
    told: tuple[Fact, ...] = ()

    @property
    def facts(self) -> tuple[Fact, ...]:
        """All of them, in the order of the ledger."""
        return (*self.told, self.fact, *((self.asks,) if self.asks else ()))


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

    @property
    def facts(self) -> tuple[Fact, ...]:
        """All of them, in the order of the ledger."""
        return (*self.told, *((self.fact,) if self.fact else ()), *((self.asks,) if self.asks else ()))


Result = Success | Returned | Failure


class StepFailed(BranchlineError):
    """Raised by a step to end its attempt as a `Failure`."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason, hint=failure.hint)
        self.failure = failure
