"""A repository of our own that reads another's objects and leaves nothing in it: a place to do work again in."""

import os
from collections.abc import Iterable
from pathlib import Path

from branchline.errors import InvalidInput
from branchline.git.repo import Repo


def borrow(repo: Repo, folder: Path, head: str) -> None:
    """Make in the empty `folder` a repository at commit `head`, without files; what it stores, it stores there.

    Of the other's settings only those are taken that say how content is stored.
    """
    git_dir = folder / ".git"
    for name in ("refs", "objects/info", "info"):
        (git_dir / name).mkdir(parents=True)
    (git_dir / "HEAD").write_text(f"{head}\n")
    settings = (repo.content.git_dir / "config").read_text()
    (git_dir / "config").write_text(settings.replace("bare = true", "bare = false"))
    (git_dir / "objects" / "info" / "alternates").write_bytes(os.fsencode(repo.common_dir / "objects") + b"\n")
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
