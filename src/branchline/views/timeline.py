"""When each attempt ran: a fold over a ledger that can go on as records arrive, and a chart of bars."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from branchline.core.events import Transition
from branchline.core.states import State
from branchline.views.format.text import COLUMNS, MARKS, cut, duration, padded, plain, width
from branchline.views.record import Timed

LONGEST_LABEL = 34
TIME_COLUMNS = 8


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


def lines(records: Sequence[Timed], *, columns: int = COLUMNS) -> list[str]:
    """The attempts of a ledger of at least one record, one line each; the chart ends with the last record."""
    return chart(attempts(records).all, records[0].at, records[-1].at, columns=columns)


def chart(bars: Sequence[Attempt], start: int, until: int, *, columns: int = COLUMNS) -> list[str]:
    """The chart between two moments (Unix milliseconds), to scale; every attempt has at least one sign."""
    labels = []
    for bar in bars:
        number = f" #{bar.attempt}" if bar.attempt > 1 else ""
        labels.append(cut(plain(bar.task_id), LONGEST_LABEL - len(number)) + number)
    margin = max(map(width, labels), default=0)
    room = max(columns - margin - TIME_COLUMNS - 7, 10)
    whole = max(until - start, 0)
    span = max(whole, 1)
    out = [f"  {'':{margin}}  0{duration(whole):>{room}}"]
    for label, bar in zip(labels, bars, strict=True):
        ended = start + whole if bar.ended_at is None else bar.ended_at
        first = min(max(bar.started_at - start, 0) * room // span, room - 1)
        last = min(max(-((start - ended) * room // span), first + 1), room)
        drawn = padded(" " * first + "━" * (last - first), room)
        out.append(f"  {padded(label, margin)} │{drawn}│ {MARKS[bar.state]} {duration(ended - bar.started_at)}")
    return out
