"""Small trees to resolve imports in, written as {path: its imports}."""

from collections.abc import Mapping, Sequence

from branchline.context.code.analysis import Analysis, Definition, Import
from branchline.context.code.resolve import resolve

Files = Mapping[str, Sequence[Import]]
Named = Mapping[str, Sequence[str | Definition]]


def take(module: str, *names: str, kind: str = "import") -> Import:
    return Import(module, names, kind)


def define(name: str, kind: str = "class", parent: str = "") -> Definition:
    return Definition(name, kind, 1, 1, 1, parent)


def analysis(language: str, definitions: Sequence[Definition], imports: Sequence[Import]) -> Analysis:
    """What is known of a file that only resolution looks at."""
    return Analysis(language, "", 0, "", (), tuple(definitions), tuple(imports))


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
    analyses = []
    for path in paths:
        names = (defined or {}).get(path, ())
        definitions = tuple(define(name) if isinstance(name, str) else name for name in names)
        analyses.append(analysis(language, definitions, tuple(files.get(path, ()))))
    found = resolve(paths, analyses, {path: text.encode() for path, text in texts.items()})
    return {path: [paths[target] for target in targets] for path, targets in zip(paths, found, strict=True) if targets}
