import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from branchline.core.events import (
    AttemptInterrupted,
    AttemptResumed,
    GaveUp,
    IntentReceived,
    RunEnded,
    RunPolicy,
    RunResumed,
    TasksAdded,
    Transition,
)
from branchline.core.facts import Codegate, MergeConflict, PlanComplete, PlanProposed
from branchline.core.graph import order_ids
from branchline.core.model.plan import Plan
from branchline.core.pipeline import (
    CHAIN,
    STEPS,
    growth,
    merge_order,
    no_repair,
    planning_graph,
    repair_round,
    task_graph,
)
from branchline.core.rounds import reopen_round, retry_round
from branchline.core.run_state import RunState, replay
from branchline.core.scheduler import decide
from branchline.core.states import State
from strategies import after, beginning, begins, plan, plans, started, workstream

EIGHTEEN = {
    "task_001_preflight": [],
    "task_002_run_init": ["task_001_preflight"],
    "task_003_planning": ["task_002_run_init"],
    "task_004_worktree_a": ["task_003_planning"],
    "task_005_worktree_b": ["task_003_planning"],
    "task_006_execute_a": ["task_004_worktree_a"],
    "task_007_execute_b": ["task_005_worktree_b"],
    "task_008_gate_a": ["task_006_execute_a"],
    "task_009_gate_b": ["task_007_execute_b"],
    "task_010_consume_a": ["task_008_gate_a"],
    "task_011_consume_b": ["task_009_gate_b"],
    "task_012_validate_a": ["task_010_consume_a"],
    "task_013_validate_b": ["task_011_consume_b"],
    "task_014_merge_prep": ["task_012_validate_a", "task_013_validate_b"],
    "task_015_merge": ["task_014_merge_prep"],
    "task_016_pr_ci": ["task_015_merge"],
    "task_017_ship": ["task_016_pr_ci"],
    "task_018_archive": ["task_017_ship"],
}


def test_thirteen_steps_numbered_from_zero() -> None:
    assert [step.number for step in STEPS] == list(range(13))
    assert len({step.name for step in STEPS}) == 13
    assert CHAIN == ("worktrees", "execute", "code_gate", "consume", "validate")
    assert {step.name: step.checkpoint for step in STEPS if step.checkpoint} == {
        "preflight": "preflight",
        "run_init": "run-init",
        "planning": "plan-complete",
        "consume": "codegate",
        "validate": "validate-pass",
        "merge": "integration-complete",
        "ship": "ship-complete",
    }


def test_two_workstreams_make_exactly_the_eighteen_tasks_of_the_contract() -> None:
    tasks = task_graph(plan("a", "b"))
    assert {task.id: list(task.dependencies) for task in tasks} == EIGHTEEN
    assert [task.id for task in tasks] == sorted(EIGHTEEN)
    assert {task.id for task in tasks if task.on_failure == "stop"} == {
        "task_001_preflight",
        "task_002_run_init",
        "task_003_planning",
    }
    assert {task.id: task.trigger for task in tasks if task.trigger != "completed"} == {
        "task_014_merge_prep": "ended",
        "task_018_archive": "always",
    }


def test_a_worktree_waits_for_the_workstreams_it_builds_on() -> None:
    tasks = {task.id: task for task in task_graph(plan("a", workstream("b", "a", priority=3)))}
    assert tasks["task_005_worktree_b"].dependencies == ("task_003_planning", "task_012_validate_a")
    assert tasks["task_004_worktree_a"].dependencies == ("task_003_planning",)
    assert tasks["task_007_execute_b"].dependencies == ("task_005_worktree_b",)
    assert tasks["task_005_worktree_b"].priority == 3


@settings(deadline=None, max_examples=40)
@given(plans(6), st.randoms(use_true_random=False))
def test_n_workstreams_make_5n_and_8_tasks_and_merge_in_an_order_of_their_own(
    made: Plan, chance: random.Random
) -> None:
    tasks = task_graph(made)
    assert len(tasks) == 5 * len(made.workstreams) + 8
    assert len(order_ids(tasks)) == len(tasks)
    order = merge_order(made)
    shuffled = plan(*chance.sample(made.workstreams, len(made.workstreams)))
    assert merge_order(shuffled) == order
    place = {name: number for number, name in enumerate(order)}
    assert all(place[wanted] < place[w.id] for w in made.workstreams for wanted in w.depends_on)


def test_merge_order_is_priority_then_id() -> None:
    assert merge_order(plan("c", "b", workstream("a", "c"), workstream("d", priority=1))) == ("d", "b", "c", "a")


def until(state: RunState, last: str, **fields: Any) -> RunState:
    """The state once `last` has failed and everything before it is completed."""
    for name in order_ids([record.task for record in state.records.values()]):
        record = state.records[name]
        if record.ended:
            continue
        state.apply(Transition(task_id=name, attempt=1, old_state=State.PENDING, new_state=State.RUNNING))
        if name == last and "fact" in fields:
            state.apply(fields.pop("fact"))
        new, more = (State.FAILED, fields) if name == last else (State.COMPLETED, {})
        state.apply(
            Transition(task_id=name, attempt=1, old_state=State.RUNNING, new_state=new, retryable=False, **more)
        )
        if name == last:
            return state
    pytest.fail(f"there is no {last}")


def fresh(repair_rounds: int = 2) -> RunState:
    tasks = task_graph(plan("a", "b"))
    return replay([started(*tasks, policy=RunPolicy(repair_rounds=repair_rounds), kind="pipeline")])


def test_a_rejected_batch_goes_back_to_its_agent_in_a_new_round() -> None:
    state = until(fresh(), "task_008_gate_a", error_class="rejected", reason="ruff: 3 errors")
    added = repair_round(state, state.records["task_008_gate_a"], 0)
    assert added is not None
    assert added.reason == "repair of a: ruff: 3 errors"
    assert added.replaces == {
        "task_006_execute_a_r2": "task_006_execute_a",
        "task_008_gate_a_r2": "task_008_gate_a",
    }
    assert [(t.id, t.dependencies, t.round, t.origin) for t in added.tasks] == [
        ("task_006_execute_a_r2", ("task_004_worktree_a",), 2, "task_006_execute_a"),
        ("task_008_gate_a_r2", ("task_006_execute_a_r2",), 2, "task_008_gate_a"),
    ]
    assert added.rewired == {"task_010_consume_a": ("task_008_gate_a_r2",)}
    state.apply(added)
    assert state.ready == {"task_006_execute_a_r2", "task_009_gate_b"}
    assert state.records["task_008_gate_a"].ended
    assert state.find("code_gate", "a") is state.records["task_008_gate_a_r2"]


@pytest.mark.parametrize("allowed", [0, 1, 2])
def test_no_more_rounds_than_allowed(allowed: int) -> None:
    state = until(fresh(allowed), "task_008_gate_a", error_class="rejected")
    last, rounds = "task_008_gate_a", 0
    while added := repair_round(state, state.records[last], 0):
        rounds += 1
        state.apply(added)
        last = f"task_008_gate_a_r{rounds + 1}"
        until(state, last, error_class="rejected")
    assert rounds == allowed


def test_a_conflict_redoes_the_workstream_and_the_merge() -> None:
    fact = MergeConflict(task_id="task_015_merge", workstream="b", tree="t", tip="c", commit="d")
    state = until(fresh(), "task_015_merge", error_class="conflict", reason="x.py", fact=fact)
    added = repair_round(state, state.records["task_015_merge"], 0)
    assert added is not None
    assert {old: (new, t.round) for (new, old), t in zip(added.replaces.items(), added.tasks, strict=True)} == {
        "task_007_execute_b": ("task_007_execute_b_r2", 2),
        "task_009_gate_b": ("task_009_gate_b_r2", 2),
        "task_011_consume_b": ("task_011_consume_b_r2", 2),
        "task_013_validate_b": ("task_013_validate_b_r2", 2),
        "task_014_merge_prep": ("task_014_merge_prep_r2", 1),
        "task_015_merge": ("task_015_merge_r2", 1),
    }
    wanted = {task.id: task.dependencies for task in added.tasks}
    assert wanted["task_014_merge_prep_r2"] == ("task_012_validate_a", "task_013_validate_b_r2")
    assert added.rewired == {"task_016_pr_ci": ("task_015_merge_r2",)}


@pytest.mark.parametrize(
    ("last", "fields"),
    [
        ("task_008_gate_a", {"error_class": "error"}),
        ("task_012_validate_a", {"error_class": "rejected"}),
        ("task_015_merge", {"error_class": "conflict"}),
        ("task_015_merge", {"error_class": "rejected"}),
    ],
)
def test_nothing_else_is_repaired(last: str, fields: dict[str, str]) -> None:
    state = until(fresh(), last, **fields)
    assert repair_round(state, state.records[last], 0) is None


