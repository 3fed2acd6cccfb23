"""JavaScript and TypeScript: relative modules, `tsconfig` paths, packages of the same repository."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from branchline.context.code.analysis import Import
from branchline.context.code.resolve.places import Entries, Places, below, folder_of, joined
from branchline.context.code.resolve.relaxed_json import members, texts

CONFIG = re.compile(r"(?:.*/)?(?:(?:tsconfig|jsconfig)[^/]*\.json|package\.json)")
_ENDINGS = (".ts", ".tsx", ".d.ts", ".js", ".jsx", ".mjs", ".cjs", ".mts", ".cts", ".vue", ".svelte", ".json")
_WRITTEN = {".js": (".ts", ".tsx", ".d.ts", ".jsx"), ".jsx": (".tsx",), ".mjs": (".mts",), ".cjs": (".cts",)}
_BUILT = re.compile(r"(^|/)(dist|build|lib|out|esm|cjs)(/(esm|cjs|types))?/")
_CHAIN = 8
_MOST = 500


class Alias:
    """A pattern with at most one `*`, and the paths that it stands for, where `*` is what it matched."""

    def __init__(self, pattern: str, paths: Iterable[str]) -> None:
        self.before, self.star, self.after = pattern.partition("*")
        self.paths = tuple(paths)

    def matched(self, module: str) -> Iterator[str]:
        """The paths that the alias makes of a module; none if it does not match."""
        if not self.star:
            yield from self.paths if module == self.before else ()
        elif module.startswith(self.before) and module.endswith(self.after):
            middle = module[len(self.before) : len(module) - len(self.after)]
            for path in self.paths:
                yield path.replace("*", middle, 1)


class JavaScript:
    """Modules of a tree of JavaScript, TypeScript, Vue and Svelte."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._entries = Entries(places, self._module)
        self._found: dict[tuple[str, str], int | None] = {}
        self._packages: dict[str, str] = {}
        self._exports: dict[str, list[Alias]] = {}
        self._aliases: dict[str, list[Alias]] = {}
        for path in places.configs:
            if CONFIG.fullmatch(path):
                self._configure(path)

    def targets(self, file: int, imports: Sequence[Import]) -> Iterator[int]:
        """See `Family`."""
        for one in imports:
            found = self._module(file, one.module)
            if found is None:
                continue
            names = [name for name in one.names if name not in ("*", "default")]
            if names and self._places.paths[found].rpartition("/")[2].startswith("index."):
                yield from (self._entries.follow(found, name) for name in names)
            else:
                yield found

    def _module(self, file: int, module: str) -> int | None:
        folder = folder_of(self._places.paths[file])
        key = (folder, module)
        if key not in self._found:
            self._found[key] = self._searched(folder, module.partition("?")[0])
        return self._found[key]

    def _searched(self, folder: str, module: str) -> int | None:
        if module.startswith("."):
            return self._at(joined(folder, module))
        for place in self._places.ancestors(below(folder, "x")):
            for alias in self._aliases.get(place, ()):
                for path in alias.matched(module):
                    if (found := self._at(path)) is not None:
                        return found
        if module.startswith(("@/", "~/")):
            return self._from_source(folder, module[2:])
        return self._from_package(module)

    def _from_source(self, folder: str, rest: str) -> int | None:
        """What bundlers set up by habit: `@/x` is `src/x`, or `x`, of a folder around the file."""
        for place in self._places.ancestors(below(folder, "x")):
            for base in (below(place, "src"), place):
                if (found := self._at(joined(base, rest))) is not None:
                    return found
        return None

    def _from_package(self, module: str) -> int | None:
        parts = module.split("/", 2)
        name = "/".join(parts[: 2 if module.startswith("@") else 1])
        if name not in self._packages:
            return None
        for alias in self._exports[name]:
            for path in alias.matched(module):
                if (found := self._at(path)) is not None:
                    return found
        folder, rest = self._packages[name], module[len(name) + 1 :]
        return next(
            (
                found
                for base in (folder, below(folder, "src"))
                if (found := self._at(joined(base, rest or "index"))) is not None
            ),
            None,
        )

    def _at(self, path: str | None) -> int | None:
        """The file of a path as a module is written: its ending left out, or that of what it is compiled to."""
        if path is None:
            return None
        number = self._places.number
        if path in number:
            return number[path]
        for ending in _ENDINGS:
            if (full := path + ending) in number:
                return number[full]
        bare, dot, last = path.rpartition(".")
        written = _WRITTEN.get(dot + last, ()) if "/" not in last else ()
        inner = (below(path, "index") + ending for ending in _ENDINGS)
        return self._places.first((*(bare + ending for ending in written), *inner))

    def _configure(self, path: str) -> None:
        folder = folder_of(path)
        found = self._aliases.setdefault(folder, [])
        if not path.endswith("package.json"):
            found.extend(islice(self._paths_of(path, set()), _MOST))
            return
        settings = self._places.read_json(path)
        found.extend(islice(_mapped(settings.get("imports"), "", folder), _MOST))
        name = settings.get("name")
        if isinstance(name, str) and name and name not in self._packages:
            self._packages[name] = folder
            exports = settings.get("exports")
            subpaths = exports if any(key.startswith(".") for key in members(exports)) else {".": exports}
            mains = [settings.get(key) for key in ("source", "module", "main", "types")]
            plain = Alias(name, _sources(folder, mains))
            self._exports[name] = [*islice(_mapped(subpaths, name, folder), _MOST), plain]

    def _paths_of(self, path: str, seen: set[str]) -> Iterator[Alias]:
        """The aliases of a `tsconfig`, after them those of the ones that it extends."""
        if path not in self._places.configs or path in seen or len(seen) > _CHAIN:
            return
        seen.add(path)
        settings = self._places.read_json(path)
        options = members(settings.get("compilerOptions"))
        folder = folder_of(path)
        base_url = options.get("baseUrl")
        base = joined(folder, base_url) if isinstance(base_url, str) else folder
        if base is not None:
            for pattern, paths in members(options.get("paths")).items():
                yield Alias(pattern, [full for text in texts(paths) if (full := joined(base, text)) is not None])
            if base_url is not None:
                yield Alias("*", [below(base, "*")])
        for other in texts(settings.get("extends")):
            inner = joined(folder, other) or ""
            yield from self._paths_of(inner if inner.endswith(".json") else f"{inner}.json", seen)


def _mapped(value: Any, name: str, folder: str) -> Iterator[Alias]:
    """The `imports` or `exports` of a package."""
    for key, paths in members(value).items():
        yield Alias(name + key.removeprefix("."), _sources(folder, texts(paths)))


def _sources(folder: str, paths: Iterable[Any]) -> list[str]:
    """Where the sources of some built files are likely to be."""
    found: list[str] = []
    for path in paths:
        if isinstance(path, str) and (full := joined(folder, path)) is not None:
            inner = full[len(folder) :].lstrip("/")
            for other in (inner, _BUILT.sub(r"\1src/", inner, count=1), _BUILT.sub(r"\1", inner, count=1)):
                found += [below(folder, other), below(folder, other.removesuffix(".js").removesuffix(".d.ts"))]
    return list(dict.fromkeys(found))
