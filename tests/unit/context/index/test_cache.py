"""The index as a whole: what is added is found, whatever happened to the file before."""

import errno
import os
import random
import re
import shutil
import sqlite3
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from branchline.context.code.analysis import Analysis
from branchline.context.code.words import WORD, terms_of
from branchline.context.index.cache import Index
from branchline.context.index.database import connect, transaction
from branchline.context.index.indexed import IndexedCorpus
from unit.context.indexing import Texts, analyse, surely, tree_with

FILES = {"a.py": "def Total price", "b.py": "Total price price"}


def file_of(folder: Path) -> Path:
    (path,) = folder.glob("*.sqlite")
    return path


def naive(texts: Mapping[str, str]) -> dict[str, list[tuple[int, int]]]:
    """Which of the files hold each term, worked out by hand."""
    found: dict[str, list[tuple[int, int]]] = {}
    for file, path in enumerate(sorted(texts)):
        counts = Counter(term for word in WORD.findall(texts[path]) for term in terms_of(word))
        for term, count in counts.items():
            found.setdefault(term, []).append((file, count))
    return found


def check(index: Index, texts: Mapping[str, str]) -> None:
    """Whether the index tells of a tree what is so."""
    surely(index, tree_with(texts), lambda corpus: check_corpus(corpus, texts))


def check_corpus(corpus: IndexedCorpus, texts: Mapping[str, str]) -> None:
    assert list(corpus.paths) == sorted(texts)
    words = {word for text in texts.values() for word in WORD.findall(text)}
    wanted = naive(texts)
    for term in {term for word in words for term in terms_of(word)}:
        assert list(corpus.postings(term).items()) == wanted[term]
    definers: dict[str, list[int]] = {}
    for file, path in enumerate(sorted(texts)):
        for name in sorted(set(re.findall(r"def\s+(\w+)", texts[path], re.ASCII))):
            definers.setdefault(name, []).append(file)
    assert corpus.defining(words) == definers
    for file, path in enumerate(sorted(texts)):
        assert corpus.analysis(file).sha256 == analyse(texts[path].encode(), path).sha256
        assert corpus.lengths[file] == sum(len(terms_of(word)) for word in WORD.findall(texts[path]))


LINES = st.sampled_from(["def Total", "def parseJson", "Total", "price prices", "json", "", "é", "rare"])
TEXTS = st.dictionaries(
    st.sampled_from(["a.py", "b.py", "d/a.py", "d/b.py", "e/c.go"]), st.lists(LINES, max_size=4).map("\n".join)
)


@settings(max_examples=60, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=24), st.randoms(use_true_random=False))
def test_any_trees_in_any_order(trees: list[dict[str, str]], chance: random.Random) -> None:
    with closing(Index(None)) as index:
        for texts in trees:
            index.add(tree_with(texts), analyse)
            if chance.random() < 0.1:
                index.bound(0, tree_with(texts))
            again = chance.choice(trees)
            index.add(tree_with(again), analyse)
            check(index, again)
            check(index, texts) if index.add(tree_with(texts), analyse) == 0 else None


def test_only_what_is_new_is_analysed(tmp_path: Path) -> None:
    seen = Counter[str]()

    def noted(data: bytes, path: str) -> Analysis:
        seen[path] += 1
        return analyse(data, path)

    with closing(Index(tmp_path)) as index:
        assert index.add(tree_with({"a.py": "x", "d/a.py": "x", "b.py": "x"}), noted) == 2
    with closing(Index(tmp_path)) as index:
        assert index.add(tree_with({"a.py": "x", "c/a.py": "x", "b.py": "y"}), noted) == 1
        assert index.add(tree_with({"a.py": "x", "c/a.py": "x", "b.py": "y"}), noted) == 0
    assert seen == {"a.py": 1, "b.py": 2}


