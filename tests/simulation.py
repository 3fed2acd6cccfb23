"""An engine without effects: runs of any graph or plan, step by step, with every state on the way checked."""

import random
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec
import pytest

from branchline.core.events import (
    AnyEvent,
    AttemptInterrupted,
    AttemptResumed,
    IntentReceived,
    RunResumed,
    RunStarted,
    Transition,
)
from branchline.core.facts import AgentCalled, MergeConflict, PlanComplete, PlanProposed
from branchline.core.model.agent import Usage
from branchline.core.model.plan import Plan
from branchline.core.retry import effective
from branchline.core.run_state import GOOD_ENDS, RunState, TaskRecord
from branchline.core.scheduler import KillAttempt, Wanted, decide, wake_at
from branchline.core.states import State

CLASSES = ("error", "flaky", "timeout")
STEPS = 5_000
ROUNDING = 1e-6  # dollars

Outcome = Callable[[TaskRecord], Transition]


def moved(record: TaskRecord, new: State, **fields: Any) -> Transition:
    fields.setdefault("attempt", record.attempt)
    return Transition(task_id=record.task.id, old_state=record.state, new_state=new, **fields)


def by_chance(seed: int, success: float = 0.6) -> Outcome:
    """What an attempt comes to: chance, but fixed by task and attempt, whatever happens around it."""

    def outcome(record: TaskRecord) -> Transition:
        chance = random.Random(f"{seed}/{record.task.id}/{record.attempt}")
        if chance.random() < success:
            return moved(record, State.COMPLETED, outputs={"eligible": 1})
        fields: dict[str, Any] = {"error_class": chance.choice(CLASSES), "retryable": chance.random() < 0.6}
        if record.task.step == "code_gate":
            fields = {"error_class": "rejected", "retryable": False}
        elif record.task.step == "merge":
            fields = {"error_class": "conflict", "retryable": False}
        return moved(record, State.FAILED, reason="by chance", **fields)

    return outcome


