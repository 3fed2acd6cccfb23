"""Effects the core wants, in the imperative. The engine performs each and appends what came of it."""

from dataclasses import dataclass

from branchline.core.events import TasksAdded


@dataclass(frozen=True, slots=True)
class StartAttempt:
    """Begin attempt number `attempt`; `again` when a lost coordinator had begun it already."""

    task_id: str
    attempt: int
    again: bool = False


@dataclass(frozen=True, slots=True)
class KillAttempt:
    """End the running attempt."""

    task_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class RetryLater:
    """Put a failed task back to PENDING, due at `retry_at` (Unix milliseconds)."""

    task_id: str
    retry_at: int
    reason: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Accept a failure as final."""

    task_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class OpenRound:
    """Append the tasks of a new round."""

    round: TasksAdded


@dataclass(frozen=True, slots=True)
class SkipTask:
    """A condition, or a skipped dependency, leaves a task nothing to do."""

    task_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class CancelTask:
    """A waiting task can no longer run."""

    task_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class EndRun:
    """Everything has ended."""


Command = StartAttempt | KillAttempt | RetryLater | GiveUp | OpenRound | SkipTask | CancelTask | EndRun
