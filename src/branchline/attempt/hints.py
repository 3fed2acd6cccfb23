"""What to type when trying again alone does not help."""

import os

from branchline.attempt.run import StepContext
from branchline.core.model.agent import AgentResult

IN_SETTINGS = {
    "unknown_model": "`model:` of {agent} is corrected",
    "bad_request": "`args:` and `model:` of {agent} are corrected; branchline doctor tells tested versions",
    "context_too_large": "the prompt is shorter, or {agent} has a model with a larger window",
    "turns": "`max_turns:` of {agent} is raised",
}
"""What has to be corrected in the configuration. A run keeps the one that it began with: a new run takes its plan over."""

AROUND = {"auth": "{agent} has a valid key or login", "billing": "the account of {agent} can pay"}
"""What has to be corrected around the run, which can go on then."""


def way_out(ctx: StepContext, agent: str, result: AgentResult) -> str:
    """The hint of a failure that trying again does not mend: what to type, once what is corrected."""
    run, kind = ctx.run, result.kind
    if kind == "budget":
        return f"branchline resume {run.run_id} --budget USD"
    once = (AROUND.get(kind) or IN_SETTINGS.get(kind, "")).format(agent=agent)
    if not once:
        return ""
    if kind in AROUND:
        again = f"branchline retry {run.run_id} {ctx.task.id}"
    elif run.accepted is None:
        again = f"branchline run --prompt-file {os.path.relpath(run.paths.prompt, run.paths.root)}"
    else:
        plan = run.paths.artifacts / "execution_plan.yaml"
        again = f"branchline run --plan {os.path.relpath(plan, run.paths.root)}"
    return f"{again}  # once {once}"
