"""The branch that a run ships to: where it is checked out, and what of git's own work it must not move under."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from branchline.core.refs import HEADS, Obstacle, branch_ref
from branchline.git.command import Git
from branchline.git.folders import text_of
from branchline.git.landing.checkout import CheckoutDirty, fast_forward
from branchline.git.repo import Repo, further_work_trees

_UNDER_WAY = {
    "MERGE_HEAD": "merge",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "rebase-apply/applying": "am",
}


@dataclass(frozen=True, slots=True)
class Checkout:
    """A work tree of a repository: its git directory, its folder (None: git does not say where), the branch's full name.

    `gone`: there is no such folder. `counts`: git does not take it for deleted (git-worktree(1), "prunable").
    """

    git_dir: Path
    place: Path | None
    ref: str
    gone: bool
    counts: bool


def checkouts(repo: Repo) -> list[Checkout]:
    """Every work tree of a repository, the main one first.

    Git's own list names the git directory in place of the main work tree if the two lie apart, and fails as a whole if
    one registration is damaged, so the git directory is read instead.
    """
    bare = Git(repo.common_dir).status_of("rev-parse", "--is-bare-repository").stdout == b"true\n"
    main = [] if bare else [(repo.common_dir, repo.root)]
    found = []
    for git_dir, named in (*main, *further_work_trees(repo.common_dir)):
        is_main = git_dir == repo.common_dir
        place = repo.root if git_dir == repo.git_dir else _main_place(repo) if is_main else named
        gone = place is not None and not (place if is_main else place / ".git").exists()
        counts = is_main or not gone or (git_dir / "locked").exists()
        found.append(Checkout(git_dir, place, Git(git_dir).stands_for("HEAD"), gone, counts))
    return found


def checked_out_at(repo: Repo, branch: str) -> list[Path]:
    """The work trees in which a branch (`main`) is checked out."""
    there = (one for one in checkouts(repo) if one.ref == branch_ref(branch) and not one.gone)
    return [one.place for one in there if one.place is not None]


def obstacles(repo: Repo, branch: str) -> list[Obstacle]:
    """Why a branch must not be moved now: it only stands for another one, or git itself is at work on it.

    What a rebase, a bisect or a merge sets the branch to when it ends or is aborted, it knew before we came; and of
    several checkouts of one branch only one could follow it.
    """
    ref = branch_ref(branch)
    found = []
    if name := repo.refs.stands_for(ref).removeprefix(HEADS):
        text = f"{branch} only stands for {name} (it is a symbolic ref)"
        found.append(Obstacle(text, f"branchline run --base {quote(name)}"))
    counting = [one for one in checkouts(repo) if one.counts]
    for one in counting:
        found += [*_held(one, branch), *(_under_way(one, branch) if one.ref == ref else ())]
    return found + list(_places(branch, [one for one in counting if one.ref == ref]))


def move(repo: Repo, branch: str, old: str, new: str, *, tag: str = "") -> None:
    """Move a branch from `old` to its descendant `new`, and where it is checked out, its files; `tag` with it.

    All of it or nothing. Raises CheckoutDirty, RefMoved. Killed halfway, calling it again finishes the work.
    """
    at = repo.read_ref(branch_ref(branch))
    for one in obstacles(repo, branch) if at != new else ():
        raise CheckoutDirty(one.text, hint=one.command)
    places = checked_out_at(repo, branch)
    if places:
        fast_forward(repo, places[0], branch, old, new, tag=tag)
    if not places or at == new:
        repo.move_refs({branch_ref(branch): (new, old), **({tag: (new, None)} if tag else {})})


def _main_place(repo: Repo) -> Path | None:
    """Where the main work tree is. Only the work tree itself knows, if its git directory lies elsewhere."""
    told = Git(repo.common_dir).status_of("config", "--null", "--get", "core.worktree")
    if told.code == 0:
        return Path(os.path.normpath(repo.common_dir / os.fsdecode(told.stdout.removesuffix(b"\0"))))
    return repo.common_dir.parent if repo.common_dir.name == ".git" else None


def _held(one: Checkout, branch: str) -> Iterator[Obstacle]:
    """A rebase or a bisect that began on the branch; while it goes on, HEAD is detached."""
    ref, at = branch_ref(branch), _named(one)
    rebased = [text_of(one.git_dir / folder / "head-name").strip() for folder in ("rebase-merge", "rebase-apply")]
    if ref in [*rebased, *text_of(one.git_dir / "rebase-merge" / "update-refs").split("\n")]:
        text = f"a rebase of {branch} is in progress at {at}: git sets {branch} itself when that ends"
        yield Obstacle(text, f"git -C {quote(at)} rebase --continue  # or --abort")
    if text_of(one.git_dir / "BISECT_START").strip() == branch:
        text = f"a bisect that began on {branch} is in progress at {at}: git goes back to {branch} when that ends"
        yield Obstacle(text, f"git -C {quote(at)} bisect reset")


def _under_way(one: Checkout, branch: str) -> Iterator[Obstacle]:
    """A merge or its like that waits for a person in a checkout of the branch."""
    begun = [verb for name, verb in _UNDER_WAY.items() if (one.git_dir / name).exists()]
    todo = text_of(one.git_dir / "sequencer" / "todo").strip()
    if not begun and todo:  # a person has committed the step in conflict, and more are to come
        begun = ["revert" if todo.startswith("revert") else "cherry-pick"]
    for verb in begun:
        text = f"git {verb} is in progress at {_named(one)}, which is on {branch}"
        yield Obstacle(text, f"git -C {quote(_named(one))} {verb} --continue  # or --abort")


def _places(branch: str, found: list[Checkout]) -> Iterator[Obstacle]:
    for one in found:
        if one.place is None:
            text = f"{branch} is checked out in a folder that git does not know: its git directory is {one.git_dir}"
            yield Obstacle(text, f"git --git-dir={quote(str(one.git_dir))} config core.worktree FOLDER")
        elif one.gone:
            text = f"{branch} is checked out at {one.place}, which is not there"
            mended = f"git worktree unlock {quote(str(one.place))} && git worktree prune"
            yield Obstacle(text, mended if one.git_dir.parent.name == "worktrees" else "")
    if len(found) > 1:
        text = f"{branch} is checked out at {' and at '.join(map(_named, found))}: only one of them could follow it"
        yield Obstacle(text, " && ".join(f"git -C {quote(_named(one))} switch --detach" for one in found[1:]))


def _named(one: Checkout) -> str:
    return str(one.place or one.git_dir)
