"""Step 4: an agent works in its workspace. What counts is the tree that it leaves, not what it says."""

from contextlib import suppress

import msgspec

from branchline.attempt.agent_call import call, way_out
from branchline.attempt.asking.context import choose, edit_request, regular
from branchline.attempt.asking.prompts import edit_prompt
from branchline.attempt.gate_run import without_setup
from branchline.attempt.run import Attempt, StepContext
from branchline.attempt.saved import keep_commits, remove_workspace, save_workspace, told
from branchline.attempt.scope import conflict_of, guarded_if, rejected, starting_tree, torn, violation
from branchline.attempt.setup import Setup, seen, set_up
from branchline.core.durations import seconds
from branchline.core.facts import ExecuteWsComplete
from branchline.core.model.agent import AgentResult, AgentStatus
from branchline.core.work import Asked, Failure, Success, Work, WorkOutcome
from branchline.core.workstream import known
from branchline.errors import BranchlineError
from branchline.git.commit import Snapshot, kept_from_gc
from branchline.git.folders import is_folder
from branchline.git.own_commits import head_of
from branchline.views.format.text import count, shown

MOST_NAMED = 20  # ignored files, in a message


def prepare(ctx: StepContext) -> Work:
    """What the agent is asked, and the round's starting point."""
    run, scope, tree, batch = ctx.run, ctx.workstream.scope, starting_tree(ctx), rejected(ctx)
    paths = {entry.path for entry in run.repo.entries(tree) if regular(entry)}
    request = edit_request(
        run.settings,
        run.plan,
        ctx.workstream,
        paths,
        agent=_agent(ctx),
        failure=batch.feedback if batch else "",
        targets=(*torn(ctx), *(batch.files if batch else ())),
    )
    given = choose(run, request, _head(ctx), tree, lambda path: violation(run, scope, torn(ctx), path) is None)
    asked = Asked(
        role="editor",
        agent=_agent(ctx),
        prompt=edit_prompt(ctx, given.files),
        given=given,
        timeout=seconds(ctx.workstream.timeout or ctx.run.settings.agent_timeout),
        number=ctx.task.round,
        script=ctx.workstream.script_of_round(ctx.task.round),
        write=scope.globs,
        protect=(*scope.protect, *guarded_if(ctx.run, "reject")),
    )
    return Work(
        **ctx.own,
        base=ctx.ws.base,
        commit=_head(ctx),
        tree=tree,
        asked=asked,
        scope=scope,
        torn=torn(ctx),
        setup=known(ctx.ws.worktree).setup,
        refused=ctx.ws.work.refused if batch and ctx.ws.work else (),
    )


def perform(work: Work, ctx: Attempt) -> WorkOutcome:
    """Put the workspace to the round's starting point, run the agent, keep what it made as a commit of the run."""
    setup = _made_ready(work, ctx)
    path = ctx.run.workspace(ctx.task.workstream)
    try:
        result = call(ctx, known(work.asked), path, again=lambda: setup.update(_made_ready(work, ctx)))
    except (BranchlineError, OSError):
        with suppress(BranchlineError, OSError):
            _left(work, ctx, setup)
        raise
    kept, head = keep_commits(ctx.run, ctx.task.workstream, work.commit), head_of(path)
    if head in kept.tips or len(kept.tips) == 1:
        tip = head if head in kept.tips else kept.tips[0]
        ctx.run.repo.keep_ref(ctx.run.refs.commits(ctx.task.id, ctx.attempt), tip)
    tree, commit, taken = _left(work, ctx, setup)
    return WorkOutcome(
        result=result,
        tree=tree,
        commit=commit,
        own_commits=head is not None and head != work.commit,
        commits_left_out=(kept.problem,) if kept.problem else (),
        refused=tuple(str(one) for one in taken.refused if one.path not in setup),
        left_out=_left_out(taken, setup),
    )


