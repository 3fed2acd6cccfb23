"""Step 7: the workstream's commit proven on its own, in a clean checkout, not in its agent's tree.

The part that looks across workstreams runs on the merge result, in step 9.
"""

from branchline.attempt.gate_run import check_commit, summary
from branchline.attempt.run import StepContext
from branchline.core.facts import ValidateWsFail, ValidateWsPass
from branchline.core.model.verdict import Outcome
from branchline.core.result import Failure, Result, Success


def run(ctx: StepContext) -> Result:
    """Run the gates of phase `validation` on the checkpoint commit; a failure keeps the workstream out of the merge."""
    name = ctx.task.workstream
    commit, base = str(ctx.outputs("consume")["commit"]), str(ctx.outputs("worktrees")["base"])
    report = check_commit(ctx, commit, base=base, phase="validation", name=f"validation/{ctx.task.id}")
    where = str(ctx.run.paths.artifacts / f"validation/{ctx.task.id}/report.md")
    if report.outcome == Outcome.PASSED:
        ctx.checkpoint("validate-pass", commit, workstream=name)
        passed = ValidateWsPass(task_id=ctx.task.id, workstream=name, commit=commit, report=where)
        return Success({"commit": commit, "report": where, "gates": summary(report)}, (passed,))
    reason = "; ".join(f"{r.gate}: {r.reason}" for r in report.of(Outcome.FAILED, Outcome.ERROR))
    fact = ValidateWsFail(task_id=ctx.task.id, workstream=name, commit=commit, report=where, reason=reason)
    if report.outcome == Outcome.ERROR:
        return Failure(f"could not be checked: {reason}", report.error_class, report.retryable, facts=(fact,))
    return Failure(f"in a clean checkout: {reason}", error_class="validation", retryable=False, facts=(fact,))
