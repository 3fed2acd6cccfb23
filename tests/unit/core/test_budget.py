import random
from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from branchline.core.budget import Budget, Grant, Purse, Spending, grant
from branchline.core.events import AttemptInterrupted, AttemptResumed, RunPolicy, RunResumed, Transition
from branchline.core.facts import AgentCalled
from branchline.core.model.agent import Usage
from branchline.core.pipeline import task_graph
from branchline.core.run_state import RunState, replay
from branchline.core.scheduler import decide
from branchline.core.states import State
from strategies import after, begins, cancelled, plan, started

PAID = ("planning", "execute")


def called(task_id: str, cost: float | None, workstream: str = "a", number: int = 1) -> AgentCalled:
    return AgentCalled(
        task_id=task_id,
        attempt=1,
        role="editor",
        agent="x",
        model="m",
        status="ok",
        usage=Usage(cost_usd=cost),
        milliseconds=1,
        folder="",
        workstream=workstream,
        round=number,
    )


def test_a_purse_without_a_reservation_has_no_limit() -> None:
    purse = Purse()
    purse.pay(3.0)
    assert purse.left is None


def test_a_purse_empties_and_what_is_unknown_empties_it_at_once() -> None:
    purse = Purse(2.0)
    purse.pay(0.5)
    assert purse.left == 1.5
    purse.pay(None)
    assert purse.left == 0.0


def test_nothing_is_reserved_without_a_limit() -> None:
    assert not Budget().limited
    assert grant(Budget(), Spending(), "a", 4) == Grant()


def test_a_limit_of_the_day_alone_reserves_nothing_by_itself() -> None:
    assert grant(Budget(day=3), Spending(), "a", 4) == Grant()


def test_an_attempt_gets_what_is_set_or_its_share_of_the_run_or_of_the_workstream() -> None:
    assert grant(Budget(attempt=2, run=10), Spending(), "a", 4).dollars == 2
    assert grant(Budget(run=10), Spending(), "a", 4).dollars == 2.5
    assert grant(Budget(workstream=1, run=10), Spending(), "a", 4).dollars == 1
    assert grant(Budget(workstream=1), Spending(), "", 4).dollars == 1


def test_reserved_money_is_waited_for_and_spent_money_is_not() -> None:
    budget, spending = Budget(attempt=2, run=3), Spending()
    spending.begin("one", "a", 2)
    assert grant(budget, spending, "b", 4) == Grant(wait=True)
    spending.pay("one", "a", 0.5, repair=False)
    spending.end("one", "a")
    assert grant(budget, spending, "b", 4).dollars == 2
    spending.begin("two", "b", 2)
    spending.pay("two", "b", 2.0, repair=False)
    spending.end("two", "b")
    assert grant(budget, spending, "b", 4).dollars == 0.5, "the rest of it, if it is less than wanted"
    spending.begin("three", "b", 0.5)
    spending.pay("three", "b", 0.6, repair=False)
    spending.end("three", "b")
    assert "budget of run, $3.00, is spent" in grant(budget, spending, "b", 4).refused


def test_a_workstreams_own_limit_holds_while_the_run_has_money() -> None:
    budget, spending = Budget(attempt=1, workstream=1, run=10), Spending()
    spending.begin("one", "a", 1)
    spending.pay("one", "a", 1.0, repair=False)
    spending.end("one", "a")
    assert "workstream a" in grant(budget, spending, "a", 4).refused
    assert grant(budget, spending, "b", 4).dollars == 1
    assert grant(budget, spending, "", 4).dollars == 1


def test_unknown_costs_are_never_zero() -> None:
    spending = Spending()
    spending.begin("one", "a", 2)
    spending.pay("one", "a", None, repair=False)
    spending.end("one", "a")
    assert spending.total.spent == 2
    assert spending.unknown == ["one"]
    assert "one" in grant(Budget(run=10), spending, "b", 4).refused
    assert grant(Budget(run=10, unknown="allow"), spending, "b", 4).dollars == 2.5


def test_the_end_of_an_attempt_that_never_began_changes_nothing() -> None:
    spending = Spending()
    spending.end("one", "a")
    spending.end("one", "a", lost=True)
    assert spending == Spending()


def test_a_lost_attempt_has_spent_its_reservation_once_and_gets_another() -> None:
    spending = Spending()
    spending.begin("one", "a", 2)
    spending.begin("other", "", None)
    for _ in range(2):  # its second coordinator may die before it has taken it up again
        spending.end("one", "a", lost=True)
        spending.end("other", "", lost=True)
        assert spending.total.spent == spending.workstreams["a"].spent == 2
        assert spending.reserved_for("one") is None
        assert not spending.unknown
    spending.begin("one", "a", 1.5)
    spending.pay("one", "a", 1.0, repair=False)
    spending.end("one", "a")
    assert spending.total.spent == 3


def test_what_a_lost_attempt_told_of_is_not_forgotten() -> None:
    spending = Spending()
    for name, reserved in (("limited", 2.0), ("unlimited", None)):
        spending.begin(name, "a", reserved)
        spending.pay(name, "a", 3.0, repair=False)
        spending.end(name, "a", lost=True)
    assert spending.total.spent == 6


def run_of(budget: Budget) -> RunState:
    """A run of two workstreams whose agents may start."""
    policy = RunPolicy(budget=budget, paid_steps=PAID, max_parallel=4)
    state = replay([started(*task_graph(plan("a", "b")), policy=policy, kind="pipeline")])
    for name in [
        n for n, r in state.records.items() if r.task.step in {"preflight", "run_init", "planning", "worktrees"}
    ]:
        state.apply(move(state, name, State.RUNNING, attempt=1))
        state.apply(move(state, name, State.COMPLETED))
    return state


def move(state: RunState, name: str, new: State, **fields: Any) -> Transition:
    record = state.records[name]
    fields.setdefault("attempt", record.attempt)
    return Transition(task_id=name, old_state=record.state, new_state=new, **fields)


def test_two_agents_that_start_in_one_turn_do_not_get_the_same_money() -> None:
    state = run_of(Budget(attempt=2, run=3))
    starts = decide(state, 0)
    assert starts == [begins("task_006_execute_a", reserved_usd=2.0)]
    state.apply(move(state, "task_006_execute_a", State.RUNNING, attempt=1, reserved_usd=2.0))
    assert decide(state, 0) == []
    state = after(state, called("task_006_execute_a", 2.0))
    state = after(state, move(state, "task_006_execute_a", State.COMPLETED))
    assert begins("task_007_execute_b", reserved_usd=1) in decide(state, 0)


def test_an_agent_for_which_there_is_no_money_is_cancelled_with_the_reason() -> None:
    state = run_of(Budget(attempt=2, run=2))
    state.apply(move(state, "task_006_execute_a", State.RUNNING, attempt=1, reserved_usd=2.0))
    state.apply(called("task_006_execute_a", 2.5))
    state.apply(move(state, "task_006_execute_a", State.COMPLETED))
    wanted = [one for one in decide(state, 0) if isinstance(one, Transition) and one.new_state == State.CANCELLED]
    assert [one.task_id for one in wanted] == ["task_007_execute_b"]
    assert "the budget of run, $2.00, is spent" in wanted[0].reason
    state.apply(RunResumed(by="user", budget=Budget(attempt=2, run=5)))
    assert begins("task_007_execute_b", reserved_usd=2) in decide(state, 0)


def test_a_lost_coordinator_costs_what_was_reserved_and_more_only_while_there_is_more() -> None:
    name = "task_006_execute_a"
    state = run_of(Budget(attempt=2, run=5))
    state.apply(move(state, name, State.RUNNING, attempt=1, reserved_usd=2.0))
    for left in (2, 1):
        state.apply(AttemptInterrupted(task_id=name, attempt=1))
        assert decide(state, 0)[0] == AttemptResumed(task_id=name, attempt=1, reserved_usd=left)
        state.apply(AttemptResumed(task_id=name, attempt=1, reserved_usd=left))
        assert state.spending.reserved_for(name) == left
    state.apply(AttemptInterrupted(task_id=name, attempt=1))
    assert decide(state, 0)[0] == cancelled(state.records[name], "the budget of run, $5.00, is spent", "budget")


def test_a_lost_attempt_waits_for_money_that_others_may_leave() -> None:
    lost, other = "task_006_execute_a", "task_007_execute_b"
    state = run_of(Budget(attempt=2, run=5))
    state.apply(move(state, lost, State.RUNNING, attempt=1, reserved_usd=2.0))
    state.apply(AttemptInterrupted(task_id=lost, attempt=1))
    state.apply(move(state, other, State.RUNNING, attempt=1, reserved_usd=2.0))
    assert decide(state, 0) == []
    state.apply(called(other, 1.0, "b"))
    state.apply(move(state, other, State.COMPLETED))
    assert AttemptResumed(task_id=lost, attempt=1, reserved_usd=2) in decide(state, 0)


@pytest.mark.parametrize(("reserved", "unknown"), [(2.0, 2.0), (None, inf)])
def test_repairs_are_counted_apart_and_those_of_unknown_cost_are_not_free(
    reserved: float | None, unknown: float
) -> None:
    name, state = "task_006_execute_a", run_of(Budget())
    state.apply(move(state, name, State.RUNNING, attempt=1, reserved_usd=reserved))
    state.apply(called(name, 1.0))
    state.apply(called(name, 0.5, number=2))
    assert state.spending.repairs == {"a": 0.5}
    state.apply(called(name, None, number=2))
    assert state.spending.repairs == {"a": 0.5 + unknown}


@settings(deadline=None)
@given(st.integers(0, 10**6), st.floats(0.1, 3), st.floats(0.5, 8), st.sampled_from(["refuse", "allow"]))
def test_no_more_is_ever_reserved_and_spent_than_the_limit(seed: int, each: float, limit: float, unknown: Any) -> None:
    """Agents that keep to their reservation keep the run to its limit, in whatever order they end."""
    chance, spending, budget = random.Random(seed), Spending(), Budget(attempt=each, run=limit, unknown=unknown)
    running: dict[str, float] = {}
    for number in range(60):
        name, workstream = f"t{number}", chance.choice("ab")
        given_ = grant(budget, spending, workstream, 4)
        if given_.dollars is not None:
            spending.begin(f"{name}{workstream}", workstream, given_.dollars)
            running[f"{name}{workstream}"] = given_.dollars
        elif given_.refused:
            assert not running or spending.unknown
        if running and chance.random() < 0.6:
            done = chance.choice(sorted(running))
            cost = None if chance.random() < 0.05 else running[done] * chance.random()
            spending.pay(done, done[-1], cost, repair=False)
            spending.end(done, done[-1])
            del running[done]
        assert spending.total.spent + sum(spending.total.reserved.values()) <= limit + 1e-6
        assert sum(one.spent for one in spending.workstreams.values()) == pytest.approx(spending.total.spent)
