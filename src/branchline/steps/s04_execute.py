"""Step 4: an agent works in its worktree. What counts is the tree that it leaves, not what it says."""

from contextlib import suppress
from dataclasses import replace

import msgspec

from branchline.attempt.agent_call import Ask, Called, call
from branchline.attempt.context_requests import edit_request
from branchline.attempt.conventions import given, regular, unabridged
from branchline.attempt.gate_run import without_setup
from branchline.attempt.guarding import tampering, watched
from branchline.attempt.hints import way_out
from branchline.attempt.manifest import Chosen, choose
from branchline.attempt.own_objects import without_secrets
from branchline.attempt.prompts import edit_prompt
from branchline.attempt.run import StepContext
from branchline.attempt.saved import keep_own_repository, save_worktree, told
from branchline.attempt.scope import barred, conflict_of, rejected, starting_tree, violation
from branchline.attempt.setup import set_up
from branchline.attempt.templates import base_files
from branchline.core.durations import seconds
from branchline.core.facts import ExecuteWsComplete
from branchline.core.model.agent import AgentResult, AgentStatus
from branchline.core.result import Failure, Success
from branchline.errors import BranchlineError
from branchline.git.commit import Refused, snapshot

MOST_CHANGES = 50  # of the git directory, in a record


def run(ctx: StepContext) -> Success | Failure:
    """Put the worktree to its round's starting point, run the agent, keep what it made as a commit of the run."""
    run, workstream = ctx.run, ctx.workstream
    start, head = starting_tree(ctx), _head(ctx)
    _prepare(ctx, start, head)
    try:
        with watched(run, workstream.id, ctx.is_over) as seen:
            called = call(ctx, _agent(ctx), _question(ctx), again=lambda: _prepare(ctx, start, head))
    except (BranchlineError, OSError):
        with suppress(BranchlineError, OSError):
            without_secrets(run, workstream.id, head)
            _left(ctx, head)
        raise
    name, result = called.agent, called.result
    made = without_secrets(run, workstream.id, head)
    committed = _own_commits(ctx, head)
    base_tree = run.repo.tree_of(ctx.ws.base)
    tree, commit, taken = _left(ctx, head)
    refused = tuple(str(one) for one in taken if one.path not in ctx.ws.setup)
    result = _judged(ctx, called, changed=tree != start or bool(refused), committed=committed)
    files = tuple(change.path for change in run.repo.changes(base_tree, tree))
    fact = ExecuteWsComplete(
        task_id=ctx.task.id,
        workstream=workstream.id,
        agent=name,
        status=str(result.status),
        tree=tree,
        files=files,
        commit=commit,
        refused=refused,
        notes=result.notes,
        usage=called.usage,
        context_files=called.facts[-1].context_files,
        context_tokens=called.facts[-1].context_tokens,
        git_before=seen.before,
        git_after=seen.after,
        git_changes=(*dict.fromkeys([*seen.put_back, *seen.changes]),)[:MOST_CHANGES],
        taken_out=tuple(made),
    )
    if failure := tampering(seen):
        return replace(failure, reason=f"agent {name}: {failure.reason}", fact=fact)
    if result.status != AgentStatus.OK:
        reason = f"agent {name}: {result.message or result.status}"
        return Failure(reason, result.kind, retryable=result.retryable, hint=way_out(ctx, called), fact=fact)
    return Success(fact)


def _left(ctx: StepContext, head: str) -> tuple[str, str, tuple[Refused, ...]]:
    """What an attempt leaves, however it ends: its tree, the commit that keeps it under a ref, what is not in it."""
    run, path = ctx.run, ctx.run.worktree(ctx.task.workstream)
    base_tree = run.repo.tree_of(ctx.ws.base)
    git = run.worktrees.git_for(path)
    taken = snapshot(git, path, base_tree, scratch=run.paths.scratch, inspect=run.inspect)
    tree = without_setup(ctx, base_tree, taken.tree, ctx.ws.setup)
    commit = run.repo.commit(tree, [head], f"attempt {ctx.task.id} {ctx.attempt}\n", run.commit_time)
    run.repo.keep_ref(run.ref(f"attempts/{ctx.task.id}/{ctx.attempt}"), commit)
    return tree, commit, taken.refused


def _agent(ctx: StepContext) -> str:
    """Who works in this round: after so many repair rounds another agent may take over."""
    repair = ctx.run.settings.repair
    if repair.takeover and ctx.task.round > 1 + repair.takeover_after:
        return repair.takeover
    return ctx.workstream.agent or ctx.run.settings.agent


def chosen_for(ctx: StepContext) -> Chosen:
    """The manifest of this attempt's round: of the tree that it begins with, what went wrong before included."""
    run, tree, before, conflict = ctx.run, starting_tree(ctx), rejected(ctx), conflict_of(ctx)
    paths = {entry.path for entry in run.repo.entries(tree) if regular(entry)}
    request = edit_request(
        run.settings,
        run.plan,
        ctx.workstream,
        paths,
        agent=_agent(ctx),
        failure=before.feedback if before else "",
        targets=(*(conflict.paths if conflict else ()), *(before.files if before else ())),
        pins=unabridged(run, base_files(run)),
    )
    return choose(run, request, _head(ctx), tree)


def _question(ctx: StepContext) -> Ask:
    workstream, chosen = ctx.workstream, chosen_for(ctx)
    context = given(chosen.manifest, lambda path: violation(ctx, path) is None)
    return Ask(
        role="editor",
        prompt=edit_prompt(ctx, context),
        chosen=chosen,
        worktree=ctx.run.worktree(workstream.id),
        mode="edit",
        timeout=seconds(workstream.timeout or ctx.run.settings.agent_timeout),
        number=ctx.task.round,
        context=context,
        script=workstream.script_of_round(ctx.task.round),
        write=workstream.scope.write,
        protect=(*workstream.scope.protect, *barred(ctx.run)),
    )


def _own_commits(ctx: StepContext, head: str) -> bool:
    """Whether the agent moved its branch; what it committed is kept under a ref, since the batch is made of its tree."""
    run = ctx.run
    now = run.worktrees.head(run.worktree(ctx.task.workstream)).commit
    if now is None or now == head:
        return False
    run.repo.put_ref(run.ref(f"attempts/{ctx.task.id}/{ctx.attempt}-commits"), now)
    return True


def _judged(ctx: StepContext, called: Called, *, changed: bool, committed: bool) -> AgentResult:
    """The agent's own account, corrected by what git says."""
    result = called.result
    if result.status is not AgentStatus.OK:
        return result
    if committed and ctx.run.agents[called.agent].spec.commits == "reject":
        message = "it made commits of its own, which `commits: reject` forbids"
        return msgspec.structs.replace(result, status=AgentStatus.REFUSED, message=message, error_class="commits")
    if changed:
        return result
    why = f"; it was denied {', '.join(result.denials[:3])}" if result.denials else ""
    if rejected(ctx):
        why += f"; {ctx.ws.unfinished['code_gate']}"
    status = AgentStatus.REFUSED if result.denials else AgentStatus.NO_CHANGE
    return msgspec.structs.replace(result, status=status, message=f"the agent changed nothing{why}")


def _head(ctx: StepContext) -> str:
    """The commit that the workstream's branch is at when a round begins."""
    conflict = conflict_of(ctx)
    return conflict.commit if conflict else ctx.ws.base


def _prepare(ctx: StepContext, start: str, head: str) -> None:
    """Make the worktree the round's starting point. What a lost attempt left in it is saved first."""
    run, path = ctx.run, ctx.run.worktree(ctx.task.workstream)
    setup = ctx.ws.setup
    if not path.is_dir():  # saved and removed since: the run had shipped, or `gc` came by
        branch = run.branch(ctx.task.workstream)
        run.repo.put_ref(f"refs/heads/{branch}", head)
        run.worktrees.add(path, head, branch)
        set_up(ctx, path, run.repo.tree_of(head))
    keep_own_repository(run, ctx.task.workstream)
    run.worktrees.repair_pointer(path)
    without_secrets(run, ctx.task.workstream, head)  # of an attempt whose coordinator was killed
    git = run.worktrees.git_for(path)
    found = snapshot(git, path, start, scratch=run.paths.scratch, inspect=run.inspect)
    moved = run.worktrees.head(path).commit != head
    known = ctx.ws.work.refused if rejected(ctx) and ctx.ws.work else ()
    # A secret in a line is the agent's to take out, and its file stays for that; what else is refused goes.
    mine = {one.path for one in found.refused if one.line and run.secrets.text(str(one)) in known}
    strange = any(one.path not in setup and one.path not in mine for one in found.refused)
    if moved or strange or without_setup(ctx, start, found.tree, setup) != start:
        saved = save_worktree(run, ctx.task.workstream, stays=setup)
        ctx.told.append(told(ctx.task.id, ctx.task.workstream, saved))
        folder = run.paths.attempt(ctx.task.id, ctx.attempt)
        if lost := len(list(folder.parent.glob(f"{folder.name}.lost-*"))):
            run.repo.put_ref(run.ref(f"attempts/{ctx.task.id}/{ctx.attempt}-lost-{lost}"), saved.commit)
        run.worktrees.reset(path, start, head=head, keep=setup)
