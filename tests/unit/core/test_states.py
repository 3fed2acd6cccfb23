import itertools
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import pytest

from branchline.core.run_state import TaskRecord
from branchline.core.states import (
    STATES,
    TERMINAL,
    ExecutionStateMachine,
    IllegalTransition,
    State,
    check_transition,
)
from branchline.errors import BranchlineError
from pages import PHASES

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


def test_each_hidden_field_of_a_task_is_a_phase_of_a_state_of_the_table() -> None:
    named = {phase for phases in PHASES.values() for phase in phases}
    assert named & {field.name for field in fields(TaskRecord)} == {"waiting", "doomed", "lost", "ended"}
    assert set(PHASES) == set(STATES) - TERMINAL, "a terminal state has ended, which is all there is to it"
    for phases in PHASES.values():
        assert {new for spec in phases.values() for new in spec["allowed_transitions"]} <= set(phases)


def test_a_subclass_sees_each_move_and_its_context_after_it_was_made() -> None:
    class Watched(ExecutionStateMachine):
        def __init__(self) -> None:
            super().__init__(STATES, "PENDING")
            self.seen: list[tuple[str, str, int, Mapping[str, Any]]] = []

        def on_transition(self, old: str, new: str, context: Mapping[str, Any]) -> None:
            self.seen.append((old, new, self.attempt, context))
            assert self.state == new

    machine = Watched()
    machine.transition("RUNNING", {"worker": 1})
    with pytest.raises(IllegalTransition):
        machine.transition("PENDING")
    machine.transition("FAILED")
    assert machine.seen == [("PENDING", "RUNNING", 1, {"worker": 1}), ("RUNNING", "FAILED", 1, {})]


def test_a_subclass_that_moves_by_itself_and_words_its_own_refusal() -> None:
    class Own(ExecutionStateMachine):
        def transition(self, new: str, context: Mapping[str, Any] | None = None) -> tuple[str, ...]:
            if not self.can_transition(new):
                raise IllegalTransition(f"cannot go from {self.state} to {new}")
            self.state = new
            self.attempt += new == "RUNNING"
            self.context = context
            return ()

    machine = Own(STATES, "PENDING")
    machine.transition("RUNNING", {"trace": "x"})
    assert (machine.state, machine.attempt, machine.context) == ("RUNNING", 1, {"trace": "x"})
    with pytest.raises(IllegalTransition, match=r"^cannot go from RUNNING to PENDING$"):
        machine.transition("PENDING")


def test_the_machine_refuses_by_a_table_of_its_own_where_the_engine_s_would_allow() -> None:
    machine = ExecutionStateMachine({"PENDING": {"description": "", "allowed_transitions": []}}, "PENDING", task_id="t")
    with pytest.raises(IllegalTransition, match="task t: PENDING -> RUNNING"):
        machine.transition("RUNNING")
