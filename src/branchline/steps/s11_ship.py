"""Step 11: what was tested lands, by compare-and-swap; the worktrees are saved and go."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from branchline.attempt.approval import needed_by_merge, refuse_rejected, require_approved
from branchline.attempt.gate_run import check_commit
from branchline.attempt.integration import Integration, prove
from branchline.attempt.run import Run, StepContext
from branchline.attempt.saved import remove_worktree
from branchline.core.facts import ShipComplete, WorktreeSaved
from branchline.core.model.verdict import Outcome
from branchline.core.result import Failure, StepFailed, Success
from branchline.core.workstream import known
from branchline.git.checkout import CheckoutDirty, fast_forward
from branchline.git.repo import RefMoved

SWAPS = 5


def run(ctx: StepContext) -> Success | Failure:
    """Leave the integration branch (mode `branch`), or move the target to the tested commit (mode `merge`)."""
    run, merged = ctx.run, known(ctx.state.integration)
    result = Integration(merged.commit, list(merged.merged), dict(merged.dropped))
    if known(ctx.state.ci).commit != result.commit:
        return Failure("CI saw another commit than the one to ship", error_class="untested", retryable=False)
    refuse_rejected(ctx)
    target, tag = "", ""
    if run.settings.ship.mode == "merge":
        target = run.target
        result = _land(ctx, result)
        if tag := _tag(ctx, result.commit):
            run.repo.move_ref(f"refs/tags/{tag}", result.commit, run.repo.read_ref(f"refs/tags/{tag}"))
    else:
        _require_approved(ctx, run.base, result)
    ctx.checkpoint("ship-complete", result.commit)
    ctx.say("saving and removing worktrees")
    saved = _saved_worktrees(run, ctx.task.id)
    ctx.told.extend(saved)
    fact = ShipComplete(
        task_id=ctx.task.id,
        target=target,
        commit=result.commit,
        tag=tag,
        branch=run.integration,
        merged=tuple(result.merged),
        dropped=result.dropped,
        saved={one.workstream: one.ref for one in saved if one.ref},
    )
    return Success(fact)


def _saved_worktrees(run: Run, task_id: str) -> list[WorktreeSaved]:
    """What became of each worktree; several at once, because saving is git's work. One that cannot be saved stays."""
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        found = pool.map(lambda name: remove_worktree(run, name, task_id), run.plan.ids)
        return [fact for fact in found if fact is not None]


def _require_approved(ctx: StepContext, base: str, result: Integration) -> None:
    """Nothing lands that waits for a person's yes: what was merged first, or what was merged anew on a moved target."""
    run, first = ctx.run, known(ctx.state.integration)
    if result.commit == first.commit:
        if first.approval:
            require_approved(ctx, run.repo.tree_of(result.commit))
        return
    need = needed_by_merge(ctx, base, result)
    if need is None:
        return
    try:
        require_approved(ctx, need.tree)
    except StepFailed as error:
        reason = f"{run.target} moved: the new merge waits for its own approval"
        raise StepFailed(replace(error.failure, reason=reason, asks=need)) from error


def _land(ctx: StepContext, result: Integration) -> Integration:
    """Swap the target from the tested commit's base to the tested commit; if it moved, integrate and test anew."""
    run, base = ctx.run, ctx.run.base
    for _ in range(SWAPS):
        tip = run.repo.read_ref(f"refs/heads/{run.target}")
        if tip is None:
            raise StepFailed(Failure(f"the target branch {run.target} is gone", "ship", retryable=False))
        if tip != base and not run.repo.is_ancestor(result.commit, tip):
            if there := _landed_anew(ctx, result, tip):
                return there
            base, result = tip, _integrate_anew(ctx, tip)
        landed = run.repo.is_ancestor(result.commit, tip)
        if not landed:
            _require_approved(ctx, base, result)
        try:
            _swap(ctx, base, result.commit, landed=landed)
        except RefMoved:
            continue
        except CheckoutDirty as error:
            raise StepFailed(_dirty(ctx, error)) from error
        return result
    raise StepFailed(Failure(f"{run.target} kept moving while it was tested against", error_class="target_moved"))


