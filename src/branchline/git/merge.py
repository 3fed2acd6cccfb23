"""Merge two commits without a checkout, settle what a declared policy settles, and never pick a side silently."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from branchline.errors import GitError
from branchline.git.command import words
from branchline.git.json_merge import Clash, merge_texts
from branchline.git.objects import ObjectStore, fields
from branchline.process.temporary import temporary_folder

Strategy = Literal["union", "json"]
Matcher = Callable[[str, str], bool]

_CONTENT = "CONFLICT (contents)"
_REGULAR = ("100644", "100755")


@dataclass(frozen=True, slots=True)
class Merged:
    """The merge is clean: its tree, and the paths that a strategy settled, sorted."""

    tree: str
    resolved: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Conflicted:
    """The merge is not clean: its tree with conflict markers (never to be shipped), and the paths in conflict."""

    tree: str
    paths: tuple[str, ...]


@dataclass(slots=True)
class _Conflict:
    """What git says about one path: (mode, blob) by stage - 1 base, 2 ours, 3 theirs - and the kinds of conflict."""

    stages: dict[str, tuple[str, str]] = field(default_factory=dict)
    kinds: set[str] = field(default_factory=set)

    @property
    def mode(self) -> str | None:
        """The file's mode if all that conflicts is the content of one regular file, else None."""
        modes = {mode for mode, _ in self.stages.values()}
        plain = self.kinds == {_CONTENT} and {"2", "3"} <= self.stages.keys() and len(modes) == 1
        return next((mode for mode in modes if plain and mode in _REGULAR), None)


def merge_trees(
    store: ObjectStore, ours: str, theirs: str, strategies: Sequence[tuple[str, Strategy]], matcher: Matcher
) -> Merged | Conflicted:
    """Merge commit `theirs` into commit `ours`. The first strategy whose glob matches a path in conflict is tried.

    `matcher(glob, path)` says whether it matches. `.gitattributes` and configured merge drivers have no say.
    Commits without a common ancestor raise GitError.
    """
    tree, conflicts = _merge(store, ours, theirs)
    if conflicts is None:
        return Merged(tree)
    settled: dict[str, tuple[str, str] | None] = {}
    for path, conflict in conflicts.items():
        strategy = next((name for glob, name in strategies if matcher(glob, path)), None)
        data = _settle(store, conflict, strategy) if strategy is not None and conflict.mode else None
        if data is not None and conflict.mode:
            settled[path] = (conflict.mode, store.write_blob(data))
    final = store.edit_tree(tree, settled) if settled else tree
    left = tuple(path for path in conflicts if path not in settled)
    return Conflicted(final, left) if left or not settled else Merged(final, tuple(settled))


def without(store: ObjectStore, tip: str, commit: str, base: str) -> Merged | Conflicted:
    """The tree of commit `tip`, which holds `commit`, less what `commit` changed since `base`.

    A three-way merge; three commits of ours bring about its base, because only git 2.40 lets one name it.
    """
    root = store.commit(store.tree_of(commit), [], "merge base", 0)
    ours, theirs = (store.commit(store.tree_of(one), [root], "side", 0) for one in (tip, base))
    tree, conflicts = _merge(store, ours, theirs)
    return Merged(tree) if conflicts is None else Conflicted(tree, tuple(conflicts))


def forecast(store: ObjectStore, commits: Mapping[str, str]) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return (name, name, paths) of each pair of commits that would conflict, in the order of `commits`.

    A forecast: pairs that changed nothing near each other since their common base are not tried.
    """
    if len(commits) < 2:
        return []
    base = store.content.text("merge-base", "--octopus", *commits.values())
    touched = {name: {change.path for change in store.changes(base, tip)} for name, tip in commits.items()}
    above = {name: {parent for path in paths for parent in _folders(path)} for name, paths in touched.items()}
    found = []
    for one, other in combinations(commits, 2):
        near = touched[one] & (touched[other] | above[other]) or above[one] & touched[other]
        conflicts = _merge(store, commits[one], commits[other])[1] if near else None
        if conflicts is not None:
            found.append((one, other, tuple(conflicts)))
    return found


def _merge(store: ObjectStore, ours: str, theirs: str) -> tuple[str, dict[str, _Conflict] | None]:
    """Return the merged tree and what conflicts, by path; None where the merge is clean."""
    done = store.content.status_of("merge-tree", "--write-tree", "-z", "--messages", ours, theirs)
    if done.code not in (0, 1):
        raise GitError(f"git cannot merge {theirs} into {ours}: {words(done)}")
    output = fields(done.stdout)
    tree = next(output)
    return tree, None if done.code == 0 else _conflicts(output)


def _conflicts(output: Iterator[str]) -> dict[str, _Conflict]:
    found: dict[str, _Conflict] = {}
    for line in iter(lambda: next(output), ""):
        meta, path = line.split("\t", 1)
        mode, oid, stage = meta.split()
        found.setdefault(path, _Conflict()).stages[stage] = (mode, oid)
    for count in output:
        paths = [next(output) for _ in range(int(count))]
        kind, _ = next(output), next(output)
        for path in paths if kind.startswith("CONFLICT") else ():
            found.setdefault(path, _Conflict()).kinds.add(kind)
    return dict(sorted(found.items(), key=lambda item: os.fsencode(item[0])))


def _settle(store: ObjectStore, conflict: _Conflict, strategy: Strategy) -> bytes | None:
    sides = [conflict.stages.get(stage, ("", ""))[1] for stage in ("1", "2", "3")]
    base, ours, theirs = (store.read_blob(oid) if oid else b"" for oid in sides)
    if strategy == "union":
        return _union(store, base, ours, theirs)
    try:
        return merge_texts(base.decode(), ours.decode(), theirs.decode()).encode()
    except (Clash, UnicodeError):
        return None


def _union(store: ObjectStore, base: bytes, ours: bytes, theirs: bytes) -> bytes | None:
    with TemporaryDirectory(prefix="branchline-merge-", dir=temporary_folder()) as folder:
        files = [Path(folder) / name for name in ("ours", "base", "theirs")]
        for file, data in zip(files, (ours, base, theirs), strict=True):
            file.write_bytes(data)
        done = store.content.status_of("merge-file", "--quiet", "--union", "--stdout", "--", *map(str, files))
    return done.stdout if done.code == 0 else None


def _folders(path: str) -> Iterator[str]:
    parts = path.split("/")
    return ("/".join(parts[:depth]) for depth in range(1, len(parts)))
