"""Which files of the tree an import means, for each family of languages: paths and configuration in, numbers out."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import islice

from branchline.context.code.analysis import Definition, Import
from branchline.context.code.resolve import c, csharp, golang, javascript, jvm, php, python, ruby, rust
from branchline.context.code.resolve.places import Family, Places

MOST = 200
"""How many files one file imports at most."""
Outline = tuple[int, str, Sequence[Definition], Sequence[Import]]
"""A file's number, its language, what it defines and what it imports."""

_FAMILIES: dict[Callable[[Places], Family], tuple[str, ...]] = {
    c.C: ("c", "cpp", "objc"),
    csharp.CSharp: ("csharp",),
    golang.Go: ("go",),
    javascript.JavaScript: ("javascript", "typescript", "tsx", "jsx", "vue", "svelte"),
    jvm.Jvm: ("java", "kotlin", "scala", "groovy"),
    php.Php: ("php",),
    python.Python: ("python", "cython"),
    ruby.Ruby: ("ruby",),
    rust.Rust: ("rust",),
}
_FAMILY_OF = {language: family for family, languages in _FAMILIES.items() for language in languages}
_CONFIGS = (golang.CONFIG, javascript.CONFIG, php.CONFIG, rust.CONFIG)


def wanted_configs(paths: Iterable[str]) -> list[str]:
    """The files among some paths whose content `resolve` asks for."""
    likely = (path for path in paths if path.endswith(("go.mod", "Cargo.toml", ".json")))
    return [path for path in likely if any(config.fullmatch(path) for config in _CONFIGS)]


def resolve(paths: Sequence[str], outlines: Iterable[Outline], configs: Mapping[str, bytes]) -> list[tuple[int, ...]]:
    """For each file the files that it imports: sorted, each once, never itself, at most MOST.

    `outlines` come in any order; a language without rules of its own imports nothing. `configs`: the content of
    `wanted_configs(paths)`; what is missing or broken is done without. An import of something outside the tree, or of
    what cannot be told, is left out. Never raises.
    """
    places = Places(paths, configs)
    languages = {}
    for file, language, definitions, imports in outlines:
        if language in _FAMILY_OF:
            languages[file] = language
            places.add(file, definitions, imports)
    families = cache(lambda family: family(places))
    found: list[tuple[int, ...]] = [()] * len(paths)
    for file in sorted(languages):
        targets = dict.fromkeys(families(_FAMILY_OF[languages[file]]).targets(file, places.imports[file]))
        targets.pop(file, None)
        found[file] = tuple(sorted(islice(targets, MOST)))
    return found
