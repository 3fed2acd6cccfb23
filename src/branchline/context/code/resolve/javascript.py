"""JavaScript and TypeScript: relative modules, `tsconfig` paths, packages of the same repository."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from posixpath import dirname, join
from typing import Any

import msgspec

from branchline.context.code.analysis import Import
from branchline.context.code.resolve.places import Places, ancestors, joined
from branchline.core.rules.linear import compiled

CONFIG = compiled(r"\A(?:.*/)?(?:(?:tsconfig|jsconfig)[^/]*\.json|package\.json)")
_ENDINGS = (".ts", ".tsx", ".d.ts", ".js", ".jsx", ".mjs", ".cjs", ".mts", ".cts", ".vue", ".svelte", ".json")
_COMPILED = compiled(r"\.[cm]?jsx?$")
_MOST = 500  # aliases of one file
_STRINGS_AND_COMMENTS = compiled(rb'"(?:\\.|[^"\\])*"?|//[^\n]*|/\*.*?(?:\*/|\Z)', re.DOTALL)
_STRINGS_AND_LAST_COMMAS = compiled(rb'"(?:\\.|[^"\\])*"?|,(?=\s*[}\]])', re.DOTALL)


class JavaScript:
    """Modules of a tree of JavaScript, TypeScript, Vue and Svelte."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._packages: dict[str, str] = {}
        self._aliases = defaultdict[str, list[tuple[str, str]]](list)
        """By the folder in which they hold: a pattern with at most one `*`, and the path that it stands for."""
        for path, data in places.configs.items():
            if CONFIG.fullmatch(path):
                folder, settings = dirname(path), read_json(data)
                if path.endswith("package.json"):
                    self._packages.setdefault(str(settings.get("name") or ""), folder)
                else:
                    self._aliases[folder] += list(_aliases(folder, members(settings.get("compilerOptions"))))[:_MOST]
        self._found = cache(self._module)

    def targets(self, file: int, imports: Sequence[Import]) -> Iterator[int]:
        """The files that the imports of a file mean, in any order, perhaps repeated."""
        for one in imports:
            found = self._found(dirname(self._places.paths[file]), one.module.partition("?")[0])
            if found is None:
                continue
            names = [name for name in one.names if name not in ("*", "default")]
            if names and self._places.paths[found].rpartition("/")[2].startswith("index."):
                yield from (self._places.definer(found, name) for name in names)
            else:
                yield found

    def _module(self, folder: str, module: str) -> int | None:
        if module.startswith("."):
            return self._at(joined(folder, module))
        return next((found for path in self._likely(folder, module) if (found := self._at(path)) is not None), None)

    def _likely(self, folder: str, module: str) -> Iterator[str | None]:
        """Where a module may be by aliases, by the habits of bundlers (`@/x` is `src/x`), and in a package of its name."""
        for place in ancestors(join(folder, "x")):
            for pattern, path in self._aliases.get(place, ()):
                before, star, after = pattern.partition("*")
                if star and module.startswith(before) and module.endswith(after):
                    yield path.replace("*", module[len(before) : len(module) - len(after)], 1)
                elif module == pattern:
                    yield path
        for place in ancestors(join(folder, "x")) if module.startswith(("@/", "~/")) else ():
            yield joined(join(place, "src"), module[2:])
            yield joined(place, module[2:])
        parts = module.split("/", 2)
        name = "/".join(parts[: 2 if module.startswith("@") else 1])
        if name in self._packages:
            rest = module[len(name) + 1 :] or "index"
            yield joined(self._packages[name], rest)
            yield joined(join(self._packages[name], "src"), rest)

    def _at(self, path: str | None) -> int | None:
        """The file of a path as a module is written: its ending left out, or that of what it is compiled to."""
        if path is None:
            return None
        bases = dict.fromkeys((path, _COMPILED.sub("", path), f"{path}/index" if path else "index"))
        written = (path, *(base + ending for base in bases for ending in _ENDINGS))
        return next((file for one in written if (file := self._places.number.get(one)) is not None), None)


def _aliases(folder: str, options: dict[str, object]) -> Iterator[tuple[str, str]]:
    """The aliases of the compiler's options in a `tsconfig`."""
    base_url = options.get("baseUrl")
    base = joined(folder, base_url) if isinstance(base_url, str) else folder
    if base is None:
        return
    for pattern, paths in members(options.get("paths")).items():
        for path in paths if isinstance(paths, list) else ():
            if isinstance(path, str) and (full := joined(base, path)) is not None:
                yield pattern, full
    if base_url is not None:
        yield "*", join(base, "*")


def read_json(data: bytes) -> dict[str, Any]:
    """The members of a JSON object that may have comments and last commas; none for anything else."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    data = _STRINGS_AND_COMMENTS.sub(lambda found: found[0] if found[0][:1] == b'"' else b" ", data)
    data = _STRINGS_AND_LAST_COMMAS.sub(lambda found: found[0] if found[0][:1] == b'"' else b"", data)
    try:
        read = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def members(value: Any) -> dict[str, Any]:
    """A JSON object as it is; none of anything else."""
    return value if isinstance(value, dict) else {}
