"""`branchline gc`: what ended runs left in the way, saved and removed."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from branchline.cli.history import find_root, history_of
from branchline.cli.options import json_option, repo_option
from branchline.cli.output import emit, say, show
from branchline.errors import BranchlineError
from branchline.ledger.lease import Lease
from branchline.ledger.paths import RunPaths, run_ids
from branchline.views.text import table

UNITS = ("B", "kB", "MB", "GB", "TB")
THOUSAND = 1000


class Removal(msgspec.Struct, frozen=True, kw_only=True):
    """A folder to remove. `worktree`: an agent's, saved first; `scratch`: a clean checkout, nobody's work."""

    run_id: str
    kind: str
    name: str
    path: str
    size_bytes: int


@click.command("gc")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@repo_option
@json_option
def command(*, dry_run: bool, repo: Path, as_json: bool) -> None:
    """Save and remove what ended runs left in the way.

    Worktrees and clean checkouts of runs that have ended. Branches, saved work, logs and reports stay, and so does
    everything of a run that is live or can be resumed.
    """
    root = find_root(repo)
    plan = [removal for name in run_ids(root) for removal in _left_over(RunPaths(root, name))]
    if not dry_run:
        for name in dict.fromkeys(removal.run_id for removal in plan):
            _remove(RunPaths(root, name), [removal for removal in plan if removal.run_id == name])
    if as_json:
        emit({"dry_run": dry_run, "removed": plan})
        return
    show(table([(r.run_id, r.kind, r.name, _size(r.size_bytes)) for r in plan], indent=""))
    verb = "would be removed" if dry_run else "removed, its work saved"
    total = _size(sum(r.size_bytes for r in plan))
    say(f"{total} {verb}" if plan else "nothing to remove")


def _left_over(paths: RunPaths) -> Iterator[Removal]:
    """What an ended run has left; nothing of a run that is damaged: `verify` comes first."""
    try:
        history = history_of(paths)
    except BranchlineError:
        return
    if history.live or history.state.end is None or history.state.kind != "pipeline":
        return
    for kind, folder in (("worktree", paths.worktrees), ("scratch", paths.scratch)):
        for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
            if entry.is_dir() and not entry.is_symlink():
                size = _size_of(entry)
                yield Removal(run_id=paths.run_id, kind=kind, name=entry.name, path=str(entry), size_bytes=size)


def _remove(paths: RunPaths, removals: list[Removal]) -> None:
    """Remove them under the run's lease, so that nobody takes the run up meanwhile. Raises RunBusy."""
    from branchline.engine.pipeline import open_run
    from branchline.git.worktree import delete_tree
    from branchline.steps.saving import remove_worktree

    lease = Lease(paths, now=time.time_ns() // 1_000_000)
    try:
        run = open_run(paths, history_of(paths).state)
        for removal in removals:
            path = Path(removal.path)
            if removal.kind == "worktree":
                saved = remove_worktree(run, removal.name)
                say(f"saved {removal.name}: {saved}")
            elif (path / ".git").exists():
                run.worktrees.remove(path)
            else:
                delete_tree(path)
    finally:
        lease.release()


def _size_of(folder: Path) -> int:
    total = 0
    for inside, _, files in os.walk(folder):
        total += sum(os.lstat(os.path.join(inside, name)).st_size for name in files)
    return total


def _size(size: int) -> str:
    value, unit = float(size), 0
    while value >= THOUSAND and unit < len(UNITS) - 1:
        value, unit = value / THOUSAND, unit + 1
    return f"{value:.0f} {UNITS[unit]}" if unit == 0 else f"{value:.1f} {UNITS[unit]}"
