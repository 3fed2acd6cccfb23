import copy
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from branchline.core import rounds
from branchline.core.commands import (
    CancelTask,
    Command,
    EndRun,
    GiveUp,
    KillAttempt,
    OpenRound,
    RetryLater,
    SkipTask,
    StartAttempt,
)
from branchline.core.events import (
    AnyEvent,
    AttemptInterrupted,
    AttemptResumed,
    GaveUp,
    IntentReceived,
    RunEnded,
    RunPolicy,
    RunResumed,
    RunStarted,
    Transition,
)
from branchline.core.graph import Condition, Task, TaskResources
from branchline.core.pipeline import task_graph
from branchline.core.plan import Plan
from branchline.core.retry import RetryOverride, RetryPolicy, effective
from branchline.core.run_state import GOOD_ENDS, RunState, TaskRecord, evolve, replay
from branchline.core.scheduler import decide, wake_at
from branchline.core.states import State
from strategies import POLICIES, changed, plans, started, task_graphs

CLASSES = ("error", "flaky", "timeout")
STEPS = 5_000

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
            fields = {"error_class": "conflict", "retryable": False, "outputs": {"repair": "w0"}}
        return moved(record, State.FAILED, reason="by chance", **fields)

    return outcome


class Simulation:
    """An engine without effects: performs commands one event at a time and checks every state on its way."""

    def __init__(self, start: RunStarted, outcome: Outcome, seed: int) -> None:
        self.outcome, self.chance, self.now = outcome, random.Random(seed), start.started_at
        self.state, self.events = RunState(), list[AnyEvent]()
        self.note(start)

    def note(self, *events: AnyEvent) -> None:
        for event in events:
            self.state.apply(event)
            self.events.append(event)
            check_books(self.state)
            check_limits(self.state)

    def run(self, cancel_at: int = -1, crash: float = 0.0) -> RunState:
        """Go on until the run ends, in a bounded number of turns."""
        for turn in range(STEPS):
            if turn == cancel_at:
                self.note(IntentReceived(kind="cancel", by="tester"))
            known = len(self.events)
            for command in decide(self.state, self.now):
                self.perform(command)
            if self.state.end is not None:
                return self.state
            if self.chance.random() < crash:
                self.crash()
            elif len(self.events) == known:
                self.wait()
        pytest.fail("the run does not end")

    def perform(self, command: Command) -> None:
        match command:
            case StartAttempt():
                self.start(command)
            case RetryLater(name, retry_at, reason):
                check_retry(self.state, self.state.records[name])
                self.note(moved(self.state.records[name], State.PENDING, retry_at=retry_at, reason=reason))
            case GiveUp(name, reason):
                self.note(GaveUp(task_id=name, reason=reason))
            case OpenRound(added):
                self.note(added)
            case SkipTask(name, reason):
                self.note(moved(self.state.records[name], State.SKIPPED, reason=reason))
            case CancelTask(name, reason):
                self.note(moved(self.state.records[name], State.CANCELLED, reason=reason))
            case KillAttempt(name, reason):
                if self.chance.random() < 0.5:  # a kill takes its time
                    self.note(moved(self.state.records[name], State.CANCELLED, reason=reason))
            case EndRun():
                self.note(RunEnded(status="succeeded", exit_code=0))

    def start(self, command: StartAttempt) -> None:
        record = self.state.records[command.task_id]
        if command.again:
            assert record.lost
            assert record.attempt == command.attempt
            self.note(AttemptResumed(task_id=command.task_id, attempt=command.attempt))
        else:
            check_start(self.state, record, command.attempt, self.now)
            self.note(moved(record, State.RUNNING, attempt=command.attempt))

    def wait(self) -> None:
        """Somebody finishes, or the next retry falls due."""
        due = wake_at(self.state, self.now)
        alive = sorted(name for name in self.state.running if not self.state.records[name].lost)
        assert alive or due is not None, "nothing runs, nothing falls due, and yet the run has not ended"
        if alive and (due is None or self.chance.random() < 0.8):
            self.now += self.chance.randrange(3)
            self.note(self.outcome(self.state.records[self.chance.choice(alive)]))
        elif due is not None:
            self.now = due

    def crash(self) -> None:
        """The coordinator dies and another takes the run up."""
        self.note(RunResumed(by="tester"))
        for name in sorted(self.state.running):
            self.note(AttemptInterrupted(task_id=name, attempt=self.state.records[name].attempt))


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


def check_start(state: RunState, record: TaskRecord, attempt: int, now: int) -> None:
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


