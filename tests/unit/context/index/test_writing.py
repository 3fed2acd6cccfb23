"""Blobs analysed and stored."""

from contextlib import closing

from branchline.context.code.analysis import Analysis
from branchline.context.index.blobs import key_of, rows_of
from branchline.context.index.database import connect
from branchline.context.index.postings import BLOCK
from branchline.context.index.writing import Source, batches, write
from unit.context.indexing import Texts, analyse, tree_with


def source(text: str) -> Source:
    return Source(text.encode(), "x", text.encode())


def test_batches_hold_bounded_bytes() -> None:
    megabytes = {f"f{number:02}": b"%02d" % number * (1 << 20) for number in range(20)}
    tree = tree_with({**megabytes, "dark": None})
    found = list(batches(tree, {key_of(file): file for file in tree.files}))
    assert [one.name for batch in found for one in batch] == sorted(megabytes)
    assert len(found) > 2
    assert all(sum(len(one.data) for one in batch) <= 18 << 20 for batch in found)
    assert isinstance(tree.reader, Texts)


def test_batches_hold_bounded_blobs() -> None:
    tree = tree_with({f"f{number}": "x" for number in range(4001)})
    assert [len(batch) for batch in batches(tree, {key_of(file): file for file in tree.files})] == [4000, 1]


def test_what_is_there_is_not_analysed_again() -> None:
    seen = []

    def noted(data: bytes, path: str) -> Analysis:
        seen.append(data)
        return analyse(data, path)

    with closing(connect(None)) as database:
        assert write(database, None, [source("a"), source("b")], noted, 1) == 2
        assert write(database, None, [source("b"), source("c")], noted, 1) == 1
        assert write(database, None, [source("c")], noted, 1) == 0
        assert seen == [b"a", b"b", b"c"]
        assert {key: row[0] for key, row in rows_of(database, [b"a", b"b", b"c", b"d"]).items()} == {
            b"a": 1,
            b"b": 2,
            b"c": 3,
        }


def test_what_another_stored_meanwhile_is_stored_once() -> None:
    with closing(connect(None)) as database:

        def overtaken(data: bytes, path: str) -> Analysis:
            if data == b"one":
                write(database, None, [source("two")], analyse, 1)
            return analyse(data, path)

        assert write(database, None, [source("one"), source("two")], overtaken, 1) == 1
        assert database.execute("SELECT count(*) FROM blob").fetchone() == (2,)
        assert set(rows_of(database, [b"one", b"two"])) == {b"one", b"two"}


def test_numbers_of_a_batch_are_of_one_block() -> None:
    with closing(connect(None)) as database:
        database.execute("UPDATE counter SET next_blob = ?", (BLOCK - 1,))
        write(database, None, [source("a"), source("b")], analyse, 1)
        assert [row[0] for row in rows_of(database, [b"a", b"b"]).values()] == [BLOCK, BLOCK + 1]
