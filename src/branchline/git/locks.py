"""git's lock files: which there are, whose they are, and whether one is dead.

A lock names nobody. It counts as dead when the processes here show nobody who might own it; one that people's own git
takes too must also be old, because git on another machine, or in another container, is not seen from here.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from branchline.process.holders import gits, holders, visible

OLD_SECONDS = 600.0  # git holds most locks for milliseconds
PATIENCE = 2.0  # seconds that a lock of our own may take to be given up
_PATTERNS = (
    "*.lock",
    "refs/**/*.lock",
    "objects/info/**/*.lock",
    "objects/pack/*.lock",
    "info/*.lock",
    "packed-refs.new",
)


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock file. `name`: its path in the git directory; `ref`: the ref that it locks, if it locks one."""

    path: Path
    name: str

    @property
    def ref(self) -> str:
        """The full name of the ref, or nothing."""
        return self.name.removesuffix(".lock") if self.name.startswith("refs/") else ""


def locks(common_dir: Path) -> list[Lock]:
    """All locks of a repository, without those of its worktrees; sorted. `index.lock` is that of the main checkout."""
    found = {path for pattern in _PATTERNS for path in common_dir.glob(pattern) if path.is_file()}
    return [Lock(path, str(path.relative_to(common_dir))) for path in sorted(found)]


def locks_of_worktree(admin: Path) -> list[Lock]:
    """All locks in the git directory of a worktree."""
    found = [path for path in sorted(admin.rglob("*.lock")) if path.is_file()]
    return [Lock(path, str(path.relative_to(admin.parent.parent))) for path in found]


def is_of_run(lock: Lock, run_id: str, refs: Collection[str]) -> bool:
    """Whether only this run writes what is locked; `refs` are the branches that it made."""
    return lock.ref in refs or lock.ref.startswith(f"refs/branchline/{run_id}/")


def owner(lock: Lock, folders: list[Path]) -> str:
    """Who may own a lock of a run that nobody drives and that has no process left; nothing if it is dead.

    `folders`: where a git would work that took it: the worktree, the repository.
    """
    until = time.monotonic() + PATIENCE
    while who := _seen(lock, folders, of_runs=False):
        if time.monotonic() >= until:
            return who
        time.sleep(0.02)
    return ""


def owner_of_shared(lock: Lock, folders: list[Path], *, now: float) -> str:
    """Who may own a lock that any git takes; nothing if it is dead. `now`: seconds since 1970."""
    if not visible():
        return "this system does not show who owns it"
    try:
        age = now - lock.path.lstat().st_mtime
    except FileNotFoundError:
        return ""
    if age < OLD_SECONDS:
        return f"it is only {max(age, 0):.0f} s old"
    return _seen(lock, folders, of_runs=True)


def _seen(lock: Lock, folders: list[Path], *, of_runs: bool) -> str:
    found = {*holders(lock.path), *gits(folders, of_runs=of_runs)} if lock.path.exists() else set()
    return f"process {', '.join(map(str, sorted(found)))} may own it" if found else ""
