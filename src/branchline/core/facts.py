"""Facts: what the steps of a pipeline hand back, one struct a step, and the few that stand beside it.

A step returns its one fact (`StepFact`) or a failure, which may carry it too. `core.workstream` folds the facts into what later
steps read. Paths in facts are relative to the run's folder, so that a run can be moved.
"""

import json
from typing import Any, Literal

import msgspec

from branchline.core.model.agent import Usage
from branchline.core.model.forecast import Collision
from branchline.core.model.verdict import GateOutcome
from branchline.core.rules.remark import Remark

OwnSandbox = Literal["", "nested", "off"]

FILES = frozenset({"report", "prompt", "file", "queue", "request", "location", "archive"})
"""Fields that hold a path in the run's folder."""


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", omit_defaults=True):
    """Base of all events: a fact is an event that a step tells."""


class OfTask(Event, frozen=True, kw_only=True):
    """Base of what is said of one task."""

    task_id: str


class OfWorkstream(OfTask, frozen=True, kw_only=True):
    """Base of what is said of one workstream, by its task."""

    workstream: str


class Preflight(OfTask, frozen=True, tag="preflight", kw_only=True):
    """Step 0: nothing is missing. `absent`: agents that are not installed; `containment`: what will hold processes together."""

    report: str = ""
    warnings: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    containment: str = ""


class RunPrepared(OfTask, frozen=True, tag="run_prepared", kw_only=True):
    """Step 1: the request is stored in the file `prompt`; the run builds on the commit `base` and ships to `target`."""

    base: str
    target: str = ""
    prompt: str = ""


class PlanProposed(OfTask, frozen=True, tag="plan_proposed", kw_only=True):
    """Step 2: a planner made a plan that passed our checks; it is in `file`, and a person has to accept it.

    `collisions`: the workstreams that are likely to change the same files, as the planner would have had them run.
    """

    plan: dict[str, Any]
    digest: str
    warnings: tuple[str, ...] = ()
    collisions: tuple[Collision, ...] = ()
    file: str = ""


class PlanComplete(OfTask, frozen=True, tag="plan_complete", kw_only=True):
    """Step 2: the plan was accepted, `by` whom, and stored in `file`. `plan` is there when it is not the one of record 0."""

    workstreams: tuple[str, ...]
    digest: str
    by: str = ""
    plan: dict[str, Any] = {}
    file: str = ""


class WorktreesReady(OfWorkstream, frozen=True, tag="worktrees_ready", kw_only=True):
    """Step 3: a workstream's worktree stands and is set up. `path` is within the run's work area.

    `setup`: what set-up left there, path -> blob id (None: it deleted the path, or no tree can hold it).
    """

    path: str
    branch: str
    base: str
    setup: dict[str, str | None] = {}


class AgentCalled(OfTask, frozen=True, tag="agent_called", kw_only=True):
    """One agent was run once, for any purpose; `folder` is within the run's own.

    `manifest`: the digest of the manifest that it was given, a file of `artifacts/manifests`, with `context_files` files
    and `context_tokens` tokens (an estimate); `context_warning`: what is amiss with it. `containment`: what held its
    processes together; all of them used `cpu_ms` of the processor, and as far as was seen at most `memory_mb`.
    `own_sandbox`: what became of a sandbox of the agent's own within ours; `refused_hosts`: where it was not let through.
    `evidence`: files of `folder`, name -> SHA-256: what we gave it, and its output when it had ended.
    `unchecked`: what of its home could not be looked through for secrets, in a sentence.
    """

    attempt: int
    role: Literal["planner", "editor", "reviewer"]
    agent: str
    model: str
    status: str
    error_class: str = ""
    message: str = ""
    usage: Usage = Usage()
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
    evidence: dict[str, str] = {}
    unchecked: str = ""


class ExecuteWsComplete(OfWorkstream, frozen=True, tag="execute_ws_complete", kw_only=True):
    """Step 4: an agent ended. `tree` is what it left, kept by `commit`; `files` is what differs from the base.

    `refused`: what of it must not come into a tree, and why; `notes`: what the agent says. For the rest see AgentCalled.
    `commits_left_out`: why commits of its own are not in the repository. `left_out`: files that git ignores although the
    scope names them, and what programs made on the side; neither is in the tree, and neither rejects it.
    """

    agent: str
    status: str
    tree: str
    files: tuple[str, ...]
    commit: str = ""
    refused: tuple[str, ...] = ()
    notes: str = ""
    usage: Usage = Usage()
    context_files: int = 0
    context_tokens: int = 0
    commits_left_out: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


class Codegate(OfWorkstream, frozen=True, tag="codegate", kw_only=True):
    """Step 5: a batch was approved or rejected, `at` Unix milliseconds; `tree` is the batch, `given` what the agent had left.

    `files` is what differs from the base; `feedback` is what a rejected batch is sent back with; `approval`: a person has
    to say yes before it is taken in. `judged`: what it does to that by which it is judged; `judged_more` are not listed.
    Step 6 tells it too, of a batch that a person has said no to.
    """

    verdict: Literal["approved", "rejected", "error"]
    batch: str
    tree: str
    report: str
    reason: str = ""
    given: str = ""
    at: int = 0
    files: tuple[str, ...] = ()
    gates: tuple[GateOutcome, ...] = ()
    feedback: str = ""
    approval: bool = False
    judged: tuple[Remark, ...] = ()
    judged_more: int = 0


