"""What the signals found in one file, in words of the task and names of the file."""

from collections.abc import Callable, Mapping

from branchline.context.code.analysis import Piece
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
        return _weightiest(weights, lambda term: file in seen.found[term])

    found = {
        "lexical": held(seen.weights),
        "title": held(seen.weighted(query.title)),
        "compound": held(seen.weighted(query.compounds)),
        "path": sorted({*query.title, *query.prose, *query.compounds} & terms_in(corpus.paths[file])),
        "chunk": [_piece(heads[place]) for _, place in ranked.pieces[:3]],
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


def _weightiest(weights: Mapping[str, float], holds: Callable[[str], bool]) -> list[str]:
    return sorted(filter(holds, weights), key=lambda term: (-weights[term], term))


def _piece(chunk: Piece) -> str:
    lines = f"lines {chunk.start}-{chunk.end}"
    return f"{chunk.name} ({lines})" if chunk.name else lines