class Simulation:
    """An engine without effects: does what is decided, one event at a time, and checks every state on its way.

    `plan` is what the planner of a run without one proposes, `answer` what a person says to it: the plan to go on with,
    or `no`. Agents keep to what is reserved for them; `burnt` is what they have really spent, `told` what they say.
    """

    def __init__(
        self,
        start: RunStarted,
        outcome: Outcome,
        seed: int,
        *,
        plan: Plan | None = None,
        answer: Plan | Literal["no"] = "no",
    ) -> None:
        self.outcome, self.seed, self.chance, self.now = outcome, seed, random.Random(seed), start.started_at
        self.plan, self.answer = plan, answer
        self.told = self.burnt = 0.0
        self.state, self.events = RunState(), list[AnyEvent]()
        self.note(start)

    def note(self, *events: AnyEvent) -> None:
        for event in events:
            self.state.apply(event)
            self.events.append(event)
            check_books(self.state)
            check_limits(self.state)
            check_money(self.state)

    def run(self, cancel_at: int = -1, crash: float = 0.0) -> RunState:
        """Go on until the run ends, in a bounded number of turns."""
        for turn in range(STEPS):
            if turn == cancel_at:
                self.note(IntentReceived(kind="cancel", by="tester"))
            known = len(self.events)
            for wanted in decide(self.state, self.now):
                self.perform(wanted)
            if self.state.end is not None:
                return self.state
            if self.chance.random() < crash:
                self.crash()
            elif len(self.events) == known:
                self.wait(crash)
        pytest.fail("the run does not end")

    def perform(self, wanted: Wanted) -> None:
        if isinstance(wanted, KillAttempt):
            if self.chance.random() < 0.5:  # a kill takes its time
                record = self.state.records[wanted.task_id]
                self.note(*self.calls(record), moved(record, State.CANCELLED, reason=wanted.reason))
            return
        match wanted:
            case AttemptResumed():
                record = self.state.records[wanted.task_id]
                check_start(self.state, record, wanted)
                assert record.lost
                assert record.attempt == wanted.attempt
            case Transition(new_state=State.RUNNING):
                record = self.state.records[wanted.task_id]
                check_start(self.state, record, wanted)
                check_first_start(self.state, record, wanted.attempt, self.now)
            case Transition(new_state=State.PENDING):
                check_retry(self.state, self.state.records[wanted.task_id])
        self.note(wanted)

    def wait(self, crash: float) -> None:
        """Somebody finishes, or the next retry falls due, or a person has to say what becomes of the plan."""
        due = wake_at(self.state, self.now)
        alive = sorted(name for name in self.state.running if not self.state.records[name].lost)
        if self.state.awaiting and not self.state.running:
            self.ask()
            return
        assert alive or due is not None, "nothing runs, nothing falls due, and yet the run has not ended"
        if alive and (due is None or self.chance.random() < 0.8):
            self.now += self.chance.randrange(3)
            self.finish(self.chance.choice(alive), torn=self.chance.random() < crash)
        elif due is not None:
            self.now = due

    def finish(self, name: str, *, torn: bool) -> None:
        """An attempt ends; `torn`: the coordinator dies while it writes that down."""
        record = self.state.records[name]
        calls, end = self.calls(record), self.outcome(record)
        facts = self.planned(record) if end.new_state == State.COMPLETED and record.task.step == "planning" else []
        if end.error_class == "conflict":
            facts.append(MergeConflict(task_id=name, workstream="w0", tree="t", tip="c", commit="d"))
        batch = [*calls, *facts, end]
        written = batch[: self.chance.randrange(len(batch))] if torn else batch
        self.told += sum(e.usage.cost_usd or 0.0 for e in written if isinstance(e, AgentCalled))
        if torn:
            self.note(*written)
            self.crash()
        else:
            self.burnt += _burnt(calls, self.state.spending.reserved_for(name) or 0.0)
            self.note(*written)

    def calls(self, record: TaskRecord) -> list[AgentCalled]:
        """One agent or two, the second in the first one's place, that spend no more than is reserved for them."""
        if record.task.step not in self.state.policy.paid_steps:
            return []
        chance = random.Random(f"{self.seed}/{record.task.id}/{record.attempt}/cost")
        left = self.state.spending.reserved_for(record.task.id)
        costs: list[float | None] = []
        for _ in range(chance.choice((1, 1, 2))):
            cost = None if chance.random() < 0.1 else chance.choice((0.0, 0.5, 1.0)) * (2.0 if left is None else left)
            costs.append(cost)
            if cost is None:
                break
            left = None if left is None else left - cost
        return [_call(record, cost) for cost in costs]

    def planned(self, record: TaskRecord) -> list[AnyEvent]:
        """What step 2 has to tell: the plan that there is already, or the planner's."""
        name = record.task.id
        if self.state.plan or self.plan is None:
            return [PlanComplete(task_id=name, workstreams=(), digest="d")]
        proposed = PlanProposed(task_id=name, plan=msgspec.to_builtins(self.plan), digest="d")
        return [proposed] if self.state.policy.approve_plan else [proposed, _accepted(name, self.plan, "policy")]

    def ask(self) -> None:
        """The run waits, driven by nobody; somebody looks at it, accepts its plan, maybe edited, or refuses it."""
        state = self.state
        assert state.proposed is not None
        assert not state.running
        assert not any(record.task.workstream for record in state.records.values())
        self.note(RunResumed(by="tester"))
        if self.chance.random() < 0.3:
            return
        if isinstance(self.answer, Plan):
            self.note(_accepted(state.proposed.task_id, self.answer, "tester"))
        else:
            self.note(IntentReceived(kind="cancel", by="tester"))

    def crash(self) -> None:
        """The coordinator dies and another takes the run up. What its agents had spent by then is all that they could."""
        for name in sorted(self.state.running):
            if not self.state.records[name].lost:
                self.burnt += self.state.spending.reserved_for(name) or 0.0
            self.note(AttemptInterrupted(task_id=name, attempt=self.state.records[name].attempt))
        self.note(RunResumed(by="tester"))


def _call(record: TaskRecord, cost: float | None) -> AgentCalled:
    return AgentCalled(
        task_id=record.task.id,
        attempt=record.attempt,
        role="editor",
        agent="a",
        model="m",
        status="ok",
        usage=Usage(cost_usd=cost),
        milliseconds=1,
        folder="",
        workstream=record.task.workstream,
        round=record.task.round,
    )


def _burnt(calls: Sequence[AgentCalled], reserved: float) -> float:
    costs = [call.usage.cost_usd for call in calls]
    return reserved if None in costs else sum(cost for cost in costs if cost is not None)


