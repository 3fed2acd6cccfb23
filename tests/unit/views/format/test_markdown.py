import pytest

from branchline.views.format.markdown import code, escaped, section, table


@pytest.mark.parametrize(
    ("raw", "span"), [("main", "`main`"), ("a`b", "`` a`b ``"), ("a``b", "``` a``b ```"), ("", "")]
)
def test_code_spans_hold_any_backticks(raw: str, span: str) -> None:
    assert code(raw) == span


def test_escaped_text_is_one_inert_line() -> None:
    assert escaped("a\n<b>|*") == r"a \<b\>\|\*"


def test_empty_tables_and_sections_vanish() -> None:
    assert table(("a", "b"), []) == []
    assert section("A", []) == []
    assert section("A", table(("a", "b"), [("1", "2")])) == ["## A", "", "| a | b |", "|---|---|", "| 1 | 2 |", ""]
