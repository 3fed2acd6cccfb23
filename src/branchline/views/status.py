"""How a run stands: while it runs, after it was interrupted, when it has ended."""

from collections import Counter
from collections.abc import Sequence
from itertools import compress
from typing import Literal

import msgspec

from branchline.core.outcome import RunStatus
from branchline.core.run_state import RunState
from branchline.core.states import State
from branchline.views.attempts import attempts
from branchline.views.format.text import duration, table, wrapped
from branchline.views.next_command import next_commands
from branchline.views.progress import Row, progress
from branchline.views.record import Timed, last_at
from branchline.views.waiting import Waiting, decisions, waiting, waiting_lines

Word = RunStatus | Literal["running", "interrupted", "waiting", "rolled_back"]


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A run at a glance. `started_at` in Unix milliseconds; `tasks` counts the latest round of every task by state.

    `waiting`: what a person has to say yes or no to.
    """

    run_id: str
    status: Word
    reason: str
    started_at: int
    elapsed_ms: int
    workstreams: tuple[Row, ...]
    others: tuple[Row, ...]
    tasks: dict[State, int]
    next: str
    waiting: tuple[Waiting, ...] = ()


def status_word(state: RunState, *, live: bool) -> Word:
    """The status of a run; one that has not ended and that nobody drives is `interrupted`.

    `waiting`: nothing goes on before a person has said yes or no, to a plan or to a change.
    """
    if state.rolled_back is not None:
        return "rolled_back"
    if state.end is not None:
        return state.end.status
    if state.awaiting and not state.running:
        return "waiting"
    return "running" if live else "interrupted"


def status(run_id: str, records: Sequence[Timed], state: RunState, now: int, *, live: bool) -> Status:
    """The status of a run whose ledger holds `records` (at least one) and folds to `state`.

    `live` says whether a process drives it; time stands still in a run that nobody drives.
    """
    word = status_word(state, live=live)
    until = now if word == "running" else last_at(records)
    rows = progress(state, attempts(records), until)
    counted = Counter(record.state for record in state.current().values())
    return Status(
        run_id=run_id,
        status=word,
        reason=state.end.reason if state.end else "",
        started_at=state.started_at,
        elapsed_ms=max(0, until - records[0].at),
        workstreams=tuple(row for row in rows if row.workstream),
        others=tuple(row for row in rows if not row.workstream),
        tasks={one: counted[one] for one in State if counted[one]},
        next=next_commands(run_id, word, state)[0],
        waiting=waiting(state),
    )


def lines(status: Status) -> list[str]:
    """The status as text."""
    out = [f"Run {status.run_id}: {status.status}, {duration(status.elapsed_ms)}"]
    for rows, noun in ((status.workstreams, "workstream"), (status.others, "step" if status.workstreams else "task")):
        if rows:
            cells = [(noun, "at" if rows[0].workstream else "", "state", "try", "round", "time", "")]
            for row in rows:
                at, elapsed = row.step if row.workstream else "", duration(row.elapsed_ms) if row.elapsed_ms else ""
                number = str(row.round) if row.round > 1 else ""
                word = shown_state(row, status.status)
                cells.append((row.name, at, word, str(row.attempt or ""), number, elapsed, row.reason))
            # Columns in which only the header says anything are left out, but for the last.
            used = [*[any(column[1:]) for column in zip(*cells, strict=True)][:-1], True]
            out += ["", *table([tuple(compress(row, used)) for row in cells])]
    if status.reason and not status.workstreams:
        out += ["", *wrapped(status.reason, indent="  ")]
    if status.waiting:
        out += ["", "Waits for a person", *waiting_lines(status.waiting)]
        out += [f"  {command}" for command in decisions(status.run_id, status.waiting)]
    counts = ", ".join(f"{number} {state.lower()}" for state, number in status.tasks.items())
    return [*out, "", f"  tasks  {counts}", f"  next   {status.next}"]


def shown_state(row: Row, status: Word) -> str:
    """The word for a row's state: a workstream that is through has landed, an attempt that nobody drives is cut off."""
    if row.workstream and row.state == State.COMPLETED:
        return "landed"
    return "interrupted" if row.state == State.RUNNING and status == "interrupted" else row.state.lower()
