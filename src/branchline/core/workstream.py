"""What the steps of a pipeline have come to: typed state, folded from their facts. Steps read it, and nothing else.

It changes when a task has ended for good, not at a failure that is retried. A step that is done again (a new round) hands
on anew; if it does not complete, what it had handed on is gone. A batch is the exception: one that was rejected stands
until there is another, because its repair begins with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from branchline.core.facts import (
    CiStatus,
    Codegate,
    ExecuteWsComplete,
    IntegrationComplete,
    MergeConflict,
    MergeQueue,
    Preflight,
    ShipComplete,
    StepFact,
    ValidateWsPass,
    WorktreesReady,
    WsCheckpoint,
)
from branchline.core.graph import Task
from branchline.core.states import State

T = TypeVar("T")


def known(value: T | None) -> T:
    """What an earlier step has handed on, where the graph says that it has."""
    assert value is not None
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkstreamState:
    """One workstream. `round` is that of its agent; `unfinished` says by step why it did not complete.

    The properties are for steps that come after the one that hands the fact on.
    """

    round: int = 1
    worktree: WorktreesReady | None = None
    work: ExecuteWsComplete | None = None
    batch: Codegate | None = None
    checkpoint: WsCheckpoint | None = None
    validated: ValidateWsPass | None = None
    unfinished: Mapping[str, str] = field(default_factory=dict)

    @property
    def base(self) -> str:
        """The commit that it builds on."""
        return known(self.worktree).base

    @property
    def setup(self) -> dict[str, str | None]:
        """What set-up left in its worktree."""
        return known(self.worktree).setup

    @property
    def commit(self) -> str:
        """The commit of its approved batch."""
        return known(self.checkpoint).commit

    @property
    def tree(self) -> str:
        """The tree of its approved batch."""
        return known(self.checkpoint).tree

    @property
    def rejected(self) -> Codegate | None:
        """The batch that was not approved, rejected or beyond checking, if there is no other since."""
        return None if self.batch is None or self.batch.verdict == "approved" else self.batch

    def after(self, task: Task, state: State, fact: StepFact | None, reason: str) -> "WorkstreamState":
        """The workstream after one of its tasks has ended so."""
        completed = state == State.COMPLETED
        unfinished = {step: why for step, why in self.unfinished.items() if step != task.step}
        if not completed:
            unfinished[task.step] = reason
        now, made = replace(self, unfinished=unfinished), fact if completed else None
        match task.step:
            case "worktrees":
                return replace(now, worktree=made if isinstance(made, WorktreesReady) else None)
            case "execute":
                return replace(now, round=task.round, work=made if isinstance(made, ExecuteWsComplete) else None)
            case "code_gate":
                stands = None if completed else self.rejected
                return replace(now, batch=fact if isinstance(fact, Codegate) else stands)
            case "consume":
                return replace(now, checkpoint=made if isinstance(made, WsCheckpoint) else None)
        return replace(now, validated=made if isinstance(made, ValidateWsPass) else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineState:
    """A run's steps. `landed`: the commit in which a workstream landed last, in whichever round."""

    workstreams: Mapping[str, WorkstreamState] = field(default_factory=dict)
    preflight: Preflight | None = None
    merge_queue: MergeQueue | None = None
    conflict: MergeConflict | None = None
    integration: IntegrationComplete | None = None
    ci: CiStatus | None = None
    shipped: ShipComplete | None = None
    landed: Mapping[str, str] = field(default_factory=dict)

    def of(self, workstream: str) -> WorkstreamState:
        """One workstream; of one that has not begun nothing is known."""
        return self.workstreams.get(workstream) or WorkstreamState()

    def after(  # noqa: PLR0911 - one line a step
        self, task: Task, state: State, fact: StepFact | None, reason: str
    ) -> "PipelineState":
        """The run after one of its tasks has ended so."""
        if task.workstream:
            one = self.of(task.workstream).after(task, state, fact, reason)
            return replace(self, workstreams={**self.workstreams, task.workstream: one})
        made = fact if state == State.COMPLETED else None
        match task.step:
            case "preflight":
                return replace(self, preflight=made if isinstance(made, Preflight) else None)
            case "merge_prep":
                return replace(self, merge_queue=made if isinstance(made, MergeQueue) else None)
            case "merge":
                return replace(
                    self,
                    conflict=fact if isinstance(fact, MergeConflict) and state == State.FAILED else None,
                    integration=made if isinstance(made, IntegrationComplete) else None,
                )
            case "pr_ci":
                return replace(self, ci=made if isinstance(made, CiStatus) else None)
            case "ship":
                return self._shipped(made if isinstance(made, ShipComplete) else None)
        return self

    def _shipped(self, fact: ShipComplete | None) -> "PipelineState":
        landed = dict.fromkeys(fact.merged, fact.commit) if fact else {}
        return replace(self, shipped=fact, landed={**self.landed, **landed})
