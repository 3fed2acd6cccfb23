"""Wins and losses of one ranker against another, instance by instance, overall and by group. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import comb
from pathlib import PurePosixPath

LANGUAGES = {
    "Python": "py pyx pyi",
    "TypeScript": "ts tsx vue svelte",
    "JavaScript": "js jsx mjs cjs",
    "Go": "go",
    "Rust": "rs",
    "Java": "java",
    "C": "c",
    "C++": "cc cpp hpp cxx hh",
    "C#": "cs",
    "Ruby": "rb",
    "PHP": "php",
}
LANGUAGE_OF = {ending: language for language, endings in LANGUAGES.items() for ending in endings.split()}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one ranker did on one instance: all gold files in the top k, by k, and the best rank of one (0: none)."""

    found: Mapping[int, bool]
    best: int

    @classmethod
    def of(cls, ranks: Sequence[int | None]) -> "Outcome":
        """From the rank of each gold file, None for one that was not ranked."""
        within = {k: all(rank is not None and rank <= k for rank in ranks) for k in (1, 3, 5, 10)}
        return cls(within, min((rank for rank in ranks if rank), default=0))


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance with the outcome of every ranker, and the groups that it belongs to, as in `language Go`."""

    groups: tuple[str, ...]
    outcomes: Mapping[str, Outcome]


@dataclass(frozen=True, slots=True)
class Tally:
    """Ours against another over a group. `wins`, `losses`: all gold files in the top 5; `*_rank`: a better best rank."""

    instances: int
    ours_at_5: float
    other_at_5: float
    ours_mrr: float
    other_mrr: float
    wins: int
    losses: int
    wins_rank: int
    losses_rank: int

    @property
    def chance(self) -> float:
        """How likely wins and losses so unlike are if both rank equally well: the two-sided sign test."""
        decided, fewer = self.wins + self.losses, min(self.wins, self.losses)
        return min(1.0, 2 * 0.5**decided * sum(comb(decided, one) for one in range(fewer + 1)))


def languages(gold: Mapping[str, tuple[str, Sequence[str]]]) -> dict[str, str]:
    """The language of each instance, from its repository and gold files: the one that most of them are in.

    A header `.h` is C++ where the repository's other gold files are C++ rather than C.
    """
    seen: dict[str, Counter[str]] = {}
    for repository, files in gold.values():
        seen.setdefault(repository, Counter()).update(map(_language, files))
    plus = {repository for repository, count in seen.items() if count["C++"] > count["C"]}

    def resolved(repository: str, path: str) -> str:
        header = "C++" if repository in plus else "C"
        return header if path.endswith(".h") else _language(path)

    return {
        instance: Counter(sorted(resolved(repository, path) for path in files)).most_common(1)[0][0]
        for instance, (repository, files) in gold.items()
    }


def tally(instances: Iterable[Instance], ours: str, other: str) -> Tally:
    """Compare over instances that both have. Raises ValueError if there is none."""
    pairs = [(one.outcomes[ours], one.outcomes[other]) for one in instances if {ours, other} <= one.outcomes.keys()]
    if not pairs:
        raise ValueError(f"no instance has both {ours} and {other}")
    at_5 = [(mine.found[5], theirs.found[5]) for mine, theirs in pairs]
    ranks = [(_reciprocal(mine), _reciprocal(theirs)) for mine, theirs in pairs]
    return Tally(
        instances=len(pairs),
        ours_at_5=100 * sum(mine for mine, _ in at_5) / len(pairs),
        other_at_5=100 * sum(theirs for _, theirs in at_5) / len(pairs),
        ours_mrr=100 * sum(mine for mine, _ in ranks) / len(pairs),
        other_mrr=100 * sum(theirs for _, theirs in ranks) / len(pairs),
        wins=sum(mine > theirs for mine, theirs in at_5),
        losses=sum(mine < theirs for mine, theirs in at_5),
        wins_rank=sum(mine > theirs for mine, theirs in ranks),
        losses_rank=sum(mine < theirs for mine, theirs in ranks),
    )


def by_group(instances: Sequence[Instance], ours: str, other: str) -> dict[str, Tally]:
    """A tally for every group, groups by name."""
    groups = sorted({group for one in instances for group in one.groups})
    return {group: tally((one for one in instances if group in one.groups), ours, other) for group in groups}


def below(tallies: Mapping[str, Tally], other: str) -> list[str]:
    """One sentence for each group where ours is behind in Acc@5 or in MRR."""
    return [
        f"{group}: ours is below {other} in {name}: {mine:.1f} against {theirs:.1f} ({_counted(one.instances)})."
        for group, one in tallies.items()
        for name, mine, theirs in (
            ("Acc@5", one.ours_at_5, one.other_at_5),
            ("MRR", one.ours_mrr, one.other_mrr),
        )
        if mine < theirs
    ]


def _language(path: str) -> str:
    return LANGUAGE_OF.get(PurePosixPath(path).suffix.removeprefix("."), "other")


def _reciprocal(outcome: Outcome) -> float:
    return 1 / outcome.best if outcome.best else 0.0


def _counted(number: int) -> str:
    return f"{number} instance{'' if number == 1 else 's'}"
