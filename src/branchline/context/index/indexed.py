"""One tree as the index knows it: all that ranking sees of it. Files are numbers, their positions in `paths`."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import TypeVar

import msgspec

from branchline.context.code.analysis import ANALYSIS_VERSION, Analysis, Definition, Import, Pieces
from branchline.context.code.languages import category_of, language_of, vendored
from branchline.context.code.words import WORD, terms_of
from branchline.context.graph import ImportGraph
from branchline.context.index.cache import Index
from branchline.context.index.database import Damaged, unsealed
from branchline.context.index.history import History
from branchline.context.index.postings import defined, held, lists_of, named
from branchline.context.index.scan import Tree
from branchline.core.model.manifest import Category

_T = TypeVar("_T")
_KEPT = 1000  # files whose chunks are kept at hand
_ANALYSIS = msgspec.msgpack.Decoder(Analysis)
_PIECES = msgspec.msgpack.Decoder(Pieces)
_PATHS_VERSION = "1"
_NUMBERS = msgspec.msgpack.Decoder(list[int])
_CATEGORIES: tuple[Category, ...] = ("code", "tests", "docs", "other")


class IndexedCorpus:
    """A tree that was added to the index. Only what is asked for is read. Any answer may raise sqlite3.DatabaseError.

    Attach `graph`, `history` and `read` (paths to texts) when they are there; without them nothing imports anything,
    nothing has changed, and every text is empty. `left_out`: the files of the tree that have no number, with the
    reason: binary, unreadable. `lengths`: terms in each file.
    """

    def __init__(self, index: Index, tree: Tree) -> None:
        self._index = index
        self._tree = tree
        blobs, terms, texts = index.members(tree)
        places = [place for place, is_text in enumerate(texts) if is_text]
        self.paths: Sequence[str] = [tree.files[place].path for place in places]
        self.lengths: Sequence[int] = [terms[place] for place in places]
        self.left_out: Mapping[str, str] = {
            file.path: "binary" if blob else "unreadable"
            for file, blob, is_text in zip(tree.files, blobs, texts, strict=True)
            if not is_text
        }
        self._blobs = [blobs[place] for place in places]
        self._files: dict[int, int] = {}  # the first file that is a blob
        self._copies: dict[int, list[int]] = {}  # the others, by the first
        for file, blob in enumerate(self._blobs):
            first = self._files.setdefault(blob, file)
            if first != file:
                self._copies.setdefault(first, []).append(file)
        self.graph = ImportGraph.of([()] * len(self.paths))
        self.history = History(self.paths)
        self.read: Callable[[Sequence[str]], Mapping[str, str | None]] = dict.fromkeys
        self.pieces = lru_cache(_KEPT)(self._pieces_of)

    @cached_property
    def about_paths(self) -> "Paths":
        """What the paths say, kept by the tree's fingerprint."""
        key = f"paths/{_PATHS_VERSION}/{ANALYSIS_VERSION}/{self._tree.fingerprint}/{len(self.paths)}"
        if packed := self._index.get(key):
            return msgspec.msgpack.decode(packed, type=Paths)
        known = Paths.of(self.paths)
        self._index.put(key, msgspec.msgpack.encode(known))
        return known

    def postings(self, term: str) -> Mapping[int, int]:
        """The files that hold an index term (see `words.terms_of`), sorted, each with how often."""
        return self._holding([held(term)])[held(term)]

    def defining(self, names: Iterable[str]) -> Mapping[str, Sequence[int]]:
        """The files that define exactly each of these names, sorted; names that none defines are left out."""
        keys = {defined(name): name for name in names}
        return {keys[key]: list(files) for key, files in self._holding(list(keys)).items() if files}

    def naming(self, term: str) -> Sequence[int]:
        """The files that define a name with this index term in it, sorted."""
        return list(self._holding([named(term)])[named(term)])

    def analysis(self, file: int) -> Analysis:
        """What is known of a file, but for its chunks."""
        return self._unpacked("outline", file, _ANALYSIS)

    def _pieces_of(self, file: int) -> Pieces:
        """The chunks of a file."""
        return self._unpacked("chunks", file, _PIECES)

    def outlines(self) -> Iterator[tuple[int, str, tuple[Definition, ...], tuple[Import, ...]]]:
        """Yield (file, language, definitions, imports) of every file, its chunks unread."""
        for file in range(len(self.paths)):
            known = self.analysis(file)
            yield file, known.language, known.definitions, known.imports

    def _holding(self, keys: Sequence[bytes]) -> dict[bytes, dict[int, int]]:
        """For each key the files that have it, sorted, each with how often."""
        found: dict[bytes, dict[int, int]] = {key: {} for key in keys}
        for key, blobs, counts in lists_of(self._index.database, keys):
            found[key].update(zip((self._files.get(blob, -1) for blob in blobs), counts, strict=True))
        for files in found.values():
            files.pop(-1, None)  # blobs of other trees
            for first in files.keys() & self._copies.keys():
                files.update(dict.fromkeys(self._copies[first], files[first]))
        return {key: dict(sorted(files.items())) for key, files in found.items()}

    def _unpacked(self, column: str, file: int, decoder: msgspec.msgpack.Decoder[_T]) -> _T:
        asked = f"SELECT {column} FROM analysis WHERE blob = ?"  # noqa: S608 - a constant
        row = self._index.database.execute(asked, (self._blobs[file],)).fetchone()
        if row is None:
            self._index.confirm()
            raise Damaged("the analysis of a file is missing")
        try:
            return decoder.decode(unsealed(row[0]))
        except msgspec.DecodeError as error:
            raise Damaged(f"what the index keeps of a file is no analysis: {error}") from error


class Paths(msgspec.Struct, frozen=True, array_like=True, dict=True):
    """The paths of a tree; files are numbers, their places among them.

    `kinds`: a byte a file, its place in _CATEGORIES; `vendored`: the files that were brought in from elsewhere or built;
    `terms`: of the code files, those with a term in their path, sorted.
    """

    kinds: bytes
    vendored: frozenset[int]
    terms: dict[str, msgspec.Raw]

    @classmethod
    def of(cls, paths: Sequence[str]) -> "Paths":
        """Look at paths."""
        kinds = bytes(_CATEGORIES.index(category_of(path, language_of(path))) for path in paths)
        terms = defaultdict[str, list[int]](list)
        for file, path in enumerate(paths):
            if kinds[file] == 0:
                for term in terms_in(path):
                    terms[term].append(file)
        encode = msgspec.msgpack.encode
        others = frozenset(file for file, path in enumerate(paths) if vendored(path))
        return cls(kinds, others, {term: msgspec.Raw(encode(files)) for term, files in terms.items()})

    @cached_property
    def categories(self) -> Sequence[Category]:
        """What each file is for."""
        return [_CATEGORIES[kind] for kind in self.kinds]

    def holding(self, term: str) -> list[int]:
        """The code files with a term in their path, without the ending of its name; sorted."""
        return _NUMBERS.decode(self.terms[term]) if term in self.terms else []


def terms_in(path: str) -> frozenset[str]:
    """The index terms of a path, without the ending of its name."""
    return frozenset(term for word in WORD.findall(os.path.splitext(path)[0]) for term in terms_of(word))
