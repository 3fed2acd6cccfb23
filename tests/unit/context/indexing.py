"""Small trees in memory, and a plain way to analyse their files, for tests of the index."""

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise

from branchline.context.code.analysis import Analysis, Chunk, Definition, Import, pieces_of
from branchline.context.code.words import WORD
from branchline.context.index.cache import Index
from branchline.context.index.indexed import IndexedCorpus
from branchline.context.index.postings import Segment
from branchline.context.index.scan import File, Tree, blob_id


class Texts:
    """Reads files from a mapping; what is None there cannot be read."""

    def __init__(self, texts: Mapping[str, bytes | None]) -> None:
        self.texts = texts
        self.asked: list[str] = []

    def read(self, files: Iterable[File]) -> Iterator[tuple[File, bytes | None]]:
        for file in files:
            self.asked.append(file.path)
            yield file, self.texts[file.path]


def tree_with(texts: Mapping[str, str | bytes | None], reader: Texts | None = None) -> Tree:
    """A tree of these files, read by another reader if one is given."""
    data = {path: text.encode() if isinstance(text, str) else text for path, text in texts.items()}
    files = tuple(File(path, blob_id(data[path] or b"?")) for path in sorted(data))
    fingerprint = hashlib.sha256(repr(files).encode()).hexdigest()
    return Tree(files, (), "", 0, "/", fingerprint, (reader or Texts(data)).read)


def analyse(data: bytes, path: str) -> Analysis:
    """A chunk for each paragraph; `def x` defines x, `import x` imports it."""
    text = data.decode("utf-8", "replace")
    chunks, definitions, imports, line = [], [], [], 1
    for paragraph in text.split("\n\n"):
        end = line + paragraph.count("\n")
        chunks.append(Chunk("", line, end, Counter(WORD.findall(paragraph))))
        words = WORD.findall(paragraph)
        for word, name in pairwise(words):
            if word == "def":
                definitions.append(Definition(name, "function", line, end, line, ""))
            if word == "import":
                imports.append(Import(name, (), "import"))
        line = end + 2
    flag = "binary" if b"\0" in data else ""
    sha256 = hashlib.sha256(data).hexdigest()
    parts = (tuple(chunks), tuple(definitions), tuple(imports))
    return Analysis(path, flag, len(data), sha256, *parts)


def surely(index: Index, tree: Tree, use: Callable[[IndexedCorpus], None]) -> None:
    """Add a tree and use it; again if the index turns out to be damaged or emptied, as the broker does."""
    while True:
        try:
            index.add(tree, analyse)
            corpus = IndexedCorpus(index, tree)
            try:
                use(corpus)
            finally:
                index.confirm()
        except sqlite3.DatabaseError as error:
            index.replace(error)
        else:
            return


def places_in(analysis: Analysis) -> dict[str, list[int]]:
    """The terms of an analysis as they are indexed."""
    return pieces_of(analysis.chunks, Segment().terms)[1]
