"""Having work done: from its data to what came of it, here in the coordinator's own thread.

What performs work is given the data and a place, nothing else: it could do the same on another machine.
"""

import os
from collections.abc import Callable

import msgspec

from branchline.attempt.run import Attempt, Place, StepContext
from branchline.core.budget import Purse
from branchline.core.work import Failure, Result, StepFailed, Work, WorkOutcome, decode, encode
from branchline.errors import BranchlineError, InvalidInput
from branchline.process.spawn import KillSwitch

Perform = Callable[[Work, Attempt], WorkOutcome]
Step = Callable[[StepContext], Result]
FILE = "work.json"


def in_three_parts(
    prepare: Callable[[StepContext], Work | Result],
    how: Perform,
    conclude: Callable[[StepContext, WorkOutcome], Result],
) -> Step:
    """A step whose work could be done on another machine. Where `prepare` comes to a result, there is none to do."""

    def step(ctx: StepContext) -> Result:
        work = prepare(ctx)
        return conclude(ctx, have_done(ctx, how, work)) if isinstance(work, Work) else work

    return step


def have_done(ctx: StepContext, how: Perform, work: Work) -> WorkOutcome:
    """Write work down, have it done, and take over what it tells. Raises StepFailed if it was not done to its end.

    It goes through its bytes, and so does what comes of it: no more can be handed on than they hold.
    """
    data = encode(ctx.run.secrets.clean(work))
    folder = ctx.folder / work.part
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f"{FILE}.tmp"
    aside.write_bytes(data)
    os.replace(aside, folder / FILE)
    done = perform(how, decode(data, Work), ctx.run.place, ctx.kill, ctx.say)
    outcome = decode(encode(done), WorkOutcome)
    ctx.told.extend(outcome.told)
    for fact in outcome.called:
        ctx.purse.pay(fact.usage.cost_usd)
    if outcome.failure is not None:
        raise StepFailed(outcome.failure)
    return outcome


def perform(how: Perform, work: Work, place: Place, kill: KillSwitch, say: Callable[[str], None]) -> WorkOutcome:
    """Do the work. What it has told stands although it fails: agents that were called cost money all the same."""
    purse, part = Purse(work.reserved_usd), work.part
    at = Attempt(run=place, task=work.task, attempt=work.attempt, part=part, kill=kill, say=say, purse=purse)
    try:
        outcome = how(work, at)
    except (BranchlineError, OSError) as error:
        outcome = WorkOutcome(failure=failure_of(error))
    return msgspec.structs.replace(outcome, told=tuple(at.told))


def failure_of(error: BranchlineError | OSError) -> Failure:
    """The failure that an exception is to a run."""
    match error:
        case StepFailed():
            return error.failure
        case BranchlineError():
            retryable = not isinstance(error, InvalidInput)
            return Failure(error.message, type(error).__name__, retryable=retryable, hint=error.hint)
    where = f" ({error.filename})" if error.filename else ""
    return Failure(f"{error.strerror or error}{where}", error_class="os_error")
