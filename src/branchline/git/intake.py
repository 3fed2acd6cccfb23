"""New content on its way into the repository: put in a store of its own, looked at, and only then moved over.

What is refused never was an object of the repository. What is looked at is what is stored: files may change meanwhile,
objects do not.
"""

import errno
import os
import shutil
import stat
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from branchline.git import lfs
from branchline.git.command import Git
from branchline.git.filters import lfs_aside
from branchline.git.objects import fields

AT_ONCE = 32_000_000  # bytes of content in memory
MOST_LOOSE = 200  # objects; more come in as a pack: to make them last costs one sync, not one each
MAX_CONTENT = 64_000_000  # bytes of one file that can be looked at
_NOTHING = "0"
_GITLINK = "160000"


@dataclass(frozen=True, slots=True)
class Incoming:
    """A path whose content or mode is not that of the base. `old` is what the base has there, None for a new path."""

    path: str
    oid: str
    old: str | None
    mode: str


@dataclass(frozen=True, slots=True)
class Flaw:
    """Why a path may not come in, at which line of it (0: none in particular)."""

    path: str
    reason: str
    line: int = 0


class Inspector(Protocol):
    """Looks at what is to come in."""

    def __call__(self, intake: "Intake") -> Iterable[Flaw]:
        """What must not come in, and why."""


class Intake:
    """What a fresh index holds that its base has not, while its objects are still aside."""

    def __init__(self, git: Git, base_tree: str) -> None:
        """`git`: with the index, its new objects kept aside (`Git.storing`)."""
        self._git = git
        self._lfs = None if git.aside is None else lfs_aside(git.aside)
        self._base = base_tree
        listing = fields(git.call("diff-index", "--cached", "--raw", "-z", "--no-renames", "--no-abbrev", base_tree))
        changes = ((meta.removeprefix(":").split(), path) for meta, path in zip(listing, listing, strict=True))
        found = [
            Incoming(path, new, None if status == "A" else old, mode)
            for (_, mode, old, new, status), path in changes
            if status != "D" and mode != _GITLINK
        ]
        self._sizes = self._look_up({one.oid for one in found})
        self.large_files = self._pointers({one.oid for one in found})
        self.too_large = [one for one in found if self._bytes(one) > MAX_CONTENT]
        self.incoming = [one for one in found if self._bytes(one) <= MAX_CONTENT]

    def groups(self, skip: Collection[str] = ()) -> Iterator[list[tuple[Incoming, bytes]]]:
        """The incoming paths, less the blobs to skip, each with its content, that of a link too; a group is in memory.

        The content of a Git LFS pointer is the file that it stands for.
        """
        group: list[Incoming] = []
        room = AT_ONCE
        for one in self.incoming:
            if one.oid in skip:
                continue
            if group and self._bytes(one) > room:
                yield self._read(group)
                group, room = [], AT_ONCE
            group.append(one)
            room -= self._bytes(one)
        if group:
            yield self._read(group)

    def known_content(self) -> set[str]:
        """The blobs of the base: what was only moved or copied brings nothing new."""
        return {line.split()[2] for line in fields(self._git.call("ls-tree", "-r", "-z", self._base))}

    def in_base(self, values: Iterable[bytes]) -> set[bytes]:
        """Those of the values, each on one line, that stand somewhere in the base."""
        return standing_in(self._git, self._base, values)

    def _look_up(self, oids: Iterable[str]) -> dict[str, int]:
        asked = "".join(f"{oid}\n" for oid in oids).encode()
        answer = self._git.call("cat-file", "--batch-check=%(objectname) %(objectsize)", stdin=asked).decode()
        return {oid: int(size) for oid, size in (line.split() for line in answer.splitlines())}

    def _pointers(self, oids: Iterable[str]) -> dict[str, Path]:
        """The new content in the store of Git LFS aside, by the blob of its pointer."""
        if self._lfs is None or not self._lfs.is_dir():
            return {}
        found = {}
        for oid in (oid for oid in oids if self._sizes[oid] < lfs.MOST_BYTES):
            named = lfs.pointer(self._git.call("cat-file", "blob", oid))
            if named and (stored := lfs.place(self._lfs, named.oid)).is_file():
                lfs.require_true(stored, named.oid)
                found[oid] = stored
        return found

    def _bytes(self, one: Incoming) -> int:
        large = self.large_files.get(one.oid)
        return large.stat().st_size if large else self._sizes[one.oid]

    def _read(self, group: list[Incoming]) -> list[tuple[Incoming, bytes]]:
        answer = self._git.call("cat-file", "--batch", stdin="".join(f"{one.oid}\n" for one in group).encode())
        read, at = [], 0
        for one in group:
            start = answer.index(b"\n", at) + 1
            at = start + self._sizes[one.oid]
            large = self.large_files.get(one.oid)
            read.append((one, large.read_bytes() if large else answer[start:at]))
            at += 1
        return read


