from collections.abc import Callable
from typing import Any

import pytest

from branchline.core.events import IntentReceived, RolledBack, Transition
from branchline.core.facts import CiStatus, IntegrationComplete, MergeQueue, ShipComplete
from branchline.core.graph import Task
from branchline.core.model.verdict import GateOutcome, Outcome
from branchline.core.outcome import EXIT_CODES, exit_code, run_status, workstream_outcomes
from branchline.core.pipeline import task_graph
from branchline.core.rounds import reopen_round, retry_round
from branchline.core.run_state import RunState, replay
from branchline.core.scheduler import KillAttempt, Wanted, decide
from branchline.core.states import State
from strategies import plan, started

COMMIT = "c0ffee" * 7
Ends = dict[str, dict[str, Any]]


def carried_out(ends: Ends, *, until: str = "", cancel_after: str = "") -> RunState:
    """A run of workstreams a and b; `ends` names what comes of a task, which completes without a fact otherwise."""
    state = replay([started(*task_graph(plan("a", "b")), kind="pipeline")])
    while wanted := decide(state, 0):
        for one in wanted:
            perform(state, one, ends)
        if until and state.records[until].state != State.PENDING:
            return state
        if cancel_after and state.records[cancel_after].ended:
            state.apply(IntentReceived(kind="cancel", by="me"))
            cancel_after = ""
        if state.open == 0:
            return state
    pytest.fail("it hangs")


def perform(state: RunState, wanted: Wanted, ends: Ends) -> None:
    assert not isinstance(wanted, KillAttempt)
    state.apply(wanted)
    if isinstance(wanted, Transition) and wanted.new_state == State.RUNNING:
        fields: dict[str, Any] = {"new": State.COMPLETED, **ends.get(wanted.task_id, {})}
        if fact := fields.pop("fact", None):
            state.apply(fact(wanted.task_id))
        move(state, wanted.task_id, retryable=False, **fields)


def move(state: RunState, name: str, new: State, **fields: Any) -> None:
    old = state.records[name].state
    state.apply(Transition(task_id=name, old_state=old, new_state=new, attempt=1, **fields))


def failed(reason: str) -> dict[str, Any]:
    return {"new": State.FAILED, "reason": reason}


def landed(*merged: str, **dropped: str) -> Ends:
    return {"task_015_merge": {"fact": integrated(*merged, **dropped)}, "task_017_ship": shipped(*merged, **dropped)}


def integrated(*merged: str, **dropped: str) -> Callable[[str], IntegrationComplete]:
    return lambda name: IntegrationComplete(task_id=name, branch="i", commit=COMMIT, merged=merged, dropped=dropped)


def shipped(*merged: str, **dropped: str) -> dict[str, Any]:
    return {
        "fact": lambda name: ShipComplete(task_id=name, target="main", commit=COMMIT, merged=merged, dropped=dropped)
    }


def queued(*order: str, **excluded: str) -> dict[str, Any]:
    return {"fact": lambda name: MergeQueue(task_id=name, order=order, excluded=excluded)}


def outcomes(state: RunState) -> list[tuple[str, str, str, str]]:
    return [(w.id, str(w.state), w.step, w.reason) for w in workstream_outcomes(state)]


def test_everything_shipped() -> None:
    state = carried_out(landed("a", "b"))
    assert outcomes(state) == [("a", "COMPLETED", "ship", ""), ("b", "COMPLETED", "ship", "")]
    assert run_status(state) == ("succeeded", "")
    assert exit_code(state, "succeeded") == 0


@pytest.mark.parametrize(
    ("gates", "code"), [([], 0), ([Outcome.SKIPPED], 6), ([Outcome.SKIPPED, Outcome.PASSED], 0), ([Outcome.PASSED], 0)]
)
def test_what_landed_whole_though_each_of_its_gates_was_skipped_has_an_exit_code_of_its_own(
    gates: list[Outcome], code: int
) -> None:
    checked = tuple(GateOutcome(gate=str(n), outcome=outcome) for n, outcome in enumerate(gates))
    ci = {"fact": lambda name: CiStatus(task_id=name, commit=COMMIT, verdict="passed", report="r", gates=checked)}
    state = carried_out({**landed("a", "b"), "task_016_pr_ci": ci})
    assert exit_code(state, "succeeded") == code
    assert exit_code(state, "partial") == 5


def test_one_dropped_at_the_merge() -> None:
    state = carried_out(landed("a", b="conflicts with a in x.py"))
    assert outcomes(state)[1] == ("b", "FAILED", "merge", "conflicts with a in x.py")
    assert run_status(state) == ("partial", "b: conflicts with a in x.py")


def test_one_dropped_when_the_ship_merged_again() -> None:
    again = shipped("a", b="conflicts with the new tip")
    state = carried_out({**landed("a", "b"), "task_017_ship": again})
    assert run_status(state) == ("partial", "b: conflicts with the new tip")


def test_one_rejected_at_the_gate() -> None:
    state = carried_out({**landed("a"), "task_009_gate_b": failed("tests failed")})
    assert outcomes(state) == [("a", "COMPLETED", "ship", ""), ("b", "FAILED", "code_gate", "tests failed")]
    assert run_status(state) == ("partial", "b: tests failed")
    assert EXIT_CODES[run_status(state)[0]] == 5