def conclude(ctx: StepContext, outcome: WorkOutcome) -> Success | Failure:
    """What counts is what git says, not what the agent says."""
    run, last, result = ctx.run, outcome.called[-1], _judged(ctx, outcome)
    fact = ExecuteWsComplete(
        task_id=ctx.task.id,
        workstream=ctx.workstream.id,
        agent=last.agent,
        status=str(result.status),
        tree=outcome.tree,
        files=tuple(change.path for change in run.repo.changes(run.repo.tree_of(ctx.ws.base), outcome.tree)),
        commit=outcome.commit,
        refused=outcome.refused,
        notes=result.notes,
        usage=last.usage,
        context_files=last.context_files,
        context_tokens=last.context_tokens,
        commits_left_out=outcome.commits_left_out,
        left_out=outcome.left_out,
    )
    if result.status != AgentStatus.OK:
        reason, hint = f"agent {last.agent}: {result.message or result.status}", way_out(ctx, last.agent, result)
        return Failure(reason, result.kind, retryable=result.retryable, hint=hint, fact=fact)
    return Success(fact)


@kept_from_gc
def _left(work: Work, ctx: Attempt, setup: Setup) -> tuple[str, str, Snapshot]:
    """What an attempt leaves, however it ends: its tree, the commit that keeps it under a ref, what is not in it."""
    run, path = ctx.run, ctx.run.workspace(ctx.task.workstream)
    base_tree, scope = run.repo.tree_of(work.base), known(work.scope)
    taken = seen(run, path, base_tree, wanted=lambda one: violation(run, scope, work.torn, one) is None)
    tree = without_setup(ctx, base_tree, taken.tree, setup)
    commit = run.repo.commit(tree, [work.commit], f"attempt {ctx.task.id} {ctx.attempt}\n", run.commit_time)
    run.repo.keep_ref(run.refs.attempt(ctx.task.id, ctx.attempt), commit)
    # A `git gc --prune=now` that had looked at the refs before goes on deleting what it had found unnamed.
    run.repo.content.call("rev-list", "--objects", "--quiet", commit, "--not", work.commit)
    return tree, commit, taken


def _left_out(taken: Snapshot, setup: Setup) -> tuple[str, ...]:
    """What the agent made that is not in its tree, in words; set-up may have made it before."""
    ignored = [shown(path) for path in taken.ignored if path not in setup]
    more = [f"and {len(ignored) - MOST_NAMED} more"] if len(ignored) > MOST_NAMED else []
    words = [f"git ignores {', '.join([*ignored[:MOST_NAMED], *more])}: see git check-ignore -v"] if ignored else []
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


def _judged(ctx: StepContext, outcome: WorkOutcome) -> AgentResult:
    """The agent's own account, corrected by what git says."""
    result = known(outcome.result)
    if result.status is not AgentStatus.OK:
        return result
    if outcome.own_commits and ctx.run.agents[outcome.called[-1].agent].spec.commits == "reject":
        message = "it made commits of its own, which `commits: reject` forbids"
        return msgspec.structs.replace(result, status=AgentStatus.REFUSED, message=message, error_class="commits")
    if outcome.tree != starting_tree(ctx) or outcome.refused:
        return result
    why = f"; it was denied {', '.join(result.denials[:3])}" if result.denials else ""
    why += "".join(f"; {text}" for text in outcome.left_out)
    if rejected(ctx):
        why += f"; {ctx.ws.unfinished['code_gate']}"
    status = AgentStatus.REFUSED if result.denials else AgentStatus.NO_CHANGE
    return msgspec.structs.replace(result, status=status, message=f"the agent changed nothing{why}")


def _head(ctx: StepContext) -> str:
    """The commit that the workstream's branch is at when a round begins."""
    conflict = conflict_of(ctx)
    return conflict.commit if conflict else ctx.ws.base


def _made_ready(work: Work, ctx: Attempt) -> Setup:
    """Make the workspace the round's starting point, and tell what set-up made in it.

    What a lost attempt left in it is saved first.
    """
    run, name, head, start = ctx.run, ctx.task.workstream, work.commit, work.tree
    path, branch, setup = run.workspace(name), run.branch(name), Setup(work.setup)
    if not is_folder(path):  # removed since: the run had shipped, `gc` came by, or an agent put something in its place
        if left := remove_workspace(run, name, ctx.task.id):
            ctx.told.append(left)
        run.put_branch(name, head)
        run.workspaces.add(path, head, branch)
        setup = set_up(ctx, path, run.repo.tree_of(head))
    found = seen(run, path, start)
    # A secret in a line is the agent's to take out, and its file stays for that; what else is refused goes.
    mine = {one.path for one in found.refused if one.line and run.secrets.text(str(one)) in work.refused}
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
