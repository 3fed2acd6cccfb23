"""The files of a tree as resolution sees them: by path, by the end of their path, and by what they define."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from posixpath import dirname, join, normpath

from branchline.context.code.analysis import Definition

COMMON = 200
"""A name that more files have says nothing."""
USUAL = frozenset(("", "src", "lib", "libs", "python", "include"))
"""Folders that languages look into for what is written without the rest of its path; the root of the tree is ""."""
_CONFIG = 1 << 20  # bytes: what is larger was not written by hand


class Places:
    """The files of one tree. Every file is added before anything is resolved.

    `definers`: the files that define a name at their top level.
    """

    def __init__(self, paths: Sequence[str], configs: Mapping[str, bytes]) -> None:
        self.paths = paths
        self.configs = {path: configs[path] for path in sorted(configs) if len(configs[path]) <= _CONFIG}
        self.number = {path: file for file, path in enumerate(paths)}
        self.definers = defaultdict[str, list[int]](list)

    def add(self, file: int, definitions: Iterable[Definition]) -> None:
        """Note what a file defines."""
        for name in {one.name for one in definitions if not one.parent and one.kind != "impl"}:
            self.definers[name].append(file)

    def first(self, candidates: Iterable[str]) -> int | None:
        """The first of some paths that is a file."""
        return next((self.number[path] for path in candidates if path in self.number), None)

    def definer(self, entry: int, name: str) -> int:
        """Of a file that stands for its folder, the file in there that alone defines a name; else the file itself."""
        files = self.definers.get(name, ())
        if entry in files or len(files) > COMMON:
            return entry
        start = join(dirname(self.paths[entry]), "")
        found = [file for file in files if self.paths[file].startswith(start)]
        return found[0] if len(found) == 1 else entry


class Ends:
    """Paths, each with its files, by how they end."""

    def __init__(self) -> None:
        self.files = defaultdict[str, list[int]](list)
        self._by_last = defaultdict[str, set[str]](set)

    def add(self, path: str, file: int) -> None:
        """Note a file of a path."""
        self.files[path].append(file)
        self._by_last[path.rpartition("/")[2]].add(path)

    def ending(self, suffix: str) -> list[str]:
        """The paths that are `suffix` or end in it, whole components of it; none of a very common name."""
        found = self._by_last.get(suffix.rpartition("/")[2], ())
        return [path for path in found if f"/{path}".endswith(f"/{suffix}")] if len(found) <= COMMON else []


def modules(paths: Iterable[str], endings: tuple[str, ...], entries: Iterable[str] = ()) -> Ends:
    """The files of some endings by their path without it; what stands for its folder by that folder.

    `entries`: the names of those, as `__init__`.
    """
    found = Ends()
    for file, path in enumerate(paths):
        if path.endswith(endings):
            module = path.rpartition(".")[0]
            folder, _, name = module.rpartition("/")
            found.add(folder if name in entries else module, file)
    return found


def nearest(candidates: Sequence[str], origin: str) -> str:
    """The one of some paths, one at least, that shares most folders with another; the shorter path of two such."""
    nearer = ([path for path in candidates if path.startswith(join(folder, ""))] for folder in ancestors(origin))
    return min(next(filter(None, nearer)), key=lambda path: (len(path), path))


def ancestors(path: str) -> Iterator[str]:
    """The folders that a path is in, the innermost first, the root "" last."""
    while path:
        path = dirname(path)
        yield path


def joined(folder: str, relative: str) -> str | None:
    """A path from a folder, `.` and `..` resolved ("" is the root); None when it leaves the tree."""
    path = normpath(join(folder, relative))
    if path == ".":
        return ""
    return None if relative.startswith("/") or path.startswith("../") or path == ".." else path
