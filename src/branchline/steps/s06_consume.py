"""Step 6: an approved batch becomes one commit on its workstream's branch."""

from branchline.attempt.approval import require_approved
from branchline.attempt.run import StepContext
from branchline.attempt.scope import conflict_of
from branchline.core.facts import Codegate, WsCheckpoint
from branchline.core.work import Failure, StepFailed, Success
from branchline.core.workstream import known
from branchline.views.format.text import subject


def run(ctx: StepContext) -> Success | Failure:
    """Commit the approved tree. After the repair of a conflict the commit also descends from what it was merged with.

    A batch that had to wait for a person goes on only with a yes to this very tree; with a no it is quarantined.
    """
    run, workstream = ctx.run, ctx.workstream
    batch, branch = known(ctx.ws.batch), run.branch(workstream.id)
    if batch.approval:
        try:
            require_approved(ctx, batch.tree)
        except StepFailed as error:
            return _refused(ctx, batch, error.failure)
    conflict = conflict_of(ctx)
    parents = [conflict.commit, conflict.tip] if conflict else [ctx.ws.base]
    lines = [f"checkpoint(codegate): {run.run_id}", "", subject(workstream.title) or workstream.id, ""]
    lines += [f"Branchline-Run: {run.run_id}", f"Branchline-Workstream: {workstream.id}"]
    message = "\n".join([*lines, f"Branchline-Step: {ctx.task.origin or ctx.task.id}"]) + "\n"
    commit = run.repo.commit(batch.tree, parents, message, run.commit_time)
    run.put_branch(workstream.id, commit)
    run.repo.put_ref(run.refs.checkpoint("codegate", workstream.id), commit)
    fact = WsCheckpoint(task_id=ctx.task.id, workstream=workstream.id, commit=commit, tree=batch.tree, branch=branch)
    return Success(fact)


def _refused(ctx: StepContext, batch: Codegate, failure: Failure) -> Failure:
    """The end of a batch that a person said no to: its report moves to the rejected ones and says so."""
    if failure.error_class != "rejected":
        return failure
    gate = ctx.run.paths.run_dir / "gate"
    old, kept = gate / "approved" / batch.batch, gate / "rejected" / batch.batch
    kept.parent.mkdir(parents=True, exist_ok=True)
    if old.is_dir():
        old.rename(kept)
    kept.mkdir(exist_ok=True)
    with (kept / "report.md").open("a", encoding="utf-8", errors="backslashreplace") as file:
        file.write(f"\nIt waited for a person, and was {failure.reason}.\n")
    fact = Codegate(
        task_id=ctx.task.id,
        workstream=ctx.task.workstream,
        verdict="rejected",
        batch=batch.batch,
        tree=batch.tree,
        report=ctx.run.inside(kept / "report.md"),
        reason=failure.reason,
    )
    again = f"branchline retry {ctx.run.run_id} {ctx.task.id}  # to be asked again"
    return Failure(f"batch {batch.batch} {failure.reason}", "rejected", retryable=False, hint=again, fact=fact)
