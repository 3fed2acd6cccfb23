"""Untrusted text that is shown: legible, cut at lines, fenced, and a tree of any size on a page."""

from hypothesis import given
from hypothesis import strategies as st

from branchline.views.format import excerpt


def test_what_could_hide_something_is_written_out() -> None:
    assert excerpt.legible("a\tb\nц 漢\n") == "a\tb\nц 漢\n"
    assert excerpt.legible("x\x1b[31m\u202ey\0\udcff") == r"x\x1b[31m\u202ey\x00\udcff"
    assert excerpt.decoded(b"a\r\n\xff") == "a\n\\xff"


@given(st.text(alphabet="`a\n"))
def test_nothing_inside_closes_a_fence(text: str) -> None:
    first, *body, last = excerpt.fenced(text).split("\n")
    assert first == last + "text"
    assert all(last not in line for line in body)


def test_long_text_is_cut_at_a_line_and_says_so() -> None:
    text = "\n".join(str(n) for n in range(1000, 1010))  # ten lines of four
    assert excerpt.beginning(text, 49) == text
    assert excerpt.beginning(text, 13) == "1000\n1001\n[cut: the first 9 of 49 characters]"
    assert excerpt.end(text, 49) == text
    assert excerpt.end(text, 13) == "[cut: the last 9 of 49 characters]\n1008\n1009"
    assert excerpt.beginning("x" * 2000, 10) == "xxxxxxxxxx\n[cut: the first 10 of 2,000 characters]"
    assert excerpt.end("x" * 2000, 10) == "[cut: the last 10 of 2,000 characters]\nxxxxxxxxxx"


def test_a_diff_has_no_binary_content() -> None:
    patch = (
        b"diff --git a/i.png b/i.png\nindex 1..2\nGIT binary patch\nliteral 3\nKcmZ\n\nliteral 0\nHcmV\n\n"
        b"diff --git a/a b/a\n@@ -1 +1 @@\n-x\n+GIT binary patch\xe2\x80\xae\n"
    )
    assert excerpt.diff(patch, 1000) == (
        "diff --git a/i.png b/i.png\nindex 1..2\n(a binary file)\n"
        "diff --git a/a b/a\n@@ -1 +1 @@\n-x\n+GIT binary patch\\u202e"
    )
    assert excerpt.diff(patch, 30).endswith("of 106 characters]")


def test_a_small_tree_is_shown_whole() -> None:
    assert excerpt.tree(["b", "a/x", "a/b/c"]) == ["a/b/c", "a/x", "b"]
    assert excerpt.tree([]) == []


def test_a_large_tree_opens_small_folders_near_the_top_first() -> None:
    paths = [*(f"big/{n}" for n in range(50)), "src/a", "src/b", "src/deep/x", "src/deep/y", "top"]
    assert excerpt.tree(paths, 7) == [
        "big/ (50 files)", "src/a", "src/b", "src/deep/x", "src/deep/y", "top",
    ]  # fmt: skip
    assert excerpt.tree(paths, 5) == ["big/ (50 files)", "src/a", "src/b", "src/deep/ (2 files)", "top"]
    assert excerpt.tree(paths, 4) == ["big/ (50 files)", "src/ (4 files)", "top"]
    assert excerpt.tree([f"f{n}" for n in range(5)], 3) == ["f0", "f1", "f2", "[and 2 more]"]


@given(
    st.sets(st.lists(st.sampled_from("abc"), min_size=1, max_size=5).map(lambda parts: "/".join([*parts, "f"]))),
    st.integers(1, 30),
)
def test_every_file_is_shown_or_counted_once(paths: set[str], lines: int) -> None:
    shown = excerpt.tree(paths, lines)
    assert shown == excerpt.tree(sorted(paths, reverse=True), lines)
    assert len(shown) <= lines + 1
    if not shown or not shown[-1].startswith("["):
        counted = sum(int(line.split("(")[1].split()[0]) if line.endswith(")") else 1 for line in shown)
        assert counted == len(paths)
