"""What the signals found in one file, in words of the task and names of the file."""

from collections.abc import Mapping

from branchline.context.features import Sighting
from branchline.context.index.indexed import IndexedCorpus
from branchline.context.paths import terms_in
from branchline.context.query import Query
from branchline.context.rank import Ranked

MOST = 8


def matches(query: Query, corpus: IndexedCorpus, ranked: Ranked) -> dict[str, tuple[str, ...]]:
    """Signal to what it found in a file, the weightiest first, at most MOST each; signals of one number have none."""
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
    return {name: tuple(texts[:MOST]) for name, texts in found.items() if texts and name in ranked.breakdown}
