"""C#: a namespace is the files that declare it, or the folder that is called like it."""

from collections.abc import Iterator, Sequence

from branchline.context.code.analysis import Import
from branchline.context.code.resolve.places import WIDE, Places, folder_of, shared


class CSharp:
    """Namespaces of a tree."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._by_name: dict[str, list[str]] = {}
        for folder, files in places.folders.items():
            if any(places.paths[file].endswith(".cs") for file in files):
                for name in {folder.rpartition("/")[2], folder.replace("/", ".").rpartition(".")[2]}:
                    self._by_name.setdefault(name, []).append(folder)
        self._tops = {part for folder in places.folders for part in _dotted(folder).split(".")}
        self._found: dict[tuple[str, str], tuple[int, ...]] = {}

    def targets(self, file: int, imports: Sequence[Import]) -> Iterator[int]:
        """See `Family`."""
        origin = self._places.paths[file]
        for one in imports:
            for name in one.names or ("",):
                full = f"{one.module}.{name}" if name else one.module
                key = (folder_of(origin), full)
                if key not in self._found:
                    self._found[key] = tuple(self._named(origin, full))
                yield from self._found[key]

    def _named(self, origin: str, full: str) -> Sequence[int]:
        if full.partition(".")[0] == "System":  # what a project declares there fills in for older platforms
            return ()
        declared = self._places.definers.get(full) or self._in_folder(origin, full) or self._type(full)
        near = sorted(declared, key=lambda file: (-shared(self._places.paths[file], origin), file))
        return near[:WIDE]

    def _type(self, full: str) -> Sequence[int]:
        """The file of a type, for `using static` and for other names of it."""
        namespace, _, name = full.rpartition(".")
        files = self._places.definers.get(name, ()) if namespace.partition(".")[0] in self._tops else ()
        return files if len(files) == 1 else ()

    def _in_folder(self, origin: str, full: str) -> Sequence[int]:
        """The files of the nearest folder whose path ends like the namespace, whole or without its first part."""
        top, _, rest = full.partition(".")
        folders = self._by_name.get(full.rpartition(".")[2], ())
        found = [one for one in folders if f".{_dotted(one)}".endswith("." + full)] or [
            one for one in folders if rest and f".{_dotted(one)}".endswith("." + rest) and _below(one, top)
        ]
        if not found:
            return ()
        best = min(found, key=lambda one: (-shared(one + "/x", origin), len(one), one))
        return [file for file in self._places.folders[best] if self._places.paths[file].endswith(".cs")]


def _dotted(folder: str) -> str:
    return folder.replace("/", ".")


def _below(folder: str, top: str) -> bool:
    """Whether the folder is in one that begins with a namespace's first part, as `Polly.Core/Retry` for `Polly`."""
    return any(part.partition(".")[0] == top for part in folder.split("/"))
