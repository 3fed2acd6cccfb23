"""Merge two commits without a checkout, settle what a declared policy settles, and never pick a side silently."""

import json
import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

from branchline.core.rules.linear import compiled
from branchline.git.command import failed
from branchline.git.objects import EXECUTABLE, PLAIN, ObjectStore, attributes, fields, scratch_index
from branchline.process.temporary import temporary

Strategy = Literal["union", "json"]
StrategyOf = Callable[[str], Strategy | None]
Stages = dict[str, tuple[str, str]]  # (mode, blob): 1 base, 2 ours, 3 theirs

_ABSENT = object()
_CONTENT = "CONFLICT (contents)"
_REGULAR = (PLAIN, EXECUTABLE)
_BY_LINES = "Auto-merging"
_BUILT_IN = {"-": b"-merge", "union": b"merge=union"}


@dataclass(frozen=True, slots=True)
class Merged:
    """The merge is clean: its tree, and the paths that a strategy settled, sorted.

    `strange`: (path, driver) of what `.gitattributes` give to a driver that is not git's own; it was merged by lines.
    """

    tree: str
    resolved: tuple[str, ...] = ()
    strange: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Conflicted:
    """The merge is not clean: its tree with conflict markers (never to be shipped), and the paths in conflict."""

    tree: str
    paths: tuple[str, ...]


def merge_trees(  # noqa: PLR0913 - keyword-only data
    store: ObjectStore,
    ours: str,
    theirs: str,
    strategy_of: StrategyOf,
    *,
    base: str = "",
    declared: str = "",
    union: bool = True,
) -> Merged | Conflicted:
    """Merge commit `theirs` into commit `ours`. What conflicts is settled by its path's strategy, if that can.

    `base`: what both are compared with, in place of their best common ancestor. `declared`: the tree whose
    `.gitattributes` count, as git means them (gitattributes(5), "merge"), but where a path has a strategy; without
    `union` only those that forbid a merge by lines. Commits without a common ancestor raise GitError.
    """
    drivers = _drivers(store, declared, ours, theirs) if declared else {}
    known = _BUILT_IN.keys() if union else _BUILT_IN.keys() - {"union"}
    heeded = {path: driver for path, driver in drivers.items() if strategy_of(path) is None and driver in known}
    if base:  # three commits of ours, because only git 2.40 lets one name a merge base
        root = store.commit(store.tree_of(base), [], "merge base", 0)
        ours, theirs = (store.commit(store.tree_of(side), [root], "side", 0) for side in (ours, theirs))
    tree, conflicts, by_lines = _merge(store, ours, theirs, heeded)
    strange = tuple((path, drivers[path]) for path in by_lines if drivers.get(path, "-") not in _BUILT_IN)
    settled: dict[str, tuple[str, str] | None] = {}
    for path, stages in conflicts.items():
        strategy = strategy_of(path)
        data = _settle(store, stages, strategy) if strategy is not None and stages else None
        if data is not None:
            settled[path] = (stages["2"][0], store.write_blob(data))
    final = store.edit_tree(tree, settled) if settled else tree
    left = tuple(path for path in conflicts if path not in settled)
    return Conflicted(final, left) if left else Merged(final, tuple(settled), strange)


