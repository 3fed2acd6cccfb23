"""Facts, in the past tense: everything a ledger can say. One frozen struct each; the tag is the record's `event`."""

from typing import Any, Literal

import msgspec

from branchline.core.budget import Budget
from branchline.core.decisions import ApprovalDecided, ApprovalNeeded, Event, RolledBack
from branchline.core.graph import Task
from branchline.core.model.forecast import Collision
from branchline.core.model.sandbox import SandboxFact
from branchline.core.retry import RetryPolicy
from branchline.core.states import State

OwnSandbox = Literal["", "nested", "off"]


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
    """Record 0: what the run is and what it pins. `started_at` is in Unix milliseconds."""

    kind: Literal["pipeline", "graph"]
    started_at: int
    tasks: tuple[Task, ...]
    policy: RunPolicy
    pins: dict[str, Any] = {}


class Transition(Event, frozen=True, tag="state_transition", kw_only=True):
    """A task moved. `retry_at` is in Unix milliseconds; `retryable` says whether the failure's cause may pass.

    `reserved_usd`: what a started attempt may spend, where there is a budget.
    """

    task_id: str
    old_state: State
    new_state: State
    attempt: int
    reason: str = ""
    error_class: str = ""
    retryable: bool = True
    retry_at: int | None = None
    reserved_usd: float | None = None
    outputs: dict[str, Any] = {}


class GaveUp(Event, frozen=True, tag="gave_up", kw_only=True):
    """A failed task gets no further attempt and no round: its failure is final."""

    task_id: str
    reason: str


class TasksAdded(Event, frozen=True, tag="tasks_added", kw_only=True):
    """A new round: tasks that redo earlier ones (`replaces`: new id -> old id); waiting tasks rewired to them."""

    reason: str
    tasks: tuple[Task, ...]
    replaces: dict[str, str]
    rewired: dict[str, tuple[str, ...]] = {}


class AttemptInterrupted(Event, frozen=True, tag="attempt_interrupted", kw_only=True):
    """The process that drove the attempt is gone; the same attempt is taken up again."""

    task_id: str
    attempt: int


class AttemptResumed(Event, frozen=True, tag="attempt_resumed", kw_only=True):
    """An interrupted attempt is under way again, under the same number: a coordinator's death is not its failure.

    `reserved_usd`: what it may spend from now on, where there is a budget.
    """

    task_id: str
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


class PlanProposed(Event, frozen=True, tag="plan_proposed", kw_only=True):
    """A planner made a plan that passed our checks; it waits for somebody to accept it.

    `collisions`: the workstreams that are likely to change the same files, as the planner would have had them run.
    """

    task_id: str
    plan: dict[str, Any]
    digest: str
    warnings: tuple[str, ...] = ()
    collisions: tuple[Collision, ...] = ()


class PlanComplete(Event, frozen=True, tag="plan_complete", kw_only=True):
    """The plan was accepted and stored; `by` whom. `plan` is there when it is not the one that record 0 has."""

    task_id: str
    workstreams: tuple[str, ...]
    digest: str
    by: str = ""
    plan: dict[str, Any] = {}


class WorktreesReady(Event, frozen=True, tag="worktrees_ready", kw_only=True):
    """A workstream's worktree stands and is set up."""

    task_id: str
    workstream: str
    path: str
    branch: str
    base: str


class AgentCalled(Event, frozen=True, tag="agent_called", kw_only=True):
    """One agent was run once, for whatever purpose; `usage` as in `core.agent.Usage`, `folder` within the run's own.

    `manifest`: the digest of the manifest that it was given, a file of `artifacts/manifests`, with `context_files` files
    and `context_tokens` tokens (an estimate); `context_warning`: what is amiss with it. `containment`: what held its
    processes together; all of them used `cpu_ms` of the processor, and as far as was seen at most `memory_mb`.
    `own_sandbox`: what became of a sandbox of the agent's own within ours; `refused_hosts`: where it was not let through.
    """

    task_id: str
    attempt: int
    role: Literal["planner", "editor", "reviewer"]
    agent: str
    model: str
    status: str
    error_class: str = ""
    message: str = ""
    usage: dict[str, Any] = {}
    milliseconds: int
    folder: str
    workstream: str = ""
    round: int = 1
    manifest: str = ""
    context_files: int = 0
    context_tokens: int = 0
    context_warning: str = ""
    containment: str = ""
    cpu_ms: int | None = None
    memory_mb: int | None = None
    own_sandbox: OwnSandbox = ""
    refused_hosts: tuple[str, ...] = ()


