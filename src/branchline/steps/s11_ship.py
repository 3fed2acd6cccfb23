"""Step 11: what was tested lands, by compare-and-swap."""

import re
from dataclasses import replace

from branchline.attempt.approval import needed_by_merge, refuse_rejected, require_approved
from branchline.attempt.gate_run import check_commit
from branchline.attempt.integration import Integration, merge_queue, prove
from branchline.attempt.run import StepContext
from branchline.core.facts import ShipComplete
from branchline.core.model.verdict import Outcome
from branchline.core.refs import TAGS, branch_ref, in_the_way, tag_ref
from branchline.core.rules.linear import compiled
from branchline.core.work import Failure, StepFailed, Success
from branchline.core.workstream import known
from branchline.errors import FAILURES
from branchline.git.landing.checkout import CheckoutDirty, Halfway
from branchline.git.landing.target import move
from branchline.git.repo import RefMoved
from branchline.git.storage import fetch

SWAPS = 5
_LEFT_OUT = "it was left out when the others landed"


def run(ctx: StepContext) -> Success | Failure:
    """Leave the integration branch (mode `branch`), or move the target to the tested commit (mode `merge`).

    Once the target has moved, nothing can fail any more: what is left to do is the archive's.
    """
    run, merged = ctx.run, known(ctx.state.integration)
    result = Integration(merged.commit, list(merged.merged), dict(merged.dropped))
    if known(ctx.state.ci).commit != result.commit:
        return Failure("CI saw another commit than the one to ship", error_class="untested", retryable=False)
    refuse_rejected(ctx)
    if run.settings.ship.mode == "merge":
        target, result = run.target, _land(ctx, result)
    else:
        _require_approved(ctx, run.base, result)
        ctx.checkpoint("ship-complete", result.commit)
        target = ""
    fact = ShipComplete(
        task_id=ctx.task.id,
        target=target,
        commit=result.commit,
        tag=result.tag,
        branch=run.refs.integration,
        merged=tuple(result.merged),
        dropped=result.dropped,
        onto=result.onto,
        warnings=tuple(result.warnings),
    )
    return Success(fact)


def _require_approved(ctx: StepContext, base: str, result: Integration) -> None:
    """Nothing lands that waits for a person's yes: what was merged first, or what was merged again on a moved target."""
    run, first = ctx.run, known(ctx.state.integration)
    if result.commit == first.commit:
        if first.approval:
            require_approved(ctx, run.repo.tree_of(result.commit))
        return
    need = needed_by_merge(ctx, base, result)
    if need is None:
        return
    try:
        require_approved(ctx, need.tree)
    except StepFailed as error:
        reason = f"{run.target} moved: the new merge waits for its own approval"
        raise StepFailed(replace(error.failure, reason=reason, asks=need)) from error


def _land(ctx: StepContext, result: Integration) -> Integration:
    """Swap the target from the tested commit's base to the tested commit; if it moved, integrate and test again."""
    run, base = ctx.run, ctx.run.base
    for _ in range(SWAPS):
        tip = run.repo.read_ref(branch_ref(run.target))
        if tip is None:
            hint = f"git branch {run.target} {run.base[:12]}"
            raise StepFailed(_stopped(ctx, f"the target branch {run.target} is gone", "ship", hint))
        if landed := _landed(ctx, result, tip):
            return landed
        if tip != base:
            base, result = tip, _integrate_again(ctx, tip)
        _require_approved(ctx, base, result)
        if ctx.kill.reason is not None:
            raise StepFailed(Failure(f"it was {ctx.kill.reason} before anything landed", error_class=ctx.kill.reason))
        tag = _free_tag(ctx, result.commit)
        try:
            return _swap(ctx, base, result, tag)
        except RefMoved:
            continue
    raise StepFailed(Failure(f"{run.target} kept moving while it was tested against", error_class="target_moved"))


def _landed(ctx: StepContext, result: Integration, tip: str) -> Integration | None:
    """What the target holds already: what a lost attempt has landed, or the merge result, which a user may merge too.

    Is what landed the queue of now? The same merges on the same commit have the same ids.
    """
    run, order = ctx.run, known(ctx.state.merge_queue).order
    if mark := run.repo.read_ref(run.refs.landing):
        parents = run.repo.parents(mark)
        commit, onto = parents[0], parents[-1]  # one alone, if nothing had to move
        if run.repo.is_ancestor(commit, tip):
            tried = [result.merged]
            if all(one.commit != commit for one in _shipped(ctx)):  # what an earlier round left out is to land now
                messages = run.repo.content.text("log", "--first-parent", "--format=%B", f"{onto}..{commit}")
                tried.append(compiled(r"^Branchline-Workstream: (.+)$", re.MULTILINE).findall(messages))
            for names in tried:
                again = merge_queue(ctx, onto, [name for name in order if name in names], repair=False)
                if again.commit == commit:
                    left_out = {name: result.dropped.get(name, _LEFT_OUT) for name in order if name not in again.merged}
                    again.dropped = left_out
                    again.warnings += _finished(ctx, onto, commit) if tip == commit else []
                    return _tagged_late(ctx, again, onto)
    if not run.repo.is_ancestor(result.commit, tip):
        return None
    ctx.checkpoint("ship-complete", result.commit)
    return _tagged_late(ctx, result, run.base)


