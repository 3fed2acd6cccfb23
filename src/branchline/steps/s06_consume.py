"""Step 6: an approved batch becomes one commit on its workstream's branch."""

from branchline.core.events import WsCheckpoint
from branchline.core.result import Result, Success
from branchline.steps.context import StepContext


def run(ctx: StepContext) -> Result:
    """Commit the approved tree. After the repair of a conflict the commit also descends from what it was merged with."""
    run, workstream = ctx.run, ctx.workstream
    tree, ref = str(ctx.outputs("code_gate")["tree"]), f"refs/heads/{run.branch(workstream.id)}"
    parents = [str(ctx.outputs("worktrees")["base"])]
    conflict = ctx.outputs("merge", "")
    if conflict.get("repair") == workstream.id:
        parents = [str(conflict["commit_of"]), str(conflict["tip"])]
    commit = run.repo.commit(tree, parents, _message(ctx), run.commit_time)
    run.repo.put_ref(ref, commit)
    run.repo.put_ref(run.ref(f"checkpoint/codegate/{workstream.id}"), commit)
    fact = WsCheckpoint(task_id=ctx.task.id, workstream=workstream.id, commit=commit, tree=tree)
    return Success({"commit": commit, "tree": tree, "branch": run.branch(workstream.id)}, (fact,))


def _message(ctx: StepContext) -> str:
    workstream = ctx.workstream
    lines = [f"checkpoint(codegate): {ctx.run.run_id}", "", workstream.title or workstream.id, ""]
    lines += [f"Branchline-Run: {ctx.run.run_id}", f"Branchline-Workstream: {workstream.id}"]
    return "\n".join([*lines, f"Branchline-Step: {ctx.task.origin or ctx.task.id}"]) + "\n"
