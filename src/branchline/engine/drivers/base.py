"""A driver carries attempts out. The ledger stays with the coordinator; a driver only hands results back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from branchline.core.result import Result
from branchline.process.spawn import KillSwitch

Doing = Callable[[KillSwitch], Result]


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt to carry out. `timeout` in seconds; `killable`: its work ends when its kill switch is pulled."""

    task_id: str
    attempt: int
    work: Doing
    timeout: float | None = None
    killable: bool = True


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a job."""

    task_id: str
    attempt: int
    result: Result


class Driver(Protocol):
    """Starts, watches and kills attempts."""

    def start(self, job: Job) -> None:
        """Begin; returns at once, or when the job is done, as the driver likes."""

    def wait(self, timeout: float | None) -> list[Done]:
        """The jobs that ended, waiting up to `timeout` seconds (None: for ever) for the first."""

    def kill(self, task_id: str, reason: str) -> None:
        """End a running attempt; its result still comes by `wait`."""

    def close(self) -> None:
        """End everything that runs; no results come any more."""
