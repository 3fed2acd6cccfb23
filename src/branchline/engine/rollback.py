"""What a run has shipped, undone by a new commit on its target: history is never rewritten, and a person's work stays."""

from collections.abc import Sequence

from branchline.core.events import IntentReceived, RolledBack
from branchline.core.facts import ShipComplete
from branchline.core.refs import Refs, branch_ref
from branchline.engine.opening import mark, open_run, vouch
from branchline.engine.recover import Held, clock, take_up
from branchline.errors import GitError, InvalidInput
from branchline.git.landing.checkout import Halfway
from branchline.git.landing.merge import Conflicted, merge_trees
from branchline.git.landing.target import move
from branchline.git.repo import Repo
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
    repo = Repo.open(paths.root, marker=paths.marker)
    held = take_up(paths, vouch=lambda reading: vouch(repo, paths, reading))
    try:
        if held.state.rolled_back is not None:
            return held.state.rolled_back
        shipped = _shipped(held, read(paths).records)
        old, new = _begun(repo, held, shipped) or _made(repo, held, shipped, reason)
        held.ledger.append([IntentReceived(kind="rollback", by=by)])
        repo.put_ref(Refs(paths.run_id).rollback, new)
        halfway = None
        try:
            _move(repo, shipped.target, old, new)
        except Halfway as error:  # the target has moved, and that is what counts
            halfway = error
        except GitError as error:
            held.ledger.append([IntentReceived(kind="rollback", by=by, refused=error.message)])
            raise
        done = RolledBack(target=shipped.target, commit=new, reverts=shipped.commit, by=by, reason=reason)
        held.ledger.append([done])
        mark(open_run(paths, held.state), held.ledger)
        if halfway is not None:
            raise halfway
        return done
    finally:
        held.release()


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


def _begun(repo: Repo, held: Held, shipped: ShipComplete) -> tuple[str, str] | None:
    """The move that a killed rollback had begun, if the target is still where it can be completed, or beyond it."""
    made = repo.read_ref(Refs(held.ledger.paths.run_id).rollback)
    tip = repo.read_ref(branch_ref(shipped.target))
    if made is None or tip is None:
        return None
    old = repo.parents(made)[0]
    return (old, made) if tip == old or repo.is_ancestor(made, tip) else None


def _made(repo: Repo, held: Held, shipped: ShipComplete, reason: str) -> tuple[str, str]:
    """A commit on the target's tip without what the run changed. Raises InvalidInput, GitError."""
    run_id, target = held.ledger.paths.run_id, shipped.target
    tip = repo.read_ref(branch_ref(target))
    if tip is None or not repo.is_ancestor(shipped.commit, tip):
        raise InvalidInput(f"{target} does not hold {shipped.commit[:SHORT]} of run {run_id}: nothing to undo")
    base = shipped.onto or _before(repo, shipped.commit, run_id)
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


def _before(repo: Repo, commit: str, run_id: str) -> str:
    """Where the target was, in a ledger that does not say it: the first commit, parent by parent, not of the run."""
    while f"\nBranchline-Run: {run_id}\n" in repo.content.text("log", "-1", "--format=%B%n", commit) + "\n":
        commit = repo.parents(commit)[0]
    return commit


def _move(repo: Repo, target: str, old: str, new: str) -> None:
    tip = repo.read_ref(branch_ref(target))
    if tip is not None and tip != new and repo.is_ancestor(new, tip):
        return  # a killed rollback had moved it, and others went on from there
    move(repo, target, old, new)
