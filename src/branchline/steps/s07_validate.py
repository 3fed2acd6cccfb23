"""Step 7: the workstream's commit proven on its own, in a clean checkout, not in its agent's tree.

The part that looks across workstreams runs on the merge result, in step 9.
"""

from branchline.attempt.gate_run import check_commit
from branchline.attempt.run import StepContext
from branchline.core.facts import ValidateWsFail, ValidateWsPass
from branchline.core.model.verdict import Outcome
from branchline.core.result import Failure, Success


def run(ctx: StepContext) -> Success | Failure:
    """Run the gates of phase `validation` on the checkpoint commit; a failure keeps the workstream out of the merge."""
    name = ctx.task.workstream
    commit, folder = ctx.ws.commit, f"validation/{ctx.task.id}"
    report = check_commit(ctx, commit, base=ctx.ws.base, phase="validation", name=folder)
    where = ctx.run.inside(ctx.run.paths.artifacts / folder / "report.md")
    if report.outcome == Outcome.PASSED:
        ctx.checkpoint("validate-pass", commit, workstream=name)
        fact = ValidateWsPass(task_id=ctx.task.id, workstream=name, commit=commit, report=where, gates=report.summary)
        return Success(fact)
    reason = "; ".join(f"{r.gate}: {r.reason}" for r in report.of(Outcome.FAILED, Outcome.ERROR))
    failed = ValidateWsFail(
        task_id=ctx.task.id, workstream=name, commit=commit, report=where, reason=reason, gates=report.summary
    )
    if report.outcome == Outcome.ERROR:
        return Failure(f"could not be checked: {reason}", report.error_class, report.retryable, fact=failed)
    return Failure(f"in a clean checkout: {reason}", error_class="validation", retryable=False, fact=failed)
