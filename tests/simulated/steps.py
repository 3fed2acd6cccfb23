"""Twins of the thirteen steps, and of the agents and gates that they call: facts and outputs as the real ones give them.

What an agent makes is told by words: `bad` is rejected by the batch's gates, `flaw` by validation, two `odd` ones pass
alone and fail together, `red` fails CI.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec

from branchline.core.budget import Purse
from branchline.core.decisions import ApprovalDecided, ApprovalNeeded
from branchline.core.events import (
    AgentCalled,
    CiStatus,
    Codegate,
    ExecuteWsComplete,
    IntegrationComplete,
    MergeQueue,
    PlanComplete,
    PlanProposed,
    ShipComplete,
    ValidateWsFail,
    ValidateWsPass,
    WorktreesReady,
    WsCheckpoint,
)
from branchline.core.graph import Task
from branchline.core.pipeline import merge_order
from branchline.core.plan import Plan
from branchline.core.result import Failure, Result, StepFailed, Success
from branchline.core.run_state import RunState, TaskRecord
from branchline.engine.drivers.base import Job
from branchline.process.spawn import KillSwitch
from branchline.steps.approving import refuse_rejected, require_approved
from branchline.steps.context import StepContext, latest_records
from branchline.steps.scope import conflict_of, starting_tree
from simulated.driver import SimSwitch
from simulated.fate import Fate, require
from simulated.git import Twin
from simulated.story import BASE, CLASSES, TARGET, Story, as_json

INTEGRATION = "refs/heads/integration"


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
    records: Mapping[tuple[str, str], TaskRecord]
    purse: Purse
    paid: bool
    plan_waits: bool
    decision: ApprovalDecided | None
    kill: KillSwitch
    calls: list[AgentCalled] = field(default_factory=list)

    def outputs(self, step: str, workstream: str | None = None) -> Mapping[str, Any]:
        record = self.records.get((step, self.task.workstream if workstream is None else workstream))
        return record.outputs if record else {}

    def completed(self, step: str, workstream: str) -> bool:
        record = self.records.get((step, workstream))
        return record is not None and record.state == "COMPLETED"

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
            self.calls.append(_called(self.task, self.attempt, told))
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
        usage={} if cost is None else {"cost_usd": cost},
        milliseconds=1,
        folder="",
        workstream=task.workstream,
        round=task.round,
    )


def jobs(world: World) -> Callable[[Task, int, RunState], Job]:
    """The `job` function of a coordinator."""

    def job(task: Task, attempt: int, state: RunState) -> Job:
        if state.kind == "graph":
            return Job(
                task.id, attempt, lambda kill: _by_chance(world, kill), task.timeout_seconds, killable=attempt > 1
            )
        ctx = Context(
            kill=SimSwitch(),
            world=world,
            run=Ground(world.git),
            task=task,
            attempt=attempt,
            plan=msgspec.convert(state.plan, Plan) if state.plan else None,
            records=latest_records(state),
            purse=Purse(state.spending.reserved_for(task.id)),
            paid=task.step in state.policy.paid_steps,
            plan_waits=state.policy.approve_plan,
            decision=state.decided.get(task.id),
        )
        return Job(task.id, attempt, lambda kill: _performed(ctx, kill))

    return job


def _by_chance(world: World, kill: KillSwitch) -> Result:
    chance = world.fate.chance
    if kill.reason is not None:
        return Failure("it was ended", error_class=kill.reason)
    if chance.random() >= world.story.failing:
        return Success({"eligible": chance.choice((0, 1, 1))})
    return Failure("by chance", error_class=chance.choice(CLASSES), retryable=chance.random() < 0.7)


def _performed(ctx: Context, kill: KillSwitch) -> Result:
    """As the engine does it: what was called is told, whatever became of the step."""
    ctx.kill = kill
    chance, failing = ctx.world.fate.chance, ctx.world.story.failing
    result: Result | None = None
    if ctx.task.step in {"planning", "execute"} and not (ctx.task.step == "planning" and ctx.plan):
        ctx.call()
    if kill.reason is not None and ctx.task.step != "ship" and chance.random() < 0.8:
        result = Failure("it was ended", error_class=kill.reason)
    elif not ctx.surely and chance.random() < failing / 4:
        result = Failure("by chance", error_class=chance.choice(CLASSES), retryable=chance.random() < 0.9)
    if result is None:
        try:
            result = STEPS[ctx.task.step](ctx)
        except StepFailed as error:
            result = error.failure
    if kill.reason is not None and isinstance(result, Failure):
        result = Failure(result.reason, kill.reason, outputs=result.outputs, facts=result.facts)
    facts = (*ctx.calls, *result.facts)
    if isinstance(result, Success):
        return Success(result.outputs, facts)
    return Failure(result.reason, result.error_class, retryable=result.retryable, outputs=result.outputs, facts=facts)


def _nothing(_ctx: Context) -> Result:
    return Success()


def _planning(ctx: Context) -> Result:
    name = ctx.task.id
    if ctx.plan is not None:
        return Success({}, (PlanComplete(task_id=name, workstreams=ctx.plan.ids, digest="d"),))
    if ctx.world.fate.happens(ctx.world.story.failing / 2):
        return Failure("no plan that can be used", "invalid_plan", retryable=False)
    assert ctx.world.story.plan is not None
    return Success({}, tuple(_proposals(name, ctx.world.story.plan, ctx.plan_waits)))


def _proposals(name: str, plan: Plan, waits: object) -> list[PlanProposed | PlanComplete]:
    proposed = PlanProposed(task_id=name, plan=as_json(plan), digest="d")
    return [proposed] if waits else [proposed, accepted(name, plan, "policy")]


def accepted(name: str, plan: Plan, by: str) -> PlanComplete:
    """Somebody's word on a plan."""
    return PlanComplete(task_id=name, workstreams=plan.ids, digest="d", by=by, plan=as_json(plan))


