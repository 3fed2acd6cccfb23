"""The inverted index, as bytes: which blobs hold a term, and how often.

A segment holds a posting list for each of its terms. Blobs are numbers; a segment covers blobs of one block of 65,536
numbers, so that a list is pairs of 16-bit numbers: where a blob stands in its block, and the count. Segments of a block
merge by joining their lists as they are.
"""

import sqlite3
from array import array
from collections.abc import Iterable, Sequence
from heapq import merge
from itertools import groupby
from operator import itemgetter
from zlib import crc32

import msgspec

from branchline.context.code.analysis import Analysis, Pieces
from branchline.context.code.words import terms_of_token

Rows = Iterable[tuple[bytes, bytes]]
"""(key, posting list), sorted by key."""
PAGE = 4096
"""Bytes of rows that are stored as one; most posting lists are tiny."""
BLOCK = 1 << 16
MOST = 0xFFFF
"""A larger count is kept as this."""
_DEFINED, _NAMED = "=", "~"


class Damaged(sqlite3.DatabaseError):
    """What was read cannot have been written by us."""


class _Terms(dict[str, tuple[str, ...]]):
    def __missing__(self, token: str) -> tuple[str, ...]:
        terms = self[token] = terms_of_token(token)  # kept here, no longer than a segment takes
        return terms


class _Lists(dict[str, "array[int]"]):
    def __missing__(self, key: str) -> "array[int]":
        made = self[key] = array("H")  # unlike a list, nothing that the garbage collector walks through
        return made


class Segment:
    """A segment in the making."""

    def __init__(self) -> None:
        self.terms = _Terms()
        self._lists = _Lists()

    def add(self, blob: int, analysis: Analysis, pieces: Pieces) -> int:
        """Add a blob, once, by its number; `pieces` are its chunks. Returns how many terms it has."""
        place, lists = blob % BLOCK, self._lists
        terms = {term: sum(held[1::2]) for term, held in pieces.places.items()}
        total = sum(terms.values())
        if total > MOST:
            terms = {term: min(count, MOST) for term, count in terms.items()}
        for term, count in terms.items():
            postings = lists[term]
            postings.append(place)
            postings.append(count)
        names = dict.fromkeys(definition.name for definition in analysis.definitions)
        for name in names:
            lists[_DEFINED + name].extend((place, 1))
        for term in dict.fromkeys(term for name in names for term in self.terms[name]):
            lists[_NAMED + term].extend((place, 1))
        return total

    def rows(self) -> Rows:
        """Its rows."""
        return ((held(key), self._lists[key].tobytes()) for key in sorted(self._lists))


def held(term: str) -> bytes:
    """The key of an index term. Keys sort as what they stand for, and no two kinds of them are alike."""
    return term.encode(errors="surrogatepass")


def defined(name: str) -> bytes:
    """The key of a name that files define."""
    return held(_DEFINED + name)


def named(term: str) -> bytes:
    """The key of an index term of the names that files define."""
    return held(_NAMED + term)


def sealed(data: bytes) -> bytes:
    """Bytes to be stored, with a checksum: SQLite has none, and would return whatever has become of a page."""
    return crc32(data).to_bytes(4, "little") + data


def unsealed(data: object) -> bytes:
    """What was sealed. Raises Damaged."""
    if not isinstance(data, bytes) or crc32(data[4:]).to_bytes(4, "little") != data[:4]:
        raise Damaged("a value is not what was stored")
    return data[4:]


def paged(rows: Rows) -> Rows:
    """Rows, many as one: the first key of a page, and the page. A list that is large is a page of its own."""
    page: list[bytes] = []
    size = 0
    for key, data in rows:
        if page and size + len(key) + len(data) > PAGE:
            yield page[0], _pages.encode(page)
            page, size = [], 0
        page += key, data
        size += len(key) + len(data)
    if page:
        yield page[0], _pages.encode(page)


def unpaged(data: bytes) -> dict[bytes, bytes]:
    """The rows of a page, in their order. Raises Damaged."""
    try:
        page = _page.decode(data)
    except msgspec.DecodeError as error:
        raise Damaged(f"a page of posting lists is none: {error}") from error
    return dict(zip(page[::2], page[1::2], strict=False))


def unpack(data: bytes) -> tuple[Sequence[int], Sequence[int]]:
    """The places and the counts of a posting list. Raises Damaged."""
    if len(data) % 4:
        raise Damaged("a posting list is cut off")
    pairs = array("H", data)
    return pairs[::2], pairs[1::2]


def merged(segments: Iterable[Rows]) -> Rows:
    """The rows of several segments of one block as those of one segment."""
    for key, rows in groupby(merge(*segments, key=itemgetter(0)), key=itemgetter(0)):
        yield key, b"".join(data for _, data in rows)


def living(rows: Rows, alive: bytearray) -> Rows:
    """The rows of a segment without the blobs that are gone. `alive`: by place in the block, 0 or 1."""
    for key, data in rows:
        places, counts = unpack(data)
        left = array("H")
        for place, count in zip(places, counts, strict=True):
            if alive[place]:
                left.extend((place, count))
        if left:
            yield key, left.tobytes()


def to_merge(sizes: Sequence[int], most: int) -> list[int]:
    """Which segments to merge, as positions in `sizes`, so that at most `most` are left.

    The smallest, and as many more as are no larger than those before them together: so a list is written again only
    when what it is in has doubled.
    """
    if len(sizes) <= most:
        return []
    order = sorted(range(len(sizes)), key=lambda at: (sizes[at], at))
    total = 0
    for taken, at in enumerate(order):
        if taken > len(sizes) - most and sizes[at] > total:
            return order[:taken]
        total += sizes[at]
    return order


_pages = msgspec.msgpack.Encoder()
_page = msgspec.msgpack.Decoder(list[bytes])
