"""When each attempt ran: a fold over a ledger that can go on as records arrive."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from branchline.core.events import Transition
from branchline.core.states import State
from branchline.views.record import Timed


@dataclass(slots=True)
class Attempt:
    """One try of a task. Times in Unix milliseconds; `ended_at` is None while it runs."""

    task_id: str
    attempt: int
    started_at: int
    ended_at: int | None = None
    state: State = State.RUNNING
    reason: str = ""

    def elapsed(self, now: int) -> int:
        """Milliseconds from its start to its end, or to `now`; never negative, whatever clocks do."""
        return max(0, (now if self.ended_at is None else self.ended_at) - self.started_at)


@dataclass(slots=True)
class Attempts:
    """All attempts in the order in which they began, and the same by task."""

    all: list[Attempt] = field(default_factory=list)
    of: dict[str, list[Attempt]] = field(default_factory=dict)

    def take(self, record: Timed) -> None:
        """Take one more record in."""
        event = record.event
        if not isinstance(event, Transition):
            return
        if event.new_state == State.RUNNING:
            made = Attempt(event.task_id, event.attempt, record.at)
            self.all.append(made)
            self.of.setdefault(event.task_id, []).append(made)
        elif event.old_state == State.RUNNING:
            attempt = self.of[event.task_id][-1]
            attempt.ended_at, attempt.state, attempt.reason = record.at, event.new_state, event.reason


def attempts(records: Iterable[Timed]) -> Attempts:
    """The attempts that a ledger tells of."""
    found = Attempts()
    for record in records:
        found.take(record)
    return found
