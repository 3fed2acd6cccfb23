"""Step 3: a workspace and a branch for a workstream, set up before its agent starts."""

from branchline.attempt.integration import combine
from branchline.attempt.run import StepContext
from branchline.attempt.saved import remove_workspace
from branchline.attempt.setup import set_up
from branchline.core.facts import WorktreesReady
from branchline.core.pipeline import merge_order
from branchline.core.refs import branch_ref
from branchline.core.work import Failure, StepFailed, Success
from branchline.git.folders import is_folder


def run(ctx: StepContext) -> Success | Failure:
    """Make the workspace at the run's base, or at the merged result of the workstreams that this one depends on."""
    run, name = ctx.run, ctx.task.workstream
    base = _base(ctx)
    run.repo.put_ref(run.refs.base(name), base)
    path, branch = run.workspace(name), run.branch(name)
    start = base
    if ctx.task.origin:  # done again: what is there is saved first, and the branch keeps its commits
        if gone := remove_workspace(run, name, ctx.task.id):
            if not gone.removed:
                raise StepFailed(Failure(f"the workspace of {name} cannot be saved and stays: {gone.kept}", "unsaved"))
            ctx.told.append(gone)
        start = run.repo.read_ref(branch_ref(branch)) or base
    elif not is_folder(path):
        run.repo.move_ref(branch_ref(branch), base, None)
    ctx.say("checking out")
    run.workspaces.add(path, start, branch)
    made = set_up(ctx, path, run.repo.tree_of(start))
    place = path.relative_to(run.work.folder).as_posix()
    fact = WorktreesReady(task_id=ctx.task.id, workstream=name, path=place, branch=branch, base=base, setup=made)
    return Success(fact)


def _base(ctx: StepContext) -> str:
    """The commit to start from. Two dependencies that conflict fail the workstream: there is no base for it."""
    depends_on = ctx.workstream.depends_on
    if not depends_on:
        return ctx.run.base
    order = [name for name in merge_order(ctx.run.plan) if name in depends_on]
    commits = {name: ctx.of(name).commit for name in order}
    base = commits[order[0]]
    for name in order[1:]:
        merged = combine(ctx.run, base, commits[name], f"Merge workstream {name} as a base for {ctx.task.workstream}")
        if not isinstance(merged, str):
            paths = ", ".join(merged.paths)
            reason = f"the workstreams it depends on conflict with each other: {name} in {paths}"
            raise StepFailed(Failure(reason, error_class="conflict", retryable=False))
        base = merged
    return base
