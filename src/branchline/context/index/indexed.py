"""One tree as the index knows it."""

import sqlite3
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import ParamSpec, Protocol, TypeVar

from branchline.context.code.analysis import ANALYSIS_VERSION, Analysis, Definition, Import, StoredPieces
from branchline.context.graph import Graph
from branchline.context.index import blobs
from branchline.context.index.cache import Index
from branchline.context.index.postings import BLOCK, defined, held, named, unpack
from branchline.context.index.scan import Tree
from branchline.context.index.upkeep import lists_of
from branchline.context.paths import VERSION, Paths

_P = ParamSpec("_P")
_T = TypeVar("_T")
_NONE: Mapping[int, float] = {}
_KEPT = 1000  # files whose chunks are kept at hand


class History(Protocol):
    """How files changed; files are numbers, in the order of a corpus' paths."""

    @property
    def churn(self) -> Sequence[float]:
        """How often each file changed."""

    def changed_with(self, file: int) -> Mapping[int, float]:
        """The files that changed in the same commits, each with its weight."""


class IndexedCorpus:
    """A `Corpus` that answers from the index. Attach `graph`, `history` and `read` (paths to texts) when they are there.

    `left_out`: the files of the tree that have no number, with the reason: binary, unreadable.
    """

    def __init__(self, index: Index, tree: Tree, *, graph: Graph | None = None, history: History | None = None) -> None:
        """`tree` was added to the index."""
        self.graph = graph
        self.history = history
        self.read: Callable[[Sequence[str]], Mapping[str, str | None]] | None = None
        self._index = index
        self._tree = tree
        members = index.members(tree)
        self._places = [place for place, is_text in enumerate(members.texts) if is_text]
        self.paths: Sequence[str] = [tree.files[place].path for place in self._places]
        self.lengths: Sequence[int] = [members.terms[place] for place in self._places]
        self.left_out: Mapping[str, str] = {
            file.path: "binary" if blob else "unreadable"
            for file, blob, is_text in zip(tree.files, members.blobs, members.texts, strict=True)
            if not is_text
        }
        self._pieces: dict[int, StoredPieces] = {}
        self._number(members)

    @cached_property
    def about_paths(self) -> Paths:
        """What the paths say, kept by the tree's fingerprint."""
        key = f"paths/{VERSION}/{ANALYSIS_VERSION}/{self._tree.fingerprint}/{len(self.paths)}"
        known = Paths.from_bytes(self._index.get(key) or b"", len(self.paths))
        if known is None:
            known = Paths.of(self.paths)
            self._index.put(key, known.to_bytes())
        return known

    def postings(self, term: str) -> Mapping[int, int]:
        """The files that hold an index term (see `words.terms_of`), each with how often, by their numbers."""
        return self._ask(self._holding, [held(term)])[held(term)]

    def defining(self, names: Iterable[str]) -> Mapping[str, Sequence[int]]:
        """The files that define exactly each of these names, sorted; names that none defines are left out."""
        keys = {defined(name): name for name in names}
        found = self._ask(self._holding, list(keys))
        return {keys[key]: list(files) for key, files in found.items() if files}

    def naming(self, term: str) -> Sequence[int]:
        """The files that define a name with this index term in it, sorted."""
        return list(self._ask(self._holding, [named(term)])[named(term)])

    def analysis(self, file: int) -> Analysis:
        """What is known of a file, but for its chunks."""
        language, flag, size, lines, tokens, sha256, definitions, imports = self._ask(self._outline_of, file)
        return Analysis(language, flag, size, lines, tokens, sha256, (), definitions, imports)

    def pieces(self, file: int) -> StoredPieces:
        """The chunks of a file."""
        if file not in self._pieces:
            if len(self._pieces) >= _KEPT:
                self._pieces.clear()
            self._pieces[file] = self._ask(self._pieces_of, file)
        return self._pieces[file]

    def texts(self, files: Sequence[int]) -> Mapping[int, str]:
        """The texts of files; empty for one that cannot be read, and if nobody said how to."""
        read = self.read([self.paths[file] for file in files]) if self.read else {}
        return {file: read.get(self.paths[file]) or "" for file in files}

    def outlines(self) -> Iterator[tuple[int, str, tuple[Definition, ...], tuple[Import, ...]]]:
        """Yield (file, language, definitions, imports) of every file, its chunks unread."""
        for file in range(len(self.paths)):
            language, *_, definitions, imports = self._ask(self._outline_of, file)
            yield file, language, definitions, imports

    def imports(self, file: int) -> Sequence[int]:
        """The files that a file imports, sorted."""
        return self.graph.imports(file) if self.graph is not None else ()

    def importers(self, file: int) -> Sequence[int]:
        """The files that import a file, sorted."""
        return self.graph.importers(file) if self.graph is not None else ()

    @property
    def churn(self) -> Sequence[float]:
        """How often each file changed; zeros without a history."""
        return self.history.churn if self.history is not None else [0.0] * len(self.paths)

    def changed_with(self, file: int) -> Mapping[int, float]:
        """The files that changed in the same commits, each with its weight."""
        return self.history.changed_with(file) if self.history is not None else _NONE

    def _ask(self, question: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Ask the index, and once more when it had to be made again."""
        if self._generation == self._index.generation:
            try:
                return question(*args, **kwargs)
            except sqlite3.DatabaseError as error:
                self._index.replace(error)
        self._number(self._index.members(self._tree))
        return question(*args, **kwargs)

    def _number(self, members: blobs.Members) -> None:
        """Learn which blob each file is. `_files`: by block of blob numbers, the first file that is the blob."""
        self._generation = self._index.generation
        self._blobs = [members.blobs[place] for place in self._places]
        self._files: dict[int, array[int]] = {}
        self._copies: dict[int, list[int]] = {}
        nobody = array("i", [-1])
        for file, blob in enumerate(self._blobs):
            block, place = divmod(blob, BLOCK)
            if block not in self._files:
                self._files[block] = nobody * BLOCK
            first = self._files[block][place]
            if first < 0:
                self._files[block][place] = file
            else:
                self._copies.setdefault(first, []).append(file)

    def _holding(self, keys: Sequence[bytes]) -> dict[bytes, dict[int, int]]:
        """For each key the files that have it, sorted, each with how often."""
        found: dict[bytes, dict[int, int]] = {key: {} for key in keys}
        for key, block, data in lists_of(self._index.database, keys):
            if block in self._files:
                places, counts = unpack(data)
                found[key].update(zip(map(self._files[block].__getitem__, places), counts, strict=True))
        return {key: self._with_copies(files) for key, files in found.items()}

    def _with_copies(self, files: dict[int, int]) -> dict[int, int]:
        """What was found of the first file that is a blob holds of all that are; -1 stands for a blob of other trees."""
        files.pop(-1, None)
        for first in files.keys() & self._copies.keys():
            files.update(dict.fromkeys(self._copies[first], files[first]))
        return dict(sorted(files.items()))

    def _outline_of(self, file: int) -> blobs.Outline:
        asked = "SELECT data FROM outline WHERE blob = ?"
        row = self._index.database.execute(asked, (self._blobs[file],)).fetchone()
        return blobs.unpack_outline(row[0]) if row else blobs.NO_OUTLINE

    def _pieces_of(self, file: int) -> StoredPieces:
        asked = "SELECT data FROM chunks WHERE blob = ?"
        row = self._index.database.execute(asked, (self._blobs[file],)).fetchone()
        return blobs.unpack_pieces(row[0]) if row else StoredPieces((), {})
