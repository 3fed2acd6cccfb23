"""A repository of our own that reads another's objects and leaves nothing in it: a place to do work again in."""

from collections.abc import Iterable
from pathlib import Path

from branchline.errors import InvalidInput
from branchline.git.repo import Repo
from branchline.git.storage import missing
from branchline.git.user_git import make_git_dir, object_folders


def borrow(repo: Repo, folder: Path, head: str) -> None:
    """Make in the empty `folder` a repository at commit `head`, without files; what it stores, it stores there."""
    git_dir = folder / ".git"
    make_git_dir(git_dir, head, repo.user, object_folders(repo.common_dir))
    if repo.is_shallow():
        (git_dir / "shallow").write_bytes((repo.common_dir / "shallow").read_bytes())


def require_whole(repo: Repo, commits: Iterable[str]) -> None:
    """Raise InvalidInput unless the objects of all these commits' trees are there."""
    if lost := missing(repo, commits):
        text = f"objects of the run are gone: the object {lost[0]} is gone from {repo.common_dir}"
        raise InvalidInput(text, hint="git fsck --connectivity-only")
