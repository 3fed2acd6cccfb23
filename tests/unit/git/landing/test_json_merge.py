"""The structural merge of JSON."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchline.git.landing.merge import Clash, merge3, merge_texts

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


def test_both_sides_add_keys() -> None:
    merged = merge3({"a": 1}, {"a": 1, "x": {"p": 1}}, {"a": 1, "y": 2})
    assert list(merged.items()) == [("a", 1), ("x", {"p": 1}), ("y", 2)]


def test_one_side_deletes_what_the_other_left_alone() -> None:
    assert merge3({"a": 1, "b": 2}, {"a": 1, "b": 3}, {"b": 2}) == {"b": 3}


@pytest.mark.parametrize(
    ("base", "ours", "theirs"),
    [
        ({"a": 1}, {"a": 2}, {"a": 3}),
        ({"a": 1}, {}, {"a": 3}),
        ({"a": [1]}, {"a": [1, 2]}, {"a": [1, 3]}),
        ({"a": 0}, {"a": 1}, {"a": True}),
        ({}, {"a": {"b": 1}}, {"a": {"b": 2}}),
        (1, {"a": 1}, {"a": 2}),
    ],
)
def test_two_changes_of_one_value_clash(base: object, ours: object, theirs: object) -> None:
    with pytest.raises(Clash):
        merge3(base, ours, theirs)


@given(base=values, changed=values)
def test_a_change_on_one_side_is_taken_whichever_side(base: object, changed: object) -> None:
    assert merge3(base, changed, base) == changed
    assert merge3(base, base, changed) == changed
    assert merge3(base, changed, changed) == changed


@given(base=values, ours=values, theirs=values)
def test_sides_can_be_swapped(base: object, ours: object, theirs: object) -> None:
    def outcome(one: object, other: object) -> str:
        try:
            return json.dumps(merge3(base, one, other), sort_keys=True)
        except Clash:
            return "clash"

    assert outcome(ours, theirs) == outcome(theirs, ours)


@pytest.mark.parametrize("layout", ['{"a":1%s}', '{"a": 1%s}\n', '{\n\t"a": 1%s\n}\n', '{\n    "a": 1%s\n}\n\n'])
def test_the_layout_of_ours_is_kept(layout: str) -> None:
    base, theirs = layout % "", '{"a":1,"é":2}'
    ours = layout % ""
    merged = merge_texts("{}", ours, theirs)
    assert json.loads(merged) == {"a": 1, "é": 2}
    assert merged.startswith(base[: base.index("1") + 1])
    assert merged.endswith(ours[len(ours.rstrip("}\n\t ")) :].lstrip("1"))


@pytest.mark.parametrize("text", ['{"a":1,"a":2}', '{"a":NaN}', '{"a":1.10}', '{"a":1e999}', "{", "[" * 100_000, "﻿{}"])
def test_text_that_cannot_be_rewritten_faithfully_clashes(text: str) -> None:
    with pytest.raises(Clash):
        merge_texts("{}", text, '{"b":1}')
