"""Step 9: the integration branch: merged in the queue's order, by plumbing, and proven as a whole."""

from collections.abc import Sequence

from branchline.attempt.approval import needed_by_merge
from branchline.attempt.gate_run import check_commit
from branchline.attempt.integration import prove, queue_of
from branchline.attempt.run import StepContext
from branchline.core.facts import IntegrationComplete
from branchline.core.refs import branch_ref
from branchline.core.result import Failure, Result, Success


def run(ctx: StepContext) -> Result:
    """Merge the queue onto the run's base. Nothing merged: the step fails, and nothing ships."""
    run = ctx.run
    base = run.base
    result = prove(
        ctx,
        base,
        queue_of(ctx.outputs("merge_prep", "")),
        lambda commit: check_commit(ctx, commit, base=base, phase="validation", name=f"validation/merge-{commit[:12]}"),
        repair=run.settings.merge.on_conflict == "repair",
    )
    if result.conflict:
        name = result.conflict["repair"]
        own = {"commit_of": str(ctx.outputs("consume", name)["commit"])}
        _keep(ctx, name, str(result.conflict["tree"]), (str(result.conflict["tip"]), own["commit_of"]))
        reason = f"workstream {name}: {result.conflict['reason']}"
        return Failure(reason, error_class="conflict", retryable=False, outputs={**result.conflict, **own})
    if not result.merged:
        reasons = "; ".join(f"{name}: {why}" for name, why in result.dropped.items())
        return Failure(f"no workstream could be merged: {reasons}", error_class="no_merges", retryable=False)
    if run.repo.tree_of(result.commit) == run.repo.tree_of(base):
        reason = f"the merge of {', '.join(result.merged)} changes nothing"
        return Failure(reason, error_class="no_change", retryable=False)
    need = needed_by_merge(ctx, base, result)
    run.repo.put_ref(branch_ref(run.integration), result.commit)
    ctx.checkpoint("integration-complete", result.commit)
    fact = IntegrationComplete(
        task_id=ctx.task.id,
        branch=run.integration,
        commit=result.commit,
        merged=tuple(result.merged),
        dropped=result.dropped,
        warnings=tuple(result.warnings),
    )
    outputs = {**result.outputs(), "branch": run.integration}
    return Success({**outputs, "approval": True}, (fact, need)) if need else Success(outputs, (fact,))


def _keep(ctx: StepContext, workstream: str, tree: str, parents: Sequence[str]) -> None:
    """Hold what is in conflict by a ref: its repair begins with it, and `git gc` may come by before that."""
    run = ctx.run
    commit = run.repo.commit(tree, parents, f"conflict {workstream}\n", run.commit_time)
    run.repo.keep_ref(run.refs.conflict(workstream), commit)
