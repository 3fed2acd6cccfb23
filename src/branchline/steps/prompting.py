"""What an agent is told: the task, its limits, and in a later round what was wrong with the one before."""

from collections.abc import Iterator

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
        parts += _reports(ctx)
    return "\n\n".join(parts) + "\n"


def _reports(ctx: StepContext) -> Iterator[str]:
    conflict = ctx.outputs("merge", "")
    if conflict.get("repair") == ctx.task.workstream:
        paths = ", ".join(conflict["paths"])
        yield f"Your change conflicts with others in {paths}. Resolve it: text that both changed holds conflict markers."
    if not ctx.completed("code_gate", ctx.task.workstream):
        yield "Your last attempt was rejected. Correct it:"
        yield str(ctx.outputs("code_gate").get("feedback", ""))
