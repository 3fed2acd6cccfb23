"""What a question to the broker costs, as a whole process on one core: cold, warm, after a commit, on a dirty tree.

PYTHONPATH=bench python -m context.speed --mirror FOLDER [--tools FOLDER] [--large]. The trees are composed of fetched
repositories (see trees.py). Cold: nothing indexed, files in the page cache. Beside: git grep of one word and a bare
Python; with --tools the BM25 ranker of the localization benchmark, which indexes by blob as well and ranks by words alone.
"""

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from _measuring import Cost, child, parser, show, verdict
from context.ranker import filled, given, ours
from context.trees import COMMITS, git

TEXTS = (
    "The checksum is verified against the destination file and not against the temporary one",
    "Quantity.to raises TypeError for structured units when equivalencies are given\n\nIt works for a plain unit.",
    "galaxy: support newer releases of the resolver in collection install\n\nThe provider interface has changed.",
    "Simplification of a nested Piecewise loses a condition\n\nsimplify(Piecewise((1, x > 0), (0, True))) is 1.",
    (
        "Vault: a wrong password ends in a traceback\n\n"
        'Traceback (most recent call last):\n  File "lib/ansible/parsing/vault/__init__.py", line 660, in decrypt\n'
        "    plaintext = self.decrypt_and_get_vault_id(vaulttext, filename=filename)\n"
        "AnsibleVaultError: Decryption failed (no vault secrets were found that could decrypt)\n\n"
        "What was expected is a message that names the file and the vault id, as `ansible-vault view` gives one."
    ),
)
CHANGED = 10
"""Files that a commit changes, and that a dirty tree has changed."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A tree to measure on, and its goals: seconds of each question, megabytes of any."""

    label: str
    seconds: dict[str, float]
    megabytes: float


KINDS = {
    "plain": Kind("2,700 Python files, 17 MB, 1 commit", {"cold": 4, "warm": 0.3, "after a commit": 0.5}, 150),
    "history": Kind(f"the same, {COMMITS:,} commits", {"cold": 8, "warm": 0.3, "after a commit": 0.5}, 150),
    "large": Kind("50,000 files, 500 MB, 1 commit", {"cold": 120, "warm": 1}, 400),
}


def main() -> None:
    """Compose each tree and measure on it."""
    asked = arguments()
    rankers = {"ours": asked.ours, **({"bm25": given(asked.tools)["bm25"]} if asked.tools else {})}
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # every start of ours would pay for compiling
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # children inherit it
    with tempfile.TemporaryDirectory(dir=asked.work, prefix="speed-") as folder:
        for name in ["plain", "history", *(["large"] if asked.large else [])]:
            rounds = 1 if asked.quick else 2 if name == "large" else asked.rounds
            root = Path(folder) / name
            part = ["--part", "20"] if asked.quick else []
            where = ["--mirror", str(asked.mirror.absolute()), "--out", str(root)]
            child([sys.executable, "-m", "context.trees", name, *where, *part])  # what it holds would count as ours
            rows = [row for bench in contest(root, rankers, rounds) for row in bench.rows(KINDS[name])]
            label = KINDS[name].label + (", a twentieth of it" if asked.quick else "")
            load = os.getloadavg()[0]  # where it is high, CPU says more than wall
            show(
                f"Questions to the broker: {label}; medians; load {load:.1f}",
                [*floors(root), *rows],
                as_json=asked.json,
            )


def arguments() -> argparse.Namespace:
    """What was asked for."""
    made = parser(__doc__)
    made.add_argument("--mirror", type=Path, required=True, help="fetched repositories, as OWNER+NAME/repo")
    made.add_argument("--tools", type=Path, help="the folder of the localization benchmark, for its BM25 ranker")
    made.add_argument("--large", action="store_true", help="50,000 files too; takes some minutes")
    made.add_argument("--rounds", type=int, default=3, help="[default: %(default)s]")
    made.add_argument("--work", type=Path, help="where the trees are made; [default: the temporary folder]")
    made.add_argument("--ours", default=ours(), help="our command, with {root} {task_file} {out} {cache}")
    return made.parse_args()


def contest(root: Path, rankers: dict[str, str], rounds: int) -> list["Bench"]:
    """Every ranker on every kind of question; they take turns."""
    benches = [Bench(root, name, command) for name, command in rankers.items()]
    for stage in (Bench.cold, Bench.warm, Bench.after_a_commit, Bench.dirty):
        for number in range(rounds):
            for bench in benches if number % 2 == 0 else benches[::-1]:
                stage(bench, number)
    return benches


