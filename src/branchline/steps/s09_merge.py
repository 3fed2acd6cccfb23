"""Step 9: the integration branch: merged in the queue's order, by plumbing, and proven as a whole."""

from branchline.attempt.approval import needed_by_merge
from branchline.attempt.gate_run import check_commit
from branchline.attempt.integration import prove
from branchline.attempt.run import StepContext
from branchline.core.facts import IntegrationComplete, MergeConflict
from branchline.core.refs import branch_ref
from branchline.core.result import Failure, Success
from branchline.core.workstream import known


def run(ctx: StepContext) -> Success | Failure:
    """Merge the queue onto the run's base. Nothing merged: the step fails, and nothing ships."""
    run = ctx.run
    base = run.base
    result = prove(
        ctx,
        base,
        known(ctx.state.merge_queue).order,
        lambda commit: check_commit(ctx, commit, base=base, phase="validation", name=f"validation/merge-{commit[:12]}"),
        repair=run.settings.merge.on_conflict == "repair",
    )
    if result.conflict:
        _keep(ctx, result.conflict)
        reason = f"workstream {result.conflict.workstream}: {result.conflict.reason}"
        return Failure(reason, error_class="conflict", retryable=False, fact=result.conflict)
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
        approval=need is not None,
        warnings=tuple(result.warnings),
    )
    return Success(fact, need)


def _keep(ctx: StepContext, conflict: MergeConflict) -> None:
    """Hold what is in conflict by a ref: its repair begins with it, and `git gc` may come by before that."""
    run, name = ctx.run, conflict.workstream
    commit = run.repo.commit(conflict.tree, (conflict.tip, conflict.commit), f"conflict {name}\n", run.commit_time)
    run.repo.keep_ref(run.refs.conflict(name), commit)
