"""What a run is doing now: one row a workstream, and one for every other task that runs, failed or will be retried."""

from collections.abc import Iterable
from typing import Any

import msgspec

from branchline.core.approvals import sentence
from branchline.core.outcome import workstream_outcomes
from branchline.core.run_state import RunState, TaskRecord
from branchline.core.states import State
from branchline.views.attempts import Attempts
from branchline.views.format.text import duration

GOOD = frozenset({State.COMPLETED, State.SKIPPED})
NAMED = 3


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
            rows.append(_row(focus, family, attempts, now, reason=_reason(state, focus, now), **told))
            continue
        last = next((record for record in own if record.task.step == outcome.step), None)
        told |= {"workstream": outcome.id, "step": outcome.step, "state": outcome.state, "reason": outcome.reason}
        if not settled:  # through with its own steps
            waits = {"merge": "merged", "ship": outcome.reason}.get(outcome.step, "validated, waits for the merge")
            told |= {"state": State.PENDING, "reason": waits}
        rows.append(_row(last or state.find(outcome.step) or own[-1], family, attempts, now, **told))
    for record in current.get("", ()):
        waits_again = record.state == State.PENDING and record.attempt > 0
        if waits_again or record.state in {State.RUNNING, State.FAILED}:
            rows.append(_row(record, [record], attempts, now, reason=_reason(state, record, now)))
    return tuple(rows)


def _by_workstream(records: Iterable[TaskRecord]) -> dict[str, list[TaskRecord]]:
    groups: dict[str, list[TaskRecord]] = {}
    for record in records:
        groups.setdefault(record.task.workstream, []).append(record)
    return groups


def _row(record: TaskRecord, family: list[TaskRecord], attempts: Attempts, now: int, **told: Any) -> Row:
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
