"""Benchmarks of the context broker: who won, by how much, and in what language."""

import pytest
from context.pairs import Instance, Outcome, below, by_group, languages, tally


def instance(mine: list[int | None], theirs: list[int | None], *groups: str) -> Instance:
    return Instance(groups, {"ours": Outcome.of(mine), "bm25": Outcome.of(theirs)})


def test_an_instance_is_found_only_when_its_last_gold_file_is() -> None:
    assert Outcome.of([1, 6]).found == {1: False, 3: False, 5: False, 10: True}
    assert Outcome.of([2]).found == {1: False, 3: True, 5: True, 10: True}
    assert not any(Outcome.of([1, None]).found.values())


def test_the_best_rank_is_of_any_gold_file() -> None:
    assert Outcome.of([7, None, 3]).best == 3
    assert Outcome.of([None]).best == 0


def test_wins_and_losses_are_counted_apart() -> None:
    one = tally(
        [
            instance([1], [6]),  # won both ways
            instance([7], [2]),  # lost both ways
            instance([5], [1]),  # both found, a worse rank
            instance([None], [None]),  # neither
            instance([1, 9], [2, 3]),  # not all in the top 5, yet a better best rank
        ],
        "ours",
        "bm25",
    )
    assert (one.instances, one.wins, one.losses) == (5, 1, 2)
    assert (one.wins_rank, one.losses_rank) == (2, 2)
    assert (one.ours_at_5, one.other_at_5) == (40.0, 60.0)
    assert one.ours_mrr == pytest.approx(100 * (1 + 1 / 7 + 1 / 5 + 0 + 1) / 5)


@pytest.mark.parametrize(
    ("wins", "losses", "chance"), [(0, 0, 1.0), (1, 0, 1.0), (5, 0, 0.0625), (8, 1, 20 / 512), (4, 4, 1.0)]
)
def test_how_likely_such_wins_are_by_chance(wins: int, losses: int, chance: float) -> None:
    rows = [instance([1], [9])] * wins + [instance([9], [1])] * losses + [instance([1], [1])]
    assert tally(rows, "ours", "bm25").chance == pytest.approx(chance)


def test_instances_that_only_one_was_run_on_do_not_count() -> None:
    lonely = Instance(("all",), {"ours": Outcome.of([1])})
    assert tally([lonely, instance([1], [1])], "ours", "bm25").instances == 1
    with pytest.raises(ValueError, match="no instance has both ours and bm25"):
        tally([lonely], "ours", "bm25")


def test_groups_are_tallied_alone_and_those_behind_are_named() -> None:
    rows = [instance([9], [1], "all", "language Go"), instance([1], [9], "all", "language Rust")]
    tallies = by_group(rows, "ours", "bm25")
    assert list(tallies) == ["all", "language Go", "language Rust"]
    assert below(tallies, "bm25") == [
        "language Go: ours is below bm25 in Acc@5: 0.0 against 100.0 (1 instance).",
        "language Go: ours is below bm25 in MRR: 11.1 against 100.0 (1 instance).",
    ]


def test_the_language_is_that_of_most_gold_files() -> None:
    assert languages(
        {
            "a": ("o/web", ["a.tsx", "b.ts", "c.go"]),
            "b": ("o/web", ["c.go"]),
            "c": ("o/web", ["Makefile"]),
            "d": ("o/web", ["b.py", "a.go"]),
        }
    ) == {"a": "TypeScript", "b": "Go", "c": "other", "d": "Go"}


def test_a_header_is_in_the_language_of_its_repository() -> None:
    assert languages({"a": ("r/redis", ["x.h", "x.c"]), "b": ("f/fmt", ["y.h"]), "c": ("f/fmt", ["y.cc"])}) == {
        "a": "C",
        "b": "C++",
        "c": "C++",
    }
