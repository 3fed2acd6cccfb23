"""Step 1: the run's folders and its request, as it was put."""

from branchline.attempt.run import StepContext
from branchline.core.facts import RunPrepared
from branchline.core.work import Success


def run(ctx: StepContext) -> Success:
    """Store `prompt.md`. The run's id, base and configuration stand in record 0 already."""
    run = ctx.run
    run.paths.prompt.write_text(run.pins["prompt"] + "\n", encoding="utf-8", errors="surrogateescape")
    ctx.checkpoint("run-init", run.base)
    prompt = run.inside(run.paths.prompt)
    return Success(RunPrepared(task_id=ctx.task.id, base=run.base, target=run.target, prompt=prompt))
