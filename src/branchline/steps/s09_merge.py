"""Step 9: the integration branch: merged in the queue's order, by plumbing, and proven as a whole."""

from branchline.core.events import IntegrationComplete
from branchline.core.result import Failure, Result, Success
from branchline.steps.checking import check_commit
from branchline.steps.context import StepContext
from branchline.steps.merging import prove, queue_of


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
        reason = f"workstream {name}: {result.conflict['reason']}"
        return Failure(reason, error_class="conflict", retryable=False, outputs={**result.conflict, **own})
    if not result.merged:
        reasons = "; ".join(f"{name}: {why}" for name, why in result.dropped.items())
        return Failure(f"no workstream could be merged: {reasons}", error_class="no_merges", retryable=False)
    run.repo.put_ref(f"refs/heads/{run.integration}", result.commit)
    ctx.checkpoint("integration-complete", result.commit)
    fact = IntegrationComplete(
        task_id=ctx.task.id,
        branch=run.integration,
        commit=result.commit,
        merged=tuple(result.merged),
        dropped=result.dropped,
    )
    return Success({**result.outputs(), "branch": run.integration}, (fact,))
