"""The import graph of a tree, both ways, and what a few files make of the rest of it."""

from array import array
from collections.abc import Mapping, Sequence
from itertools import accumulate, chain

import msgspec

GRAPH_VERSION = "3"
"""Another one when the packing, or what `resolve` finds, changes."""


class ImportGraph(msgspec.Struct, frozen=True, array_like=True):
    """Who imports whom, packed as this machine packs uint32: starts and targets of the imports, the same of the importers."""

    starts: bytes
    targets: bytes
    ends: bytes
    sources: bytes

    @classmethod
    def of(cls, imports: Sequence[Sequence[int]]) -> "ImportGraph":
        """The graph of what each file imports: file numbers below len(imports), sorted, each once."""
        importers: list[list[int]] = [[] for _ in imports]
        for file, targets in enumerate(imports):
            for target in targets:
                importers[target].append(file)
        parts = ((accumulate(map(len, rows), initial=0), chain.from_iterable(rows)) for rows in (imports, importers))
        return cls(*(array("I", part).tobytes() for part in chain.from_iterable(parts)))

    def imports(self, file: int) -> Sequence[int]:
        """The files that a file imports, sorted."""
        return _row(self.starts, self.targets, file)

    def importers(self, file: int) -> Sequence[int]:
        """The files that import a file, sorted."""
        return _row(self.ends, self.sources, file)


def _row(starts: bytes, members: bytes, file: int) -> Sequence[int]:
    start, end = memoryview(starts).cast("I")[file : file + 2]
    return memoryview(members).cast("I")[start:end].tolist()


def personalised(
    graph: ImportGraph, seeds: Mapping[int, float], *, damping: float = 0.5, steps: int = 3, back: float = 0.3
) -> dict[int, float]:
    """PageRank that starts at the seeds: what each file that they reach in `steps` steps is worth, seeds included.

    Each step hands on the share `damping` of a file's worth to the files that it imports, and `back` as much to each
    that imports it; a file without neighbours hands on nothing. The same call gives the same floats, in the same order,
    whatever the order of the seeds.
    """
    worth = dict(sorted(seeds.items()))
    kept = {file: (1.0 - damping) * value for file, value in worth.items()}
    for _ in range(steps):
        spread = dict(kept)
        for file, value in worth.items():
            imports, importers = graph.imports(file), graph.importers(file)
            if whole := len(imports) + back * len(importers):
                share = damping * value / whole
                for files, each in ((imports, share), (importers, share * back)):
                    for other in files if each else ():
                        spread[other] = spread.get(other, 0.0) + each
        worth = spread
    return worth