def forecast(
    store: ObjectStore, commits: Mapping[str, str], merge: Callable[[str, str], Merged | Conflicted]
) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return (name, name, paths) of each pair of commits that would conflict, in the order of `commits`.

    A forecast: pairs that changed nothing near each other since their common base are not tried.
    """
    if len(commits) < 2:
        return []
    base = store.content.text("merge-base", "--octopus", *commits.values())
    touched = {name: {change.path for change in store.changes(base, tip)} for name, tip in commits.items()}
    above = {
        name: {path[: at.start()] for path in paths for at in compiled("/").finditer(path)}
        for name, paths in touched.items()
    }
    found = []
    for one, other in combinations(commits, 2):
        near = touched[one] & (touched[other] | above[other]) or above[one] & touched[other]
        merged = merge(commits[one], commits[other]) if near else None
        if isinstance(merged, Conflicted):
            found.append((one, other, merged.paths))
    return found


def _drivers(store: ObjectStore, declared: str, ours: str, theirs: str) -> dict[str, str]:
    """{path: how it is to be merged} of what differs and has a word on it in `.gitattributes`; `-`: not by lines."""
    paths = [change.path for change in store.changes(ours, theirs)]
    if not paths:
        return {}
    with scratch_index(store.content) as git:
        git.call("read-tree", store.tree_of(declared))
        return {
            path: "-" if value in {"unset", "binary"} else value
            for path, value in attributes(git, paths, "--cached", "merge")
            if value not in {"unspecified", "set", "text"}
        }


def _merge(
    store: ObjectStore, ours: str, theirs: str, drivers: Mapping[str, str]
) -> tuple[str, dict[str, Stages], list[str]]:
    """Return the merged tree, the paths in conflict, and the paths whose content git had to merge.

    Of a path where all that conflicts is the content of one regular file its stages are told, of others none.
    """
    with temporary() as folder:
        declared = folder / "attributes"
        declared.write_bytes(b"".join(_line(path, driver) for path, driver in drivers.items()))
        setting = ("-c", f"core.attributesFile={declared}")
        done = store.content.status_of(*setting, "merge-tree", "--write-tree", "-z", "--messages", ours, theirs)
    if done.code not in (0, 1):
        raise failed(f"git cannot merge {theirs} into {ours}", done)
    output = fields(done.stdout)
    tree, merged = next(output), list[str]()
    stages, kinds = defaultdict[str, Stages](dict), defaultdict[str, set[str]](set)
    for line in iter(lambda: next(output), ""):
        meta, path = line.split("\t", 1)
        mode, oid, stage = meta.split()
        stages[path][stage] = (mode, oid)
    for count in output:
        paths = [next(output) for _ in range(int(count))]
        kind, _ = next(output), next(output)
        merged += paths if kind == _BY_LINES else []
        for path in paths if kind.startswith("CONFLICT") else ():
            kinds[path].add(kind)
    found = {}
    for path in sorted({*stages, *kinds}, key=os.fsencode):
        modes = {mode for mode, _ in stages[path].values()}
        one_file = kinds[path] == {_CONTENT} and {"2", "3"} <= stages[path].keys() and len(modes) == 1
        found[path] = stages[path] if one_file and modes <= {*_REGULAR} else {}
    return tree, found, merged


def _line(path: str, driver: str) -> bytes:
    """The line of an attributes file that is about this path alone: a pattern, quoted as git quotes one."""
    pattern = compiled(rb"[*?\[\]\\ ]").sub(rb"\\\g<0>", os.fsencode(path))
    quoted = compiled(rb'["\\]').sub(rb"\\\g<0>", pattern)
    quoted = compiled(rb"[\x00-\x1f\x7f]").sub(lambda found: b"\\%03o" % found[0][0], quoted)
    return b'"/' + quoted + b'" ' + _BUILT_IN[driver] + b"\n"


def _settle(store: ObjectStore, stages: Stages, strategy: Strategy) -> bytes | None:
    sides = [stages.get(stage, ("", ""))[1] for stage in ("1", "2", "3")]
    base, ours, theirs = (store.read_blob(oid) if oid else b"" for oid in sides)
    if strategy == "union":
        with temporary() as folder:
            files = [folder / name for name in ("ours", "base", "theirs")]
            for file, data in zip(files, (ours, base, theirs), strict=True):
                file.write_bytes(data)
            done = store.content.status_of("merge-file", "--quiet", "--union", "--stdout", "--", *map(str, files))
        return done.stdout if done.code == 0 else None
    try:
        return merge_texts(base.decode(), ours.decode(), theirs.decode()).encode()
    except (Clash, UnicodeError):
        return None


class Clash(Exception):
    """Both sides changed one value, each in its own way, or the text cannot be rewritten as it was."""


def merge_texts(base: str, ours: str, theirs: str) -> str:
    """Merge three JSON documents key by key, laid out as `ours` is (indentation, end of file). An empty base is `{}`.

    Raises Clash, also for what is not plain JSON: repeated keys, NaN, numbers that a float does not hold exactly.
    """
    try:
        value = merge3(_parse(base.strip() or "{}"), _parse(ours), _parse(theirs))
    except (ValueError, RecursionError) as error:
        raise Clash(str(error)) from error
    indent = compiled(r"\A\s*+[\[{]\r?\n([ \t]+)").match(ours)
    comma = ", " if not indent and compiled(r",\s").search(ours) else ","
    colon = ": " if indent or compiled(r'":\s').search(ours) else ":"
    layout = indent[1] if indent else None
    text = json.dumps(value, indent=layout, separators=(comma, colon), ensure_ascii=ours.isascii())
    return text + ours[len(ours.rstrip()) :]


def merge3(base: Any, ours: Any, theirs: Any) -> Any:
    """Merge parsed values: objects key by key, anything else whole; ours' keys come first. Raises Clash."""
    if _same(ours, theirs) or _same(base, theirs):
        return ours
    if _same(base, ours):
        return theirs
    if not (isinstance(ours, dict) and isinstance(theirs, dict)):
        raise Clash("both sides changed one value")
    before = base if isinstance(base, dict) else {}
    sides = (before, ours, theirs)
    merged = {key: merge3(*(side.get(key, _ABSENT) for side in sides)) for key in {**ours, **theirs}}
    return {key: value for key, value in merged.items() if value is not _ABSENT}


def _same(one: Any, other: Any) -> bool:
    if one is _ABSENT or other is _ABSENT:
        return one is other
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)  # unlike ==, tells 1 from true


def _parse(text: str) -> Any:
    def members(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise Clash("a key is repeated")
        return found

    def exact(digits: str) -> float:
        if repr(float(digits)) != digits:  # NaN and Infinity are no JSON, and are not written so either
            raise Clash(f"the number {digits} would be rewritten")
        return float(digits)

    return json.loads(text, object_pairs_hook=members, parse_float=exact, parse_constant=exact)
