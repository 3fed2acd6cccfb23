"""Worktrees of a run: made, found again, put back to a tree, removed. For what a kill leaves of them see `healing`.

Who edits `worktrees/` at the same time as another breaks both (measured: one in seven), so one writer at a time:
a lock between threads and one between processes. Only the checkout of files runs in parallel.
An agent may rewrite its worktree's `.git`, so nothing here ever trusts it: the git directory is looked up by path.
"""

import fcntl
import os
import shutil
import stat
import threading
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from branchline.errors import GitError
from branchline.git.command import Git
from branchline.git.locks import locks_of_worktree, owner
from branchline.git.objects import fields
from branchline.git.registration import NOTE, Registration, of_path, registrations
from branchline.git.repo import Repo

REMOVED = ".removed-"  # a worktree on its way out, beside where it was
UNREGISTERED = "branchline-removed-"  # a registration on its way out: with the run's id, `@` and its name
_TRIES = 4


@dataclass(frozen=True, slots=True)
class Head:
    """Where a worktree's HEAD is: the full name of its branch's ref (None: detached) and the commit."""

    ref: str | None
    commit: str | None


class Worktrees:
    """The worktrees that runs make in one repository. Safe to share between threads.

    `lock_file` is the lock between processes: one file for a repository, never deleted.
    """

    def __init__(self, repo: Repo, lock_file: Path) -> None:
        self._repo = repo
        self._lock_file = lock_file
        self._adding = lock_file.with_name(f"{lock_file.name}.adding")  # while git registers one: those there before
        self._writer = threading.Lock()
        self._checkouts = threading.Semaphore(os.cpu_count() or 1)

    def add(self, path: Path, commit: str, branch: str | None) -> Path:
        """Make a worktree at `path` with `commit` checked out, on the new `branch` (`feature/x`) or detached.

        A worktree that was made completely before is returned as it is, whatever happened in it since; one that was
        half made, or whose folder is gone, is made again. Raises RefMoved if the branch exists elsewhere, GitError if
        something that is not ours is at `path`.
        """
        path = absolute(path)
        found = self._find(path)
        if found is not None and found.made and path.is_dir():
            return path
        with self.one_writer():
            self._forget_half_made(path)
            if branch is not None:
                self._repo.move_ref(f"refs/heads/{branch}", commit, None)
            self._register(path, branch or commit, detached=branch is None)
        with self._checkouts:
            self.git_for(path).call("read-tree", "--reset", "-u", commit)
        Registration(self._admin(path)).finish(path, f"refs/heads/{branch}" if branch else commit)
        return path

    def remove(self, path: Path) -> None:
        """Remove a worktree, its files and its registration, but no ref. The caller has saved what is in it.

        A path that is no worktree any more is left alone. Raises GitError if `path` was never one of ours.
        """
        path = absolute(path)
        trash = path.with_name(REMOVED + path.name)
        with self.one_writer():
            found = self._find(path)
            if found is None and os.path.lexists(path):
                raise GitError(f"{path} is not a worktree of {self._repo.root}: not removed")
            if os.path.lexists(path):
                delete_tree(trash)
                path.rename(trash)
            if found is not None:
                self.unregister(found)
        delete_tree(trash)

    def knows(self, path: Path) -> bool:
        """Whether a worktree is registered at `path`, also where its folder is gone."""
        return self._find(absolute(path)) is not None

    def git_for(self, path: Path) -> Git:
        """Return a git for the content of a worktree, with the worktree's index and no configuration in force."""
        path = absolute(path)
        return self._repo.content.at(path, self._admin(path) / "index")

    def head(self, path: Path) -> Head:
        """Return where the HEAD of a worktree is, whatever the agent made of it."""
        git = self._refs(path)
        ref = os.fsdecode(git.status_of("symbolic-ref", "--quiet", "HEAD").stdout).strip() or None
        commit = git.status_of("rev-parse", "--verify", "--quiet", "HEAD^{commit}").stdout.decode().strip()
        return Head(ref, commit or None)

    def reflog(self, path: Path) -> list[str]:
        """Return the commits that the HEAD of a worktree has ever been at, oldest first, each once."""
        log = self._admin(path) / "logs" / "HEAD"
        lines = log.read_bytes().splitlines() if log.is_file() else []
        ids = (line.split(b" ", 2)[1].decode(errors="replace") for line in lines if line.count(b" ") > 1)
        return list(dict.fromkeys(one for one in ids if one.strip("0") and one.isalnum()))

    def objects(self, path: Path, base: str) -> set[str]:
        """Return the objects beyond the commit `base` that a worktree's HEAD, reflog and index lead to."""
        git, head = self._refs(path), self.head(path).commit
        tips = "".join(f"{oid}\n" for oid in dict.fromkeys([*self.reflog(path), *([head] if head else [])]))
        walk = ("rev-list", "--objects", "--ignore-missing", "--stdin", "--not", base)
        reached = git.status_of(*walk, stdin=tips.encode()).stdout.decode(errors="replace").splitlines()
        staged = fields(git.status_of("ls-files", "-z", "--stage").stdout)
        return {line.partition(" ")[0] for line in reached} | {line.split()[1] for line in staged}

    def forget(self, path: Path, objects: Collection[str], commit: str) -> None:
        """Lead a worktree's branch, HEAD, index and reflogs away from objects that are to go, to `commit`."""
        admin = self._admin(path)
        self._reset_head(path, commit)
        self.git_for(path).call("read-tree", commit)
        on = Registration(admin).on
        for log in (admin / "logs" / "HEAD", self._repo.common_dir / "logs" / on):
            if log.is_file() and not log.is_symlink():
                gone = {oid.encode() for oid in objects}
                lines = log.read_bytes().splitlines(keepends=True)
                log.write_bytes(b"".join(line for line in lines if gone.isdisjoint(line.split()[:2])))

    def repair_pointer(self, path: Path) -> None:
        """Write the folder and the `.git` file of a worktree again, whatever an agent put in their place."""
        path = absolute(path)
        if path.is_symlink() or not path.is_dir():
            delete_tree(path)
            path.mkdir(parents=True)
        pointer, right = path / ".git", os.fsencode(f"gitdir: {self._admin(path)}\n")
        if not pointer.is_symlink() and pointer.is_file() and pointer.read_bytes() == right:
            return
        delete_tree(pointer)
        pointer.write_bytes(right)

    def reset(self, path: Path, target: str, *, head: str | None = None, keep: Iterable[str] = ()) -> None:
        """Make a worktree exactly the tree of `target` (a commit or a tree), and put its HEAD back on its branch.

        Untracked files go, except ignored ones and the paths in `keep`. The branch is put at `head`; without it, at
        `target` where that is a commit, else it stays. The caller has saved what is in the worktree.
        """
        path, admin = absolute(path), self._admin(path)
        _unlock(admin, path)
        self.repair_pointer(path)
        self._reset_head(path, head or self._repo.resolve(target))
        (admin / "index").unlink(missing_ok=True)  # an agent can hide its edits with flags in the index
        git = self.git_for(path)
        git.call("read-tree", target)
        git.call("update-index", "-q", "--refresh", ok=(0, 1))
        keeping = tuple(keep)
        kept = [f"--exclude=/{_literal(one)}" for one in keeping]
        with self._checkouts:
            git.call("checkout-index", "--all", "--force", "--quiet", "--index")
            _empty_submodules(git, path, keeping)
            _judge_by_the_tree(git, path, keeping)
            if git.status_of("clean", "-ffdq", *kept).code != 0:
                let_us_in(path)
                git.call("clean", "-ffdq", *kept)

    def _register(self, path: Path, what: str, *, detached: bool) -> None:
        """`git worktree add`, again if a git that is not ours was in the way."""
        how = ("--detach",) if detached else ()
        for tries_left in reversed(range(_TRIES)):
            self._note_adding()
            try:
                self._repo.refs.call(
                    *("worktree", "add", "--quiet", "--lock", "--reason", f"{NOTE}{path}", "--no-checkout"),
                    *(*how, "--", str(path), what),
                )
            except GitError:
                self._forget_nameless()
                if not tries_left:
                    raise
                self._forget_half_made(path)
                time.sleep(0.05)
            else:
                self._adding.unlink()
                return

    def _note_adding(self) -> None:
        draft = self._adding.with_name(f"{self._adding.name}.draft")
        folder = self._repo.common_dir / "worktrees"
        draft.write_bytes(b"\n".join(os.listdir(os.fsencode(folder)) if folder.is_dir() else []))
        draft.replace(self._adding)

    def _forget_nameless(self) -> None:
        """Remove a registration whose git was killed before it could say of which worktree it is."""
        try:
            before = os.fsdecode(self._adding.read_bytes()).split("\n")
        except FileNotFoundError:
            return
        for found in registrations(self._repo.common_dir):
            if found.nameless and found.admin.name not in before:
                self.unregister(found)
        self._adding.unlink()

    def _forget_half_made(self, path: Path) -> None:
        """Remove what a killed `add` left at `path`: nobody was given it, so nothing in it is anybody's work."""
        found = self._find(path)
        if found is not None:
            delete_tree(path)  # first: without the registration it would be nobody's
            self.unregister(found)
        elif os.path.lexists(path) and not is_bare_start(path):
            raise GitError(f"{path} is in the way of a new worktree, and is not ours")
        delete_tree(path)

    def _reset_head(self, path: Path, commit: str | None) -> None:
        git, ref = self._refs(path), Registration(self._admin(path)).on
        on_branch = ref.startswith("refs/")
        if commit is None:
            commit = self._repo.read_ref(ref) if on_branch else self.head(path).commit
        if commit is None:
            raise GitError(f"the branch {ref} of the worktree {path} is gone")
        if not on_branch:
            git.call("update-ref", "--no-deref", "HEAD", commit)
            return
        self._repo.move_ref(ref, commit, self._repo.read_ref(ref))
        git.call("symbolic-ref", "HEAD", ref)

    def _refs(self, path: Path) -> Git:
        return Git(self._admin(path), marker=self._repo.refs.marker)

    def unregister(self, found: Registration) -> None:
        """Take a registration away in one step: git trips over one that is half there. Only as the one writer."""
        run_id = self._repo.refs.marker.partition("@")[0]
        gone = self._repo.common_dir / f"{UNREGISTERED}{run_id}@{found.admin.name}"
        delete_tree(gone)
        found.admin.rename(gone)
        delete_tree(gone)

    def _admin(self, path: Path) -> Path:
        found = self._find(absolute(path))
        if found is None:
            raise GitError(f"{path} is not a worktree of {self._repo.root}", hint="branchline doctor")
        return found.admin

    def _find(self, path: Path) -> Registration | None:
        return of_path(self._repo.common_dir, path)

    @contextmanager
    def one_writer(self) -> Iterator[None]:
        """Hold the lock of `worktrees/`, between threads and between processes. Not to be taken twice."""
        with self._writer:
            self._lock_file.parent.mkdir(parents=True, exist_ok=True)
            with open(self._lock_file, "ab") as file:  # closing it gives the lock up
                fcntl.flock(file, fcntl.LOCK_EX)
                self._forget_nameless()
                yield


