import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchline.core.model.agent import Progress
from branchline.views.format import text


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [
        (-5, "0ms"),
        (0, "0ms"),
        (999, "999ms"),
        (1000, "1.0s"),
        (59_999, "59.9s"),
        (60_000, "1m 00s"),
        (3_599_999, "59m 59s"),
        (3_600_000, "1h 00m"),
        (90_000_000, "25h 00m"),
    ],
)
def test_durations_never_round_up_to_the_next_unit(milliseconds: int, shown: str) -> None:
    assert text.duration(milliseconds) == shown


def test_clock_and_moment_are_utc() -> None:
    assert text.clock(1_795_000_000_123) == "11:06:40.123"
    assert text.moment(1_795_000_000_123) == "2026-11-18 11:06:40 UTC"


@given(st.text())
def test_plain_text_is_one_printable_line(untrusted: str) -> None:
    assert text.plain(untrusted).isprintable()


def test_plain_writes_out_what_could_drive_a_terminal() -> None:
    assert text.plain("a\n\tb \x1b[31mred\u202e \udcff") == r"a b \x1b[31mred\u202e \udcff"


def test_encodable_text_keeps_its_lines() -> None:
    assert text.encodable("é\n\udcff") == "é\n\\udcff"


def test_width_counts_columns() -> None:
    assert [text.width(sample) for sample in ("abc", "é", "e\u0301", "漢字")] == [3, 1, 1, 4]


def test_cut_fits_and_says_so() -> None:
    assert text.cut("hello", 5) == "hello"
    assert text.cut("hello world", 7) == "hello…"
    assert text.cut("漢字漢字", 5) == "漢字…"


def test_table_aligns_and_wraps_the_last_column() -> None:
    rows = [("name", "state", ""), ("漢", "ok", "because " * 12)]
    first, second, third = text.table(rows, columns=80)
    assert first == "  name  state"
    assert second.startswith("  漢    ok     because because")
    assert third.startswith("               because")
    assert all(text.width(line) <= 80 for line in (first, second, third))


def test_table_without_rows_or_with_an_empty_column() -> None:
    assert text.table([]) == []
    assert text.table([("a", "", "x"), ("b", "", "y")]) == ["  a  x", "  b  y"]


def test_count_and_endless_reasons() -> None:
    assert (text.count(1, "gate"), text.count(0, "gate")) == ("1 gate", "0 gates")
    assert len(text.wrapped("word " * 100_000, indent="  ")) <= 15


@pytest.mark.parametrize(
    ("amount", "shown"),
    [(0.0, "$0.00"), (0.00001, "<$0.0001"), (0.0042, "$0.0042"), (0.01, "$0.01"), (1234.5, "$1,234.50")],
)
def test_what_costs_something_never_looks_free(amount: float, shown: str) -> None:
    assert text.dollars(amount) == shown


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.0k"),
        (12_345, "12k"),
        (999_999, "999k"),
        (1_250_000, "1.2M"),
        (99_000_000, "99M"),
    ],
)
def test_thousands(number: int, shown: str) -> None:
    assert text.thousands(number) == shown


def test_progress_tells_what_is_known() -> None:
    assert text.progress_line(Progress()) == ""
    told = Progress(doing="Edit src/x.py", files=("a", "b", "c"), tokens=12_345, cost_usd=0.02)
    assert text.progress_line(told) == "Edit src/x.py · 3 files · 12k tokens · $0.02"
    assert text.progress_line(Progress(tokens=0, cost_usd=0.0)) == ""


@pytest.mark.parametrize(
    ("path", "expected"),
    [("a b/é.py", "a b/é.py"), ("a\nb", "a\\nb"), ("caf\udce9", "caf\\xe9"), ("\u202ea", "\\u202ea")],
)
def test_shown(path: str, expected: str) -> None:
    assert text.shown(path) == expected
