"""The state of a run: a fold of its events, in place, because a copy for each event of a long ledger would cost more."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from msgspec.structs import replace

from branchline.core import events, facts
from branchline.core.budget import Spending
from branchline.core.events import AnyEvent
from branchline.core.graph import Task, order_ids
from branchline.core.states import TERMINAL, State, check_transition
from branchline.core.workstream import PipelineState
from branchline.errors import InvalidInput

GOOD_ENDS = {
    "completed": frozenset({State.COMPLETED}),
    "completed_or_skipped": frozenset({State.COMPLETED, State.SKIPPED}),
    "ended": frozenset(State),
    "always": frozenset(State),
}


@dataclass(slots=True)
class TaskRecord:
    """Where one task stands. For `ended`, `lost`, `waiting` and `doomed` see `core.states`.

    `fact`: what the last attempt of a step has told; `outputs`: what a plain graph's task has handed on. `hint`: what to type
    after a failure; `traceback`: of an exception.
    """

    task: Task
    state: State = State.PENDING
    attempt: int = 0
    reason: str = ""
    error_class: str = ""
    retryable: bool = True
    retry_at: int | None = None
    fact: facts.StepFact | None = None
    outputs: dict[str, Any] = field(default_factory=dict)
    hint: str = ""
    traceback: str = ""
    ended: bool = False
    lost: bool = False
    waiting: int = 0
    doomed: str = ""

    def handed_on(self) -> dict[str, Any]:
        """What the task has handed on, as JSON: its outputs, or its step's fact."""
        made = self.outputs if self.fact is None else facts.plain(self.fact)
        told = {"hint": self.hint, "traceback": self.traceback}
        return {**made, **{name: text for name, text in told.items() if text}}


