"""Nothing goes that is not saved: a worktree's every file becomes a commit of the run before the worktree goes."""

from collections.abc import Iterable
from itertools import count
from pathlib import Path

from branchline.git.commit import Refused, Saved, save
from branchline.steps.context import Run


def save_worktree(run: Run, workstream: str) -> Saved:
    """Keep everything in a workstream's worktree, untracked and ignored files too, under `refs/.../saved/`.

    What git cannot hold (a nested repository's history, a pipe, a name that git refuses) moves to the run's `kept`
    folder, so that the worktree may be cleared afterwards.
    """
    path = run.worktree(workstream)
    base = run.repo.read_ref(run.ref(f"base/{workstream}")) or run.base
    saved = save(
        run.repo,
        run.worktrees,
        path,
        ref=run.ref(f"saved/{workstream}"),
        base=base,
        when=run.commit_time,
        scratch=run.paths.scratch,
    )
    _move_aside(path, saved.refused, run.paths.kept / workstream)
    return saved


def _move_aside(worktree: Path, refused: Iterable[Refused], folder: Path) -> None:
    for one in refused:
        place = worktree / one.path
        if not place.is_symlink() and not place.exists():
            continue  # it lay in something that has been moved already
        free = next(spot for number in count(1) if not (spot := folder / str(number) / one.path).exists())
        free.parent.mkdir(parents=True, exist_ok=True)
        place.rename(free)


def remove_worktree(run: Run, workstream: str) -> str | None:
    """Save a workstream's worktree, then remove it; the ref that keeps it, or None if there was none."""
    path = run.worktree(workstream)
    if not run.worktrees.knows(path):
        return None
    saved = save_worktree(run, workstream)
    run.worktrees.remove(path)
    return saved.ref
