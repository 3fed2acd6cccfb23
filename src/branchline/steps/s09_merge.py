"""Step 9: the integration branch: merged in the queue's order, by plumbing, and proven as a whole."""

from branchline.attempt.approval import needed_by_merge
from branchline.attempt.integration import prove
from branchline.attempt.run import StepContext
from branchline.core.facts import IntegrationComplete
from branchline.core.work import Failure, Success
from branchline.core.workstream import known


def run(ctx: StepContext) -> Success | Failure:
    """Merge the queue onto the run's base. Nothing merged: the step fails, and nothing ships."""
    run = ctx.run
    repair = run.settings.merge.on_conflict == "repair"
    result = prove(ctx, run.base, known(ctx.state.merge_queue).order, repair=repair)
    if found := result.conflict:
        # Held by a ref: its repair begins with it, and `git gc` may come by before that.
        name, parents = found.workstream, (found.tip, found.commit)
        commit = run.repo.commit(found.tree, parents, f"conflict {name}\n", run.commit_time)
        run.repo.keep_ref(run.refs.conflict(name), commit)
        reason = f"workstream {name}: {found.reason}"
        return Failure(reason, error_class="conflict", retryable=False, fact=found)
    if not result.merged:
        reasons = "; ".join(f"{name}: {why}" for name, why in result.dropped.items())
        return Failure(f"no workstream could be merged: {reasons}", error_class="no_merges", retryable=False)
    if run.repo.tree_of(result.commit) == run.repo.tree_of(run.base):
        reason = f"the merge of {', '.join(result.merged)} changes nothing"
        return Failure(reason, error_class="no_change", retryable=False)
    need = needed_by_merge(ctx, run.base, result)
    run.put_branch("", result.commit)
    ctx.checkpoint("integration-complete", result.commit)
    fact = IntegrationComplete(
        task_id=ctx.task.id,
        branch=run.refs.integration,
        commit=result.commit,
        merged=tuple(result.merged),
        dropped=result.dropped,
        approval=need is not None,
        warnings=tuple(result.warnings),
    )
    return Success(fact, need)
