"""Nothing goes that is not saved: a worktree's every file becomes a commit of the run before the worktree goes."""

import filecmp
import os
import stat
from collections.abc import Collection, Iterable
from itertools import count
from pathlib import Path

from msgspec.structs import replace

from branchline.attempt.run import Run
from branchline.core.facts import WorktreeSaved
from branchline.core.result import Failure, StepFailed
from branchline.errors import BranchlineError
from branchline.git.commit import Refused, Saved, save


def save_worktree(run: Run, workstream: str, *, clear: bool = True, stays: Collection[str] = ()) -> Saved:
    """Keep everything in a workstream's worktree, untracked and ignored files too, under `refs/.../saved/`.

    To `clear` the worktree afterwards, what git cannot hold (a nested repository's history, a pipe, a name that git
    refuses, files past the limits of size or with secrets) moves to the run's `kept` folder, where nothing removes it
    unasked, unless it is one of what `stays`.
    """
    path = run.worktree(workstream)
    if clear:
        keep_own_repository(run, workstream)
    base = run.repo.read_ref(run.ref(f"base/{workstream}")) or run.base
    saved = save(
        run.repo,
        run.worktrees,
        path,
        ref=run.ref(f"saved/{workstream}"),
        base=base,
        when=run.commit_time,
        scratch=run.paths.scratch,
        inspect=run.inspect,
    )
    if clear:
        _move_aside(run, workstream, [one for one in saved.refused if one.path not in stays])
    return saved


def keep_own_repository(run: Run, workstream: str) -> None:
    """Move a repository that an agent put in the place of its worktree's `.git` file to the run's `kept` folder."""
    path = run.worktree(workstream)
    if (path / ".git").is_dir() and not (path / ".git").is_symlink() and not path.is_symlink():
        _move_aside(run, workstream, [Refused(".git", "a repository of the agent's own")])


def _move_aside(run: Run, workstream: str, refused: Iterable[Refused]) -> None:
    kept = run.paths.keep() / workstream
    for one in refused:
        place, name = run.worktree(workstream) / one.path, run.secrets.text(one.path)
        if not os.path.lexists(place) or _is_the_users(run, place, one.path):
            continue  # it lay in something that has been moved already, or is a copy by set-up
        folders = (kept / str(number) for number in count(1))
        free = next(spot for folder in folders if not os.path.lexists(spot := folder / name))
        free.parent.mkdir(parents=True, exist_ok=True)
        place.rename(free)
        found = free.lstat()
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:  # what has another name may be somebody else's
            free.chmod(stat.S_IMODE(found.st_mode) & stat.S_IRWXU)


def _is_the_users(run: Run, place: Path, path: str) -> bool:
    """Whether a file is the same as the user's own of that path."""
    own = run.repo.root / path
    if not all(one.is_file() and not one.is_symlink() for one in (place, own)):
        return False
    return os.access(place, os.R_OK) and os.access(own, os.R_OK) and filecmp.cmp(place, own, shallow=False)


def remove_worktree(run: Run, workstream: str, task_id: str = "") -> WorktreeSaved | None:
    """Save a workstream's worktree, then remove it: what became of it, or None if there is none.

    One that cannot be saved stays, and the answer says why.
    """
    path = run.worktree(workstream)
    if not run.worktrees.knows(path):
        return None
    fact = WorktreeSaved(task_id=task_id, workstream=workstream, ref="", commit="")
    try:
        fact = told(task_id, workstream, save_worktree(run, workstream))
        run.worktrees.remove(path)
    except (BranchlineError, OSError) as error:
        return replace(fact, kept=str(error))
    return replace(fact, removed=True)


def cleared(run: Run, workstream: str, task_id: str) -> WorktreeSaved | None:
    """As `remove_worktree`, where it has to go. Raises StepFailed if it cannot be saved."""
    fact = remove_worktree(run, workstream, task_id)
    if fact is not None and not fact.removed:
        raise StepFailed(Failure(f"the worktree of {workstream} cannot be saved and stays: {fact.kept}", "unsaved"))
    return fact


def told(task_id: str, workstream: str, saved: Saved) -> WorktreeSaved:
    """The fact that a worktree has been saved."""
    left_out = tuple(map(str, saved.refused))
    return WorktreeSaved(task_id=task_id, workstream=workstream, ref=saved.ref, commit=saved.commit, left_out=left_out)
