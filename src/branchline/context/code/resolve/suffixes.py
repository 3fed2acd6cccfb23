"""Most languages: a path from the importing file, else the file or folder whose path ends most like what is written."""

from collections.abc import Iterator, Sequence
from functools import cache
from posixpath import dirname, join

from branchline.context.code.analysis import Import
from branchline.context.code.resolve.places import USUAL, Ends, Places, ancestors, joined, modules, nearest
from branchline.core.rules.linear import compiled

WIDE = 12
"""How many files one import of a whole folder links to."""
_DROPPED = 2  # last components of a name that may be in a file: a class, its member
_SEPARATOR = compiled(r"::|[.\\]")
_QUOTED = compiled(r"""["']([^"']*)["']""")
_FROM_HERE = ("quoted", "require", "include", "load", "autoload")
"""Kinds of imports that are paths, perhaps from the importing file."""
_BY_PATH = (*_FROM_HERE, "angled")
_ENTRIES = ("mod", "lib", "main")  # of Rust


class Suffixes:
    """The files of one family.

    `use a::b::C` may mean `src/a/b/c.rs`, `src/a/b.rs` or `src/a/b/mod.rs`; `import "github.com/x/y/api/v1"` the Go
    files in `api/v1`; `#include "net/io.h"` both `net/io.h` and `net/io.c`.
    """

    def __init__(self, places: Places, endings: tuple[str, ...]) -> None:
        self._paths = places.paths
        self._endings = endings
        self._modules = modules(places.paths, endings, _ENTRIES if ".rs" in endings else ())
        self._folders = Ends()
        for module, files in self._modules.files.items():
            for file in files:
                if not module.endswith("_test"):
                    self._folders.add(dirname(self._paths[file]), file)
        is_go = ".go" in endings
        self._by_path = _BY_PATH if not is_go else ("import",)
        self._whole = (self._folders,) if is_go else (self._modules, self._folders)
        self._found = cache(self._ending)

    def targets(self, file: int, imports: Sequence[Import]) -> Iterator[int]:
        """The files that the imports of a file mean, in any order, perhaps repeated."""
        origin = self._paths[file]
        for one in imports:
            for written in filter(None, self._written(one)):
                base, names = _start(origin, one.kind, written)
                found = self._from(base, names) if base is not None else ()
                if not found and (base is None or one.kind.startswith(_FROM_HERE)):
                    found = self._found(dirname(origin), written, one.kind)
                yield from found

    def _written(self, one: Import) -> Iterator[str]:
        """The paths that an import may mean, without an ending and a `*`."""
        if one.kind.startswith(self._by_path):
            path = (_QUOTED.findall(one.module) or [one.module])[-1].lstrip("/")
            yield next((path.removesuffix(end) for end in self._endings if path.endswith(end)), path)
        else:
            for name in one.names or ("",):
                yield compiled(r"/[*_]$").sub("", _SEPARATOR.sub("/", f"{one.module}/{name}").strip("/"))

    def _from(self, folder: str, names: Sequence[str]) -> Sequence[int]:
        """The files of the longest part of a name that is a module."""
        for end in range(len(names), 0, -1):
            path = joined(folder, "/".join(names[:end]))
            if path is not None and path in self._modules.files:
                return self._modules.files[path]
        return ()

    def _ending(self, folder: str, written: str, kind: str) -> Sequence[int]:
        """The files of the module, or else of the folder, that ends in most of what is written.

        One component alone says which file is meant in quotes and in a usual place only.
        """
        names = written.split("/")
        dropped = 0 if kind.startswith(self._by_path) else _DROPPED
        for end in range(len(names), max(len(names) - 1 - dropped, 0), -1):
            for start in range(end):
                suffix = "/".join(names[start:end])
                for places in self._whole if end == len(names) else (self._modules,):
                    is_clear = "/" in suffix or kind == "quoted"
                    ending = places.ending(suffix)
                    found = [path for path in ending if is_clear or dirname(path).rpartition("/")[2] in USUAL]
                    if found:
                        best = suffix if suffix in found else nearest(found, join(folder, "x"))
                        return places.files[best][:WIDE]
        return ()


def _start(origin: str, kind: str, written: str) -> tuple[str | None, list[str]]:
    """The folder that a name counts from, and what is left of the name; None: it may be anywhere."""
    names, module = written.split("/"), origin.rpartition(".")[0]
    inside = dirname(module) if module.rpartition("/")[2] in _ENTRIES else module
    if kind == "mod":
        return inside, names
    if names[0] == "crate":
        return next(folder for folder in ancestors(origin) if folder.rpartition("/")[2] in USUAL), names[1:]
    if names[0] in ("self", "super"):
        while names and names[0] in ("self", "super"):
            inside = dirname(inside) if names[0] == "super" else inside
            names = names[1:]
        return inside, names
    return (dirname(origin) if kind.startswith(_FROM_HERE) else None), names