def lived(state: RunState) -> dict[str, tuple[State, int, str]]:
    return {name: (record.state, record.attempt, record.reason) for name, record in state.records.items()}


def pipeline_start(plan: Plan, policy: RunPolicy) -> RunStarted:
    return started(*task_graph(plan), policy=policy, kind="pipeline")


@settings(deadline=None, max_examples=100)
@given(task_graphs(), POLICIES, st.integers(0, 10**6))
def test_any_graph_runs_to_its_end_within_its_limits(tasks: tuple[Task, ...], policy: RunPolicy, seed: int) -> None:
    simulation = Simulation(started(*tasks, policy=policy), by_chance(seed), seed)
    check_ends(simulation.run(crash=0.1))
    assert replay(simulation.events) == simulation.state


@settings(deadline=None, max_examples=50)
@given(task_graphs(), POLICIES, st.integers(0, 10**6))
def test_what_becomes_of_a_task_does_not_depend_on_who_finishes_first(
    tasks: tuple[Task, ...], policy: RunPolicy, seed: int
) -> None:
    start = started(*tasks, policy=policy)
    ends = [
        lived(Simulation(start, by_chance(seed), seed).run()),
        lived(Simulation(start, by_chance(seed), seed + 1).run()),
        lived(Simulation(start, by_chance(seed), seed).run(crash=0.2)),
        lived(Simulation(started(*tasks, policy=one_at_a_time(policy)), by_chance(seed), seed).run()),
    ]
    assert all(end == ends[0] for end in ends)


def one_at_a_time(policy: RunPolicy) -> RunPolicy:
    return RunPolicy(max_parallel=1, cpu=policy.cpu, mem_mb=policy.mem_mb, retry=policy.retry)


@settings(deadline=None, max_examples=60)
@given(task_graphs(), POLICIES, st.integers(0, 10**6), st.integers(0, 30))
def test_a_cancelled_run_ends_and_a_resumed_one_goes_on(
    tasks: tuple[Task, ...], policy: RunPolicy, seed: int, cancel_at: int
) -> None:
    simulation = Simulation(started(*tasks, policy=policy), by_chance(seed, 0.9), seed)
    state = simulation.run(cancel_at=cancel_at, crash=0.1)
    check_ends(state)
    simulation.note(RunResumed(by="tester"))
    if added := rounds.reopen_round(state):
        simulation.note(added)
        assert all(record.state == State.PENDING for record in state.current().values() if not record.ended)
    simulation.outcome = by_chance(seed, 1.0)
    state = simulation.run()
    assert state.open == 0
    assert not any(record.reason.startswith("cancelled by") for record in state.current().values())
    assert replay(simulation.events) == state


@settings(deadline=None, max_examples=40)
@given(task_graphs(), POLICIES, st.integers(0, 10**6), st.data())
def test_a_failure_that_stops_the_run_stops_it(
    tasks: tuple[Task, ...], policy: RunPolicy, seed: int, data: st.DataObject
) -> None:
    stopper = data.draw(st.sampled_from(tasks))
    stopping = [changed(t, on_failure="stop", resources=TaskResources()) if t is stopper else t for t in tasks]
    chance = by_chance(seed, 0.9)

    def outcome(record: TaskRecord) -> Transition:
        failed = record.task.id == stopper.id
        return moved(record, State.FAILED, reason="broken", retryable=False) if failed else chance(record)

    simulation = Simulation(started(*stopping, policy=policy), outcome, seed)
    state = simulation.run()
    check_ends(state)
    if state.records[stopper.id].state == State.FAILED:
        assert state.stopped_by == stopper.id
        gave_up = next(n for n, e in enumerate(simulation.events) if isinstance(e, GaveUp) and e.task_id == stopper.id)
        late = {
            e.task_id for e in simulation.events[gave_up:] if isinstance(e, Transition) and e.new_state == "RUNNING"
        }
        assert all(state.records[name].task.trigger == "always" for name in late)


@settings(deadline=None, max_examples=60)
@given(plans(), POLICIES, st.integers(0, 10**6), st.floats(0.7, 1.0))
def test_any_pipeline_runs_to_its_end_and_repairs_no_more_than_allowed(
    plan: Plan, policy: RunPolicy, seed: int, success: float
) -> None:
    simulation = Simulation(pipeline_start(plan, policy), by_chance(seed, success), seed)
    state = simulation.run(crash=0.05)
    check_ends(state)
    assert max(record.task.round for record in state.records.values()) <= 1 + policy.repair_rounds
    archive = state.find("archive")
    assert archive is not None
    assert archive.attempt >= 1
    assert replay(simulation.events) == state


