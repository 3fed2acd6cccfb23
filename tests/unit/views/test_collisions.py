from branchline.core.model.forecast import Collision
from branchline.views.status import SHOWN_PATHS, collision_lines


def test_the_likeliest_are_told_with_a_few_of_their_files() -> None:
    paths = tuple(f"m{number}.py" for number in range(9))
    found = (
        Collision("a", "b", 0.876, paths),
        Collision("b", "long name", 0.1, ("x\ny",)),
        Collision("a", "c", 0.09, ()),
    )
    assert collision_lines(found) == [
        "",
        "Likely to change the same files",
        f"  a, b          88%  {', '.join(paths[:SHOWN_PATHS])}",
        "  b, long name  10%  x y",
    ]


def test_nothing_is_told_of_what_is_unlikely() -> None:
    assert collision_lines([Collision("a", "c", 0.09, ("x",))]) == []
    assert collision_lines([]) == []
