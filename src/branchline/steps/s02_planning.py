"""Step 2: the accepted plan, stored as an artefact before anything is built on it."""

from branchline.config.canonical import canonical, digest
from branchline.core.events import PlanComplete
from branchline.core.result import Result, Success
from branchline.steps.context import StepContext


def run(ctx: StepContext) -> Result:
    """Write `execution_plan.yaml`. Workstreams, scopes and gates were checked when the plan was read."""
    plan = ctx.run.plan
    path = ctx.run.paths.artifacts / "execution_plan.yaml"
    path.write_text(canonical(plan), encoding="utf-8")
    ctx.checkpoint("plan-complete", ctx.run.base)
    names = tuple(w.id for w in plan.workstreams)
    fact = PlanComplete(task_id=ctx.task.id, workstreams=names, digest=digest(plan))
    return Success({"plan": str(path), "digest": fact.digest}, (fact,))