def _accepted(name: str, plan: Plan, by: str) -> PlanComplete:
    return PlanComplete(task_id=name, workstreams=plan.ids, digest="d", by=by, plan=msgspec.to_builtins(plan))


def check_books(state: RunState) -> None:
    """The sets and counters are what the records say."""
    records = state.records.values()
    assert state.open == sum(not record.ended for record in records)
    assert state.running == {r.task.id for r in records if r.state == State.RUNNING}
    assert state.failed == {r.task.id for r in records if r.state == State.FAILED and not r.ended}
    assert all(r.ended for r in records if r.state in {State.COMPLETED, State.SKIPPED, State.CANCELLED})
    free = [r for r in records if r.state == State.PENDING and all_ended(state, r)]
    assert state.ready == {r.task.id for r in free if ended_well(state, r)}
    assert state.doomed == {r.task.id for r in free if not ended_well(state, r)}


def all_ended(state: RunState, record: TaskRecord) -> bool:
    return all(state.records[name].ended for name in record.task.dependencies)


def ended_well(state: RunState, record: TaskRecord) -> bool:
    return all(state.records[name].state in GOOD_ENDS[record.task.trigger] for name in record.task.dependencies)


def check_limits(state: RunState) -> None:
    policy, tasks = state.policy, [state.records[name].task for name in state.running]
    assert len(tasks) <= policy.max_parallel
    for group, limit in policy.groups.items():
        assert sum(task.parallel_group == group for task in tasks) <= limit
    assert policy.cpu is None or sum(task.resources.cpu for task in tasks) <= policy.cpu
    assert policy.mem_mb is None or sum(task.resources.mem_mb for task in tasks) <= policy.mem_mb


def check_money(state: RunState) -> None:
    """Reserved and spent money together are within every limit."""
    budget, spending = state.policy.budget, state.spending
    accounts = [(budget.run, spending.total), *((budget.workstream, one) for one in spending.workstreams.values())]
    for limit, account in accounts:
        left = account.left(limit)
        assert left is None or left >= -ROUNDING
    assert set(spending.total.reserved) <= state.running
    assert sum(one.spent for one in spending.workstreams.values()) <= spending.total.spent + ROUNDING


def check_start(state: RunState, record: TaskRecord, start: Transition | AttemptResumed) -> None:
    """Nothing starts while a plan waits, nothing in a run that is to end but what always runs, no agent unpaid."""
    assert not state.awaiting
    looks = isinstance(start, AttemptResumed) and record.task.step == "ship"
    assert record.task.trigger == "always" or looks or not (state.cancel_requested or state.stopped_by)
    budget, paid = state.policy.budget, record.task.step in state.policy.paid_steps
    if paid and (budget.attempt or budget.run or budget.workstream):
        assert start.reserved_usd is not None
        assert start.reserved_usd > 0
        assert not (state.spending.unknown and budget.unknown == "refuse")
    else:
        assert start.reserved_usd is None


def check_first_start(state: RunState, record: TaskRecord, attempt: int, now: int) -> None:
    assert attempt == record.attempt + 1
    assert attempt <= max(attempts_allowed(state, record, kind) for kind in CLASSES)
    assert record.retry_at is None or record.retry_at <= now
    assert all_ended(state, record)
    assert ended_well(state, record)


def check_retry(state: RunState, record: TaskRecord) -> None:
    assert record.retryable
    assert record.attempt < attempts_allowed(state, record, record.error_class)


def attempts_allowed(state: RunState, record: TaskRecord, error_class: str) -> int:
    return effective(state.policy.retry, record.task.retry, error_class).max_attempts


def check_ends(state: RunState) -> None:
    """Every task has ended, for a reason that its dependencies bear out."""
    assert state.open == 0
    for record in state.records.values():
        assert record.ended
        if record.state in {State.CANCELLED, State.SKIPPED}:
            assert record.reason
        if record.reason.startswith("upstream"):
            assert not ended_well(state, record)
        elif record.state in {State.COMPLETED, State.FAILED}:
            assert record.attempt >= 1
        if record.task.trigger == "always" and not record.reason.startswith("it needs"):
            assert record.attempt >= 1
        if not ended_well(state, record) and not (state.cancel_requested or state.stopped_by):
            assert record.attempt == 0
            assert record.state in {State.SKIPPED, State.CANCELLED}
