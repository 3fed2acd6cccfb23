"""Ruby: `require_relative`, and `require` and `autoload` from a `lib` folder or the folders around the file."""

from collections.abc import Iterator, Sequence

from branchline.context.code.analysis import Import
from branchline.context.code.resolve.places import Places, folder_of, joined


class Ruby:
    """Ruby files of a tree."""

    def __init__(self, places: Places) -> None:
        self._places = places

    def targets(self, file: int, imports: Sequence[Import]) -> Iterator[int]:
        """See `Family`."""
        origin = self._places.paths[file]
        for one in imports:
            relative = one.kind == "require_relative" or one.module.startswith(("./", "../"))
            found = self._beside(origin, one.module) if relative else self._loaded(origin, one.module)
            if found is not None:
                yield found

    def _beside(self, origin: str, module: str) -> int | None:
        path = joined(folder_of(origin), module)
        return None if path is None else self._places.first((f"{path}.rb", path))

    def _loaded(self, origin: str, module: str) -> int | None:
        """The file in a load path: some `lib`, or a folder that the asking file is in."""
        name = module.removesuffix(".rb") + ".rb"
        found = self._places.ending(name)
        usual = [file for file in found if self._in_load_path(self._places.paths[file], name, origin)]
        if not usual and "/" in module and len(found) == 1:
            usual = found
        return self._places.nearest(usual, origin)

    def _in_load_path(self, path: str, name: str, origin: str) -> bool:
        folders = path[: -len(name)].removesuffix("/").split("/")
        return folders[-1] == "lib" or ("lib" not in folders and "/".join(folders) in self._places.ancestors(origin))
