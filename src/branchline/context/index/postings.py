"""The inverted index: which blobs hold a term, and how often.

A segment holds one posting list for each of its terms, packed: a blob's number, then the count, then the next blob's.
Every query looks into every segment, so they are kept few: small ones are merged, and their lists are joined as they are.
"""

import sqlite3
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from itertools import groupby
from operator import itemgetter

from branchline.context.code.analysis import Analysis
from branchline.context.code.words import terms_of_token
from branchline.context.index.database import sealed, transaction, unsealed

SEGMENTS = 8
"""Segments at most."""
Rows = Iterable[tuple[bytes, bytes]]
"""(key, posting list), sorted by key."""
_ASKED_AT_ONCE = 500
_DEFINED, _NAMED = "=", "~"


class Segment:
    """A segment in the making. `terms`: the index terms of a token, remembered no longer than the segment is made."""

    def __init__(self) -> None:
        self.terms = cache(terms_of_token)
        self._lists: defaultdict[str, array[int]] = defaultdict(partial(array, "I"))

    def add(self, blob: int, analysis: Analysis, found: Mapping[str, Sequence[int]]) -> int:
        """Add a blob, once, by its number; `found`: the places of its terms. Returns how many they are."""
        total = 0
        for term, places in found.items():
            count = sum(places[1::2])
            self._lists[term].extend((blob, count))
            total += count
        names = dict.fromkeys(definition.name for definition in analysis.definitions)
        for name in names:
            self._lists[_DEFINED + name].extend((blob, 1))
        for term in dict.fromkeys(term for name in names for term in self.terms(name)):
            self._lists[_NAMED + term].extend((blob, 1))
        return total

    def rows(self) -> Rows:
        """Its rows."""
        return ((held(key), self._lists[key].tobytes()) for key in sorted(self._lists))


def held(term: str) -> bytes:
    """The key of an index term; no two kinds of keys are alike."""
    return term.encode(errors="surrogatepass")


def defined(name: str) -> bytes:
    """The key of a name that files define."""
    return held(_DEFINED + name)


def named(term: str) -> bytes:
    """The key of an index term of the names that files define."""
    return held(_NAMED + term)


def put_segment(database: sqlite3.Connection, rows: Rows) -> None:
    """Store the rows of a new segment. To be called in a transaction."""
    number = database.execute("SELECT ifnull(max(id), 0) + 1 FROM segment").fetchone()[0]
    stored = ((number, key, sealed(data, key)) for key, data in rows)
    database.executemany("INSERT INTO posting VALUES (?, ?, ?)", stored)
    size = "SELECT ?1, ifnull(sum(length(term) + length(data)), 0) FROM posting WHERE segment = ?1"
    database.execute(f"INSERT INTO segment {size}", (number,))


def lists_of(database: sqlite3.Connection, keys: Sequence[bytes]) -> Iterator[tuple[bytes, "array[int]", "array[int]"]]:
    """Yield (key, blobs, counts) of those keys that are in the index, once a segment. Raises Damaged."""
    for some in chunked(keys):
        wanted = ",".join("?" * len(some))
        asked = f"SELECT term, data FROM posting WHERE segment IN (SELECT id FROM segment) AND term IN ({wanted})"  # noqa: S608 - question marks only
        for key, data in database.execute(asked, some).fetchall():
            pairs = array("I", unsealed(data, key))
            yield key, pairs[::2], pairs[1::2]


def merge(database: sqlite3.Connection) -> None:
    """Merge the small segments if there are too many."""
    with transaction(database):
        found = database.execute("SELECT id, size FROM segment ORDER BY size, id").fetchall()
        chosen = found[: to_merge([size for _, size in found], SEGMENTS)]
        if chosen:
            numbers = ",".join(str(number) for number, _ in chosen)
            asked = f"SELECT term, data FROM posting WHERE segment IN ({numbers}) ORDER BY term, segment"  # noqa: S608 - numbers only
            same = groupby(database.execute(asked), itemgetter(0))
            put_segment(database, ((key, b"".join(unsealed(data, key) for _, data in lists)) for key, lists in same))
            for table, column in (("posting", "segment"), ("segment", "id")):
                database.execute(f"DELETE FROM {table} WHERE {column} IN ({numbers})")  # noqa: S608 - the same


def to_merge(sizes: Sequence[int], most: int) -> int:
    """How many segments to merge, of sizes that grow, so that at most `most` are left.

    The smallest, and as many more as are no larger than those before them together: so a list is written again only
    when what it is in has doubled.

    >>> to_merge([1, 1, 2, 50, 60], most=4)
    3
    """
    if len(sizes) <= most:
        return 0
    total = 0
    for taken, size in enumerate(sizes):
        if taken > len(sizes) - most and size > total:
            return taken
        total += size
    return len(sizes)


def chunked(keys: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """As many at a time as a question takes."""
    return (keys[at : at + _ASKED_AT_ONCE] for at in range(0, len(keys), _ASKED_AT_ONCE))
