"""Python: `import a.b`, `from a.b import c`, `from ..a import b`, wherever the source roots are."""

from collections.abc import Iterator, Sequence

from branchline.context.code.analysis import Import
from branchline.context.code.resolve.places import COMMON, Entries, Places, below, folder_of

_ENDINGS = (".py", "/__init__.py", ".pyx", ".pyi", "/__init__.pyi")
_ROOTS = frozenset(("src", "lib", "libs", "python"))


class Python:
    """Modules of a tree. A module is a file; a package is its `__init__`."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._by_tail = self._tails()
        self._entries = Entries(places, self._module)
        self._candidates: dict[str, list[tuple[str, int]]] = {}
        self._found: dict[tuple[str, str], int | None] = {}

    def targets(self, file: int, imports: Sequence[Import]) -> Iterator[int]:
        """See `Family`."""
        for one in imports:
            found = self._module(file, one.module)
            if found is not None and (not one.names or "*" in one.names or not self._is_entry(found)):
                yield found
            elif one.names:
                dot = "" if one.module.endswith(".") else "."
                for name in one.names:
                    inner = self._exactly(file, f"{one.module}{dot}{name}")
                    if inner is not None:
                        yield inner
                    elif found is not None:
                        yield self._entries.follow(found, name)

    def _module(self, file: int, module: str) -> int | None:
        """The module, or the longest package of its name that is there."""
        while module.strip("."):
            found = self._exactly(file, module)
            if found is not None:
                return found
            module = module[: max(module.rfind("."), 0)]
        return self._exactly(file, module) if module else None

    def _exactly(self, file: int, module: str) -> int | None:
        origin = self._places.paths[file]
        key = (folder_of(origin), module)
        if key not in self._found:
            self._found[key] = (self._relative if module.startswith(".") else self._absolute)(origin, module)
        return self._found[key]

    def _relative(self, origin: str, module: str) -> int | None:
        rest = module.lstrip(".")
        folder = folder_of(origin)
        for _ in range(len(module) - len(rest) - 1):
            if not folder:
                return None
            folder = folder_of(folder)
        path = below(folder, rest.replace(".", "/")) if rest else folder
        return self._places.first(f"{path}{ending}" if path else ending.lstrip("/") for ending in _ENDINGS)

    def _absolute(self, origin: str, module: str) -> int | None:
        found = [file for root, file in self._rooted(module) if self._importable(root, module, origin)]
        return self._places.nearest(found, origin)

    def _rooted(self, module: str) -> list[tuple[str, int]]:
        """The files that end in the module's path, each with the folder that it would be imported from.

        None of a very common name.
        """
        if module not in self._candidates:
            tail = "/".join(module.split(".")[-2:])
            path = module.replace(".", "/")
            self._candidates[module] = []
            found = self._by_tail.get(tail, ())
            for bare, file in found if len(found) <= COMMON else ():
                if bare == path or bare.endswith("/" + path):
                    root = bare[: -len(path)].removesuffix("/")
                    if not self._is_package(root):
                        self._candidates[module].append((root, file))
        return self._candidates[module]

    def _importable(self, root: str, module: str, origin: str) -> bool:
        """Whether a root counts: a lone module must be in a usual place, or at the importing file's own root."""
        top, _, rest = module.partition(".")
        if rest or not root or root.rpartition("/")[2] in _ROOTS or origin.startswith(root + "/"):
            return True
        return self._is_package(below(root, top))

    def _is_package(self, folder: str) -> bool:
        return below(folder, "__init__.py") in self._places.number

    def _is_entry(self, file: int) -> bool:
        return self._places.paths[file].rpartition("/")[2].startswith("__init__.")

    def _tails(self) -> dict[str, list[tuple[str, int]]]:
        """Module paths without their ending, by their last component and by their last two."""
        found: dict[str, list[tuple[str, int]]] = {}
        for file, path in enumerate(self._places.paths):
            bare, _, ending = path.rpartition(".")
            if ending in ("py", "pyx", "pyi"):
                bare = bare.removesuffix("/__init__")
                folder, _, last = bare.rpartition("/")
                found.setdefault(last, []).append((bare, file))
                if folder:
                    found.setdefault(f"{folder.rpartition('/')[2]}/{last}", []).append((bare, file))
        return found
