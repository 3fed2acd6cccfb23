"""What is kept of a blob, as bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchline.context.code.words import terms_of
from branchline.context.index.blobs import Members, key_of, pack, unpack_outline, unpack_pieces
from branchline.context.index.content import File, blob_id
from branchline.context.index.postings import Damaged, sealed
from unit.context.indexing import analyse, pieces_of


@given(st.text("def x\nimport \0", max_size=600), st.integers(1, 100))
def test_an_analysis_comes_back(text: str, times: int) -> None:
    analysis = analyse((text * times).encode(), "x.py")
    pieces = pieces_of(analysis)
    outline, chunks = pack(analysis, pieces)
    stored = unpack_pieces(chunks)
    assert (stored.heads, set(stored.places)) == (pieces.heads, set(pieces.places))
    for term in ("def", "x", "import", "absent"):
        wanted: dict[int, int] = {}
        for number, chunk in enumerate(analysis.chunks):
            count = sum(held for word, held in chunk.words.items() if term in terms_of(word))
            wanted |= {number: count} if count else {}
        assert stored.holding(term) == wanted
    *about, definitions, imports = unpack_outline(outline)
    assert (definitions, imports) == (analysis.definitions, analysis.imports)
    assert about == [
        *(analysis.language, analysis.flag, analysis.size),
        *(analysis.lines, analysis.tokens, analysis.sha256),
    ]


@given(st.binary(max_size=40))
def test_rubbish_is_damage(data: bytes) -> None:
    for bad in (data, b"x" + data, sealed(data), sealed(b"x" + data)):
        with pytest.raises(Damaged):
            unpack_outline(bad)
        with pytest.raises(Damaged):
            unpack_pieces(bad)


def test_a_blob_is_known_by_its_content_and_its_name() -> None:
    oid = blob_id(b"a")
    assert key_of(File("a/b/x.py", oid)) == key_of(File("x.py", oid, 7))
    assert len({key_of(File(path, oid)) for path in ("x.py", "x.js", "a/y.py", "\udcff")}) == 4


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 1))))
def test_members_come_back(rows: list[tuple[int, int, int]]) -> None:
    members = Members.of(rows)
    packed = members.pack()
    assert Members.unpack(packed, len(rows)) == members
    assert list(zip(members.blobs, members.terms, members.texts, strict=True)) == rows
    with pytest.raises(Damaged):
        Members.unpack(packed, len(rows) + 1)