def test_nothing_eligible_ends_with_no_merges() -> None:
    broken: Ends = {name: failed("broken") for name in ("task_006_execute_a", "task_007_execute_b")}
    state = carried_out({**broken, "task_014_merge_prep": queued()})
    assert state.records["task_015_merge"].state == State.SKIPPED
    assert state.records["task_018_archive"].state == State.COMPLETED
    assert outcomes(state) == [("a", "FAILED", "execute", "broken"), ("b", "FAILED", "execute", "broken")]
    assert run_status(state) == ("failed", "a: broken; b: broken")


def test_a_merge_that_failed_lands_nothing() -> None:
    state = carried_out({"task_015_merge": failed("aborted")})
    assert outcomes(state) == [("a", "FAILED", "validate", "not merged"), ("b", "FAILED", "validate", "not merged")]
    assert run_status(state)[0] == "failed"


def test_a_workstream_that_the_merge_does_not_name_did_not_land() -> None:
    assert outcomes(carried_out(landed("a")))[1] == ("b", "FAILED", "validate", "not merged")


def test_a_ship_that_failed_keeps_what_was_merged_and_says_so() -> None:
    state = carried_out({**landed("a", "b"), "task_017_ship": failed("the target is dirty")})
    assert outcomes(state)[0] == ("a", "FAILED", "ship", "merged, not shipped: the target is dirty")
    status, reason = run_status(state)
    assert (status, EXIT_CODES[status]) == ("failed", 1)
    assert "the target is dirty" in reason


def test_stopped_at_preflight() -> None:
    state = carried_out({"task_001_preflight": failed("git is missing")})
    assert run_status(state) == ("failed", "git is missing")
    assert state.records["task_002_run_init"].state == State.CANCELLED
    assert state.records["task_018_archive"].state == State.COMPLETED


def test_cancelled() -> None:
    state = carried_out({}, cancel_after="task_006_execute_a")
    assert run_status(state) == ("cancelled", "cancelled by me")
    assert {state for _, state, _, _ in outcomes(state)} == {"CANCELLED"}


def test_what_landed_before_a_cancel_has_landed() -> None:
    state = carried_out(landed("a", b="it conflicts"), cancel_after="task_017_ship")
    assert run_status(state) == ("partial", "b: it conflicts")


def test_a_run_under_way() -> None:
    assert outcomes(carried_out({}, until="task_002_run_init")) == [("a", "PENDING", "", ""), ("b", "PENDING", "", "")]
    validated = carried_out({}, until="task_014_merge_prep")
    assert outcomes(validated)[0] == ("a", "RUNNING", "validate", "not merged")
    merged = carried_out(landed("a", "b"), until="task_015_merge")
    assert outcomes(merged)[0] == ("a", "RUNNING", "merge", "merged, not shipped yet")


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ({}, ("succeeded", "")),
        ({"b": State.SKIPPED}, ("succeeded", "")),
        ({"a": State.CANCELLED}, ("failed", "why")),
        ({"a": State.CANCELLED, "b": State.FAILED}, ("failed", "why b")),
    ],
)
def test_a_plain_graph(ends: dict[str, State], expected: tuple[str, str]) -> None:
    state = replay([started(Task(id="a"), Task(id="b"))])
    for name, record in state.records.items():
        record.state = ends.get(name, State.COMPLETED)
        record.reason = "why b" if record.state == State.FAILED else "why"
    assert run_status(state) == expected


def test_a_workstream_that_is_running() -> None:
    state = replay([started(*task_graph(plan("a")), kind="pipeline")])
    state.records["task_004_worktree_a"].state = State.RUNNING
    assert outcomes(state) == [("a", "RUNNING", "worktrees", "")]


def test_what_had_landed_in_an_earlier_round_has_landed_whatever_becomes_of_the_next() -> None:
    state = carried_out(landed("a", "b"))
    again = retry_round(state, "task_007_execute_b")
    assert not isinstance(again, str)
    state.apply(again)
    while wanted := decide(state, 0):
        for one in wanted:
            if state.open == 0:
                break
            perform(state, one, {"task_007_execute_b_r2": failed("no idea"), **landed_again("a")})
        if state.open == 0:
            break
    assert outcomes(state)[1] == ("b", "FAILED", "execute", "it had landed in c0ffeec0ffee; done again: no idea")
    assert run_status(state)[0] == "partial"
    state.apply(RolledBack(target="main", commit="d" * 40, reverts="c" * 40, by="me"))
    assert "had landed" not in outcomes(state)[1][3]


def landed_again(*merged: str) -> Ends:
    return {f"{name}_r2": found for name, found in landed(*merged).items()}


def test_a_cancel_or_a_stop_after_something_had_landed_is_partial() -> None:
    state = carried_out(landed("a", "b"))
    again = reopen_round(state, completed=())
    assert again is not None
    state.apply(again)
    while state.open:
        for one in decide(state, 0):
            perform(state, one, {"task_001_preflight_r2": failed("git is missing")})
    assert state.stopped_by == "task_001_preflight_r2"
    assert run_status(state)[0] == "partial"


def test_why_a_workstream_is_not_in_the_queue_is_told() -> None:
    excluded = queued("a", b="it builds on a, which is not merged")
    state = carried_out({**landed("a"), "task_014_merge_prep": excluded})
    assert outcomes(state)[1] == ("b", "FAILED", "validate", "it builds on a, which is not merged")
