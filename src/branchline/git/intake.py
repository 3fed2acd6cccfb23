"""New content on its way into the repository: put in a store of its own, looked at, and only then moved over.

What is refused never was an object of the repository. What is looked at is what is stored: files may change meanwhile,
objects do not.
"""

import errno
import os
import shutil
import stat
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from branchline.git.command import Git
from branchline.git.filters import LFS_ASIDE, LFS_POINTER, lfs_place, lfs_pointer, require_lfs
from branchline.git.objects import GITLINK, Change, ObjectStore, by_line, put, raw_changes
from branchline.git.screen import Refused

AT_ONCE = 32_000_000  # bytes of content in memory
MOST_LOOSE = 200  # objects; more come in as a pack: to make them last costs one sync, not one each
MAX_CONTENT = 64_000_000  # bytes of one file that can be looked at


Inspector = Callable[["Intake"], Iterable[Refused]]
"""Looks at what is to come in: what must not, and why."""


class Intake:
    """What a fresh index holds that the tree `base` has not, while its objects are still aside; `store` reads both."""

    def __init__(self, git: Git, base_tree: str) -> None:
        """`git`: with the index, its new objects kept aside (`Git.storing`)."""
        self.store = ObjectStore(git)
        self.base = base_tree
        listing = git.call("diff-index", "--cached", "--raw", "-z", "--no-renames", "--no-abbrev", base_tree)
        found = [one for one in raw_changes(listing) if one.status != "D" and one.new_mode != GITLINK]
        self._sizes = self.store.sizes({one.new_oid for one in found})
        self.large_files = self._pointers(git.aside)
        self.too_large = [one for one in found if self._bytes(one) > MAX_CONTENT]
        self.incoming = [one for one in found if self._bytes(one) <= MAX_CONTENT]

    def groups(self, skip: Collection[str] = ()) -> Iterator[list[tuple[Change, bytes]]]:
        """The incoming paths, less the blobs to skip, each with its content, that of a link too; a group is in memory.

        The content of a Git LFS pointer is the file that it stands for.
        """
        waiting = deque(one for one in self.incoming if one.new_oid not in skip)
        while waiting:
            group = [waiting.popleft()]
            room = AT_ONCE - self._bytes(group[0])
            while waiting and (size := self._bytes(waiting[0])) <= room:
                group.append(waiting.popleft())
                room -= size
            content = dict(self.store.read_blobs({one.new_oid for one in group}))
            content |= {oid: path.read_bytes() for oid, path in self.large_files.items() if oid in content}
            yield [(one, content[one.new_oid]) for one in group]

    def _pointers(self, aside: Path | None) -> dict[str, Path]:
        """The new content in the store of Git LFS aside, by the blob of its pointer."""
        if aside is None or not (aside / LFS_ASIDE).is_dir():
            return {}
        found = {}
        small = [oid for oid, size in self._sizes.items() if size < LFS_POINTER]
        for oid, data in self.store.read_blobs(small):
            named = lfs_pointer(data)
            if named and (stored := lfs_place(aside / LFS_ASIDE, named.oid)).is_file():
                require_lfs(stored, named.oid)
                found[oid] = stored
        return found

    def _bytes(self, one: Change) -> int:
        large = self.large_files.get(one.new_oid)
        return large.stat().st_size if large else self._sizes[one.new_oid]


def take_in(git: Git, aside: Path, base_tree: str, inspect: Inspector | None) -> list[Refused]:
    """Let `inspect` look at what the index holds beyond `base_tree`; refused paths go back, other objects come in.

    `git`: with the index; `aside`: the folder where its new objects are, and in `lfs` those of Git LFS.
    """
    intake = Intake(git.storing(aside), base_tree)
    flaws: list[Refused] = []
    if inspect:
        flaws += [
            Refused(one.path, f"more than {MAX_CONTENT} bytes cannot be looked through") for one in intake.too_large
        ]
        flaws += inspect(intake) if intake.incoming else ()
    refused = {flaw.path for flaw in flaws}
    if refused:  # they become what they are in the base: there, or not
        tracked = {entry.path: (entry.mode, entry.oid) for entry in ObjectStore(git).entries(base_tree)}
        gone = ("0", "0" * len(base_tree))
        put(git, {path: tracked.get(path, gone) for path in refused})
    incoming = [*intake.incoming, *([] if inspect else intake.too_large)]
    left = sorted({one.new_oid for one in incoming if one.path not in refused})
    for oid in left:
        if oid in intake.large_files:  # before its pointer
            stored = intake.large_files[oid]
            _place(stored, git.git_dir / "lfs" / stored.relative_to(aside / LFS_ASIDE))
    here = [oid for oid in left if (aside / oid[:2] / oid[2:]).exists()]
    if len(here) > MOST_LOOSE:
        pack = (git.git_dir / "objects" / "pack" / "pack").resolve()
        reading = replace(git, lenders=(aside,))
        reading.call("-c", "pack.threads=1", "pack-objects", "-q", "--window=0", str(pack), stdin=by_line(here))
        return flaws
    for oid in here:
        _place(aside / oid[:2] / oid[2:], git.git_dir / "objects" / oid[:2] / oid[2:])
    return flaws


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