@dataclass(slots=True)
class RunState:
    """Everything `decide` may look at. The sets hold ids: tasks that are ready, running, failed and undecided, doomed.

    `pipeline`: what its steps have come to. `rejected_at`: when (Unix milliseconds) a workstream's batch was first rejected. `needs`: what a person has to look
    at before the task of a step and a workstream starts; `decided`: what was said of a task, by its id.
    """

    kind: Literal["pipeline", "graph"] = "graph"
    started_at: int = 0
    policy: events.RunPolicy = field(default_factory=events.RunPolicy)
    pins: dict[str, Any] = field(default_factory=dict)
    records: dict[str, TaskRecord] = field(default_factory=dict)
    dependants: dict[str, tuple[str, ...]] = field(default_factory=dict)
    latest: dict[str, str] = field(default_factory=dict)
    open: int = 0
    ready: set[str] = field(default_factory=set)
    running: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    doomed: set[str] = field(default_factory=set)
    cancel_requested: str = ""
    stopped_by: str = ""
    plan: dict[str, Any] = field(default_factory=dict)
    proposed: facts.PlanProposed | None = None
    spending: Spending = field(default_factory=Spending)
    pipeline: PipelineState = field(default_factory=PipelineState)
    rejected_at: dict[str, int] = field(default_factory=dict)
    needs: dict[tuple[str, str], facts.ApprovalNeeded] = field(default_factory=dict)
    decided: dict[str, events.ApprovalDecided] = field(default_factory=dict)
    fanned_out: bool = False
    end: events.RunEnded | None = None
    rolled_back: events.RolledBack | None = None

    @property
    def plan_waits(self) -> bool:
        """Whether a person has to accept the plan before anything goes on."""
        if self.proposed is None or self.plan or self.cancel_requested or self.stopped_by:
            return False
        return self.records[self.proposed.task_id].state == State.COMPLETED  # else it will be proposed again

    def held(self, name: str) -> facts.ApprovalNeeded | None:
        """What a person has to say yes or no to before this task starts, if there is anything."""
        task = self.records[name].task
        need, said = self.needs.get((task.step, task.workstream)), self.decided.get(name)
        return None if need is None or (said is not None and said.tree == need.tree) else need

    @property
    def waiting(self) -> dict[str, facts.ApprovalNeeded]:
        """The tasks that only a person's word keeps from starting, by id."""
        return {name: need for name in sorted(self.ready) if (need := self.held(name)) is not None}

    @property
    def awaiting(self) -> bool:
        """Whether nothing goes on before a person has accepted the plan, or said yes or no to what waits."""
        if self.plan_waits:
            return True
        if not self.ready or self.running or self.failed or self.doomed or self.cancel_requested or self.stopped_by:
            return False
        return len(self.waiting) == len(self.ready)

    def moved(self, name: str, new: State, **fields: Any) -> events.Transition:
        """The event that a task moves from where it stands; `fields`: its others. Nothing is applied."""
        record = self.records[name]
        fields.setdefault("attempt", record.attempt)
        return events.Transition(task_id=name, old_state=record.state, new_state=new, **fields)

    def apply(self, event: AnyEvent) -> None:
        """Take one event in. Raises IllegalTransition on a move that is not in the table."""
        match event:
            case events.Transition():
                self._move(event)
            case events.RunStarted():
                self.kind, self.started_at, self.policy = event.kind, event.started_at, event.policy
                self.pins, self.plan = event.pins, event.pins.get("plan") or {}
                order_ids(event.tasks)  # raises where they cannot be put in order
                self._enter(event.tasks)
            case events.TasksAdded():
                self._add(event)
            case events.GaveUp():
                record = self.records[event.task_id]
                self.failed.discard(event.task_id)
                if record.task.on_failure == "stop":
                    self.stopped_by = self.stopped_by or event.task_id
                self._end(record)
            case events.AttemptInterrupted():
                record = self.records[event.task_id]
                record.lost, record.fact = True, None
                self.spending.end(event.task_id, record.task.workstream, lost=True)
            case events.AttemptResumed():
                record = self.records[event.task_id]
                record.lost = False
                self.spending.begin(event.task_id, record.task.workstream, event.reserved_usd)
            case events.IntentReceived(kind="cancel", refused=""):
                self.cancel_requested = event.by
            case events.RunResumed():
                self._reopen()
                if event.budget is not None:  # somebody has looked at the money, what is unknown of it included
                    self.policy = replace(self.policy, budget=event.budget)
                    self.spending.unknown.clear()
            case events.RunEnded():
                self.end = event
            case _:
                self._learn(event)

    def _learn(self, event: AnyEvent) -> None:
        """Take in a fact of a step, or a person's word."""
        if isinstance(event, facts.StepFact) and (record := self.records[event.task_id]).state == State.RUNNING:
            record.fact = event  # what is told later, such as that the plan was accepted, is no attempt's
        match event:
            case facts.PlanProposed():
                self.proposed = event
            case facts.PlanComplete() if event.plan:
                self.plan = event.plan
            case events.RolledBack():
                self.rolled_back = event
            case facts.Codegate():
                if event.verdict == "rejected" and event.at:
                    self.rejected_at.setdefault(event.workstream, event.at)
                if event.given:  # by the gates, not by a person: what waited was another batch
                    self.needs.pop(("consume", event.workstream), None)
            case facts.IntegrationComplete():
                self.needs.pop(("ship", ""), None)
            case facts.ApprovalNeeded():
                self.needs[event.step, event.workstream] = event
            case events.ApprovalDecided():
                self.decided[event.task_id] = event
            case facts.AgentCalled():
                self.spending.pay(event.task_id, event.workstream, event.usage.cost_usd, repair=event.round > 1)

    def current(self) -> dict[str, TaskRecord]:
        """The latest round of every task, by the id of its first round, in order of appearance."""
        return {origin: self.records[name] for origin, name in self.latest.items()}

    def find(self, step: str, workstream: str = "") -> TaskRecord | None:
        """The latest round's task of a pipeline step."""
        latest = (self.records[name] for name in reversed(self.latest.values()))
        return next((one for one in latest if (one.task.step, one.task.workstream) == (step, workstream)), None)

    def _reopen(self) -> None:
        if self.end is not None:  # what ended the run is over; a crash in the middle of it is not
            self.cancel_requested = self.stopped_by = ""
        self.end = None

    def _enter(self, tasks: Iterable[Task]) -> None:
        made = tuple(tasks)
        links: dict[str, list[str]] = {}
        for task in made:
            self.records[task.id] = TaskRecord(task)
            self.fanned_out = self.fanned_out or task.step == "worktrees"
            self.latest[task.origin or task.id] = task.id
            self.dependants.setdefault(task.id, ())
            for dependency in task.dependencies:
                links.setdefault(dependency, []).append(task.id)
        for dependency, names in links.items():
            self.dependants[dependency] = (*self.dependants[dependency], *names)
        self.open += len(made)
        for task in made:
            self._recount(self.records[task.id])

    def _recount(self, record: TaskRecord) -> None:
        """Derive a waiting task's readiness from its dependencies."""
        record.doomed = ""
        self.ready.discard(record.task.id)
        self.doomed.discard(record.task.id)
        record.waiting = sum(not self.records[name].ended for name in record.task.dependencies)
        if record.waiting == 0:
            self._settle(record)

    def _settle(self, record: TaskRecord) -> None:
        """Nothing is awaited any more: a task is ready, or doomed.

        Not before, and by the first cause in the task's own order (a skip is the weakest): what becomes of it must not
        depend on which of its dependencies ended first.
        """
        ends = [self.records[name] for name in record.task.dependencies]
        bad = [end for end in ends if end.state not in GOOD_ENDS[record.task.trigger]]
        if not bad:
            self.ready.add(record.task.id)
            return
        cause = min(bad, key=lambda end: end.state == State.SKIPPED)
        verb = {State.SKIPPED: "was skipped", State.CANCELLED: "was cancelled"}.get(cause.state, "failed")
        record.doomed = f"upstream {cause.task.id} {verb}"
        self.doomed.add(record.task.id)

    def _move(self, event: events.Transition) -> None:
        record = self.records[event.task_id]
        if event.old_state != record.state:
            raise InvalidInput(f"task {event.task_id} is {record.state}, but an event moves it from {event.old_state}")
        check_transition(event.task_id, record.state, event.new_state)
        name = event.task_id
        for group in (self.ready, self.running, self.failed, self.doomed):
            group.discard(name)
        record.state, record.attempt = event.new_state, event.attempt
        record.reason, record.error_class = event.reason, event.error_class
        record.retryable, record.retry_at = event.retryable, event.retry_at
        record.lost = False
        if event.old_state == State.RUNNING:
            self.spending.end(name, record.task.workstream)
        if event.new_state == State.RUNNING:
            record.fact = None
            self.running.add(name)
            self.spending.begin(name, record.task.workstream, event.reserved_usd)
        elif event.new_state == State.PENDING:
            self.ready.add(name)
        else:
            record.outputs, record.hint, record.traceback = event.outputs, event.hint, event.traceback
        if event.new_state == State.FAILED:
            self.failed.add(name)
        if event.new_state in TERMINAL:
            self._end(record)

    def _end(self, record: TaskRecord) -> None:
        self._close(record)
        for name in self.dependants[record.task.id]:
            dependant = self.records[name]
            if dependant.state == State.PENDING:
                dependant.waiting -= 1
                if dependant.waiting == 0:
                    self._settle(dependant)

    def _close(self, record: TaskRecord) -> None:
        record.ended = True
        self.open -= 1
        if self.kind == "pipeline":
            self.pipeline = self.pipeline.after(record.task, record.state, record.fact, record.reason)

    def _add(self, event: events.TasksAdded) -> None:
        for old in event.replaces.values():
            if self.proposed is not None and old == self.proposed.task_id:  # it is made again: nobody is to accept it
                self.proposed = None
            if old in self.failed:  # superseded: its failure leads to the new round, not to its dependants
                self.failed.discard(old)
                self._close(self.records[old])
        self._enter(event.tasks)
        for name, dependencies in sorted(event.rewired.items()):  # as they stand in a ledger
            record = self.records[name]
            for old in record.task.dependencies:
                self.dependants[old] = tuple(d for d in self.dependants[old] if d != name)
            record.task = replace(record.task, dependencies=dependencies)
            for new in dependencies:
                self.dependants[new] = (*self.dependants[new], name)
            self._recount(record)


def replay(happened: Iterable[AnyEvent]) -> RunState:
    """The state after all events."""
    state = RunState()
    for event in happened:
        state.apply(event)
    return state
