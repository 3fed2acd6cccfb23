"""Twins of the thirteen steps, and of the agents and gates that they call: facts as the real ones give them.

What an agent makes is told by words: `bad` is rejected by the batch's gates, `flaw` by validation, two `odd` ones pass
alone and fail together, `red` fails CI.
"""

from collections.abc import Callable
from dataclasses import replace

import msgspec

from branchline.attempt.approval import require_approved
from branchline.attempt.scope import conflict_of, starting_tree
from branchline.core.budget import Purse
from branchline.core.facts import (
    ApprovalNeeded,
    Archived,
    Codegate,
    ExecuteWsComplete,
    MergeQueue,
    PlanComplete,
    PlanProposed,
    Preflight,
    RunPrepared,
    ValidateWsFail,
    ValidateWsPass,
    WorktreesReady,
    WsCheckpoint,
)
from branchline.core.graph import Task
from branchline.core.model.plan import Plan
from branchline.core.pipeline import merge_order
from branchline.core.run_state import RunState
from branchline.core.work import Failure, Result, StepFailed, Success
from branchline.core.workstream import known
from branchline.engine.driver import Job
from branchline.process.spawn import KillSwitch
from simulated.driver import SimSwitch
from simulated.fate import require
from simulated.merging import merge, pr_ci, ship
from simulated.story import CLASSES, as_json
from simulated.world import Context, Ground, World


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
            state=state.pipeline,
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
        return Success(outputs={"eligible": chance.choice((0, 1, 1))})
    return Failure("by chance", error_class=chance.choice(CLASSES), retryable=chance.random() < 0.7)


def _performed(ctx: Context, kill: KillSwitch) -> Result:
    """As the engine does it: what was called is told, whatever became of the step."""
    ctx.kill = kill
    chance, failing = ctx.world.fate.chance, ctx.world.story.failing
    result: Success | Failure | None = None
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
        result = replace(result, error_class=kill.reason, retryable=True)
    return replace(result, told=tuple(ctx.told))


def _preflight(ctx: Context) -> Success:
    return Success(Preflight(task_id=ctx.task.id))


def _run_init(ctx: Context) -> Success:
    return Success(RunPrepared(task_id=ctx.task.id, base=ctx.world.base))


def _archive(ctx: Context) -> Success:
    return Success(Archived(task_id=ctx.task.id, report="", archive=""))


def _planning(ctx: Context) -> Success | Failure:
    name = ctx.task.id
    if ctx.plan is not None:
        return Success(PlanComplete(task_id=name, workstreams=ctx.plan.ids, digest="d"))
    if ctx.world.fate.happens(ctx.world.story.failing / 2):
        return Failure("no plan that can be used", "invalid_plan", retryable=False)
    plan = ctx.world.story.plan
    assert plan is not None
    proposed = PlanProposed(task_id=name, plan=as_json(plan), digest="d")
    if ctx.plan_waits:
        return Success(proposed)
    ctx.told.append(proposed)
    return Success(accepted(name, plan, "policy"))


def accepted(name: str, plan: Plan, by: str) -> PlanComplete:
    """Somebody's word on a plan."""
    return PlanComplete(task_id=name, workstreams=plan.ids, digest="d", by=by, plan=as_json(plan))


def _worktrees(ctx: Context) -> Success | Failure:
    assert ctx.plan is not None
    name, git, base = ctx.task.workstream, ctx.world.git, ctx.world.base
    order = [one for one in merge_order(ctx.plan) if one in ctx.plan.workstream(name).depends_on]
    for number, other in enumerate(order):
        commit = ctx.of(other).commit
        base, clash = (commit, ()) if number == 0 else git.merge(base, commit, f"base {name}")
        if clash:
            return Failure(f"its dependencies conflict in {clash}", "conflict", retryable=False)
    git.put_ref(f"base/{name}", base)
    ctx.world.worktrees.add(name)
    return Success(WorktreesReady(task_id=ctx.task.id, workstream=name, path="", branch=name, base=base))


