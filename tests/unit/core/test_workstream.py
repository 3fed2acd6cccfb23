"""What steps read of each other: it changes at ends, not at retries; a rejected batch stands until there is another."""

from typing import Any

import pytest

from branchline.core.events import AttemptInterrupted, AttemptResumed, GaveUp, Transition
from branchline.core.facts import (
    CiStatus,
    Codegate,
    ExecuteWsComplete,
    IntegrationComplete,
    MergeConflict,
    MergeQueue,
    PlanComplete,
    Preflight,
    ShipComplete,
    StepFact,
    ValidateWsPass,
    WorktreesReady,
    WsCheckpoint,
)
from branchline.core.pipeline import task_graph
from branchline.core.rounds import new_round
from branchline.core.run_state import RunState, replay
from branchline.core.states import State
from branchline.core.workstream import PipelineState, WorkstreamState, known
from strategies import plan, started

READY = WorktreesReady(task_id="task_004_worktree_a", workstream="a", path="w", branch="f", base="b", setup={"x": None})
GATE = "task_006_gate_a"


def gate(tree: str, verdict: Any = "rejected", name: str = GATE) -> Codegate:
    return Codegate(task_id=name, workstream="a", verdict=verdict, batch=tree, tree=tree, report="r")


def fresh() -> RunState:
    return replay([started(*task_graph(plan("a")), kind="pipeline")])


def move(state: RunState, name: str, new: State, **fields: Any) -> None:
    record = state.records[name]
    attempt = record.attempt + (new == State.RUNNING)
    state.apply(Transition(task_id=name, old_state=record.state, new_state=new, attempt=attempt, **fields))


def attempt(state: RunState, name: str, fact: StepFact | None, end: State = State.COMPLETED) -> None:
    move(state, name, State.RUNNING)
    if fact is not None:
        state.apply(fact)
    move(state, name, end, reason="" if end == State.COMPLETED else "why")


def failed(state: RunState, name: str, fact: StepFact | None = None) -> None:
    attempt(state, name, fact, State.FAILED)
    state.apply(GaveUp(task_id=name, reason="why"))


def again(state: RunState, name: str) -> str:
    added = new_round(state, [name], "again", repair=True)
    state.apply(added)
    return added.tasks[0].id


def test_each_step_hands_its_fact_on() -> None:
    state = fresh()
    work = ExecuteWsComplete(task_id="task_005_execute_a", workstream="a", agent="x", status="ok", tree="t", files=())
    taken = WsCheckpoint(task_id="task_007_consume_a", workstream="a", commit="c", tree="t2")
    passed = ValidateWsPass(task_id="task_008_validate_a", workstream="a", commit="c", report="r")
    facts = (READY, work, gate("t2", "approved"), taken, passed)
    for fact in facts:
        attempt(state, fact.task_id, fact)
    one = state.pipeline.of("a")
    assert (one.worktree, one.work, one.batch, one.consumed, one.validated) == facts
    assert (one.base, one.commit, one.tree) == ("b", "c", "t2")
    assert one.rejected is None
    assert one.unfinished == {}


def test_the_run_has_what_is_no_workstreams() -> None:
    state = fresh()
    facts = (
        Preflight(task_id="task_001_preflight", absent=("codex",)),
        PlanComplete(task_id="task_003_planning", workstreams=("a",), digest="d"),
        MergeQueue(task_id="task_009_merge_prep", order=("a",), excluded={}),
        IntegrationComplete(task_id="task_010_merge", branch="i", commit="c", merged=("a",), dropped={}),
        CiStatus(task_id="task_011_pr_ci", commit="c", verdict="passed", report="r"),
        ShipComplete(task_id="task_012_ship", target="main", commit="c", merged=("a",)),
    )
    for fact in facts:
        attempt(state, fact.task_id, fact)
    made = state.pipeline
    assert (made.preflight, made.merge_queue, made.integration, made.ci, made.shipped) == (facts[0], *facts[2:])
    assert made.landed == {"a": "c"}
    failed(state, again(state, "task_012_ship"))
    assert state.pipeline.shipped is None
    assert state.pipeline.landed == {"a": "c"}, "what landed in an earlier round has landed"


def test_a_failure_that_is_retried_takes_nothing_away() -> None:
    state = fresh()
    attempt(state, READY.task_id, READY)
    second = again(state, READY.task_id)
    attempt(state, second, None, State.FAILED)
    assert state.pipeline.of("a").worktree == READY
    move(state, second, State.PENDING, retry_at=0)
    move(state, second, State.RUNNING)
    assert state.pipeline.of("a").worktree == READY
    move(state, second, State.FAILED, reason="why")
    state.apply(GaveUp(task_id=second, reason="why"))
    assert state.pipeline.of("a").worktree is None
    assert state.pipeline.of("a").unfinished == {"worktrees": "why"}


