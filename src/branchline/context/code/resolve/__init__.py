"""Which files of the tree an import means, for each family of languages: paths and configuration in, numbers out."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from itertools import islice

from branchline.context.code.analysis import Analysis
from branchline.context.code.resolve.javascript import CONFIG, JavaScript
from branchline.context.code.resolve.places import Places
from branchline.context.code.resolve.python import Python
from branchline.context.code.resolve.suffixes import Suffixes

MOST = 200
"""How many files one file imports at most."""
_IMPORTS, _MODULE = 2000, 400  # of a file; characters: what is more was not written by hand

_ENDINGS = {
    "c cpp objc": ".c .h .cc .hh .cpp .hpp .cxx .hxx .m .mm",
    "csharp": ".cs",
    "go": ".go",
    "java kotlin scala groovy": ".java .kt .kts .scala .groovy",
    "php": ".php",
    "ruby": ".rb",
    "rust": ".rs",
}
_FAMILIES: dict[Callable[[Places], JavaScript | Python | Suffixes], str] = {
    JavaScript: "javascript typescript tsx jsx vue svelte",
    Python: "python cython",
    **{partial(Suffixes, endings=tuple(ends.split())): languages for languages, ends in _ENDINGS.items()},
}
_FAMILY_OF = {language: family for family, languages in _FAMILIES.items() for language in languages.split()}


def wanted_configs(paths: Iterable[str]) -> list[str]:
    """The files among some paths whose content `resolve` asks for."""
    return [path for path in paths if path.endswith(".json") and CONFIG.fullmatch(path)]


def resolve(paths: Sequence[str], analyses: Iterable[Analysis], configs: Mapping[str, bytes]) -> list[tuple[int, ...]]:
    """For each file the files that it imports: sorted, each once, never itself, at most MOST.

    `analyses`: one a path; a language without rules of its own imports nothing. `configs`: the content of
    `wanted_configs(paths)`; what is missing or broken is done without. An import of something outside the tree, or of
    what cannot be told, is left out. Never raises.
    """
    places = Places(paths, configs)
    importing = {}
    for file, known in enumerate(analyses):
        if known.language in _FAMILY_OF:
            importing[file] = known.language, [one for one in known.imports[:_IMPORTS] if len(one.module) <= _MODULE]
            places.add(file, known.definitions)
    families = cache(lambda family: family(places))
    found: list[tuple[int, ...]] = [()] * len(paths)
    for file, (language, imports) in importing.items():
        targets = dict.fromkeys(families(_FAMILY_OF[language]).targets(file, imports))
        targets.pop(file, None)
        found[file] = tuple(sorted(islice(targets, MOST)))
    return found