def _landed_anew(ctx: StepContext, result: Integration, tip: str) -> Integration | None:
    """What a lost attempt had integrated anew and landed: all of it, or as much as is there when we are told to end."""
    order, repo = known(ctx.state.merge_queue).order, ctx.run.repo
    inside = [name for name in order if repo.is_ancestor(ctx.of(name).commit, tip)]
    if not inside or (ctx.kill.reason is None and not set(result.merged) <= set(inside)):
        return None
    why = f"it was {ctx.kill.reason} before it landed"
    return Integration(tip, inside, {name: result.dropped.get(name, why) for name in order if name not in inside})


def _swap(ctx: StepContext, base: str, commit: str, *, landed: bool) -> None:
    run = ctx.run
    checkouts = run.repo.checked_out_at(run.target)
    if landed and run.repo.read_ref(f"refs/heads/{run.target}") != commit:
        return  # shipped by a lost attempt, and others went on from there
    if ctx.kill.reason is not None and not landed:
        reason = f"it was {ctx.kill.reason} before anything landed"
        raise StepFailed(Failure(reason, error_class=ctx.kill.reason))
    _reserve_tag(ctx, commit)
    if checkouts:
        fast_forward(run.repo, checkouts[0], run.target, base, commit)
    else:
        run.repo.move_ref(f"refs/heads/{run.target}", commit, base)


def _reserve_tag(ctx: StepContext, commit: str) -> None:
    """A tag that stands elsewhere is found before the target moves, not after."""
    tag = _tag(ctx, commit)
    there = ctx.run.repo.read_ref(f"refs/tags/{tag}") if tag else None
    if there not in {None, commit}:
        raise StepFailed(Failure(f"the tag {tag} exists already, at {there}", error_class="ship", retryable=False))


def _tag(ctx: StepContext, commit: str) -> str:
    """The tag's name, empty for none. A run that ships again after a retry numbers its tags: no tag ever moves."""
    name = ctx.run.tag
    made = {r.event.tag: r.event.commit for r in ctx.run.history()[0] if isinstance(r.event, ShipComplete)}
    tag, number = name, 1
    while name and made.get(tag, commit) != commit:
        number += 1
        tag = f"{name}-{number}"
    return tag


def _integrate_anew(ctx: StepContext, tip: str) -> Integration:
    """The same queue in the same order on the target's new tip, tested like the first."""
    run = ctx.run
    ctx.say(f"{run.target} moved: integrating anew")
    result = prove(
        ctx,
        tip,
        known(ctx.state.merge_queue).order,
        lambda commit: check_commit(ctx, commit, base=tip, phase="validation", name=f"validation/merge-{commit[:12]}"),
        repair=False,
    )
    if not result.merged:
        reasons = "; ".join(f"{name}: {why}" for name, why in result.dropped.items())
        reason = f"{run.target} moved, and nothing merges with it: {reasons}"
        raise StepFailed(Failure(reason, error_class="no_merges", retryable=False))
    if result.commit != tip and run.repo.tree_of(result.commit) == run.repo.tree_of(tip):
        reason = f"{run.target} moved, and holds all that is to be merged already"
        raise StepFailed(Failure(reason, error_class="no_change", retryable=False))
    report = check_commit(ctx, result.commit, base=tip, phase="integration", name="ci-anew")
    if report.outcome != Outcome.PASSED:
        raise StepFailed(Failure(f"{run.target} moved, and CI is {report.outcome} on the new merge", "ci_red"))
    run.repo.put_ref(f"refs/heads/{run.integration}", result.commit)
    return result


def _dirty(ctx: StepContext, error: CheckoutDirty) -> Failure:
    reason = f"{error.message}; nothing was shipped, {ctx.run.integration} holds the result"
    again = f"branchline retry {ctx.run.run_id} {ctx.task.id}"
    hint = f"{error.hint}, then: {again}" if error.hint else again
    return Failure(reason, error_class="dirty", retryable=False, hint=hint)
