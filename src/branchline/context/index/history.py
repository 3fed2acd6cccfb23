"""What a repository's commits say of its files: how often each changed, and which changed together.

Only what a given commit holds, never what came after it, and every age is counted from that commit's time: the same
commit says the same for ever, whoever asks, when, and whatever was cached before.
"""

import hashlib
import os
import zlib
from array import array
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Protocol

import msgspec

from branchline.git.objects import changed_files, newest_commits, time_of
from branchline.git.repo import Repo

COMMITS = 4000
"""How many commits count, newest first, merges left out."""
TOGETHER = range(2, 21)
"""Files of a commit that says which files belong together; a larger one is a sweep through the code."""
HALF_LIFE = 365.0 * 86_400
"""Seconds after which a change counts half."""
_VERSION = "3"


class Store(Protocol):
    """A cache of bytes by key; it may forget."""

    def get(self, key: str) -> bytes | None:
        """What was put last, or None."""

    def put(self, key: str, value: bytes) -> None:
        """Keep a value."""


class _Log(msgspec.Struct, frozen=True, array_like=True):
    """A commit's history: its time, the NUL-terminated `names` of files, and (commit, time, positions of its files)."""

    time: int = 0
    names: bytes = b""
    commits: list[tuple[str, int, list[int]]] = []

    def paths(self) -> list[str]:
        """The names of files."""
        return os.fsdecode(self.names).split("\0")[:-1]


_NOTHING = _Log()


class History:
    """The history of one tree's files. A file is a number, its position in the paths that were asked for."""

    def __init__(self, paths: Sequence[str], log: _Log = _NOTHING, prefix: str = "") -> None:
        """Use `history_of`."""
        self.churn = array("d", bytes(8 * len(paths)))
        """By file: the number of its changes, one of a year before the commit counting half."""
        self._together: list[tuple[float, list[int]]] = []
        self._held = defaultdict[int, list[int]](list)
        files = {prefix + path: file for file, path in enumerate(paths)}
        numbers = [files.get(name, -1) for name in log.paths()]
        for _, when, names in log.commits:
            decay = 0.5 ** (max(log.time - when, 0) / HALF_LIFE)
            known = [numbers[name] for name in names if numbers[name] >= 0]
            for file in known:
                self.churn[file] += decay
            if len(names) in TOGETHER:
                for file in known:
                    self._held[file].append(len(self._together))
                self._together.append((decay / (len(names) - 1), known))

    def changed_with(self, file: int) -> Mapping[int, float]:
        """The files that changed in the same commits, each with the sum of 1 / (files of the commit - 1), aged alike.

        Commits of 2 to 20 files count.
        """
        found: dict[int, float] = {}
        for commit in self._held.get(file, ()):
            weight, files = self._together[commit]
            for other in files:
                found[other] = found.get(other, 0.0) + weight
        found.pop(file, None)
        return found


def history_of(repo: Repo, commit: str, paths: Sequence[str], store: Store, prefix: str = "") -> History:
    """What the newest COMMITS commits that `commit` holds say of `paths`; of no commit (""), nothing.

    `prefix`: what comes before a path to make it one of the repository ("lib/"). What a commit says is kept in
    `store`; a later commit then costs only the commits in between. A root commit, and so the last one of a shallow
    clone, brings files and changes none. Objects that are missing end the history there. Never an error.
    """
    if not commit:
        return History(paths)
    depth = ""
    if repo.is_shallow():  # a history is another one after it was deepened
        depth = hashlib.sha256((repo.common_dir / "shallow").read_bytes()).hexdigest()[:16]
    key, newest = (f"history/{_VERSION}/{depth}/{name}" for name in (commit, "newest"))
    log = _unpacked(store.get(key))
    if log is None:
        log, is_whole = _read(repo, commit, _unpacked(store.get(newest)) or _NOTHING)
        if is_whole:
            packed = zlib.compress(msgspec.msgpack.encode(log), 1)
            store.put(key, packed)
            store.put(newest, packed)
    return History(paths, log, prefix)


def _read(repo: Repo, commit: str, known: _Log) -> tuple[_Log, bool]:
    """The log of a commit, and whether nothing was missing. What another log knows is not read again."""
    stamped, whole = newest_commits(repo, commit, COMMITS)
    names = known.paths()
    files = {one: [names[file] for file in held] for one, _, held in known.commits}
    missing = [one for one, _ in stamped if one not in files]
    if missing:
        found, complete = changed_files(repo, missing)
        files |= found
        whole = whole and complete
    numbers = defaultdict[str, int](count().__next__)
    rows = [(one, when, [numbers[name] for name in files.get(one, ())]) for one, when in stamped]
    joined = os.fsencode("".join(f"{name}\0" for name in numbers))
    return _Log(time_of(repo, commit), joined, rows), whole


def _unpacked(data: bytes | None) -> _Log | None:
    """The value; None without one and for rubbish."""
    try:
        return msgspec.msgpack.decode(zlib.decompress(data), type=_Log) if data else None
    except (zlib.error, msgspec.MsgspecError):
        return None
