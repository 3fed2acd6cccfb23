"""Patterns that no text can make slow."""

import re
import time

import pytest

from branchline.core.rules.linear import compiled, linear


def test_it_matches_bytes_whatever_they_are() -> None:
    found = linear(rb"\xff(.)\z").search(b"\0\xff\x80")
    assert found.span(1) == (2, 3)
    assert linear(rb"a(?:b|(c))").search(b"xac").lastindex == 1


def test_a_pattern_with_choices_within_choices_takes_linear_time() -> None:
    began = time.process_time()
    assert linear(rb"(?:a*)*b").search(b"a" * 1_000_000) is None
    assert time.process_time() - began < 1


def test_it_matches_text() -> None:
    assert linear(r"(?P<value>\d+) é").search("x 12 é")["value"] == "12"


def test_what_needs_backtracking_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r"^invalid perl operator: \(\?=$"):
        linear(r"a(?=b)")


def test_a_pattern_is_compiled_once() -> None:
    assert compiled("a", re.ASCII) is compiled("a", re.ASCII)
