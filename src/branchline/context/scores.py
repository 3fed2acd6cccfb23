"""The signals of the ranking: for a query and a tree, which files are likely by one kind of evidence each.

A signal returns points by file number, files without points left out. `rank` brings them to 0..1 by their maximum.
"""

import os
from collections import defaultdict
from collections.abc import Mapping
from math import log, log1p, sqrt

from branchline.context.code.words import STOP, WORD, terms_of
from branchline.context.features import INDEXES, Points, Sighting
from branchline.context.graph import personalised

Found = Mapping[int, list[tuple[float, int]]]
"""For some files, their chunks as (points, number), best first."""
FEW = 12  # files that hold something which is to say where it is from


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
    texts = seen.corpus.texts(list(seeds))
    used: list[tuple[int, str]] = []
    for file in seeds:
        lines, heads = texts[file].split("\n"), seen.corpus.pieces(file).heads
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