def test_analyses_of_another_version_are_not_used(tmp_path: Path) -> None:
    for version in ("1", "2"):
        with closing(Index(tmp_path, version=version)) as index:
            assert index.add(tree_with(FILES), analyse) == 2


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    tree = tree_with({f"f{number}": f"{number}" for number in range(4001)})
    Index(None).add(tree, analyse, lambda done, count: told.append((done, count)))
    assert told == [(4000, 4001), (4001, 4001)]


def test_what_could_not_be_read_is_tried_again(tmp_path: Path) -> None:
    texts: dict[str, bytes | None] = {"a.py": b"one", "b.py": None}
    reader = Texts(texts)
    tree = tree_with(texts, reader)
    with closing(Index(tmp_path)) as index:
        assert index.add(tree, analyse) == 1
        assert IndexedCorpus(index, tree).left_out == {"b.py": "unreadable"}
        reader.texts = {"b.py": b"?"}
        assert index.add(tree, analyse) == 1
        assert IndexedCorpus(index, tree).left_out == {}
    assert reader.asked == ["a.py", "b.py", "b.py"]


def test_a_tree_that_was_never_added_is_empty() -> None:
    corpus = IndexedCorpus(Index(None), tree_with(FILES))
    assert corpus.paths == []
    assert set(corpus.left_out) == set(FILES)


def test_values_are_kept_until_there_are_too_many(tmp_path: Path) -> None:
    with closing(Index(tmp_path)) as index:
        assert index.get("a") is None
        index.put("a", b"1")
        index.put("a", b"2")
    megabyte = bytes(1 << 20)
    with closing(Index(tmp_path)) as index:
        assert index.get("a") == b"2"
        for number in range(70):
            index.put(f"large {number}", megabyte)
        assert index.get("a") is None
        assert index.get("large 0") is None
        assert index.get("large 69") == megabyte


def test_a_tree_of_known_blobs_is_kept_too() -> None:
    index = Index(None)
    index.add(tree_with(FILES), analyse)
    assert index.add(tree_with({"a.py": FILES["a.py"]}), analyse) == 0
    assert index.database.execute("SELECT count(*) FROM kept WHERE key LIKE 'members/%'").fetchone() == (2,)


def test_a_question_about_a_known_tree_writes_nothing(tmp_path: Path) -> None:
    with closing(Index(tmp_path)) as index:
        index.add(tree_with(FILES), analyse)
        changes = index.database.total_changes
        check(index, FILES)
        assert index.database.total_changes == changes


def test_an_index_that_is_too_large_is_emptied_unless_it_is_of_one_tree(tmp_path: Path) -> None:
    with closing(Index(tmp_path)) as index:
        index.add(tree_with(many()), analyse)
        index.add(tree_with(FILES), analyse)
        (large,) = index.database.execute("PRAGMA page_count").fetchone()
        index.bound(1 << 30, tree_with(FILES))
        assert index.add(tree_with(FILES), analyse) == 0
        index.bound(0, tree_with(FILES))
        assert index.database.execute("PRAGMA page_count").fetchone()[0] < large / 2
        assert index.add(tree_with(FILES), analyse) == 2
        check(index, FILES)
        index.bound(0, tree_with(FILES))
        assert index.add(tree_with(FILES), analyse) == 0


def test_nothing_is_emptied_while_another_process_writes(tmp_path: Path) -> None:
    with closing(Index(tmp_path)) as index:
        index.add(tree_with(many()), analyse)
        with closing(connect(file_of(tmp_path))) as other, transaction(other):
            index.database.execute("PRAGMA busy_timeout=50")
            index.bound(0, tree_with(FILES))
        assert index.add(tree_with(many()), analyse) == 0


RUBBISH = {
    "rubbish": b"rubbish" * 1000,
    "another file of SQLite": None,
    "nothing at all": b"",
    "only a head": b"SQLite format 3\0",
}


