"""A user's home with a global configuration, and work trees as agents get them."""

import shutil
import subprocess
from pathlib import Path

import pytest

from branchline.git.command import Git
from branchline.git.commit import Snapshot, snapshot
from branchline.git.repo import Repo
from unit.git.sandbox import Sandbox

needs_lfs = pytest.mark.skipif(shutil.which("git-lfs") is None, reason="git-lfs is not installed")
needs_crypt = pytest.mark.skipif(shutil.which("git-crypt") is None, reason="git-crypt is not installed")


def configure(home: Path, *settings: str) -> None:
    """Set global settings, each as `name=value`."""
    for setting in settings:
        name, _, value = setting.partition("=")
        subprocess.run(["git", "config", "--file", home / ".gitconfig", name, value], check=True)


def check_out(repo: Repo, path: Path, commit: str = "") -> Git:
    """Write the files of a commit (by default of HEAD) into a new folder, as for an agent."""
    path.mkdir()
    git = repo.content.at(path, path.with_name(f"{path.name}-index"))
    git.call("read-tree", "--reset", "-u", commit or repo.head_commit())
    return git


def take(repo: Repo, git: Git, box: Sandbox, **more: bool) -> Snapshot:
    """The tree of a work tree that began as HEAD."""
    assert git.work_tree
    return snapshot(git, git.work_tree, repo.tree_of(repo.head_commit()), scratch=box.scratch, **more)  # type: ignore[arg-type]


def changes(repo: Repo, taken: Snapshot) -> dict[str, str]:
    """What a snapshot changes of HEAD: path -> status."""
    return {one.path: one.status for one in repo.changes(repo.tree_of(repo.head_commit()), taken.tree)}


def stored(repo: Repo, taken: Snapshot, path: str) -> bytes:
    """The blob that a snapshot has at a path."""
    return repo.read_blob(next(one.oid for one in repo.entries(taken.tree) if one.path == path))


def rewrite(folder: Path) -> None:
    """Write every file again with the bytes that it holds, and other times."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            data, mode = path.read_bytes(), path.stat().st_mode
            path.unlink()
            path.write_bytes(data)
            path.chmod(mode)
