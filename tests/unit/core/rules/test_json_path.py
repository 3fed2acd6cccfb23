import pytest

from branchline.core.rules.json_path import json_path

DOCUMENT = {
    "a": {"b": [{"c": 1}, {"c": 2, "kind": "x", "ok": True, "none": None, "n": 5}], "odd name": 3},
    "models": {"m1": {"tokens": 10}, "m2": {"tokens": 20}, "m3": {}},
    "type": "result",
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$.a.b[0].c", [1]),
        ("$.a.b[-1].c", [2]),
        ("$.a.b[2].c", []),
        ("$.a.b[-3]", []),
        ("$.a.odd name", [3]),
        ("$.models.*.tokens", [10, 20]),
        ("$.a.b.*.c", [1, 2]),
        ("$.a.b[?kind=x].c", [2]),
        ("$.a.b[?ok=true].c", [2]),
        ("$.a.b[?none=null].c", [2]),
        ("$.a.b[?n=5].c", [2]),
        ("$.a.b[?kind=].c", []),
        ("$[?type=result].a.b[0]", [{"c": 1}]),
        ("$[?type=other].a", []),
        ("$.type.x", []),
        ("$.type[0]", []),
        ("$.a[0]", []),
        ("$", [DOCUMENT]),
    ],
)
def test_what_a_path_finds(path: str, found: list[object]) -> None:
    assert json_path(path)(DOCUMENT) == found


def test_a_list_at_the_top() -> None:
    assert json_path("$[-1].x")([{"x": 1}, {"x": 2}]) == [2]
    assert json_path("$[?type=a].x")([{"type": "a", "x": 1}, 3, {"type": "b", "x": 2}]) == [1]
    assert json_path("$[?x=a]")([{"x": ["a"]}, {"x": {"a": 1}}]) == []


@pytest.mark.parametrize(
    "path", ["", "a.b", "$a", "$.", "$.a[", "$.a[x]", "$..a", "$.a[?b]", "$.a[1", "$[99999999999]"]
)
def test_what_is_no_path(path: str) -> None:
    with pytest.raises(ValueError, match="JSON path"):
        json_path(path)
