"""What kills and people leave wrong of a run: found for `doctor`, healed by `doctor --repair` and by every resume.

The ledger says what is the run's; nothing else is touched, and what is put right is a fact of the ledger too.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path

from branchline.attempt.run import Run
from branchline.attempt.saved import keep_own_repository, remove_worktree
from branchline.core.events import AnyEvent, Healed
from branchline.core.facts import ExecuteWsComplete, MergeConflict, WorktreeSaved, WorktreesReady
from branchline.core.run_state import RunState
from branchline.engine.crosscheck import Misplaced, misplaced
from branchline.engine.opening import mark, open_run, vouch
from branchline.engine.recover import take_up, taken_by
from branchline.errors import BranchlineError, GitError
from branchline.git.healing import Named, Place, Wound, lock_wounds, registration_wounds
from branchline.git.registration import registrations
from branchline.git.repo import Repo
from branchline.git.worktree import absolute, delete_tree
from branchline.ledger.codec import Record
from branchline.ledger.log import read
from branchline.ledger.paths import RunPaths
from branchline.views.claims import Claim, Claims, claims


@dataclass(slots=True)
class Healing:
    """What became of the wounds of a run: those that were mended, with facts for the ledger, and those that were not."""

    done: list[Wound] = field(default_factory=list)
    left: list[Wound] = field(default_factory=list)
    facts: list[AnyEvent] = field(default_factory=list)

    def mend(self, wounds: Iterable[Wound]) -> None:
        """Mend what can be mended; a failure is told, and keeps nothing else from being mended."""
        for wound in wounds:
            try:
                made = wound.mend() if wound.mend is not None else None
            except (BranchlineError, OSError) as error:
                self.left.append(Wound(wound.name, f"{wound.text}, and stays so: {error}", command=wound.command))
                continue
            (self.left if wound.mend is None else self.done).append(wound)
            self.facts += [made] if isinstance(made, WorktreeSaved) else []


def wounds(run: Run, records: Sequence[Record], state: RunState) -> list[Wound]:
    """All that is wrong with a run that nobody drives, in the order in which it is to be mended. Changes nothing."""
    place = _place(run, records)
    return [one for find in _parts(run, place, records, state) for one in find()]


def heal(run: Run, records: Sequence[Record], state: RunState, *, by: str) -> Healing:
    """Mend it. Only under the run's lease, with no process of the run alive."""
    place, healing = _place(run, records), Healing()
    first, *others = _parts(run, place, records, state)
    with run.worktrees.one_writer():
        healing.mend(first())
    for find in others:
        healing.mend(find())
    if healing.done:
        healing.facts.append(Healed(by=by, done=tuple(f"{one.name}: {one.text}: {one.cure}" for one in healing.done)))
    return healing


def repair(paths: RunPaths) -> Healing:
    """Take a run up, mend it, note that in its ledger, and let it go again. Raises RunBusy, LedgerError."""
    held = take_up(paths, vouch=lambda reading: vouch(Repo.open(paths.root), paths, reading))
    try:
        run = open_run(paths, held.state)
        healing = heal(run, read(paths).records, held.state, by=taken_by())
        if healing.facts:
            held.ledger.append(healing.facts)
            mark(run, held.ledger)
        return healing
    finally:
        held.release()


def _parts(run: Run, place: Place, records: Sequence[Record], state: RunState) -> list[Callable[[], list[Wound]]]:
    """What to look for, each where the one before it has been put right."""
    return [
        lambda: list(registration_wounds(place)),
        lambda: list(_folders(run, place, state)),
        lambda: list(_scratch(run)),
        lambda: list(lock_wounds(place)),
        lambda: list(_refs(run, records, state)),
    ]


def _place(run: Run, records: Sequence[Record]) -> Place:
    given: dict[str, bool] = {}
    for record in records:
        match record.event:
            case WorktreesReady(workstream=name):
                given[name] = True
            case WorktreeSaved(workstream=name, removed=True):
                given[name] = False
    named = [
        Named(absolute(run.worktree(name)), f"refs/heads/{run.branch(name)}", given.get(name, False))
        for name in (run.accepted.ids if run.accepted else ())
    ]
    return Place(run.repo, run.worktrees, run.run_id, named, absolute(run.paths.scratch / "x").parent)


