"""What the index keeps of a blob: its pieces, what it defines, what it imports. Depends on nothing but its bytes."""

from collections.abc import Callable, Iterable

import msgspec

ANALYSIS_VERSION = "3"
"""Stored analyses of another version are not used: change it with whatever changes one, grammars included (a test tells)."""


class Chunk(msgspec.Struct, frozen=True, array_like=True):
    """A piece of a file: a definition, what stands between definitions, or a window of text.

    Chunks follow one another and cover the file; lines count from 1, the last one included. `words`: each identifier, word
    or number as it is written, to how often. `name`: dotted, as in `Class.method`; empty for what is no definition.
    """

    name: str
    start: int
    end: int
    words: dict[str, int]


class Definition(msgspec.Struct, frozen=True, array_like=True):
    """A name that a file defines. `kind`: class, function, method, type, constant, ...; `line`..`end`, from 1.

    `signature_end`: the last line of its head, so that lines `line`..`signature_end` make an outline of it.
    """

    name: str
    kind: str
    line: int
    end: int
    signature_end: int
    parent: str


class Import(msgspec.Struct, frozen=True, array_like=True):
    """What a file takes from another, as written: `module` with `names` of it. `kind`: the language's own word for it.

    Relative Python modules keep their dots; `mod x;` of Rust is kind `mod`; a C include with quotes is kind `quoted`.
    """

    module: str
    names: tuple[str, ...]
    kind: str


class Analysis(msgspec.Struct, frozen=True, array_like=True):
    """All that is kept of one blob.

    `language`: empty for plain text; `flag`: empty, or why it is not worth reading: binary, too_large, minified, generated.
    `size` (bytes) and `sha256` are the whole file's.
    """

    language: str
    flag: str
    size: int
    sha256: str
    chunks: tuple[Chunk, ...]
    definitions: tuple[Definition, ...]
    imports: tuple[Import, ...]


class Piece(msgspec.Struct, frozen=True, array_like=True):
    """A chunk without its words; `size`: how many they are."""

    name: str
    start: int
    end: int
    size: int


class Pieces(msgspec.Struct, frozen=True, array_like=True):
    """The chunks of a file turned round, as a query meets them: an index term to where it is.

    `places`: each term (see `words.terms_of`) to the numbers of the chunks that hold it, each followed by how often; a
    number may come again. Of its many terms a query asks for a few, and only those are decoded.
    """

    heads: tuple[Piece, ...]
    places: dict[str, msgspec.Raw]

    def holding(self, term: str) -> dict[int, int]:
        """The numbers of the chunks that hold a term, each with how often."""
        counts: dict[int, int] = {}
        held = _numbers.decode(self.places[term]) if term in self.places else []
        for number, count in zip(held[::2], held[1::2], strict=True):
            counts[number] = counts.get(number, 0) + count
        return counts


def pieces_of(
    chunks: Iterable[Chunk], terms_of: Callable[[str], tuple[str, ...]]
) -> tuple[list[Piece], dict[str, list[int]]]:
    """The members of `Pieces` for the chunks of an analysis. `terms_of`: a word to its terms."""
    heads, places = list[Piece](), dict[str, list[int]]()
    for number, chunk in enumerate(chunks):
        heads.append(Piece(chunk.name, chunk.start, chunk.end, sum(chunk.words.values())))
        for word, count in chunk.words.items():
            for term in terms_of(word):
                if term in places:
                    places[term] += number, count
                else:
                    places[term] = [number, count]
    return heads, places


_numbers = msgspec.msgpack.Decoder(list[int])
