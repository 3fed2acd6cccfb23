import pytest

from branchline.git.screen import collisions

COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


@pytest.mark.parametrize(
    ("there", "new", "found"),
    [
        (["a", "b/c"], ["d", "b/e", "f/g/h"], {}),
        (["readme"], ["README"], {"README": "readme"}),
        (["src/x"], ["SRC/y"], {"SRC/y": "src"}),
        (["a/b/c/d"], ["a/B/e"], {"a/B/e": "a/b"}),
        ([], ["x", "X"], {"X": "x"}),
        ([COMPOSED], [DECOMPOSED], {DECOMPOSED: COMPOSED}),
        (["Straße"], ["STRASSE"], {"STRASSE": "Straße"}),
        (["a/x", "A/x"], ["b"], {}),
        (["a/x", "A/x"], ["a/y"], {}),
        (["a"], ["A/b"], {"A/b": "a"}),
    ],
)
def test_names_that_are_one_to_some(there: list[str], new: list[str], found: dict[str, str]) -> None:
    assert collisions(there, new) == found
