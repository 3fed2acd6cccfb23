"""What a run has shipped, undone by a new commit on its target: history is never rewritten, and a person's work stays."""

from collections.abc import Sequence
from contextlib import suppress

import msgspec

from branchline.attempt.run import Run
from branchline.core.events import IntentReceived, RolledBack
from branchline.core.facts import ShipComplete
from branchline.core.refs import Refs, branch_ref
from branchline.engine.opening import mark, open_run, take_over
from branchline.engine.recover import Held, clock
from branchline.errors import FAILURES, GitError, InvalidInput
from branchline.git.landing.checkout import Halfway
from branchline.git.landing.merge import Conflicted, merge_trees
from branchline.git.landing.target import move
from branchline.ledger.codec import Record
from branchline.ledger.log import read
from branchline.ledger.paths import RunPaths

SHORT = 12


def rollback(paths: RunPaths, *, by: str, reason: str = "") -> RolledBack:
    """Undo what the run has shipped. Done once already, it is what was done then.

    Raises InvalidInput if there is nothing to undo, GitError if it cannot be undone; nothing is changed then. Raises
    Halfway if it is undone, but not in all files of the checkout. A kill at any moment leaves what calling it again
    completes.
    """
    with take_over(paths) as held:
        if held.state.rolled_back is not None:
            return held.state.rolled_back
        shipped, asked = _shipped(held, read(paths).records), IntentReceived(kind="rollback", by=by)
        run, halfway = open_run(paths, held.state), None
        if shipped.onto and run.repo.read_ref(branch_ref(shipped.target)) == shipped.commit:
            move(run.repo, shipped.target, shipped.onto, shipped.commit)  # where shipping ended halfway, it is finished
        old, new = _begun(run, shipped.target) or _made(run, shipped, reason)
        held.ledger.append([asked])
        run.repo.put_ref(run.refs.rollback, new)
        try:
            tip = run.repo.read_ref(branch_ref(shipped.target))
            # Else a killed rollback had moved it, and others went on from there.
            if tip is None or tip == new or not run.repo.is_ancestor(new, tip):
                move(run.repo, shipped.target, old, new)
        except Halfway as error:  # the target has moved, and that is what counts
            halfway = error
        except GitError as error:
            held.ledger.append([msgspec.structs.replace(asked, refused=error.message)])
            raise
        done = RolledBack(target=shipped.target, commit=new, reverts=shipped.commit, by=by, reason=reason)
        held.ledger.append([done])
        with suppress(*FAILURES):  # the ledger may be ahead of its mark
            mark(run, held.ledger)
        if halfway is not None:
            raise halfway
        return done


def _shipped(held: Held, records: Sequence[Record]) -> ShipComplete:
    """What the run shipped last. Raises InvalidInput if it moved no branch, or has not ended."""
    run_id = held.ledger.paths.run_id
    if held.state.end is None:
        raise InvalidInput(f"run {run_id} has not ended", hint=f"branchline resume {run_id}")
    found = [record.event for record in records if isinstance(record.event, ShipComplete)]
    if found and found[-1].target:
        return found[-1]
    if not found:
        raise InvalidInput(f"run {run_id} has shipped nothing", hint=f"branchline show {run_id}")
    raise InvalidInput(
        f"run {run_id} moved no branch: it left {Refs(run_id).integration}, which whoever merged it can revert",
        hint=f"git branch --contains {found[-1].commit[:SHORT]}",
    )


def _begun(run: Run, target: str) -> tuple[str, str] | None:
    """The move that a killed rollback had begun, if the target is still where it can be completed, or beyond it."""
    repo = run.repo
    made, tip = repo.read_ref(run.refs.rollback), repo.read_ref(branch_ref(target))
    if made is None or tip is None:
        return None
    old = repo.parents(made)[0]
    return (old, made) if tip == old or repo.is_ancestor(made, tip) else None


def _made(run: Run, shipped: ShipComplete, reason: str) -> tuple[str, str]:
    """A commit on the target's tip without what the run changed. Raises InvalidInput, GitError."""
    repo, run_id, target = run.repo, run.run_id, shipped.target
    tip = repo.read_ref(branch_ref(target))
    if tip is None or not repo.is_ancestor(shipped.commit, tip):
        raise InvalidInput(f"{target} does not hold {shipped.commit[:SHORT]} of run {run_id}: nothing to undo")
    base = shipped.onto or shipped.commit
    if not shipped.onto:  # an old ledger does not say where the target was: the first commit before those of the run
        while f"\nBranchline-Run: {run_id}\n" in repo.content.text("log", "-1", "--format=%B%n", base) + "\n":
            base = repo.parents(base)[0]
    result = merge_trees(repo, tip, base, lambda _: None, base=shipped.commit, declared=tip, union=False)
    if isinstance(result, Conflicted):
        raise GitError(
            f"run {run_id} cannot be undone on {target}: what came later changes {', '.join(result.paths)} too; "
            "nothing was changed",
            hint=f"git revert -m 1 $(git rev-list --first-parent {base[:SHORT]}..{shipped.commit[:SHORT]})",
        )
    if result.tree == repo.tree_of(tip):
        raise InvalidInput(f"nothing of run {run_id} is left on {target}: nothing to undo")
    why = f"\n{reason}\n" if reason else ""
    message = f"Roll back run {run_id}\n{why}\nBranchline-Rolls-Back: {shipped.commit}\n"
    return tip, repo.commit(result.tree, [tip], message, clock() // 1000)
