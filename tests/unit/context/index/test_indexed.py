"""A tree as the index knows it."""

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from branchline.context.code.words import terms_of
from branchline.context.index.cache import Emptied, Index
from branchline.context.index.database import Damaged, sealed
from branchline.context.index.indexed import IndexedCorpus
from unit.context.indexing import analyse, tree_with

FILES: Mapping[str, str | bytes | None] = {
    "a.py": "import b\n\ndef Total price price",
    "b.py": "def Widget price",
    "copy/b.py": "def Widget price",
    "dark.py": None,
    "data.bin": b"\0price",
    "empty.py": "",
    "z/a.py": "Total",
}


@pytest.fixture
def corpus() -> IndexedCorpus:
    index, tree = Index(None), tree_with(FILES)
    index.add(tree, analyse)
    return IndexedCorpus(index, tree)


def test_files_are_numbers_in_the_order_of_paths(corpus: IndexedCorpus) -> None:
    assert corpus.paths == ["a.py", "b.py", "copy/b.py", "empty.py", "z/a.py"]
    assert corpus.left_out == {"dark.py": "unreadable", "data.bin": "binary"}
    assert [corpus.lengths[file] for file in (1, 2, 3, 4)] == [2, 2, 0, 1]


def test_what_holds_a_term(corpus: IndexedCorpus) -> None:
    assert list(corpus.postings("total").items()) == [(0, 1), (4, 1)]
    assert list(corpus.postings("widget").items()) == [(1, 1), (2, 1)]
    for absent in ("", "Total", "x" * 5000, "\udcff", "\0", "%", "'"):
        assert corpus.postings(absent) == {}


def test_what_defines_a_name(corpus: IndexedCorpus) -> None:
    assert corpus.defining(["Widget", "Total", "widget", "", "\udcff"]) == {"Widget": [1, 2], "Total": [0]}
    assert corpus.naming("widget") == [1, 2]
    assert corpus.naming("Widget") == []


def test_what_is_known_of_a_file(corpus: IndexedCorpus) -> None:
    whole = analyse(b"import b\n\ndef Total price price", "a.py")
    assert corpus.analysis(0).definitions == whole.definitions
    assert corpus.analysis(0).sha256 == whole.sha256
    assert [head.start for head in corpus.pieces(0).heads] == [chunk.start for chunk in whole.chunks]
    assert corpus.pieces(0).holding("total") == {1: 1}
    assert corpus.pieces(1) == corpus.pieces(2)


def test_outlines_of_all_files(corpus: IndexedCorpus) -> None:
    found = {
        file: (language, [d.name for d in defined], [i.module for i in imports])
        for file, language, defined, imports in corpus.outlines()
    }
    assert found[0] == ("a.py", ["Total"], ["b"])
    assert sorted(found) == [0, 1, 2, 3, 4]


def test_without_graph_history_and_texts(corpus: IndexedCorpus) -> None:
    assert [list(corpus.graph.imports(file)) for file in range(5)] == [[]] * 5
    assert list(corpus.history.churn) == [0.0] * 5
    assert corpus.history.changed_with(0) == {}
    assert corpus.read(["a.py", "b.py"]) == {"a.py": None, "b.py": None}


def test_an_analysis_comes_back(corpus: IndexedCorpus) -> None:
    whole = analyse(b"import b\n\ndef Total price price", "a.py")
    assert corpus.analysis(0) == msgspec.structs.replace(whole, chunks=())
    for term in ("total", "price", "absent"):
        wanted = {
            number: count
            for number, chunk in enumerate(whole.chunks)
            if (count := sum(held for word, held in chunk.words.items() if term in terms_of(word)))
        }
        assert corpus.pieces(0).holding(term) == wanted


@pytest.mark.parametrize("rubbish", [b"", b"rubbish", sealed(b"rubbish"), sealed(b"\x90"), None])
def test_rubbish_is_damage(rubbish: bytes | None) -> None:
    index, tree = Index(None), tree_with(FILES)
    index.add(tree, analyse)
    corpus = IndexedCorpus(index, tree)
    index.database.execute("UPDATE analysis SET outline = ifnull(?, 7), chunks = ifnull(?, 7)", (rubbish, rubbish))
    with pytest.raises(Damaged):
        corpus.analysis(0)
    with pytest.raises(Damaged):
        corpus.pieces(0)


def test_an_analysis_that_is_missing_is_damage(corpus: IndexedCorpus) -> None:
    corpus._index.database.execute("DELETE FROM analysis")
    with pytest.raises(Damaged):
        corpus.analysis(0)


def test_an_index_that_another_process_has_emptied(tmp_path: Path) -> None:
    index, tree = Index(tmp_path), tree_with(FILES)
    index.add(tree, analyse)
    corpus = IndexedCorpus(index, tree)
    with closing(Index(tmp_path)) as other:
        other.add(tree_with({f"{number}.py": str(number) for number in range(20)}), analyse)
        index.confirm()
        other.bound(0, tree)
    assert corpus.postings("total") == {}
    for answer in (index.confirm, lambda: corpus.analysis(0), lambda: corpus.pieces(0)):
        with pytest.raises(Emptied):
            answer()
    index.add(tree, analyse)
    assert IndexedCorpus(index, tree).postings("total") == {0: 1, 4: 1}
