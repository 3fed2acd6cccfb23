"""Step 1: the run's folders and its request, as it was put."""

from branchline.attempt.run import StepContext
from branchline.core.result import Result, Success


def run(ctx: StepContext) -> Result:
    """Store `prompt.md`. The run's id, base and configuration stand in record 0 already."""
    run = ctx.run
    run.paths.prompt.write_text(run.pins["prompt"] + "\n", encoding="utf-8", errors="surrogateescape")
    ctx.checkpoint("run-init", run.base)
    return Success({"run_id": run.run_id, "base": run.base, "target": run.target})
