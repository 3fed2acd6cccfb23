"""Step 0: is everything there that the run will need? Nothing else runs until it is."""

from branchline.attempt.preflight.remark import commands
from branchline.attempt.preflight.survey import survey
from branchline.attempt.run import StepContext
from branchline.core.facts import Preflight
from branchline.core.refs import branch_ref
from branchline.core.result import Failure, Success
from branchline.git.storage import fetch


def run(ctx: StepContext) -> Success | Failure:
    """Write `preflight.json`; fail if something is missing that the plan cannot do without."""
    repo = ctx.run.repo
    tip = repo.read_ref(branch_ref(ctx.run.target)) if ctx.run.target else None
    fetch(repo, [ctx.run.base, *([tip] if tip else [])])
    seen = survey(ctx.run)
    report = ctx.run.keep_data("preflight.json", seen.report)
    if seen.missing:
        reason = "; ".join(map(str, seen.missing))
        return Failure(reason, error_class="preflight", retryable=False, hint=commands(seen.missing))
    ctx.checkpoint("preflight", ctx.run.base)
    fact = Preflight(
        task_id=ctx.task.id,
        report=report,
        warnings=tuple(map(str, seen.warnings)),
        absent=seen.absent,
        containment=seen.containment,
    )
    return Success(fact)