def _worktrees(ctx: Context) -> Result:
    assert ctx.plan is not None
    name, git, base = ctx.task.workstream, ctx.world.git, ctx.world.base
    order = [one for one in merge_order(ctx.plan) if one in ctx.plan.workstream(name).depends_on]
    for number, other in enumerate(order):
        commit = str(ctx.outputs("consume", other)["commit"])
        base, clash = (commit, ()) if number == 0 else git.merge(base, commit, f"base {name}")
        if clash:
            return Failure(f"its dependencies conflict in {clash}", "conflict", retryable=False)
    git.put_ref(f"base/{name}", base)
    ctx.world.worktrees.add(name)
    fact = WorktreesReady(task_id=ctx.task.id, workstream=name, path="", branch=name, base=base)
    return Success({"base": base}, (fact,))


def _execute(ctx: Context) -> Result:
    """An agent writes its file, sometimes one that others write too, in good quality or not."""
    world, name, chance = ctx.world, ctx.task.workstream, ctx.world.fate.chance
    world.worktrees.add(name)
    base = str(ctx.outputs("worktrees")["base"])
    start = starting_tree(ctx.real)
    known = world.starts.get(name, start)
    require(ctx.task.round == 1 or start == known, f"the repair of {name} begins with {start}, not {known}")
    files = dict(world.git.trees[start])
    words = ("bad", "flaw", "odd", "odd", "red") if chance.random() < world.story.sloppy else ("good",)
    files[f"{name}.txt"] = f"{chance.choice(words)} {name} {ctx.task.round}"
    if chance.random() < world.story.shared:
        files["shared.txt"] = name
    if conflict_of(ctx.real) and chance.random() < 0.8:
        files = {path: text.split("|")[-1].strip("<>") for path, text in files.items()}
    tree = world.git.tree(files)
    commit = world.git.commit(tree, (base,), ctx.task.id)
    world.git.keep_ref(f"attempts/{ctx.task.id}/{ctx.attempt}", commit)
    failed = chance.random() < world.story.failing
    status = "failed" if failed else "ok"
    fact = ExecuteWsComplete(task_id=ctx.task.id, workstream=name, agent="a", status=status, tree=tree, files=())
    if failed:
        kind = chance.choice(CLASSES)
        return Failure("agent: by chance", kind, retryable=chance.random() < 0.6, facts=(fact,))
    return Success({"tree": tree, "commit": commit}, (fact,))


def _code_gate(ctx: Context) -> Result:
    world, name = ctx.world, ctx.task.workstream
    if ctx.paid:
        ctx.call()
    tree = str(ctx.outputs("execute")["tree"])
    files = world.git.trees[tree]
    if not files[f"{name}.txt"].startswith("bad") and world.fate.happens(0.1):  # a fixer
        tree = world.git.tree({**files, f"{name}.fmt": "tidy"})
    batch = f"{name}-{ctx.task.id.rpartition('_r')[2] if ctx.task.origin else 1}"
    rejected = files[f"{name}.txt"].startswith("bad") or any("<<<" in text for text in files.values())
    verdict = "rejected" if rejected else "approved"
    world.git.keep_ref(f"gate/{batch}", world.git.commit(tree, (str(ctx.outputs("worktrees")["base"]),), batch))
    if world.fate.happens(world.story.failing / 4):
        return Failure("could not be checked", "gate_error", outputs={"tree": tree})
    fact = Codegate(
        task_id=ctx.task.id,
        workstream=name,
        verdict="rejected" if rejected else "approved",
        batch=batch,
        tree=tree,
        report="",
        reason="" if verdict == "approved" else "bad",
        at=world.fate.now,
    )
    if rejected:
        return Failure(f"batch {batch} rejected", "rejected", retryable=False, outputs={"tree": tree}, facts=(fact,))
    outputs = {"tree": tree, "batch": batch}
    if not world.fate.happens(world.story.guarded):
        return Success(outputs, (fact,))
    need = ApprovalNeeded(task_id=ctx.task.id, step="consume", workstream=name, tree=tree, base="", concerns=())
    return Success({**outputs, "approval": True}, (fact, need))