def delete_tree(path: Path) -> None:
    """Delete a file or a folder with all that is in it, never following a link; nothing there is fine."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        try:
            shutil.rmtree(path)
        except PermissionError:
            let_us_in(path)
            shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _empty_submodules(git: Git, root: Path, keep: tuple[str, ...]) -> None:
    """Empty the folders of submodules, reached through real folders: `git clean` never looks into them."""
    for line in fields(git.call("ls-files", "-z", "--stage")):
        path = line.partition("\t")[2]
        place = root / path
        if line.startswith("160000 ") and path not in keep and os.path.realpath(place.parent) == str(place.parent):
            delete_tree(place)
            place.mkdir(exist_ok=True)


def _judge_by_the_tree(git: Git, root: Path, keep: tuple[str, ...]) -> None:
    """Delete untracked ignore files: only those of the tree say what is ignored. One that they ignore stays."""
    found = fields(git.call("ls-files", "-z", "--others", "--", ":(glob)**/.gitignore"))
    loose = [path for path in found if not any(path == one or path.startswith(f"{one}/") for one in keep)]
    content = {path: (root / path).read_bytes() for path in loose if not (root / path).is_symlink()}
    for path in content:
        (root / path).unlink()
    asked = os.fsencode("".join(f"{path}\0" for path in content))
    ignored = git.call("check-ignore", "-z", "--stdin", stdin=asked, ok=(0, 1)) if asked else b""
    for path in fields(ignored):
        (root / path).write_bytes(content[path])


def let_us_in(root: Path) -> None:
    """Let us into every folder below `root`; an agent's tools lock some of theirs (a Go module cache does)."""
    root.chmod(stat.S_IRWXU)
    for folder, folders, _ in os.walk(root):
        for name in folders:
            place = Path(folder, name)
            if not place.is_symlink():
                place.chmod(stat.S_IRWXU)


def is_bare_start(path: Path) -> bool:
    """Whether there is nothing at `path` but what a killed `git worktree add --no-checkout` makes."""
    inside = list(path.iterdir()) if path.is_dir() and not path.is_symlink() else [path]
    return all(one.name == ".git" and one.is_file() for one in inside)


def _unlock(admin: Path, path: Path) -> None:
    """Remove the locks that a killed git left of a worktree. Raises GitError where one may be at work."""
    for lock in locks_of_worktree(admin):
        if who := owner(lock, [path, admin]):
            raise GitError(f"another git is at work in {path}: {lock.path} exists, {who}")
        lock.path.unlink(missing_ok=True)


def absolute(path: Path) -> Path:
    """Resolve the folder that holds the worktree, not the worktree: an agent may have put a link in its place."""
    return path.parent.resolve() / path.name


def _literal(path: str) -> str:
    """Quote a path for git's exclude patterns."""
    return "".join(f"\\{letter}" if letter in "\\*?[ !#" else letter for letter in path)
