"""Which files a tree has, and their bytes: a commit's, or those of a folder as they are on disk. No link is followed.

git lists a work tree from the repository's own index, which tells without reading them which files are unchanged; git
never refreshes it here. The rest is hashed as git would, so that a blob id names the same bytes wherever they are.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

from branchline.errors import GitError
from branchline.git.objects import ObjectStore, fields
from branchline.git.repo import NotARepository, Repo
from branchline.process.output import open_regular

MOST_BYTES = 64 * 1024 * 1024
"""A larger file is not read: no part of it would be shown."""
MOST_FILES = 4000
_BATCH = 8 * 1024 * 1024  # bytes that one call to git returns, about
_T = TypeVar("_T")
CACHES = frozenset({
    ".runs", "__pycache__", ".venv", ".tox", ".nox", ".eggs", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis",
    "node_modules", "bower_components", ".next", ".nuxt", ".parcel-cache", ".turbo", ".svelte-kit", ".gradle", ".terraform",
    ".direnv", ".cache",
})  # fmt: skip
"""Folders that tools fill. What is untracked in them is not part of a tree."""
METADATA = frozenset({".git", ".hg", ".svn", ".jj"})
_NO_FILES = {"120000": "link", "160000": "submodule"}  # modes of tree entries
_LISTED = ("-z", "-t", "-s", "-c", "-m", "-d", "-o", "--exclude-standard")
_EXCLUDED = tuple(f"--exclude={name}/" for name in sorted(CACHES))


@dataclass(frozen=True, slots=True)
class File:
    """A regular file of a tree: its path, its git blob id."""

    path: str
    oid: str

    @property
    def key(self) -> bytes:
        """What its analysis is known by: its id, and the last name of its path, which says what language it is in."""
        return bytes.fromhex(self.oid) + os.fsencode(self.path.rpartition("/")[2])


Read = Callable[[Iterable[File]], Iterator[tuple[File, bytes | None]]]
"""Yields each of some files of a tree, in any order, with its bytes; None for one that is unreadable or gone."""


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
    read: Read
    repo: Repo | None = None


def tree_of(repo: Repo, commit: str, tree: str | None = None) -> Tree:
    """A tree of the object store, by default the commit's; no checkout is needed. Raises GitError."""
    when = repo.content.text("rev-list", "--max-count=1", "--timestamp", "--end-of-options", commit).split()[0]
    entries = repo.entries(tree or repo.tree_of(commit))
    found = ((entry.path, _NO_FILES.get(entry.mode) or File(entry.path, entry.oid)) for entry in entries)
    return _tree(found, str(repo.root), from_objects(repo), commit, int(when), repo)


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
    return _tree(_walked(str(place)), str(place), from_disk(str(place)))


