"""Rust: `mod x;`, and `use` paths from the crate, the module, its parents, or another crate of the workspace."""

import re
import tomllib
from collections.abc import Iterator, Sequence
from typing import Any

from branchline.context.code.analysis import Import
from branchline.context.code.resolve.places import Entries, Places, below, folder_of, joined
from branchline.context.code.resolve.relaxed_json import members

CONFIG = re.compile(r"(?:.*/)?Cargo\.toml")
_ROOTS = ("lib.rs", "main.rs")
_ENTRIES = ("mod.rs", *_ROOTS)


class Rust:
    """Modules of the crates of a tree. A module is a file and the folder that its inner modules are in."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._entries = Entries(places, self._meant, _offers)
        self._crates: dict[str, str] = {}
        self._packages: set[str] = set()
        self._found: dict[tuple[str, str], int | None] = {}
        for path, data in places.configs.items():
            if CONFIG.fullmatch(path):
                self._add(folder_of(path), _read(data))

    def targets(self, file: int, imports: Sequence[Import]) -> Iterator[int]:
        """See `Family`."""
        for one in imports:
            for path in _paths(one):
                found = self._declared(file, path) if one.kind == "mod" else self._meant(file, path)
                if found is not None:
                    yield found

    def _add(self, folder: str, manifest: dict[str, Any]) -> None:
        name = members(manifest.get("package")).get("name")
        if not isinstance(name, str):
            return
        self._packages.add(folder)
        library = members(manifest.get("lib"))
        path = library.get("path")
        root = joined(folder, path) if isinstance(path, str) else below(folder, "src/lib.rs")
        if root is not None and root in self._places.number:
            called = library.get("name")
            self._crates.setdefault((called if isinstance(called, str) else name).replace("-", "_"), root)

    def _declared(self, file: int, name: str) -> int | None:
        """The file of `mod name;`."""
        path = self._places.paths[file]
        found = self._child(_inside(path), name)
        return self._child(folder_of(path), name) if found is None else found

    def _child(self, folder: str, name: str) -> int | None:
        return self._places.first((below(folder, f"{name}.rs"), below(folder, f"{name}/mod.rs")))

    def _meant(self, file: int, path: str) -> int | None:
        """The file of the longest part of a path that is a module, or the one that it passes the next name on from."""
        origin = self._places.paths[file]
        key = (origin, path)
        if key not in self._found:
            self._found[key] = None
            self._found[key] = self._searched(file, origin, path.split("::"))
        return self._found[key]

    def _searched(self, file: int, origin: str, names: list[str]) -> int | None:
        first = names[0]
        if first in ("self", "super"):
            return self._around(file, origin, names)
        if first == "crate":
            root = self._root(origin)
            entry = self._places.first(below(root, name) for name in _ROOTS)
            return self._descend(entry, root, names[1:])
        if self._child(_inside(origin), first) is not None:
            return self._descend(None, _inside(origin), names)
        if first in self._crates:
            root = self._crates[first]
            return self._descend(self._places.number[root], folder_of(root), names[1:])
        return self._descend(None, self._root(origin), names) if len(names) > 1 else None

    def _around(self, file: int, origin: str, names: list[str]) -> int | None:
        """`super` is the file itself as far as that defines the name: then it was written in an inner module."""
        folder, entry, rest = _inside(origin), file, list(names)
        while rest and rest[0] in ("self", "super"):
            if rest.pop(0) == "super":
                folder = folder_of(folder)
                outer = (f"{folder}.rs", *(below(folder, name) for name in _ENTRIES))
                found = self._places.first(outer)
                if found is None:
                    return None
                entry = found
        if not rest or rest[0] == "*" or file in self._places.definers.get(rest[0], ()):
            return None
        return self._descend(entry, folder, rest)

    def _descend(self, entry: int | None, folder: str, names: list[str]) -> int | None:
        for name in names:
            inner = self._child(folder, name)
            if inner is None:
                return entry if entry is None or name == "*" else self._entries.follow(entry, name)
            entry, folder = inner, below(folder, name)
        return entry

    def _root(self, origin: str) -> str:
        """The folder of the crate that a file is in: that of its `lib.rs` or `main.rs`, or its part of a package."""
        last = folder_of(origin)
        for folder in self._places.ancestors(origin):
            if any(below(folder, name) in self._places.number for name in _ROOTS):
                return folder
            if folder in self._packages:
                return last
            last = folder
        return folder_of(origin)


def _inside(path: str) -> str:
    """The folder of a module's inner modules."""
    folder, _, name = path.rpartition("/")
    return folder if name in _ENTRIES else path.removesuffix(".rs")


def _paths(one: Import) -> list[str]:
    module = one.module.removeprefix("::")
    paths = [f"{module}::{name}" if module else name for name in one.names] or [module]
    return [path.replace("r#", "") for path in paths]


def _offers(one: Import) -> Iterator[tuple[str, str]]:
    for path in _paths(one) if one.kind != "mod" else ():
        yield path.rpartition("::")[2], path


def _read(data: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(data.decode())
    except (ValueError, RecursionError):
        return {}
