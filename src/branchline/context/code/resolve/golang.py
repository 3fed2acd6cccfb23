"""Go: an import is a folder, found by the module path of a `go.mod`."""

import re
from collections.abc import Iterator, Sequence

from branchline.context.code.analysis import Import
from branchline.context.code.resolve.places import WIDE, Places, below, folder_of, shared

CONFIG = re.compile(r"(?:.*/)?go\.mod")
_MODULE = re.compile(rb'^[ \t]*module[ \t]+["`]?([^\s"`]+)', re.MULTILINE)


class Go:
    """Packages of the Go modules of a tree."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._modules: dict[str, list[str]] = {}
        for path, data in places.configs.items():
            if CONFIG.fullmatch(path) and (module := _MODULE.search(data)):
                self._modules.setdefault(module[1].decode(errors="replace"), []).append(folder_of(path))
        self._files: dict[str, tuple[int, ...]] = {}

    def targets(self, file: int, imports: Sequence[Import]) -> Iterator[int]:
        """See `Family`."""
        for one in imports:
            for folder in self._folders(self._places.paths[file], one.module):
                if found := self._package(folder):
                    yield from found
                    break

    def _folders(self, origin: str, path: str) -> Iterator[str]:
        """The folders that an import path may be, by the longest module path that begins it."""
        module, rest = path, ""
        while module:
            for root in sorted(
                self._modules.get(module, ()), key=lambda root: (-shared(below(root, "x"), origin), root)
            ):
                yield below(root, rest) if rest else root
            module, _, last = module.rpartition("/")
            rest = f"{last}/{rest}" if rest else last

    def _package(self, folder: str) -> tuple[int, ...]:
        """The files of a package, the one of its name first, tests left out."""
        if folder not in self._files:
            paths = self._places.paths
            main = below(folder, folder.rpartition("/")[2] + ".go")
            found = [
                file
                for file in self._places.folders.get(folder, ())
                if paths[file].endswith(".go") and not paths[file].endswith("_test.go")
            ]
            self._files[folder] = tuple(sorted(found, key=lambda file: (paths[file] != main, file))[:WIDE])
        return self._files[folder]
