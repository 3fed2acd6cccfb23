"""Workspaces: repositories of their own that borrow the user's objects, for an agent, for set-up, for gates.

A workspace is complete or not there: it is made beside its place and renamed. What an agent writes into its `.git` is
never obeyed and never mended: a round begins with a `.git` made new. Nothing of it reaches the user's git directory
but objects that were looked through (`own_commits`, `intake`).
"""

import os
import threading
from collections.abc import Iterable
from pathlib import Path

from branchline.git.command import EMAIL, NAME, Git
from branchline.git.folders import absolute, delete_tree, is_folder, let_us_in, unlock
from branchline.git.objects import fields
from branchline.git.repo import Repo
from branchline.git.user_git import config_text, excluded, object_folders

REMOVED = ".removed-"  # a workspace on its way out, beside where it was
DRAFT = ".new-"  # one that is being made, and the `.git` of one that is made new
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
                found = object_folders(self._repo)
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
        delete_tree(path / ".git")
        fresh.rename(path / ".git")

    def _git_dir(self, git_dir: Path, commit: str, branch: str | None) -> Git:
        """Make the git directory of a workspace, without an index."""
        for name in ("objects/info", "objects/pack", "refs/heads", "refs/tags", "info", "hooks"):
            (git_dir / name).mkdir(parents=True)
        (git_dir / "HEAD").write_text(f"ref: refs/heads/{branch}\n" if branch else f"{commit}\n")
        (git_dir / "config").write_text(config_text(self._repo) + IDENTITY, "utf-8", "surrogateescape")
        lines = [_alternate(link) for link in self.borrowed]
        (git_dir / "objects/info/alternates").write_text("".join(f"{line}\n" for line in lines))
        for name, data in excluded(self._repo).items():
            (git_dir / "info" / name).write_bytes(data)
        own = {f"refs/heads/{branch}": commit} if branch else {}
        refs = {**self._shared_refs(), **own}
        packed = "".join(f"{refs[name]} {name}\n" for name in sorted(refs, key=os.fsencode))
        (git_dir / "packed-refs").write_text(f"# pack-refs with: sorted \n{packed}", "utf-8", "surrogateescape")
        if self._target:
            remote = git_dir / "refs/remotes/origin"
            remote.mkdir(parents=True)
            (remote / "HEAD").write_text(f"ref: refs/remotes/origin/{self._target}\n")
        if self._repo.is_shallow():
            (git_dir / "shallow").write_bytes((self._repo.common_dir / "shallow").read_bytes())
        return Git(git_dir, marker=self._repo.refs.marker)

    def _shared_refs(self) -> dict[str, str]:
        """What tools ask for by name: tags, the branches that the base descends from, the target here and at `origin`."""
        with self._lock:
            if self._refs is None:
                self._refs = self._repo.list_refs("refs/tags") | self._repo.list_refs("refs/heads", within=self._base)
                if self._target:
                    names = (f"refs/heads/{self._target}", f"refs/remotes/origin/{self._target}")
                    self._refs |= dict.fromkeys(names, self._base)
            return self._refs

    def _linked(self, name: str, folder: Path) -> Path:
        """Lead the link `name` to a folder of the user's; another run may be doing the same."""
        link, draft = self._home / name, self._home / f".{name}.{os.getpid()}.{threading.get_ident()}"
        if not (link.is_symlink() and Path(os.readlink(link)) == folder):
            draft.unlink(missing_ok=True)
            draft.symlink_to(folder)
            draft.rename(link)
        return link


def _alternate(path: Path) -> str:
    """A line of `objects/info/alternates`, in quotes where git would read it otherwise (git's alternate-object docs)."""
    text = os.fspath(path)
    if not text.startswith(('"', "#")) and text.isprintable():
        return text
    return (
        '"'
        + "".join(letter if letter.isprintable() and letter not in '"\\' else _octal(letter) for letter in text)
        + '"'
    )


def _octal(letter: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in os.fsencode(letter))


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


def _literal(path: str) -> str:
    """Quote a path for git's exclude patterns."""
    return "".join(f"\\{letter}" if letter in "\\*?[ !#" else letter for letter in path)
