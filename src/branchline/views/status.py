"""How a run stands: while it runs, when it waits for a person or has ended; and what to type next."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import compress
from typing import Any, Literal

import msgspec

from branchline.core.approvals import sentence
from branchline.core.facts import Concern
from branchline.core.model.forecast import Collision
from branchline.core.outcome import RunStatus, workstream_outcomes
from branchline.core.refs import Refs
from branchline.core.run_state import RunState, TaskRecord
from branchline.core.states import State
from branchline.views.format.text import duration, section, table, wrapped
from branchline.views.record import Timed, last_at
from branchline.views.timeline import Attempts, attempts

Word = RunStatus | Literal["running", "interrupted", "waiting", "rolled_back"]
GOOD = frozenset({State.COMPLETED, State.SKIPPED})
NAMED = 3
SHOWN = 12
LEAST_RISK, SHOWN_PATHS = 0.1, 3


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Where a workstream (or, with no `workstream`, a task) stands. Times in milliseconds.

    `elapsed_ms` is the length of the whole workstream so far.
    A workstream is COMPLETED once it landed.
    """

    workstream: str
    task_id: str
    step: str
    state: State
    attempt: int
    round: int
    reason: str = ""
    elapsed_ms: int = 0

    @property
    def name(self) -> str:
        """What a person calls it: the workstream, the step, or the task of a plain graph."""
        return self.workstream or self.step or self.task_id


class Waiting(msgspec.Struct, frozen=True):
    """A task that only a person's word keeps from starting, the tree that it is about, and the one to compare it with."""

    task_id: str
    workstream: str
    tree: str
    base: str
    concerns: tuple[Concern, ...]
    more: int


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


def progress(state: RunState, attempts: Attempts, now: int) -> tuple[Row, ...]:
    """The rows at `now` (Unix milliseconds): workstreams in the order of the plan, then tasks outside them."""
    families, current = _by_workstream(state.records.values()), _by_workstream(state.current().values())
    rows = []
    for outcome in workstream_outcomes(state):
        own, family = current[outcome.id], families[outcome.id]
        told: dict[str, Any] = {"round": max(record.task.round for record in own)}
        focus = next((record for record in own if record.state not in GOOD), None)
        settled = outcome.state not in {State.PENDING, State.RUNNING}
        if focus is not None and not settled:
            rows.append(row_of(focus, family, attempts, now, reason=_reason(state, focus, now), **told))
            continue
        last = next((record for record in own if record.task.step == outcome.step), None)
        told |= {"workstream": outcome.id, "step": outcome.step, "state": outcome.state, "reason": outcome.reason}
        if not settled:  # through with its own steps
            waits = {"merge": "merged", "ship": outcome.reason}.get(outcome.step, "validated, waits for the merge")
            told |= {"state": State.PENDING, "reason": waits}
        rows.append(row_of(last or state.find(outcome.step) or own[-1], family, attempts, now, **told))
    for record in current.get("", ()):
        waits_again = record.state == State.PENDING and record.attempt > 0
        if waits_again or record.state in {State.RUNNING, State.FAILED}:
            rows.append(row_of(record, [record], attempts, now, reason=_reason(state, record, now)))
    return tuple(rows)


def _by_workstream(records: Iterable[TaskRecord]) -> dict[str, list[TaskRecord]]:
    groups: dict[str, list[TaskRecord]] = {}
    for record in records:
        groups.setdefault(record.task.workstream, []).append(record)
    return groups


def row_of(record: TaskRecord, family: list[TaskRecord], attempts: Attempts, now: int, **told: Any) -> Row:
    """The row of a task, or of a whole family of tasks as `told` has it otherwise."""
    tries = [attempt for one in family for attempt in attempts.of.get(one.task.id, ())]
    start = min((attempt.started_at for attempt in tries), default=now)
    end = max((attempt.started_at + attempt.elapsed(now) for attempt in tries), default=now)
    task = {name: getattr(record.task, name) for name in ("workstream", "step", "round")} | {"state": record.state}
    return Row(task_id=record.task.id, attempt=record.attempt, elapsed_ms=end - start, **(task | told))


