"""The inverted index: segments made, stored, asked and merged."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchline.context.index.database import Damaged, connect, transaction
from branchline.context.index.postings import (
    SEGMENTS,
    Segment,
    defined,
    held,
    lists_of,
    merge,
    named,
    put_segment,
    to_merge,
)
from unit.context.indexing import analyse, places_in


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    with closing(connect(None)) as made:
        yield made


def added(made: Segment, blob: int, text: str) -> int:
    analysis = analyse(text.encode(), "x")
    return made.add(blob, analysis, places_in(analysis))


def store(database: sqlite3.Connection, texts: dict[int, str]) -> None:
    """Write a segment of these blobs."""
    made = Segment()
    for blob, text in texts.items():
        added(made, blob, text)
    with transaction(database):
        put_segment(database, made.rows())


def holding(database: sqlite3.Connection, key: bytes) -> dict[int, int]:
    found: dict[int, int] = {}
    for _, blobs, counts in lists_of(database, [key]):
        found |= zip(blobs, counts, strict=True)
    return found


def count(database: sqlite3.Connection, asked: str) -> int:
    return int(database.execute(f"SELECT count(*) FROM {asked}").fetchone()[0])


def test_terms_names_and_terms_of_names(database: sqlite3.Connection) -> None:
    assert added(Segment(), 7, "def ReadBooks books\n\nbooks") == 5
    store(database, {7: "def ReadBooks books\n\nbooks"})
    wanted = {held("read"): 1, held("book"): 3, held("readbooks"): 1, defined("ReadBooks"): 1}
    wanted |= {named("read"): 1, named("book"): 1, named("readbooks"): 1}
    assert {key: holding(database, key) for key in wanted} == {key: {7: times} for key, times in wanted.items()}
    assert count(database, "posting") == len(wanted)


def test_a_term_may_be_very_common() -> None:
    made = Segment()
    assert added(made, 1, "many " * 70_000 + "rare") == 70_001


def test_any_name_has_a_key() -> None:
    keys = [make(name) for make in (held, defined, named) for name in ("", "a", "é", "\ud800", "\U0010ffff")]
    assert len(set(keys)) == len(keys)


def test_many_keys_are_asked_for_at_once(database: sqlite3.Connection) -> None:
    store(database, {1: " ".join(f"word{number}x" for number in range(1200))})
    keys = [held(f"word{number}x") for number in range(1300)]
    assert len(list(lists_of(database, keys))) == 1200


@pytest.mark.parametrize("statement", ["data = x'787878'", "data = 'text'", "term = x'6d6f6e'"])
def test_a_changed_list_is_damage(database: sqlite3.Connection, statement: str) -> None:
    store(database, {1: "common"})
    database.execute(f"UPDATE posting SET {statement} WHERE term = ?", (held("common"),))
    with pytest.raises(Damaged):
        list(lists_of(database, [held("common"), held("mon")]))


TEXTS = st.dictionaries(st.integers(1, 300), st.text("abc \n", max_size=20), max_size=12)


@given(st.lists(st.text("abc d\n", max_size=20), max_size=30))
def test_segments_stay_few_and_say_the_same(texts: list[str]) -> None:
    with closing(connect(None)) as database, closing(connect(None)) as whole:
        for blob, text in enumerate(texts, 1):
            store(database, {blob: text})
            merge(database)
        store(whole, dict(enumerate(texts, 1)))
        assert count(database, "segment") <= SEGMENTS
        assert count(database, "posting WHERE segment NOT IN (SELECT id FROM segment)") == 0
        keys = {bytes(row[0]) for row in whole.execute("SELECT term FROM posting")}
        assert {row[0] for row in database.execute("SELECT term FROM posting")} == keys
        for key in keys:
            assert holding(database, key) == holding(whole, key)


@given(st.lists(st.integers(0, 1000), max_size=20).map(sorted), st.integers(1, 8))
def test_the_smallest_are_merged(sizes: list[int], most: int) -> None:
    chosen = to_merge(sizes, most)
    assert chosen != 1
    assert len(sizes) - chosen + bool(chosen) <= most
    assert all(size > sum(sizes[:chosen]) for size in sizes[chosen:]) or not chosen
    assert bool(chosen) == (len(sizes) > most)


def test_a_list_is_written_again_only_as_it_doubles() -> None:
    sizes, written = list[int](), 0
    for _ in range(4096):
        sizes = sorted([*sizes, 1])
        chosen = to_merge(sizes, 8)
        if chosen:
            merged_size = sum(sizes[:chosen])
            written += merged_size
            sizes = [*sizes[chosen:], merged_size]
    assert sum(sizes) == 4096
    assert written <= 4096 * 12  # log2
