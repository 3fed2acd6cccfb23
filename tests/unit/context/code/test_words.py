"""Index terms: identifiers in parts and whole, case and plurals gone."""

import pytest

from branchline.context.code.words import LONGEST, STOP, stem, terms_of, terms_of_token


@pytest.mark.parametrize(
    ("word", "terms"),
    [
        ("parse", ("parse",)),
        ("lineLength", ("length", "linelength")),  # `line` says nothing
        ("max_widths", ("max", "width", "maxwidths")),
        ("HTTPServer2", ("http", "server", "httpserver2")),
        ("queries", ("query",)),
        ("class_", ("class",)),
        ("x", ()),
        ("the", ()),
        ("___", ()),
    ],
)
def test_terms_are_the_parts_and_the_whole(word: str, terms: tuple[str, ...]) -> None:
    assert terms_of(word) == terms


def test_every_way_of_writing_a_name_shares_its_whole() -> None:
    ways = ("retryPolicy", "RetryPolicy", "retry_policy", "RETRY_POLICY", "_retry_policy")
    assert {terms_of(way)[-1] for way in ways} == {"retrypolicy"}


def test_a_double_s_is_no_plural() -> None:
    assert [stem(word) for word in ("class", "pass", "files", "is")] == ["class", "pass", "file", "is"]


def test_stop_words_are_lower_case_words() -> None:
    assert all(word.islower() and word.isalpha() for word in STOP)


@pytest.mark.parametrize(
    ("token", "terms"),
    [
        ("maxWidth", ("max", "width", "maxwidth")),
        ("12months", ("month",)),
        ("0x1F", terms_of("x1F")),
        ("9", ()),
        ("__", ()),
        ("9_", ()),
        ("y" * LONGEST, ("y" * LONGEST,)),
        ("12" + "z" * LONGEST, ("z" * LONGEST,)),
        ("y" * (LONGEST + 1), ()),
    ],
)
def test_numbers_lines_and_data_have_no_terms(token: str, terms: tuple[str, ...]) -> None:
    assert terms_of_token(token) == terms