@settings(deadline=None, max_examples=60)
@given(plans(), POLICIES, st.integers(0, 10**6), st.integers(1, 60))
def test_a_person_may_retry_any_task_at_any_moment(plan: Plan, policy: RunPolicy, seed: int, turns: int) -> None:
    simulation = Simulation(pipeline_start(plan, policy), by_chance(seed, 0.85), seed)
    for _ in range(turns):
        for command in decide(simulation.state, simulation.now):
            simulation.perform(command)
        if simulation.state.end is not None:
            break
        if not decide(simulation.state, simulation.now):
            simulation.wait()
    name = simulation.chance.choice(sorted(simulation.state.records))
    simulation.note(RunResumed(by="tester"))
    added = rounds.retry_round(simulation.state, name)
    if not isinstance(added, str):
        simulation.note(added)
    state = simulation.run()
    assert state.open == 0
    assert all(record.ended for record in state.records.values())
    assert replay(simulation.events) == state


@settings(deadline=None, max_examples=20)
@given(task_graphs(6), POLICIES, st.integers(0, 10**6))
def test_replay_is_evolve_event_by_event_and_decide_and_evolve_change_nothing(
    tasks: tuple[Task, ...], policy: RunPolicy, seed: int
) -> None:
    simulation = Simulation(started(*tasks, policy=policy), by_chance(seed), seed)
    simulation.run(crash=0.1)
    state = RunState()
    for event in simulation.events:
        before = copy.deepcopy(state)
        after = evolve(state, event)
        assert state == before
        state = after
        kept = copy.deepcopy(state)
        assert decide(state, simulation.now) == decide(state, simulation.now)
        assert state == kept
    assert state == simulation.state == replay(simulation.events)


@settings(deadline=None, max_examples=15)
@given(plans(3), POLICIES, st.integers(0, 10**6))
def test_evolve_leaves_its_argument_alone_when_rounds_open(plan: Plan, policy: RunPolicy, seed: int) -> None:
    simulation = Simulation(pipeline_start(plan, policy), by_chance(seed, 0.8), seed)
    simulation.run()
    state = RunState()
    for event in simulation.events:
        before = copy.deepcopy(state) if not isinstance(event, Transition) else state
        after = evolve(state, event)
        assert state == before
        state = after
    assert state == simulation.state


def begun(*tasks: Task, policy: RunPolicy | None = None) -> Simulation:
    def success(record: TaskRecord) -> Transition:
        return moved(record, State.COMPLETED)

    return Simulation(started(*tasks, policy=policy), success, 0)


def fail(simulation: Simulation, name: str, *, retryable: bool = False, error_class: str = "") -> None:
    record = simulation.state.records[name]
    simulation.note(moved(record, State.FAILED, reason="broken", retryable=retryable, error_class=error_class))


def step(simulation: Simulation) -> Sequence[Command]:
    commands = decide(simulation.state, simulation.now)
    for command in commands:
        simulation.perform(command)
    return commands


def test_the_ready_start_by_priority_then_id() -> None:
    simulation = begun(Task(id="b"), Task(id="a"), Task(id="c", priority=1), policy=RunPolicy(max_parallel=2))
    assert step(simulation) == [StartAttempt("c", 1), StartAttempt("a", 1)]
    assert step(simulation) == []


def test_a_task_that_does_not_fit_now_lets_a_smaller_one_pass() -> None:
    tasks = (
        Task(id="a", resources=TaskResources(cpu=2)),
        Task(id="b", resources=TaskResources(cpu=2)),
        Task(id="c", resources=TaskResources(cpu=1)),
    )
    simulation = begun(*tasks, policy=RunPolicy(cpu=3))
    assert step(simulation) == [StartAttempt("a", 1), StartAttempt("c", 1)]


@pytest.mark.parametrize(
    ("resources", "reason"),
    [
        (TaskResources(cpu=8), "it needs 8 CPUs, the run has 4"),
        (TaskResources(mem_mb=2048), "it needs 2048 MB of memory, the run has 1024"),
    ],
)
def test_a_task_that_can_never_fit_is_cancelled_rather_than_waited_for(resources: TaskResources, reason: str) -> None:
    simulation = begun(Task(id="a", resources=resources), policy=RunPolicy(cpu=4, mem_mb=1024))
    assert step(simulation) == [CancelTask("a", reason)]
    assert step(simulation) == [EndRun()]


