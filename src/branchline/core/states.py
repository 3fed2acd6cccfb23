"""Every state a task can be in, and every move between them: one table for the engine and for the library.

`RunState` (core/run_state.py) asks `check_transition` before each move of a ledger, and the public `ExecutionStateMachine`
asks the same function of the same table. docs/states.md draws it (`make states`).

A state alone does not say what becomes of a task. `RunState` derives the rest from the events:

- PENDING is *waiting* while it counts dependencies that have not ended. At zero it is *ready*, or it is *doomed*, because
  a dependency ended in a way that the task's trigger does not accept: `decide` then cancels or skips it.
- RUNNING is *lost* when the coordinator died during the attempt. A resume takes the same attempt up again.
- FAILED is *undecided* until `decide` retries it (back to PENDING), or it has *ended*: its retries are used up, or a
  task of a later round replaces it. Only then do its dependants hear of it. The terminal states have ended at once.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NotRequired, TypedDict

from branchline.errors import BranchlineError


class State(StrEnum):
    """A task's state. Waiting, lateness and upstream failure are reasons, not states."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    CANCELLED = "CANCELLED"


class StateSpec(TypedDict):
    """What `ExecutionStateMachine` needs to know of one state."""

    description: str
    allowed_transitions: Sequence[str]
    entry_actions: NotRequired[Sequence[str]]
    exit_actions: NotRequired[Sequence[str]]
    on_error: NotRequired[str]


STATES: Mapping[str, StateSpec] = {
    "PENDING": {
        "description": "defined, not started",
        "allowed_transitions": ("RUNNING", "SKIPPED", "CANCELLED"),
    },
    "RUNNING": {
        "description": "executing",
        "allowed_transitions": ("COMPLETED", "FAILED", "CANCELLED"),
        "entry_actions": ("record_start", "acquire_resources", "count_attempt"),
        "exit_actions": ("release_resources",),
        "on_error": "FAILED",
    },
    "COMPLETED": {
        "description": "finished successfully",
        "allowed_transitions": (),
        "entry_actions": ("record_completion", "write_checkpoint", "wake_dependants"),
    },
    "FAILED": {
        "description": "failed execution or validation",
        "allowed_transitions": ("PENDING", "CANCELLED"),
        "entry_actions": ("record_failure", "roll_back", "evaluate_retry_policy"),
    },
    "SKIPPED": {
        "description": "a condition or the user skipped it",
        "allowed_transitions": (),
        "entry_actions": ("record_skip",),
    },
    "CANCELLED": {
        "description": "cancelled by the user or the system",
        "allowed_transitions": (),
        "entry_actions": ("record_cancellation",),
    },
}

TERMINAL = frozenset(State(name) for name, spec in STATES.items() if not spec["allowed_transitions"])


class IllegalTransition(BranchlineError, ValueError):
    """A move that is not in the table. With one argument, that is the message."""

    def __init__(self, task_id: str, old: str = "", new: str = "") -> None:
        super().__init__(f"task {task_id}: {old} -> {new} is not an allowed transition" if new else task_id)
        self.task_id, self.old, self.new = task_id, old, new


def check_transition(task_id: str, old: str, new: str, states: Mapping[str, StateSpec] = STATES) -> None:
    """Raise `IllegalTransition` unless the table has the move."""
    if new not in states[old]["allowed_transitions"]:
        raise IllegalTransition(task_id, old, new)


class ExecutionStateMachine:
    """One task's walk through a table of states; by default the engine's own.

    `states` maps a name to its description, allowed transitions and the names of its actions. The machine performs no
    action: `transition` returns their names, and the caller acts. A subclass overrides `on_transition` to see each move.
    Entering RUNNING counts an attempt; a retry goes on counting, so `can_retry` is never true past `max_attempts`.
    Assigning `state` puts the machine there without a check, as when a task is read from a file.
    """

    def __init__(
        self,
        states: Mapping[str, StateSpec] = STATES,
        initial_state: str = "PENDING",
        *,
        task_id: str = "task",
        max_attempts: int = 3,
    ) -> None:
        if initial_state not in states:
            known = ", ".join(states)
            raise ValueError(f"initial state {initial_state!r} is not one of {known}")
        for name, spec in states.items():
            for target in spec["allowed_transitions"]:
                if target not in states:
                    raise ValueError(f"state {name!r} may go to {target!r}, which is not in the table")
        self.states = states
        self.state = str(initial_state)
        self.task_id = task_id
        self.max_attempts = max_attempts
        self.attempt = 0

    @property
    def is_terminal(self) -> bool:
        """Whether no move leads out of the present state."""
        return not self.states[self.state]["allowed_transitions"]

    @property
    def can_retry(self) -> bool:
        """Whether the task failed and has an attempt left."""
        return self.state == State.FAILED and self.attempt < self.max_attempts

    def can_transition(self, new: str) -> bool:
        """Whether the table has a move from the present state to `new`."""
        return new in self.states[self.state]["allowed_transitions"]

    def transition(self, new: str, context: Mapping[str, Any] | None = None) -> tuple[str, ...]:
        """Move to `new`; return the names of the exit and entry actions now due. Raises `IllegalTransition`."""
        old = self.state
        check_transition(self.task_id, old, new, self.states)
        self.state = str(new)
        if new == State.RUNNING:
            self.attempt += 1
        self.on_transition(old, self.state, context or {})
        return (*self.states[old].get("exit_actions", ()), *self.states[new].get("entry_actions", ()))

    def on_transition(self, old: str, new: str, context: Mapping[str, Any]) -> None:
        """Called after each move; `context` is what `transition` was given. Does nothing here."""
