"""A query met with a tree: what several signals need, worked out once."""

import os
from collections import defaultdict
from collections.abc import Mapping
from functools import cached_property
from itertools import takewhile
from math import log

from branchline.context.index.indexed import IndexedCorpus
from branchline.context.query import Query

Points = dict[int, float]
K1, B, CHUNK_B = 1.2, 0.75, 0.5
CHUNK_WORDS = 60  # of a piece of ordinary length
UNNAMED = 0.5
"""What a term is worth that is part of no path and of no defined name: more a word of the language than of the code."""
INDEXES = frozenset({"__init__", "index", "mod", "lib"})


class Sighting:
    """A query and a tree. Rarity is measured among code files: tests and documents repeat what they are about."""

    def __init__(self, query: Query, corpus: IndexedCorpus) -> None:
        """Look nothing up yet. `flags`: of the files whose pieces were looked at, why one is not worth reading."""
        self.query, self.corpus = query, corpus
        self.categories = corpus.about_paths.categories
        self.code = frozenset(file for file, category in enumerate(self.categories) if category == "code")
        self.flags: dict[int, str] = {}
        self.average = sum(corpus.lengths) / max(1, len(corpus.lengths)) or 1.0

    @cached_property
    def found(self) -> dict[str, Mapping[int, int]]:
        """Each term of the query that is anywhere, to the files that hold it."""
        wanted = {**self.query.terms, **self.query.compounds}
        return {term: files for term in wanted if (files := self.corpus.postings(term))}

    @cached_property
    def rarity(self) -> dict[str, float]:
        """The inverse document frequency, as BM25 has it, of each found term that code files hold."""
        count, rarity = len(self.code), {}
        for term, files in self.found.items():
            if held := len(self.code.intersection(files)):
                named = self.corpus.about_paths.holding(term) or self.corpus.naming(term)
                rarity[term] = log(1 + (count - held + 0.5) / (held + 0.5)) * (1.0 if named else UNNAMED)
        return rarity

    def weighted(self, weights: Mapping[str, float]) -> dict[str, float]:
        """Weights of terms by how rare they are; terms that no code holds are left out."""
        return {term: weight * self.rarity[term] for term, weight in weights.items() if term in self.rarity}

    @cached_property
    def weights(self) -> dict[str, float]:
        """What each term of the query is worth where it is found."""
        return self.weighted(self.query.terms)

    @cached_property
    def by_name(self) -> dict[str, list[int]]:
        """Each file name, without folders, to the files that have it."""
        names = defaultdict[str, list[int]](list)
        for file, path in enumerate(self.corpus.paths):
            names[path.rsplit("/", 1)[-1]].append(file)
        return dict(names)

    @cached_property
    def modules(self) -> dict[str, int]:
        """Dotted names to code files, wherever a source root may be; a name of several files is the least deep one's."""
        candidates = defaultdict[str, list[tuple[int, int]]](list)
        for file in sorted(self.code):
            parts = os.path.splitext(self.corpus.paths[file])[0].split("/")
            if parts[-1] in INDEXES:
                parts = parts[:-1]
            for skipped in range(min(3, len(parts))):
                candidates[".".join(parts[skipped:])].append((skipped, file))
        return {name: min(files)[1] for name, files in candidates.items() if len(files) == 1 or min(files)[0] == 0}

    def bm25(self, weights: Mapping[str, float]) -> Points:
        """BM25 of whole files (Robertson and Zaragoza, 2009) for terms of these weights."""
        points, lengths = defaultdict[int, float](float), self.corpus.lengths
        for term, weight in weights.items():
            for file, held in self.found[term].items():
                points[file] += weight * held * (K1 + 1) / (held + K1 * (1 - B + B * lengths[file] / self.average))
        return dict(points)

    def pieces(self, file: int) -> list[tuple[float, int]]:
        """The chunks of a file as (points by BM25, number), best first; those without points left out."""
        if flag := self.corpus.analysis(file).flag:
            self.flags[file] = flag
        pieces = self.corpus.pieces(file)
        norms = [K1 * (1 - CHUNK_B + CHUNK_B * head.size / CHUNK_WORDS) for head in pieces.heads]
        points = defaultdict[int, float](float)
        for term, weight in self.weights.items():
            for number, count in pieces.holding(term).items():
                points[number] += weight * count * (K1 + 1) / (count + norms[number])
        return sorted(((value, number) for number, value in points.items()), key=lambda piece: (-piece[0], piece[1]))

    def located(self, path: str) -> list[int]:
        """The files that a path in a text may mean: those that share most of its end; none if that is ambiguous."""
        wanted = path.split("/")[::-1]
        candidates = self.by_name.get(wanted[0], [])
        ends = [zip(self.corpus.paths[file].split("/")[::-1], wanted, strict=False) for file in candidates]
        shared = [len(list(takewhile(lambda pair: pair[0] == pair[1], pairs))) for pairs in ends]
        most = max(shared, default=0)
        best = [file for file, count in zip(candidates, shared, strict=True) if count == most]
        return best if len(best) <= 3 and (most > 1 or len(wanted) == 1) else []

    def resolved(self, dotted: str) -> tuple[int | None, list[str]]:
        """The file of the longest module that begins a dotted name, and the names that are left of it."""
        parts = dotted.split(".")
        for end in range(len(parts), 0, -1):
            if (file := self.modules.get(".".join(parts[:end]))) is not None:
                return file, parts[end:]
        return None, parts
