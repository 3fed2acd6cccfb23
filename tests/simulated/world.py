"""What outlives a simulated coordinator, and what one attempt of a step sees of it."""

from dataclasses import dataclass, field
from typing import cast

from branchline.attempt.run import StepContext
from branchline.core.budget import Purse
from branchline.core.events import ApprovalDecided
from branchline.core.facts import AgentCalled, Fact
from branchline.core.graph import Task
from branchline.core.model.agent import Usage
from branchline.core.model.plan import Plan
from branchline.core.workstream import PipelineState, WorkstreamState
from branchline.process.spawn import KillSwitch
from simulated.fate import Fate
from simulated.git import Twin
from simulated.story import BASE, TARGET, Story


@dataclass(slots=True)
class World:
    """All that outlives a coordinator, but for its disk. `tested`: commits that CI passed; `landed`: what was shipped.

    `paid` is what agents really took, in US dollars, by workstream; `taken_in` the commits of its batches, as recorded,
    `starts` the tree that its repair has to begin with, `shipped` the commits of recorded ships.
    """

    fate: Fate
    story: Story
    git: Twin
    base: str = ""
    tested: set[str] = field(default_factory=set)
    landed: list[str] = field(default_factory=list)
    worktrees: set[str] = field(default_factory=set)
    paid: dict[str, float] = field(default_factory=dict)
    taken_in: dict[str, list[str]] = field(default_factory=dict)
    starts: dict[str, str] = field(default_factory=dict)
    shipped: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.base = self.git.commit(self.git.tree({"README": "base"}), (), BASE)
        self.git.refs[TARGET] = self.base

    def pay(self, workstream: str, dollars: float) -> None:
        """Money goes as soon as an agent works, whether or not anybody hears of it."""
        self.paid[workstream] = self.paid.get(workstream, 0.0) + dollars


@dataclass(slots=True)
class Ground:
    """What the real steps' questions are answered from."""

    repo: Twin


@dataclass(slots=True)
class Context:
    """One attempt of one step. What `steps.scope` and `steps.approving` ask of theirs, it answers too."""

    world: World
    run: Ground
    task: Task
    attempt: int
    plan: Plan | None
    state: PipelineState
    purse: Purse
    paid: bool
    plan_waits: bool
    decision: ApprovalDecided | None
    kill: KillSwitch
    told: list[Fact] = field(default_factory=list)

    @property
    def ws(self) -> WorkstreamState:
        return self.of(self.task.workstream)

    def of(self, workstream: str) -> WorkstreamState:
        return self.state.of(workstream)

    @property
    def surely(self) -> bool:
        """Whether nothing goes wrong by chance: a ship that a lost attempt has done is only looked at."""
        unrecorded = self.world.landed[-1:] not in ([], self.world.shipped[-1:])
        return self.task.step == "archive" or (self.task.step == "ship" and unrecorded)

    @property
    def real(self) -> StepContext:
        """Itself, for functions that take the real one."""
        return cast("StepContext", self)

    def call(self) -> None:
        """One agent or two, the second in the first one's place; they keep to their purse."""
        chance = self.world.fate.chance
        for _ in range(chance.choice((1, 1, 2)) if self.paid else 1):
            left = self.purse.left
            spent = chance.choice((0.0, 0.5, 1.0)) * (0.25 if left is None else left)
            told = None if chance.random() < 0.05 else spent
            if self.paid:
                self.world.pay(self.task.workstream, spent)
            self.purse.pay(told)
            self.told.append(_called(self.task, self.attempt, told))
            self.world.fate.effect()
            if told is None:
                break


def _called(task: Task, attempt: int, cost: float | None) -> AgentCalled:
    return AgentCalled(
        task_id=task.id,
        attempt=attempt,
        role="editor",
        agent="a",
        model="m",
        status="ok",
        usage=Usage(cost_usd=cost),
        milliseconds=1,
        folder="",
        workstream=task.workstream,
        round=task.round,
    )
