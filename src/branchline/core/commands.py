"""Effects the core wants, in the imperative. The engine performs each and appends what came of it."""

import msgspec

from branchline.core.events import TasksAdded


class StartAttempt(msgspec.Struct, frozen=True):
    """Begin attempt number `attempt`; `again` when a lost coordinator had begun it already.

    `reserved_usd`: what it may spend, where there is a budget.
    """

    task_id: str
    attempt: int
    again: bool = False
    reserved_usd: float | None = None


class KillAttempt(msgspec.Struct, frozen=True):
    """End the running attempt."""

    task_id: str
    reason: str


class RetryLater(msgspec.Struct, frozen=True):
    """Put a failed task back to PENDING, due at `retry_at` (Unix milliseconds)."""

    task_id: str
    retry_at: int
    reason: str


class GiveUp(msgspec.Struct, frozen=True):
    """Accept a failure as final."""

    task_id: str
    reason: str


class OpenRound(msgspec.Struct, frozen=True):
    """Append the tasks of a new round."""

    round: TasksAdded


class SkipTask(msgspec.Struct, frozen=True):
    """A condition, or a skipped dependency, leaves a task nothing to do."""

    task_id: str
    reason: str


class CancelTask(msgspec.Struct, frozen=True):
    """A waiting task can no longer run; `error_class` is `budget` where more money would help."""

    task_id: str
    reason: str
    error_class: str = ""


class EndRun(msgspec.Struct, frozen=True):
    """Everything has ended."""


Command = StartAttempt | KillAttempt | RetryLater | GiveUp | OpenRound | SkipTask | CancelTask | EndRun
