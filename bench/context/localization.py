"""Which files must be read: the given localization benchmark on its rankers and ours, with wins and losses pair by pair.

PYTHONPATH=bench python -m context.localization --tools FOLDER --mirror FOLDER. FOLDER/eval.py, data/ and rankers/ are
not part of this repository. A set is the name of a file in data/, or a path. `--take FILE`, rows that an earlier run
kept, saves running the other rankers again; figures to report come from one run.
"""

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from _measuring import parser, show
from context.pairs import Instance, Outcome, Tally, below, by_group, languages
from context.ranker import given, ours

OURS = "ours"
FLOORS = ("naive", "bm25", "prototype")
HISTORY = {"acc5": 64.0, "single-file acc5": 82.0, "acc10": 76.0, "rec32k_cap2k": 93.0}
ISSUES = {"acc1": 60.0, "acc3": 80.0, "acc5": 86.0, "acc10": 92.0, "rec8k_cap2k": 84.0, "rec32k_cap2k": 95.0}

Row = dict[str, Any]


def main() -> None:
    """Each set in turn."""
    asked = arguments()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # every start of ours would pay for compiling
    for name in asked.sets.split(","):
        path = Path(name) if name.endswith(".gz") else asked.tools / "data" / f"{name}.jsonl.gz"
        report(read(path), evaluated(path, asked), asked)


def arguments() -> argparse.Namespace:
    """What was asked for; `--quick` is five instances."""
    made = parser(__doc__)
    made.add_argument("--tools", type=Path, required=True, help="the folder of the localization benchmark")
    made.add_argument("--mirror", type=Path, required=True, help="fetched repositories, as OWNER+NAME/repo")
    made.add_argument("--sets", default="dev,history_dev", help="[default: %(default)s]")
    made.add_argument("--repos", default="", help="owner/name, with commas; all of them otherwise")
    made.add_argument("--limit", type=int, default=0, help="so many instances of each set, over all repositories")
    made.add_argument("--ours", default=ours(), help="our command, with {root} {task_file} {out} {cache}")
    made.add_argument("--take", type=Path, action="append", default=[], help="take other rankers from these rows")
    made.add_argument("--work", type=Path, help="a folder that keeps the checkouts for the next run")
    made.add_argument("--results", type=Path, help="a folder that keeps every row, with the best 30 paths")
    asked = made.parse_args()
    asked.tools, asked.limit = asked.tools.absolute(), 5 if asked.quick else asked.limit
    return asked


def evaluated(data: Path, asked: argparse.Namespace) -> list[Row]:
    """Run the benchmark on one set, its own table to stdout, and return its rows and those that were taken."""
    taken = [row for path in asked.take for row in read(path) if row["ranker"] != OURS]
    rankers = {**({} if taken else given(asked.tools)), OURS: asked.ours}
    with tempfile.TemporaryDirectory() as folder:
        rows = (asked.results or Path(folder)).absolute() / f"{data.name.partition('.')[0]}.jsonl"
        rows.parent.mkdir(parents=True, exist_ok=True)
        options = {
            "--data": data.absolute(),
            "--mirror": asked.mirror.absolute(),
            "--work": asked.work or folder,
            "--results": rows,
            "--repos": asked.repos,
            "--limit": asked.limit,
            "--keep-ranked": 30,
        }
        argv = [sys.executable, asked.tools / "eval.py", "--repeat"]
        argv += [word for name, value in options.items() for word in (name, value)]
        argv += [word for name, command in rankers.items() for word in ("--ranker", f"{name}={command}")]
        if not asked.json:
            print(f"== {data.name}", flush=True)
        subprocess.run(list(map(str, argv)), check=True, stdout=sys.stderr if asked.json else None)
        return [*read(rows), *taken]


def read(path: Path) -> list[Row]:
    """The rows of a file of JSON lines, packed or not."""
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def report(data: Sequence[Row], rows: Sequence[Row], asked: argparse.Namespace) -> None:
    """The goals, then ours against every other ranker by group, then where it is behind; first of all, where it failed."""
    mine = [row for row in rows if row["ranker"] == OURS]
    failures(mine)
    instances = joined(data, rows)
    history = any("history" in row.get("splits", ()) for row in data)
    show("Ours and the goals", against_goals(mine, HISTORY if history else ISSUES), as_json=asked.json)
    for other in [name for name in FLOORS if any(row["ranker"] == name for row in rows)]:
        tallies = by_group(instances, OURS, other)
        table = [shown(group, one) for group, one in tallies.items()]
        show(f"Ours against {other}: wins and losses", table, as_json=asked.json)
        behind = below({group: one for group, one in tallies.items() if group.startswith("language")}, other)
        if not asked.json:
            print("\n".join(behind or [f"In no language is ours below {other}."]), end="\n\n")
    for row in mine:
        if row.get("stable") is False:
            print(f"{row['id']}: a repeat gave another manifest", file=sys.stderr)


def failures(mine: Sequence[Row]) -> None:
    """Name the instances that ours failed on; each counts as not found in every figure."""
    failed = {row["id"]: row["err"].partition("\n")[0] for row in mine if row["err"]}
    if failed:
        print(f"Ours failed on {len(failed)} of {len(mine)}; they count as not found.", file=sys.stderr)
    for name, reason in failed.items():
        print(f"  {name}: {reason}", file=sys.stderr)


def joined(data: Iterable[Row], rows: Iterable[Row]) -> list[Instance]:
    """The instances that ours was run on, with what every ranker did."""
    outcomes: dict[str, dict[str, Outcome]] = {}
    for row in rows:
        outcomes.setdefault(row["id"], {})[row["ranker"]] = Outcome.of(row["ranks"])
    known = {row["instance_id"]: row for row in data if OURS in outcomes.get(row["instance_id"], {})}
    spoken = languages({name: (row["repo"], row["gold_files"]) for name, row in known.items()})
    return [Instance(groups(row, spoken[name]), outcomes[name]) for name, row in known.items()]


def groups(row: Row, language: str) -> tuple[str, ...]:
    """Those of one instance; their names sort into the order of the table."""
    files = "single-file" if len(row["gold_files"]) == 1 else "multi-file"
    return ("all", f"files: {files}", f"language {language}", f"repository {row['repo']}")


def shown(group: str, one: Tally) -> dict[str, str | float]:
    """One line of the table of pairs."""
    return {
        "group": group,
        "instances": str(one.instances),
        "ours @5": f"{one.ours_at_5:.1f}",
        "its @5": f"{one.other_at_5:.1f}",
        "won @5": str(one.wins),
        "lost @5": str(one.losses),
        "chance": f"{one.chance:.2f}",
        "ours MRR": f"{one.ours_mrr:.1f}",
        "its MRR": f"{one.other_mrr:.1f}",
        "better rank": str(one.wins_rank),
        "worse rank": str(one.losses_rank),
    }


def against_goals(mine: Sequence[Row], goals: Mapping[str, float]) -> list[dict[str, str | float]]:
    """Our means beside the goals, which are meant for other instances of the same kind."""
    lines: list[dict[str, str | float]] = []
    for name, goal in goals.items():
        over = [row for row in mine if row["n_gold"] == 1 or not name.startswith("single")]
        if over:
            value = 100 * sum(row[name.rpartition(" ")[2]] for row in over) / len(over)
            met = "met" if value >= goal else "MISSED"
            lines.append(
                {"figure": name, "instances": str(len(over)), "ours": f"{value:.1f}", "goal": f"{goal:g} {met}"}
            )
    return lines


if __name__ == "__main__":
    main()
