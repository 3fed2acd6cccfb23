"""Java, Kotlin, Scala and Groovy: a class is a file at the path of its package."""

from collections.abc import Iterator, Sequence

from branchline.context.code.analysis import Import
from branchline.context.code.resolve.places import COMMON, WIDE, Places, folder_of

_ENDINGS = (".java", ".kt", ".scala", ".groovy", ".kts")


class Jvm:
    """Classes and packages of a tree, under whatever source folders."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._found: dict[tuple[str, str], Sequence[int]] = {}
        self._by_name: dict[str, list[str]] = {}
        for folder in places.folders:
            self._by_name.setdefault(folder.rpartition("/")[2], []).append(folder)

    def targets(self, file: int, imports: Sequence[Import]) -> Iterator[int]:
        """See `Family`."""
        for one in imports:
            for name in one.names or ("",):
                full = f"{one.module}.{name}" if name else one.module
                origin = self._places.paths[file]
                key = (folder_of(origin), full)
                if key not in self._found:
                    bare = full.removesuffix(".*").removesuffix("._")
                    self._found[key] = self._class(bare, origin) or self._package(bare, origin)
                yield from self._found[key]

    def _class(self, full: str, origin: str) -> Sequence[int]:
        """The file of a class, of the one that a nested class or a static member is in, or of a name in its package."""
        path = full.replace(".", "/")
        while "/" in path:
            found = self._places.nearest([file for end in _ENDINGS for file in self._places.ending(path + end)], origin)
            if found is not None:
                return (found,)
            package, _, name = path.rpartition("/")
            files = self._places.definers.get(name, ())
            named = [file for file in files if self._holds(file, package)] if len(files) <= COMMON else ()
            if len(named) == 1:
                return named
            path = package
        return ()

    def _holds(self, file: int, package: str) -> bool:
        return f"/{folder_of(self._places.paths[file])}".endswith("/" + package)

    def _package(self, full: str, origin: str) -> Sequence[int]:
        """Files of a package, of its folder nearest to the file that imports it."""
        path = full.replace(".", "/")
        if "/" not in path:
            return ()
        folders = [one for one in self._by_name.get(path.rpartition("/")[2], ()) if f"/{one}".endswith("/" + path)]
        files = [
            file
            for folder in folders
            for file in self._places.folders[folder]
            if self._places.paths[file].endswith(_ENDINGS)
        ]
        near = self._places.nearest(files, origin)
        home = "" if near is None else folder_of(self._places.paths[near])
        return [file for file in files if folder_of(self._places.paths[file]) == home][:WIDE]
