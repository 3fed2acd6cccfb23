"""When each attempt ran, as a chart of bars."""

from collections.abc import Sequence

from branchline.views.attempts import Attempt, attempts
from branchline.views.format.text import COLUMNS, MARKS, cut, duration, padded, plain, width
from branchline.views.record import Timed

LONGEST_LABEL = 34
TIME_COLUMNS = 8


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