def test_a_retry_waits_for_its_time() -> None:
    simulation = begun(Task(id="a"))
    step(simulation)
    fail(simulation, "a", retryable=True)
    due = simulation.now + 60_000
    assert step(simulation) == [RetryLater("a", due, "attempt 1 of 3: broken")]
    assert step(simulation) == []
    assert wake_at(simulation.state, simulation.now) == due
    simulation.now = due
    assert wake_at(simulation.state, due) is None
    assert step(simulation) == [StartAttempt("a", 2)]


def test_the_error_class_decides_how_often() -> None:
    policy = RunPolicy(retry=RetryPolicy(by_class={"timeout": RetryOverride(max_attempts=1)}))
    simulation = begun(Task(id="a"), policy=policy)
    step(simulation)
    fail(simulation, "a", retryable=True, error_class="timeout")
    assert step(simulation) == [GiveUp("a", "broken")]


def test_a_failure_cancels_what_follows_and_nothing_else() -> None:
    simulation = begun(
        Task(id="a"),
        Task(id="b", dependencies=("a",)),
        Task(id="c", dependencies=("b",)),
        Task(id="other"),
        Task(id="last", dependencies=("c",), trigger="always"),
    )
    step(simulation)
    fail(simulation, "a")
    state = simulation.run()
    assert lived(state) == {
        "a": (State.FAILED, 1, "broken"),
        "b": (State.CANCELLED, 0, "upstream a failed"),
        "c": (State.CANCELLED, 0, "upstream b was cancelled"),
        "other": (State.COMPLETED, 1, ""),
        "last": (State.COMPLETED, 1, ""),
    }


@pytest.mark.parametrize(("value", "end"), [(1, State.COMPLETED), (0, State.SKIPPED)])
def test_a_condition_looks_at_an_output_of_a_dependency(value: int, end: State) -> None:
    condition = Condition(task="a", output="eligible", not_equals=0)
    tasks = (
        Task(id="a"),
        Task(id="b", dependencies=("a",), when=condition),
        Task(id="strict", dependencies=("b",)),
        Task(id="lenient", dependencies=("b",), trigger="completed_or_skipped"),
    )
    simulation = begun(*tasks)
    step(simulation)
    simulation.note(moved(simulation.state.records["a"], State.COMPLETED, outputs={"eligible": value}))
    state = simulation.run()
    assert state.records["b"].state == end
    assert state.records["strict"].state == end
    assert state.records["lenient"].state == State.COMPLETED
    if end == State.SKIPPED:
        assert state.records["b"].reason == "its condition does not hold"
        assert state.records["strict"].reason == "upstream b was skipped"


def test_cancel_kills_what_runs_and_cancels_what_waits() -> None:
    simulation = begun(Task(id="a"), Task(id="b", dependencies=("a",)), Task(id="z", trigger="always"))
    step(simulation)
    simulation.note(IntentReceived(kind="cancel", by="me"))
    assert decide(simulation.state, simulation.now) == [
        KillAttempt("a", "cancelled"),
        CancelTask("b", "cancelled by me"),
    ]


def test_a_refused_cancel_cancels_nothing() -> None:
    simulation = begun(Task(id="a"))
    step(simulation)
    simulation.note(IntentReceived(kind="cancel", by="me", refused="no"))
    assert decide(simulation.state, simulation.now) == []


def test_an_attempt_lost_before_a_cancel_has_no_process_left_to_kill() -> None:
    simulation = begun(Task(id="a"))
    step(simulation)
    simulation.note(IntentReceived(kind="cancel", by="me"))
    simulation.crash()
    assert decide(simulation.state, simulation.now) == [CancelTask("a", "cancelled by me")]


def test_a_failure_during_a_cancel_is_not_retried() -> None:
    simulation = begun(Task(id="a"))
    step(simulation)
    simulation.note(IntentReceived(kind="cancel", by="me"))
    fail(simulation, "a", retryable=True)
    assert decide(simulation.state, simulation.now) == [CancelTask("a", "the run was ended")]


def test_a_lost_attempt_is_taken_up_under_its_own_number() -> None:
    simulation = begun(Task(id="a"))
    step(simulation)
    simulation.crash()
    assert step(simulation) == [StartAttempt("a", 1, again=True)]
    assert step(simulation) == []


def test_an_ended_run_wants_nothing() -> None:
    simulation = begun(Task(id="a"))
    simulation.run()
    assert decide(simulation.state, simulation.now) == []
