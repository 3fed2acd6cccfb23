"""Workspaces: repositories of their own that borrow the user's objects, for an agent, for set-up, for gates.

A workspace is complete or not there: it is made beside its place and renamed. What an agent writes into its `.git` is
never obeyed and never mended: a round begins with a `.git` made new. Nothing of it reaches the user's git directory
but objects that were looked through (`own_commits`, `intake`).
"""

import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from branchline.core.refs import HEADS, TAGS, branch_ref, remote_ref
from branchline.core.rules.linear import compiled
from branchline.git.command import EMAIL, NAME, Git, configured
from branchline.git.folders import absolute, delete_tree, is_folder, let_us_in, unlock
from branchline.git.objects import by_nul, fields, scratch_index, staged
from branchline.git.own_commits import head_of
from branchline.git.repo import Repo
from branchline.git.user_git import UserGit, make_git_dir, object_folders

REMOVED = ".removed+"  # a workspace on its way out, beside where it was; no workstream's id has a "+"
DRAFT = ".new+"  # one that is being made, and the `.git` of one that is made new
ERRORS = "surrogateescape"
LFS = "lfs"  # the link beside the one to borrowed objects, where git-lfs looks for content that it does not have
IDENTITY = f"[user]\n\tname = {NAME}\n\temail = {EMAIL}\n[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n"


class Workspaces:
    """The workspaces that one run makes. Safe to share between threads.

    `home`: a folder for links to the user's objects, by which every workspace borrows them: a sandbox can mount the
    objects there, whatever it mounts over the user's checkout. `base` and `target`: the run's commit and branch.
    """

    def __init__(self, repo: Repo, home: Path, *, base: str, target: str) -> None:
        self._repo = repo
        self._home = home
        self._base = base
        self._target = target
        self._lock = threading.Lock()
        self._refs: dict[str, str] | None = None
        self._borrowed: dict[Path, Path] | None = None
        self._checkouts = threading.Semaphore(os.cpu_count() or 1)

    @property
    def borrowed(self) -> dict[Path, Path]:
        """The user's object folders: where each is, by the link in `home` that leads to it."""
        with self._lock:
            if self._borrowed is None:
                self._home.mkdir(parents=True, exist_ok=True)
                found = object_folders(self._repo.common_dir)
                if self._repo.user.lfs_store.is_dir():
                    self._linked(LFS, self._repo.user.lfs_store)
                self._borrowed = {
                    self._linked(f"objects-{number}" if number else "objects", folder): folder
                    for number, folder in enumerate(found)
                }
            return self._borrowed

    def add(self, path: Path, commit: str, branch: str | None = None) -> Path:
        """Make a workspace at `path` with `commit` checked out, on `branch` (`feature/x`) or detached.

        One that is there is returned as it is, whatever happened in it since.
        """
        path = absolute(path)
        if is_folder(path):
            return path
        delete_tree(path)
        draft = path.with_name(f"{DRAFT}{path.name}")
        delete_tree(draft)
        draft.mkdir(parents=True)
        git = self._git_dir(draft / ".git", commit, branch).at(draft)
        with self._checkouts:
            git.call("read-tree", "--reset", "-u", commit)
        fill(self._repo, draft, commit, self._submodule)
        draft.rename(path)
        return path

    def remove(self, path: Path) -> None:
        """Remove a workspace; nothing there is fine. The caller has saved what is in it."""
        path = absolute(path)
        trash = path.with_name(f"{REMOVED}{path.name}")
        if os.path.lexists(path):
            delete_tree(trash)
            path.rename(trash)
        delete_tree(trash)
        delete_tree(path.with_name(f"{DRAFT}{path.name}"))

    def content(self, path: Path) -> Git:
        """Return a git of ours for the files of a workspace; it reads nothing of the workspace's own `.git`."""
        return self._repo.content.at(absolute(path))

    def reset(self, path: Path, target: str, *, head: str, branch: str | None = None, keep: Iterable[str] = ()) -> None:
        """Make a workspace exactly the tree of `target` (a commit or a tree), with a new `.git` on `branch` at `head`.

        Untracked files go, except ignored ones and the paths in `keep`. The caller has saved what is in the workspace.
        """
        path = self.add(path, head, branch)
        unlock(path)
        fresh = path.with_name(f"{DRAFT}{path.name}")
        delete_tree(fresh)
        git = self._git_dir(fresh, head, branch).at(path)
        git.call("read-tree", *(("--reset", "-u") if self._repo.user.sparse else ()), target)
        git.call("update-index", "-q", "--refresh", ok=(0, 1))
        keeping = tuple(keep)
        kept = ["--exclude=/" + compiled(r"[\\*?\[ !#]").sub(r"\\\g<0>", one) for one in keeping]
        with self._checkouts:
            git.call("checkout-index", "--all", "--force", "--quiet", "--index")
            for one in staged(git):  # `git clean` never looks into submodules
                place = path / one.path
                real = os.path.realpath(place.parent) == str(place.parent)
                if one.kind == "commit" and one.path not in keeping and real:
                    delete_tree(place)
                    place.mkdir(exist_ok=True)
            _judge_by_the_tree(git, path, keeping)
            if git.status_of("clean", "-ffdq", *kept).code != 0:
                let_us_in(path)
                git.call("clean", "-ffdq", *kept)
        fill(self._repo, path, target, self._submodule)
        delete_tree(path / ".git")
        fresh.rename(path / ".git")

    def _git_dir(self, git_dir: Path, commit: str, branch: str | None) -> Git:
        """Make the git directory of a workspace, without an index.

        In it is what tools ask for by name: tags, branches that the base descends from, the target here and at `origin`.
        """
        with self._lock:
            if self._refs is None:
                self._refs = self._repo.list_refs(TAGS) | self._repo.list_refs(HEADS, within=self._base)
                names = (branch_ref(self._target), remote_ref(self._target)) if self._target else ()
                self._refs |= dict.fromkeys(names, self._base)
            refs = {**self._refs, **({branch_ref(branch): commit} if branch else {})}
        made = self._bare(
            self._repo.user, git_dir, f"ref: {branch_ref(branch)}" if branch else commit, self.borrowed, refs
        )
        if self._target:
            head = git_dir / remote_ref("HEAD")
            head.parent.mkdir(parents=True)
            head.write_text(f"ref: {remote_ref(self._target)}\n")
        if self._repo.is_shallow():
            shutil.copyfile(self._repo.common_dir / "shallow", git_dir / "shallow")
        return made

    def _submodule(self, git_dir: Path, commit: str, objects: Path) -> Git:
        """Make the git directory of a submodule in a workspace."""
        link = self._linked(f"objects-{hashlib.sha256(os.fsencode(objects)).hexdigest()[:8]}", objects)
        with self._lock:
            assert self._borrowed is not None
            self._borrowed[link] = objects
        return self._bare(replace(self._repo.user, sparse=""), git_dir, commit, (link,), {})

    def _bare(self, user: UserGit, git_dir: Path, head: str, borrowed: Iterable[Path], refs: Mapping[str, str]) -> Git:
        make_git_dir(git_dir, head, user, borrowed)
        with (git_dir / "config").open("a") as file:
            file.write(IDENTITY)
        packed = "".join(f"{refs[name]} {name}\n" for name in sorted(refs, key=os.fsencode))
        (git_dir / "packed-refs").write_text(f"# pack-refs with: sorted \n{packed}", "utf-8", ERRORS)
        return Git(git_dir, marker=self._repo.refs.marker, filters=self._repo.content.filters)

    def _linked(self, name: str, folder: Path) -> Path:
        """Lead the link `name` to a folder of the user's; another run may be doing the same."""
        link, draft = self._home / name, self._home / f".{name}.{os.getpid()}.{threading.get_ident()}"
        if not (link.is_symlink() and Path(os.readlink(link)) == folder):
            draft.unlink(missing_ok=True)
            draft.symlink_to(folder)
            draft.rename(link)
        return link


