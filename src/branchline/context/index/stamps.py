"""Blob ids of files on disk, remembered by what `stat` says of them, so that a file that stays is hashed once."""

import os
import stat
import time
from typing import Protocol

import msgspec

from branchline.context.index.content import File, TooLarge, blob_id, read_plain

_SETTLED = 2_000_000_000  # nanoseconds: a file that changed since might change again and keep its times
_Stamp = tuple[int, int, int, int, str]  # size, mtime, ctime, inode, blob id
_Stamps = dict[bytes, _Stamp]


class Store(Protocol):
    """A cache of bytes by key; it may forget."""

    def get(self, key: str) -> bytes | None:
        """What was put last, or None."""

    def put(self, key: str, value: bytes) -> None:
        """Keep a value."""


class Stamps:
    """Files below one folder. As in git's index, one that changed just before it was hashed is hashed again."""

    def __init__(self, root: str, store: Store | None, algorithm: str = "sha1") -> None:
        self._root = root
        self._store = store
        self._algorithm = algorithm
        self._key = f"stamps:{algorithm}:{os.fsencode(root).hex()}"
        self._known: _Stamps | None = None
        self._seen: _Stamps = {}
        self._settled = time.time_ns() - _SETTLED

    def file(self, path: str) -> File | str:
        """A file as it is now, or why it is none: link, special, too_large, unreadable."""
        try:
            about = os.lstat(self.path_of(path))
            if stat.S_ISLNK(about.st_mode):
                return "link"
            if not stat.S_ISREG(about.st_mode):
                return "special"
            return self._remembered(path, about) or self._hashed(path, about)
        except TooLarge:
            return "too_large"
        except OSError:
            return "unreadable"

    def path_of(self, path: str) -> str:
        """Where a file is on disk."""
        return os.path.join(self._root, path)

    def keep(self) -> None:
        """Remember the files that were asked for since, and no others."""
        if self._store is not None and self._seen != self._load():
            self._store.put(self._key, msgspec.msgpack.encode(self._seen))

    def _remembered(self, path: str, about: os.stat_result) -> File | None:
        name = os.fsencode(path)
        known = self._load().get(name)
        if known is None or known[:4] != _times(about):
            return None
        self._seen[name] = known
        return File(path, known[4], about.st_size)

    def _hashed(self, path: str, about: os.stat_result) -> File:
        data = read_plain(self.path_of(path))
        file = File(path, blob_id(data, self._algorithm), len(data))
        if max(about.st_mtime_ns, about.st_ctime_ns) < self._settled and len(data) == about.st_size:
            self._seen[os.fsencode(path)] = (*_times(about), file.oid)
        return file

    def _load(self) -> _Stamps:
        if self._known is None:
            kept = self._store.get(self._key) if self._store is not None else None
            try:
                self._known = msgspec.msgpack.decode(kept, type=_Stamps) if kept else {}
            except msgspec.DecodeError:
                self._known = {}
        return self._known


def _times(about: os.stat_result) -> tuple[int, int, int, int]:
    return about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino
