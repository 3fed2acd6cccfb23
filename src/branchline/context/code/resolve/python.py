"""Python: `import a.b`, `from a.b import c`, `from ..a import b`, wherever the source roots are."""

from collections.abc import Iterator, Sequence
from functools import cache
from posixpath import dirname, join

from branchline.context.code.analysis import Import
from branchline.context.code.resolve.places import USUAL, Places, modules, nearest


class Python:
    """Modules of a tree. A module is a file; a package is its `__init__`."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._modules = modules(places.paths, (".py", ".pyx", ".pyi"), ("__init__",))
        self._found = cache(self._exactly)

    def targets(self, file: int, imports: Sequence[Import]) -> Iterator[int]:
        """The files that the imports of a file mean, in any order, perhaps repeated."""
        folder = dirname(self._places.paths[file])
        for one in imports:
            found = self._longest(folder, one.module)
            is_entry = found is not None and self._places.paths[found].rpartition("/")[2].startswith("__init__.")
            if found is not None and (not one.names or "*" in one.names or not is_entry):
                yield found
                continue
            dot = "" if one.module.endswith(".") else "."
            for name in one.names:
                inner = self._found(folder, f"{one.module}{dot}{name}")
                if inner is not None:
                    yield inner
                elif found is not None:
                    yield self._places.definer(found, name)

    def _longest(self, folder: str, module: str) -> int | None:
        """The module, or the longest package of its name that is there."""
        while module:
            found = self._found(folder, module)
            if found is not None or not module.strip("."):
                return found
            module = module[: max(module.rfind("."), 0)]
        return None

    def _exactly(self, folder: str, module: str) -> int | None:
        rest = module.lstrip(".")
        path: str | None = rest.replace(".", "/")
        if rest != module:
            for _ in range(len(module) - len(rest) - 1):
                if not folder:
                    return None
                folder = dirname(folder)
            path = join(folder, path) if path else folder
        elif path:
            ending = [other for other in self._modules.ending(path) if self._is_importable(other, path, folder)]
            path = nearest(ending, join(folder, "x")) if ending else None
        files = self._modules.files.get(path) if path is not None else None
        return files[0] if files else None

    def _is_importable(self, module: str, path: str, folder: str) -> bool:
        """Whether a module's root counts: it is no package, and for a lone name it is usual or around the importing file."""
        root = module.removesuffix(path).rstrip("/")
        if join(root, "__init__.py") in self._places.number:
            return False
        usual = "/" in path or root.rpartition("/")[2] in USUAL or f"{folder}/".startswith(f"{root}/")
        return usual or join(module, "__init__.py") in self._places.number