def repaired(policy: RunPolicy, at: int, spent: float | None = 0) -> str:
    """Why a batch of workstream a that was first rejected at 1,000 ms gets no repair at `at` ms."""
    state = replay([started(*task_graph(plan("a", "b")), policy=policy, kind="pipeline")])
    state.apply(
        Codegate(
            task_id="task_008_gate_a", workstream="a", verdict="rejected", batch="a-1", tree="t", report="r", at=1000
        )
    )
    if spent != 0:
        state.spending.pay("task_006_execute_a", "a", spent, repair=True)
    return no_repair(state, state.records["task_006_execute_a"].task, at)


def test_repairs_end_with_their_time_and_their_money() -> None:
    assert repaired(RunPolicy(repair_rounds=2), 10**9, 100) == ""
    assert repaired(RunPolicy(repair_rounds=2, repair_ms=500), 1499) == ""
    assert repaired(RunPolicy(repair_rounds=2, repair_ms=500), 1500) == "repair.time (0.5 s) is over"
    assert repaired(RunPolicy(repair_rounds=2, repair_usd=2), 0, 1.99) == ""
    assert repaired(RunPolicy(repair_rounds=2, repair_usd=2), 0, 2.0) == "repair.usd ($2.00) is spent"
    assert repaired(RunPolicy(repair_rounds=2, repair_usd=2), 0, None) == "what its repairs cost is unknown"
    assert repaired(RunPolicy(repair_rounds=2), 0, None) == ""
    assert repaired(RunPolicy(repair_rounds=0), 0) == "repair.rounds (0) are used up"


def planned(*, approve: bool = False) -> RunState:
    """A run without a plan whose first two steps are done."""
    policy = RunPolicy(approve_plan=approve)
    state = replay([started(*planning_graph(), policy=policy, kind="pipeline")])
    for name in ("task_001_preflight", "task_002_run_init"):
        move(state, name, State.RUNNING)
        move(state, name, State.COMPLETED)
    move(state, "task_003_planning", State.RUNNING)
    return state


def move(state: RunState, name: str, new: State, **fields: Any) -> None:
    record = state.records[name]
    state.apply(Transition(task_id=name, attempt=1, old_state=record.state, new_state=new, **fields))


def accept(state: RunState, made: Plan) -> None:
    data = msgspec.to_builtins(made)
    state.apply(PlanComplete(task_id="task_003_planning", workstreams=made.ids, digest="d", by="user", plan=data))


def test_a_run_without_a_plan_begins_with_the_first_three_tasks() -> None:
    assert planning_graph() == task_graph(plan("a"))[:3]


def test_a_plan_that_was_made_adds_exactly_the_tasks_that_a_given_one_would_have_had() -> None:
    state = planned()
    accept(state, plan("a", "b"))
    assert growth(state) is None, "the step that makes it has not ended"
    move(state, "task_003_planning", State.COMPLETED)
    added = growth(state)
    assert added is not None
    state.apply(added)
    assert {name: list(record.task.dependencies) for name, record in state.records.items()} == EIGHTEEN
    assert growth(state) is None


def test_a_proposed_plan_waits() -> None:
    state = planned(approve=True)
    state.apply(PlanProposed(task_id="task_003_planning", plan=msgspec.to_builtins(plan("a")), digest="d"))
    move(state, "task_003_planning", State.COMPLETED)
    assert decide(state, 0) == []
    waiting = after(state, PlanComplete(task_id="task_003_planning", workstreams=(), digest="d")).awaiting
    assert waiting, "a plan that was accepted without its text is not there"
    accept(state, plan("b"))
    assert not state.awaiting
    assert [one for one in decide(state, 0) if isinstance(one, TasksAdded)]


