"""What the steps of a pipeline have come to: typed state, folded from their facts.

Steps, outcomes and views read it; they look nothing up by name in what another step handed on. It changes when a task
has ended for good, not at a failure that is retried. A step that is done again (a new round) hands on again; if it does
not complete, what it had handed on is gone. A batch is the exception: one that was rejected stands until there is
another, because its repair begins with it.
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


def _only(kind: type[T], fact: StepFact | None) -> T | None:
    return fact if isinstance(fact, kind) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkstreamState:
    """One workstream. `round` is that of its agent; `unfinished` says by step why it did not complete.

    The properties are for steps that come after the one that hands the fact on.
    """

    round: int = 1
    worktree: WorktreesReady | None = None
    work: ExecuteWsComplete | None = None
    batch: Codegate | None = None
    consumed: WsCheckpoint | None = None
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
        return known(self.consumed).commit

    @property
    def tree(self) -> str:
        """The tree of its approved batch."""
        return known(self.consumed).tree

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
                return replace(now, worktree=_only(WorktreesReady, made))
            case "execute":
                return replace(now, round=task.round, work=_only(ExecuteWsComplete, made))
            case "code_gate":
                stands = None if completed else self.rejected
                return replace(now, batch=_only(Codegate, fact) or stands)
            case "consume":
                return replace(now, consumed=_only(WsCheckpoint, made))
        return replace(now, validated=_only(ValidateWsPass, made))


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineState:
    """A run's steps. `landed`: the commit in which each workstream landed last, in any round."""

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
                return replace(self, preflight=_only(Preflight, made))
            case "merge_prep":
                return replace(self, merge_queue=_only(MergeQueue, made))
            case "merge":
                return replace(
                    self,
                    conflict=_only(MergeConflict, fact) if state == State.FAILED else None,
                    integration=_only(IntegrationComplete, made),
                )
            case "pr_ci":
                return replace(self, ci=_only(CiStatus, made))
            case "ship":
                shipped = _only(ShipComplete, made)
                landed = dict.fromkeys(shipped.merged, shipped.commit) if shipped else {}
                return replace(self, shipped=shipped, landed={**self.landed, **landed})
        return self
