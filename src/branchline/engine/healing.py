"""What kills and people leave wrong of a run: found for `doctor`, put right by `doctor --repair` and by every resume.

The ledger says what is the run's; nothing else is touched, and what is put right is a fact of the ledger too.
Workspaces are not mended: one that is broken is saved as files and made again.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from branchline.attempt.run import Run
from branchline.core.events import AnyEvent, Healed
from branchline.core.facts import ExecuteWsComplete, MergeConflict, WorktreeSaved
from branchline.core.refs import HEADS, TAGS, branch_ref, tag_ref
from branchline.core.run_state import RunState
from branchline.engine.crosscheck import Misplaced, known, misplaced
from branchline.engine.opening import mark, open_run, take_over
from branchline.engine.recover import taken_by
from branchline.errors import BranchlineError
from branchline.git.folders import delete_tree
from branchline.git.landing.checkout import claim_of
from branchline.git.landing.target import checked_out_at, checkouts
from branchline.git.workspace import DRAFT, REMOVED
from branchline.ledger.codec import Record
from branchline.ledger.log import read
from branchline.ledger.paths import RunPaths
from branchline.views.claims import Claim, Claims, claims

EMPTY_SECONDS = 1.0  # that the lock of a ref may be empty: git writes into it at once


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it should be: `name` of what, and the fact.

    `cure`: what mending does ("remove it"); without one only a person can mend it, by `command`.
    """

    name: str
    text: str
    cure: str = ""
    command: str = ""
    mend: Callable[[], object] | None = field(default=None, compare=False, repr=False)


@dataclass(slots=True)
class Healing:
    """What became of the problems of a run: those that were mended, with facts for the ledger, and those that were not."""

    done: list[Problem] = field(default_factory=list)
    left: list[Problem] = field(default_factory=list)
    facts: list[AnyEvent] = field(default_factory=list)


def problems(run: Run, records: Sequence[Record], state: RunState) -> Iterator[Problem]:
    """All that is wrong with a run that nobody drives, in the order in which it is to be mended. Changes nothing.

    Each is looked for when the one before it may have been put right.
    """
    yield from _left_over(run)
    yield from _locks(run)
    yield from _refs(run, records, state)


def heal(run: Run, records: Sequence[Record], state: RunState, *, by: str) -> Healing:
    """Mend it. Only under the run's lease, with no process of the run alive. A failure keeps nothing else from being mended."""
    healing = Healing()
    for problem in problems(run, records, state):
        if problem.mend is None:
            healing.left.append(problem)
            continue
        try:
            made = problem.mend()
        except (BranchlineError, OSError) as error:
            text = f"{problem.text}, and stays so: {error}"
            healing.left.append(Problem(problem.name, text, command=problem.command))
            continue
        healing.done.append(problem)
        if isinstance(made, WorktreeSaved):
            healing.facts.append(made)
    if healing.done:
        healing.facts.append(Healed(by=by, done=tuple(f"{one.name}: {one.text}: {one.cure}" for one in healing.done)))
    return healing


def repair(paths: RunPaths) -> Healing:
    """Take a run up, mend it, note that in its ledger, and let it go again. Raises RunBusy, LedgerError."""
    with take_over(paths) as held:
        run = open_run(paths, held.state)
        healing = heal(run, read(paths).records, held.state, by=taken_by())
        if healing.facts:
            held.ledger.append(healing.facts)
            mark(run, held.ledger)
        return healing


def _left_over(run: Run) -> Iterator[Problem]:
    """What killed steps left of clean checkouts, indexes and workspaces that were being made: nobody's work."""
    drafts = [*run.work.workspaces.glob(f"{DRAFT}*"), *run.work.workspaces.glob(f"{REMOVED}*")]
    for folder in (run.paths.scratch, run.work.checkouts):
        drafts += folder.iterdir() if folder.is_dir() else ()
    for path in sorted(drafts):
        text = "a step that was killed left it"
        yield Problem(path.name, text, "remove it", mend=partial(delete_tree, path))


def _locks(run: Run) -> Iterator[Problem]:
    """Locks of refs that only this run writes: none of its processes lives, so the git that made one was killed."""
    common, plan = run.repo.common_dir, run.accepted
    branches = [run.refs.integration, *(run.branch(name) for name in (plan.ids if plan else ()))]
    found = [*(common / run.refs.folder).rglob("*.lock"), *(common / f"{branch_ref(name)}.lock" for name in branches)]
    for lock in sorted([*found, *_locks_of_landing(run)]):
        if lock.is_file():
            mend = partial(lock.unlink, missing_ok=True)
            yield Problem(f"lock {lock.relative_to(common)}", "a git that was killed left it", "remove it", mend=mend)