class Concern(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that a person has to look at before it goes on; `path` where it is about one."""

    kind: Literal["protected", "deletions", "judges", "ship"]
    reason: str
    path: str = ""


class ApprovalNeeded(OfTask, frozen=True, tag="approval_needed", kw_only=True):
    """The task of `step` for this workstream waits until a person has said yes or no to `tree`.

    `base` is the tree that it is to be compared with; `more` concerns are not listed.
    """

    step: str
    tree: str
    base: str
    concerns: tuple[Concern, ...]
    workstream: str = ""
    more: int = 0


class WorktreeSaved(OfWorkstream, frozen=True, tag="worktree_saved", kw_only=True):
    """Everything in a worktree is a commit at `ref`, but what is `left_out`: path and reason, each kept as a file.

    `removed`: the worktree has gone since; `kept` says why it has not.
    """

    ref: str
    commit: str
    left_out: tuple[str, ...] = ()
    removed: bool = False
    kept: str = ""


class WsCheckpoint(OfWorkstream, frozen=True, tag="ws_checkpoint", kw_only=True):
    """Step 6: an approved batch became one commit on its workstream's branch."""

    commit: str
    tree: str
    branch: str = ""


class ValidateWsPass(OfWorkstream, frozen=True, tag="validate_ws_pass", kw_only=True):
    """Step 7: a workstream's commit passed in a clean checkout."""

    commit: str
    report: str
    gates: tuple[GateOutcome, ...] = ()


class ValidateWsFail(OfWorkstream, frozen=True, tag="validate_ws_fail", kw_only=True):
    """Step 7: a workstream's commit failed in a clean checkout, or could not be checked."""

    commit: str
    report: str
    reason: str
    gates: tuple[GateOutcome, ...] = ()


class Clash(msgspec.Struct, frozen=True, kw_only=True):
    """Two workstreams of the queue whose commits conflict with each other in these paths."""

    between: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()


class MergeQueue(OfTask, frozen=True, tag="merge_queue", kw_only=True):
    """Step 8: what will be merged, in this order, and the pairs that are expected to conflict; all in the file `queue`."""

    order: tuple[str, ...]
    excluded: dict[str, str]
    conflicts: tuple[Clash, ...] = ()
    queue: str = ""


class MergeConflict(OfWorkstream, frozen=True, tag="merge_conflict", kw_only=True):
    """Step 9: the workstream's `commit` conflicts with `tip`, what is merged so far, and goes back to its agent.

    `tree` is the merge with conflict markers, in these `paths`; the repair begins with it.
    """

    tree: str
    tip: str
    commit: str
    paths: tuple[str, ...] = ()
    reason: str = ""


class IntegrationComplete(OfTask, frozen=True, tag="integration_complete", kw_only=True):
    """Step 9: the integration branch holds the merge result, which passed. `approval`: a person has to say yes first.

    `warnings`: what is worth a word of how it was merged.
    """

    branch: str
    commit: str
    merged: tuple[str, ...]
    dropped: dict[str, str]
    approval: bool = False
    warnings: tuple[str, ...] = ()


class PrOpened(OfTask, frozen=True, tag="pr_opened", kw_only=True):
    """A request to take the integration branch in was written."""

    forge: str
    location: str


class CiStatus(OfTask, frozen=True, tag="ci_status", kw_only=True):
    """Step 10: what CI said of the integration commit, and where the `request` to take it in is."""

    commit: str
    verdict: str
    report: str
    request: str = ""
    gates: tuple[GateOutcome, ...] = ()


class ShipComplete(OfTask, frozen=True, tag="ship_complete", kw_only=True):
    """Step 11: the change is where it should be; `target` is empty where only the integration branch was asked for.

    `merged` and `dropped` are those of the merge that landed, which is another than that of step 9 where the target had
    moved; `onto` is where the target was before. `warnings`: what could not be done once the target had moved, and what is worth a word of the merge. `saved`:
    in ledgers of version 1 the ref of each worktree's last state, by workstream.
    """

    target: str
    commit: str
    tag: str = ""
    branch: str = ""
    merged: tuple[str, ...] = ()
    dropped: dict[str, str] = {}
    onto: str = ""
    warnings: tuple[str, ...] = ()
    saved: dict[str, str] = {}


class Archived(OfTask, frozen=True, tag="archived", kw_only=True):
    """Step 12: the `report` for people, and the `archive`: the hash of every file of the run, and its refs.

    `digest`: that of the archive itself, sha256 in hexadecimal.
    """

    report: str
    archive: str
    digest: str = ""


StepFact = (
    Preflight
    | RunPrepared
    | PlanProposed
    | PlanComplete
    | WorktreesReady
    | ExecuteWsComplete
    | Codegate
    | WsCheckpoint
    | ValidateWsPass
    | ValidateWsFail
    | MergeQueue
    | MergeConflict
    | IntegrationComplete
    | CiStatus
    | ShipComplete
    | Archived
)
"""What an attempt of a step comes to."""

GatedFact = Codegate | ValidateWsPass | ValidateWsFail | CiStatus
"""Those that say what gates came to."""

Fact = StepFact | AgentCalled | ApprovalNeeded | WorktreeSaved | PrOpened
"""What a step may tell: its fact, and others beside it."""


def plain(fact: StepFact) -> dict[str, Any]:
    """A fact as JSON, whole: what a checkpoint file has of its task, and what the conditions of tasks ask."""
    fields = (name for name in fact.__struct_fields__ if name != "task_id")
    made = json.loads(json.dumps({name: msgspec.to_builtins(getattr(fact, name)) for name in fields}))
    return {**made, "eligible": len(fact.order)} if isinstance(fact, MergeQueue) else made
