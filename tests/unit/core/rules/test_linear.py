"""Patterns that no text can make slow."""

import time

from branchline.core.rules.linear import linear


def test_it_matches_bytes_whatever_they_are() -> None:
    found = linear(rb"\xff(.)\z").search(b"\0\xff\x80")
    assert found.span(1) == (2, 3)
    assert linear(rb"a(?:b|(c))").search(b"xac").lastindex == 1


def test_a_pattern_with_choices_within_choices_takes_linear_time() -> None:
    began = time.process_time()
    assert linear(rb"(?:a*)*b").search(b"a" * 1_000_000) is None
    assert time.process_time() - began < 1
