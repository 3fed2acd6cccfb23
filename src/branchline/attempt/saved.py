"""Nothing goes that is not saved: a workspace's every file and commit is kept by the run before the workspace goes."""

import hashlib
import os
import stat
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import msgspec

from branchline.attempt.run import Place
from branchline.attempt.secret_scan import longest_line
from branchline.attempt.setup import files_to_copy
from branchline.core.facts import WorktreeSaved
from branchline.errors import BranchlineError
from branchline.git.commit import Saved, save
from branchline.git.folders import delete_tree, is_folder, move, same_content
from branchline.git.intake import MAX_CONTENT
from branchline.git.own_commits import OwnCommits, own_commits
from branchline.git.screen import Refused

MOST_LOOKED_AT = 256_000_000  # bytes of an agent's own commits


def save_workspace(run: Place, workstream: str, *, clear: bool = True, stays: Collection[str] = ()) -> Saved:
    """Keep everything in a workspace, untracked and ignored files and own commits too, under `refs/.../saved/`.

    To `clear` the workspace afterwards, what git cannot hold (a nested repository's history, a pipe, a name that git
    refuses, files past the limits of size or with secrets) moves to the run's `kept` folder, where nothing removes it
    unasked, unless it is one of what `stays`.
    """
    path = run.workspace(workstream)
    base = run.repo.read_ref(run.refs.base(workstream)) or run.base
    commits = keep_commits(run, workstream, base)
    copied = files_to_copy(run.repo.root, run.settings.setup.copy)
    saved = save(
        run.repo,
        path,
        ref=run.refs.saved(workstream),
        parents=(base, *commits.tips),
        when=run.commit_time,
        scratch=run.paths.scratch,
        inspect=run.inspect,
        skip=[name for name in copied if same_content(path / name, run.repo.root / name)],
    )
    problem = commits.problem
    if clear:
        _move_aside(run, workstream, [one for one in saved.refused if one.path not in stays])
        if not commits.readable:
            aside = _free(run.paths.keep() / workstream, "git")
            move(path / ".git", aside)
            for name in ("config", "config.worktree", "hooks", "info"):  # a git that finds it there would obey them
                delete_tree(aside / name)
            problem += f"; its .git is kept in {aside.relative_to(run.paths.run_dir)}"
    refused = (*saved.refused, Refused(".git", problem)) if problem else saved.refused
    return replace(saved, refused=refused)


@dataclass(frozen=True, slots=True)
class KeptCommits:
    """What became of an agent's own commits: the `tips` that were taken in, and the `problem` with the others."""

    tips: tuple[str, ...] = ()
    problem: str = ""
    readable: bool = True


def keep_commits(run: Place, workstream: str, base: str) -> KeptCommits:
    """Take an agent's own commits in, if no secret is in them; else keep them as a bundle in the run's folder."""
    path = run.workspace(workstream)
    try:
        with own_commits(run.repo, path, base, run.paths.scratch) as found:
            if found is None:
                return KeptCommits()
            why = _objection(run, found, base) if found.objects else ""
            if not why:
                if found.objects:
                    found.take_in(run.repo)
                return KeptCommits(found.tips)
            name = hashlib.sha256("".join(found.tips).encode()).hexdigest()[:8]
            bundle = run.paths.keep() / workstream / f"commits-{name}.bundle"
            bundle.parent.mkdir(exist_ok=True)
            if not bundle.exists():
                found.bundle(bundle)
            return KeptCommits(problem=f"{why}; they are kept in {bundle.relative_to(run.paths.run_dir)}")
    except (BranchlineError, OSError) as error:
        return KeptCommits(problem=f"its own commits cannot be read: {error}", readable=False)


def _objection(run: Place, found: OwnCommits, base: str) -> str:
    """Why commits must not become objects of the user's repository; empty if they may."""
    if run.inspect is None:
        return ""
    sizes = found.sizes()
    if max(sizes.values(), default=0) > MAX_CONTENT or sum(sizes.values()) > MOST_LOOKED_AT:
        return "its own commits are too large to be looked through for secrets"
    held = {one.value: one.kind for _, data in found.read(found.objects) for one in run.inspect.secrets_of(data)}
    if not held:
        return ""
    lines = {longest_line(value) for value in held}
    known = run.repo.standing_in(run.repo.tree_of(base), lines)
    new = [kind for value, kind in held.items() if longest_line(value) not in known]
    return f"its own commits hold a secret: {new[0]}" if new else ""


def _move_aside(run: Place, workstream: str, refused: Iterable[Refused]) -> None:
    kept = run.paths.keep() / workstream
    for one in refused:
        place, name = run.workspace(workstream) / one.path, run.secrets.text(one.path)
        if not os.path.lexists(place) or same_content(place, run.repo.root / one.path):
            continue  # it lay in something that has been moved already, or is a copy by set-up
        free = _free(kept, name)
        move(place, free)
        found = free.lstat()
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:  # what has another name may be the user's
            free.chmod(stat.S_IMODE(found.st_mode) & stat.S_IRWXU)


def _free(folder: Path, name: str) -> Path:
    places = (folder / str(number) / name for number in count(1))
    free = next(place for place in places if not os.path.lexists(place))
    free.parent.mkdir(parents=True, exist_ok=True)
    return free


def remove_workspace(run: Place, workstream: str, task_id: str = "") -> WorktreeSaved | None:
    """Save a workspace, then remove it: what became of it, or None if there is none.

    One that cannot be saved stays, and the answer says why.
    """
    path = run.workspace(workstream)
    if not is_folder(path):
        if os.path.lexists(path):  # an agent put something in its place
            move(path, _free(run.paths.keep() / workstream, path.name))
        return None
    fact = WorktreeSaved(task_id=task_id, workstream=workstream, ref="", commit="")
    try:
        fact = told(task_id, workstream, save_workspace(run, workstream))
        run.workspaces.remove(path)
    except (BranchlineError, OSError) as error:
        return msgspec.structs.replace(fact, kept=str(error))
    return msgspec.structs.replace(fact, removed=True)


def told(task_id: str, workstream: str, saved: Saved) -> WorktreeSaved:
    """The fact that a workspace has been saved."""
    left_out = tuple(map(str, saved.refused))
    return WorktreeSaved(task_id=task_id, workstream=workstream, ref=saved.ref, commit=saved.commit, left_out=left_out)