def test_a_rejected_batch_stands_until_there_is_another() -> None:
    state = fresh()
    failed(state, GATE, gate("t1"))
    assert known(state.pipeline.of("a").rejected).tree == "t1"
    second = again(state, GATE)
    failed(state, second)
    assert known(state.pipeline.of("a").rejected).tree == "t1", "its gates could not even begin"
    third = again(state, second)
    failed(state, third, gate("t3", "error", third))
    assert known(state.pipeline.of("a").rejected).tree == "t3"
    fourth = again(state, third)
    move(state, fourth, State.CANCELLED, reason="upstream failed")
    assert known(state.pipeline.of("a").rejected).tree == "t3"
    fifth = again(state, fourth)
    attempt(state, fifth, gate("t5", "approved", fifth))
    assert known(state.pipeline.of("a").batch).tree == "t5"
    failed(state, again(state, fifth))
    assert state.pipeline.of("a").batch is None, "an approved one does not stand"


def test_a_rejected_batch_that_a_repair_supersedes_is_what_the_repair_begins_with() -> None:
    state = fresh()
    attempt(state, GATE, gate("t1"), State.FAILED)
    assert state.pipeline.of("a").batch is None, "nothing has been decided of it"
    again(state, GATE)
    assert known(state.pipeline.of("a").rejected).tree == "t1"


def test_a_person_who_refuses_a_batch_leaves_it_approved() -> None:
    state = fresh()
    attempt(state, GATE, gate("t1", "approved"))
    failed(state, "task_007_consume_a", gate("t1", "rejected", "task_007_consume_a"))
    one = state.pipeline.of("a")
    assert (known(one.batch).verdict, one.consumed, one.unfinished) == ("approved", None, {"consume": "why"})


@pytest.mark.parametrize("end", [State.COMPLETED, State.CANCELLED])
def test_a_conflict_stands_until_the_merge_ends_otherwise(end: State) -> None:
    merge, state = "task_010_merge", fresh()
    conflict = MergeConflict(task_id=merge, workstream="a", tree="t", tip="c", commit="d")
    attempt(state, merge, conflict, State.FAILED)
    second = again(state, merge)
    assert state.pipeline.conflict == conflict
    move(state, second, State.RUNNING)
    assert state.pipeline.conflict == conflict
    move(state, second, end, reason="why")
    made = state.pipeline
    assert made.conflict is None
    assert made.integration is None


def test_the_fact_of_a_lost_attempt_is_not_the_next_ones() -> None:
    state = fresh()
    move(state, READY.task_id, State.RUNNING)
    state.apply(READY)
    state.apply(AttemptInterrupted(task_id=READY.task_id, attempt=1))
    state.apply(AttemptResumed(task_id=READY.task_id, attempt=1))
    move(state, READY.task_id, State.COMPLETED)
    assert state.records[READY.task_id].fact is None
    assert state.pipeline.of("a").worktree is None


def test_what_is_told_of_a_task_that_has_ended_is_not_its_own() -> None:
    state, name = fresh(), "task_003_planning"
    done = PlanComplete(task_id=name, workstreams=("a",), digest="d")
    attempt(state, name, done)
    state.apply(PlanComplete(task_id=name, workstreams=("a",), digest="d", by="me"))
    assert state.records[name].fact == done


def test_what_a_task_has_handed_on_is_its_fact_whole_or_its_outputs() -> None:
    state = fresh()
    attempt(state, "task_009_merge_prep", MergeQueue(task_id="task_009_merge_prep", order=("a",), excluded={}))
    assert state.records["task_009_merge_prep"].handed_on() == {
        "order": ["a"],
        "excluded": {},
        "conflicts": [],
        "queue": "",
        "eligible": 1,
    }
    move(state, GATE, State.RUNNING)
    move(state, GATE, State.FAILED, hint="type this", traceback="Traceback")
    assert state.records[GATE].handed_on() == {"hint": "type this", "traceback": "Traceback"}


def test_a_state_that_was_given_away_stays_as_it_was() -> None:
    state = fresh()
    attempt(state, READY.task_id, READY)
    given = state.pipeline
    move(state, GATE, State.RUNNING)
    state.apply(gate("t1", "approved"))
    assert state.pipeline is given
    state.apply(Transition(task_id=GATE, old_state=State.RUNNING, new_state=State.COMPLETED, attempt=1))
    assert given.of("a").batch is None
    assert known(state.pipeline.of("a").batch).tree == "t1"
    assert PipelineState().of("nobody") == WorkstreamState()
