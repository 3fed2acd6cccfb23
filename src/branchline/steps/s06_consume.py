"""Step 6: an approved batch becomes one commit on its workstream's branch."""

from pathlib import Path

from branchline.attempt.approval import require_approved
from branchline.attempt.run import StepContext
from branchline.core.facts import Codegate, WsCheckpoint
from branchline.core.refs import branch_ref
from branchline.core.result import Failure, Result, StepFailed, Success


def run(ctx: StepContext) -> Result:
    """Commit the approved tree. After the repair of a conflict the commit also descends from what it was merged with.

    A batch that had to wait for a person goes on only with a yes to this very tree; with a no it is quarantined.
    """
    run, workstream = ctx.run, ctx.workstream
    tree, ref = str(ctx.outputs("code_gate")["tree"]), branch_ref(run.branch(workstream.id))
    if ctx.outputs("code_gate").get("approval"):
        try:
            require_approved(ctx, tree)
        except StepFailed as error:
            return _refused(ctx, tree, error.failure)
    parents = [str(ctx.outputs("worktrees")["base"])]
    conflict = ctx.outputs("merge", "")
    if conflict.get("repair") == workstream.id:
        parents = [str(conflict["commit_of"]), str(conflict["tip"])]
    commit = run.repo.commit(tree, parents, _message(ctx), run.commit_time)
    run.repo.put_ref(ref, commit)
    run.repo.put_ref(run.refs.checkpoint("codegate", workstream.id), commit)
    fact = WsCheckpoint(task_id=ctx.task.id, workstream=workstream.id, commit=commit, tree=tree)
    return Success({"commit": commit, "tree": tree, "branch": run.branch(workstream.id)}, (fact,))


def _refused(ctx: StepContext, tree: str, failure: Failure) -> Failure:
    """The end of a batch that a person said no to: its report moves to the rejected ones and says so."""
    batch = str(ctx.outputs("code_gate")["batch"])
    if failure.error_class != "rejected":
        return failure
    gate = ctx.run.paths.run_dir / "gate"
    kept = _moved(gate / "approved" / batch, gate / "rejected" / batch)
    with (kept / "report.md").open("a", encoding="utf-8", errors="backslashreplace") as file:
        file.write(f"\nIt waited for a person, and was {failure.reason}.\n")
    report, workstream = str(kept / "report.md"), ctx.task.workstream
    fact = Codegate(
        task_id=ctx.task.id,
        workstream=workstream,
        verdict="rejected",
        batch=batch,
        tree=tree,
        report=report,
        reason=failure.reason,
    )
    again = f"branchline retry {ctx.run.run_id} {ctx.task.id}  # to be asked again"
    outputs = {"tree": tree, "batch": batch, "report": report, "hint": again}
    return Failure(f"batch {batch} {failure.reason}", "rejected", retryable=False, outputs=outputs, facts=(fact,))


def _moved(old: Path, new: Path) -> Path:
    if old.is_dir():
        new.parent.mkdir(parents=True, exist_ok=True)
        old.rename(new)
    new.mkdir(parents=True, exist_ok=True)
    return new


def _message(ctx: StepContext) -> str:
    workstream = ctx.workstream
    lines = [f"checkpoint(codegate): {ctx.run.run_id}", "", workstream.title or workstream.id, ""]
    lines += [f"Branchline-Run: {ctx.run.run_id}", f"Branchline-Workstream: {workstream.id}"]
    return "\n".join([*lines, f"Branchline-Step: {ctx.task.origin or ctx.task.id}"]) + "\n"
