"""Segments of the inverted index: made, joined, thinned out."""

import sqlite3
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchline.context.index.postings import (
    BLOCK,
    MOST,
    Damaged,
    Rows,
    Segment,
    defined,
    held,
    living,
    merged,
    named,
    sealed,
    to_merge,
    unpack,
    unsealed,
)
from unit.context.indexing import analyse, pieces_of


def lists(rows: Rows) -> dict[bytes, dict[int, int]]:
    """Each key with its blobs and counts. Rows are sorted and each key is there once."""
    found = list(rows)
    assert [key for key, _ in found] == sorted({key for key, _ in found})
    return {key: dict(zip(*unpack(data), strict=True)) for key, data in found}


def added(made: Segment, blob: int, text: str) -> int:
    analysis = analyse(text.encode(), "x")
    return made.add(blob, analysis, pieces_of(analysis))


def segment(texts: dict[int, str]) -> Segment:
    made = Segment()
    for blob, text in texts.items():
        added(made, blob, text)
    return made


def test_terms_names_and_terms_of_names() -> None:
    made = Segment()
    assert added(made, BLOCK + 7, "def ReadBooks books\n\nbooks") == 5
    assert lists(made.rows()) == {
        held("read"): {7: 1},
        held("book"): {7: 3},
        held("readbooks"): {7: 1},
        defined("ReadBooks"): {7: 1},
        named("read"): {7: 1},
        named("book"): {7: 1},
        named("readbooks"): {7: 1},
    }


def test_a_count_has_a_limit() -> None:
    made = Segment()
    assert added(made, 1, "many " * (MOST + 5) + "rare") == MOST + 6
    assert lists(made.rows()) == {held("many"): {1: MOST}, held("rare"): {1: 1}}


def test_any_name_has_a_key() -> None:
    keys = [make(name) for make in (held, defined, named) for name in ("", "a", "é", "\ud800", "\U0010ffff")]
    assert len(set(keys)) == len(keys)


def test_a_list_that_is_cut_off() -> None:
    with pytest.raises(Damaged) as caught:
        unpack(b"12345")
    assert isinstance(caught.value, sqlite3.DatabaseError)


@given(st.binary(max_size=20), st.integers(0, 200))
def test_a_changed_value_is_damage(data: bytes, at: int) -> None:
    kept = sealed(data)
    assert unsealed(kept) == data
    flipped = bytearray(kept)
    flipped[at % len(kept)] ^= 1 << at % 8
    for bad in (bytes(flipped), kept[:-1], "text", 7, None):
        with pytest.raises(Damaged):
            unsealed(bad)


TEXTS = st.dictionaries(st.integers(1, 30), st.text("ab \n", max_size=20), max_size=6)


@given(TEXTS, st.lists(st.integers(1, 30), max_size=3))
def test_segments_joined_are_one_segment(texts: dict[int, str], cuts: list[int]) -> None:
    bounds = [0, *sorted(set(cuts)), 31]
    parts = [
        segment({blob: text for blob, text in texts.items() if low < blob <= high}) for low, high in pairwise(bounds)
    ]
    assert lists(merged([part.rows() for part in parts])) == lists(segment(texts).rows())


@given(TEXTS, st.sets(st.integers(1, 30)))
def test_a_segment_without_what_is_gone(texts: dict[int, str], gone: set[int]) -> None:
    alive = bytearray(blob not in gone for blob in range(BLOCK))
    left = segment({blob: text for blob, text in texts.items() if blob not in gone})
    assert lists(living(segment(texts).rows(), alive)) == lists(left.rows())


@given(st.lists(st.integers(0, 1000), max_size=20), st.integers(1, 8))
def test_the_smallest_are_merged(sizes: list[int], most: int) -> None:
    chosen = to_merge(sizes, most)
    left = [size for at, size in enumerate(sizes) if at not in chosen]
    assert len(set(chosen)) == len(chosen) != 1
    assert len(left) + bool(chosen) <= most
    assert all(size > sum(sizes[at] for at in chosen) for size in left) or not chosen
    assert bool(chosen) == (len(sizes) > most)


def test_a_list_is_written_again_only_as_it_doubles() -> None:
    sizes, written = list[int](), 0
    for _ in range(4096):
        sizes.append(1)
        chosen = to_merge(sizes, 8)
        if chosen:
            merged_size = sum(sizes[at] for at in chosen)
            written += merged_size
            sizes = [size for at, size in enumerate(sizes) if at not in chosen] + [merged_size]
    assert sum(sizes) == 4096
    assert written <= 4096 * 12  # log2
