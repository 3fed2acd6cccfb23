"""What an agent is told: the task, its limits, and in a later round what was wrong with the one before."""

from branchline.steps.context import StepContext


def prompt_for(ctx: StepContext) -> str:
    """The prompt of this attempt's round."""
    workstream = ctx.workstream
    parts = [workstream.prompt or workstream.title or ctx.run.plan.goal]
    parts.append("You may change only files that match: " + ", ".join(workstream.scope.write))
    if workstream.scope.protect:
        parts.append("You must not change: " + ", ".join(workstream.scope.protect))
    if gates := ", ".join(gate.id for gate in ctx.run.gates):
        parts.append(f"Your changes must pass these checks: {gates}. Do not commit.")
    if ctx.task.round > 1:
        parts.append(_report(ctx))
    return "\n\n".join(parts) + "\n"


def _report(ctx: StepContext) -> str:
    conflict = ctx.outputs("merge", "")
    if conflict.get("repair") == ctx.task.workstream:
        paths = ", ".join(conflict["paths"])
        return f"Your change conflicts with others in {paths}. The conflict markers are in the files: resolve them."
    return "Your last attempt was rejected. Correct it:\n\n" + str(ctx.outputs("code_gate").get("feedback", ""))
