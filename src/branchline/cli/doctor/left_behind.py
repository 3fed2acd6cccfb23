"""What earlier runs left: those that have not ended, and what is wrong with their worktrees, refs and locks."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from branchline.cli.doctor.finding import Finding
from branchline.cli.history import History, history_of
from branchline.core.refs import Refs, branch_ref
from branchline.errors import BranchlineError
from branchline.git.healing import Wound
from branchline.git.locks import Lock, is_of_run, locks, owner_of_shared
from branchline.git.registration import Registration, registrations
from branchline.git.repo import Repo
from branchline.ledger.paths import RUNS, RunPaths, run_ids
from branchline.process.sweep import living
from branchline.views.next_command import next_commands
from branchline.views.status import status_word

UNENDED = {"interrupted": "it was interrupted", "waiting": "it waits for a person"}
REPAIR = "branchline doctor --repair"
SHIPPING = b"branchline fast-forward "  # what a ship writes into the lock of a checkout that it moves


def left_behind(repo: Repo, *, repair: bool) -> Iterator[Finding]:
    """Run by run, then what is no run's."""
    known, histories = run_ids(repo.root), list[History]()
    for run_id in known:
        try:
            histories.append(history_of(RunPaths(repo.root, run_id)))
        except BranchlineError as error:
            yield Finding(name=f"run {run_id}", state="warning", detail=error.message, next=error.hint)
    for history in histories:
        word = status_word(history.state, live=history.live)
        if word in UNENDED:
            again = next_commands(history.run_id, word, history.state)[0]
            yield Finding(name=f"run {history.run_id}", state="warning", detail=UNENDED[word], next=again)
        if not history.live and history.state.kind == "pipeline":
            yield from _wounds(history, repair=repair)
    yield from _registrations(repo, known)
    yield from _shared_locks(repo, histories, repair=repair)


def _wounds(history: History, *, repair: bool) -> Iterator[Finding]:
    from branchline.engine.healing import wounds
    from branchline.engine.opening import open_run

    name, found = f"run {history.run_id}", _orphans(history.paths)
    found += wounds(open_run(history.paths, history.state), history.records, history.state)
    if repair and any(one.cure for one in found):
        yield from _repaired(history)
        return
    for one in found:
        yield _found(f"{name}, {one.name}", one.text, one.cure, command=one.command)


def _orphans(paths: RunPaths) -> list[Wound]:
    alive = ", ".join(map(str, living(paths.marker)))
    return [Wound(f"process {alive}", "it lives on, and nobody drives the run", "end it")] if alive else []


def _repaired(history: History) -> Iterator[Finding]:
    """Take the run up for as long as it takes to mend it."""
    from branchline.engine.healing import repair

    name, orphans = f"run {history.run_id}", _orphans(history.paths)
    try:
        healing = repair(history.paths)
    except BranchlineError as error:
        yield Finding(name=name, state="warning", detail=f"it was left alone: {error.message}", next=error.hint)
        return
    for one in (*orphans, *healing.done):
        yield _found(f"{name}, {one.name}", one.text, one.cure, repair=True)
    for one in healing.left:
        yield _found(f"{name}, {one.name}", one.text, command=one.command)


def _found(name: str, text: str, cure: str = "", *, command: str = "", repair: bool = False) -> Finding:
    if repair:
        return Finding(name=name, state="repaired", detail=f"{text}; --repair did {cure}")
    detail = f"{text}; --repair would {cure}" if cure else text
    return Finding(name=name, state="warning", detail=detail, next=command or (REPAIR if cure else ""))


def _registrations(repo: Repo, known: Sequence[str]) -> Iterator[Finding]:
    """Registrations of worktrees that are no known run's: only people may touch them."""
    for one in registrations(repo.common_dir):
        whose = _run_of(one)
        if whose in known:
            continue
        lacking = one.damage()
        if not any(one.admin.iterdir()):
            detail = f"{one.admin.name} is registered with nothing in it, as a git that was killed leaves it"
            yield Finding(name="worktree", state="warning", detail=detail, next="git worktree prune")
        elif lacking:
            detail = f"{one.admin.name} is registered without {' and '.join(lacking)}: git may fail everywhere"
            yield Finding(name="worktree", state="warning", detail=detail, next=f"rm -r {one.admin}")
        elif whose:
            detail = f"{one.admin.name} is registered for the run {whose}, of which there is no ledger here"
            yield Finding(name="worktree", state="warning", detail=detail, next=f"rm -r {one.admin}")


def _run_of(one: Registration) -> str:
    """The id of the run whose worktree it says it is; empty for a person's."""
    for said in (one.place, one.note, one.kept):
        if said is not None and said.parts[-4:-3] == (RUNS,):
            return said.parts[-3]
    return ""


def _shared_locks(repo: Repo, histories: Sequence[History], *, repair: bool) -> Iterator[Finding]:
    """Locks that any git takes: whoever made one may be at work, so only one that is old and nobody's is removed."""
    for lock in locks(repo.common_dir):
        if any(is_of_run(lock, one.run_id, _branches(one)) for one in histories):
            continue
        name, remove = f"lock {lock.name}", f"rm {lock.path}"
        if run_id := _shipping(lock, histories):
            told = f"run {run_id} was killed while it moved this checkout"
            yield Finding(name=name, state="warning", detail=told, next=f"branchline resume {run_id}")
        elif who := owner_of_shared(lock, [repo.root, repo.common_dir], now=time.time()):
            detail = f"git waits for it in vain if nobody owns it; {who}"
            yield Finding(name=name, state="warning", detail=detail, next=f"{remove}  # if no git is at work")
        elif repair:
            lock.path.unlink(missing_ok=True)
            yield _found(name, "it is old, and nobody owns it", "remove it", repair=True)
        else:
            yield _found(name, "it is old, and nobody owns it: git waits for it in vain", "remove it", command=REPAIR)


def _branches(history: History) -> set[str]:
    plan = history.state.plan or (history.state.proposed.plan if history.state.proposed else {})
    refs = Refs(history.run_id)
    return {branch_ref(refs.integration), *(branch_ref(refs.feature(one["id"])) for one in plan.get("workstreams", ()))}


def _shipping(lock: Lock, histories: Sequence[History]) -> str:
    """The run that was moving a checkout when it was killed: what it left in the lock names its commit."""
    try:
        said = Path(lock.path).read_bytes()
    except OSError:
        return ""
    if not said.startswith(SHIPPING):
        return ""
    commit = said.split()[-1]
    return next((one.run_id for one in histories if commit in one.paths.ledger.read_bytes()), "")
