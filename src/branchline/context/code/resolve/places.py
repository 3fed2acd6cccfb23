"""The files of a tree as resolution sees them: by path, by folder, by name, and by what they define and import."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from posixpath import commonprefix, normpath
from typing import Any, Protocol

from branchline.context.code.analysis import Definition, Import
from branchline.context.code.resolve.relaxed_json import read_json

WIDE = 12
"""How many files one import of a whole folder or namespace links to."""
COMMON = 200
"""A name that more files have says nothing."""
_IMPORTS, _MODULE, _CONFIG = 2000, 400, 1 << 20  # of a file; characters; bytes: what is larger was not written by hand
_DEEP = 40
_TEST = re.compile(r"(^|/)(tests?|specs?|__tests__|testdata|fixtures)/|(^|/)test_|[._]test\.|\.spec\.")


Offers = Iterable[tuple[str, str]]


class Family(Protocol):
    """Resolution of one family of languages."""

    def targets(self, file: int, imports: Sequence[Import]) -> Iterable[int]:
        """The files that the imports of a file mean, in any order, perhaps repeated."""


class Places:
    """The files of one tree. Every file is added before anything is resolved.

    `imports`: by file. `definers`: the files that define a name at their top level.
    """

    def __init__(self, paths: Sequence[str], configs: Mapping[str, bytes]) -> None:
        self.paths = paths
        self.configs = {path: configs[path] for path in sorted(configs) if len(configs[path]) <= _CONFIG}
        self._read: dict[str, dict[str, Any]] = {}
        self.number = {path: file for file, path in enumerate(paths)}
        self.imports: dict[int, Sequence[Import]] = {}
        self.definers: defaultdict[str, list[int]] = defaultdict(list)

    def add(self, file: int, definitions: Iterable[Definition], imports: Sequence[Import]) -> None:
        """Note what a file defines and imports."""
        self.imports[file] = [one for one in imports[:_IMPORTS] if len(one.module) <= _MODULE]
        for name in {one.name for one in definitions if not one.parent and one.kind != "impl"}:
            self.definers[name].append(file)

    @cached_property
    def folders(self) -> dict[str, list[int]]:
        """The files directly in each folder; the root is ""."""
        found: dict[str, list[int]] = {}
        for file, path in enumerate(self.paths):
            found.setdefault(path.rpartition("/")[0], []).append(file)
        return found

    @cached_property
    def named(self) -> dict[str, list[int]]:
        """The files of each base name."""
        found: dict[str, list[int]] = {}
        for file, path in enumerate(self.paths):
            found.setdefault(path.rpartition("/")[2], []).append(file)
        return found

    def first(self, candidates: Iterable[str | None]) -> int | None:
        """The first of some paths that is a file."""
        return next((self.number[path] for path in candidates if path in self.number), None)

    def ending(self, suffix: str) -> list[int]:
        """The files whose path is `suffix` or ends in it, whole components of it; none of a very common name."""
        found = self.named.get(suffix.rpartition("/")[2], ())
        if len(found) > COMMON:
            return []
        return [file for file in found if self.paths[file] == suffix or self.paths[file].endswith("/" + suffix)]

    def nearest(self, files: Sequence[int], origin: str) -> int | None:
        """The one of some files that shares most folders with the path `origin`; the shorter path of two such."""
        if len(files) < 2:
            return files[0] if files else None
        near = list(files)
        for folder in self.ancestors(origin):
            start = folder + "/" if folder else ""
            near = [file for file in files if self.paths[file].startswith(start)]
            if near:
                break
        return min(near, key=lambda file: (len(self.paths[file]), file))

    def definer(self, name: str, folder: str) -> int | None:
        """The file below a folder that alone defines a name there, tests left out of account."""
        start = folder + "/" if folder else ""
        files = self.definers.get(name, ())
        if len(files) > COMMON:
            return None
        found = [file for file in files if self.paths[file].startswith(start)]
        if len(found) > 1:
            found = [file for file in found if not _TEST.search(self.paths[file][len(start) :])]
        return found[0] if len(found) == 1 else None

    def read_json(self, path: str) -> dict[str, Any]:
        """The members of a configuration file; see `read_json`."""
        if path not in self._read:
            self._read[path] = read_json(self.configs[path])
        return self._read[path]

    def ancestors(self, path: str) -> Iterable[str]:
        """The folders that a path is in, the innermost first, the root "" last."""
        while path:
            path = path.rpartition("/")[0]
            yield path


def plainly(one: Import) -> Offers:
    """The names of an import, each with its module."""
    return ((name, one.module) for name in one.names)


class Entries:
    """What files that stand for a whole folder (`__init__.py`, `index.ts`, `mod.rs`) pass on from the files below it.

    `module(entry, name)`: the file that an import in the entry means; `offers(import)`: the names that an import makes
    known, each with the module that it is from.
    """

    def __init__(
        self, places: Places, module: Callable[[int, str], int | None], offers: Callable[[Import], Offers] = plainly
    ) -> None:
        self._places = places
        self._offers = offers
        self._module = module
        self._passed_on: dict[int, dict[str, str]] = {}
        self._found: dict[tuple[int, str], int] = {}
        self._depth = 0

    def follow(self, entry: int, name: str) -> int:
        """The file where a name that an entry offers is defined; the entry itself where that is not clear."""
        key = (entry, name)
        if key not in self._found:
            self._found[key] = entry  # what passes a name on in a circle, or too often, ends here
            self._depth += 1
            if self._depth < _DEEP:
                self._found[key] = self._definer(entry, name)
            self._depth -= 1
        return self._found[key]

    def _definer(self, entry: int, name: str) -> int:
        if entry in self._places.definers.get(name, ()):
            return entry
        if entry not in self._passed_on:
            imports = self._places.imports.get(entry, ())
            self._passed_on[entry] = {name: module for one in imports for name, module in self._offers(one)}
        module = self._passed_on[entry].get(name)
        if module is not None:
            target = self._module(entry, module)
            if target is not None and target != entry:
                return self.follow(target, name)
        found = self._places.definer(name, self._places.paths[entry].rpartition("/")[0])
        return entry if found is None else found


def shared(one: str, other: str) -> int:
    """How many leading folders two paths share."""
    return commonprefix((one, other)).count("/")


def joined(folder: str, relative: str) -> str | None:
    """A path from a folder, `.` and `..` resolved ("" is the root); None when it leaves the tree."""
    if relative.startswith("/"):
        return None
    path = normpath(f"{folder}/{relative}" if folder else relative)
    if path == ".":
        return ""
    return None if path.startswith("../") or path == ".." else path


def folder_of(path: str) -> str:
    """The folder that a path is in; "" for the root."""
    return path.rpartition("/")[0]


def below(folder: str, name: str) -> str:
    """The path of something in a folder, which may be the root ""."""
    return f"{folder}/{name}" if folder else name