def _consume(ctx: Context) -> Result:
    git, name, tree = ctx.world.git, ctx.task.workstream, str(ctx.outputs("code_gate")["tree"])
    if ctx.outputs("code_gate").get("approval"):
        require_approved(ctx.real, tree)
    parents = [str(ctx.outputs("worktrees")["base"])]
    if conflict := conflict_of(ctx.real):
        parents = [str(conflict["commit_of"]), str(conflict["tip"])]
    commit = git.commit(tree, parents, ctx.task.origin or ctx.task.id)
    git.put_ref(f"feature/{name}", commit)
    fact = WsCheckpoint(task_id=ctx.task.id, workstream=name, commit=commit, tree=tree)
    return Success({"commit": commit, "tree": tree}, (fact,))


def _validate(ctx: Context) -> Result:
    name, commit = ctx.task.workstream, str(ctx.outputs("consume")["commit"])
    ctx.world.fate.effect()
    if ctx.world.git.files(commit)[f"{name}.txt"].startswith("flaw"):
        fact = ValidateWsFail(task_id=ctx.task.id, workstream=name, commit=commit, report="", reason="flaw")
        return Failure("in a clean checkout: flaw", "validation", retryable=False, facts=(fact,))
    passed = ValidateWsPass(task_id=ctx.task.id, workstream=name, commit=commit, report="")
    return Success({"commit": commit}, (passed,))


def _merge_prep(ctx: Context) -> Result:
    assert ctx.plan is not None
    order: list[str] = []
    for name in merge_order(ctx.plan):
        if ctx.completed("validate", name) and set(ctx.plan.workstream(name).depends_on) <= set(order):
            order.append(name)
    excluded = {name: "it did not come so far" for name in ctx.plan.ids if name not in order}
    fact = MergeQueue(task_id=ctx.task.id, order=tuple(order), excluded=excluded)
    return Success({"eligible": len(order), "order": order, "excluded": excluded}, (fact,))


@dataclass(slots=True)
class Merge:
    """A merge result, as `steps.merging.Integration`."""

    commit: str
    merged: list[str] = field(default_factory=list)
    dropped: dict[str, str] = field(default_factory=dict)
    conflict: dict[str, Any] = field(default_factory=dict)

    def outputs(self) -> dict[str, Any]:
        return {"commit": self.commit, "merged": self.merged, "dropped": self.dropped}


def _merged(ctx: Context, base: str, *, repair: bool) -> Merge | Failure:
    """The queue in its order, without those that conflict and those that fail together with what is before them."""
    assert ctx.plan is not None
    git, result = ctx.world.git, Merge(base)
    for name in ctx.outputs("merge_prep", "")["order"]:
        if lost := [d for d in ctx.plan.workstream(name).depends_on if d in result.dropped]:
            result.dropped[name] = f"it builds on {lost[0]}"
            continue
        commit = str(ctx.outputs("consume", name)["commit"])
        outside = {one for one in ctx.plan.ids if one not in result.merged}
        if _held(ctx.world, base, commit, outside - {name}):
            result.dropped[name] = "it holds the work of another that is not merged"
            continue
        made, clash = git.merge(result.commit, commit, f"merge {name}")
        if not clash and sum(text.startswith("odd") for text in git.files(made).values()) > 1:
            result.dropped[name] = "it fails together with what is before it"
        elif not clash:
            result.commit = made
            result.merged.append(name)
        elif ctx.world.story.on_conflict == "abort":
            return Failure(f"{name} conflicts in {clash}", "conflict", retryable=False)
        elif repair and ctx.records["execute", name].task.round <= ctx.world.story.started.policy.repair_rounds:
            result.conflict = {"repair": name, "tree": made, "tip": result.commit, "commit_of": commit}
            return result
        else:
            result.dropped[name] = f"it conflicts in {clash}"
    return result


