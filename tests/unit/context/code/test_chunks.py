"""Chunks: one after the other, whole lines, every word in one of them."""

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchline.context.code.analyse import analyse
from branchline.context.code.analysis import Chunk
from branchline.context.code.chunks import code_chunks, text_chunks
from unit.context.samples import SAMPLES


def spans(chunks: tuple[Chunk, ...]) -> list[tuple[str, int, int]]:
    return [(one.name, one.start, one.end) for one in chunks]


def words_in(text: str) -> Counter[str]:
    return Counter(re.findall(r"[A-Za-z0-9_]+", text))


def test_a_class_is_cut_into_its_head_its_methods_and_what_is_between() -> None:
    source = '''"""Doc."""
import a

# Of A.
class A:
    x = 1

    def f(self):
        return 1

    y = 2

    def g(self):
        return 2


z = 3
'''
    found = analyse(source.encode(), "a.py")
    assert spans(found.chunks) == [
        ("", 1, 3), ("A", 4, 7), ("A.f", 8, 9), ("A", 10, 12), ("A.g", 13, 14), ("", 15, 17),
    ]  # fmt: skip


def test_small_definitions_stay_with_what_is_around_them() -> None:
    source = "A = 1\ndef f(): pass\nB = [\n  1,\n]\nC = [\n  1,\n  2,\n  3,\n]\n"
    assert spans(analyse(source.encode(), "a.py").chunks) == [("", 1, 5), ("C", 6, 10)]


def test_a_line_of_two_definitions_belongs_to_the_first() -> None:
    source = "class A {\n  int f() {\n  } int g() {\n    h();\n  }\n}\n"
    assert spans(analyse(source.encode(), "A.java").chunks) == [("A", 1, 1), ("A.f", 2, 3), ("A.g", 4, 6)]
    assert spans(analyse(b"class A { int f() {\n}\n}\n", "A.java").chunks) == [("A", 1, 3)]


def test_a_large_definition_is_cut_into_pieces_of_its_name() -> None:
    source = "def f():\n" + "    word = 12345\n" * 100 + "\n\ndef g():\n    pass\n"
    chunks = analyse(source.encode(), "a.py", chunk_tokens=100, overlap=50).chunks
    assert [one.name for one in chunks] == ["f", "f", "f", "f", "g"]
    assert [(one.start, one.end) for one in chunks[:2]] == [(1, 26), (27, 52)]
    assert chunks[3].end + 1 == chunks[4].start == 104


def test_text_is_cut_into_windows_that_overlap() -> None:
    text = "".join(f"line {n:03}\n" for n in range(1, 101)).encode()
    chunks = text_chunks(text, 90, 9)
    assert [(one.start, one.end) for one in chunks] == [(1, 40), (37, 76), (73, 100)]


def test_a_line_is_never_cut() -> None:
    text = b"a " * 1000 + b"\nb\n" + b"c " * 1000
    assert spans(text_chunks(text, 10, 5)) == [("", 1, 1), ("", 2, 3)]


def test_windows_of_any_numbers() -> None:
    for tokens, overlap in [(0, 0), (-5, -5), (1, 100), (10**9, 10**9)]:
        chunks = text_chunks(b"one\ntwo\nthree\n" * 50, tokens, overlap)
        assert chunks[-1].end == 150


@pytest.mark.parametrize("path", SAMPLES)
def test_every_word_of_a_program_is_in_one_chunk(path: str) -> None:
    total: Counter[str] = Counter()
    for chunk in analyse(SAMPLES[path].encode(), path).chunks:
        total.update(chunk.words)
    assert total == words_in(SAMPLES[path])


@given(st.text(alphabet="ab_19 Z.\né\t"))
def test_words_are_letters_digits_and_underscores(text: str) -> None:
    chunks = code_chunks(text.encode(), [], 800)
    assert [one.words for one in chunks] == ([words_in(text)] if text else [])
