"""What a repository's commits say of its files: how often each changed, and which changed together.

Only what a given commit holds, never what came after it, and every age is counted from that commit's time: the same
commit says the same for ever, whoever asks, when, and whatever was cached before.
"""

import hashlib
import os
import zlib
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, chain
from typing import Protocol, TypeVar

import msgspec

from branchline.git.log import changed_files, newest_commits, time_of
from branchline.git.repo import Repo

COMMITS = 4000
"""How many commits count, newest first, merges left out."""
TOGETHER = range(2, 21)
"""Files of a commit that says which files belong together; a larger one is a sweep through the code."""
HALF_LIFE = 365.0 * 86_400
"""Seconds after which a change counts half."""
_VERSION = "2"
_NOTHING: Mapping[int, float] = {}
_Kept = TypeVar("_Kept")


class Store(Protocol):
    """A cache of bytes by key; it may forget."""

    def get(self, key: str) -> bytes | None:
        """What was put last, or None."""

    def put(self, key: str, value: bytes) -> None:
        """Keep a value."""


class _Changes(msgspec.Struct, frozen=True, array_like=True):
    """Which files each commit changed: positions in `names`, which are NUL-terminated."""

    names: bytes
    commits: dict[str, list[int]]


class _Summary(msgspec.Struct, frozen=True, array_like=True):
    """All that a query needs of one commit's history, as packed arrays; files are positions in `names`.

    `churn` is float64, one a file. Commits of TOGETHER files follow one another: `weights` (float64) has one a commit,
    `starts` where its files begin in `members` (uint32, both). `held_starts` and `held` turn that round: the commits of
    each file.
    """

    names: bytes
    churn: bytes
    weights: bytes
    starts: bytes
    members: bytes
    held_starts: bytes
    held: bytes


class History:
    """The history of one tree's files. A file is a number, its position in the paths that were asked for."""

    def __init__(self, paths: Sequence[str], summary: _Summary | None = None, prefix: str = "") -> None:
        """Use `history_of`."""
        self.churn = array("d", bytes(8 * len(paths)))
        """By file: the number of its changes, one of a year before the commit counting half."""
        self._summary = summary
        self._name_of: dict[int, int] = {}
        self._file_of: dict[int, int] = {}
        if summary is not None:
            files = {prefix + path: file for file, path in enumerate(paths)}
            churn = array("d", summary.churn)
            for name, path in enumerate(_names(summary.names)):
                file = files.get(path)
                if file is not None:
                    self.churn[file] = churn[name]
                    self._name_of[file], self._file_of[name] = name, file

    def changed_with(self, file: int) -> Mapping[int, float]:
        """The files that changed in the same commits, each with the sum of 1 / (files of the commit - 1), aged alike.

        Commits of 2 to 20 files count.
        """
        name = self._name_of.get(file)
        if self._summary is None or name is None:
            return _NOTHING
        found: dict[int, float] = {}
        weights, starts = memoryview(self._summary.weights).cast("d"), memoryview(self._summary.starts).cast("I")
        members = memoryview(self._summary.members).cast("I")
        at = memoryview(self._summary.held_starts).cast("I")
        for commit in memoryview(self._summary.held).cast("I")[at[name] : at[name + 1]]:
            for other in members[starts[commit] : starts[commit + 1]]:
                found[other] = found.get(other, 0.0) + weights[commit]
        return {self._file_of[other]: found[other] for other in found if other != name and other in self._file_of}


def history_of(repo: Repo, commit: str, paths: Sequence[str], store: Store, prefix: str = "") -> History:
    """What the newest COMMITS commits that `commit` holds say of `paths`; of no commit (""), nothing.

    `prefix`: what comes before a path to make it one of the repository ("lib/"). What a commit says is kept in
    `store`; a later commit then costs only the commits in between. A root commit, and so the last one of a shallow
    clone, brings files and changes none. Objects that are missing end the history there. Never an error.
    """
    if not commit:
        return History(paths)
    key = f"history/{_VERSION}/{_depth(repo)}{commit}"
    summary = _unpacked(store.get(key), _Summary)
    if summary is None:
        summary, whole = _summary_of(repo, commit, store)
        if whole:
            store.put(key, _packed(summary))
    return History(paths, summary, prefix)


def _depth(repo: Repo) -> str:
    """Tells a history from the same one before it was deepened."""
    if not repo.is_shallow():
        return ""
    return hashlib.sha256((repo.common_dir / "shallow").read_bytes()).hexdigest()[:16] + "/"


def _summary_of(repo: Repo, commit: str, store: Store) -> tuple[_Summary, bool]:
    """The summary, and whether nothing was missing."""
    stamped, whole = newest_commits(repo, commit, COMMITS)
    key = f"changes/{_VERSION}/{_depth(repo)}"
    kept = _unpacked(store.get(key), _Changes) or _Changes(b"", {})
    known = list(_names(kept.names))
    files = {commit: [known[file] for file in kept.commits[commit]] for commit, _ in stamped if commit in kept.commits}
    missing = [commit for commit, _ in stamped if commit not in files]
    if missing:
        found, complete = changed_files(repo, missing)
        files |= found
        whole = whole and complete
    log = [(when, files.get(commit, [])) for commit, when in stamped]
    numbers = _numbered(names for _, names in log)
    if missing and whole:
        rows = {commit: [numbers[name] for name in names] for (commit, _), (_, names) in zip(stamped, log, strict=True)}
        store.put(key, _packed(_Changes(_joined(numbers), rows)))
    head = time_of(repo, commit)
    return _summarised(
        [(max(head - when, 0), [numbers[name] for name in names]) for when, names in log], numbers
    ), whole


def _summarised(log: Sequence[tuple[int, Sequence[int]]], numbers: Mapping[str, int]) -> _Summary:
    """`log`: of each commit, newest first, its age in seconds and its files."""
    churn, weights, together = array("d", bytes(8 * len(numbers))), array("d"), []
    for age, files in log:
        decay = 0.5 ** (age / HALF_LIFE)
        for file in files:
            churn[file] += decay
        if len(files) in TOGETHER:
            weights.append(decay / (len(files) - 1))
            together.append(files)
    held: list[list[int]] = [[] for _ in numbers]
    for position, files in enumerate(together):
        for file in files:
            held[file].append(position)
    return _Summary(
        _joined(numbers),
        churn.tobytes(),
        weights.tobytes(),
        *(part.tobytes() for rows in (together, held) for part in _rows(rows)),
    )


def _numbered(lists: Iterable[Iterable[str]]) -> dict[str, int]:
    return {name: number for number, name in enumerate(dict.fromkeys(chain.from_iterable(lists)))}


def _rows(rows: Sequence[Sequence[int]]) -> tuple["array[int]", "array[int]"]:
    return array("I", accumulate(map(len, rows), initial=0)), array("I", chain.from_iterable(rows))


def _joined(names: Iterable[str]) -> bytes:
    return os.fsencode("".join(f"{name}\0" for name in names))


def _names(joined: bytes) -> Iterator[str]:
    return iter(os.fsdecode(joined).split("\0")[:-1])


def _packed(value: _Changes | _Summary) -> bytes:
    return zlib.compress(msgspec.msgpack.encode(value), 1)


def _unpacked(data: bytes | None, kind: type[_Kept]) -> _Kept | None:
    """The value; None without one and for rubbish."""
    if data is None:
        return None
    try:
        return msgspec.msgpack.decode(zlib.decompress(data), type=kind)
    except (zlib.error, msgspec.MsgspecError):
        return None
