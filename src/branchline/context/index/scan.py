"""Which files a tree has: a commit's, or those of a folder as they are on disk. Nothing is written, no link followed.

git lists a work tree from the repository's own index, which tells without reading them which files are unchanged; git
never refreshes it here. The rest is hashed as git would, so that a blob id names the same bytes wherever they are.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from branchline.context.index.content import Disk, File, Objects, Reader, algorithm_of, file_at
from branchline.errors import GitError
from branchline.git.objects import fields
from branchline.git.repo import NotARepository, Repo

CACHES = frozenset(
    [
        ".runs",
        "__pycache__",
        ".venv",
        ".tox",
        ".nox",
        ".eggs",
        ".mypy_cache",
        ".ruff_cache",
        ".pytest_cache",
        ".hypothesis",
        "node_modules",
        "bower_components",
        ".next",
        ".nuxt",
        ".parcel-cache",
        ".turbo",
        ".svelte-kit",
        ".gradle",
        ".terraform",
        ".direnv",
        ".cache",
    ]
)
"""Folders that tools fill. What is untracked in them is not part of a tree."""
METADATA = frozenset({".git", ".hg", ".svn", ".jj"})
_NO_FILES = {"120000": "link", "160000": "submodule"}  # modes of tree entries
_LISTED = ("-z", "-t", "-s", "-c", "-m", "-d", "-o", "--exclude-standard")
_EXCLUDED = tuple(f"--exclude={name}/" for name in sorted(CACHES))


@dataclass(frozen=True, slots=True)
class Tree:
    """The regular files of a tree, sorted by path.

    `skipped`: (path, why), for what is no file to read: link, submodule, unreadable, not_checked_out, special,
    too_large. `commit`: what it grew from, at `time` (seconds since 1970); empty and 0 without one. `fingerprint`:
    SHA-256 of the commit and of every (path, blob id). `repo`: where the commit is.
    """

    files: tuple[File, ...]
    skipped: tuple[tuple[str, str], ...]
    commit: str
    time: int
    root: str
    fingerprint: str
    reader: Reader
    repo: Repo | None = None

    def read(self, files: Iterable[File]) -> Iterator[tuple[File, bytes | None]]:
        """Yield files of this tree, in any order, with their bytes; None for one that is unreadable or gone."""
        return self.reader.read(files)


def tree_of(repo: Repo, commit: str, tree: str | None = None) -> Tree:
    """A tree of the object store, by default the commit's; no checkout is needed. Raises GitError."""
    when = repo.content.text("rev-list", "--max-count=1", "--timestamp", "--end-of-options", commit).split()[0]
    entries = repo.entries(tree or repo.tree_of(commit))
    found = ((entry.path, _NO_FILES.get(entry.mode) or File(entry.path, entry.oid)) for entry in entries)
    return _tree(found, str(repo.root), Objects(repo), commit, int(when), repo)


def work_tree(root: Path) -> Tree:
    """The files of a folder as they are on disk.

    In a work tree of git: what is tracked or not ignored, of it only what is below `root`. Elsewhere, and in a folder
    that is ignored: all that is there, tools' caches left out. Raises NotARepository if `root` is no folder,
    InvalidInput for a repository that cannot be used.
    """
    place = root.resolve()
    if not place.is_dir():
        raise NotARepository(f"{root} is not a folder")
    with suppress(NotARepository, GitError):
        repo = Repo.find(place)
        listed = _listed_by_git(repo, place)
        if place == repo.root or listed.files or listed.skipped:
            return listed
    return _tree(_walked(str(place)), str(place), Disk(str(place)))


def _tree(
    found: Iterable[tuple[str, File | str]],
    root: str,
    reader: Reader,
    commit: str = "",
    time: int = 0,
    repo: Repo | None = None,
) -> Tree:
    """A tree of what was found: each path with its file, or the reason why it is none."""
    files, skipped = [], []
    for path, one in found:
        if isinstance(one, str):
            skipped.append((path, one))
        else:
            files.append(one)
    files.sort(key=lambda file: file.path)
    lines = "\0".join([commit, *(f"{file.oid} {file.path}" for file in files)])
    fingerprint = hashlib.sha256(os.fsencode(lines)).hexdigest()
    return Tree(tuple(files), tuple(sorted(skipped)), commit, time, root, fingerprint, reader, repo)