class ExecuteWsComplete(Event, frozen=True, tag="execute_ws_complete", kw_only=True):
    """An agent ended; `tree` is what it left, `files` what differs from the base. For the rest see AgentCalled.

    `commits_left_out`: why commits of its own are not in the repository.
    """

    task_id: str
    workstream: str
    agent: str
    status: str
    tree: str
    files: tuple[str, ...]
    usage: dict[str, Any] = {}
    context_files: int = 0
    context_tokens: int = 0
    commits_left_out: tuple[str, ...] = ()


class Codegate(Event, frozen=True, tag="codegate", kw_only=True):
    """A batch was approved or rejected, `at` Unix milliseconds; `tree` is the batch, `given` what the agent had left."""

    task_id: str
    workstream: str
    verdict: Literal["approved", "rejected", "error"]
    batch: str
    tree: str
    report: str
    reason: str = ""
    given: str = ""
    at: int = 0


class WorktreeSaved(Event, frozen=True, tag="worktree_saved", kw_only=True):
    """Everything in a worktree is a commit at `ref`, but what is `left_out`: path and reason, each kept as a file.

    `removed`: the worktree has gone since; `kept` says why it has not.
    """

    task_id: str
    workstream: str
    ref: str
    commit: str
    left_out: tuple[str, ...] = ()
    removed: bool = False
    kept: str = ""


class WsCheckpoint(Event, frozen=True, tag="ws_checkpoint", kw_only=True):
    """An approved batch became one commit on its workstream's branch."""

    task_id: str
    workstream: str
    commit: str
    tree: str


class ValidateWsPass(Event, frozen=True, tag="validate_ws_pass", kw_only=True):
    """A workstream's commit passed in a clean checkout."""

    task_id: str
    workstream: str
    commit: str
    report: str


class ValidateWsFail(Event, frozen=True, tag="validate_ws_fail", kw_only=True):
    """A workstream's commit failed in a clean checkout, or on the merge result."""

    task_id: str
    workstream: str
    commit: str
    report: str
    reason: str


class MergeQueue(Event, frozen=True, tag="merge_queue", kw_only=True):
    """What will be merged, in which order, and which pairs are expected to conflict."""

    task_id: str
    order: tuple[str, ...]
    excluded: dict[str, str]
    conflicts: tuple[dict[str, Any], ...] = ()


class IntegrationComplete(Event, frozen=True, tag="integration_complete", kw_only=True):
    """The integration branch holds the merge result, which passed."""

    task_id: str
    branch: str
    commit: str
    merged: tuple[str, ...]
    dropped: dict[str, str]


class PrOpened(Event, frozen=True, tag="pr_opened", kw_only=True):
    """A request to take the integration branch in was written."""

    task_id: str
    forge: str
    location: str


class CiStatus(Event, frozen=True, tag="ci_status", kw_only=True):
    """What CI said of the integration commit."""

    task_id: str
    commit: str
    verdict: str
    report: str


class ShipComplete(Event, frozen=True, tag="ship_complete", kw_only=True):
    """The change is where it should be; `target` is empty where only the integration branch was asked for."""

    task_id: str
    target: str
    commit: str
    tag: str = ""


class RunEnded(Event, frozen=True, tag="run_end", kw_only=True):
    """Nothing is left to do."""

    status: Literal["succeeded", "partial", "failed", "cancelled"]
    exit_code: int
    reason: str = ""


Fact = (
    PlanProposed
    | PlanComplete
    | AgentCalled
    | WorktreesReady
    | ExecuteWsComplete
    | Codegate
    | ApprovalNeeded
    | WorktreeSaved
    | WsCheckpoint
    | ValidateWsPass
    | ValidateWsFail
    | MergeQueue
    | IntegrationComplete
    | PrOpened
    | CiStatus
    | ShipComplete
)

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
    | Fact
)

NAMES = frozenset(kind.__struct_config__.tag for kind in AnyEvent.__args__)
