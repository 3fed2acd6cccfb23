"""Events, in the past tense: everything a ledger can say. One frozen struct each; the tag is the record's `event`.

Those that a step of a pipeline tells are in `core.facts`; here are the engine's own, and what people decide.
"""

from typing import Any, Literal

import msgspec

from branchline.core.budget import Budget
from branchline.core.facts import Event, Fact, OfTask
from branchline.core.graph import Task
from branchline.core.model.sandbox import SandboxFact
from branchline.core.retry import RetryPolicy
from branchline.core.states import State


class RunPolicy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The rules that a run fixed when it began; a resume may not change them. None is unlimited.

    `paid_steps` are those that call agents: money is reserved for their tasks. `approve_plan`: a planner's plan waits
    for a person.
    """

    max_parallel: int = 4
    groups: dict[str, int] = {}
    cpu: float | None = None
    mem_mb: float | None = None
    retry: RetryPolicy = RetryPolicy()
    repair_rounds: int = 0
    repair_ms: int | None = None
    repair_usd: float | None = None
    budget: Budget = Budget()
    paid_steps: tuple[str, ...] = ()
    approve_plan: bool = False


class RunStarted(Event, frozen=True, tag="run_start", kw_only=True):
    """Record 0: what the run is and what it pins. `started_at` is in Unix milliseconds; `seal`: who began it."""

    kind: Literal["pipeline", "graph"]
    started_at: int
    tasks: tuple[Task, ...]
    policy: RunPolicy
    pins: dict[str, Any] = {}
    seal: str = ""


class Transition(OfTask, frozen=True, tag="state_transition", kw_only=True):
    """A task moved. `retry_at` is in Unix milliseconds; `retryable` says whether the failure's cause may pass.

    `reserved_usd`: what a started attempt may spend, where there is a budget. `hint`: what to type after a failure.
    `outputs`: what a plain graph's task handed on (in ledgers of version 1, what a step did beside its fact).
    """

    old_state: State
    new_state: State
    attempt: int
    reason: str = ""
    error_class: str = ""
    retryable: bool = True
    retry_at: int | None = None
    reserved_usd: float | None = None
    hint: str = ""
    traceback: str = ""
    outputs: dict[str, Any] = {}


class GaveUp(OfTask, frozen=True, tag="gave_up", kw_only=True):
    """A failed task gets no further attempt and no round: its failure is final."""

    reason: str


class TasksAdded(Event, frozen=True, tag="tasks_added", kw_only=True):
    """A new round: tasks that redo earlier ones (`replaces`: new id -> old id); waiting tasks rewired to them."""

    reason: str
    tasks: tuple[Task, ...]
    replaces: dict[str, str]
    rewired: dict[str, tuple[str, ...]] = {}


class AttemptInterrupted(OfTask, frozen=True, tag="attempt_interrupted", kw_only=True):
    """The process that drove the attempt is gone; the same attempt is taken up again."""

    attempt: int


class AttemptResumed(OfTask, frozen=True, tag="attempt_resumed", kw_only=True):
    """An interrupted attempt is under way again, under the same number: a coordinator's death is not its failure.

    `reserved_usd`: what it may spend from now on, where there is a budget.
    """

    attempt: int
    reserved_usd: float | None = None


class RunResumed(Event, frozen=True, tag="run_resumed", kw_only=True):
    """A new coordinator took the run over, under a new epoch. `budget`: the limits that hold from now on, if changed.

    `sandbox`: the one that it found, from now on in the place of that of record 0.
    """

    by: str
    reason: str = ""
    budget: Budget | None = None
    sandbox: SandboxFact | None = None


class IntentReceived(Event, frozen=True, tag="intent_received", kw_only=True):
    """Somebody asked something of the run. `refused` says why nothing came of it."""

    kind: Literal["cancel", "retry", "skip", "approve", "reject", "rollback"]
    by: str
    task_id: str = ""
    refused: str = ""


class Healed(Event, frozen=True, tag="healed", kw_only=True):
    """What a kill or a person had left wrong of the run's worktrees, refs and locks was put right: a sentence for each."""

    done: tuple[str, ...]
    by: str


class SavedReleased(Event, frozen=True, tag="saved_released", kw_only=True):
    """A person let saved work go whose workstream has landed: these refs are gone, by full name."""

    refs: tuple[str, ...]
    by: str


class MarkMissed(Event, frozen=True, tag="mark_missed", kw_only=True):
    """The ledger's mark in git could not be made at the checkpoint before; the next one makes up for it."""

    reason: str


class ApprovalDecided(OfTask, frozen=True, tag="approval", kw_only=True):
    """A person's word on what waits: it holds for this task and this tree, and for no other."""

    tree: str
    verdict: Literal["approved", "rejected"]
    by: str
    reason: str = ""


class RolledBack(Event, frozen=True, tag="rolled_back", kw_only=True):
    """What had shipped was undone by a new commit on the target; `reverts` is the commit that had shipped."""

    target: str
    commit: str
    reverts: str
    by: str
    reason: str = ""


class RunEnded(Event, frozen=True, tag="run_end", kw_only=True):
    """Nothing is left to do."""

    status: Literal["succeeded", "partial", "failed", "cancelled"]
    exit_code: int
    reason: str = ""


AnyEvent = (
    RunStarted
    | Transition
    | GaveUp
    | TasksAdded
    | AttemptInterrupted
    | AttemptResumed
    | RunResumed
    | IntentReceived
    | ApprovalDecided
    | RunEnded
    | RolledBack
    | Healed
    | SavedReleased
    | MarkMissed
    | Fact
)

NAMES = frozenset(kind.__struct_config__.tag for kind in AnyEvent.__args__)
