"""`decide`: what should happen now, from the state and the time alone."""

import copy
from collections.abc import Iterator
from math import inf

import msgspec

from branchline.core import retry
from branchline.core.budget import Grant, grant
from branchline.core.events import AnyEvent, AttemptResumed, GaveUp, RunEnded
from branchline.core.outcome import exit_code, run_status
from branchline.core.pipeline import OUTWARD, growth, repair_round
from branchline.core.run_state import RunState, TaskRecord
from branchline.core.states import State


class KillAttempt(msgspec.Struct, frozen=True):
    """End the running attempt: no event before it has ended."""

    task_id: str
    reason: str


Wanted = AnyEvent | KillAttempt


def decide(state: RunState, now: int) -> list[Wanted]:
    """The events that are due at `now` (Unix milliseconds), in a fixed order; empty when there is only waiting to do.

    The engine makes them durable, then does what they say: it starts the attempts that they begin, and ends those that
    are to be killed. A function of its arguments alone. Once its events are applied, it is asked again, until it wants
    nothing more.
    """
    if state.end is not None:
        return []
    settling = [*_cancellations(state), *_follow_ups(state, now)]
    if settling:
        return settling
    if added := growth(state):
        return [added]
    if state.plan_waits:
        return []
    if state.open == 0:
        status, reason = run_status(state)
        return [RunEnded(status=status, exit_code=exit_code(state, status), reason=reason)]
    return list(_starts(state, now))


def wake_at(state: RunState, now: int) -> int | None:
    """When (Unix milliseconds) the next retry falls due, if any waits for its time."""
    due = (_due(state, state.records[name], now) for name in state.ready)
    return min((at for at in due if at is not None), default=None)


def _due(state: RunState, record: TaskRecord, now: int) -> int | None:
    """When a task is to be tried again, if that is later than `now`; never later than its policy lets it wait.

    A time that is further away was written before the clock was put back.
    """
    if record.retry_at is None or record.retry_at <= now:
        return None
    policy = retry.effective(state.policy.retry, record.task.retry, record.error_class)
    return record.retry_at if record.retry_at - now <= 1000 * (retry.longest_seconds(policy)) else None


def _cancellations(state: RunState) -> Iterator[Wanted]:
    if state.cancel_requested or state.stopped_by:
        reason = f"cancelled by {state.cancel_requested}"
        if not state.cancel_requested:
            reason = f"run stopped: {state.stopped_by} failed"
        for name, record in state.records.items():
            if record.task.trigger == "always":
                continue
            if name in state.running and not record.lost:
                if state.cancel_requested:
                    yield KillAttempt(name, "cancelled")
            elif name in state.running and record.task.step in OUTWARD:
                continue  # it may be done: it is begun again, is told at once to end, and looks
            elif not record.ended and name not in state.failed:
                yield state.moved(name, State.CANCELLED, reason=reason)
        return
    for name in sorted(state.doomed):
        reason = state.records[name].doomed
        end = State.SKIPPED if reason.endswith("was skipped") else State.CANCELLED
        yield state.moved(name, end, reason=reason)


def _follow_ups(state: RunState, now: int) -> Iterator[AnyEvent]:
    """What each failure leads to: another attempt, a repair round, or the end of the task."""
    for name in sorted(state.failed):
        record = state.records[name]
        policy = retry.effective(state.policy.retry, record.task.retry, record.error_class)
        if state.cancel_requested or state.stopped_by:
            yield state.moved(name, State.CANCELLED, reason="the run was ended")
        elif record.retryable and record.attempt < policy.max_attempts:
            wait = retry.delay_seconds(policy, record.attempt, f"{state.started_at}/{name}")
            why = f"attempt {record.attempt} of {policy.max_attempts}: {record.reason}"
            yield state.moved(name, State.PENDING, reason=why, retry_at=now + round(wait * 1000))
        elif added := repair_round(state, record, now):
            yield added
        else:
            yield GaveUp(task_id=name, reason=record.reason)


def _starts(state: RunState, now: int) -> Iterator[AnyEvent]:
    room = _Room(state)
    for name in sorted(name for name in state.running if state.records[name].lost):
        record = state.records[name]
        if (money := room.money(record)).refused:
            yield state.moved(name, State.CANCELLED, reason=money.refused, error_class="budget")
        elif not money.wait:
            room.reserve(record, money)
            yield AttemptResumed(task_id=name, attempt=record.attempt, reserved_usd=money.dollars)
    for _, name in sorted((-state.records[name].task.priority, name) for name in state.ready):
        if room.slots <= 0:
            return
        record = state.records[name]
        if _due(state, record, now) is not None or state.held(name) is not None:
            continue
        when = record.task.when
        origin = state.records[when.task].task.origin or when.task if when else ""
        if when and not when.holds(state.records[state.latest[origin]].handed_on()):
            yield state.moved(name, State.SKIPPED, reason="its condition does not hold")
        elif lack := _lack(state, record):
            yield state.moved(name, State.CANCELLED, reason=lack)
        elif (money := room.money(record)).refused:
            before = f"; {record.reason}" if record.attempt else ""  # why there has to be another try
            yield state.moved(name, State.CANCELLED, reason=money.refused + before, error_class="budget")
        elif not money.wait and room.take(record):
            room.reserve(record, money)
            yield state.moved(name, State.RUNNING, attempt=record.attempt + 1, reserved_usd=money.dollars)


def _lack(state: RunState, record: TaskRecord) -> str:
    """Why a task could never start, however long it waited."""
    wanted, policy = record.task.resources, state.policy
    if policy.cpu is not None and wanted.cpu > policy.cpu:
        return f"it needs {wanted.cpu:g} CPUs, the run has {policy.cpu:g}"
    if policy.mem_mb is not None and wanted.mem_mb > policy.mem_mb:
        return f"it needs {wanted.mem_mb:g} MB of memory, the run has {policy.mem_mb:g}"
    return ""


class _Room:
    """What is left of the run's concurrency, of its groups', of its resources and of its money."""

    def __init__(self, state: RunState) -> None:
        policy = state.policy
        self.policy = policy
        self.slots = policy.max_parallel
        self.cpu, self.mem_mb = (inf if most is None else most for most in (policy.cpu, policy.mem_mb))
        self.groups = dict(policy.groups)
        self.told = self.spending = state.spending
        for name in state.running:
            self._hold(state.records[name])

    def take(self, record: TaskRecord) -> bool:
        """Hold what the task needs, if there is room for it."""
        task = record.task
        free = (
            self.slots > 0
            and self.groups.get(task.parallel_group or "", 1) > 0
            and task.resources.cpu <= self.cpu
            and task.resources.mem_mb <= self.mem_mb
        )
        if free:
            self._hold(record)
        return free

    def money(self, record: TaskRecord) -> Grant:
        """What the task's attempt may spend."""
        if record.task.step not in self.policy.paid_steps:
            return Grant()
        return grant(self.policy.budget, self.spending, record.task.workstream, self.policy.max_parallel)

    def reserve(self, record: TaskRecord, money: Grant) -> None:
        """Take what was granted out, for those that come after it in the same turn."""
        if money.dollars is not None:
            if self.spending is self.told:
                self.spending = copy.deepcopy(self.told)
            self.spending.begin(record.task.id, record.task.workstream, money.dollars)

    def _hold(self, record: TaskRecord) -> None:
        task = record.task
        self.slots -= 1
        if task.parallel_group in self.groups:
            self.groups[task.parallel_group] -= 1
        self.cpu -= task.resources.cpu
        self.mem_mb -= task.resources.mem_mb