def standing_in(git: Git, tree: str, values: Iterable[bytes]) -> set[bytes]:
    """Those of the values, each on one line, that stand somewhere in the files of a tree."""
    asked = b"".join(value + b"\n" for value in values)
    if not asked:
        return set()
    plain = ("--text", "--no-textconv", "--no-color", "-h", "-o", "--fixed-strings", "-f", "-")
    return set(git.call("grep", *plain, tree, stdin=asked, ok=(0, 1)).splitlines())


def take_in(git: Git, aside: Path, base_tree: str, inspect: Inspector | None) -> list[Flaw]:
    """Let `inspect` look at what the index holds beyond `base_tree`; refused paths go back, other objects come in.

    `git`: with the index; `aside`: the folder where its new objects are, and in `lfs` those of Git LFS.
    """
    intake = Intake(git.storing(aside), base_tree)
    flaws: list[Flaw] = []
    if inspect:
        flaws += [Flaw(one.path, f"more than {MAX_CONTENT} bytes cannot be looked through") for one in intake.too_large]
        flaws += inspect(intake) if intake.incoming else ()
    refused = {flaw.path for flaw in flaws}
    if refused:
        _put_back(git, base_tree, refused)
    incoming = [*intake.incoming, *([] if inspect else intake.too_large)]
    left = sorted({one.oid for one in incoming if one.path not in refused})
    for oid in left:
        if oid in intake.large_files:  # before its pointer
            stored = intake.large_files[oid]
            _place(stored, git.git_dir / "lfs" / stored.relative_to(lfs_aside(aside)))
    here = [oid for oid in left if (aside / oid[:2] / oid[2:]).exists()]
    if len(here) <= MOST_LOOSE or not _packed(git, aside, here):
        for oid in here:
            _place(aside / oid[:2] / oid[2:], git.git_dir / "objects" / oid[:2] / oid[2:])
    return flaws


def _put_back(git: Git, base_tree: str, paths: Iterable[str]) -> None:
    """Make paths of the index what they are in the base: there, or not."""
    tracked: dict[str, tuple[str, str]] = {}
    for line in fields(git.call("ls-tree", "-r", "-z", "--full-tree", base_tree)):
        meta, path = line.split("\t", 1)
        tracked[path] = (meta.split()[0], meta.split()[2])
    gone = (_NOTHING, _NOTHING * len(base_tree))
    edits = [(path, tracked.get(path, gone)) for path in paths]
    lines = b"".join(os.fsencode(f"{mode} {oid}\t{path}\0") for path, (mode, oid) in edits)
    git.at(index=git.index).call("update-index", "-z", "--replace", "--index-info", stdin=lines)


def _packed(git: Git, aside: Path, oids: Iterable[str]) -> bool:
    """Bring objects in as one pack; whether that could be done: not from another file system."""
    folder = (git.git_dir / "objects" / "pack").resolve()
    asked = "".join(f"{oid}\n" for oid in oids).encode()
    plain = ("-c", "core.fsync=all", "-c", "pack.threads=1", "pack-objects", "-q", "--window=0", str(folder / "pack"))
    done = git.storing(aside).status_of(*plain, stdin=asked)
    if done.code == 0:
        for made in folder.glob(f"pack-{done.stdout.decode().strip()}.*"):
            _share(made)
    return done.code == 0


def _place(source: Path, target: Path) -> None:
    """Bring one loose object in, to last."""
    with source.open("rb") as file:
        os.fsync(file.fileno())
    target = target.resolve()
    for folder in reversed(target.parents):
        if not folder.is_dir():
            folder.mkdir(exist_ok=True)
            _share(folder)
    try:
        os.link(source, target)
    except FileExistsError:
        return
    except OSError as error:
        if error.errno not in {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP}:
            raise
        copy = target.with_name(f"tmp_{target.name}")
        shutil.copyfile(source, copy)
        shutil.copymode(source, copy)
        with copy.open("rb") as file:
            os.fsync(file.fileno())
        copy.replace(target)
    _share(target)


def _share(made: Path) -> None:
    """In a repository that a group shares, give the group what we made; it came from a folder of our own."""
    above = made.parent.stat()
    if not above.st_mode & stat.S_ISGID:
        return
    with suppress(PermissionError):
        os.chown(made, -1, above.st_gid)
    if made.is_dir():
        made.chmod(stat.S_IMODE(above.st_mode))
