"""Turn the files of a workspace into a tree, and keep all of them safe before the workspace goes.

What an agent left is hostile until proven otherwise. Every file is looked at before git reads it, in an index made
fresh (flags set in the agent's own hide edits), and what cannot be taken is left out and reported, never fatal.
"""

import os
import re
import stat
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, count, islice
from pathlib import Path
from tempfile import TemporaryDirectory

from branchline.errors import GitError
from branchline.git.collisions import collisions
from branchline.git.command import Git, words
from branchline.git.folders import absent_list, is_folder, let_us_in, unlock
from branchline.git.intake import MAX_CONTENT, Inspector, take_in
from branchline.git.objects import fields
from branchline.git.repo import Repo
from branchline.git.submodules import is_untouched

MAX_FILE_BYTES = 50_000_000
MAX_SAVED_BYTES = 1 << 30  # a sparse file of a terabyte costs an agent nothing, and us hours to copy
MAX_SAVED_TOTAL = 4 << 30  # of new and ignored files; so do many files of less
MAX_FILES = 100_000

_GITLINK = "160000"
_MOST_FAILURES = 100  # names that git refuses and we did not foresee; past that it is not the names
# characters that macOS ignores in a name, so that `.g<joiner>it` opens `.git`
_IGNORED = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
_GIT_NAMES = frozenset({".git", "git~1"})


@dataclass(frozen=True, slots=True)
class Refused:
    """A path that was left out, and why; `line` of the file, if it is about one."""

    path: str
    reason: str
    line: int = 0

    def __str__(self) -> str:
        if self.line and self.path.isprintable():
            return f"{self.path}:{self.line}: {self.reason}"
        return f"{self.path!r}{f':{self.line}' if self.line else ''}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The tree of a worktree's files, and what is not in it, sorted by path."""

    tree: str
    refused: tuple[Refused, ...]


@dataclass(frozen=True, slots=True)
class Saved:
    """A commit that holds everything of a worktree, and the ref that keeps it."""

    ref: str
    commit: str
    tree: str
    refused: tuple[Refused, ...]


def snapshot(  # noqa: PLR0913 - keyword-only data
    git: Git,
    work_tree: Path,
    base_tree: str,
    *,
    scratch: Path,
    max_file_bytes: int | None = MAX_FILE_BYTES,
    max_files: int = MAX_FILES,
    include_ignored: bool = False,
    max_saved_bytes: int = MAX_SAVED_TOTAL,
    inspect: Inspector | None = None,
    skip: Iterable[str] = (),
) -> Snapshot:
    """Return the tree of the files in `work_tree`, which began as `base_tree`.

    A path that is refused stays as it is in the base. Refused are: devices, pipes and sockets, files over
    `max_file_bytes`, files past `max_files` new ones, nested repositories and submodules, links that leave the tree,
    names that git cannot hold. With `include_ignored` (to save) ignored files, the files of nested repositories, and
    links wherever they lead are taken too, up to `max_saved_bytes` of files in all. What `inspect` objects to never becomes
    an object; new files of `skip` are passed over. `git`: see Workspaces.content; `scratch`: a folder for the index.
    Raises GitError if the folder is gone, or an agent put a link in its place.
    """
    if not is_folder(work_tree):
        raise GitError(f"{work_tree} is no folder any more: there is nothing to take")
    unlock(work_tree)
    with TemporaryDirectory(dir=scratch, prefix="index-") as folder:
        fresh = git.at(work_tree, Path(folder) / "index")
        fresh.call("read-tree", base_tree)
        screen = _Screen(work_tree, max_file_bytes, everything=include_ignored, room=max_saved_bytes)
        with suppress(FileNotFoundError):
            screen.absent = frozenset(absent_list(work_tree).read_text("utf-8", "surrogateescape").split("\0"))
        screen.tracked(fields(fresh.call("ls-files", "-z", "--stage")), fresh)
        standard = () if include_ignored else ("--exclude-standard",)
        passed_over = frozenset(skip)
        others = (path for path in _others(fresh, work_tree, *standard) if path not in passed_over)
        screen.untracked(others, max_files)
        screen.collide()
        if screen.gone:
            gone = b"".join(os.fsencode(f"0 {'0' * len(base_tree)}\t{path}\0") for path in screen.gone)
            fresh.call("update-index", "-z", "--index-info", stdin=gone)
        if inspect is None:
            screen.refused += _add(fresh, screen.taken)
        else:
            aside = Path(folder) / "objects"
            aside.mkdir()
            screen.refused += _add(fresh.storing(aside), screen.taken)
            flaws = take_in(fresh, aside, base_tree, inspect)
            screen.refused += [Refused(flaw.path, flaw.reason, flaw.line) for flaw in flaws]
        tree = fresh.text("write-tree")
    return Snapshot(tree, tuple(sorted(screen.refused, key=lambda one: (os.fsencode(one.path), one.line))))


def save(  # noqa: PLR0913 - keyword-only data
    repo: Repo,
    path: Path,
    *,
    ref: str,
    parents: Sequence[str],
    when: int,
    scratch: Path,
    inspect: Inspector | None = None,
    skip: Iterable[str] = (),
) -> Saved:
    """Keep everything that is in a workspace, ignored files too, as a commit at `ref`, and return it.

    Its first parent is what the workspace began as. A ref that holds something else is never overwritten: `-2`, `-3` is
    appended. Saving the same again gives the same ref. What `inspect` objects to is left out, and new files of `skip`.
    """
    taken = snapshot(
        repo.content.at(path),
        path,
        repo.tree_of(parents[0]),
        scratch=scratch,
        max_file_bytes=MAX_CONTENT if inspect else MAX_SAVED_BYTES,
        max_files=sys.maxsize,
        include_ignored=True,
        inspect=inspect,
        skip=skip,
    )
    commit = repo.commit(taken.tree, parents, f"saved: {path.name}\n", when)
    content = (taken.tree, tuple(parents))
    for name in _numbered(ref):
        there = repo.read_ref(name)
        if there is None:
            repo.move_ref(name, commit, None)
            return Saved(name, commit, taken.tree, taken.refused)
        if (repo.tree_of(there), repo.parents(there)) == content:
            return Saved(name, there, taken.tree, taken.refused)
    raise AssertionError("the numbers ended")


def _numbered(ref: str) -> Iterator[str]:
    return chain((ref,), (f"{ref}-{number}" for number in count(2)))


def _others(git: Git, work_tree: Path, *standard: str) -> Iterator[str]:
    """List untracked files; git passes over a folder that it may not enter, so let us in and look again."""
    done = git.status_of("ls-files", "-z", "--others", *standard)
    if b"could not open directory" in done.stderr:
        let_us_in(work_tree)
        done = git.status_of("ls-files", "-z", "--others", *standard)
    if done.code != 0:
        raise GitError(f"git cannot list the files of {work_tree}: {words(done)}")
    return fields(done.stdout)


