import copy
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from branchline.core import rounds
from branchline.core.budget import Budget
from branchline.core.events import (
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
from branchline.core.model.plan import Plan
from branchline.core.pipeline import planning_graph, task_graph
from branchline.core.retry import RetryOverride, RetryPolicy
from branchline.core.run_state import RunState, TaskRecord, replay
from branchline.core.scheduler import KillAttempt, Wanted, decide, wake_at
from branchline.core.states import State
from simulation import ROUNDING, Simulation, by_chance, check_ends, moved
from strategies import BUDGETS, POLICIES, begins, cancelled, changed, plan, plans, started, task_graphs


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


def planned_start(policy: RunPolicy, *, approve: bool = False, budget: Budget | None = None) -> RunStarted:
    paid = ("planning", "execute", "code_gate")
    rules = msgspec.structs.replace(policy, approve_plan=approve, budget=budget or Budget(), paid_steps=paid)
    return started(*planning_graph(), policy=rules, kind="pipeline")


@settings(deadline=None, max_examples=40)
@given(plans(), plans(3), POLICIES, st.integers(0, 10**6), st.booleans())
def test_a_plan_that_is_made_or_accepted_is_carried_out_as_a_given_one_would_be(
    proposed: Plan, edited: Plan, policy: RunPolicy, seed: int, approve: bool
) -> None:
    chance = by_chance(seed, 0.85)
    simulation = Simulation(planned_start(policy, approve=approve), chance, seed, plan=proposed, answer=edited)
    state = simulation.run(crash=0.1)
    check_ends(state)
    archive = state.find("archive")
    assert archive is not None
    assert archive.attempt >= 1
    assert replay(simulation.events) == state
    if state.fanned_out:
        given_plan = pipeline_start(edited if approve else proposed, policy)
        assert lived(state) == lived(Simulation(given_plan, chance, seed).run())
    else:
        assert [record.task.step for record in state.records.values()][3:] == ["archive"]


@settings(deadline=None, max_examples=30)
@given(plans(), POLICIES, st.integers(0, 10**6), st.integers(-1, 25))
def test_a_plan_that_is_refused_starts_nothing_and_is_archived(
    plan: Plan, policy: RunPolicy, seed: int, cancel_at: int
) -> None:
    simulation = Simulation(planned_start(policy, approve=True), by_chance(seed, 0.95), seed, plan=plan, answer="no")
    state = simulation.run(cancel_at=cancel_at, crash=0.1)
    check_ends(state)
    assert state.cancel_requested or state.stopped_by
    assert [(r.task.step, r.ended) for r in state.records.values()][3:] == [("archive", True)]
    assert replay(simulation.events) == state


@settings(deadline=None, max_examples=100)
@given(plans(), POLICIES, BUDGETS, st.integers(0, 10**6), st.booleans())
def test_no_run_spends_more_than_it_may_and_more_money_takes_it_on(
    plan: Plan, policy: RunPolicy, budget: Budget, seed: int, approve: bool
) -> None:
    start = planned_start(policy, approve=approve, budget=budget)
    simulation = Simulation(start, by_chance(seed, 0.9), seed, plan=plan, answer=plan)
    state = simulation.run(crash=0.1)
    check_ends(state)
    archive = state.find("archive")
    assert archive is not None
    assert archive.attempt >= 1
    assert not state.spending.total.reserved
    assert simulation.told <= state.spending.total.spent + ROUNDING
    assert budget.run is None or simulation.burnt <= budget.run + ROUNDING
    assert replay(simulation.events) == state
    if any(record.error_class == "budget" for record in state.current().values()):
        simulation.note(RunResumed(by="tester", budget=Budget(attempt=1, run=10_000, unknown="allow")))
        added = rounds.reopen_round(state)
        assert added is not None
        simulation.note(added)
        state = simulation.run(crash=0.1)
        assert state.open == 0
        assert not any(record.error_class == "budget" for record in state.current().values())


@settings(deadline=None, max_examples=60)
@given(plans(), POLICIES, st.integers(0, 10**6), st.integers(1, 60))
def test_a_person_may_retry_any_task_at_any_moment(plan: Plan, policy: RunPolicy, seed: int, turns: int) -> None:
    simulation = Simulation(pipeline_start(plan, policy), by_chance(seed, 0.85), seed)
    for _ in range(turns):
        for wanted in decide(simulation.state, simulation.now):
            simulation.perform(wanted)
        if simulation.state.end is not None:
            break
        if not decide(simulation.state, simulation.now):
            simulation.wait(crash=0)
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
def test_replay_is_apply_event_by_event_and_decide_changes_nothing(
    tasks: tuple[Task, ...], policy: RunPolicy, seed: int
) -> None:
    simulation = Simulation(started(*tasks, policy=policy), by_chance(seed), seed)
    simulation.run(crash=0.1)
    state = RunState()
    for event in simulation.events:
        state.apply(event)
        kept = copy.deepcopy(state)
        assert decide(state, simulation.now) == decide(state, simulation.now)
        assert state == kept
    assert state == simulation.state == replay(simulation.events)


def begun(*tasks: Task, policy: RunPolicy | None = None) -> Simulation:
    def success(record: TaskRecord) -> Transition:
        return moved(record, State.COMPLETED)

    return Simulation(started(*tasks, policy=policy), success, 0)


def fail(simulation: Simulation, name: str, *, retryable: bool = False, error_class: str = "") -> None:
    record = simulation.state.records[name]
    simulation.note(moved(record, State.FAILED, reason="broken", retryable=retryable, error_class=error_class))


def step(simulation: Simulation) -> Sequence[Wanted]:
    wanted = decide(simulation.state, simulation.now)
    for one in wanted:
        simulation.perform(one)
    return wanted


def test_the_ready_start_by_priority_then_id() -> None:
    simulation = begun(Task(id="b"), Task(id="a"), Task(id="c", priority=1), policy=RunPolicy(max_parallel=2))
    assert step(simulation) == [begins("c"), begins("a")]
    assert step(simulation) == []


def test_a_task_that_does_not_fit_now_lets_a_smaller_one_pass() -> None:
    tasks = (
        Task(id="a", resources=TaskResources(cpu=2)),
        Task(id="b", resources=TaskResources(cpu=2)),
        Task(id="c", resources=TaskResources(cpu=1)),
    )
    simulation = begun(*tasks, policy=RunPolicy(cpu=3))
    assert step(simulation) == [begins("a"), begins("c")]


@pytest.mark.parametrize(
    ("resources", "reason"),
    [
        (TaskResources(cpu=8), "it needs 8 CPUs, the run has 4"),
        (TaskResources(mem_mb=2048), "it needs 2048 MB of memory, the run has 1024"),
    ],
)
def test_a_task_that_can_never_fit_is_cancelled_rather_than_waited_for(resources: TaskResources, reason: str) -> None:
    simulation = begun(Task(id="a", resources=resources), policy=RunPolicy(cpu=4, mem_mb=1024))
    assert step(simulation) == [cancelled(TaskRecord(Task(id="a")), reason)]
    assert step(simulation) == [RunEnded(status="failed", exit_code=1, reason=reason)]


def test_a_retry_waits_for_its_time() -> None:
    simulation = begun(Task(id="a"))
    step(simulation)
    fail(simulation, "a", retryable=True)
    due = simulation.now + 60_000
    failed = simulation.state.records["a"]
    again = moved(failed, State.PENDING, retry_at=due, reason="attempt 1 of 3: broken")
    assert step(simulation) == [again]
    assert step(simulation) == []
    assert wake_at(simulation.state, simulation.now) == due
    simulation.now = due
    assert wake_at(simulation.state, due) is None
    assert step(simulation) == [begins("a", 2)]


def test_the_error_class_decides_how_often() -> None:
    policy = RunPolicy(retry=RetryPolicy(by_class={"timeout": RetryOverride(max_attempts=1)}))
    simulation = begun(Task(id="a"), policy=policy)
    step(simulation)
    fail(simulation, "a", retryable=True, error_class="timeout")
    assert step(simulation) == [GaveUp(task_id="a", reason="broken")]


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
        cancelled(simulation.state.records["b"], "cancelled by me"),
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
    assert decide(simulation.state, simulation.now) == [cancelled(simulation.state.records["a"], "cancelled by me")]


def test_a_failure_during_a_cancel_is_not_retried() -> None:
    simulation = begun(Task(id="a"))
    step(simulation)
    simulation.note(IntentReceived(kind="cancel", by="me"))
    fail(simulation, "a", retryable=True)
    assert decide(simulation.state, simulation.now) == [cancelled(simulation.state.records["a"], "the run was ended")]


def test_a_lost_attempt_is_taken_up_under_its_own_number() -> None:
    simulation = begun(Task(id="a"))
    step(simulation)
    simulation.crash()
    assert step(simulation) == [AttemptResumed(task_id="a", attempt=1)]
    assert step(simulation) == []


def test_an_ended_run_wants_nothing() -> None:
    simulation = begun(Task(id="a"))
    simulation.run()
    assert decide(simulation.state, simulation.now) == []


def test_a_ship_that_may_be_done_is_looked_at_before_a_cancel_ends_it() -> None:
    state = replay([pipeline_start(plan("a"), RunPolicy())])
    for name in [name for name in state.records if "ship" not in name and "archive" not in name]:
        state.apply(moved(state.records[name], State.RUNNING, attempt=1))
        state.apply(moved(state.records[name], State.COMPLETED, outputs={"eligible": 1}))
    (ship,) = [name for name in state.records if "ship" in name]
    state.apply(moved(state.records[ship], State.RUNNING, attempt=1))
    state.apply(AttemptInterrupted(task_id=ship, attempt=1))
    state.apply(IntentReceived(kind="cancel", by="me"))
    assert decide(state, 0) == [AttemptResumed(task_id=ship, attempt=1)]
    state.apply(AttemptResumed(task_id=ship, attempt=1))
    assert decide(state, 0) == [KillAttempt(ship, "cancelled")]
