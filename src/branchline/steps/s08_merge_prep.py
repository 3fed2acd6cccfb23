"""Step 8: what merges, in which order: a function of the plan, written down before anything is merged."""

from functools import partial

import msgspec

from branchline.attempt.integration import merge
from branchline.attempt.run import StepContext
from branchline.core.facts import Clash, MergeQueue
from branchline.core.pipeline import CHAIN, merge_order
from branchline.core.work import Success
from branchline.git.landing.merge import forecast


def run(ctx: StepContext) -> Success:
    """Queue the validated workstreams and forecast their conflicts pair by pair, by merges that touch nothing."""
    run = ctx.run
    order: tuple[str, ...] = ()
    for name in merge_order(run.plan):  # without what was built on something that is not validated: it holds that work
        if ctx.of(name).validated and set(run.plan.workstream(name).depends_on) <= set(order):
            order += (name,)
    excluded = {w.id: _why(ctx, w.id) for w in run.plan.workstreams if w.id not in order}
    commits = {name: ctx.of(name).commit for name in order}
    conflicts = tuple(
        Clash(between=(a, b), paths=paths)
        for a, b, paths in forecast(run.repo, commits, partial(merge, run, declared=run.base))
    )
    queue = {
        "base": run.base,
        "on_conflict": run.settings.merge.on_conflict,
        "queue": [{"workstream": name, "commit": commits[name]} for name in order],
        "excluded": excluded,
        "conflicts": msgspec.to_builtins(conflicts),
    }
    kept = run.keep_data("merge_queue.json", queue)
    fact = MergeQueue(task_id=ctx.task.id, order=order, excluded=excluded, conflicts=conflicts, queue=kept)
    return Success(fact)


def _why(ctx: StepContext, name: str) -> str:
    """The reason of the first step at which a workstream stopped."""
    unfinished = ctx.of(name).unfinished
    for step in CHAIN:
        if step in unfinished:
            return f"{step}: {unfinished[step]}"
    lost = next(d for d in ctx.run.plan.workstream(name).depends_on if _why(ctx, d))
    return f"it builds on {lost}, which is not merged"
