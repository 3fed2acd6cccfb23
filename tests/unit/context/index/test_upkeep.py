"""Merging and dropping, on the tables themselves."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from branchline.context.index import blobs, writing
from branchline.context.index.content import blob_id
from branchline.context.index.database import connect, transaction
from branchline.context.index.postings import BLOCK, Segment, held, unpack
from branchline.context.index.upkeep import SEGMENTS, lists_of, merge, prune, put_segment
from branchline.context.index.writing import Source
from unit.context.indexing import analyse


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    with closing(connect(None)) as made:
        yield made


def store(database: sqlite3.Connection, text: str, day: int = 1) -> int:
    """Write one blob and return its number."""
    key = bytes.fromhex(blob_id(text.encode()))
    writing.write(database, None, [Source(key, "x", text.encode())], analyse, day)
    return blobs.rows_of(database, [key])[key][0]


def holding(database: sqlite3.Connection, term: str) -> dict[int, int]:
    found: dict[int, int] = {}
    for _, block, data in lists_of(database, [held(term)]):
        places, counts = unpack(data)
        found |= {block * BLOCK + place: count for place, count in zip(places, counts, strict=True)}
    return found


def count(database: sqlite3.Connection, table: str) -> int:
    return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_segments_stay_few(database: sqlite3.Connection) -> None:
    stored = {store(database, f"common word{number}"): 1 for number in range(60)}
    assert count(database, "segment") <= SEGMENTS
    assert holding(database, "common") == stored
    assert (
        database.execute("SELECT count(*) FROM posting WHERE segment NOT IN (SELECT id FROM segment)").fetchone()[0]
        == 0
    )


def test_blobs_of_two_blocks_are_never_merged(database: sqlite3.Connection) -> None:
    first = store(database, "common one")
    database.execute("UPDATE counter SET next_blob = ?", (BLOCK,))
    stored = {store(database, f"common word{number}"): 1 for number in range(20)}
    assert min(stored) == BLOCK
    assert holding(database, "common") == {first: 1, **stored}
    assert {row[0] for row in database.execute("SELECT block FROM segment")} == {0, 1}


def test_a_segment_without_rows_is_none(database: sqlite3.Connection) -> None:
    with transaction(database):
        put_segment(database, 0, Segment().rows())
    merge(database, 0)
    assert count(database, "segment") == 0


def test_nothing_is_dropped_while_there_is_room(database: sqlite3.Connection) -> None:
    store(database, "one")
    assert prune(database, 1 << 30, ()) == 0


def test_what_was_used_last_stays(database: sqlite3.Connection) -> None:
    words = " ".join(f"w{number}" for number in range(3000))
    kept, new, old, older = (store(database, f"common {day} {words}", day) for day in (1, 4, 3, 2))
    filled = 4096 * int(database.execute("PRAGMA page_count").fetchone()[0])
    assert prune(database, filled - 1, {kept}) == 1
    assert set(holding(database, "common")) == set(holding(database, "w7")) == {kept, new, old}
    assert [row[0] for row in database.execute("SELECT id FROM blob ORDER BY id")] == [kept, new, old] != [older]
    assert count(database, "outline") == count(database, "chunks") == 3
    assert prune(database, 0, {kept, new, old}) == 0


def test_all_may_go(database: sqlite3.Connection) -> None:
    last = store(database, "common one")
    assert prune(database, 0, ()) == 1
    assert [count(database, table) for table in ("blob", "outline", "chunks", "segment", "posting", "tree")] == [0] * 6
    assert store(database, "common one") > last  # a number is never given twice
