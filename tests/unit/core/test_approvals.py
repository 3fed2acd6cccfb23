from typing import Any

import pytest

from branchline.core.approvals import chosen, objection, sentence, waiting_for
from branchline.core.events import ApprovalDecided, GaveUp, IntentReceived, RolledBack, RunEnded, TasksAdded, Transition
from branchline.core.facts import ApprovalNeeded, Codegate, Concern, Fact, IntegrationComplete
from branchline.core.outcome import workstream_outcomes
from branchline.core.pipeline import repair_round, task_graph
from branchline.core.rounds import retry_round
from branchline.core.run_state import RunState, replay
from branchline.core.scheduler import decide
from branchline.core.states import State
from strategies import after, begins, plan, started

CI = Concern(kind="protected", path="ci.yml", reason="is protected (added)")
SHIP = Concern(kind="ship", reason="approvals.ship asks first")


def needed(step: str = "consume", workstream: str = "a", tree: str = "t1", *concerns: Concern) -> ApprovalNeeded:
    return ApprovalNeeded(
        task_id="x", step=step, workstream=workstream, tree=tree, base="b", concerns=concerns or (CI,)
    )


def judged(workstream: str = "a", tree: str = "t1") -> Codegate:
    gate = {"a": "task_008_gate_a", "b": "task_009_gate_b"}[workstream]
    return Codegate(
        task_id=gate, workstream=workstream, verdict="approved", batch="b", tree=tree, report="r", given=tree
    )


def said(task_id: str, tree: str, verdict: str = "approved") -> ApprovalDecided:
    return ApprovalDecided(
        task_id=task_id, tree=tree, verdict="approved" if verdict == "approved" else "rejected", by="alice"
    )


def merged() -> IntegrationComplete:
    return IntegrationComplete(task_id="task_015_merge", branch="i", commit="c", merged=("a", "b"), dropped={})


def carried_on(state: RunState, facts: dict[str, tuple[Fact, ...]] | None = None) -> RunState:
    """Perform what is decided, each attempt at once and well, until nothing is; `facts` of a step and workstream."""
    while wanted := decide(state, 0):
        for one in wanted:
            if state.open == 0:
                return state
            if not isinstance(one, Transition):
                pytest.fail(f"not expected here: {one}")
            state.apply(one)
            if one.new_state == State.RUNNING:
                task = state.records[one.task_id].task
                for fact in (facts or {}).get(f"{task.step}/{task.workstream}", ()):
                    state.apply(fact)
                move(state, one.task_id, State.COMPLETED)
    return state


def move(state: RunState, name: str, new: State, **fields: Any) -> None:
    record = state.records[name]
    fields.setdefault("attempt", record.attempt)
    state.apply(Transition(task_id=name, old_state=record.state, new_state=new, **fields))


def two(facts: dict[str, tuple[Fact, ...]]) -> RunState:
    return carried_on(replay([started(*task_graph(plan("a", "b")), kind="pipeline")]), facts)


A, B = "task_010_consume_a", "task_011_consume_b"


def test_a_batch_waits_while_the_others_go_on() -> None:
    state = two({"code_gate/a": (judged(), needed())})
    assert state.records[A].state == State.PENDING
    assert state.records["task_013_validate_b"].state == State.COMPLETED
    assert list(state.waiting) == [A]
    assert state.awaiting
    assert decide(state, 10**15) == [], "no time makes it go on"
    assert waiting_for(state, "consume", "a") == needed()
    assert waiting_for(state, "consume", "b") is waiting_for(state, "nothing") is None
    first, second = workstream_outcomes(state)
    assert (first.state, first.step) == (State.PENDING, "consume")
    assert first.reason == "waits for approval: ci.yml is protected (added)"
    assert second.state == State.RUNNING


@pytest.mark.parametrize("verdict", ["approved", "rejected"])
def test_a_word_on_it_lets_its_task_start(verdict: str) -> None:
    state = two({"code_gate/a": (judged(), needed())})
    state.apply(said(A, "t1", verdict))
    assert not state.waiting
    assert not state.awaiting
    assert decide(state, 0) == [begins(A)], "a no is the step's to tell"


@pytest.mark.parametrize(("task_id", "tree"), [(A, "t2"), (B, "t1"), ("task_008_gate_a", "t1")])
def test_a_word_on_another_tree_or_task_changes_nothing(task_id: str, tree: str) -> None:
    state = two({"code_gate/a": (judged(), needed())})
    assert objection(state, task_id, tree)
    state.apply(said(task_id, tree))
    assert list(state.waiting) == [A]
    assert objection(state, A, "t1") == ""


def test_a_batch_that_changes_waits_again() -> None:
    state = two({"code_gate/a": (judged(), needed())})
    state.apply(said(A, "t1"))
    state.apply(judged(tree="t2"))
    assert state.held(A) is None, "the new batch needs nobody"
    state.apply(needed("consume", "a", "t2"))
    assert list(state.waiting) == [A]


def test_what_a_person_rejected_waits_again_when_it_is_redone() -> None:
    state = two({"code_gate/a": (judged(), needed())})
    state.apply(said(A, "t1", "rejected"))
    move(state, A, State.RUNNING, attempt=1)
    state.apply(Codegate(task_id=A, workstream="a", verdict="rejected", batch="b", tree="t1", report="r"))
    move(state, A, State.FAILED, error_class="rejected", retryable=False)
    state.apply(GaveUp(task_id=A, reason="no"))
    added = retry_round(state, A)
    assert not isinstance(added, str)
    state.apply(added)
    assert list(state.waiting) == [f"{A}_r2"]


def test_a_cancelled_or_stopped_run_waits_for_nobody() -> None:
    state = two({"code_gate/a": (judged(), needed())})
    state.apply(IntentReceived(kind="cancel", by="me"))
    assert not state.awaiting
    carried_on(state)
    assert state.records[A].state == State.CANCELLED


def test_nobody_waits_while_something_else_can_still_go_on() -> None:
    state = two({"code_gate/a": (judged(), needed())})
    other = two({"code_gate/a": (judged(), needed()), "code_gate/b": (judged("b"), needed("consume", "b"))})
    assert list(other.waiting) == [A, B]
    other.apply(said(A, "t1"))
    assert not other.awaiting, "a can start"
    move(other, A, State.RUNNING, attempt=1)
    assert not other.awaiting, "a runs"
    move(other, A, State.FAILED, retryable=False)
    assert not other.awaiting, "what becomes of a is not decided"
    assert after(state, RunEnded(status="failed", exit_code=1)).waiting


def test_shipping_waits_and_a_new_merge_waits_again() -> None:
    state = two({"merge/": (merged(), needed("ship", "", "t1", SHIP))})
    ship = "task_017_ship"
    assert list(state.waiting) == [ship]
    reason = "merged, waits for approval: approvals.ship asks first"
    assert [(w.state, w.reason, w.step) for w in workstream_outcomes(state)] == [(State.PENDING, reason, "ship")] * 2
    again = after(state, merged())
    assert not again.waiting, "the new merge needs nobody"
    state.apply(said(ship, "t1"))
    move(state, ship, State.RUNNING, attempt=1)
    state.apply(needed("ship", "", "t2", SHIP))
    move(state, ship, State.FAILED, error_class="unapproved", reason="main moved", retryable=False)
    (added,) = decide(state, 0)
    assert isinstance(added, TasksAdded)
    assert added.reason == "main moved"
    state.apply(added)
    assert decide(state, 0) == []
    assert list(state.waiting) == [f"{ship}_r2"]
    state.apply(said(ship, "t2"))
    assert list(state.waiting) == [f"{ship}_r2"], "the word was on the task of the round before"
    state.apply(said(f"{ship}_r2", "t2"))
    assert decide(state, 0) == [begins(f"{ship}_r2")]


def test_nothing_is_redone_for_an_approval_that_nobody_asks_for() -> None:
    state = two({})
    assert repair_round(state, state.records["task_017_ship"], 0) is None
    record = state.records["task_010_consume_a"]
    record.error_class = "unapproved"
    assert repair_round(state, record, 0) is None


def test_names_mean_tasks_workstreams_and_steps() -> None:
    state = two({"code_gate/a": (judged(), needed()), "code_gate/b": (judged("b"), needed("consume", "b"))})
    assert list(chosen(state, None)) == [A, B]
    assert list(chosen(state, "a")) == list(chosen(state, A)) == [A]
    assert list(chosen(state, "consume")) == [A, B]
    assert chosen(state, "c") == chosen(state, "") == {}


def test_a_sentence_names_two_and_counts_the_rest() -> None:
    assert sentence(needed()) == "waits for approval: ci.yml is protected (added)"
    many = ApprovalNeeded(task_id="x", step="consume", tree="t", base="b", concerns=(CI, SHIP, CI), more=4)
    assert sentence(many) == ("waits for approval: ci.yml is protected (added); approvals.ship asks first; and 5 more")


def test_a_run_that_was_rolled_back_has_landed_nothing_and_is_not_retried() -> None:
    state = two({"merge/": (merged(),)})
    assert {w.state for w in workstream_outcomes(state)} == {State.COMPLETED}
    state.apply(RolledBack(target="main", commit="d" * 40, reverts="c" * 40, by="alice"))
    assert {(w.state, w.reason) for w in workstream_outcomes(state)} == {
        (State.CANCELLED, f"rolled back by alice in {'d' * 12}")
    }
    answer = retry_round(state, "task_017_ship")
    assert isinstance(answer, str)
    assert "rolled back" in answer