def test_a_run_that_gets_no_plan_is_archived_all_the_same_and_a_later_plan_keeps_that_archive() -> None:
    state = planned()
    move(state, "task_003_planning", State.FAILED, retryable=False, reason="no plan")
    state.apply(GaveUp(task_id="task_003_planning", reason="no plan"))
    added = growth(state)
    assert added is not None
    state.apply(added)
    assert beginning(decide(state, 0)) == ["task_004_archive"]
    assert growth(state) is None
    move(state, "task_004_archive", State.RUNNING)
    move(state, "task_004_archive", State.COMPLETED)
    assert decide(state, 0) == [RunEnded(status="failed", exit_code=1, reason="no plan")]
    state.apply(RunEnded(status="failed", exit_code=1))
    state.apply(RunResumed(by="user"))
    again = reopen_round(state)
    assert again is not None
    state.apply(again)
    move(state, "task_003_planning_r2", State.RUNNING)
    accept(state, plan("a"))
    move(state, "task_003_planning_r2", State.COMPLETED)
    grown = growth(state)
    assert grown is not None
    state.apply(grown)
    archives = [record for record in state.records.values() if record.task.step == "archive"]
    assert [record.task.id for record in archives] == ["task_004_archive", "task_004_archive_r2"]
    assert archives[1].task.dependencies == ("task_012_ship",)
    assert state.records["task_004_worktree_a"].task.dependencies == ("task_003_planning_r2",)


def propose(state: RunState) -> None:
    state.apply(PlanProposed(task_id="task_003_planning", plan=msgspec.to_builtins(plan("a")), digest="d"))


def test_a_plan_that_was_proposed_by_a_lost_attempt_waits_for_nobody() -> None:
    state = planned(approve=True)
    propose(state)
    assert not state.awaiting, "what was written of the attempt does not reach to its end"
    state.apply(AttemptInterrupted(task_id="task_003_planning", attempt=1))
    assert decide(state, 0) == [AttemptResumed(task_id="task_003_planning", attempt=1)]


def test_a_plan_that_is_made_again_waits_for_nobody_meanwhile() -> None:
    state = planned(approve=True)
    propose(state)
    move(state, "task_003_planning", State.COMPLETED)
    assert after(state, RunResumed(by="user")).awaiting
    added = retry_round(state, "task_003_planning")
    assert not isinstance(added, str)
    state.apply(added)
    assert not state.awaiting
    move(state, "task_003_planning_r2", State.RUNNING)
    move(state, "task_003_planning_r2", State.FAILED, retryable=True, retry_at=10)
    assert not state.awaiting


def test_the_archive_of_a_run_that_was_taken_up_again_waits_until_the_plan_is_accepted() -> None:
    state = planned(approve=True)
    move(state, "task_003_planning", State.FAILED, retryable=False, reason="no plan")
    state.apply(GaveUp(task_id="task_003_planning", reason="no plan"))
    grown = growth(state)
    assert grown is not None
    state.apply(grown)
    move(state, "task_004_archive", State.RUNNING)
    move(state, "task_004_archive", State.COMPLETED)
    state.apply(RunEnded(status="failed", exit_code=1))
    state.apply(RunResumed(by="user"))
    again = reopen_round(state)
    assert again is not None
    state.apply(again)
    move(state, "task_003_planning_r2", State.RUNNING)
    state.apply(PlanProposed(task_id="task_003_planning_r2", plan=msgspec.to_builtins(plan("a")), digest="d"))
    move(state, "task_003_planning_r2", State.COMPLETED)
    assert state.ready == {"task_004_archive_r2"}
    assert decide(state, 0) == []


@pytest.mark.parametrize("end", [State.CANCELLED, State.SKIPPED])
def test_a_planner_that_may_not_start_ends_the_run_with_an_archive_and_the_reason(end: State) -> None:
    state = replay([started(*planning_graph(), kind="pipeline")])
    for name in ("task_001_preflight", "task_002_run_init"):
        move(state, name, State.RUNNING)
        move(state, name, State.COMPLETED)
    move(state, "task_003_planning", end, reason="the budget is spent", error_class="budget")
    added = growth(state)
    assert added is not None
    state.apply(added)
    assert decide(state, 0) == [begins("task_004_archive")]
    move(state, "task_004_archive", State.RUNNING)
    move(state, "task_004_archive", State.COMPLETED)
    assert decide(state, 0) == [RunEnded(status="failed", exit_code=1, reason="the budget is spent")]


def test_a_cancelled_run_that_waits_for_its_plan_ends() -> None:
    state = planned(approve=True)
    state.apply(PlanProposed(task_id="task_003_planning", plan=msgspec.to_builtins(plan("a")), digest="d"))
    move(state, "task_003_planning", State.COMPLETED)
    state.apply(IntentReceived(kind="cancel", by="user"))
    assert not state.awaiting
    added = growth(state)
    assert added is not None
    state.apply(added)
    assert beginning(decide(state, 0)) == ["task_004_archive"]


def test_a_graph_of_the_users_own_does_not_grow() -> None:
    assert growth(replay([started(*planning_graph())])) is None
