"""PHP: a class is a file where `composer.json` says (PSR-4), or at a path that ends like its name."""

import re
from collections.abc import Iterator, Sequence

from branchline.context.code.analysis import Import
from branchline.context.code.resolve.places import Places, below, folder_of, joined
from branchline.context.code.resolve.relaxed_json import members, read_json, texts

CONFIG = re.compile(r"(?:.*/)?composer\.json")
_QUOTED = re.compile(r"""["']([^"']*)["']""")


class Php:
    """Classes and files of a tree."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._folders: dict[str, list[str]] = {}
        for path, data in places.configs.items():
            if CONFIG.fullmatch(path):
                folder, settings = folder_of(path), read_json(data)
                for section in ("autoload", "autoload-dev"):
                    for prefix, roots in members(members(settings.get(section)).get("psr-4")).items():
                        found = self._folders.setdefault(prefix.strip("\\").replace("\\", "/"), [])
                        found += [full for root in texts(roots) if (full := joined(folder, root)) is not None]

    def targets(self, file: int, imports: Sequence[Import]) -> Iterator[int]:
        """See `Family`."""
        origin = self._places.paths[file]
        for one in imports:
            for name in one.names or ("",):
                if one.kind.startswith(("require", "include")):
                    found = self._included(origin, one.module)
                else:
                    found = self._class(origin, f"{one.module}\\{name}" if name else one.module)
                if found is not None:
                    yield found

    def _included(self, origin: str, written: str) -> int | None:
        """The file of a path, from the file's own folder, from one around it, or the only one that ends so."""
        path = (_QUOTED.findall(written) or [written])[-1].lstrip("/")
        for folder in self._places.ancestors(origin):
            full = joined(folder, path)
            if full in self._places.number:
                return self._places.number[full]
        found = self._places.ending(path) if path else []
        return found[0] if len(found) == 1 else None

    def _class(self, origin: str, full: str) -> int | None:
        path = full.strip("\\").replace("\\", "/")
        prefix, rest = path, ""
        while prefix:
            found = self._places.first(f"{below(folder, rest)}.php" for folder in self._folders.get(prefix, ()))
            if found is not None:
                return found
            prefix, _, last = prefix.rpartition("/")
            rest = f"{last}/{rest}" if rest else last
        return self._by_suffix(origin, path)

    def _by_suffix(self, origin: str, path: str) -> int | None:
        """The file that ends like the longest part of the name, two components of it at least."""
        while "/" in path:
            found = self._places.nearest(self._places.ending(f"{path}.php"), origin)
            if found is not None:
                return found
            path = path.partition("/")[2]
        return None
