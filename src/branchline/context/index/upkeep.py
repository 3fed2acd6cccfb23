"""Keeping the index small: segments are merged, and what was not used for the longest is dropped."""

import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial

from branchline.context.index.blobs import chunked
from branchline.context.index.database import snapshot, transaction
from branchline.context.index.postings import BLOCK, Rows, living, merged, paged, sealed, to_merge, unpaged, unsealed

SEGMENTS = 8
"""Segments of a block, at most: each costs every query a look."""
_PLACES = """WITH wanted(term) AS (VALUES {}) SELECT term, s.block, (SELECT rowid FROM posting p
    WHERE p.segment = s.id AND p.first <= term ORDER BY p.first DESC LIMIT 1) FROM segment s CROSS JOIN wanted"""
_ROOM = 0.8  # of the bound, that is left filled when something has to go


def put_segment(database: sqlite3.Connection, block: int, rows: Rows) -> None:
    """Store the rows of a new segment, sorted by key. To be called in a transaction."""
    number = database.execute("SELECT ifnull(max(id), 0) + 1 FROM segment").fetchone()[0]
    size = 0

    def numbered() -> Iterator[tuple[int, bytes, bytes]]:
        nonlocal size
        for key, page in paged(rows):
            size += len(page)
            yield number, key, sealed(page)

    database.executemany("INSERT INTO posting VALUES (?, ?, ?)", numbered())
    if size:
        database.execute("INSERT INTO segment VALUES (?, ?, ?)", (number, block, size))


def lists_of(database: sqlite3.Connection, keys: Sequence[bytes]) -> list[tuple[bytes, int, bytes]]:
    """The (key, block, posting list) of those keys that are in the index, once a segment. Raises Damaged."""
    found = []
    with snapshot(database):
        for some in chunked(keys):
            wanted: dict[int | None, list[tuple[bytes, int]]] = {}
            for key, block, place in database.execute(_PLACES.format(",".join(["(?)"] * len(some))), some):
                wanted.setdefault(place, []).append((key, block))
            for place in wanted.keys() - {None}:
                (page,) = database.execute("SELECT page FROM posting WHERE rowid = ?", (place,)).fetchone()
                rows = unpaged(unsealed(page))
                found += [(key, block, rows[key]) for key, block in wanted[place] if key in rows]
    return found


def merge(database: sqlite3.Connection, block: int) -> None:
    """Merge the small segments of a block if there are too many."""
    with transaction(database):
        found = database.execute("SELECT id, size FROM segment WHERE block = ? ORDER BY id", (block,)).fetchall()
        chosen = [found[at][0] for at in to_merge([size for _, size in found], SEGMENTS)]
        if chosen:
            _merge(database, block, sorted(chosen), lambda rows: rows)


def prune(database: sqlite3.Connection, most_bytes: int, keep: Collection[int]) -> int:
    """Drop the blobs that were not used for the longest if the index is larger than `most_bytes`; how many.

    `keep`: numbers of blobs that stay.
    """
    pages, free, size = (
        database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    filled = int((pages - free) * size)
    if filled <= most_bytes:
        return 0
    asked = """SELECT b.id, length(o.data) + length(c.data) FROM blob b JOIN outline o ON o.blob = b.id
        JOIN chunks c ON c.blob = b.id ORDER BY b.used, b.id"""
    sizes = database.execute(asked).fetchall()
    too_many = sum(size for _, size in sizes) * (1 - _ROOM * most_bytes / filled)
    dropped = []
    for blob, size in sizes:
        if too_many <= 0:
            break
        if blob not in keep:
            dropped.append(blob)
            too_many -= size
    if dropped:
        with transaction(database):
            _drop(database, dropped)
        database.execute("PRAGMA incremental_vacuum").fetchall()
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return len(dropped)


def _drop(database: sqlite3.Connection, dropped: Iterable[int]) -> None:
    """Remove blobs, their postings too. Which blobs a tree has is worked out again when it is next asked for."""
    gone: dict[int, bytearray] = {}
    for blob in dropped:
        block, place = divmod(blob, BLOCK)
        gone.setdefault(block, bytearray(b"\1" * BLOCK))[place] = 0
    for table, name in (("blob", "id"), ("outline", "blob"), ("chunks", "blob")):
        database.executemany(f"DELETE FROM {table} WHERE {name} = ?", ((blob,) for blob in dropped))  # noqa: S608 - constants
    database.execute("DELETE FROM tree")
    for block, alive in gone.items():
        segments = [row[0] for row in database.execute("SELECT id FROM segment WHERE block = ? ORDER BY id", (block,))]
        _merge(database, block, segments, partial(living, alive=alive))


def _merge(database: sqlite3.Connection, block: int, segments: list[int], change: Callable[[Rows], Rows]) -> None:
    put_segment(database, block, change(merged(_rows(database, number) for number in segments)))
    for number in segments:
        database.execute("DELETE FROM posting WHERE segment = ?", (number,))
        database.execute("DELETE FROM segment WHERE id = ?", (number,))


def _rows(database: sqlite3.Connection, segment: int) -> Rows:
    asked = "SELECT page FROM posting WHERE segment = ? ORDER BY first"
    return (row for (page,) in database.execute(asked, (segment,)) for row in unpaged(unsealed(page)).items())