@pytest.mark.parametrize("kind", RUBBISH)
def test_a_file_that_is_no_index_is_replaced(tmp_path: Path, kind: str) -> None:
    Index(tmp_path).close()
    path = file_of(tmp_path)
    path.unlink()
    data = RUBBISH[kind]
    if data is None:
        with closing(sqlite3.connect(path)) as other:
            other.execute("CREATE TABLE blob (x)")
    else:
        path.write_bytes(data)
    with closing(Index(tmp_path)) as index:
        check(index, FILES)
        assert index.warnings == []
    with closing(Index(tmp_path)) as index:
        assert index.add(tree_with(FILES), analyse) == 0


def many() -> dict[str, str]:
    return {f"f{number}.py": f"def name{number}\nshared word{number % 7}\n" * 5 for number in range(300)}


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_file_is_made_again(tmp_path: Path, seed: int) -> None:
    """Pages overwritten or cut off, at any place: a query gives what is so, or the index is made again."""
    with closing(Index(tmp_path)) as index:
        index.add(tree_with(many()), analyse)
    path, chance = file_of(tmp_path), random.Random(seed)
    data = bytearray(path.read_bytes())
    assert len(data) > 20 * 4096
    if seed % 3 == 0:
        del data[chance.randrange(100, len(data)) :]
    for _ in range(chance.randrange(1, 20)):
        at = chance.randrange(len(data) // 4096 + 1) * 4096
        data[at : at + 4096] = chance.randbytes(min(4096, max(0, len(data) - at)))
    path.write_bytes(data)
    with closing(Index(tmp_path)) as index:
        check(index, many())
        assert index.warnings == []


def test_damage_that_comes_back_is_left_to_itself(tmp_path: Path) -> None:
    with closing(Index(tmp_path)) as index:
        check(index, FILES)
        for warnings in (0, 1):
            index.database.execute("UPDATE posting SET data = x'787878'")
            check(index, FILES)
            assert len(index.warnings) == warnings
        assert str(tmp_path) in index.warnings[0]
        index.database.execute("UPDATE posting SET data = x'787878'")
        with pytest.raises(sqlite3.DatabaseError):
            check(index, FILES)
    with closing(Index(tmp_path)) as index:
        assert index.add(tree_with(FILES), analyse) == 0


def test_a_full_disk_is_done_without(tmp_path: Path) -> None:
    with closing(Index(tmp_path)) as index:
        index.add(tree_with(FILES), analyse)
    with closing(Index(tmp_path)) as index:
        index.database.execute("PRAGMA max_page_count=1")
        index.put("large", bytes(1 << 20))
        assert index.get("large") is None
        check(index, many())
        (warning,) = index.warnings
        assert "full" in warning
    with closing(Index(tmp_path)) as index:
        assert index.add(tree_with(FILES), analyse) == 0


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with closing(Index(tmp_path / "file" / "below")) as index:
        assert index.add(tree_with(FILES), analyse) == 2
        check(index, FILES)
        (warning,) = index.warnings
        assert os.strerror(errno.ENOTDIR) in warning or os.strerror(errno.EEXIST) in warning


def test_a_file_that_may_not_be_written_is_done_without(tmp_path: Path) -> None:
    with closing(Index(tmp_path)) as index:
        index.add(tree_with(FILES), analyse)
    with closing(Index(tmp_path)) as index:
        index.database.execute("PRAGMA query_only=1")
        assert index.add(tree_with(FILES), analyse) == 0
        check(index, FILES)
        assert index.warnings == []
        check(index, many())
        assert len(index.warnings) == 1


def test_an_index_whose_file_goes_while_it_is_used(tmp_path: Path) -> None:
    with closing(Index(tmp_path / "cache")) as index:
        index.add(tree_with(FILES), analyse)
        shutil.rmtree(tmp_path / "cache")
        check(index, many())
        check(index, FILES)


def test_a_closed_index_is_our_own_fault(tmp_path: Path) -> None:
    with closing(Index(tmp_path)) as index:
        index.add(tree_with(FILES), analyse)
    with pytest.raises(sqlite3.ProgrammingError):
        index.add(tree_with(FILES), analyse)
    assert index.warnings == []
    with closing(Index(tmp_path)) as index:
        assert index.add(tree_with(FILES), analyse) == 0
