"""Step 4: an agent works in its worktree. What counts is the tree that it leaves, not what it says."""

import msgspec

from branchline.agents.base import attempt as run_agent
from branchline.core.agent import RETRYABLE, AgentRequest, AgentResult, AgentStatus
from branchline.core.durations import seconds
from branchline.core.events import ExecuteWsComplete
from branchline.core.result import Failure, Result, Success
from branchline.git.commit import snapshot
from branchline.steps.checking import without_setup
from branchline.steps.context import StepContext
from branchline.steps.prompting import prompt_for
from branchline.steps.saving import save_worktree
from branchline.steps.setup import set_up


def run(ctx: StepContext) -> Result:
    """Put the worktree to its round's starting point, run the agent, keep what it made as a commit of the run."""
    run, workstream = ctx.run, ctx.workstream
    ready = ctx.outputs("worktrees")
    start, head = _start(ctx)
    path = run.worktree(workstream.id)
    _prepare(ctx, start, head)
    name = workstream.agent or run.settings.agent
    ctx.say(f"{name} is working")
    result = run_agent(
        run.agents[name],
        _request(ctx),
        environ=run.environ,
        kill=ctx.kill,
        timeout=seconds(workstream.timeout or run.settings.agent_timeout),
        pass_env=run.settings.env,
        marker=ctx.marker,
    )
    base_tree = run.repo.tree_of(ready["base"])
    taken = snapshot(run.worktrees.git_for(path), path, base_tree, scratch=run.paths.scratch)
    tree = without_setup(ctx, base_tree, taken.tree, ready["setup"])
    commit = run.repo.commit(tree, [head], f"attempt {ctx.task.id} {ctx.attempt}\n", run.commit_time)
    run.repo.put_ref(run.ref(f"attempts/{ctx.task.id}/{ctx.attempt}"), commit)
    refused = [f"{one.path!r}: {one.reason}" for one in taken.refused if one.path not in ready["setup"]]
    if tree == start and not refused and result.status == AgentStatus.OK:
        result = AgentResult(status=AgentStatus.NO_CHANGE, message="the agent changed nothing", usage=result.usage)
    files = tuple(change.path for change in run.repo.changes(base_tree, tree))
    fact = ExecuteWsComplete(
        task_id=ctx.task.id,
        workstream=workstream.id,
        agent=name,
        status=str(result.status),
        tree=tree,
        files=files,
        usage=msgspec.to_builtins(result.usage),
    )
    if result.status != AgentStatus.OK:
        reason = f"agent {name}: {result.message or result.status}"
        return Failure(reason, str(result.status), retryable=result.status in RETRYABLE, facts=(fact,))
    outputs = {"tree": tree, "commit": commit, "files": list(files), "refused": refused, "notes": result.notes}
    return Success({**outputs, "agent": name, "usage": fact.usage}, (fact,))


def _start(ctx: StepContext) -> tuple[str, str]:
    """The tree that this round begins with, and the commit that its branch is at."""
    run, conflict = ctx.run, ctx.outputs("merge", "")
    base = str(ctx.outputs("worktrees")["base"])
    mine = conflict.get("repair") == ctx.task.workstream
    head = str(conflict["commit_of"]) if mine else base
    if ctx.task.round > 1 and not ctx.completed("code_gate", ctx.task.workstream):
        return str(ctx.outputs("code_gate")["tree"]), head
    return (str(conflict["tree"]) if mine else run.repo.tree_of(base)), head


def _prepare(ctx: StepContext, start: str, head: str) -> None:
    """Make the worktree the round's starting point. What a lost attempt left in it is saved first."""
    run, path = ctx.run, ctx.run.worktree(ctx.task.workstream)
    setup = ctx.outputs("worktrees")["setup"]
    if not path.is_dir():  # saved and removed since: the run had shipped, or `gc` came by
        branch = run.branch(ctx.task.workstream)
        run.repo.put_ref(f"refs/heads/{branch}", head)
        run.worktrees.add(path, head, branch)
        set_up(ctx, path, run.repo.tree_of(head))
    run.worktrees.repair_pointer(path)
    found = snapshot(run.worktrees.git_for(path), path, start, scratch=run.paths.scratch)
    moved = run.worktrees.head(path).commit != head
    strange = any(one.path not in setup for one in found.refused)
    if moved or strange or without_setup(ctx, start, found.tree, setup) != start:
        save_worktree(run, ctx.task.workstream)
        run.worktrees.reset(path, start, head=head, keep=setup)


def _request(ctx: StepContext) -> AgentRequest:
    workstream, number = ctx.workstream, ctx.task.round
    return AgentRequest(
        run_id=ctx.run.run_id,
        workstream=workstream.id,
        round=number,
        attempt=ctx.attempt,
        prompt=prompt_for(ctx),
        worktree=str(ctx.run.worktree(workstream.id)),
        folder=str(ctx.folder),
        script=workstream.script_of_round(number),
    )
