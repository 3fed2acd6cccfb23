"""Step 8: what merges, in which order: a function of the plan, written down before anything is merged."""

import json

from branchline.core.events import MergeQueue
from branchline.core.pipeline import merge_order
from branchline.core.result import Result, Success
from branchline.git.merge import forecast
from branchline.steps.context import StepContext


def run(ctx: StepContext) -> Result:
    """Queue the validated workstreams and forecast their conflicts pair by pair, by merges that touch nothing."""
    run = ctx.run
    order = tuple(name for name in merge_order(run.plan) if ctx.completed("validate", name))
    excluded = {w.id: _why(ctx, w.id) for w in run.plan.workstreams if w.id not in order}
    commits = {name: str(ctx.outputs("consume", name)["commit"]) for name in order}
    conflicts = tuple({"between": [a, b], "paths": list(paths)} for a, b, paths in forecast(run.repo, commits))
    fact = MergeQueue(task_id=ctx.task.id, order=order, excluded=excluded, conflicts=conflicts)
    queue = {
        "base": run.base,
        "on_conflict": run.settings.merge.on_conflict,
        "queue": [{"workstream": name, "commit": commits[name]} for name in order],
        "excluded": excluded,
        "conflicts": conflicts,
    }
    path = run.paths.artifacts / "merge_queue.json"
    path.write_text(json.dumps(queue, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    outputs = {"eligible": len(order), "order": list(order), "excluded": excluded, "conflicts": list(conflicts)}
    return Success({**outputs, "queue": str(path)}, (fact,))


def _why(ctx: StepContext, name: str) -> str:
    """The reason of the first step at which a workstream stopped."""
    for step in ("worktrees", "execute", "code_gate", "consume", "validate"):
        record = ctx.records[step, name]
        if not ctx.completed(step, name):
            return f"{step}: {record.reason}"
    return ""
