"""The ranking: a weighted sum of signals, each brought to 0..1, from the cheap ones to those that build on them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from heapq import nsmallest

from branchline.context import scores as signals
from branchline.context.index.indexed import IndexedCorpus, terms_in
from branchline.context.query import Query
from branchline.context.scores import Points, Sighting

WEIGHTS: dict[str, float] = {
    "lexical": 1.2, "title": 0.5, "compound": 0.8, "chunk": 1.5, "path": 1.0, "mention": 2.0, "trace": 1.2,
    "module": 1.2, "symbol": 0.5,
    "target": 4.0, "scope": 2.0, "churn": 0.4, "changed_with": 0.7, "referenced": 0.5, "imported": 0.6,
}  # fmt: skip
"""What full points of a signal are worth. Set by hand in round figures: which signals there are matters far more."""
ASIDE = frozenset({
    "doc", "docs", "example", "examples", "sample", "samples", "benchmark", "benchmarks", "bench", "asv_bench", "asv_benchmarks",
    "script", "scripts", "tools", "release", "bin", "ci", "utils", "build", "extras", "setup.py", "contrib",
})  # fmt: skip
"""First parts of paths that hold code about the code."""
LOOKED_INTO, SEEDS, RANKED = 80, 20, 5000
TOLD = 8  # matches of a signal in a file
_ENOUGH = {"mention": 1.0, "trace": 1.0, "module": 1.0, "symbol": 1.0}
"""How many points are full evidence, whatever other files have."""
RANKING_VERSION = "2"
_EARLY = ("lexical", "title", "compound", "path", "mention", "trace", "module", "symbol", "churn")


@dataclass(frozen=True, slots=True)
class Ranked:
    """A file of the tree with its score (0..1) and what each signal gave to it; `pieces`: (points, place of a chunk).

    `flag`: see Candidate.
    """

    file: int
    score: float
    breakdown: dict[str, float]
    pieces: tuple[tuple[float, int], ...]
    flag: str = ""


@dataclass(frozen=True, slots=True)
class Anchors:
    """Files that a request fixes: its targets, and those that may be changed. `related`: imports count."""

    targets: frozenset[int] = frozenset()
    scope: frozenset[int] = frozenset()
    related: bool = True


def rank(query: Query, corpus: IndexedCorpus, anchors: Anchors = Anchors()) -> list[Ranked]:
    """The files, at most RANKED, that more speaks for than that they change, best first; equal ones as their paths."""
    seen = Sighting(query, corpus)
    points = {name: _scaled(getattr(signals, name)(seen), least=_ENOUGH.get(name, 0.0)) for name in _EARLY}
    points["target"] = dict.fromkeys(sorted(anchors.targets), 1.0)
    narrow = 1 - len(anchors.scope & seen.code) / max(1, len(seen.code))  # what may be anywhere says nothing
    points["scope"] = dict.fromkeys(sorted(anchors.scope), narrow) if narrow > 0 else {}
    early = _total(seen, points)
    pieces = {file: seen.pieces(file) for file in _best(early, LOOKED_INTO)}
    points["chunk"] = _scaled(signals.chunk(pieces))
    seeds = _seeds(_total(seen, points), seen.code)
    points["changed_with"] = _scaled(signals.changed_with(seen, seeds))
    points["referenced"] = _scaled(signals.referenced(seen, seeds, pieces))
    points["imported"] = _scaled(signals.imported(seen, seeds)) if anchors.related else {}
    total, whole = _total(seen, points), sum(WEIGHTS.values())
    matching = {file: total[file] for file in set[int]().union(*(points[name] for name in points if name != "churn"))}
    return [
        Ranked(
            file,
            total[file] / whole,
            {name: WEIGHTS[name] * given[file] / whole for name, given in points.items() if file in given},
            tuple(pieces.get(file, ())),
            flag_of(seen, file),
        )
        for file in _best(matching, RANKED)
    ]


def _scaled(points: Points, *, least: float = 0.0) -> Points:
    """Points by the highest of them, or by `least` if that is higher: little evidence is not made to look like much."""
    most = max(points.values(), default=0.0)
    most = max(most, least) if most > 0 else 0.0
    return {file: value / most for file, value in points.items()} if most > 0 else {}


def _total(seen: Sighting, points: Mapping[str, Points]) -> Points:
    total = defaultdict[int, float](float)
    for name, given in points.items():
        for file, value in given.items():
            total[file] += WEIGHTS[name] * value
    return {file: value * prior(seen, file) for file, value in total.items()}


def flag_of(seen: Sighting, file: int) -> str:
    """Why a file is less worth reading than its words say; of what is in it only the likely files were looked at."""
    return "vendored" if file in seen.corpus.about_paths.vendored else seen.flags.get(file, "")


def prior(seen: Sighting, file: int) -> float:
    """What a file's kind makes of its points: documents, vendored, generated and minified files follow code."""
    if flag_of(seen, file):
        return 0.3
    if seen.categories[file] in {"docs", "other"}:
        return 0.4
    path = seen.corpus.paths[file]
    return (0.85 if path.split("/", 1)[0] in ASIDE else 1.0) * (0.9 if path.endswith("__init__.py") else 1.0)


def _best(points: Points, most: int) -> list[int]:
    return nsmallest(most, points, key=lambda file: (-round(points[file], 9), file))


def _seeds(points: Points, files: Iterable[int]) -> Points:
    """The likeliest files by how far they are above the last of many, squared; together 1."""
    top = _best({file: points[file] for file in files if file in points}, SEEDS)
    floor = points[top[-1]] if len(top) == SEEDS else 0.0
    above = {file: (points[file] - floor) ** 2 for file in top}
    whole = sum(above.values())
    return {file: value / whole for file, value in above.items() if value}


def matches(query: Query, corpus: IndexedCorpus, ranked: Ranked) -> dict[str, tuple[str, ...]]:
    """Signal to what it found in a file, the weightiest first, at most TOLD each; signals of one number have none."""
    seen, file = Sighting(query, corpus), ranked.file
    heads = corpus.pieces(file).heads
    defined = {definition.name for definition in corpus.analysis(file).definitions}

    def held(weights: Mapping[str, float]) -> list[str]:
        terms = (term for term in weights if file in seen.found[term])
        return sorted(terms, key=lambda term: (-weights[term], term))

    found = {
        "lexical": held(seen.weights),
        "title": held(seen.weighted(query.title)),
        "compound": held(seen.weighted(query.compounds)),
        "path": sorted({*query.title, *query.prose, *query.compounds} & terms_in(corpus.paths[file])),
        "chunk": [
            f"{head.name} (lines {head.start}-{head.end})" if head.name else f"lines {head.start}-{head.end}"
            for head in (heads[place] for _, place in ranked.pieces[:3])
        ],
        "mention": [text for text in query.mentions if file in seen.located(text)],
        "trace": [text for text in query.frames if file in seen.located(text)],
        "module": [dotted for dotted in query.dotted if seen.resolved(dotted)[0] == file],
        "symbol": [word for word, looks in query.identifiers.items() if looks and word in defined],
        "imported": [
            *(f"imports {corpus.paths[other]}" for other in corpus.graph.imports(file)),
            *(f"imported by {corpus.paths[other]}" for other in corpus.graph.importers(file)),
        ],
    }
    return {name: tuple(texts[:TOLD]) for name, texts in found.items() if texts and name in ranked.breakdown}
