"""One attempt of a step, and what came of it as the ledger may hold it."""

from dataclasses import replace

from branchline.attempt.run import StepContext
from branchline.core.result import Failure, StepFailed, Success
from branchline.errors import BranchlineError, InvalidInput
from branchline.steps import STEPS


def performed(ctx: StepContext) -> Success | Failure:
    """What the step's attempt came to, its failure too. No text in it holds a secret."""
    result = _tried(ctx)
    if ctx.kill.reason is not None and isinstance(result, Failure):
        result = replace(result, error_class=ctx.kill.reason, retryable=True)
    return _cleaned(ctx, replace(result, told=tuple(ctx.told)))


def _tried(ctx: StepContext) -> Success | Failure:
    try:
        return STEPS[ctx.task.step](ctx)
    except StepFailed as error:
        return error.failure
    except BranchlineError as error:
        retryable = not isinstance(error, InvalidInput)
        return Failure(error.message, type(error).__name__, retryable=retryable, hint=error.hint)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        return Failure(f"{error.strerror or error}{where}", error_class="os_error")


def _cleaned(ctx: StepContext, result: Success | Failure) -> Success | Failure:
    clean = ctx.run.secrets.data
    result = replace(result, fact=clean(result.fact), asks=clean(result.asks), told=clean(result.told))
    if isinstance(result, Failure):
        return replace(result, reason=clean(result.reason), hint=clean(result.hint))
    return result
