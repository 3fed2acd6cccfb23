"""What earlier runs left: those that have not ended, and what is wrong with their folders, refs and locks."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import msgspec

from branchline.cli.history import History, history_of
from branchline.errors import BranchlineError
from branchline.git.landing.checkout import claim_of
from branchline.git.repo import Repo
from branchline.ledger.paths import RunPaths, run_ids
from branchline.process.sweep import living
from branchline.views.next_command import next_commands
from branchline.views.status import status_word

UNENDED = {"interrupted": "it was interrupted", "waiting": "it waits for a person"}
REPAIR = "branchline doctor --repair"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """`missing`: a run cannot do without it; `warning`: it can, but say so. `next` is the command that mends it."""

    name: str
    state: Literal["ok", "repaired", "warning", "missing"]
    detail: str
    next: str = ""


def left_behind(repo: Repo, *, repair: bool) -> Iterator[Finding]:
    """Run by run, then checkouts that a killed ship left halfway."""
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
            yield from _problems(history, repair=repair)
    # The lock of a ship that was killed while it moved a checkout: resuming finishes the move.
    for git_dir in (repo.git_dir, *repo.common_dir.glob("worktrees/*")):
        commit = claim_of(git_dir).split()[-1:]
        if run_id := next(
            (one.run_id for one in histories for name in commit if name in one.paths.ledger.read_bytes()), ""
        ):
            told = f"run {run_id} was killed while it moved this checkout"
            lock = git_dir / "index.lock"
            yield Finding(name=f"lock {lock}", state="warning", detail=told, next=f"branchline resume {run_id}")


def _problems(history: History, *, repair: bool) -> Iterator[Finding]:
    """What is wrong with a run. To put it right, the run is taken up for as long as that takes."""
    from branchline.engine import healing
    from branchline.engine.opening import open_run

    name, alive = f"run {history.run_id}", ", ".join(map(str, living(history.paths.marker)))
    orphans = [healing.Problem(f"process {alive}", "it lives on, and nobody drives the run", "end it")] if alive else []
    found = [*orphans, *healing.problems(open_run(history.paths, history.state), history.records, history.state)]
    done: list[healing.Problem] = []
    if repair and any(one.cure for one in found):
        try:
            healed = healing.repair(history.paths)
        except BranchlineError as error:
            yield Finding(name=name, state="warning", detail=f"it was left alone: {error.message}", next=error.hint)
            return
        done, found = [*orphans, *healed.done], [replace(one, cure="") for one in healed.left]
    for one in done:
        yield Finding(name=f"{name}, {one.name}", state="repaired", detail=f"{one.text}; --repair did {one.cure}")
    for one in found:
        detail = f"{one.text}; --repair would {one.cure}" if one.cure else one.text
        mend = one.command or (REPAIR if one.cure else "")
        yield Finding(name=f"{name}, {one.name}", state="warning", detail=detail, next=mend)
