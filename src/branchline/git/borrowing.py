"""A repository of our own that reads another's objects and leaves nothing in it: a place to do work again in."""

from collections.abc import Iterable
from pathlib import Path

from branchline.errors import InvalidInput
from branchline.git.repo import Repo
from branchline.git.user_git import alternates_text, furnish, object_folders


def borrow(repo: Repo, folder: Path, head: str) -> None:
    """Make in the empty `folder` a repository at commit `head`, without files; what it stores, it stores there."""
    git_dir = folder / ".git"
    for name in ("refs", "objects/info", "info"):
        (git_dir / name).mkdir(parents=True)
    (git_dir / "HEAD").write_text(f"{head}\n")
    furnish(repo.user, git_dir)
    (git_dir / "objects" / "info" / "alternates").write_bytes(alternates_text(object_folders(repo.common_dir)))
    if repo.is_shallow():
        (git_dir / "shallow").write_bytes((repo.common_dir / "shallow").read_bytes())


def require_whole(repo: Repo, commits: Iterable[str]) -> None:
    """Raise InvalidInput unless the objects of all these commits' trees are there."""
    wanted = sorted({*commits})
    asked = "".join(f"{one}\n" for one in wanted).encode()
    known = repo.content.call("cat-file", "--batch-check=%(objectname) %(objecttype)", stdin=asked).decode()
    for line in known.splitlines():
        if line.endswith(" missing"):
            raise InvalidInput(f"the object {line.split()[0]} is gone from {repo.common_dir}", hint="branchline verify")
    trees = "".join(f"{repo.tree_of(one)}\n" for one in wanted).encode()
    listed = repo.content.status_of("rev-list", "--objects", "--no-walk", "--quiet", "--stdin", stdin=trees)
    if listed.code != 0:
        raise InvalidInput(f"objects of the run are gone from {repo.common_dir}", hint="git fsck --connectivity-only")