def _tree(
    found: Iterable[tuple[str, File | str]],
    root: str,
    read: Read,
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
    return Tree(tuple(files), tuple(sorted(skipped)), commit, time, root, fingerprint, read, repo)


def _listed_by_git(repo: Repo, place: Path) -> Tree:
    """What git says of the files of a work tree, of it what is below a folder."""
    head = repo.refs.status_of("rev-list", "--max-count=1", "--timestamp", "HEAD", "--")
    when, _, commit = head.stdout.decode().strip().partition(" ") if head.code == 0 else ("", "", "")
    prefix = "" if place == repo.root else os.path.join(os.path.relpath(place, repo.root), "")
    tracked: dict[str, str] = {}  # mode and blob id in the index
    on_disk, gone, not_wanted = set[str](), set[str](), set[str]()  # the first: only the disk knows what they are
    told = {"C": on_disk, "M": on_disk, "R": gone, "S": not_wanted}
    git, skip = repo.content.at(repo.root, repo.git_dir / "index"), len(prefix)
    below = ("--", prefix) if prefix else ()
    for record in fields(git.call("ls-files", *_LISTED, *_EXCLUDED, *below, env={"GIT_LITERAL_PATHSPECS": "1"})):
        if record[0] == "?":
            on_disk.add(record[2 + skip :])
            continue
        meta, _, path = record[2:].partition("\t")
        tracked[path[skip:]] = meta
        if record[0] != "H":
            told[record[0]].add(path[skip:])
    root, is_real = str(place), _real_folders(str(place))
    some_id = commit or next((meta.split()[1] for meta in tracked.values()), "")

    def found() -> Iterator[tuple[str, File | str]]:
        for path, meta in tracked.items():
            mode, oid, _ = meta.split()
            if mode == "160000":
                yield path, "submodule"
            elif path in not_wanted and not os.path.lexists(os.path.join(root, path)):
                yield path, "not_checked_out"
            elif not is_real(os.path.dirname(path)):
                yield path, "link"
            elif path not in gone:
                changed = path in on_disk or path in not_wanted
                yield path, file_at(root, path, len(some_id)) if changed else _NO_FILES.get(mode) or File(path, oid)
        for path in on_disk - tracked.keys():
            yield path, "submodule" if path.endswith("/") else file_at(root, path, len(some_id))

    return _tree(found(), root, from_disk(root, from_objects(repo)), commit, int(when or 0), repo if commit else None)


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
                yield path, file_at(root, path)
            elif entry.name not in CACHES and entry.name not in METADATA:
                waiting.append(path)


def blob_id(data: bytes, length: int = 40) -> str:
    """The id that git gives to a blob, of as many digits as the repository's have."""
    found = hashlib.new("sha256" if length == 64 else "sha1", b"blob %d\0" % len(data), usedforsecurity=False)
    found.update(data)
    return found.hexdigest()


def file_at(root: str, path: str, length: int = 40) -> File | str:
    """A file below a folder as it is now, or why it is none: link, special, too_large, unreadable."""
    place = os.path.join(root, path)
    try:
        about = os.lstat(place)
    except OSError:
        return "unreadable"
    if not stat.S_ISREG(about.st_mode):
        return "link" if stat.S_ISLNK(about.st_mode) else "special"
    if about.st_size > MOST_BYTES:
        return "too_large"
    data = read_plain(place)
    return "unreadable" if data is None else File(path, blob_id(data, length))


def read_plain(path: str) -> bytes | None:
    """The bytes of a plain file; None for what is none, is too large, or cannot be read."""
    if (descriptor := open_regular(path)) is not None:
        with os.fdopen(descriptor, "rb", buffering=0) as file, suppress(OSError):
            return file.read() if os.fstat(file.fileno()).st_size <= MOST_BYTES else None
    return None


def from_disk(root: str, objects: Read | None = None) -> Read:
    """Reads files below a folder. What is not on disk as it was is looked up in `objects`, if there are any.

    So a file that changed since it was listed, or that a filter made (line ends, LFS), is read as what its id says.
    """

    def read(files: Iterable[File]) -> Iterator[tuple[File, bytes | None]]:
        elsewhere = []
        for file in files:
            data = read_plain(os.path.join(root, file.path))
            if data is not None and blob_id(data, len(file.oid)) == file.oid:
                yield file, data
            else:
                elsewhere.append(file)
        yield from objects(elsewhere) if objects is not None else ((file, None) for file in elsewhere)

    return read


def from_objects(store: ObjectStore) -> Read:
    """Reads blobs of a repository's object store."""

    def read(files: Iterable[File]) -> Iterator[tuple[File, bytes | None]]:
        wanted = list(files)
        known = store.sizes(dict.fromkeys(file.oid for file in wanted)) if wanted else {}
        sizes = {oid: size for oid, size in known.items() if size <= MOST_BYTES}
        yield from ((file, None) for file in wanted if file.oid not in sizes)
        for some in grouped((file for file in wanted if file.oid in sizes), lambda file: sizes[file.oid], _BATCH):
            found = dict(store.read_blobs(dict.fromkeys(file.oid for file in some)))
            yield from ((file, found[file.oid]) for file in some)

    return read


def grouped(things: Iterable[_T], size: Callable[[_T], int], most: int) -> Iterator[list[_T]]:
    """Some things in groups of about `most` bytes and at most MOST_FILES."""
    group, room = list[_T](), most
    for one in things:
        group.append(one)
        room -= size(one)
        if room < 0 or len(group) == MOST_FILES:
            yield group
            group, room = [], most
    if group:
        yield group
