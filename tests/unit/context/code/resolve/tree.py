"""Small trees to resolve imports in, written as {path: its imports}."""

from collections.abc import Mapping, Sequence

from branchline.context.code.analysis import Definition, Import
from branchline.context.code.resolve import resolve

Files = Mapping[str, Sequence[Import]]
Named = Mapping[str, Sequence[str | Definition]]


def take(module: str, *names: str, kind: str = "import") -> Import:
    return Import(module, names, kind)


def define(name: str, kind: str = "class", parent: str = "") -> Definition:
    return Definition(name, kind, 1, 1, 1, parent)


def links(
    language: str,
    files: Files,
    *,
    defined: Named | None = None,
    configs: Mapping[str, str] | None = None,
) -> dict[str, list[str]]:
    """The files that each file imports, those that import none left out. Every file is of the one language."""
    texts = configs or {}
    paths = sorted({*files, *texts, *(defined or {})})
    outlines = []
    for number, path in enumerate(paths):
        names = (defined or {}).get(path, ())
        definitions = tuple(define(name) if isinstance(name, str) else name for name in names)
        outlines.append((number, language, definitions, tuple(files.get(path, ()))))
    found = resolve(paths, outlines, {path: text.encode() for path, text in texts.items()})
    return {path: [paths[target] for target in targets] for path, targets in zip(paths, found, strict=True) if targets}
