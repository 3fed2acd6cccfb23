"""Twins of the steps that merge, test what was merged, and ship it."""

from dataclasses import dataclass, field

from branchline.attempt.approval import refuse_rejected, require_approved
from branchline.core.facts import ApprovalNeeded, CiStatus, IntegrationComplete, MergeConflict, ShipComplete
from branchline.core.work import Failure, Success
from branchline.core.workstream import known
from simulated.fate import require
from simulated.story import TARGET
from simulated.world import Context, World

INTEGRATION = "refs/heads/integration"


@dataclass(slots=True)
class Merge:
    """A merge result, as `steps.merging.Integration`."""

    commit: str
    merged: list[str] = field(default_factory=list)
    dropped: dict[str, str] = field(default_factory=dict)
    conflict: MergeConflict | None = None


def _merged(ctx: Context, base: str, *, repair: bool) -> Merge | Failure:
    """The queue in its order, without those that conflict and those that fail together with what is before them."""
    assert ctx.plan is not None
    git, result = ctx.world.git, Merge(base)
    for name in known(ctx.state.merge_queue).order:
        if lost := [d for d in ctx.plan.workstream(name).depends_on if d in result.dropped]:
            result.dropped[name] = f"it builds on {lost[0]}"
            continue
        commit = ctx.of(name).commit
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
        elif repair and ctx.of(name).round <= ctx.world.story.started.policy.repair_rounds:
            result.conflict = MergeConflict(
                task_id=ctx.task.id, workstream=name, tree=made, tip=result.commit, commit=commit
            )
            return result
        else:
            result.dropped[name] = f"it conflicts in {clash}"
    return result


def _held(world: World, base: str, commit: str, outside: set[str]) -> bool:
    theirs = [one for name in outside for one in world.taken_in.get(name, ())]
    return any(world.git.is_ancestor(one, commit) and not world.git.is_ancestor(one, base) for one in theirs)


def merge(ctx: Context) -> Success | Failure:
    result = _merged(ctx, ctx.world.base, repair=ctx.world.story.on_conflict == "repair")
    if isinstance(result, Failure):
        return result
    if result.conflict:
        return Failure("a conflict", "conflict", retryable=False, fact=result.conflict)
    if not result.merged:
        return Failure("no workstream could be merged", "no_merges", retryable=False)
    ctx.world.git.put_ref(INTEGRATION, result.commit)
    fact = IntegrationComplete(
        task_id=ctx.task.id,
        branch=INTEGRATION,
        commit=result.commit,
        merged=tuple(result.merged),
        dropped=result.dropped,
        approval=ctx.world.story.asked,
    )
    tree = ctx.world.git.tree_of(result.commit)
    need = ApprovalNeeded(task_id=ctx.task.id, step="ship", tree=tree, base="", concerns=())
    return Success(fact, need if ctx.world.story.asked else None)


def _ci(ctx: Context, commit: str) -> bool:
    ctx.world.fate.effect()
    files = ctx.world.git.files(commit)
    if any(text.startswith("red") for text in files.values()):
        return False
    ctx.world.tested.add(commit)
    return True


def pr_ci(ctx: Context) -> Success | Failure:
    commit = known(ctx.state.integration).commit
    passed = _ci(ctx, commit)
    fact = CiStatus(task_id=ctx.task.id, commit=commit, verdict="passed" if passed else "failed", report="")
    if passed:
        return Success(fact)
    return Failure("CI: red", "ci_red", retryable=False, fact=fact)


def ship(ctx: Context) -> Success | Failure:
    """What was tested lands by compare-and-swap; if the target moved, what is merged with it is tested first."""
    world, first = ctx.world, known(ctx.state.integration)
    result = Merge(first.commit, list(first.merged), dict(first.dropped))
    if known(ctx.state.ci).commit != result.commit:
        return Failure("CI saw another commit", "untested", retryable=False)
    refuse_rejected(ctx.real)
    if first.approval:
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
    order, git = known(ctx.state.merge_queue).order, ctx.world.git
    inside = [name for name in order if git.is_ancestor(ctx.of(name).commit, tip)]
    if not inside or (ctx.kill.reason is None and not set(result.merged) <= set(inside)):
        return None
    return Merge(tip, inside, {name: result.dropped.get(name, "not yet") for name in order if name not in inside})


def _shipped(ctx: Context, result: Merge) -> Success | Failure:
    ctx.world.worktrees.clear()
    ctx.world.fate.effect()
    fact = ShipComplete(
        task_id=ctx.task.id,
        target=TARGET,
        commit=result.commit,
        merged=tuple(result.merged),
        dropped=result.dropped,
    )
    return Success(fact)
