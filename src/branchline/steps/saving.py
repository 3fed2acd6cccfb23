"""Nothing goes that is not saved: a worktree's every file becomes a commit of the run before the worktree goes."""

from branchline.git.commit import Saved, save
from branchline.steps.context import Run


def save_worktree(run: Run, workstream: str) -> Saved:
    """Keep everything in a workstream's worktree, untracked and ignored files too, under `refs/.../saved/`."""
    base = run.repo.read_ref(run.ref(f"base/{workstream}")) or run.base
    return save(
        run.repo,
        run.worktrees,
        run.worktree(workstream),
        ref=run.ref(f"saved/{workstream}"),
        base=base,
        when=run.commit_time,
        scratch=run.paths.scratch,
    )


def remove_worktree(run: Run, workstream: str) -> str | None:
    """Save a workstream's worktree, then remove it; the ref that keeps it, or None if there was none."""
    path = run.worktree(workstream)
    if not path.is_dir():
        return None
    saved = save_worktree(run, workstream)
    run.worktrees.remove(path)
    return saved.ref
