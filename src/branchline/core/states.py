"""Every state a task can be in, and every move between them.

The table is all that a task may do. What the engine does next depends on four more things, which a `TaskRecord` holds and
`RunState` derives from the events, because they are about a task's place among the others and not about its own moves:

- `ended`: nothing follows by itself. The terminal states have ended. FAILED has not, until `gave_up` makes it final or
  a new round takes its place: before that it is about to become PENDING (a retry).
- `waiting`: how many of its dependencies have not ended. PENDING with 0 is ready to start, or doomed.
- `doomed`: why a PENDING task will never start: a dependency ended in a state that its `trigger` does not take. It is
  about to become SKIPPED or CANCELLED.
- `lost`: RUNNING, but the coordinator that drove the attempt is gone (`attempt_interrupted`), until `attempt_resumed`.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NotRequired, TypedDict

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
    """A move that is not in the table."""

    def __init__(self, task_id: str, old: str, new: str) -> None:
        super().__init__(f"task {task_id}: {old} -> {new} is not an allowed transition")
        self.task_id, self.old, self.new = task_id, old, new


def check_transition(task_id: str, old: State, new: State) -> None:
    """Raise `IllegalTransition` unless the table has the move."""
    if new not in STATES[old]["allowed_transitions"]:
        raise IllegalTransition(task_id, old, new)


class ExecutionStateMachine:
    """One task's walk through a table of states.

    `states` maps a name to its description, allowed transitions and the names of its actions; the machine performs
    none of them: `transition` returns their names, the caller acts. Entering RUNNING counts an attempt; a retry goes on
    counting, so `can_retry` is never true past `max_attempts`.
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
        self._states = states
        self._state = str(initial_state)
        self.task_id = task_id
        self.max_attempts = max_attempts
        self.attempt = 0

    @property
    def state(self) -> str:
        """The present state's name."""
        return self._state

    @property
    def is_terminal(self) -> bool:
        """Whether no move leads out of the present state."""
        return not self._states[self._state]["allowed_transitions"]

    @property
    def can_retry(self) -> bool:
        """Whether the task failed and has an attempt left."""
        return self._state == State.FAILED and self.attempt < self.max_attempts

    def can_transition(self, new: str) -> bool:
        """Whether the table has a move from the present state to `new`."""
        return new in self._states[self._state]["allowed_transitions"]

    def transition(self, new: str) -> tuple[str, ...]:
        """Move to `new`; return the names of the exit and entry actions now due. Raises `IllegalTransition`."""
        if not self.can_transition(new):
            raise IllegalTransition(self.task_id, self._state, new)
        left, entered = self._states[self._state], self._states[new]
        self._state = str(new)
        if new == State.RUNNING:
            self.attempt += 1
        return (*left.get("exit_actions", ()), *entered.get("entry_actions", ()))
