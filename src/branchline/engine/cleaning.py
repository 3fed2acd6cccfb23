"""What ended runs left in the way: one plan for looking and for doing, and a result for each part of it.

Only what a run's ledger names is touched: its workspaces, saved first, and its own scratch. Nothing of a run that is
live, damaged or not at its end.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec
from msgspec.structs import replace

from branchline.attempt.run import Run
from branchline.attempt.saved import remove_workspace
from branchline.core.events import SavedReleased
from branchline.core.outcome import workstream_outcomes
from branchline.core.refs import Refs
from branchline.core.rules.linear import compiled
from branchline.core.run_state import RunState
from branchline.core.states import State
from branchline.engine.opening import area, mark, open_run, take_over
from branchline.engine.recover import clock
from branchline.errors import BranchlineError
from branchline.git.folders import delete_tree
from branchline.git.repo import Repo
from branchline.git.workspace import DRAFT, REMOVED
from branchline.ledger.lease import Lease, is_held
from branchline.ledger.log import read, require
from branchline.ledger.paths import RunPaths
from branchline.ledger.runs import own_runs
from branchline.ledger.work import vacate
from branchline.process.trees import walk

LATER = compiled(r"(-kept)?-\d+$")
"""The end of a ref's name for what was saved later, or kept in its place: `a-2`, `a-kept-1`."""


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """A folder in the way. `worktree`: an agent's, saved first; `scratch`: nobody's work; `kept`: what git cannot hold.

    `saved`: the ref `path`, with everything that was in the workspace of a workstream that has landed.
    `outcome`: `to do` in a plan; `removed`, `left` or `failed` once it is done, with the reason; `ref` has what it held.
    """

    run_id: str
    kind: Literal["worktree", "scratch", "kept", "saved"]
    name: str
    path: str
    size_bytes: int
    outcome: Literal["to do", "removed", "left", "failed"] = "to do"
    reason: str = ""
    ref: str = ""


def planned(root: Path, *, kept: bool = False, landed: bool = False) -> list[Item]:
    """Everything that ended runs below `root` have left.

    What git cannot hold is left alone unless `kept` asks for it. Saved work that has landed is in the way if `landed`.
    """
    runs = [(paths, state) for paths in own_runs(root) if (state := _ended(paths))]
    if not runs:
        return []
    repo, found = Repo.open(root), list[Item]()
    for paths, state in runs:
        found += [*_left_over(repo, paths, state, kept=kept), *(_saved(repo, paths.run_id, state) if landed else ())]
    return found


def carried_out(root: Path, plan: Sequence[Item]) -> list[Item]:
    """Do what is planned; each item with what became of it. One that fails does not keep the others."""
    done = []
    for paths in own_runs(root):
        own = [item for item in plan if item.run_id == paths.run_id]
        going = [item for item in own if item.kind == "saved" and item.outcome == "to do"]
        done += _of_run(paths, [item for item in own if item not in going])
        done += _let_go(paths, going) if going else ()
        if state := _ended(paths):
            vacate(area(Repo.open(root), paths, state.pins))
    return done


def _left_over(repo: Repo, paths: RunPaths, state: RunState, *, kept: bool) -> Iterator[Item]:
    named = {str(w["id"]) for w in state.plan.get("workstreams", ())}
    work = area(repo, paths, state.pins)
    folders: tuple[tuple[Literal["worktree", "scratch", "kept"], Path], ...] = (
        ("worktree", work.workspaces),
        ("scratch", work.checkouts),
        ("scratch", work.rooms),
        ("scratch", paths.scratch),
        ("kept", paths.kept),
    )
    for kind, folder in folders:
        for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
            if entry.is_symlink() or not entry.is_dir():
                continue
            draft = entry.name.startswith((DRAFT, REMOVED))
            item = Item(run_id=paths.run_id, kind=kind, name=entry.name, path=str(entry), size_bytes=_size_of(entry))
            if draft:  # left by a kill: what was in it has been saved, or was nobody's work
                item = replace(item, kind="scratch")
            elif kind == "worktree" and entry.name not in named:
                item = replace(item, outcome="left", reason="it is not a worktree of this run")
            elif kind == "kept" and not kept:
                item = replace(item, outcome="left", reason="git cannot hold it, so this is all there is: gc --kept")
            yield item


def _saved(repo: Repo, run_id: str, state: RunState) -> Iterator[Item]:
    """What was saved of workstreams that have landed, with what git would free without it."""
    folder = f"{Refs(run_id).folder}saved/"
    ends = {one.id: one.state for one in workstream_outcomes(state)}
    for ref in repo.list_refs(folder):
        name = ref.removeprefix(folder)
        owner = name if name in ends else LATER.sub("", name)
        if ends.get(owner) != State.COMPLETED:
            continue
        others = ("--not", "--branches", "--tags", "--remotes")
        size = repo.refs.status_of("rev-list", "--disk-usage", "--objects", ref, *others)  # since git 2.31
        yield Item(run_id=run_id, kind="saved", name=name, path=ref, size_bytes=int(size.stdout or 0))


def _let_go(paths: RunPaths, items: Sequence[Item]) -> list[Item]:
    """Note in the ledger that saved work goes, then delete its refs: the other way round a resume would miss them."""
    try:
        with take_over(paths) as held:
            run = open_run(paths, held.state)
            there = {item.path: oid for item in items if (oid := run.repo.read_ref(item.path))}
            held.ledger.append([SavedReleased(refs=tuple(there), by=os.environ.get("USER") or "the user")])
            mark(run, held.ledger)
            for ref, oid in there.items():
                run.repo.move_ref(ref, None, oid)
    except BranchlineError as error:
        return [replace(item, outcome="failed", reason=error.message) for item in items]
    return [replace(item, outcome="removed", reason="git gc --prune=now frees its space") for item in items]


def _ended(paths: RunPaths) -> RunState | None:
    """The state of a pipeline's run that has ended and that nobody drives; None for every other."""
    try:
        if is_held(paths):
            return None
        state = require(read(paths), paths)
    except BranchlineError:
        return None
    return state if state.end is not None and state.kind == "pipeline" else None


def _of_run(paths: RunPaths, items: Sequence[Item]) -> list[Item]:
    """Under the run's lease, so that nobody takes the run up meanwhile; and looked at again, now that it is ours."""
    todo = [item for item in items if item.outcome == "to do"]
    if not todo:
        return list(items)
    try:
        lease = Lease(paths, now=clock())
    except BranchlineError as error:
        return [replace(item, outcome="left", reason=error.message) for item in items]
    try:
        state = require(read(paths), paths)
        if state.end is None:
            return [replace(item, outcome="left", reason="the run goes on") for item in items]
        run = open_run(paths, state)
        return [_done(run, item) if item in todo else item for item in items]
    finally:
        lease.release()


def _done(run: Run, item: Item) -> Item:
    try:
        if item.kind != "worktree":
            delete_tree(Path(item.path))
            return replace(item, outcome="removed")
        fact = remove_workspace(run, item.name)
    except (BranchlineError, OSError) as error:
        return replace(item, outcome="failed", reason=str(error))
    if fact is None:
        return replace(item, outcome="left", reason="it is no workspace")
    if not fact.removed:
        return replace(item, outcome="failed", reason=fact.kept, ref=fact.ref)
    out = f"not in git, but in {run.paths.kept / item.name}: {'; '.join(fact.left_out)}" if fact.left_out else ""
    return replace(item, outcome="removed", reason=out, ref=fact.ref)


def _size_of(folder: Path) -> int:
    seen = (inside.look(name) for inside in walk(folder) for name in inside.names)
    return sum(found.st_size for found in seen if found)