def _folders(run: Run, place: Place, state: RunState) -> Iterator[Wound]:
    known = registrations(run.repo.common_dir)
    for path in [named.path for named in place.named]:
        found = next((one for one in known if one.names(path)), None)
        name, where = path.name, f"worktree {path.name}"
        if found is None or not found.made:
            continue
        if path.is_symlink() or not path.is_dir():
            text = "something else is in its folder's place" if os.path.lexists(path) else "its folder is gone"
            task = state.find("worktrees", name)
            mend = partial(_close, run, name, task.task.id if task else "")
            yield Wound(where, text, "save its commits and remove its registration", mend=mend)
        elif not found.lives_at(path):
            yield Wound(where, "its .git does not lead to it", "write it again", mend=partial(_point, run, name))


def _close(run: Run, name: str, task_id: str) -> WorktreeSaved | None:
    """Take leave of a worktree without its folder; its own commits are saved."""
    path = run.worktree(name)
    if os.path.lexists(path):
        free = next(spot for number in count(1) if not (spot := run.paths.kept / name / f"{number}").exists())
        free.parent.mkdir(parents=True, exist_ok=True)
        path.rename(free)
    saved = remove_worktree(run, name, task_id)
    if saved is not None and not saved.removed:
        raise GitError(saved.kept)
    return saved


def _point(run: Run, name: str) -> None:
    keep_own_repository(run, name)
    run.worktrees.repair_pointer(run.worktree(name))


def _scratch(run: Run) -> Iterator[Wound]:
    """What is left of clean checkouts and indexes: nobody's work."""
    for path in sorted(run.paths.scratch.iterdir()) if run.paths.scratch.is_dir() else ():
        if not run.worktrees.knows(path):
            text = "it is left of a step that was killed"
            yield Wound(f"scratch/{path.name}", text, "remove it", mend=partial(delete_tree, path))


def _refs(run: Run, records: Sequence[Record], state: RunState) -> Iterator[Wound]:
    """Refs that somebody moved or deleted. The branches of a run that has ended are people's to move."""
    told, out, own = claims(run.run_id, records), _checked_out(run), run.ref("")
    for one in misplaced(run.repo, told):
        branch = one.ref.startswith("refs/heads/")
        if (branch and state.end is not None) or not (branch or one.ref.startswith(own)):
            continue
        others = [place for place in out.get(one.ref, ()) if place.parent != absolute(run.paths.worktrees / "x").parent]
        if others:
            text = f"{one.text}, and it is checked out at {others[0]}"
            yield Wound(one.ref, text, command=f"git -C {others[0]} switch --detach")
        elif not _there(run, one.claim.commit or one.claim.tree or one.claim.parent):
            text = f"{one.text}, and what it held is not in the repository any more"
            yield Wound(one.ref, text, command=f"branchline verify {run.run_id}")
        else:
            cure = "put it back" if one.at is None else f"put it back; what it held will be {_aside(run, one.ref)}"
            yield Wound(one.ref, one.text, cure, mend=partial(_put_back, run, one, told, state))


def _checked_out(run: Run) -> dict[str, list[Path]]:
    try:
        return run.repo.checked_out()
    except GitError:  # a registration that is not ours is damaged; it has a finding of its own
        return {}


def _there(run: Run, oid: str) -> bool:
    return run.repo.content.status_of("cat-file", "-e", oid).code == 0


def _aside(run: Run, ref: str) -> str:
    return run.ref(f"moved/{ref.removeprefix(run.ref('')).removeprefix('refs/')}")


def _put_back(run: Run, one: Misplaced, told: Claims, state: RunState) -> None:
    right = one.claim.commit or _made_again(run, one.ref, one.claim, told, state)
    if one.at is not None:
        run.repo.keep_ref(_aside(run, one.ref), one.at)
    run.repo.move_ref(one.ref, right, one.at)


def _made_again(run: Run, ref: str, claim: Claim, told: Claims, state: RunState) -> str:
    """The commit that a ref held of which the ledger names only the tree, or what it stands on."""
    kind, _, name = ref.removeprefix(run.ref("")).partition("/")
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
        if made and _there(run, made) and run.repo.tree_of(made) == claim.tree:
            return made
    else:
        workstream, text = name.rpartition("-")[0], f"batch {name}\n"
    base = told.refs[run.ref(f"base/{workstream}")].commit
    return run.repo.commit(claim.tree, [base], text, run.commit_time)