def borrow(repo: Repo, folder: Path, head: str) -> None:
    """Make in the empty `folder` a repository at commit `head` that reads the user's objects, and stores its own there."""
    git_dir = folder / ".git"
    make_git_dir(git_dir, head, repo.user, object_folders(repo.common_dir))
    if repo.is_shallow():
        (git_dir / "shallow").write_bytes((repo.common_dir / "shallow").read_bytes())


def known_submodules(repo: Repo, tree: str) -> Iterator[tuple[str, str, str, Path]]:
    """The submodules of a tree that the user has: name, path, commit, and the folder of their objects."""
    entries = repo.entries(tree)
    links = {entry.path: entry.oid for entry in entries if entry.kind == "commit"}
    said = next((entry.oid for entry in entries if entry.path == ".gitmodules" and entry.kind == "blob"), None)
    if not links or said is None:
        return
    for key, path in configured(repo.read_blob(said)) or ():
        name = key.removeprefix("submodule.").removesuffix(".path")
        if key != f"submodule.{name}.path" or path not in links or ".." in name.split("/"):
            continue
        places = [repo.git_dir / "modules" / name, repo.common_dir / "modules" / name, repo.root / path / ".git"]
        for place in places:
            asked = ("cat-file", "-e", f"{links[path]}^{{commit}}")
            if is_folder(place) and Git(place).status_of(*asked).code == 0:
                yield name, path, links[path], (place / "objects").resolve()
                break


def fill(repo: Repo, root: Path, tree: str, make: Callable[[Path, str, Path], Git]) -> None:
    """Check the submodules of `tree` out in the workspace `root`; `make(git_dir, commit, objects)` makes a git directory."""
    for name, path, commit, objects in known_submodules(repo, tree):
        place = root / path
        if os.path.realpath(place.parent) == str(place.parent):
            place.mkdir(exist_ok=True)
            git = make(place / ".git", commit, objects)
            git.at(place).call("read-tree", "--reset", "-u", commit)
            # Without it `git submodule status` calls it not initialised.
            git.call("config", "--file", str(root / ".git" / "config"), f"submodule.{name}.active", "true")


def is_untouched(git: Git, place: Path, commit: str) -> bool:
    """Whether a filled submodule is as it was checked out; `git`: one of ours, that reads no configuration of it."""
    if head_of(place) != commit:
        return False
    with scratch_index(replace(git, lenders=(place / ".git/objects",)), place) as own:
        for question in (("read-tree", commit), ("update-index", "-q", "--refresh"), ("diff-files", "--quiet")):
            if own.status_of(*question).code != 0:
                return False
        return not own.status_of("ls-files", "--others", "--exclude-standard").stdout


def _judge_by_the_tree(git: Git, root: Path, keep: tuple[str, ...]) -> None:
    """Delete untracked ignore files: only those of the tree say what is ignored. One that they ignore stays."""
    found = fields(git.call("ls-files", "-z", "--others", "--", ":(glob)**/.gitignore"))
    loose = [path for path in found if not any(path == one or path.startswith(f"{one}/") for one in keep)]
    content = {path: (root / path).read_bytes() for path in loose if not (root / path).is_symlink()}
    for path in content:
        (root / path).unlink()
    ignored = git.call("check-ignore", "-z", "--stdin", stdin=by_nul(content), ok=(0, 1)) if content else b""
    for path in fields(ignored):
        (root / path).write_bytes(content[path])
