"""The bytes of files: read from disk without following a link, hashed as git does, or from a repository's objects."""

import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from branchline.git.objects import ObjectStore

MOST_BYTES = 64 * 1024 * 1024
"""A larger file is not read: no part of it would be shown."""
_CAREFULLY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_BATCH = 8 * 1024 * 1024  # bytes that one call to git returns, about


class TooLarge(OSError):
    """The file is larger than MOST_BYTES."""


@dataclass(frozen=True, slots=True)
class File:
    """A regular file of a tree: its path, its git blob id."""

    path: str
    oid: str

    @property
    def key(self) -> bytes:
        """What its analysis is known by: its id, and the last name of its path, which says what language it is in."""
        return bytes.fromhex(self.oid) + os.fsencode(self.path.rpartition("/")[2])


class Reader(Protocol):
    """Where the bytes of a tree's files come from."""

    def read(self, files: Iterable[File]) -> Iterator[tuple[File, bytes | None]]:
        """Yield each file, in any order, with its bytes; None for one that cannot be read or is not what it was."""


def blob_id(data: bytes, algorithm: str = "sha1") -> str:
    """The id that git gives to a blob. `algorithm`: sha1 or sha256, as the repository's objects are named."""
    found = hashlib.new(algorithm, b"blob %d\0" % len(data), usedforsecurity=False)
    found.update(data)
    return found.hexdigest()


def file_at(root: str, path: str, algorithm: str) -> File | str:
    """A file below a folder as it is now, or why it is none: link, special, too_large, unreadable."""
    place = os.path.join(root, path)
    try:
        mode = os.lstat(place).st_mode
        if not stat.S_ISREG(mode):
            return "link" if stat.S_ISLNK(mode) else "special"
        data = read_plain(place)
    except TooLarge:
        return "too_large"
    except OSError:
        return "unreadable"
    return File(path, blob_id(data, algorithm))


def read_plain(path: str) -> bytes:
    """The bytes of a regular file. Raises OSError: a link is not followed, nothing is waited for."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | _CAREFULLY)) as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        if about.st_size > MOST_BYTES:
            raise TooLarge(path)
        return file.read()


class Disk:
    """Files below a folder. What is not on disk as it was is looked up in `objects`, if there are any.

    So a file that changed since it was listed, or that a filter made (line ends, LFS), is read as what its id says.
    """

    def __init__(self, root: str, objects: "Objects | None" = None) -> None:
        self._root = root
        self._objects = objects

    def read(self, files: Iterable[File]) -> Iterator[tuple[File, bytes | None]]:
        """See `Reader`."""
        elsewhere = []
        for file in files:
            data: bytes | None = None
            with suppress(OSError, ValueError):
                data = read_plain(os.path.join(self._root, file.path))
            if data is None or blob_id(data, algorithm_of(file.oid)) != file.oid:
                data = None
            if data is None and self._objects is not None:
                elsewhere.append(file)
            else:
                yield file, data
        if elsewhere and self._objects is not None:
            yield from self._objects.read(elsewhere)


class Objects:
    """Blobs of a repository's object store."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def read(self, files: Iterable[File]) -> Iterator[tuple[File, bytes | None]]:
        """See `Reader`."""
        wanted = list(files)
        sizes = self._store.sizes(dict.fromkeys(file.oid for file in wanted)) if wanted else {}
        batch: list[File] = []
        room = _BATCH
        for file in wanted:
            size = sizes.get(file.oid, MOST_BYTES + 1)
            if size > MOST_BYTES:
                yield file, None
                continue
            batch.append(file)
            room -= size
            if room < 0:
                yield from self._read_batch(batch)
                batch, room = [], _BATCH
        yield from self._read_batch(batch)

    def _read_batch(self, batch: Sequence[File]) -> Iterator[tuple[File, bytes | None]]:
        found = dict(self._store.read_blobs(dict.fromkeys(file.oid for file in batch))) if batch else {}
        for file in batch:
            yield file, found[file.oid]


def algorithm_of(oid: str) -> str:
    """The hash that an object id was made with."""
    return "sha256" if len(oid) == 64 else "sha1"
