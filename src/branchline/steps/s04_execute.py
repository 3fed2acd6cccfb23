"""Step 4: an agent works in its workspace. What counts is the tree that it leaves, not what it says."""

from contextlib import suppress

import msgspec

from branchline.attempt.agent_call import Ask, Called, call
from branchline.attempt.context_requests import edit_request
from branchline.attempt.conventions import given, regular, unabridged
from branchline.attempt.gate_run import without_setup
from branchline.attempt.hints import way_out
from branchline.attempt.manifest import Chosen, choose
from branchline.attempt.prompts import edit_prompt
from branchline.attempt.run import StepContext
from branchline.attempt.saved import keep_commits, remove_workspace, save_workspace, told
from branchline.attempt.scope import barred, conflict_of, rejected, starting_tree, violation
from branchline.attempt.setup import Setup, set_up
from branchline.attempt.templates import base_files
from branchline.core.durations import seconds
from branchline.core.facts import ExecuteWsComplete
from branchline.core.model.agent import AgentResult, AgentStatus
from branchline.core.refs import branch_ref
from branchline.core.result import Failure, Success
from branchline.errors import BranchlineError
from branchline.gates.output import shown
from branchline.git.commit import Snapshot, snapshot
from branchline.git.folders import is_folder
from branchline.git.own_commits import head_of
from branchline.views.format.text import count

MOST_NAMED = 20  # ignored files, in a message


def run(ctx: StepContext) -> Success | Failure:
    """Put the workspace to its round's starting point, run the agent, keep what it made as a commit of the run."""
    run, workstream = ctx.run, ctx.workstream
    start, head = starting_tree(ctx), _head(ctx)
    setup = _prepare(ctx, start, head)
    try:
        called = call(ctx, _agent(ctx), _question(ctx), again=lambda: setup.update(_prepare(ctx, start, head)))
    except (BranchlineError, OSError):
        with suppress(BranchlineError, OSError):
            _left(ctx, head, setup)
        raise
    name, result = called.agent, called.result
    committed, not_kept = _own_commits(ctx, head)
    base_tree = run.repo.tree_of(ctx.ws.base)
    tree, commit, taken = _left(ctx, head, setup)
    refused = tuple(str(one) for one in taken.refused if one.path not in setup)
    left_out = _left_out(taken, setup)
    result = _judged(ctx, called, changed=tree != start or bool(refused), committed=committed, left_out=left_out)
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
        commits_left_out=not_kept,
        left_out=left_out,
    )
    if result.status != AgentStatus.OK:
        reason = f"agent {name}: {result.message or result.status}"
        return Failure(reason, result.kind, retryable=result.retryable, hint=way_out(ctx, called), fact=fact)
    return Success(fact)


def _left(ctx: StepContext, head: str, setup: Setup) -> tuple[str, str, Snapshot]:
    """What an attempt leaves, however it ends: its tree, the commit that keeps it under a ref, what is not in it."""
    run, path = ctx.run, ctx.run.workspace(ctx.task.workstream)
    base_tree = run.repo.tree_of(ctx.ws.base)
    git = run.workspaces.content(path)
    taken = snapshot(
        git,
        path,
        base_tree,
        scratch=run.paths.scratch,
        inspect=run.inspect,
        wanted=lambda one: violation(ctx, one) is None,
    )
    tree = without_setup(ctx, base_tree, taken.tree, setup)
    commit = run.repo.commit(tree, [head], f"attempt {ctx.task.id} {ctx.attempt}\n", run.commit_time)
    run.repo.keep_ref(run.refs.attempt(ctx.task.id, ctx.attempt), commit)
    return tree, commit, taken


def _left_out(taken: Snapshot, setup: Setup) -> tuple[str, ...]:
    """What the agent made that is not in its tree, in words; set-up may have made it before."""
    ignored = [shown(path) for path in taken.ignored if path not in setup]
    more = [f"and {len(ignored) - MOST_NAMED} more"] if len(ignored) > MOST_NAMED else []
    words = [f"git ignores {', '.join([*ignored[:MOST_NAMED], *more])}: see .gitignore"] if ignored else []
    made = [
        f"{count(number, 'by-product')} of programs: add {line} to .gitignore" for line, number in taken.by_products
    ]
    return (*words, *made)


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
        worktree=ctx.run.workspace(workstream.id),
        mode="edit",
        timeout=seconds(workstream.timeout or ctx.run.settings.agent_timeout),
        number=ctx.task.round,
        context=context,
        script=workstream.script_of_round(ctx.task.round),
        write=workstream.scope.globs,
        protect=(*workstream.scope.protect, *barred(ctx.run)),
    )


def _own_commits(ctx: StepContext, head: str) -> tuple[bool, tuple[str, ...]]:
    """Whether the agent moved HEAD, and what of its commits could not be kept under a ref: the batch is made of its tree."""
    run, name = ctx.run, ctx.task.workstream
    kept = keep_commits(run, name, head)
    tips, now = kept.tips, head_of(run.workspace(name))
    if now in tips or len(tips) == 1:
        run.repo.keep_ref(run.refs.commits(ctx.task.id, ctx.attempt), now if now in tips else tips[0])
    return now is not None and now != head, (kept.problem,) if kept.problem else ()


def _judged(
    ctx: StepContext, called: Called, *, changed: bool, committed: bool, left_out: tuple[str, ...]
) -> AgentResult:
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
    why += "".join(f"; {text}" for text in left_out)
    if rejected(ctx):
        why += f"; {ctx.ws.unfinished['code_gate']}"
    status = AgentStatus.REFUSED if result.denials else AgentStatus.NO_CHANGE
    return msgspec.structs.replace(result, status=status, message=f"the agent changed nothing{why}")


def _head(ctx: StepContext) -> str:
    """The commit that the workstream's branch is at when a round begins."""
    conflict = conflict_of(ctx)
    return conflict.commit if conflict else ctx.ws.base


def _prepare(ctx: StepContext, start: str, head: str) -> Setup:
    """Make the workspace the round's starting point, and tell what set-up made in it.

    What a lost attempt left in it is saved first.
    """
    run, name = ctx.run, ctx.task.workstream
    path, branch, setup = run.workspace(name), run.branch(name), Setup(ctx.ws.setup)
    if not is_folder(path):  # removed since: the run had shipped, `gc` came by, or an agent put something in its place
        if left := remove_workspace(run, name, ctx.task.id):
            ctx.told.append(left)
        run.repo.put_ref(branch_ref(branch), head)
        run.workspaces.add(path, head, branch)
        setup = set_up(ctx, path, run.repo.tree_of(head))
    found = snapshot(run.workspaces.content(path), path, start, scratch=run.paths.scratch, inspect=run.inspect)
    known = ctx.ws.work.refused if rejected(ctx) and ctx.ws.work else ()
    # A secret in a line is the agent's to take out, and its file stays for that; what else is refused goes.
    mine = {one.path for one in found.refused if one.line and run.secrets.text(str(one)) in known}
    strange = any(one.path not in setup and one.path not in mine for one in found.refused)
    moved = head_of(path) != head
    if moved or strange or without_setup(ctx, start, found.tree, setup) != start:
        saved = save_workspace(run, name, stays=setup)
        ctx.told.append(told(ctx.task.id, name, saved))
        folder = run.paths.attempt(ctx.task.id, ctx.attempt)
        if lost := len(list(folder.parent.glob(f"{folder.name}.lost-*"))):
            run.repo.put_ref(run.refs.lost(ctx.task.id, ctx.attempt, lost), saved.commit)
        run.workspaces.reset(path, start, head=head, branch=branch, keep=setup)
    return setup
