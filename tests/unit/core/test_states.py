import itertools

import pytest

from branchline.core.states import (
    STATES,
    TERMINAL,
    ExecutionStateMachine,
    IllegalTransition,
    State,
    check_transition,
)
from branchline.errors import BranchlineError

ALLOWED = {
    ("PENDING", "RUNNING"),
    ("PENDING", "SKIPPED"),
    ("PENDING", "CANCELLED"),
    ("RUNNING", "COMPLETED"),
    ("RUNNING", "FAILED"),
    ("RUNNING", "CANCELLED"),
    ("FAILED", "PENDING"),
    ("FAILED", "CANCELLED"),
}


@pytest.mark.parametrize(("old", "new"), list(itertools.product(State, State)))
def test_every_transition_of_the_table_is_taken_and_every_other_refused(old: State, new: State) -> None:
    machine = ExecutionStateMachine(STATES, old, task_id="t")
    allowed = (old, new) in ALLOWED
    assert machine.can_transition(new) == allowed
    if allowed:
        check_transition("t", old, new)
        machine.transition(new)
        assert machine.state == new
        return
    with pytest.raises(IllegalTransition, match=f"task t: {old} -> {new}"):
        check_transition("t", old, new)
    with pytest.raises(IllegalTransition):
        machine.transition(new)
    assert machine.state == old


def test_illegal_transition_is_a_value_error_and_one_of_ours() -> None:
    error = IllegalTransition("t", "COMPLETED", "RUNNING")
    assert isinstance(error, ValueError)
    assert isinstance(error, BranchlineError)
    assert (error.task_id, error.old, error.new) == ("t", "COMPLETED", "RUNNING")


def test_terminal_states() -> None:
    assert {State.COMPLETED, State.SKIPPED, State.CANCELLED} == TERMINAL
    assert [state for state in State if ExecutionStateMachine(STATES, state).is_terminal] == [
        State.COMPLETED,
        State.SKIPPED,
        State.CANCELLED,
    ]


def test_a_retry_goes_on_counting_and_stops_at_max_attempts() -> None:
    machine = ExecutionStateMachine(max_attempts=2)
    assert not machine.can_retry
    machine.transition("RUNNING")
    machine.transition("FAILED")
    assert (machine.attempt, machine.can_retry) == (1, True)
    machine.transition("PENDING")
    assert not machine.can_retry
    machine.transition("RUNNING")
    machine.transition("FAILED")
    assert (machine.attempt, machine.can_retry) == (2, False)


def test_transition_names_the_actions_due() -> None:
    machine = ExecutionStateMachine()
    assert machine.transition("RUNNING") == ("record_start", "acquire_resources", "count_attempt")
    assert machine.transition("COMPLETED") == (
        "release_resources",
        "record_completion",
        "write_checkpoint",
        "wake_dependants",
    )


def test_a_table_of_ones_own() -> None:
    machine = ExecutionStateMachine(
        {
            "on": {"description": "lit", "allowed_transitions": ["off"]},
            "off": {"description": "dark", "allowed_transitions": []},
        },
        "on",
    )
    assert machine.transition("off") == ()
    assert machine.is_terminal
    assert machine.attempt == 0


def test_an_initial_state_outside_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match="initial state 'LOST' is not one of PENDING, RUNNING"):
        ExecutionStateMachine(STATES, "LOST")


def test_a_transition_to_a_state_outside_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match="'on' may go to 'off'"):
        ExecutionStateMachine({"on": {"description": "", "allowed_transitions": ["off"]}}, "on")
