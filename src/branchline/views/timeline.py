"""When each attempt ran, as data and as a chart of bars."""

from collections.abc import Sequence

import msgspec

from branchline.core.states import State
from branchline.views.attempts import Attempt, attempts
from branchline.views.format.text import COLUMNS, MARKS, cut, duration, padded, plain, width
from branchline.views.record import Timed

LONGEST_LABEL = 34
TIME_COLUMNS = 8


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt. Times in Unix milliseconds; `ended_at` is None while it runs."""

    task_id: str
    attempt: int
    started_at: int
    ended_at: int | None
    state: State


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """The attempts of a run in the order in which they began; `until` is where the chart ends (Unix milliseconds)."""

    run_id: str
    started_at: int
    until: int
    bars: tuple[Bar, ...]


def timeline(run_id: str, records: Sequence[Timed], now: int | None = None) -> Timeline:
    """The timeline of a ledger of at least one record; without `now` it ends with the last record."""
    until = records[-1].at if now is None else now
    bars = tuple(map(_bar, attempts(records).all))
    return Timeline(run_id=run_id, started_at=records[0].at, until=max(until, records[0].at), bars=bars)


def _bar(attempt: Attempt) -> Bar:
    return Bar(
        task_id=attempt.task_id,
        attempt=attempt.attempt,
        started_at=attempt.started_at,
        ended_at=attempt.ended_at,
        state=attempt.state,
    )


def lines(timeline: Timeline, *, columns: int = COLUMNS) -> list[str]:
    """The chart, one line an attempt, to scale; every attempt has at least one sign."""
    labels = [_label(bar) for bar in timeline.bars]
    margin = max(map(width, labels), default=0)
    room = max(columns - margin - TIME_COLUMNS - 7, 10)
    span = max(timeline.until - timeline.started_at, 1)
    total = duration(timeline.until - timeline.started_at)
    out = [f"  {'':{margin}}  0{total:>{room}}"]
    for label, bar in zip(labels, timeline.bars, strict=True):
        ended = timeline.until if bar.ended_at is None else bar.ended_at
        first = min(max(bar.started_at - timeline.started_at, 0) * room // span, room - 1)
        last = min(max(-((timeline.started_at - ended) * room // span), first + 1), room)
        drawn = padded(" " * first + "━" * (last - first), room)
        elapsed = duration(ended - bar.started_at)
        out.append(f"  {padded(label, margin)} │{drawn}│ {MARKS[bar.state]} {elapsed}")
    return out


def _label(bar: Bar) -> str:
    number = f" #{bar.attempt}" if bar.attempt > 1 else ""
    return cut(plain(bar.task_id), LONGEST_LABEL - len(number)) + number