def _finished(ctx: StepContext, base: str, commit: str) -> list[str]:
    """Finish a checkout that a lost attempt had begun to move; why that cannot be, if it cannot."""
    try:
        move(ctx.run.repo, ctx.run.target, base, commit)
    except FAILURES as error:
        return [f"{ctx.run.target} has moved, but not all of its checkout: {_words(error)}"]
    return []


def _tagged_late(ctx: StepContext, result: Integration, onto: str) -> Integration:
    """What has landed already, with its tag, made if it is missing; with a warning, if it cannot be made."""
    result.onto = onto
    try:
        if tag := _free_tag(ctx, result.commit):
            ctx.run.repo.move_ref(tag_ref(tag), result.commit, None)
        result.tag = tag
    except FAILURES as error:
        result.warnings.append(f"{ctx.run.target} has moved, but the tag is missing: {_words(error)}")
    return result


def _swap(ctx: StepContext, base: str, result: Integration, tag: str) -> Integration:
    """Move target and tag, all that can fail having been done before. What fails after the move is a warning.

    Raises RefMoved, or StepFailed where nothing has moved.
    """
    run, commit = ctx.run, result.commit
    mark = run.repo.commit(run.repo.tree_of(commit), [commit, base], "landing\n", run.commit_time)
    run.repo.put_ref(run.refs.landing, mark)
    ctx.checkpoint("ship-complete", commit)
    ctx.kill.must_finish = True
    try:
        move(run.repo, run.target, base, commit, tag=tag_ref(tag) if tag else "")
    except Halfway as error:
        if _finished(ctx, base, commit):  # the second failure says less than the first
            result.warnings.append(f"{run.target} has moved, but not all of its checkout: {_words(error)}")
    except CheckoutDirty as error:
        why = f"{error.message}; nothing was shipped, {run.refs.integration} holds the result"
        raise StepFailed(_stopped(ctx, why, "dirty", error.hint)) from error
    except FAILURES:
        tip = run.repo.read_ref(branch_ref(run.target))
        if tip is None or tip == base or not run.repo.is_ancestor(commit, tip):
            raise
        result.warnings += _finished(ctx, base, commit)
        return _tagged_late(ctx, result, base)
    result.tag, result.onto = tag, base
    return result


def _free_tag(ctx: StepContext, commit: str) -> str:
    """The tag's name, empty for none. A run that ships again after a retry numbers its tags: no tag ever moves.

    Raises StepFailed if git cannot make it.
    """
    run = ctx.run
    made = {one.tag: one.commit for one in _shipped(ctx)}
    number = 1
    while (tag := run.refs.tag(run.settings.ship.tag, number)) and made.get(tag, commit) != commit:
        number += 1
    existing = run.repo.list_refs(TAGS) if tag else {}
    if existing.get(tag_ref(tag)) != commit:
        for one in in_the_way([tag_ref(tag)] if tag else [], existing):
            raise StepFailed(_stopped(ctx, one.text, "ship", one.command))
    return tag


def _integrate_again(ctx: StepContext, tip: str) -> Integration:
    """The same queue in the same order on the target's new tip, tested like the first."""
    run = ctx.run
    ctx.say(f"{run.target} moved: integrating again")
    fetch(run.repo, [tip])  # in a partial clone the user's fetch brings the commit without its files
    result = prove(ctx, tip, known(ctx.state.merge_queue).order, repair=False)
    if not result.merged:
        reasons = "; ".join(f"{name}: {why}" for name, why in result.dropped.items())
        reason = f"{run.target} moved, and nothing merges with it: {reasons}"
        raise StepFailed(Failure(reason, error_class="no_merges", retryable=False))
    batches = [ctx.of(name).commit for name in result.merged]
    same = run.repo.tree_of(result.commit) == run.repo.tree_of(tip)
    if same and not all(run.repo.is_ancestor(batch, tip) for batch in batches):
        reason = f"{run.target} moved, and holds all that is to be merged already"
        raise StepFailed(Failure(reason, error_class="no_change", retryable=False))
    report = check_commit(ctx, result.commit, base=tip, phase="integration", name="ci-anew")
    if report.outcome != Outcome.PASSED:
        raise StepFailed(Failure(f"{run.target} moved, and CI is {report.outcome} on the new merge", "ci_red"))
    run.put_branch("", result.commit)
    return result


def _stopped(ctx: StepContext, reason: str, kind: str, hint: str) -> Failure:
    """A failure that a person clears away with the `hint`, and then ships by a retry."""
    again = f"branchline retry {ctx.run.run_id} {ctx.task.id}"
    lines = f"{hint}\n{again}" if hint.startswith("git ") else f"{hint}, then: {again}" if hint else again
    return Failure(reason, error_class=kind, retryable=False, hint=lines)


def _words(error: Exception) -> str:
    return " ".join(str(error).split())


def _shipped(ctx: StepContext) -> list[ShipComplete]:
    """What earlier rounds have shipped."""
    return [r.event for r in ctx.run.history()[0] if isinstance(r.event, ShipComplete)]
