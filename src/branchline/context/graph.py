"""The import graph of a tree, both ways, and what a few files make of the rest of it."""

import struct
import zlib
from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, chain, pairwise

_HEAD = struct.Struct("=8sIII")
_MAGIC = b"blgraph1"  # another number when the packing, or what `resolve` finds, changes
_WORD = array("I").itemsize


class ImportGraph:
    """Who imports whom. Frozen and packed: four arrays of uint32, two a direction."""

    __slots__ = ("_parts",)

    def __init__(self, parts: tuple["array[int]", "array[int]", "array[int]", "array[int]"]) -> None:
        """Use `of` or `from_bytes`. `parts`: starts and targets of the imports, starts and sources of the importers."""
        self._parts = parts

    @classmethod
    def of(cls, imports: Sequence[Sequence[int]]) -> "ImportGraph":
        """The graph of what each file imports: file numbers below len(imports), sorted, each once."""
        importers: list[list[int]] = [[] for _ in imports]
        for file, targets in enumerate(imports):
            for target in targets:
                importers[target].append(file)
        return cls((*_packed(imports), *_packed(importers)))

    def __len__(self) -> int:
        return len(self._parts[0]) - 1

    def imports(self, file: int) -> Sequence[int]:
        """The files that a file imports, sorted."""
        starts, targets, _, _ = self._parts
        return targets[starts[file] : starts[file + 1]]

    def importers(self, file: int) -> Sequence[int]:
        """The files that import a file, sorted."""
        _, _, starts, sources = self._parts
        return sources[starts[file] : starts[file + 1]]

    def to_bytes(self) -> bytes:
        """The graph as this machine packs it, with a checksum."""
        body = b"".join(part.tobytes() for part in self._parts)
        return _HEAD.pack(_MAGIC, len(self), len(self._parts[1]), zlib.crc32(body)) + body

    @classmethod
    def from_bytes(cls, data: bytes) -> "ImportGraph | None":
        """The graph that `to_bytes` packed; None for anything else."""
        if len(data) < _HEAD.size:
            return None
        magic, files, edges, checksum = _HEAD.unpack_from(data)
        sizes = [_WORD * count for count in (files + 1, edges, files + 1, edges)]
        body = memoryview(data)[_HEAD.size :]
        if magic != _MAGIC or len(body) != sum(sizes) or zlib.crc32(body) != checksum:
            return None
        ends = list(accumulate(sizes, initial=0))
        one, two, three, four = (array("I", bytes(body[at:end])) for at, end in pairwise(ends))
        return cls((one, two, three, four))


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
                _add(spread, imports, share)
                _add(spread, importers, share * back)
        worth = spread
    return worth


def _add(worth: dict[int, float], files: Iterable[int], share: float) -> None:
    for file in files if share else ():
        worth[file] = worth.get(file, 0.0) + share


def _packed(rows: Sequence[Sequence[int]]) -> tuple["array[int]", "array[int]"]:
    return array("I", accumulate(map(len, rows), initial=0)), array("I", chain.from_iterable(rows))
