"""What the steps of a pipeline have come to: typed state, folded from their facts.

Steps, outcomes and views read it; they look nothing up by name in what another step handed on. It changes when a task
has ended for good, not at a failure that is retried. A step that is done again (a new round) hands on again; if it does
not complete, what it had handed on is gone. A batch is the exception: one that was rejected stands until there is
another, because its repair begins with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from branchline.core import facts
from branchline.core.graph import Task
from branchline.core.states import State

T = TypeVar("T")


def known(value: T | None) -> T:
    """What an earlier step has handed on, where the graph says that it has."""
    assert value is not None
    return value


KEPT: dict[str, tuple[str, type[facts.StepFact]]] = {
    "preflight": ("preflight", facts.Preflight),
    "worktrees": ("worktree", facts.WorktreesReady),
    "execute": ("work", facts.ExecuteWsComplete),
    "code_gate": ("batch", facts.Codegate),
    "consume": ("consumed", facts.WsCheckpoint),
    "validate": ("validated", facts.ValidateWsPass),
    "merge_prep": ("merge_queue", facts.MergeQueue),
    "merge": ("integration", facts.IntegrationComplete),
    "pr_ci": ("ci", facts.CiStatus),
    "ship": ("shipped", facts.ShipComplete),
}
"""What a step that has completed hands on: the name by which it is known here, and the fact's type."""


def _handed_on(task: Task, state: State, fact: facts.StepFact | None) -> dict[str, facts.StepFact | None]:
    """What is known of a step by its name, once one of its tasks has ended so."""
    name, kind = KEPT[task.step]
    return {name: fact if state == State.COMPLETED and isinstance(fact, kind) else None}


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkstreamState:
    """One workstream. `round` is that of its agent; `unfinished` says by step why it did not complete.

    The properties are for steps that come after the one that hands the fact on.
    """

    round: int = 1
    worktree: facts.WorktreesReady | None = None
    work: facts.ExecuteWsComplete | None = None
    batch: facts.Codegate | None = None
    consumed: facts.WsCheckpoint | None = None
    validated: facts.ValidateWsPass | None = None
    unfinished: Mapping[str, str] = field(default_factory=dict)

    @property
    def base(self) -> str:
        """The commit that it builds on."""
        return known(self.worktree).base

    @property
    def commit(self) -> str:
        """The commit of its approved batch."""
        return known(self.consumed).commit

    @property
    def tree(self) -> str:
        """The tree of its approved batch."""
        return known(self.consumed).tree

    @property
    def rejected(self) -> facts.Codegate | None:
        """The batch that was not approved, rejected or beyond checking, if there is no other since."""
        return None if self.batch is None or self.batch.verdict == "approved" else self.batch

    def after(self, task: Task, state: State, fact: facts.StepFact | None, reason: str) -> "WorkstreamState":
        """The workstream after one of its tasks has ended so."""
        unfinished = {step: why for step, why in self.unfinished.items() if step != task.step}
        if state != State.COMPLETED:
            unfinished[task.step] = reason
        changes: dict[str, Any] = {"unfinished": unfinished, **_handed_on(task, state, fact)}
        if task.step == "execute":
            changes["round"] = task.round
        elif task.step == "code_gate":
            stands = None if state == State.COMPLETED else self.rejected
            changes["batch"] = fact if isinstance(fact, facts.Codegate) else stands
        return replace(self, **changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineState:
    """A run's steps. `landed`: the commit in which each workstream landed last, in any round."""

    workstreams: Mapping[str, WorkstreamState] = field(default_factory=dict)
    preflight: facts.Preflight | None = None
    merge_queue: facts.MergeQueue | None = None
    conflict: facts.MergeConflict | None = None
    integration: facts.IntegrationComplete | None = None
    ci: facts.CiStatus | None = None
    shipped: facts.ShipComplete | None = None
    landed: Mapping[str, str] = field(default_factory=dict)

    def of(self, workstream: str) -> WorkstreamState:
        """One workstream; of one that has not begun nothing is known."""
        return self.workstreams.get(workstream) or WorkstreamState()

    def after(self, task: Task, state: State, fact: facts.StepFact | None, reason: str) -> "PipelineState":
        """The run after one of its tasks has ended so."""
        if task.workstream:
            one = self.of(task.workstream).after(task, state, fact, reason)
            return replace(self, workstreams={**self.workstreams, task.workstream: one})
        if task.step not in KEPT:
            return self
        changes: dict[str, Any] = {**_handed_on(task, state, fact)}
        if task.step == "merge":
            changes["conflict"] = fact if state == State.FAILED and isinstance(fact, facts.MergeConflict) else None
        elif task.step == "ship" and (shipped := changes["shipped"]):
            changes["landed"] = {**self.landed, **dict.fromkeys(shipped.merged, shipped.commit)}
        return replace(self, **changes)
