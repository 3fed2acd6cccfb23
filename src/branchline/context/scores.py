"""The signals of the ranking: for a query and a tree, which files are likely by one kind of evidence each.

A signal returns points by file number, files without points left out. `rank` brings them to 0..1 by their maximum.
"""

import os
from collections import defaultdict
from collections.abc import Mapping
from functools import cached_property
from itertools import takewhile
from math import log, log1p, sqrt

from branchline.context.code.words import STOP, WORD, terms_of
from branchline.context.graph import personalised
from branchline.context.index.indexed import IndexedCorpus
from branchline.context.query import Query

Points = dict[int, float]
K1, B, CHUNK_B = 1.2, 0.75, 0.5
CHUNK_WORDS = 60  # of a piece of ordinary length
UNNAMED = 0.5
"""What a term is worth that is part of no path and of no defined name: more a word of the language than of the code."""
INDEXES = frozenset({"__init__", "index", "mod", "lib"})
Found = Mapping[int, list[tuple[float, int]]]
"""For some files, their chunks as (points, number), best first."""
FEW = 12  # files that hold something which is to say where it is from


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


def lexical(seen: Sighting) -> Points:
    """The words of the task, in whole files."""
    return seen.bm25(seen.weights)


def title(seen: Sighting) -> Points:
    """The words of the first line alone: they say best what the task is about."""
    return seen.bm25(seen.weighted(seen.query.title))


def compound(seen: Sighting) -> Points:
    """Words that stand side by side in the task and as one identifier in a file."""
    return seen.bm25(seen.weighted(seen.query.compounds))


def chunk(pieces: Found) -> Points:
    """The best definition of a file, and a little of its next two."""
    return {
        file: found[0][0] + 0.3 * sum(points for points, _ in found[1:3]) for file, found in pieces.items() if found
    }


def path(seen: Sighting) -> Points:
    """Words of the task in a file's path; those of the title count double, and so do those in the file's own name."""
    titled = {*seen.query.title, *(compound for compound, weight in seen.query.compounds.items() if weight == 1.0)}
    wanted = {*titled, *seen.query.prose, *seen.query.compounds}
    points = defaultdict[int, float](float)
    for term in sorted(wanted):
        if not (files := seen.corpus.about_paths.holding(term)):
            continue
        worth = log(len(seen.code) / len(files) + 1) * (1.0 if term in titled else 0.5)
        for file in files:
            name = os.path.basename(seen.corpus.paths[file])
            points[file] += worth * (1.0 if term in terms_of(os.path.splitext(name)[0]) else 0.4)
    return dict(points)


def mention(seen: Sighting) -> Points:
    """Files that the task names."""
    points: Points = {}
    for text in seen.query.mentions:
        for file in seen.located(text):
            points[file] = max(points.get(file, 0.0), 1.0 if "/" in text else 0.6)
    return points


def trace(seen: Sighting) -> Points:
    """Files of a traceback, the innermost frame first."""
    points: Points = {}
    depth = 0
    for text in seen.query.frames:
        files = seen.located(text)
        for file in files:
            points.setdefault(file, 1 / (1 + 0.35 * depth))
        depth += bool(files)
    return points


def module(seen: Sighting) -> Points:
    """Modules that the task names with dots; where that is a package, what defines the name that follows in it."""
    points = defaultdict[int, float](float)
    for dotted, weight in seen.query.dotted.items():
        file, rest = seen.resolved(dotted)
        if file is None:
            continue
        package = os.path.basename(seen.corpus.paths[file]).split(".")[0] in INDEXES
        points[file] = max(points[file], weight * (0.15 if package else 1.0))
        meant = _handed_on(seen, file, rest[0]) if rest and package else []
        for other in meant[:4]:
            points[other] = max(points[other], weight / len(meant))
    return dict(points)


def _handed_on(seen: Sighting, package: int, name: str) -> list[int]:
    """The files below a package that define a name; if it says from which it takes the name, only those."""
    paths = seen.corpus.paths
    below = os.path.dirname(paths[package]) + "/"
    defining = [file for file in seen.corpus.defining([name]).get(name, ()) if paths[file].startswith(below)]
    imports = seen.corpus.analysis(package).imports
    origins = tuple("/" + one.module.strip("./").replace(".", "/") for one in imports if name in one.names)
    return [file for file in defining if os.path.splitext(paths[file])[0].endswith(origins)] or defining


def symbol(seen: Sighting) -> Points:
    """Files that define what the task names, if that looks like code."""
    points = defaultdict[int, float](float)
    words = {word: looks for word, looks in seen.query.identifiers.items() if looks}
    for word, defining in seen.corpus.defining(words).items():
        files = [file for file in defining if file in seen.code]
        for file in files:
            points[file] += words[word] * len(files) ** -0.7 * (1.5 if word in seen.query.title_words else 1.0)
    return dict(points)


def churn(seen: Sighting) -> Points:
    """Files that change often, a change of a year before the commit counting half."""
    return {file: log1p(changes) for file, changes in enumerate(seen.corpus.history.churn) if changes}


def changed_with(seen: Sighting, seeds: Points) -> Points:
    """Files that have changed together with the likeliest ones."""
    points = defaultdict[int, float](float)
    for file, worth in seeds.items():
        others = seen.corpus.history.changed_with(file)
        whole = sum(others.values()) + 0.5
        for other, share in others.items():
            points[other] += worth * share / whole
    return {file: sqrt(value) for file, value in points.items()}


def referenced(seen: Sighting, seeds: Points, pieces: Found) -> Points:
    """Files that define what the best pieces of the likeliest files use: where the cause of a symptom may be."""
    points = defaultdict[int, float](float)
    paths = seen.corpus.paths
    texts = seen.corpus.read([paths[file] for file in seeds])
    used: list[tuple[int, str]] = []
    for file in seeds:
        lines, heads = (texts.get(paths[file]) or "").split("\n"), seen.corpus.pieces(file).heads
        for _, place in pieces.get(file, [])[:2]:
            shown = "\n".join(lines[heads[place].start - 1 : heads[place].end])
            words = (word for word in WORD.findall(shown) if len(word) > 3 and word.lower() not in STOP)
            used += [(file, word) for word in dict.fromkeys(words)]
    defining = seen.corpus.defining(sorted({word for _, word in used}))
    for file, word in used:
        files = [other for other in defining.get(word, ()) if other in seen.code]
        if 0 < len(files) <= FEW // 2 and file not in files:
            for other in files:
                points[other] += seeds[file] / len(files)
    return {file: sqrt(value) for file, value in points.items()}


def imported(seen: Sighting, seeds: Points) -> Points:
    """Files that the likeliest ones import or are imported by, by personalised PageRank."""
    return {file: sqrt(worth) for file, worth in personalised(seen.corpus.graph, seeds).items()}