def _add(git: Git, paths: list[str]) -> list[Refused]:
    """Add paths to the index, and return those that git will not have: it fails for all when it fails for one."""
    refused: list[Refused] = []
    waiting = [paths] if paths else []
    while waiting:
        some = waiting.pop()
        listed = b"".join(os.fsencode(f"{path}\0") for path in some)
        done = git.status_of("update-index", "--add", "--replace", "-z", "--stdin", stdin=listed)
        if done.code == 0 and b"Ignoring path" not in done.stderr:  # git leaves some out and reports success
            continue
        if len(some) == 1:
            refused.append(Refused(some[0], words(done)))
        else:
            waiting += [some[: len(some) // 2], some[len(some) // 2 :]]
        if len(refused) > _MOST_FAILURES:
            raise GitError(f"git cannot read the files of {git.work_tree}: {words(done)}")
    return refused


class _Screen:
    """Sorts the paths of a work tree: `taken` to add, `gone` to remove, `refused` to leave out and report."""

    def __init__(self, root: Path, max_bytes: int | None, *, everything: bool, room: int) -> None:
        self._root = os.fspath(root)
        self._max_bytes = max_bytes
        self._everything = everything
        self._room = room
        self._folders: dict[str, bool] = {"": True}
        self.taken: list[str] = []
        self._tracked: set[str] = set()
        self.absent: frozenset[str] = frozenset()  # what a sparse checkout left out: that it is missing is no change
        self.gone: list[str] = []
        self.refused: list[Refused] = []

    def tracked(self, lines: Iterable[str], git: Git) -> None:
        """Sort the files of the base, given as `ls-files --stage` prints them. A submodule stays as it is."""
        for line in lines:
            meta, path = line.split("\t", 1)
            mode, oid, _ = meta.split()
            self._tracked.add(path)
            found = self._look(path)
            if mode == _GITLINK:
                self._submodule(path, found, oid, git)
            elif found is None and path in self.absent:
                continue
            elif found is None or stat.S_ISDIR(found.st_mode):
                self.gone.append(path)
            elif self._too_large(found) and int(git.text("cat-file", "-s", oid)) == found.st_size:
                self.taken.append(path)  # it was this large before
            else:
                self._sort(path, found)

    def _submodule(self, path: str, found: os.stat_result | None, commit: str, git: Git) -> None:
        """Refuse what was put where a submodule is, empty or as it was checked out; to save, take it in its place."""
        is_folder = found is not None and stat.S_ISDIR(found.st_mode)
        place = Path(self._place(path))
        if found is None or (is_folder and (not os.listdir(place) or is_untouched(git, place, commit))):
            return
        if not self._everything:
            what = "it is a submodule, and its files were changed" if is_folder else "it replaces a submodule"
            self.refused.append(Refused(path, what))
            return
        self.gone.append(path)
        for inside in self._files_below(path) if is_folder else (path,):
            self._sort(inside, os.lstat(self._place(inside)))

    def untracked(self, paths: Iterable[str], most: int) -> None:
        """Sort new files; git lists a nested repository as a folder, its name ending in a slash."""
        new = chain.from_iterable(map(self._expand, paths))
        for path in islice(new, most):
            found = self._look(path)
            if found is not None:
                self._sort(path, found)
        left_out = sum(1 for _ in new)
        if left_out:
            self.refused.append(Refused("", f"{left_out} files past the first {most}"))

    def collide(self) -> None:
        """Refuse new paths that are no paths of their own everywhere; to save, where they are will do."""
        new = [path for path in self.taken if path not in self._tracked]
        if self._everything or not new:
            return
        found = collisions(self._tracked.difference(self.gone), new)
        self.taken = [path for path in self.taken if path not in found]
        self.refused += [Refused(path, f"on some systems it is the same as {other!r}") for path, other in found.items()]

    def _sort(self, path: str, found: os.stat_result) -> None:
        reason = self._objection(path, found)
        if reason is None and self._everything and stat.S_ISREG(found.st_mode) and not found.st_mode & stat.S_IRUSR:
            os.chmod(self._place(path), found.st_mode | stat.S_IRUSR)
        if reason is None:
            self.taken.append(path)
        else:
            self.refused.append(Refused(path, reason))

    def _objection(self, path: str, found: os.stat_result) -> str | None:
        if any(_is_git_name(part) for part in re.split(r"[/\\]", path)):
            return "its name means git's own folder on some systems"
        if stat.S_ISLNK(found.st_mode):
            return None if self._everything else self._link_objection(path)
        if not stat.S_ISREG(found.st_mode):
            return "it is a device, a pipe or a socket"
        if self._too_large(found):
            return f"it holds {found.st_size} bytes, more than {self._max_bytes}"
        if self._everything and found.st_size > self._room:
            return "with it, more would be saved than there is room for"
        self._room -= found.st_size if self._everything else 0
        return None

    def _link_objection(self, path: str) -> str | None:
        target, folder = os.readlink(self._place(path)), os.path.dirname(path)
        if os.path.isabs(target):
            return "it is a link to an absolute path"
        written = os.path.normpath(os.path.join(folder, target)).split("/")
        real = os.path.relpath(os.path.realpath(self._place(path)), os.path.realpath(self._root)).split("/")
        if ".." in (written[0], real[0]):
            return "it is a link that leaves the tree"
        return "it is a link into git's own folder" if any(map(_is_git_name, written + real)) else None

    def _too_large(self, found: os.stat_result) -> bool:
        return self._max_bytes is not None and stat.S_ISREG(found.st_mode) and found.st_size > self._max_bytes

    def _look(self, path: str) -> os.stat_result | None:
        """Return what is at `path`, or None: nothing, or something that is reached through a link."""
        if not self._is_folder(os.path.dirname(path)):
            return None
        try:
            return os.lstat(self._place(path))
        except OSError:
            return None

    def _is_folder(self, path: str) -> bool:
        """Whether `path` is a real folder of the tree, reached through real folders; report a repository in it."""
        known = self._folders.get(path)
        if known is None:
            place = self._place(path)
            known = self._is_folder(os.path.dirname(path)) and os.path.isdir(place) and not os.path.islink(place)
            self._folders[path] = known
            if known and os.path.lexists(os.path.join(place, ".git")):
                self.refused.append(
                    Refused(f"{path}/.git", "a nested repository: its files are taken, not its history")
                )
        return known

    def _expand(self, path: str) -> Iterator[str]:
        if not path.endswith("/"):
            yield path
        elif not self._everything:
            self.refused.append(Refused(path.rstrip("/"), "a nested repository"))
        else:
            yield from self._files_below(path.rstrip("/"))

    def _files_below(self, path: str) -> Iterator[str]:
        for folder, folders, files in os.walk(self._place(path)):
            inside = path + folder[len(self._place(path)) :]
            folders[:] = sorted(name for name in folders if name != ".git")
            links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
            yield from (f"{inside}/{name}" for name in sorted(files) + links if name != ".git")

    def _place(self, path: str) -> str:
        return os.path.join(self._root, path)


def _is_git_name(name: str) -> bool:
    plain = _IGNORED.sub("", unicodedata.normalize("NFC", name)).casefold()
    return plain.split(":", 1)[0].rstrip(" .") in _GIT_NAMES