def _held(world: World, base: str, commit: str, outside: set[str]) -> bool:
    theirs = [one for name in outside for one in world.taken_in.get(name, ())]
    return any(world.git.is_ancestor(one, commit) and not world.git.is_ancestor(one, base) for one in theirs)


def _merge(ctx: Context) -> Result:
    result = _merged(ctx, ctx.world.base, repair=ctx.world.story.on_conflict == "repair")
    if isinstance(result, Failure):
        return result
    if result.conflict:
        return Failure("a conflict", "conflict", retryable=False, outputs=result.conflict)
    if not result.merged:
        return Failure("no workstream could be merged", "no_merges", retryable=False)
    ctx.world.git.put_ref(INTEGRATION, result.commit)
    fact = IntegrationComplete(
        task_id=ctx.task.id,
        branch=INTEGRATION,
        commit=result.commit,
        merged=tuple(result.merged),
        dropped=result.dropped,
    )
    if not ctx.world.story.asked:
        return Success(result.outputs(), (fact,))
    tree = ctx.world.git.tree_of(result.commit)
    need = ApprovalNeeded(task_id=ctx.task.id, step="ship", tree=tree, base="", concerns=())
    return Success({**result.outputs(), "approval": True}, (fact, need))


def _ci(ctx: Context, commit: str) -> bool:
    ctx.world.fate.effect()
    files = ctx.world.git.files(commit)
    if any(text.startswith("red") for text in files.values()):
        return False
    ctx.world.tested.add(commit)
    return True


def _pr_ci(ctx: Context) -> Result:
    commit = str(ctx.outputs("merge", "")["commit"])
    passed = _ci(ctx, commit)
    fact = CiStatus(task_id=ctx.task.id, commit=commit, verdict="passed" if passed else "failed", report="")
    if passed:
        return Success({"commit": commit}, (fact,))
    return Failure("CI: red", "ci_red", retryable=False, facts=(fact,))


def _ship(ctx: Context) -> Result:
    """What was tested lands by compare-and-swap; if the target moved, what is merged with it is tested first."""
    world, outputs = ctx.world, ctx.outputs("merge", "")
    result = Merge(str(outputs["commit"]), list(outputs["merged"]), dict(outputs["dropped"]))
    if ctx.outputs("pr_ci", "")["commit"] != result.commit:
        return Failure("CI saw another commit", "untested", retryable=False)
    refuse_rejected(ctx.real)
    if outputs.get("approval"):
        require_approved(ctx.real, world.git.tree_of(result.commit))
    if world.story.ship == "merge":
        tip = world.git.refs[TARGET]
        if not world.git.is_ancestor(result.commit, tip):
            if there := _landed_anew(ctx, result, tip):
                return _shipped(ctx, there)
            if not world.git.is_ancestor(tip, result.commit):
                anew = _merged(ctx, tip, repair=False)
                if isinstance(anew, Failure) or not anew.merged or not _ci(ctx, anew.commit):
                    return Failure("the target moved, and nothing merges with it", "no_merges", retryable=False)
                result = anew
            if ctx.kill.reason is not None:
                return Failure("it was ended before anything landed", ctx.kill.reason)
            if not world.git.swap_ref(TARGET, result.commit, tip):
                return Failure("the target moved", "target_moved")
            require(result.commit in world.tested, f"{result.commit} landed untested")
            world.landed.append(result.commit)
            if world.fate.happens(world.story.deadly / 5):
                world.fate.revive(0)  # dead before anybody writes down that it landed
    return _shipped(ctx, result)


def _landed_anew(ctx: Context, result: Merge, tip: str) -> Merge | None:
    order, git = ctx.outputs("merge_prep", "")["order"], ctx.world.git
    inside = [name for name in order if git.is_ancestor(str(ctx.outputs("consume", name)["commit"]), tip)]
    if not inside or (ctx.kill.reason is None and not set(result.merged) <= set(inside)):
        return None
    return Merge(tip, inside, {name: result.dropped.get(name, "not yet") for name in order if name not in inside})


def _shipped(ctx: Context, result: Merge) -> Result:
    ctx.world.worktrees.clear()
    ctx.world.fate.effect()
    return Success(result.outputs(), (ShipComplete(task_id=ctx.task.id, target=TARGET, commit=result.commit),))


STEPS: dict[str, Callable[[Context], Result]] = {
    "preflight": _nothing,
    "run_init": _nothing,
    "planning": _planning,
    "worktrees": _worktrees,
    "execute": _execute,
    "code_gate": _code_gate,
    "consume": _consume,
    "validate": _validate,
    "merge_prep": _merge_prep,
    "merge": _merge,
    "pr_ci": _pr_ci,
    "ship": _ship,
    "archive": _nothing,
}
