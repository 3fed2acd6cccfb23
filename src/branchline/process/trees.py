"""Walks through folders that programs of others have filled: no recursion and no path longer than the system takes.

A folder in a folder in a folder costs its maker nothing, and may be deeper than a path can say (PATH_MAX), than Python
recurses, and than there are descriptors.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count

LONGEST = 3000  # bytes of a path below the top; what lies deeper has no path
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder on a walk: its descriptor, open until the next step, its `path` below the top (None: too deep for one).

    `folders` in it, which the caller may shorten, and other `names`.
    """

    descriptor: int
    path: str | None
    folders: list[str]
    names: list[str]

    def paths(self) -> Iterator[str]:
        """The paths of its other names below the top; none if it is too deep for that."""
        if self.path is not None:
            yield from (os.path.join(self.path, name) for name in self.names)

    def look(self, name: str) -> os.stat_result | None:
        """What a name of it is; None if that has gone."""
        with suppress(OSError):
            return os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)
        return None


def walk(top: str | os.PathLike[str], *, unlock: bool = False) -> Iterator[Folder]:
    """Yield a folder and every folder below it, from the top down; none if it is no folder. Links are not followed.

    One that may not be entered is passed over, or opened to us first to `unlock`. Ends where one was moved meanwhile.
    """
    here = _opened(top, None, unlock=unlock)
    above: list[tuple[tuple[int, int], list[str]]] = []
    parts, length = list[str](), 0
    while here is not None:
        try:
            folders, names = _content(here)
            path = "/".join(parts) if length <= LONGEST else None
            yield Folder(here, path, folders, names)
            waiting = folders[::-1]
            inner = None
            while inner is None:
                if waiting:
                    parts.append(waiting.pop())
                    length += len(os.fsencode(parts[-1])) + 1
                    inner = _opened(parts[-1], here, unlock=unlock)
                    if inner is not None:
                        above.append((_identity(here), waiting))
                elif above:
                    known, waiting = above.pop()
                    outer = os.open("..", _FOLDER, dir_fd=here)
                    os.close(here)
                    here = outer
                    if _identity(here) != known:
                        return
                else:
                    return
                if inner is None:
                    length -= len(os.fsencode(parts.pop())) + 1
        finally:
            os.close(here)
        here = inner


def remove(top: str | os.PathLike[str]) -> None:
    """Remove a folder with all that is in it, also what may not be entered. Raises OSError.

    The folders in each folder are first moved to the top: so none is deep.
    """
    here = _opened(top, None, unlock=True)
    if here is None:
        os.rmdir(top)  # says why
        return
    try:
        free = (f".{number}" for number in count())
        _empty(here, here, free)
        while folders := _content(here)[0]:
            for name in folders:
                inner = _opened(name, here, unlock=True)
                if inner is not None:
                    try:
                        _empty(inner, here, free)
                    finally:
                        os.close(inner)
                os.rmdir(name, dir_fd=here)
    finally:
        os.close(here)
    os.rmdir(top)


def _empty(folder: int, top: int, free: Iterator[str]) -> None:
    """Remove the files of a folder, and move its folders to the top."""
    folders, names = _content(folder)
    for name in names:
        os.unlink(name, dir_fd=folder)
    for name in folders if folder != top else ():
        if _opened_and_closed(name, folder):
            _move_up(name, folder, top, free)


def _move_up(name: str, folder: int, top: int, free: Iterator[str]) -> None:
    for new in free:
        try:
            os.rename(name, new, src_dir_fd=folder, dst_dir_fd=top)
            return
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}:  # the name is taken
                raise


def _opened_and_closed(name: str, folder: int) -> bool:
    """Whether a folder is there still; to be moved it must be writable."""
    inner = _opened(name, folder, unlock=True)
    if inner is not None:
        os.close(inner)
    return inner is not None


def _opened(name: str | os.PathLike[str], above: int | None, *, unlock: bool) -> int | None:
    """A descriptor of a folder that may be entered; None if there is none."""
    for _ in range(2):
        descriptor = None
        try:
            descriptor = os.open(name, _FOLDER, dir_fd=above)
            mode = os.fstat(descriptor).st_mode
            if unlock and mode & stat.S_IRWXU != stat.S_IRWXU:
                os.fchmod(descriptor, mode | stat.S_IRWXU)
            os.stat("..", dir_fd=descriptor)  # whether there is a way back
            return descriptor
        except PermissionError:
            if descriptor is not None:
                os.close(descriptor)
            if not unlock:
                return None
            with suppress(OSError):
                if stat.S_ISDIR(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode):
                    os.chmod(name, stat.S_IRWXU, dir_fd=above)
        except OSError:
            if descriptor is not None:
                os.close(descriptor)
            return None
    return None


def _content(descriptor: int) -> tuple[list[str], list[str]]:
    folders, names = list[str](), list[str]()
    with suppress(OSError), os.scandir(descriptor) as entries:
        for entry in entries:
            (folders if entry.is_dir(follow_symlinks=False) else names).append(entry.name)
    return folders, names


def _identity(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino
