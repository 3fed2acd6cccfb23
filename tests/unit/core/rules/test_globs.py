import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from branchline.core.rules.globs import matches, matches_any, matches_folded
from strategies import PATHS


@pytest.mark.parametrize(
    ("glob", "path", "expected"),
    [
        ("**", "a", True),
        ("**", "a/b/c", True),
        ("src/**", "src/a", True),
        ("src/**", "src/a/b", True),
        ("src/**", "src", False),
        ("src/**", "srcs/a", False),
        ("src/**", "x/src/a", False),
        ("**/x.py", "x.py", True),
        ("**/x.py", "a/b/x.py", True),
        ("**/x.py", "ax.py", False),
        ("a/**/b", "a/b", True),
        ("a/**/b", "a/x/y/b", True),
        ("a/**/b", "axb", False),
        ("*.py", "x.py", True),
        ("*.py", ".py", True),
        ("*.py", "a/x.py", False),
        ("a**b", "axxb", True),
        ("a**b", "a/b", False),
        ("docs/", "docs/a/b", True),
        ("docs/", "docs", False),
        ("?", "a", True),
        ("?", "/", False),
        ("a?c", "a\nc", True),
        ("[ab]x", "ax", True),
        ("[ab]x", "cx", False),
        ("[ab]x", "[ab]x", True),
        ("app/[id]/page.tsx", "app/[id]/page.tsx", True),
        ("app/[id]/page.tsx", "app/i/page.tsx", True),
        ("app/[id]/page.tsx", "app/id/page.tsx", False),
        ("app/[[...slug]]/*", "app/[[...slug]]/x", True),
        ("app/[...slug]/**", "app/[...slug]/a/b", True),
        ("a[id]*", "a[id]*", True),
        ("a[id]*", "a[id]x", False),
        ("[a-c]", "b", True),
        ("[!a]", "b", True),
        ("[!a]", "a", False),
        ("[^a]", "a", False),
        ("[!a]", "/", False),
        ("[+-9]", "/", False),
        ("[]a]", "]", True),
        ("[a^]", "^", True),
        ("[[]", "[", True),
        ("[\\]", "\\", True),
        ("[&&x]", "&", True),
        ("[z-a]", "z", False),
        ("[*--]", "+", True),
        ("[*--]", "-", True),
        ("[]", "[]", True),
        ("[!]", "[!]", True),
        ("[a", "[a", True),
        ("a.c", "abc", False),
        ("a+(b)", "a+(b)", True),
        ("src/**", "src/a\nb", True),
        ("*.py", "a\n.py", True),
        ("*.py", "x.py\n", False),
        ("x", "X", False),
        ("*", "\udcff", True),
        ("", "", True),
        ("", "a", False),
    ],
)
def test_matches(glob: str, path: str, *, expected: bool) -> None:
    assert matches(glob, path) == expected


def test_matches_any() -> None:
    assert matches_any(["*.py", "docs/"], "docs/x")
    assert not matches_any(["*.py", "docs/"], "src/x")
    assert not matches_any([], "x")


@pytest.mark.parametrize(
    ("glob", "path"),
    [
        (".github/**", ".GitHub/workflows/ci.yml"),
        (".github/**", ".\uff47ithub/workflows/ci.yml"),
        ("*.toml", "Pyproject.TOML"),
        ("straße", "STRASSE"),
        ("*.yml", "a\uff0fb.yml"),
    ],
)
def test_folded_matching_is_blind_to_case_and_width(glob: str, path: str) -> None:
    assert matches_folded([glob], path)


def test_folded_matching_still_tells_names_apart() -> None:
    assert not matches_folded(["*.toml", ".github/**"], "github/x.yml")


GLOBS = st.lists(
    st.sampled_from(["*", "**", "/", "?", "[", "]", "!", "^", "-", "--", "a", "Z", "\\", "\n", "℀", "."])
).map("".join)


@settings(deadline=None, max_examples=200)
@given(GLOBS, PATHS)
def test_any_text_is_a_glob_and_folded_matching_misses_nothing_that_matches(glob: str, path: str) -> None:
    if matches(glob, path):
        assert matches_folded([glob], path)


@settings(deadline=None, max_examples=100)
@given(PATHS.filter(lambda path: not set(path) & set("*?[") and not path.endswith("/")), PATHS)
def test_a_path_without_wildcards_matches_itself_alone(path: str, other: str) -> None:
    assert matches(path, path)
    assert matches(path, other) == (path == other)


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "glob", ["*a" * 30 + "b", "**/" * 30 + "x", "*?" * 30 + "b", "*/" * 30 + "x", "[a]*" * 30 + "b"]
)
def test_no_glob_takes_for_ever(glob: str) -> None:
    assert not matches(glob, "a" * 2000)
    assert not matches(glob, "a/" * 1000 + "a")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a/b/c", True),
        ("a/x/b/y/z/c", True),
        ("a/b/b/c", True),
        ("a/c", False),
        ("a/b/x", False),
        ("b/c", False),
        ("a/x/c", False),
    ],
)
def test_folders_between_two_double_stars(path: str, *, expected: bool) -> None:
    assert matches("a/**/b/**/c", path) is expected