def _execute(ctx: Context) -> Success | Failure:
    """An agent writes its file, sometimes one that others write too, in good quality or not."""
    world, name, chance = ctx.world, ctx.task.workstream, ctx.world.fate.chance
    world.worktrees.add(name)
    base = ctx.ws.base
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
    fact = ExecuteWsComplete(
        task_id=ctx.task.id, workstream=name, agent="a", status=status, tree=tree, files=(), commit=commit
    )
    if failed:
        kind = chance.choice(CLASSES)
        return Failure("agent: by chance", kind, retryable=chance.random() < 0.6, fact=fact)
    return Success(fact)


def _code_gate(ctx: Context) -> Success | Failure:
    world, name = ctx.world, ctx.task.workstream
    if ctx.paid:
        ctx.call()
    tree = known(ctx.ws.work).tree
    files = world.git.trees[tree]
    if not files[f"{name}.txt"].startswith("bad") and world.fate.happens(0.1):  # a fixer
        tree = world.git.tree({**files, f"{name}.fmt": "tidy"})
    batch = f"{name}-{ctx.task.id.rpartition('_r')[2] if ctx.task.origin else 1}"
    rejected = files[f"{name}.txt"].startswith("bad") or any("<<<" in text for text in files.values())
    verdict = "rejected" if rejected else "approved"
    world.git.keep_ref(f"gate/{batch}", world.git.commit(tree, (ctx.ws.base,), batch))
    beyond = world.fate.happens(world.story.failing / 4)
    guarded = not beyond and not rejected and world.fate.happens(world.story.guarded)
    fact = Codegate(
        task_id=ctx.task.id,
        workstream=name,
        verdict="error" if beyond else "rejected" if rejected else "approved",
        batch=batch,
        tree=tree,
        report="",
        reason="" if verdict == "approved" else "bad",
        at=world.fate.now,
        approval=guarded,
    )
    if beyond:
        return Failure("could not be checked", "gate_error", fact=fact)
    if rejected:
        return Failure(f"batch {batch} rejected", "rejected", retryable=False, fact=fact)
    need = ApprovalNeeded(task_id=ctx.task.id, step="consume", workstream=name, tree=tree, base="", concerns=())
    return Success(fact, need if guarded else None)


def _consume(ctx: Context) -> Success | Failure:
    git, name, batch = ctx.world.git, ctx.task.workstream, known(ctx.ws.batch)
    if batch.approval:
        require_approved(ctx.real, batch.tree)
    conflict = conflict_of(ctx.real)
    parents = [conflict.commit, conflict.tip] if conflict else [ctx.ws.base]
    commit = git.commit(batch.tree, parents, ctx.task.origin or ctx.task.id)
    git.put_ref(f"feature/{name}", commit)
    return Success(WsCheckpoint(task_id=ctx.task.id, workstream=name, commit=commit, tree=batch.tree))


def _validate(ctx: Context) -> Success | Failure:
    name, commit = ctx.task.workstream, ctx.ws.commit
    ctx.world.fate.effect()
    if ctx.world.git.files(commit)[f"{name}.txt"].startswith("flaw"):
        fact = ValidateWsFail(task_id=ctx.task.id, workstream=name, commit=commit, report="", reason="flaw")
        return Failure("in a clean checkout: flaw", "validation", retryable=False, fact=fact)
    return Success(ValidateWsPass(task_id=ctx.task.id, workstream=name, commit=commit, report=""))


def _merge_prep(ctx: Context) -> Success | Failure:
    assert ctx.plan is not None
    order: list[str] = []
    for name in merge_order(ctx.plan):
        if ctx.of(name).validated and set(ctx.plan.workstream(name).depends_on) <= set(order):
            order.append(name)
    excluded = {name: "it did not come so far" for name in ctx.plan.ids if name not in order}
    return Success(MergeQueue(task_id=ctx.task.id, order=tuple(order), excluded=excluded))


STEPS: dict[str, Callable[[Context], Success | Failure]] = {
    "preflight": _preflight,
    "run_init": _run_init,
    "planning": _planning,
    "worktrees": _worktrees,
    "execute": _execute,
    "code_gate": _code_gate,
    "consume": _consume,
    "validate": _validate,
    "merge_prep": _merge_prep,
    "merge": merge,
    "pr_ci": pr_ci,
    "ship": ship,
    "archive": _archive,
}
