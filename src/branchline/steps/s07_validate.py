"""Step 7: the workstream's commit proven on its own, in a clean checkout, not in its agent's tree.

The part that looks across workstreams runs on the merge result, in step 9.
"""

from branchline.attempt.gate_run import commit_work
from branchline.attempt.run import StepContext
from branchline.core.facts import ValidateWsFail, ValidateWsPass
from branchline.core.model.verdict import Outcome
from branchline.core.work import Failure, Success, Work, WorkOutcome
from branchline.core.workstream import known


def prepare(ctx: StepContext) -> Work:
    """The gates of phase `validation` on the checkpoint commit."""
    folder = f"validation/{ctx.task.id}"
    return commit_work(ctx, ctx.ws.commit, base=ctx.ws.base, phase="validation", folder=folder)


def conclude(ctx: StepContext, outcome: WorkOutcome) -> Success | Failure:
    """A failure keeps the workstream out of the merge."""
    name, commit, report = ctx.task.workstream, ctx.ws.commit, known(outcome.report)
    where = f"artifacts/validation/{ctx.task.id}/report.md"
    if report.outcome == Outcome.PASSED:
        ctx.checkpoint("validate-pass", commit, workstream=name)
        fact = ValidateWsPass(task_id=ctx.task.id, workstream=name, commit=commit, report=where, gates=report.summary)
        return Success(fact)
    failed = ValidateWsFail(
        task_id=ctx.task.id, workstream=name, commit=commit, report=where, reason=report.why, gates=report.summary
    )
    if report.outcome == Outcome.ERROR:
        return Failure(f"could not be checked: {report.why}", report.error_class, report.retryable, fact=failed)
    return Failure(f"in a clean checkout: {report.why}", error_class="validation", retryable=False, fact=failed)
