import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchline.core.model.forecast import Collision, forecast
from branchline.core.model.plan import Scope, Workstream
from strategies import PATHS

FILES = st.dictionaries(st.sampled_from("abcdefgh") | PATHS, st.floats(-1, 1, allow_nan=False), max_size=8)
GLOBS = st.lists(st.sampled_from(["**", "a", "[b-e]", "f"]), max_size=3).map(tuple)


def found_for(
    name: str, write: tuple[str, ...], scores: dict[str, float], protect: tuple[str, ...] = ()
) -> tuple[Workstream, dict[str, float]]:
    return Workstream(id=name, scope=Scope(write=write, protect=protect)), scores


def work(name: str, *write: str, **scores: float) -> tuple[Workstream, dict[str, float]]:
    return found_for(name, write, scores)


def test_two_that_must_change_the_same_file_collide() -> None:
    both = [work("a", "x", x=0.2, y=0.9), work("b", "**", x=0.7)]
    assert forecast(both, [("a", "b")]) == (Collision("a", "b", 1.0, ("x",)),)


def test_the_risk_is_that_any_shared_file_is_changed_by_both() -> None:
    both = [work("a", "**", x=1.0, y=1.0, z=2.0), work("b", "**", x=1.0, y=3.0)]
    # a changes x and y with a chance of 2 * 1/4 each, b x with 2 * 1/4 and y for certain.
    assert forecast(both, [("a", "b")]) == (Collision("a", "b", 1 - 0.75 * 0.5, ("y", "x")),)


def test_only_what_both_may_write_counts() -> None:
    scores = {"x": 0.5, "y": 0.5, "z": 0.5}
    assert forecast([work("a", "x", **scores), work("b", "y", **scores)], [("a", "b")]) == ()
    assert forecast([found_for("a", ("**",), scores, protect=("x",)), work("b", "x", **scores)], [("a", "b")]) == ()
    (found,) = forecast([work("a", "x", "y", **scores), work("b", "y", "z", **scores)], [("a", "b")])
    assert found.paths == ("y",)


def test_only_pairs_that_run_at_once_are_looked_at() -> None:
    three = [work(name, "**", x=1.0) for name in "abc"]
    assert [(one.a, one.b) for one in forecast(three, [("b", "c"), ("a", "c")])] == [("a", "c"), ("b", "c")]
    assert forecast(three, []) == ()
    with pytest.raises(KeyError):
        forecast(three, [("a", "d")])


def test_the_likeliest_come_first_and_at_most_five_files_are_named() -> None:
    many = {f"f{number}": 1.0 + number for number in range(8)}
    found = forecast(
        [work("a", "**", **many), work("b", "**", **many), work("c", "f0", f0=1.0)], [("b", "c"), ("a", "b")]
    )
    assert [(one.a, one.b) for one in found] == [("a", "b"), ("b", "c")]
    assert found[0].paths == ("f7", "f6", "f5", "f4", "f3")


def test_files_that_do_not_fit_are_no_risk() -> None:
    assert forecast([work("a", "**", x=0.0, y=-1.0), work("b", "**", x=1.0, y=1.0)], [("a", "b")]) == ()


@given(FILES, FILES, GLOBS, GLOBS)
def test_a_risk_is_a_chance_and_the_same_from_both_sides(
    first: dict[str, float], second: dict[str, float], mine: tuple[str, ...], theirs: tuple[str, ...]
) -> None:
    pair = [found_for("a", mine, first), found_for("b", theirs, second)]
    one, other = forecast(pair, [("a", "b")]), forecast(pair, [("b", "a")])
    mixed = [
        found_for("a", mine, dict(reversed(first.items()))),
        found_for("b", theirs, dict(reversed(second.items()))),
    ]
    assert forecast(mixed, [("a", "b")]) == one
    assert [(found.risk, found.paths) for found in one] == [(found.risk, found.paths) for found in other]
    for found in one:
        assert 0 < found.risk <= 1
        assert 0 < len(found.paths) <= 5
        assert all(first[path] > 0 and second[path] > 0 for path in found.paths)