@dataclass(slots=True)
class Bench:
    """One ranker on one tree: what its questions cost, by kind, and how many repeats got the same bytes."""

    root: Path
    name: str
    command: str
    costs: dict[str, list[Cost]] = field(default_factory=dict)
    answers: dict[str, bytes] = field(default_factory=dict)
    repeats: list[bool] = field(default_factory=list)

    def cold(self, number: int) -> None:
        """An empty cache; the first one is kept for what follows."""
        self.ask("cold", TEXTS[0], cache=number)

    def warm(self, _number: int) -> None:
        """Every text, then the first one again, with the cache of the first cold question."""
        for text in TEXTS:
            self.ask("warm", text)
        self.ask("warm", TEXTS[0])

    def after_a_commit(self, number: int) -> None:
        """Another commit that this ranker has not seen."""
        edit(self.root, f"{self.name} {number}")
        git(self.root, "commit", "-q", "-a", "-m", "Change some files")
        self.answers = {}
        self.ask("after a commit", TEXTS[0])
        self.ask("warm", TEXTS[0])

    def dirty(self, number: int) -> None:
        """Changes that are in no commit, and a file that git does not know; undone afterwards."""
        edit(self.root, f"{self.name} {number}")
        unknown = self.root / "unknown.py"
        unknown.write_text(f"def unknown_{number}() -> None:\n    pass\n")
        self.answers = {}
        self.ask("dirty tree", TEXTS[0])
        self.ask("dirty tree again", TEXTS[0])
        unknown.unlink()
        git(self.root, "reset", "-q", "--hard")

    def ask(self, kind: str, text: str, *, cache: int = 0) -> None:
        """One question as a process of its own; its answer is held against the one that the tree gave before."""
        task, out = self.root.with_name("task.txt"), self.root.with_name("manifest.json")
        task.write_text(text)
        folder = self.root.with_name(f"{self.root.name}-{self.name}-{cache}")
        folder.mkdir(exist_ok=True)
        fields = {"root": self.root, "task_file": task, "out": out, "cache": folder}
        cost = child(filled(self.command, {name: str(path) for name, path in fields.items()}))
        self.costs.setdefault(kind, []).append(cost)
        answer = out.read_bytes()
        if text in self.answers:
            self.repeats.append(answer == self.answers[text])
        self.answers[text] = answer

    def rows(self, kind: Kind) -> Iterator[dict[str, str | float]]:
        """One line for each kind of question, one for memory, one for repeats."""
        goals = kind.seconds if self.name == "ours" else {}
        for question, costs in self.costs.items():
            yield row(f"{self.name}: {question}", costs, goals.get(question))
        peak = max(cost.peak_mb for costs in self.costs.values() for cost in costs)
        goal = f"{kind.megabytes:g} MB {verdict(peak, kind.megabytes)}" if self.name == "ours" else ""
        none: dict[str, str | float] = {"wall, s": "", "CPU, s": "", "peak, MB": ""}
        yield {"what": f"{self.name}: peak memory", "times": "", **none, "peak, MB": peak, "goal": goal}
        same = f"same bytes {sum(self.repeats)} times"
        yield {"what": f"{self.name}: repeats", "times": str(len(self.repeats)), **none, "goal": same}


def row(what: str, costs: Sequence[Cost], goal: float | None = None) -> dict[str, str | float]:
    """One line of the table; the goal is for wall time."""
    wall = statistics.median(cost.wall for cost in costs)
    return {
        "what": what,
        "times": str(len(costs)),
        "wall, s": wall,
        "CPU, s": statistics.median(cost.cpu for cost in costs),
        "peak, MB": max(cost.peak_mb for cost in costs),
        "goal": "" if goal is None else f"{goal:g} s {verdict(wall, goal)}",
    }


def floors(root: Path) -> Iterator[dict[str, str | float]]:
    """A bare Python, and a search for one word by git; after the rankers, so that the files are in memory."""
    for what, argv in {
        "python -c pass": [sys.executable, "-c", "pass"],
        "git grep of a word": ["git", "-C", str(root), "grep", "-c", "-w", "return"],
    }.items():
        yield row(what, [child(argv) for _ in range(5)])


def edit(root: Path, mark: str) -> None:
    """Add a line to some Python files, spread over the tree."""
    names = [name for name in git(root, "ls-files", "-z").split("\0") if name.endswith(".py")]
    for name in names[:: len(names) // CHANGED][:CHANGED]:
        with (root / name).open("a") as file:
            file.write(f"\n# {mark}\n")


if __name__ == "__main__":
    main()