class _Listing:
    """What git says of the files of a work tree below `prefix` (empty, or ends in a slash); paths are relative to it.

    `tracked`: mode and blob id in the index. `on_disk`: changed, in conflict or untracked, so that only the disk knows
    what they are. `sparse`: not to be checked out.
    """

    def __init__(self, repo: Repo, prefix: str) -> None:
        self.tracked: dict[str, str] = {}
        self.on_disk: set[str] = set()
        self.gone: set[str] = set()
        self.sparse: set[str] = set()
        told = {"C": self.on_disk, "M": self.on_disk, "R": self.gone, "S": self.sparse}
        skip = len(prefix)
        git = repo.content.at(repo.root, repo.git_dir / "index")
        below = ("--", prefix) if prefix else ()
        for record in fields(git.call("ls-files", *_LISTED, *_EXCLUDED, *below, env={"GIT_LITERAL_PATHSPECS": "1"})):
            tag = record[0]
            if tag == "?":
                self.on_disk.add(record[2 + skip :])
                continue
            meta, _, path = record.partition("\t")
            self.tracked[path[skip:]] = meta[2:]
            if tag != "H":
                told[tag].add(path[skip:])

    def files(self, root: str, algorithm: str) -> Iterator[tuple[str, File | str]]:
        """Each path with its file, or the reason why it is none."""
        is_real = _real_folders(root)
        for path, meta in self.tracked.items():
            mode, oid, _ = meta.split()
            if mode == "160000":
                yield path, "submodule"
            elif path in self.sparse and not os.path.lexists(os.path.join(root, path)):
                yield path, "not_checked_out"
            elif not is_real(os.path.dirname(path)):
                yield path, "link"
            elif path in self.gone:
                continue
            elif path in self.on_disk or path in self.sparse:
                yield path, file_at(root, path, algorithm)
            else:
                yield path, _NO_FILES.get(mode) or File(path, oid)
        for path in self.on_disk - self.tracked.keys():
            yield path, "submodule" if path.endswith("/") else file_at(root, path, algorithm)


def _listed_by_git(repo: Repo, place: Path) -> Tree:
    head = repo.refs.status_of("rev-list", "--max-count=1", "--timestamp", "HEAD", "--")
    when, _, commit = head.stdout.decode().strip().partition(" ") if head.code == 0 else ("", "", "")
    prefix = "" if place == repo.root else os.path.join(os.path.relpath(place, repo.root), "")
    listing = _Listing(repo, prefix)
    some_id = commit or next((meta.split()[1] for meta in listing.tracked.values()), "")
    found = listing.files(str(place), algorithm_of(some_id))
    reader = Disk(str(place), Objects(repo))
    return _tree(found, str(place), reader, commit, int(when or 0), repo if commit else None)


def _real_folders(root: str) -> Callable[[str], bool]:
    """Whether a folder, and each one above it, is a folder and no link."""

    @cache
    def is_link(folder: str) -> bool:
        return os.path.islink(os.path.join(root, folder))

    @cache
    def is_real(folder: str) -> bool:
        parts = folder.split("/")
        return not any(is_link("/".join(parts[: depth + 1])) for depth in range(len(parts)))

    return is_real


def _walked(root: str) -> Iterator[tuple[str, File | str]]:
    """Each path below a folder with its file, or the reason why it is none."""
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(os.path.join(root, folder)) as entries:
                here = list(entries)
        except OSError:
            yield os.path.join(folder, ""), "unreadable"
            continue
        for entry in here:
            path = os.path.join(folder, entry.name)
            if not entry.is_dir(follow_symlinks=False):
                yield path, file_at(root, path, "sha1")
            elif entry.name not in CACHES and entry.name not in METADATA:
                waiting.append(path)
