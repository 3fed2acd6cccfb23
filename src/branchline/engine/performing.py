"""The work of a pipeline's tasks: one attempt of a step, and what came of it as the ledger may hold it."""

from collections.abc import Callable
from dataclasses import replace

from branchline.attempt.agent_call import bring_home
from branchline.attempt.performing import failure_of
from branchline.attempt.run import Run, StepContext
from branchline.core.budget import Purse
from branchline.core.graph import Task
from branchline.core.run_state import RunState
from branchline.core.work import Failure, Result
from branchline.engine.driver import Job
from branchline.engine.opening import accepted_plan
from branchline.errors import BranchlineError
from branchline.process.spawn import KillSwitch
from branchline.steps import STEPS


def step_jobs(run: Run, say: Callable[[str, str], None]) -> Callable[[Task, int, RunState], Job]:
    """The `job` function of a coordinator for a pipeline."""
    latest = run

    def job(task: Task, attempt: int, state: RunState) -> Job:
        nonlocal latest
        if latest.accepted is None and state.plan:  # made since the run was opened
            latest = replace(run, accepted=accepted_plan(state))
        so_far, known = state.pipeline, latest
        purse, decision = Purse(state.spending.reserved_for(task.id)), state.decided.get(task.id)

        def work(kill: KillSwitch) -> Result:
            bring_home(run.work.room(task.id, attempt), run.paths.attempt(task.id, attempt))  # a lost coordinator's
            run.secrets.clean_folder(run.paths.attempt(task.id, attempt))  # which could not
            run.paths.set_aside(task.id, attempt)
            ctx = StepContext(
                run=known,
                task=task,
                attempt=attempt,
                state=so_far,
                kill=kill,
                say=lambda text: say(task.id, run.secrets.text(text)),
                purse=purse,
                decision=decision,
            )
            return _performed(ctx)

        return Job(task.id, attempt, work, clean=run.secrets.text)

    return job


def _performed(ctx: StepContext) -> Result:
    """What the step's attempt came to, its failure too. No text in it holds a secret."""
    clean = ctx.run.secrets.clean
    result: Result
    try:
        result = STEPS[ctx.task.step](ctx)
    except (BranchlineError, OSError) as error:
        result = failure_of(error)
    result = replace(result, fact=clean(result.fact), asks=clean(result.asks), told=clean(tuple(ctx.told)))
    if not isinstance(result, Failure):
        return result
    if ctx.kill.reason is not None:
        result = replace(result, error_class=ctx.kill.reason, retryable=True)
    return replace(result, reason=clean(result.reason), hint=clean(result.hint))