def _reason(state: RunState, record: TaskRecord, now: int) -> str:
    """Why it stands where it does, as far as that needs saying."""
    if record.state != State.PENDING:
        return record.reason
    if record.task.id in state.ready and (need := state.held(record.task.id)):
        return sentence(need)
    if record.retry_at is not None:
        wait = record.retry_at - now
        return f"{f'retry in {duration(wait)}' if wait > 0 else 'retry is due'} ({record.reason})"
    others = [state.records[name] for name in record.task.dependencies if not state.records[name].ended]
    names = []
    for other in others:
        workstream = other.task.workstream if other.task.workstream != record.task.workstream else ""
        names.append(workstream or other.task.step or other.task.id)
    names = list(dict.fromkeys(names))
    if not names:
        return ""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"waits for {', '.join(names[:NAMED])}{more}"


def waiting(state: RunState) -> tuple[Waiting, ...]:
    """All that waits, by task id."""
    fields = Waiting.__struct_fields__[1:]
    return tuple(Waiting(name, *(getattr(need, key) for key in fields)) for name, need in state.waiting.items())


def waiting_lines(found: Iterable[Waiting]) -> list[str]:
    """A table: each task with its concerns, a line each; those that are too many to read are counted."""
    rows = []
    for one in found:
        told = [f"{concern.path} {concern.reason}".lstrip() for concern in one.concerns[:SHOWN]]
        if left := len(one.concerns[SHOWN:]) + one.more:
            told.append(f"and {left} more")
        rows += [(one.task_id if number == 0 else "", text) for number, text in enumerate(told)]
    return table(rows)


def collision_lines(collisions: Iterable[Collision]) -> list[str]:
    """The collisions that are worth a thought, the likeliest first, with a few of their files."""
    rows = [
        (f"{one.a}, {one.b}", f"{one.risk:.0%}", ", ".join(one.paths[:SHOWN_PATHS]))
        for one in collisions
        if one.risk >= LEAST_RISK
    ]
    return section("Likely to change the same files", table(rows))


def decisions(run_id: str, found: Iterable[Waiting]) -> list[str]:
    """What to type, for each: to look at it, to say yes, to say no."""
    lines = []
    for one in found:
        lines += [f"branchline diff {run_id} {one.workstream}".rstrip()]
        lines += [f"branchline {verb} {run_id} {one.task_id}" for verb in ("approve", "reject")]
    return lines


def next_commands(run_id: str, status: str, state: RunState) -> tuple[str, ...]:
    """Commands for a run of that status, the likeliest first."""
    # A plan is shown with its recap; a change can be looked at.
    waits = [] if state.plan_waits else decisions(run_id, waiting(state))
    plain: dict[str, Sequence[str]] = {
        "running": (f"branchline log -f {run_id}", f"branchline cancel {run_id}"),
        "waiting": waits or (f"branchline approve {run_id}", f"branchline cancel {run_id}"),
        "rolled_back": (f"branchline show {run_id}",),
        "interrupted": (f"branchline resume {run_id}",),
        "cancelled": (f"branchline show {run_id}",),
        "succeeded": (f"branchline {'diff' if state.kind == 'pipeline' else 'log'} {run_id}",),
    }
    if status in plain:
        return tuple(plain[status])
    # A workstream that was left out of the merge, if that is all that went wrong: merging again would not help.
    merged = state.pipeline.integration
    current = state.current().values()
    failed = [record for record in current if record.state == State.FAILED]
    if merged and merged.dropped and not failed:
        dropped = next(iter(merged.dropped))
        return f"branchline diff {run_id} {dropped}", f"git merge {Refs(run_id).feature(dropped)}"
    if any(record.error_class == "budget" for record in current):
        return f"branchline resume {run_id} --budget USD", f"branchline costs {run_id}"
    # The task to look at first: one that failed, else one that was cancelled.
    culprit = next(iter([*failed, *(record for record in current if record.state == State.CANCELLED), *current]))
    task = culprit.task.id
    told, again = culprit.hint.splitlines(), f"branchline retry {run_id} {task}"
    more = () if any(command.startswith(again) for command in told) else (again,)
    return (*told, f"branchline show {run_id} {task}", *more)
