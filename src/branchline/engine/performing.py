"""One attempt of a step, and what came of it as the ledger may hold it."""

from dataclasses import replace

from branchline.attempt.performing import failure_of, have_done
from branchline.attempt.run import StepContext
from branchline.core.result import Failure, Success
from branchline.core.work import Work
from branchline.errors import BranchlineError
from branchline.steps import STEPS, Travelling


def performed(ctx: StepContext) -> Success | Failure:
    """What the step's attempt came to, its failure too. No text in it holds a secret."""
    result = _tried(ctx)
    if ctx.kill.reason is not None and isinstance(result, Failure):
        result = replace(result, error_class=ctx.kill.reason, retryable=True)
    return _cleaned(ctx, replace(result, told=tuple(ctx.told)))


def _tried(ctx: StepContext) -> Success | Failure:
    step = STEPS[ctx.task.step]
    try:
        if not isinstance(step, Travelling):
            return step(ctx)
        work = step.prepare(ctx)
        return step.conclude(ctx, have_done(ctx, step.perform, work)) if isinstance(work, Work) else work
    except (BranchlineError, OSError) as error:
        return failure_of(error)


def _cleaned(ctx: StepContext, result: Success | Failure) -> Success | Failure:
    clean = ctx.run.secrets.data
    result = replace(result, fact=clean(result.fact), asks=clean(result.asks), told=clean(result.told))
    if isinstance(result, Failure):
        return replace(result, reason=clean(result.reason), hint=clean(result.hint))
    return result