def _locks_of_landing(run: Run) -> Iterator[Path]:
    """Those of the target, the tag and HEAD, which others take too: they name what lands, or stay empty.

    A git that lives writes into the lock of a ref what it is to be; it holds that of HEAD longer, but not past our claim.
    """
    mark, common = run.repo.read_ref(run.refs.landing), run.repo.common_dir
    if mark is None:
        return
    commit = run.repo.parents(mark)[0].encode()
    claimed = [one.git_dir for one in checkouts(run.repo) if commit in claim_of(one.git_dir).split()]
    tags = [one for one in (common / TAGS).rglob("*.lock") if str(one).startswith(str(common / tag_ref(run.tag)))]
    locks = [common / f"{branch_ref(run.target)}.lock", *tags, *(one / "HEAD.lock" for one in claimed)]
    looks = [{lock: (lock.stat().st_ino, lock.read_bytes().strip()) for lock in locks if lock.is_file()}]
    if any(not data for _, data in looks[0].values()):
        time.sleep(EMPTY_SECONDS)
        looks.append({lock: (lock.stat().st_ino, lock.read_bytes().strip()) for lock in looks[0] if lock.is_file()})
    yield from (lock for lock, seen in looks[-1].items() if seen[1] == commit or seen == (looks[0][lock][0], b""))


def _refs(run: Run, records: Sequence[Record], state: RunState) -> Iterator[Problem]:
    """Refs that somebody moved or deleted. The branches of a run that has ended are people's to move."""
    told, own = claims(run.run_id, records), run.refs.folder
    for one in misplaced(run.repo, told):
        branch = one.ref.startswith(HEADS)
        if (branch and state.end is not None) or not (branch or one.ref.startswith(own)):
            continue
        if branch and (others := checked_out_at(run.repo, one.ref.removeprefix(HEADS))):
            text = f"{one.text}, and it is checked out at {others[0]}"
            yield Problem(one.ref, text, command=f"git -C {others[0]} switch --detach")
        elif not known(run.repo, [one.claim.commit or one.claim.tree or one.claim.parent]):
            text = f"{one.text}, and what it held is not in the repository any more"
            yield Problem(one.ref, text, command=f"branchline verify {run.run_id}")
        else:
            cure = "put it back" if one.at is None else f"put it back; what it held will be {run.refs.moved(one.ref)}"
            yield Problem(one.ref, one.text, cure, mend=partial(_put_back, run, one, told, state))


def _put_back(run: Run, one: Misplaced, told: Claims, state: RunState) -> None:
    right = one.claim.commit or _made_again(run, one.ref, one.claim, told, state)
    if one.at is not None:
        run.repo.keep_ref(run.refs.moved(one.ref), one.at)
    run.repo.move_ref(one.ref, right, one.at)


def _made_again(run: Run, ref: str, claim: Claim, told: Claims, state: RunState) -> str:
    """The commit that a ref held of which the ledger names only the tree, or what it stands on."""
    kind, _, name = run.refs.short(ref).partition("/")
    if kind == "checkpoint":
        text = f"checkpoint({name.partition('/')[0]}): {run.run_id}\n"
        return run.repo.commit(run.repo.tree_of(claim.parent), [claim.parent], text, run.commit_time)
    if kind == "conflict":
        facts = [one.fact for one in state.records.values() if isinstance(one.fact, MergeConflict)]
        theirs = next(one.commit for one in reversed(facts) if one.workstream == name)
        return run.repo.commit(claim.tree, [claim.parent, theirs], f"{kind} {name}\n", run.commit_time)
    task = name.partition("/")[0]
    if kind == "attempts":
        record = state.records[task]
        workstream, text = record.task.workstream, f"attempt {name.replace('/', ' ')}\n"
        made = record.fact.commit if isinstance(record.fact, ExecuteWsComplete) else ""
        if made and known(run.repo, [made]) and run.repo.tree_of(made) == claim.tree:
            return made
    else:
        workstream, text = name.rpartition("-")[0], f"batch {name}\n"
    base = told.refs[run.refs.base(workstream)].commit
    return run.repo.commit(claim.tree, [base], text, run.commit_time)
