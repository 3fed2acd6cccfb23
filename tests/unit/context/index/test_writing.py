"""Blobs analysed and stored."""

from contextlib import closing

from branchline.context.code.analysis import Analysis
from branchline.context.index.cache import batches, rows_of, write
from branchline.context.index.database import connect
from branchline.context.index.scan import File, blob_id
from unit.context.indexing import analyse, tree_with


def sources(*texts: str) -> dict[File, bytes]:
    return {File("x", blob_id(text.encode())): text.encode() for text in texts}


def keys(*texts: str) -> list[bytes]:
    return [file.key for file in sources(*texts)]


def test_batches_hold_bounded_bytes() -> None:
    megabytes = {f"f{number:02}": b"%02d" % number * (1 << 20) for number in range(20)}
    tree = tree_with({**megabytes, "dark": None})
    found = list(batches(tree, tree.files))
    assert [file.path for batch in found for file in batch] == sorted(megabytes)
    assert len(found) > 2
    assert all(sum(map(len, batch.values())) <= 18 << 20 for batch in found)


def test_batches_hold_bounded_blobs() -> None:
    tree = tree_with({f"f{number}": "x" for number in range(4001)})
    assert [len(batch) for batch in batches(tree, tree.files)] == [4000, 1]


def test_what_is_there_is_not_analysed_again() -> None:
    seen = []

    def noted(data: bytes, path: str) -> Analysis:
        seen.append(data)
        return analyse(data, path)

    with closing(connect(None)) as database:
        assert write(database, None, sources("a", "b"), noted) == 2
        assert write(database, None, sources("b", "c"), noted) == 1
        assert write(database, None, sources("c"), noted) == 0
        assert seen == [b"a", b"b", b"c"]
        a, b, c = keys("a", "b", "c")
        found = rows_of(database, [a, b, c, b"d"])
        assert {key: row[0] for key, row in found.items()} == {a: 1, b: 2, c: 3}


def test_what_another_stored_meanwhile_is_stored_once() -> None:
    with closing(connect(None)) as database:

        def overtaken(data: bytes, path: str) -> Analysis:
            if data == b"one":
                write(database, None, sources("two"), analyse)
            return analyse(data, path)

        write(database, None, sources("one", "two"), overtaken)
        assert database.execute("SELECT count(*) FROM blob").fetchone() == (2,)
        assert set(rows_of(database, keys("one", "two"))) == set(keys("one", "two"))
