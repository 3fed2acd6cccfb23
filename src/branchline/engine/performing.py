"""One attempt of a step, and what came of it as the ledger may hold it."""

from dataclasses import replace

from branchline.attempt.run import StepContext
from branchline.core.result import Failure, Result, StepFailed
from branchline.errors import BranchlineError, InvalidInput
from branchline.steps import STEPS


def performed(ctx: StepContext) -> Result:
    """What the step's attempt came to, its failure too. No text in it holds a secret."""
    result = _tried(ctx)
    if ctx.kill.reason is not None and isinstance(result, Failure):
        result = replace(result, error_class=ctx.kill.reason, retryable=True)
    result = replace(result, facts=(*ctx.saved, *ctx.calls, *result.facts))
    return _cleaned(ctx, result)


def _tried(ctx: StepContext) -> Result:
    try:
        return STEPS[ctx.task.step](ctx)
    except StepFailed as error:
        return error.failure
    except BranchlineError as error:
        outputs = {"hint": error.hint} if error.hint else {}
        retryable = not isinstance(error, InvalidInput)
        return Failure(error.message, type(error).__name__, retryable=retryable, outputs=outputs)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        return Failure(f"{error.strerror or error}{where}", error_class="os_error")


def _cleaned(ctx: StepContext, result: Result) -> Result:
    secrets = ctx.run.secrets
    outputs, facts = secrets.data(dict(result.outputs)), secrets.data(result.facts)
    if isinstance(result, Failure):
        return replace(result, reason=secrets.text(result.reason), outputs=outputs, facts=facts)
    return replace(result, outputs=outputs, facts=facts)
